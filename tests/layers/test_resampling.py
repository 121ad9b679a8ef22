"""Convolutions on blocks: the same numbers and gradients as Keras' own layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.resampling import ImageConv, ImageConvTranspose, halvings


@pytest.mark.parametrize(
    ("shape", "times"),
    [
        ((28, 28, 1), 2), ((32, 48, 3), 3), ((8, 8, 1), 1), ((64, 64, 3), 4), ((48, 48, 1), 3),
        ((30, 30, 1), 0), ((28, 30, 1), 0), ((4, 4, 1), 0), ((2, 2, 1), 0), ((7, 7, 1), 0),
    ],
)  # fmt: skip
def test_an_image_is_halved_until_its_shorter_side_is_4_to_7(shape, times):
    assert halvings(shape) == times
    if times:
        assert 4 <= min(shape[:2]) / 2**times <= 7


def both(layer, peer, x, upstream):
    """Output, gradient of the input, gradient of the kernel, of the layer and of Keras' with its weights."""
    found = []
    for each in (layer, peer):
        each.build(x.shape)
        each.kernel.assign(layer.kernel.value)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = each(x)
        found.append((y, *tape.gradient(y, [x, each.kernel.value], output_gradients=upstream)))
    return zip(*found, strict=True)


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (8, 12, 3), (2, 4, 2)])
def test_a_convolution_on_blocks_is_kerass(height, width, channels):
    x = tf.random.stateless_normal((3, height, width, channels), (1, 2))
    upstream = tf.random.stateless_normal((3, height // 2, width // 2, 7), (3, 4))
    peer = keras.layers.Conv2D(7, 5, 2, "same", use_bias=False)
    for ours, theirs in both(ImageConv(7), peer, x, upstream):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (8, 12, 3), (2, 4, 2)])
def test_a_transposed_convolution_on_blocks_is_kerass(height, width, channels):
    x = tf.random.stateless_normal((3, height // 2, width // 2, 7), (5, 6))
    upstream = tf.random.stateless_normal((3, height, width, channels), (7, 8))
    peer = keras.layers.Conv2DTranspose(channels, 5, 2, "same", use_bias=False)
    for ours, theirs in both(ImageConvTranspose(channels), peer, x, upstream):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_layers_are_made_again_from_their_configuration():
    for layer in (ImageConv(4, name="a"), ImageConvTranspose(2, name="b")):
        again = type(layer).from_config(layer.get_config())
        assert (again.filters, again.name, again.strides) == (layer.filters, layer.name, (2, 2))
