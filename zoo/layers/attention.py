"""Multi-head attention: one layer for encoders, decoders, what lies between them, and step-by-step sampling.

Each query takes the mean of the values that it may see, weighted by how well their keys fit it:

    attention(q, K, V) = softmax(q K^T / sqrt(s)) V

Shapes: B rows, T queries, S keys, h heads, s numbers a head, d = h s the width of a position.

References:
    Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, sections 3.2.1 and 3.2.2.
"""

from __future__ import annotations

from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

#: Keys and values [B, h, S, s] of the positions that can be attended to.
Memory = tuple[tf.Tensor, tf.Tensor]

# About so many queries at a time in causal attention, measured: keys after a block are never multiplied,
# which halves the work of a long sequence; smaller blocks lose more than they save.
BLOCK = 112


def attention_weights(
    query: tf.Tensor,
    key: tf.Tensor,
    *,
    causal: bool = False,
    visible: tf.Tensor | None = None,
    pattern: tf.Tensor | np.ndarray | None = None,
) -> tf.Tensor:
    """How much each query takes of each value.

    Args:
        query: [B, h, T, s].
        key: [B, h, S, s].
        causal: the queries stand at the last T of the S places, and see no place after their own.
        visible: bool [B, S], the keys that may be seen; None: all.
        pattern: bool [T, S], which keys each query may see, at least one of them; None: all.

    Returns:
        [B, h, T, S]; rows sum to 1, except that they are 0 where a query may see nothing.
    """
    scores = tf.matmul(query * query.shape[-1] ** -0.5, key, transpose_b=True)
    allowed = None
    if causal and query.shape[-2] != 1:
        queries, keys = tf.unstack(tf.shape(scores)[-2:])
        allowed = tf.linalg.band_part(tf.ones((queries, keys), tf.bool), -1, keys - queries)
    if pattern is not None:
        allowed = pattern if allowed is None else tf.logical_and(pattern, allowed)
    if visible is not None:
        seen = visible[:, None, None, :]
        allowed = seen if allowed is None else tf.logical_and(seen, allowed)
    if allowed is None:
        return tf.nn.softmax(scores)
    # A large number, not infinity: a row of which nothing is allowed would be 0 / 0.
    never = scores.dtype.min / 2
    weights = tf.nn.softmax(scores + tf.where(allowed, tf.zeros((), scores.dtype), never))
    if visible is None:  # then a query sees at least one place
        return weights
    return tf.where(allowed, weights, tf.zeros((), weights.dtype))


def attend(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    causal: bool = False,
    visible: tf.Tensor | None = None,
    pattern: tf.Tensor | np.ndarray | None = None,
) -> tf.Tensor:
    """Attention, equation 1; the arguments are those of `attention_weights`.

    Args:
        value: [B, h, S, s].

    Returns:
        [B, h, T, s]; 0 where a query may see nothing.
    """
    queries, keys = query.shape[-2], key.shape[-2]
    blocks = round(queries / BLOCK) if causal and queries and keys else 1
    if blocks <= 1:
        weights = attention_weights(query, key, causal=causal, visible=visible, pattern=pattern)
        return tf.matmul(weights, value)
    parts = []
    for index in range(blocks):
        start, stop = index * queries // blocks, (index + 1) * queries // blocks
        end = stop + keys - queries  # the keys that the block's last query sees
        seen = None if visible is None else visible[:, :end]
        shape = None if pattern is None else pattern[start:stop, :end]
        part = query[:, :, start:stop]
        weights = attention_weights(part, key[:, :, :end], causal=True, visible=seen, pattern=shape)
        parts.append(tf.matmul(weights, value[:, :, :end]))
    return tf.concat(parts, 2)


@final
@keras.saving.register_keras_serializable("zoo")
class Attention(keras.layers.Layer):
    """Multi-head attention of a sequence to itself, or to another one."""

    def __init__(self, width: int, heads: int, *, cross: bool = False, **kwargs: Any) -> None:
        """
        Args:
            width: d; `heads` divides it.
            heads: h.
            cross: attend to another sequence, which `remember` has read.
        """
        super().__init__(**kwargs)
        self.width, self.heads, self.cross = width, heads, cross
        if cross:
            self.query = keras.layers.Dense(width, name="query")
            self.source = keras.layers.Dense(2 * width, name="source")
        else:  # one product for queries, keys and values
            self.joint = keras.layers.Dense(3 * width, name="joint")
        self.output_map = keras.layers.Dense(width, name="output_map")

    def build(self, input_shape: Any = None) -> None:
        maps = [self.query, self.source] if self.cross else [self.joint]
        for each in [*maps, self.output_map]:
            each.build((None, self.width))
        self.built = True

    def call(
        self,
        x: tf.Tensor,
        memory: Memory | None = None,
        *,
        causal: bool = False,
        visible: tf.Tensor | None = None,
        pattern: tf.Tensor | np.ndarray | None = None,
    ) -> tuple[tf.Tensor, Memory]:
        """What each position takes from those that it sees.

        Args:
            x: [B, T, d].
            memory: of the positions before x, if any; across sequences what `remember` returned.
            causal: a position sees itself and those before it.
            visible: bool [B, S], which of all positions may be seen; None: all.
            pattern: bool [T, S], which of them each position of x may see; None: all.

        Returns:
            [B, T, d], and the memory with that of x behind it: calling with one position after another, each
            with the memory of the call before, gives what one causal call gives for all.
        """
        if self.cross:
            assert memory is not None
            (query,) = self.split(self.query(x), 1)
            key, value = memory
        else:
            query, key, value = self.split(self.joint(x), 3)
            if memory is not None:
                key, value = tf.concat([memory[0], key], 2), tf.concat([memory[1], value], 2)
        taken = attend(query, key, value, causal=causal, visible=visible, pattern=pattern)  # [B, h, T, s]
        joined = tf.reshape(tf.transpose(taken, (0, 2, 1, 3)), tf.shape(x))
        return self.output_map(tf.ensure_shape(joined, x.shape)), (key, value)

    def remember(self, source: tf.Tensor) -> Memory:
        """The keys and values of a sequence [B, S, d] that others attend to."""
        key, value = self.split(self.source(source), 2)
        return key, value

    def split(self, x: tf.Tensor, count: int) -> list[tf.Tensor]:
        """[B, T, count * d] -> `count` times [B, h, T, s]."""
        length = x.shape[1] or tf.shape(x)[1]
        apart = tf.reshape(x, (-1, length, count, self.heads, self.width // self.heads))
        return tf.unstack(tf.transpose(apart, (2, 0, 3, 1, 4)), count)

    def empty_memory(self, rows: tf.Tensor | int) -> Memory:
        """The memory before the first position."""
        nothing = tf.zeros((rows, self.heads, 0, self.width // self.heads), self.compute_dtype)
        return nothing, nothing

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "heads": self.heads,
            "cross": self.cross,
        }
