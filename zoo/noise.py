"""Stateless noise: every draw is a function of a seed and a purpose, never of what was drawn before.

Two sources share one interface. In training, `StepNoise` is a function of (run seed, step, purpose) for the
*global* batch, of which each replica takes its rows: two replicas train as one does, and a resumed run draws
what an unbroken one would have drawn. In sampling, `RowNoise` gives each row the noise of its own seed: an
image depends on its seed and on nothing else in the batch.
"""

from __future__ import annotations

import abc
import zlib
from collections.abc import Sequence

import tensorflow as tf

# float32 uniforms are multiples of 2^-23 or 2^-24; this in place of 0 keeps their logarithm finite.
SMALLEST = 2.0**-25


def purpose_id(purpose: str) -> int:
    """A number for the name of a purpose, the same in every process (31 bits)."""
    return zlib.crc32(purpose.encode()) & 0x7FFFFFFF


def _fold_in(key: tf.Tensor, data: tf.Tensor | int) -> tf.Tensor:
    """A key int64 [2] from a key and a number; 64 bits, so that steps of a long run do not meet by chance."""
    return tf.random.fold_in(key, tf.cast(data, tf.int64), alg="philox")


class Noise(abc.ABC):
    """Noise for the rows of one batch."""

    @abc.abstractmethod
    def normal(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        """Standard normal draws.

        Args:
            purpose: what they are for; draws of different purposes are independent.
            shape: the shape of one row, static.

        Returns:
            float32 [B, *shape].
        """

    @abc.abstractmethod
    def uniform(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        """Uniform draws in [0, 1), like `normal`."""

    @abc.abstractmethod
    def fold(self, index: tf.Tensor | int) -> Noise:
        """Noise independent of this one, for round `index` (int) of a loop."""

    def gumbel(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        """Standard Gumbel draws, like `normal`: the largest of logits + Gumbel is a Categorical draw."""
        return -tf.math.log(-tf.math.log(tf.maximum(self.uniform(purpose, shape), SMALLEST)))


class RowNoise(Noise):
    """Noise of one seed a row, the same whatever else is in the batch."""

    def __init__(self, seeds: tf.Tensor, round_key: tf.Tensor | int = 0) -> None:
        """
        Args:
            seeds: int64 [B], not negative.
            round_key: int64, which round of which loops this is; 0 outside all loops.
        """
        self.seeds = tf.cast(seeds, tf.int64)
        self.round_key = tf.cast(round_key, tf.int64)

    def _draw(self, draw, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        key = tf.bitwise.bitwise_xor(self.round_key, tf.constant(purpose_id(purpose), tf.int64))

        def one(seed: tf.Tensor) -> tf.Tensor:
            return draw(tuple(shape), seed=tf.stack([seed, key]), alg="philox")

        rows = tf.map_fn(one, self.seeds, fn_output_signature=tf.float32)
        return tf.ensure_shape(rows, (None, *shape))

    def normal(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        return self._draw(tf.random.stateless_normal, purpose, shape)

    def uniform(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        return self._draw(tf.random.stateless_uniform, purpose, shape)

    def fold(self, index: tf.Tensor | int) -> RowNoise:
        # A draw, not a sum: rounds of nested loops do not meet, whatever their order.
        key = tf.stack([self.round_key, tf.cast(index, tf.int64)])
        round_key = tf.random.stateless_uniform((), key, None, None, tf.int64, alg="philox")
        return RowNoise(self.seeds, round_key)


class StepNoise(Noise):
    """The rows that one replica takes of the noise of a global batch."""

    def __init__(
        self,
        seed: int | tf.Tensor,
        step: int | tf.Tensor,
        rows: int | tf.Tensor,
        replica: int | tf.Tensor = 0,
        replicas: int = 1,
    ) -> None:
        """
        Args:
            seed: the run's seed.
            step: the training step.
            rows: how many rows this replica has.
            replica: which replica this is.
            replicas: how many there are.
        """
        self.key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
        self.rows = rows
        self.replica = replica
        self.replicas = replicas

    def _draw(self, draw, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        key = _fold_in(self.key, purpose_id(purpose))
        total = self.rows * self.replicas
        noise = draw(tf.concat([[total], tf.constant(tuple(shape), tf.int32)], 0), seed=key, alg="philox")
        if self.replicas > 1:
            noise = noise[self.replica * self.rows : (self.replica + 1) * self.rows]
        rows = self.rows if isinstance(self.rows, int) else None
        return tf.ensure_shape(noise, (rows, *shape))

    def normal(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        return self._draw(tf.random.stateless_normal, purpose, shape)

    def uniform(self, purpose: str, shape: Sequence[int]) -> tf.Tensor:
        return self._draw(tf.random.stateless_uniform, purpose, shape)

    def fold(self, index: tf.Tensor | int) -> StepNoise:
        folded = StepNoise(0, 0, self.rows, self.replica, self.replicas)
        folded.key = _fold_in(self.key, tf.cast(index, tf.int64) + 1)
        return folded
