"""VAE: an encoder and a decoder trained on a lower bound of the likelihood.

Idea: a code z with a standard normal prior explains each image; an encoder proposes z, a decoder gives
p(x|z), and both maximise the evidence lower bound, whose gradient passes through the draw of z.

Objective: ELBO(x) = E_q(z|x) log p(x|z) - KL(q(z|x) || N(0, I)), both terms summed over dimensions.

Reference: Kingma and Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114: equation 10, appendices B
and C; the importance-weighted bound of Burda et al., arXiv 1509.00519, scores it. The paper's networks are
dense; the convolutional ones are ours.

Shapes: B rows, H x W x C image, D = H * W * C, d code size, S draws.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, final

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.base import Batch, Decodes, Encodes, GenerativeModel, LikelihoodBound, Shared, Terms, Turn
from zoo.distributions import bernoulli, diagonal, gaussian
from zoo.errors import UsageError
from zoo.latents import Part
from zoo.noise import Noise

CARD = {
    "title": "VAE",
    "family": "latent variable",
    "likelihood": "bound",
    "capabilities": ["sample", "score", "encode", "decode", "reconstruct", "interpolate", "traverse"],
    "paper": "Kingma and Welling 2013, arXiv 1312.6114",
    "summary": "an encoder and a decoder trained on a bound of the likelihood",
    "limits": "Knows binary images only: a pixel of half or more is 1; its samples are probabilities, not "
    "draws. Its figures are lower bounds, not to be ranked beside exact ones. Samples are blurred.",
    "prior": "gaussian",
    "default": "glyphs",
}

PRESETS = {
    "tiny": {
        "config": {"encoder_units": [16], "decoder_units": [16], "code_size": 2},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"elbo": {"name": "adam", "learning_rate": 1e-3}},
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
            "elbo": {"name": "adam", "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 1e-5}}
        },
        "expect": "test ELBO -61.4 nats, bound -57.2 (50 samples); 4 min on 2 cores",
    },
    "mnist": {
        "config": {
            "network": "convolutional",
            "encoder_units": [256],
            "decoder_units": [256],
            "code_size": 50,
            "activation": "leaky_relu",
        },
        "dataset": "binarized_mnist",
        "batch_size": 100,
        "epochs": 20,
        "optimizers": {
            "elbo": {"name": "adam", "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 1e-5}}
        },
        "expect": "test bound -88.1 nats (500 samples), ELBO -92.7; 10 min on 2 cores",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks.

    Attributes:
        image_shape: (H, W, C); for a convolutional network each side is 4 to 7 times the same power of two.
        code_size: d, the length of z.
        network: the paper's `dense` layers alone, or with strided convolutions between them and the image.
        encoder_units, decoder_units: hidden dense layers.
        width: filters of the convolution next to the image; they double toward the code.
        activation: of the hidden layers: the paper has tanh.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_size: int = 20
    network: Literal["dense", "convolutional"] = "dense"
    encoder_units: tuple[int, ...] = (500,)
    decoder_units: tuple[int, ...] = (500,)
    width: int = 16
    activation: Literal["tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"] = "tanh"

    def __post_init__(self) -> None:
        if min(self.code_size, self.width, *self.encoder_units, *self.decoder_units) < 1:
            raise UsageError("code_size, width and all layer sizes must be at least 1.")
        height, width, _ = self.image_shape
        side = 2**self.halvings
        if self.network == "convolutional" and (self.halvings < 1 or height % side or width % side):
            raise UsageError(
                f"a convolutional vae cannot halve {height}x{width} to a small square: "
                "choose a size like 8, 28, 32 or 64 with --image-size, or --set network=dense."
            )

    @property
    def halvings(self) -> int:
        """How often a convolutional encoder halves the image, whose shorter side then is 4 to 7."""
        return (min(self.image_shape[:2]) // 4).bit_length() - 1


def make_encoder(config: Config) -> keras.Model:
    """Image [B, D] -> mean and raw scale of the code [B, 2 d]."""
    layers: list[Any] = [keras.Input((math.prod(config.image_shape),))]
    if config.network == "convolutional":
        layers.append(keras.layers.Reshape(config.image_shape))
        for index in range(config.halvings):
            filters = config.width * 2**index
            layers.append(keras.layers.Conv2D(filters, 5, 2, "same", activation=config.activation))
        layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, config.activation) for units in config.encoder_units]
    layers.append(keras.layers.Dense(2 * config.code_size, dtype="float32"))
    return keras.Sequential(layers, name="encoder")


def make_decoder(config: Config) -> keras.Model:
    """Code [B, d] -> logits [B, D]."""
    layers: list[Any] = [keras.Input((config.code_size,))]
    layers += [keras.layers.Dense(units, config.activation) for units in config.decoder_units]
    height, width, channels = config.image_shape
    if config.network == "dense":
        layers.append(keras.layers.Dense(height * width * channels, dtype="float32"))
        return keras.Sequential(layers, name="decoder")
    filters = config.width * 2 ** (config.halvings - 1)
    first = (height >> config.halvings, width >> config.halvings, filters)
    layers += [keras.layers.Dense(math.prod(first), config.activation), keras.layers.Reshape(first)]
    for _ in range(config.halvings - 1):
        filters //= 2
        layers.append(keras.layers.Conv2DTranspose(filters, 5, 2, "same", activation=config.activation))
    layers += [
        keras.layers.Conv2DTranspose(channels, 5, 2, "same", dtype="float32"),
        keras.layers.Flatten(),
    ]
    return keras.Sequential(layers, name="decoder")


def kl_to_prior(mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, scale^2) || N(0, I)) in nats, [B], of [B, d] (appendix B)."""
    return 0.5 * tf.reduce_sum(mean**2 + scale**2 - 1.0 - 2.0 * tf.math.log(scale), -1)


