"""Layers with an equalised learning rate: weights are drawn from N(0, 1), and scaled when they are used.

An optimizer like Adam moves every weight by about the same amount, however large its gradient is. Where
weights are made small to begin with, those of wide layers move far in relation to what they are; with the
scale at run time all weights are alike to the optimizer.

References:
    Karras et al.: Progressive Growing of GANs, arXiv 1710.10196, section 4.1. It writes w / c, where c is the
    constant of He's initialiser; its code multiplies by that constant, as here.

Shapes: B rows, H x W pixels, C channels in, F filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import keras
import tensorflow as tf

from zoo.layers.initializers import normal

#: Keeps the mean square where half of all values are cut off, as He et al. have it (arXiv 1502.01852).
HE = math.sqrt(2.0)


@final
@keras.saving.register_keras_serializable("zoo")
class EqualizedDense(keras.layers.Layer):
    """[B, d] -> [B, *shape], with a bias for each channel: the last axis of `shape`."""

    def __init__(self, shape: Sequence[int], gain: float = HE, **kwargs: Any) -> None:
        """
        Args:
            shape: of one output.
            gain: the weights' scale is gain / sqrt(d).
        """
        super().__init__(**kwargs)
        self.shape, self.gain = tuple(shape), gain

    def build(self, input_shape: Sequence[Any]) -> None:
        units = math.prod(self.shape)
        self.kernel = self.add_weight((input_shape[-1], units), normal(1.0), name="kernel")
        self.bias = self.add_weight((self.shape[-1],), "zeros", name="bias")
        self.scale = self.gain / math.sqrt(input_shape[-1])

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, d] -> [B, *shape]."""
        linear = tf.linalg.matmul(x, self.scale * tf.convert_to_tensor(self.kernel))
        return tf.reshape(linear, (-1, *self.shape)) + self.bias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shape": self.shape, "gain": self.gain}


@final
@keras.saving.register_keras_serializable("zoo")
class EqualizedConv(keras.layers.Layer):
    """A convolution that keeps the size; or doubles it first, each pixel becoming a square of four."""

    def __init__(
        self, filters: int, size: int = 3, gain: float = HE, doubling: bool = False, **kwargs: Any
    ) -> None:
        """
        Args:
            filters: F.
            size: of the kernel, in pixels; 3 where it doubles.
            gain: the weights' scale is gain / sqrt(size^2 C).
            doubling: whether the image is doubled first.
        """
        super().__init__(**kwargs)
        self.filters, self.size, self.gain, self.doubling = filters, size, gain, doubling

    def build(self, input_shape: Sequence[Any]) -> None:
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            (self.size, self.size, channels, self.filters), normal(1.0), name="kernel"
        )
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")
        self.scale = self.gain / math.sqrt(self.size**2 * channels)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H, W, F], or [B, 2 H, 2 W, F]."""
        kernel = self.scale * tf.convert_to_tensor(self.kernel)
        if not self.doubling:
            return tf.nn.conv2d(x, kernel, 1, "SAME") + self.bias
        shape = (tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], self.filters)
        return tf.nn.conv2d_transpose(x, doubling_kernel(kernel), shape, 2, "SAME") + self.bias

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "size": self.size, "gain": self.gain, "doubling": self.doubling}
        return {**super().get_config(), **own}


def doubling_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """The kernel of the transposed convolution of stride 2 that doubles an image, then convolves it.

    Four pixels that are alike need not be multiplied one by one: of the nine products for each pixel of the
    larger image four are left.

    Args:
        kernel: [3, 3, C, F].

    Returns:
        [4, 4, F, C], as `tf.nn.conv2d_transpose` wants it.
    """
    flipped = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
    for axis in (0, 1):  # taps 0, 0 + 1, 1 + 2, 2
        pads = [[0, 0] for _ in range(4)]
        before, behind = [list(pad) for pad in pads], [list(pad) for pad in pads]
        before[axis], behind[axis] = [1, 0], [0, 1]
        flipped = tf.pad(flipped, before) + tf.pad(flipped, behind)
    return flipped
