"""Few labels: what semi-supervised learning has to do with."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from zoo.data import order
from zoo.data.dataset import Data
from zoo.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf

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


def with_labelled(
    batches: tf.data.Dataset, data: Data, batch_size: int, *, seed: int, start_step: int = 0
) -> tf.data.Dataset:
    """Each batch with another one beside it, of images that have a label: `labelled_image`, `labelled_label`.

    Few labels would hardly ever be in a batch of all examples.

    Args:
        batches: as `zoo.data.batches` gives them.
        data: that they are of.
        batch_size: labelled images a batch; where there are fewer, they repeat in it.
        seed: the run's seed.
        start_step: the step to go on from; the order is that of an unbroken run.
    """
    import tensorflow as tf

    index = np.flatnonzero(np.asarray(data.fields["label"]) >= 0)
    index = np.tile(index, max(1, -(-batch_size // len(index))))
    fields = {name: np.asarray(data.fields[name])[index] for name in ("image", "label")}
    own = dataclasses.replace(data, fields=fields)
    beside = order.batches(own, batch_size, seed=seed, start_step=start_step)

    def together(batch: dict[str, tf.Tensor], labelled: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**batch, **{f"labelled_{name}": value for name, value in labelled.items()}}

    return tf.data.Dataset.zip((batches, beside)).map(together)
