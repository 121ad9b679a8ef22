"""Pooling to a map of a fixed size, whatever the size of the input.

Shapes: B rows, H x W map, F filters, S side of the result.
"""

from __future__ import annotations

import tensorflow as tf


def windows(length: int, count: int) -> list[slice]:
    """`count` windows that cover `length` places, each from floor(i L / n) to ceil((i + 1) L / n).

    They are of one size, side by side, where `length` is a multiple of `count`; else neighbours may overlap.
    """
    return [slice(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def max_pool_to(x: tf.Tensor, side: int) -> tf.Tensor:
    """The largest value in each of side x side windows: [B, H, W, F] -> [B, S, S, F]; H, W at least S."""
    height, width = x.shape[1:3]
    rows = [
        tf.stack([tf.reduce_max(x[:, down, across], (1, 2)) for across in windows(width, side)], 1)
        for down in windows(height, side)
    ]
    return tf.stack(rows, 1)
