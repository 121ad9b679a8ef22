"""An image as the squares that it is made of."""

from __future__ import annotations

import tensorflow as tf


def patches(image: tf.Tensor, side: int) -> tf.Tensor:
    """The squares of an image, row by row, each as its pixels, row by row.

    Args:
        image: [B, H, W, C]; H and W are multiples of `side`.
        side: of a square, in pixels.

    Returns:
        [B, H / side * W / side, side * side * C].
    """
    _, height, width, channels = image.shape
    rows, columns = height // side, width // side
    apart = tf.reshape(image, (-1, rows, side, columns, side, channels))
    return tf.reshape(tf.transpose(apart, (0, 1, 3, 2, 4, 5)), (-1, rows * columns, side * side * channels))
