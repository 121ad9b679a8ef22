"""Autoencoder: an encoder and a decoder that restore an image. It is kept here to show what it lacks.

Idea: a narrow code between two networks must keep what is needed to draw the image again. Nothing says which
codes there are: there is no prior, no likelihood, and no way to sample.

Objective: minimise E |x - g(f(x))|^2, summed over pixels.

Reference: Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science 313
(2006), 504-507, without its layer-wise pretraining, which today's initialisation makes needless.

Shapes: B rows, H x W x C image, D = H * W * C, d code size.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, final

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.base import Batch, Encodes, GenerativeModel, Restores, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.layers.resampling import halvings
from zoo.noise import Noise

CARD = {
    "title": "Autoencoder",
    "family": "latent variable",
    "likelihood": "none",
    "capabilities": ["encode", "decode", "reconstruct"],
    "paper": "Hinton and Salakhutdinov 2006, Science 313",
    "summary": "restores images from a narrow code; no generative model, and kept to show why",
    "limits": "It is no generative model: it has neither a likelihood nor a prior, and codes that were not "
    "made from images decode to anything. A prior can be supposed with --codes: training knew of none.",
    "default": "glyphs",
}

PRESETS = {
    "tiny": {
        "config": {"encoder_units": [16], "decoder_units": [16], "code_size": 2},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"reconstruction": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "glyphs": {
        "config": {
            "network": "convolutional",
            "encoder_units": [128],
            "decoder_units": [128],
            "code_size": 16,
            "activation": "leaky_relu",
        },
        "dataset": "glyphs",
        "batch_size": 100,
        "epochs": 10,
        "optimizers": {
            "reconstruction": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 1e-5},
            }
        },
        "expect": "reconstruction error 0.0023; networks and length of vae:glyphs; 4.3 min of one core",
    },
    "mnist": {
        "config": {
            "network": "convolutional",
            "encoder_units": [256],
            "decoder_units": [256],
            "code_size": 50,
            "activation": "leaky_relu",
        },
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 20,
        "optimizers": {
            "reconstruction": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 1e-5},
            }
        },
        "expect": "not measured yet; about 10 min on 2 cores",
    },
    "paper": {
        "config": {
            "encoder_units": [1000, 500, 250],
            "decoder_units": [250, 500, 1000],
            "code_size": 30,
            "activation": "sigmoid",
        },
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 50,
        "optimizers": {"reconstruction": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "the paper's layers, 784-1000-500-250-30, trained in one piece; not measured yet",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks.

    Attributes:
        image_shape: (H, W, C); for a convolutional network each side is 4 to 7 times the same power of two.
        code_size: d, the length of the code.
        network: `dense` layers alone, or with strided convolutions between them and the image.
        encoder_units, decoder_units: hidden dense layers.
        width: filters of the convolution next to the image; they double toward the code.
        activation: of the hidden layers: the paper has sigmoids.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_size: int = 30
    network: Literal["dense", "convolutional"] = "dense"
    encoder_units: tuple[int, ...] = (1000, 500, 250)
    decoder_units: tuple[int, ...] = (250, 500, 1000)
    width: int = 16
    activation: Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu"] = "leaky_relu"

    def __post_init__(self) -> None:
        if min(self.code_size, self.width, *self.encoder_units, *self.decoder_units) < 1:
            raise UsageError("code_size, width and all layer sizes must be at least 1.")
        height, width, _ = self.image_shape
        if self.network == "convolutional" and not self.halvings:
            raise UsageError(
                f"a convolutional autoencoder cannot halve {height}x{width} to a small square: "
                "choose a size like 8, 28, 32 or 64 with --image-size, or --set network=dense."
            )

    @property
    def halvings(self) -> int:
        """How often a convolutional encoder halves the image, whose shorter side then is 4 to 7."""
        return halvings(self.image_shape)


def make_encoder(config: Config) -> keras.Model:
    """Image [B, H, W, C] -> code [B, d], which is linear."""
    layers: list[Any] = [keras.Input(config.image_shape)]
    if config.network == "convolutional":
        for index in range(config.halvings):
            filters = config.width * 2**index
            layers.append(keras.layers.Conv2D(filters, 5, 2, "same", activation=config.activation))
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, config.activation) for units in config.encoder_units]
    layers.append(keras.layers.Dense(config.code_size, dtype="float32"))
    return keras.Sequential(layers, name="encoder")


def make_decoder(config: Config) -> keras.Model:
    """Code [B, d] -> image [B, H, W, C] in (0, 1)."""
    layers: list[Any] = [keras.Input((config.code_size,))]
    layers += [keras.layers.Dense(units, config.activation) for units in config.decoder_units]
    height, width, channels = config.image_shape
    if config.network == "dense":
        layers += [
            keras.layers.Dense(math.prod(config.image_shape)),
            keras.layers.Reshape(config.image_shape),
        ]
    else:
        filters = config.width * 2 ** (config.halvings - 1)
        first = (height >> config.halvings, width >> config.halvings, filters)
        layers += [keras.layers.Dense(math.prod(first), config.activation), keras.layers.Reshape(first)]
        for _ in range(config.halvings - 1):
            filters //= 2
            layers.append(keras.layers.Conv2DTranspose(filters, 5, 2, "same", activation=config.activation))
        layers.append(keras.layers.Conv2DTranspose(channels, 5, 2, "same"))
    layers.append(keras.layers.Activation("sigmoid", dtype="float32"))
    return keras.Sequential(layers, name="decoder")


@final
class Autoencoder(GenerativeModel, Encodes, Restores):
    """Two networks that restore images; a code is a point, and has no prior."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.encoder = make_encoder(config)
        self.decoder = make_decoder(config)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        return [Turn("reconstruction", variables, self.objective)]

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        away = batch["image"] - self.decode(self.encoder(batch["image"]))
        loss = tf.reduce_mean(tf.reduce_sum(away**2, (1, 2, 3)))
        return loss, {"squared_error": loss}

    def encode(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        return tfp.distributions.VectorDeterministic(self.encoder(x))

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return self.decoder(code)
