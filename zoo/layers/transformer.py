"""The block that Transformers are stacked of, normalised before its parts or after them.

Shapes: B rows, T positions, d width.

References:
    Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, section 3: norm(x + part(x)).
    Xiong et al.: On Layer Normalization in the Transformer Architecture, arXiv 2002.04745: x + part(norm(x)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, final

import keras
import numpy as np
import tensorflow as tf

from zoo.layers.attention import Attention, Memory
from zoo.layers.dropout import dropout
from zoo.noise import Noise

Activation = Literal["relu", "gelu", "silu"]


def layer_norm(width: int, name: str) -> keras.layers.Layer:
    """Layer normalisation of d numbers, ready to use."""
    layer = keras.layers.LayerNormalization(epsilon=1e-6, name=name)
    layer.build((None, None, width))
    return layer


def sinusoids(place: tf.Tensor, width: int) -> tf.Tensor:
    """Places int [T] as waves of geometrically growing length, sine and cosine in turns: float32 [T, width].

    References:
        arXiv 1706.03762, section 3.5.
    """
    slowness = (10000.0 ** (np.arange(0, width, 2) / width)).astype(np.float32)
    angle = tf.cast(place, tf.float32)[:, None] / slowness
    return tf.reshape(tf.stack([tf.sin(angle), tf.cos(angle)], -1), (-1, 2 * len(slowness)))[:, :width]


@tf.custom_gradient
def gelu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """x P(X < x) for a standard normal X (arXiv 1606.08415): `tf.nn.gelu` in half as many passes."""
    below = 0.5 + 0.5 * tf.math.erf(x * math.sqrt(0.5))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        density = tf.exp(-0.5 * tf.square(x)) * (1.0 / math.sqrt(2.0 * math.pi))
        return upstream * (below + x * density)

    return x * below, gradient


ACTIVATIONS = {"relu": tf.nn.relu, "gelu": gelu, "silu": tf.nn.silu}


@final
@keras.saving.register_keras_serializable("zoo")
class Block(keras.layers.Layer):
    """Self-attention, perhaps attention to another sequence, and a network that each position passes."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        activation: Activation = "gelu",
        keep: float = 1.0,
        post_norm: bool = False,
        cross: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            width: d.
            heads: of the attention.
            hidden: units of the network.
            activation: of the network.
            keep: the share that dropout keeps of what each part adds.
            post_norm: normalise the sum of input and part, not the part's input.
            cross: attend to another sequence too.
        """
        super().__init__(**kwargs)
        self.width, self.heads, self.hidden, self.activation = width, heads, hidden, activation
        self.keep, self.post_norm, self.cross = keep, post_norm, cross
        self.attention = Attention(width, heads, name="attention")
        self.attention_norm = layer_norm(width, "attention_norm")
        if cross:
            self.cross_attention = Attention(width, heads, cross=True, name="cross_attention")
            self.cross_norm = layer_norm(width, "cross_norm")
        self.hidden_map = keras.layers.Dense(hidden, ACTIVATIONS[activation], name="hidden_map")
        self.output_map = keras.layers.Dense(width, name="output_map")
        self.network_norm = layer_norm(width, "network_norm")

    def build(self, input_shape: Any = None) -> None:
        self.attention.build()
        if self.cross:
            self.cross_attention.build()
        self.hidden_map.build((None, self.width))
        self.output_map.build((None, self.hidden))
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        memory: Memory | None = None,
        source: Memory | None = None,
        *,
        causal: bool = False,
        visible: tf.Tensor | None = None,
        pattern: tf.Tensor | np.ndarray | None = None,
        source_visible: tf.Tensor | None = None,
        noise: Noise | None = None,
    ) -> tuple[tf.Tensor, Memory]:
        """
        Args:
            x: [B, T, d].
            memory: of the positions before x, if any.
            source: what `cross_attention.remember` read of the other sequence.
            causal: a position sees itself and those before it.
            visible: bool [B, S], which positions may be seen; None: all.
            pattern: bool [T, S], which of them each position of x may see; None: all.
            source_visible: the same of the other sequence.
            noise: of a training step; None: no dropout.

        Returns:
            [B, T, d], and the memory with that of x behind it.
        """
        grown: list[Memory] = []

        def attend(y: tf.Tensor) -> tf.Tensor:
            taken, after = self.attention(y, memory, causal=causal, visible=visible, pattern=pattern)
            grown.append(after)
            return taken

        def cross_attend(y: tf.Tensor) -> tf.Tensor:
            return self.cross_attention(y, source, visible=source_visible)[0]

        x = self.add(x, attend, self.attention_norm, noise)
        if self.cross:
            x = self.add(x, cross_attend, self.cross_norm, noise)
        x = self.add(x, lambda y: self.output_map(self.hidden_map(y)), self.network_norm, noise)
        return x, grown[0]

    def add(
        self,
        x: tf.Tensor,
        part: Callable[[tf.Tensor], tf.Tensor],
        norm: keras.layers.Layer,
        noise: Noise | None,
    ) -> tf.Tensor:
        """One part with its residual connection and its normalisation."""
        taken = part(x if self.post_norm else norm(x))
        total = x + dropout(taken, self.keep, noise, f"{self.name}/{norm.name}")
        return norm(total) if self.post_norm else total

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "heads": self.heads,
            "hidden": self.hidden,
            "activation": self.activation,
            "keep": self.keep,
            "post_norm": self.post_norm,
            "cross": self.cross,
        }
