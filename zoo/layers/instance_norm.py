"""Instance normalisation: each channel of each image by its own mean and variance over the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import keras
import tensorflow as tf

PIXELS = (1, 2)


@final
@keras.saving.register_keras_serializable("zoo")
class InstanceNorm(keras.layers.Layer):
    """y = (x - mean) / sqrt(variance + epsilon), over the pixels of one channel of one image.

    Nothing is kept from training: it does the same to an image alone, in any batch, of any size.

    References:
        Ulyanov, Vedaldi, Lempitsky: Instance Normalization, arXiv 1607.08022, equation 2.
    """

    def __init__(self, affine: bool = False, epsilon: float = 1e-5, **kwargs: Any) -> None:
        """
        Args:
            affine: whether each channel has a scale and a shift of its own behind it.
            epsilon: keeps the root above 0.
        """
        super().__init__(**kwargs)
        self.affine, self.epsilon = affine, epsilon

    def build(self, input_shape: Sequence[Any]) -> None:
        if self.affine:
            self.gamma = self.add_weight((input_shape[-1],), "ones", name="gamma")
            self.beta = self.add_weight((input_shape[-1],), "zeros", name="beta")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> the same."""
        y = tf.cast(normalised(tf.cast(x, tf.float32), self.epsilon), x.dtype)
        return y * self.gamma + self.beta if self.affine else y

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "affine": self.affine, "epsilon": self.epsilon}


def normalised(x: tf.Tensor, epsilon: float) -> tf.Tensor:
    """[B, H, W, C] with mean 0 and variance 1 over H and W.

    The gradient is written out: derived piece by piece it takes half as long again.
    """

    @tf.custom_gradient
    def forward(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        away = x - tf.reduce_mean(x, PIXELS, keepdims=True)
        scale = tf.math.rsqrt(tf.reduce_mean(away**2, PIXELS, keepdims=True) + epsilon)
        y = away * scale

        def gradient(dy: tf.Tensor) -> tf.Tensor:
            along = y * tf.reduce_mean(dy * y, PIXELS, keepdims=True)
            return scale * (dy - tf.reduce_mean(dy, PIXELS, keepdims=True) - along)

        return y, gradient

    return forward(x)
