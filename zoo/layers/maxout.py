"""Maxout: the largest of several linear functions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("zoo")
class Maxout(keras.layers.Layer):
    """Each unit is the largest of `pieces` linear functions of the input.

    References:
        Goodfellow et al.: Maxout Networks, arXiv 1302.4389, equation 1.
    """

    def __init__(
        self, units: int, pieces: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.pieces = units, pieces
        self.linear = keras.layers.Dense(units * pieces, kernel_initializer=kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.linear.build(input_shape)

    def call(self, x: Any) -> Any:
        """[B, d] -> [B, units]."""
        return ops.max(ops.reshape(self.linear(x), (-1, self.units, self.pieces)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.linear.kernel_initializer)
        return {
            **super().get_config(),
            "units": self.units,
            "pieces": self.pieces,
            "kernel_initializer": initializer,
        }
