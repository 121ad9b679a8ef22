"""VAE: an encoder and a decoder trained on a lower bound of the likelihood.

Idea: a code z with a standard normal prior explains each image; an encoder proposes z, a decoder gives
p(x|z), and both maximise the evidence lower bound, whose gradient passes through the draw of z.

Objective: ELBO(x) = E_q(z|x) log p(x|z) - KL(q(z|x) || N(0, I)), both terms summed over dimensions. Training
may weigh the second term by beta, or let each unit of the code have some nats for nothing; scores never do.

Reference: Kingma and Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114: equation 10, appendices B
and C; the importance-weighted bound of Burda et al., arXiv 1509.00519, scores it. The paper's networks are
dense; the convolutional ones are ours. beta: Higgins et al., beta-VAE, ICLR 2017, equation 4; as a warm-up
Bowman et al., arXiv 1511.06349, section 3.1. Free bits: Kingma et al., arXiv 1606.04934, equation 15. The
class: Kingma et al., arXiv 1406.5298, equation 2, without its classifier.

Shapes: B rows, H x W x C image, D = H * W * C, P numbers a pixel, d code size, K classes, S draws.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, final

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.annealing import Ramp
from zoo.base import (
    Batch,
    Conditions,
    Decodes,
    Encodes,
    GenerativeModel,
    LikelihoodBound,
    Shared,
    Terms,
    Turn,
)
from zoo.distributions import diagonal, gaussian
from zoo.errors import UsageError
from zoo.latents import Part
from zoo.layers.levels import quantise, to_image
from zoo.layers.pixel_likelihoods import pixel_likelihood
from zoo.layers.resampling import halvings
from zoo.noise import Noise

CARD = {
    "title": "VAE",
    "family": "latent variable",
    "likelihood": "bound",
    "capabilities": [
        "sample",
        "sample_with",
        "score",
        "encode",
        "decode",
        "reconstruct",
        "interpolate",
        "traverse",
    ],
    "paper": "Kingma and Welling 2013, arXiv 1312.6114",
    "summary": "an encoder and a decoder trained on a bound of the likelihood",
    "limits": "With a Bernoulli decoder it knows binary images only: a pixel of half or more is 1. Samples "
    "are the means of p(x|z), not draws, and blurred. Its figures are lower bounds, not to be ranked beside "
    "exact ones.",
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
    "tiny_conditional": {
        "config": {
            "network": "convolutional",
            "encoder_units": [16],
            "decoder_units": [16],
            "code_size": 2,
            "width": 4,
            "likelihood": "logistic",
            "levels": 17,
            "classes": 10,
            "beta": {"start": 0.0, "end": 1.0, "steps": 3},
            "free_bits": 0.05,
        },
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
    "conditional": {
        "config": {
            "network": "convolutional",
            "encoder_units": [128],
            "decoder_units": [128],
            "code_size": 16,
            "activation": "leaky_relu",
            "classes": 10,
        },
        "dataset": "glyphs",
        "batch_size": 100,
        "epochs": 10,
        "optimizers": {
            "elbo": {"name": "adam", "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 1e-5}}
        },
        "expect": "the class asked for with --label, its look with --seed; not measured yet; about 4 min",
    },
    "gray": {
        "config": {
            "network": "convolutional",
            "encoder_units": [128],
            "decoder_units": [128],
            "code_size": 32,
            "activation": "leaky_relu",
            "likelihood": "logistic",
            "beta": {"start": 0.0, "end": 1.0, "steps": 1200},
        },
        "dataset": "glyphs",
        "batch_size": 100,
        "epochs": 10,
        "optimizers": {
            "elbo": {"name": "adam", "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 1e-5}}
        },
        "expect": "a likelihood of all 256 levels; not measured yet; about 5 min on 2 cores",
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
    "paper": {
        "config": {"network": "dense", "encoder_units": [500], "decoder_units": [500], "code_size": 20},
        "dataset": "binarized_mnist",
        "batch_size": 100,
        "epochs": 100,
        "optimizers": {"elbo": {"name": "adagrad", "learning_rate": 0.02}},
        "expect": "the paper's networks, Adagrad and batch; no N(0, 0.01), no weight decay; not measured yet",
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
        likelihood: p(x|z) of a pixel: `bernoulli` of two levels; `categorical`, a probability for each level;
            `logistic`, a discretised one; `gaussian`, a density with a scale of its own for each pixel, of
            levels spread by noise.
        levels: how many a pixel has; by default 2 of a Bernoulli, and 256 of any other.
        classes: 0, or the number of classes K of a class-conditional model.
        beta: weight of the KL in training, as a number or a ramp; from 0 to 1 it is a warm-up.
        free_bits: nats of each unit of the code that training does not charge.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_size: int = 20
    network: Literal["dense", "convolutional"] = "dense"
    encoder_units: tuple[int, ...] = (500,)
    decoder_units: tuple[int, ...] = (500,)
    width: int = 16
    activation: Literal["tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"] = "tanh"
    likelihood: Literal["bernoulli", "gaussian", "categorical", "logistic"] = "bernoulli"
    levels: int | None = None
    classes: int = 0
    beta: Ramp = Ramp(start=1.0, end=1.0)
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        pixel_likelihood(self.likelihood, self.levels)
        if min(self.classes, self.free_bits, self.beta.lowest) < 0:
            raise UsageError("classes, free_bits and beta must be at least 0.")
        if min(self.code_size, self.width, *self.encoder_units, *self.decoder_units) < 1:
            raise UsageError("code_size, width and all layer sizes must be at least 1.")
        height, width, _ = self.image_shape
        if self.network == "convolutional" and not self.halvings:
            raise UsageError(
                f"a convolutional vae cannot halve {height}x{width} to a small square: "
                "choose a size like 8, 28, 32 or 64 with --image-size, or --set network=dense."
            )

    @property
    def halvings(self) -> int:
        """How often a convolutional encoder halves the image, whose shorter side then is 4 to 7."""
        return halvings(self.image_shape)


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
    """Code and one-hot class [B, d + K] -> what p(x|z) is made of, [B, D * P]: of a Bernoulli the logits."""
    layers: list[Any] = [keras.Input((config.code_size + config.classes,))]
    layers += [keras.layers.Dense(units, config.activation) for units in config.decoder_units]
    height, width, channels = config.image_shape
    channels *= pixel_likelihood(config.likelihood, config.levels).parameters
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


def kl_per_unit(mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, scale^2) || N(0, 1)) in nats of each unit, [B, d] (appendix B)."""
    return 0.5 * (mean**2 + scale**2 - 1.0 - 2.0 * tf.math.log(scale))


