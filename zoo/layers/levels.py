"""Pixels as levels: the whole numbers that models of discrete images predict."""

from __future__ import annotations

import tensorflow as tf


def quantise(image: tf.Tensor, levels: int) -> tf.Tensor:
    """The nearest level of each value; halfway goes up, so that with two levels a half or more is 1.

    Args:
        image: float [...] in [0, 1].
        levels: how many there are.

    Returns:
        int32 [...], 0 .. levels - 1.
    """
    level = tf.cast(tf.floor(image * (levels - 1) + 0.5), tf.int32)
    return tf.clip_by_value(level, 0, levels - 1)


def to_image(level: tf.Tensor, levels: int) -> tf.Tensor:
    """Levels [...] of 0 .. levels - 1 -> float32 [...] in [0, 1]."""
    return tf.cast(level, tf.float32) / (levels - 1)
