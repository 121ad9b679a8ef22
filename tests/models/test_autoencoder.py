"""The autoencoder: what it learns is the best plane, and what it cannot do it does not claim."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.base import Decodes, ExactLikelihood, LikelihoodBound, Samples, configure
from zoo.errors import UsageError
from zoo.models.autoencoder import Autoencoder, Config
from zoo.noise import StepNoise


def autoencoder(**values) -> Autoencoder:
    config = {"image_shape": [2, 3, 1], "code_size": 2, "encoder_units": [5], "decoder_units": [5], **values}
    return Autoencoder(configure(Config, config))


def test_it_is_no_generative_model():
    assert not issubclass(Autoencoder, Samples | Decodes | ExactLikelihood | LikelihoodBound)


def test_the_loss_is_the_squared_error_summed_over_pixels_and_averaged_over_rows():
    model = autoencoder()
    x = np.random.default_rng(0).random((7, 2, 3, 1)).astype(np.float32)
    loss, terms = model.objective({"image": x}, {}, StepNoise(0, 0, 7))
    again = model.decode(model.encode(x).mean()).numpy()
    np.testing.assert_allclose(loss, np.sum((x - again) ** 2) / 7, rtol=1e-6)
    assert terms["squared_error"] == loss


def test_it_finds_the_plane_that_images_lie_on():
    """Images on a line need one number each: with it they are restored, and the mean image is not enough."""
    keras.utils.set_random_seed(0)
    model = autoencoder(code_size=1, encoder_units=[], decoder_units=[])
    chance = np.random.default_rng(1)
    logit = chance.standard_normal((64, 1)) * np.float32([1.5, -1.0, 0.5, 2.0, 0.0, -2.0])
    x = (1.0 / (1.0 + np.exp(-logit))).astype(np.float32).reshape(64, 2, 3, 1)
    model.compile({"reconstruction": keras.optimizers.Adam(3e-2)})
    data = tf.data.Dataset.from_tensors({"image": x}).repeat(300)
    model.fit(data, shuffle=False, verbose=0)
    again = model.decode(model.encode(x).mean()).numpy()
    spread = np.mean((x - x.mean(0)) ** 2)
    assert np.mean((x - again) ** 2) < 0.05 * spread


def test_a_code_is_a_point():
    posterior = autoencoder().encode(np.zeros((3, 2, 3, 1), np.float32))
    assert posterior.mean().shape == (3, 2)
    np.testing.assert_array_equal(posterior.stddev(), 0.0)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 64, 3)])
def test_convolutional_networks_fit_the_image(shape):
    model = autoencoder(image_shape=shape, network="convolutional", width=2, code_size=3)
    x = np.zeros((2, *shape), np.float32)
    image = model.decode(model.encode(x).mean()).numpy()
    assert image.shape == (2, *shape)
    assert 0.0 < image.min() <= image.max() < 1.0


def test_options_are_checked():
    with pytest.raises(UsageError, match="at least 1"):
        configure(Config, {"code_size": 0})
    with pytest.raises(UsageError, match=r"cannot halve 30x30.*network=dense"):
        configure(Config, {"image_shape": [30, 30, 1], "network": "convolutional"})
