"""The fused batch normalisation is Keras' own: its outputs, its gradients, its moving statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.batch_norm import BatchNorm

CHANNELS = 6


def trained(kind: type, x: tf.Tensor, upstream: tf.Tensor) -> list[np.ndarray]:
    """Output, gradients by input, scale and shift, and moving statistics after two training batches."""
    layer = kind(momentum=0.9, epsilon=1e-5)
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2, CHANNELS))
    layer.beta.assign(np.linspace(-1, 1, CHANNELS))
    layer(2.0 * x, training=True)
    sources = [x, layer.gamma.value, layer.beta.value]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    gradients = tape.gradient(y, sources, output_gradients=upstream)
    found = [y, *gradients, layer.moving_mean.value, layer.moving_variance.value, layer(x, training=False)]
    return [np.asarray(value) for value in found]


@pytest.mark.parametrize("shape", [(16, CHANNELS), (8, 3, 5, CHANNELS)])
def test_the_fused_kernel_computes_what_keras_computes(shape):
    x = 3.0 * tf.random.stateless_normal(shape, (1, 2)) + 1.0
    upstream = tf.random.stateless_normal(shape, (3, 4))
    for ours, theirs in zip(
        trained(BatchNorm, x, upstream), trained(keras.layers.BatchNormalization, x, upstream), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_several_replicas_share_their_statistics():
    assert not BatchNorm().synchronized
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        assert BatchNorm().synchronized


def test_lower_precision_and_what_is_saved_and_loaded_again_work():
    layer = BatchNorm(dtype="mixed_bfloat16", momentum=0.5)
    y = layer(tf.cast(tf.random.stateless_normal((8, 2, 2, 3), (1, 2)), tf.bfloat16), training=True)
    assert y.dtype == tf.bfloat16
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert isinstance(again, BatchNorm)
    assert again.momentum == 0.5
