"""Reflection padding: a border in which the image is mirrored, instead of one of zeros."""

from __future__ import annotations

from typing import Any, final

import keras
import tensorflow as tf


@final
@keras.saving.register_keras_serializable("zoo")
class ReflectionPad(keras.layers.Layer):
    """Adds pixels on all sides, mirrored at the outermost ones; fewer than there are."""

    def __init__(self, before: int, behind: int | None = None, **kwargs: Any) -> None:
        """
        Args:
            before: pixels above and on the left.
            behind: below and on the right; as many, where it is None.
        """
        super().__init__(**kwargs)
        self.before, self.behind = before, before if behind is None else behind

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, before + H + behind, before + W + behind, C]."""
        sides = [self.before, self.behind]
        return tf.pad(x, [[0, 0], sides, sides, [0, 0]], "REFLECT")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "before": self.before, "behind": self.behind}
