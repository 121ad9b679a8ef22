"""Moving one map to where another one lies.

Shapes: B rows, S x S x C maps. A shift is (down, right) in pixels, at most `most` of them each way.
"""

from __future__ import annotations

import tensorflow as tf


def correlations(a: tf.Tensor, b: tf.Tensor, most: int) -> tf.Tensor:
    """The product of a with b, moved by each shift, summed over places and channels.

    Args:
        a, b: [B, S, S, C].
        most: of a shift.

    Returns:
        [B, 2 most + 1, 2 most + 1], by how far b moves down and to the right, from -most on.
    """
    size = a.shape[1] + most  # what moves out at one side does not come in at the other
    a, b = (tf.signal.rfft2d(tf.transpose(each, (0, 3, 1, 2)), (size, size)) for each in (a, b))
    found = tf.signal.irfft2d(tf.reduce_sum(a * tf.math.conj(b), 1), (size, size))
    return tf.roll(found, (most, most), (1, 2))[:, : 2 * most + 1, : 2 * most + 1]


def within(held: tf.Tensor, most: int) -> tf.Tensor:
    """Which shifts move nothing of what a map holds out of it.

    Args:
        held: bool [B, S, S].
        most: of a shift.

    Returns:
        bool [B, 2 most + 1, 2 most + 1]; of an empty map only the shift by nothing.
    """
    shifts = tf.range(-most, most + 1)

    def along(axis: int) -> tf.Tensor:
        there = tf.cast(tf.reduce_any(held, axis), tf.int32)  # [B, S]
        before = tf.argmax(there, 1, tf.int32)[:, None]
        behind = tf.argmax(there[:, ::-1], 1, tf.int32)[:, None]
        return tf.logical_and(shifts >= -before, shifts <= behind)

    return tf.logical_and(along(2)[:, :, None], along(1)[:, None, :])


def best_shift(target: tf.Tensor, made: tf.Tensor, held: tf.Tensor, most: int) -> tf.Tensor:
    """The shift that brings each target nearest to what was made, and moves nothing out of the map.

    Args:
        target, made: [B, S, S, C]; near is a small squared distance.
        held: bool [B, S, S], outside of which the target is 0.
        most: of a shift.

    Returns:
        int32 [B, 2].
    """
    # The target moves as a whole, so that its own square is the same everywhere.
    agreement = tf.where(within(held, most), correlations(made, target, most), made.dtype.min)
    best = tf.argmax(tf.reshape(agreement, (tf.shape(held)[0], -1)), 1, tf.int32)
    count = 2 * most + 1
    return tf.stack([best // count, best % count], 1) - most


def moved(x: tf.Tensor, shift: tf.Tensor, most: int) -> tf.Tensor:
    """Maps [B, S, S, C], each by its own shift int32 [B, 2]; 0 comes in where something has left."""
    size = x.shape[1]
    padded = tf.pad(x, [[0, 0], [most, most], [most, most], [0, 0]])
    place = most + tf.range(size) - shift[..., None]  # [B, 2, S]
    rows = tf.gather(padded, place[:, 0], axis=1, batch_dims=1)
    return tf.gather(rows, place[:, 1], axis=2, batch_dims=1)
