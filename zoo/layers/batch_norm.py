"""Batch normalisation that trains faster: Keras' own layer with TensorFlow's fused kernel under it."""

from __future__ import annotations

from typing import Any, final

import keras
import tensorflow as tf


@final
@keras.saving.register_keras_serializable("zoo")
class BatchNorm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of the last axis, over all replicas.

    Keras adds the statistics up in several passes over the activations; in training on one device the fused
    kernel takes half the time, forward and backward. Where there are more replicas, in lower precision, and
    outside training, this is Keras' layer.

    References:
        Ioffe and Szegedy: Batch Normalization, arXiv 1502.03167, algorithm 1.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "synchronized": tf.distribute.get_strategy().num_replicas_in_sync > 1})

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """[B, C] or [B, H, W, C] -> the same."""
        if not training or self.synchronized or mask is not None or inputs.dtype != tf.float32:
            return super().call(inputs, training=training, mask=mask)
        shape = tf.shape(inputs)
        # The kernel wants four axes.
        x = inputs if inputs.shape.rank == 4 else tf.reshape(inputs, (-1, 1, 1, inputs.shape[-1]))
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=self.epsilon)
        # It returns the unbiased variance; Keras, as the paper's algorithm 1, keeps the biased one.
        count = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance * (count - 1) / count),
        ):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return tf.reshape(y, shape)


def batches_apart(network: keras.Sequential, *batches: tf.Tensor) -> list[tf.Tensor]:
    """Several batches through a network in training: each alone through BatchNorm, together through the rest.

    A GAN's real and fake images must not share batch statistics; convolutions are faster over both at once.

    Args:
        network: its layers run one after the other.
        batches: of one shape [B, ...].

    Returns:
        The network's output for each batch, in order.
    """
    together = tf.concat(batches, 0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            parts = tf.split(together, len(batches))
            together = tf.concat([layer(part, training=True) for part in parts], 0)
        else:
            together = layer(together, training=True)
    return tf.split(together, len(batches))
