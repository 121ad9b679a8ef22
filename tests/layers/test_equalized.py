"""Layers with an equalised learning rate: what they start as; doubling inside a kernel is doubling."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.equalized import HE, EqualizedConv, EqualizedDense


@pytest.mark.parametrize("gain", [HE, 1.0, HE / 4])
@pytest.mark.parametrize("kind", ["dense", "conv", "one pixel", "doubling"])
def test_the_variance_of_an_output_is_gain_squared_times_the_mean_square_of_the_input(kind, gain):
    keras.utils.set_random_seed(1)
    # Not centred, and of another size than 1: only the mean square counts.
    x = 0.5 + 2.0 * tf.random.stateless_normal((64, 6, 6, 30), (3, 4))
    if kind == "dense":
        x, layer = tf.reshape(x, (-1, 6 * 6 * 30)), EqualizedDense((4, 4, 40), gain)
    else:
        size = 1 if kind == "one pixel" else 3
        layer = EqualizedConv(640, size, gain, doubling=kind == "doubling")
    y = layer(x)
    kernel = layer.kernel.numpy()
    assert abs(kernel.std() - 1.0) < 0.02  # the weights themselves are N(0, 1), whatever the gain
    assert abs(kernel.mean()) < 0.02
    if len(x.shape) == 4 and kind != "one pixel":
        y = y[:, 2:-2, 2:-2]  # at the border part of what a kernel sees is 0
    # Over all weights, too: the mean square of the outputs, for whatever input.
    expected = gain**2 * float(tf.reduce_mean(x**2))
    assert float(tf.reduce_mean(y**2)) == pytest.approx(expected, rel=0.1)


def test_scales_do_not_depend_on_what_is_trained():
    layer = EqualizedConv(2)
    layer.build((None, 4, 4, 8))
    assert layer.scale == pytest.approx(math.sqrt(2.0 / (9 * 8)))
    layer.kernel.assign(tf.ones_like(layer.kernel.value))
    layer.bias.assign([0.0, 5.0])
    inside = layer(tf.ones((1, 4, 4, 8)))[0, 1, 1].numpy()
    np.testing.assert_allclose(inside, 72 * layer.scale + np.array([0.0, 5.0]), rtol=1e-6)


def test_a_convolution_that_doubles_is_one_of_the_doubled_image():
    layer, plain = EqualizedConv(5, doubling=True), EqualizedConv(5)
    x = tf.random.stateless_normal((2, 4, 6, 3), (1, 2))
    for each in (layer, plain):
        each.build(x.shape)
    plain.kernel.assign(layer.kernel.value)
    twice = np.repeat(np.repeat(x.numpy(), 2, 1), 2, 2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found, expected = layer(x), plain(tf.repeat(tf.repeat(x, 2, 1), 2, 2))
    np.testing.assert_allclose(found, plain(twice), atol=1e-5)
    np.testing.assert_allclose(tape.gradient(found, x), tape.gradient(expected, x), atol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(found, layer.kernel.value), tape.gradient(expected, plain.kernel.value), atol=1e-4
    )


def test_a_dense_layer_has_one_bias_for_each_channel():
    layer = EqualizedDense((4, 4, 3))
    layer.build((None, 7))
    assert layer.bias.shape == (3,)
    layer.bias.assign([1.0, 2.0, 3.0])
    y = layer(tf.zeros((2, 7))).numpy()
    assert y.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(y, np.broadcast_to([1.0, 2.0, 3.0], y.shape))


@pytest.mark.parametrize(
    "layer", [EqualizedDense((2, 3), 1.0), EqualizedConv(2, 1, 1.0), EqualizedConv(2, doubling=True)]
)
def test_layers_come_back_from_their_configuration(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
