"""The examples that a trained model is measured with, in the form that it takes them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

import zoo.data
from zoo.data import Data
from zoo.errors import UsageError
from zoo.sampling import DRAWING, LoadedModel

log = logging.getLogger("gmzoo")


def example_shape(model: LoadedModel) -> list[int | None]:
    """The shape of one example, as the model reads it; as it draws it, where it reads none.

    What may be of any size is of that of its training.
    """
    if "translate" in model.signatures:
        return [*model.card["config"]["image_shape"]]
    for signature in ("log_prob", "classify", "encode"):
        if signature in model.signatures:
            shape: list[int | None] = model.signatures[signature]["inputs"][model.takes]["shape"][1:]
            return shape
    drawing = next(name for name in DRAWING if name in model.signatures)
    drawn: list[int | None] = model.signatures[drawing]["outputs"][model.modality]["shape"][1:]
    return drawn


def load(
    model: LoadedModel,
    shape: Sequence[int | None],
    spec: str,
    split: str,
    needs: Sequence[str] = (),
    **options: Any,
) -> Data:
    """Data as examples of a model.

    Args:
        model: what will read the data, or be compared with it.
        shape: of one example.
        spec, split: which data.
        needs: fields that must be there beside the examples.
        **options: limit, skip_bad, data_dir, as `zoo.data.load` takes them.

    Raises:
        UsageError: the data lacks what the model needs, or has another shape.
    """
    trained_on = model.card.get("dataset", {})
    if model.takes == "image":
        height, width, channels = shape
        options |= {"image_size": height if height == width else None, "channels": channels}
    if made_of := trained_on.get("dequantised"):
        height, width, channels = made_of
        options |= {"image_size": height if height == width else None, "channels": channels}
    if model.takes == "tokens":  # each text of the user's own has a vocabulary of its own
        options["vocabulary"] = model.card.get("config", {}).get("vocabulary")
    found = zoo.data.load(spec, split, **options)
    if model.card.get("config", {}).get("of") == "domain":
        found = zoo.data.domains_as_classes(found)
    if model.takes == "features":
        found = zoo.data.as_features(found)
    found.require(model.takes, *needs)
    got = found.fields[model.takes].shape[1:]
    if len(got) != len(shape) or any(each not in (None, size) for each, size in zip(shape, got, strict=True)):
        wanted = " x ".join("any" if each is None else str(each) for each in shape)
        raise UsageError(
            f"{model.name} takes examples of {wanted}, and those of {spec} are {' x '.join(map(str, got))}."
        )
    levels = trained_on.get("levels")
    if levels and found.info.levels and levels != found.info.levels:
        log.info(
            "%s was trained on images of %d levels; these have %d", model.name, levels, found.info.levels
        )
    if seen_in_training(model, found):
        log.warning(
            "%s was trained on examples of this split: the result says little about new ones", model.name
        )
    return found


def seen_in_training(model: LoadedModel, data: Data) -> bool:
    """Whether the model was trained on examples of this split."""
    return of_training(model, data) and data.split in ("train", "all")


def of_training(model: LoadedModel, data: Data) -> bool:
    """Whether this is the data set that the model was trained on, in whichever split."""
    return data.info.fingerprint == model.card.get("dataset", {}).get("fingerprint")


def chosen_rows(total: int, count: int, seed: int) -> np.ndarray:
    """`count` of `total` rows, drawn without replacement by a seed, in order; all where there are no more."""
    if total <= count:
        return np.arange(total)
    return np.sort(np.random.Generator(np.random.Philox(seed)).permutation(total)[:count])


def some(data: Data, count: int, seed: int) -> Data:
    """At most `count` examples of the data: those that `chosen_rows` says."""
    if len(data) <= count:
        return data
    return taken(data, chosen_rows(len(data), count, seed))


def taken(data: Data, index: np.ndarray) -> Data:
    """The examples of the data at `index`, in its order."""
    files = tuple(data.info.files[row] for row in index.tolist()) if data.info.files else ()
    return dataclasses.replace(
        data,
        fields={name: array[index] for name, array in data.fields.items()},
        info=dataclasses.replace(data.info, files=files),
    )
