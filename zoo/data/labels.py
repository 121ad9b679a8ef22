"""Few labels: what semi-supervised learning has to do with."""

from __future__ import annotations

import dataclasses

import numpy as np

from zoo.data.dataset import Data
from zoo.errors import UsageError

#: Which examples keep their labels does not depend on the run's seed: runs are compared on the same ones.
CHOICE = 0


def keep_labels(data: Data, count: int) -> Data:
    """Hides all labels but `count`, as many of each class; the choice is always the same.

    Args:
        data: with labels.
        count: how many are kept; where it does not divide, the first classes keep one more.

    Returns:
        The same examples; the label of those that lost it is -1.

    Raises:
        UsageError: the data has no labels, or too few of a class.
    """
    data.require("label")
    label = np.asarray(data.fields["label"])
    names = data.info.class_names
    kept = np.full_like(label, -1)
    for index, name in enumerate(names):
        wanted = count // len(names) + (index < count % len(names))
        own = np.flatnonzero(label == index)
        if len(own) < wanted:
            raise UsageError(
                f"labels={count}: {data.spec} has {len(own)} examples of class {name!r}, not {wanted}."
            )
        chosen = np.random.Generator(np.random.Philox([CHOICE, index])).permutation(own)[:wanted]
        kept[chosen] = index
    return dataclasses.replace(data, fields={**data.fields, "label": kept})
