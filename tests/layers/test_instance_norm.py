"""Instance normalisation: moments of each channel of each image, and the gradient that is written out."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.layers.instance_norm import InstanceNorm, normalised


def images() -> tf.Tensor:
    scale = tf.constant([1.0, 5.0, 0.1])
    return 3.0 + scale * tf.random.stateless_normal((2, 5, 6, 3), (1, 2))


def test_each_channel_of_each_image_has_mean_0_and_variance_1():
    y = InstanceNorm()(images()).numpy()
    np.testing.assert_allclose(y.mean((1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.var((1, 2)), 1.0, rtol=2e-3)  # of the smallest 0.01: epsilon is 1e-5


def test_an_image_is_the_same_alone_and_a_constant_vanishes():
    x, layer = images(), InstanceNorm()
    np.testing.assert_allclose(layer(x)[1:], layer(x[1:]), atol=1e-6)
    np.testing.assert_array_equal(layer(tf.fill((1, 4, 4, 2), 7.0)), 0.0)


def test_the_gradient_is_that_of_the_formula():
    x, weights = images(), tf.random.stateless_normal((2, 5, 6, 3), (3, 4))

    def plain(x: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, (1, 2), keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1e-5)

    gradients = []
    for norm in (lambda x: normalised(x, 1e-5), plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weights * norm(x) ** 3)
        gradients.append(tape.gradient(loss, x))
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-3)


def test_a_scale_and_a_shift_come_behind_it():
    layer = InstanceNorm(affine=True)
    layer.build((None, None, None, 3))
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([0.0, 5.0, 0.0])
    expected = InstanceNorm()(images()) * [1.0, 2.0, 3.0] + [0.0, 5.0, 0.0]
    np.testing.assert_allclose(layer(images()), expected, rtol=1e-5, atol=1e-5)
    assert InstanceNorm.from_config(layer.get_config()).affine


def test_in_half_precision_the_moments_are_those_of_full_precision():
    x = tf.cast(200.0 + images(), tf.bfloat16)
    y = InstanceNorm(dtype="mixed_bfloat16")(x)
    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(y, tf.float32), InstanceNorm()(tf.cast(x, tf.float32)), atol=0.03)
