"""Tables of counts: how often each value came in each context, and the probabilities that follow.

A table has one row for each context and one column for each of the L values. Its row, divided by its sum, is
the maximum-likelihood estimate of p(value | context). Laplace's smoothing adds the same number to all counts.

Shapes: B rows of a batch, D scalars an example, R contexts, L values.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def empty_table(shape: tuple[int, int]) -> keras.Variable:
    """Counts int64 of `shape` (R, L), all 0; a replica adds what all of them have counted."""
    return keras.Variable(
        tf.zeros(shape, tf.int64),
        dtype="int64",
        trainable=False,
        aggregation="only_first_replica",
        name="counts",
    )


def counted(context: tf.Tensor, value: tf.Tensor, weight: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    """How often each value comes in each context.

    Args:
        context: int32 [B, D], the row of the table that each scalar belongs to.
        value: int32 [B, D].
        weight: float32 [B], 1 for an example that counts and 0 for one that does not.
        shape: (R, L).

    Returns:
        int64 [R, L].
    """
    contexts, values = shape
    cell = context * values + value
    each = tf.broadcast_to(weight[:, None], tf.shape(cell))
    return tf.cast(tf.reshape(tf.math.unsorted_segment_sum(each, cell, contexts * values), shape), tf.int64)


def log_probabilities(counts: tf.Tensor, smoothing: float) -> tf.Tensor:
    """log p(value | context) in nats; minus infinity for what never came, unless it is smoothed.

    Args:
        counts: int64 [R, L].
        smoothing: what is added to each count, not negative.

    Returns:
        float64 [R, L]: sums over a large table keep their last digits.
    """
    smoothed = tf.cast(counts, tf.float64) + smoothing
    share = tf.math.divide_no_nan(smoothed, tf.reduce_sum(smoothed, -1, keepdims=True))
    return tf.math.log(share)