@final
class VAE(GenerativeModel, Decodes, Encodes, LikelihoodBound):
    """The variational autoencoder with a Bernoulli decoder: a pixel of half or more is 1."""

    levels = 2

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.encoder = make_encoder(config)
        self.decoder = make_decoder(config)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        return [Turn("elbo", variables, self.objective)]

    def quantise(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> 0. or 1., [B, D]."""
        return tf.cast(tf.reshape(image, (-1, self.dimensions)) >= 0.5, tf.float32)

    def encode(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        mean, raw_scale = tf.split(self.encoder(self.quantise(x)), 2, -1)
        return diagonal(gaussian(mean, raw_scale))

    def terms(self, x: tf.Tensor, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        """log p(x|z) for one draw of z, and KL(q || prior) in closed form (appendix B); nats, each [B]."""
        posterior = self.encode(x)
        mean, scale = posterior.mean(), posterior.stddev()
        code = mean + scale * noise.normal("posterior", (self.config.code_size,))
        reconstruction = diagonal(bernoulli(self.decoder(code))).log_prob(self.quantise(x))
        return reconstruction, kl_to_prior(mean, scale)

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        reconstruction, divergence = (tf.reduce_mean(term) for term in self.terms(batch["image"], noise))
        loss = divergence - reconstruction
        return loss, {"negative_elbo": loss, "reconstruction": -reconstruction, "kl": divergence}

    def elbo(self, x: tf.Tensor, noise: Noise) -> tf.Tensor:
        reconstruction, divergence = self.terms(x, noise)
        return reconstruction - divergence

    def log_weights(self, x: tf.Tensor, noise: Noise, samples: int) -> tf.Tensor:
        posterior = self.encode(x)
        draws = noise.normal("posterior", (samples, self.config.code_size))  # [B, S, d]
        code = posterior.mean()[:, None] + posterior.stddev()[:, None] * draws
        log_q = tf.reduce_sum(-0.5 * draws**2 - tf.math.log(posterior.stddev())[:, None], -1)
        log_prior = tf.reduce_sum(-0.5 * code**2, -1)  # the constants of both Gaussians cancel
        logits = tf.reshape(
            self.decoder(tf.reshape(code, (-1, self.config.code_size))), (-1, samples, self.dimensions)
        )
        return diagonal(bernoulli(logits)).log_prob(self.quantise(x)[:, None]) + log_prior - log_q

    def prior(self, noise: Noise) -> tf.Tensor:
        return noise.normal("code", (self.config.code_size,))

    def prior_parts(self) -> tuple[Part, ...]:
        return (Part("gaussian", self.config.code_size),)

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.sigmoid(self.decoder(code)), (-1, *self.config.image_shape))
