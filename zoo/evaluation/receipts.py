"""What a receipt says of the data and of the event whose likelihood is told: figures compare where it agrees.

What was found out on the way, as the shares of the classes, stands under `found` and is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.data import Data

#: Where a model's config has the symbols of the examples that it scores.
SYMBOLS = {"tokens": "vocabulary", "text": "target_vocabulary"}


def of_data(data: Data, field: str) -> dict[str, Any]:
    """Which examples: data, split, how many, the fingerprint of what was read, and the shape of one.

    Args:
        data: the examples.
        field: what of them the model takes. A text has no shape: each has its own length.
    """
    shape = [int(size) for size in data.fields[field].shape[1:]] if field in data.fields else []
    return {
        "dataset": data.spec,
        "split": data.split,
        "n": len(data),
        "fingerprint": data.info.fingerprint,
        **({"shape": shape} if shape else {}),
    }


def of_event(
    config: Mapping[str, Any],
    field: str,
    levels: int | None,
    given_text: bool,
    scored: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What has a probability: values of so many levels, or symbols of so many, perhaps given a text.

    Args:
        config: of the model.
        field: what of an example it takes.
        levels: of a scored value; None where nothing is quantised.
        given_text: whether the likelihood is one given the example's caption.
        scored: the fields of `zoo.base.Scored`, where it is not of the example itself.
    """
    symbols = config.get(SYMBOLS.get(field, ""))
    return {
        "levels": levels,
        **({"vocabulary": len(symbols)} if symbols else {}),
        **({"given": "caption"} if given_text else {}),
        **({"scored": "{count} {what} of {values}, by {by}".format(**scored)} if scored else {}),
    }
