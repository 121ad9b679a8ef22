"""The order in which rows are read. Position is the step: epoch e is the permutation of (seed, e)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.dataset import Data
from zoo.data.mismatched import Mismatched
from zoo.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf


def steps_per_epoch(length: int, batch_size: int, every_row: bool = False) -> int:
    """How many full batches one pass over `length` rows gives; the remainder is dropped unless `every_row`.

    Raises:
        UsageError: if there is not one full batch.
    """
    if batch_size < 1:
        raise UsageError(f"A batch needs at least one example, not {batch_size}.")
    if batch_size > length:
        raise UsageError(
            f"A batch of {batch_size} does not fit into {length} examples: use --batch-size {length} or less."
        )
    return -(-length // batch_size) if every_row else length // batch_size


def epochs_to_steps(epochs: int, length: int, batch_size: int) -> int:
    """How many steps `epochs` passes over `length` rows take."""
    return epochs * steps_per_epoch(length, batch_size)


def rows_of_step(
    length: int,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    every_row: bool = False,
    first_epoch: int = 0,
    stream: int = 0,
) -> Iterator[np.ndarray]:
    """The rows of each batch from `start_step` on, for ever.

    Args:
        length: how many rows there are.
        batch_size: rows a batch.
        seed: the run's seed, not negative.
        start_step: the first step.
        every_row: an epoch has a last batch with its remainder, filled up with -1.
        first_epoch: the number of the epoch in which step 0 is.
        stream: an order of its own, independent of those of other numbers.

    Yields:
        int64 [batch_size].
    """
    per_epoch = steps_per_epoch(length, batch_size, every_row)
    epoch, position = divmod(start_step, per_epoch)
    own = [stream] if stream else []
    while True:
        order = np.random.Generator(np.random.Philox([seed, first_epoch + epoch, *own])).permutation(length)
        order = np.pad(order, (0, max(0, per_epoch * batch_size - length)), constant_values=-1)
        for step in range(position, per_epoch):
            yield order[step * batch_size : (step + 1) * batch_size]
        epoch, position = epoch + 1, 0


def rows(data: Data, index: np.ndarray | slice) -> dict[str, np.ndarray]:
    """Some rows as a model takes them: images float32 in [0, 1], all else as it is.

    Args:
        data: the data.
        index: which rows.

    Returns:
        One array a field, in the order of `index`.
    """
    found = {name: np.asarray(array[index]) for name, array in data.fields.items()}
    if "image" in found:
        top = np.float32((data.info.levels or 256) - 1)
        found["image"] = found["image"].astype(np.float32) / top
    return found


def batches(
    data: Data,
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
    steps: int | None = None,
    every_row: bool = False,
    first_epoch: int = 0,
    mismatched: Mismatched | None = None,
    stream: int = 0,
) -> tf.data.Dataset:
    """Full batches in a random order that is a function of the seed, endless or `steps` of them.

    Args:
        data: the data.
        batch_size: rows a batch; each epoch drops its remainder.
        seed: the run's seed.
        start_step: the step to go on from; the order is that of an unbroken run.
        steps: how many batches; None: without end.
        every_row: an epoch has every row once; its last batch is filled up with rows of weight 0.
        first_epoch: the number of the epoch in which step 0 is.
        mismatched: gives each example a caption that does not fit it.
        stream: an order of its own, independent of those of other numbers.

    Returns:
        A dataset of dictionaries: image float32 [B, H, W, C] in [0, 1] (value / (levels-1)), captions as
        strings, the other fields as they are; with `every_row` also weight float32 [B], with `mismatched`
        also wrong_caption string [B].
    """
    import tensorflow as tf

    steps_per_epoch(len(data), batch_size)  # complain now, not from inside the pipeline

    def generate() -> Iterator[dict[str, np.ndarray]]:
        found = rows_of_step(len(data), batch_size, seed, start_step, every_row, first_epoch, stream)
        for step, index in enumerate(found, start_step):
            batch = rows(data, np.maximum(index, 0))
            if mismatched:
                batch["wrong_caption"] = mismatched(index, step)
            if every_row:
                batch["weight"] = (index >= 0).astype(np.float32)
            yield {
                name: np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
                for name, values in batch.items()
            }

    def spec(name: str, array: np.ndarray) -> tf.TensorSpec:
        kinds = {"U": tf.string}
        kind = tf.float32 if name == "image" else kinds.get(array.dtype.kind, tf.as_dtype(array.dtype))
        return tf.TensorSpec((batch_size, *array.shape[1:]), kind, name)

    signature = {name: spec(name, array) for name, array in data.fields.items()}
    if every_row:
        signature["weight"] = tf.TensorSpec((batch_size,), tf.float32, "weight")
    if mismatched:
        signature["wrong_caption"] = tf.TensorSpec((batch_size,), tf.string, "wrong_caption")
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    if steps is not None:
        dataset = dataset.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    options = tf.data.Options()
    options.deterministic = True
    # Workers slice the same global batch themselves.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(2).with_options(options)


def in_order(data: Data, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """One pass in order, as NumPy arrays like those of `batches`; the last batch is short.

    Args:
        data: the data.
        batch_size: rows a batch.

    Yields:
        One dictionary a batch.
    """
    for start in range(0, len(data), batch_size):
        yield rows(data, slice(start, start + batch_size))