def kl_to_prior(mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, scale^2) || N(0, I)) in nats, [B], of [B, d] (appendix B)."""
    return tf.reduce_sum(kl_per_unit(mean, scale), -1)


@final
class VAE(GenerativeModel, Decodes, Encodes, Conditions, LikelihoodBound):
    """The variational autoencoder, class-conditional where `classes` is set.

    Of a conditional model the decoder knows the class, and the encoder does not: z tells what else there is
    to an image. It is trained on log p(x | class); its likelihood is that of its sampler, whose decoder is
    the mean over classes, p(x | z) = 1/K sum_y p(x | z, y). Its code is z and the one-hot class, which for a
    given image is the class under which the decoder explains it best.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.encoder = make_encoder(config)
        self.decoder = make_decoder(config)
        self.pixels = pixel_likelihood(config.likelihood, config.levels)
        self.levels = self.pixels.levels

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        return [Turn("elbo", variables, self.objective)]

    def quantise(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> levels int32 [B, D]."""
        return quantise(tf.reshape(image, (-1, self.dimensions)), self.pixels.levels)

    def posterior(self, level: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and scale of q(z|x), [B, d] each, of levels int32 [B, D]."""
        mean, raw_scale = tf.split(self.encoder(to_image(level, self.pixels.levels)), 2, -1)
        law = gaussian(mean, raw_scale)
        return law.loc, law.scale

    def encode(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        level = self.quantise(x)
        mean, scale = self.posterior(level)
        if self.config.classes:
            likeliest = tf.argmax(self.of_each_class(level, mean, self.middle(level)), 0)  # [B]
            label = tf.one_hot(likeliest, self.config.classes)
            mean, scale = tf.concat([mean, label], -1), tf.concat([scale, tf.zeros_like(label)], -1)
        return diagonal(tfp.distributions.Normal(mean, scale))

    # -- the bound -----------------------------------------------------------------------------------------

    def spreading(self, noise: Noise, shape: tuple[int, ...]) -> tf.Tensor | None:
        """Noise [B, *shape] for a decoder that is a density; None for any other."""
        return noise.uniform("spread", shape) if self.pixels.spreads else None

    def middle(self, level: tf.Tensor) -> tf.Tensor | None:
        """In place of such noise: the middle of each level, [B, D]."""
        return tf.fill(tf.shape(level), 0.5) if self.pixels.spreads else None

    def given(self, level: tf.Tensor, code: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """log p(x | z, class) in nats, [B], of levels int32 [B, D] and codes with the class, [B, d + K]."""
        outputs = tf.reshape(self.decoder(code), (-1, self.dimensions, self.pixels.parameters))
        return tf.reduce_sum(self.pixels.log_prob(level, outputs, uniform), -1)

    def of_each_class(self, level: tf.Tensor, code: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """log p(x | z, class) under each class, [K, B], of levels int32 [B, D] and codes [B, d]."""
        return tf.map_fn(
            lambda label: self.given(
                level, self.with_label(code, tf.fill(tf.shape(code)[:1], label)), uniform
            ),
            tf.range(self.config.classes),
            fn_output_signature=tf.TensorSpec([None], tf.float32),
            parallel_iterations=1,
        )

    def log_likelihood(self, level: tf.Tensor, code: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """log p(x | z) in nats, [B], of levels int32 [B, D] and codes [B, d]."""
        if not self.config.classes:
            return self.given(level, code, uniform)
        each = self.of_each_class(level, code, uniform)
        return tf.reduce_logsumexp(each, 0) - math.log(self.config.classes)

    def elbo_terms(self, x: tf.Tensor, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        level = self.quantise(x)
        mean, scale = self.posterior(level)
        code = mean + scale * noise.normal("posterior", (self.config.code_size,))
        uniform = self.spreading(noise, (self.dimensions,))
        return self.log_likelihood(level, code, uniform), kl_to_prior(mean, scale)

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        level = self.quantise(batch["image"])
        mean, scale = self.posterior(level)
        code = mean + scale * noise.normal("posterior", (self.config.code_size,))
        if self.config.classes:
            code = self.with_label(code, batch["label"])
        likelihood = self.given(level, code, self.spreading(noise, (self.dimensions,)))
        reconstruction, divergence = (tf.reduce_mean(each) for each in (likelihood, kl_to_prior(mean, scale)))
        terms = {
            "negative_elbo": divergence - reconstruction,
            "reconstruction": -reconstruction,
            "kl": divergence,
        }
        if self.config.beta == Ramp(1.0, 1.0) and not self.config.free_bits:
            return terms["negative_elbo"], terms
        beta = self.config.beta.at(self.step.value)
        charged = self.charged(kl_per_unit(mean, scale)) if self.config.free_bits else divergence
        loss = beta * charged - reconstruction
        return loss, {**terms, "loss": loss, "beta": beta}

    def charged(self, kl: tf.Tensor) -> tf.Tensor:
        """What training charges for the KL of each unit [B, d]: at least `free_bits` a unit, so that it gains
        nothing by less. A unit's KL is its mean over the global batch.
        """
        context = tf.distribute.get_replica_context()
        mean = tf.reduce_mean(kl, 0)
        if context.num_replicas_in_sync > 1:
            mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
        return tf.reduce_sum(tf.maximum(mean, self.config.free_bits))

    def log_weights(self, x: tf.Tensor, noise: Noise, samples: int) -> tf.Tensor:
        level, size = self.quantise(x), self.config.code_size
        mean, scale = self.posterior(level)
        draws = noise.normal("posterior", (samples, size))  # [B, S, d]
        code = mean[:, None] + scale[:, None] * draws
        log_q = tf.reduce_sum(-0.5 * draws**2 - tf.math.log(scale)[:, None], -1)
        log_prior = tf.reduce_sum(-0.5 * code**2, -1)  # the constants of both Gaussians cancel
        uniform = self.spreading(noise, (samples, self.dimensions))
        if self.pixels.parameters * max(1, self.config.classes) <= 2:  # all draws at once
            repeated = tf.repeat(level, samples, 0)
            uniform = None if uniform is None else tf.reshape(uniform, (-1, self.dimensions))
            found = self.log_likelihood(repeated, tf.reshape(code, (-1, size)), uniform)
            return tf.reshape(found, (-1, samples)) + log_prior - log_q
        in_turn = [tf.transpose(code, (1, 0, 2))]
        in_turn += [] if uniform is None else [tf.transpose(uniform, (1, 0, 2))]
        found = tf.map_fn(
            lambda each: self.log_likelihood(level, each[0], each[1] if len(each) > 1 else None),
            in_turn,
            fn_output_signature=tf.TensorSpec([None], tf.float32),
            parallel_iterations=1,
        )
        return tf.transpose(found) + log_prior - log_q

    # -- samples -------------------------------------------------------------------------------------------

    def draw_code(self, noise: Noise) -> tf.Tensor:
        """z [B, d] from the prior."""
        return noise.normal("code", (self.config.code_size,))

    def with_label(self, code: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """z [B, d] and labels int [B] -> [B, d + K]; an unknown one, -1, is no class."""
        return tf.concat([code, tf.one_hot(label, self.config.classes)], -1)

    def prior(self, noise: Noise) -> tf.Tensor:
        code = self.draw_code(noise)
        if not self.config.classes:
            return code
        return self.with_label(code, tf.cast(noise.uniform("label", ()) * self.config.classes, tf.int32))

    def prior_parts(self) -> tuple[Part, ...]:
        label = (Part("one_hot", self.config.classes),) if self.config.classes else ()
        return (Part("gaussian", self.config.code_size), *label)

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        outputs = tf.reshape(self.decoder(code), (-1, self.dimensions, self.pixels.parameters))
        return tf.reshape(self.pixels.mean(outputs), (-1, *self.config.image_shape))

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"label": tf.TensorSpec([None], tf.int32)} if self.config.classes else {}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.decode(self.with_label(self.draw_code(noise), conditions["label"]))
