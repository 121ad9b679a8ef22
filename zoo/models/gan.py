"""GAN: two multilayer perceptrons that play against one another.

Idea: a generator G turns noise z into images; a discriminator D tells them from real ones. G learns from what
D would need to see. No likelihood is ever computed: the model is implicit, it can only be sampled.

Objective: D maximises E log D(x) + E log(1 - D(G(z))); G maximises E log D(G(z)), the non-saturating form.
Other losses are an option (`zoo.losses`).

Reference: Goodfellow et al., Generative Adversarial Networks, arXiv 1406.2661: equation 1 and algorithm 1;
the layer sizes of its MNIST experiment (maxout discriminator with dropout, rectifier generator). The preset
`paper` has the rates of the authors' code. Its D minimises half of what ours does, so that ours has half the
rate; both rates fall by 1/1.000004 an update, for 250 epochs of 550. The momentum, which rises there from 0.5
to 0.7 in the 250 epochs, is fixed at 0.7 here.

Shapes: B rows, H x W x C image, D = H * W * C, d code size.
"""

from __future__ import annotations

import dataclasses
import math
from typing import final

import keras
import tensorflow as tf

from zoo.base import Batch, Decodes, GenerativeModel, Represents, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.latents import Part
from zoo.layers.dropout import dropout
from zoo.layers.initializers import uniform
from zoo.layers.maxout import Maxout
from zoo.losses import (
    Adversarial,
    check_adversarial,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    verdicts,
)
from zoo.noise import Noise

CARD = {
    "title": "GAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["sample", "encode", "decode", "interpolate", "traverse"],
    "paper": "Goodfellow et al. 2014, arXiv 1406.2661",
    "summary": "a generator and a discriminator of fully connected layers",
    "limits": "Has no likelihood, and nothing tells whether it leaves out kinds of images. What it encodes "
    "are features of its discriminator, and no code to decode. Fully connected layers know nothing of "
    "neighbouring pixels: samples are noisy, and small.",
    "prior": "uniform",
    "default": "glyphs",
}

PRESETS = {
    "tiny": {
        "config": {"generator_units": [16], "discriminator_units": [8], "code_size": 4},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "discriminator": {"name": "sgd", "learning_rate": 0.05},
            "generator": {"name": "sgd", "learning_rate": 0.05},
        },
        "averages": {"generator": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "glyphs": {
        "config": {
            "generator_units": [256, 512],
            "discriminator_units": [128, 128],
            "code_size": 64,
            "smoothing": 0.1,
        },
        "dataset": "glyphs",
        "batch_size": 128,
        "epochs": 20,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.999},
        "expect": "90 % of samples read by a classifier, 53 % by a strict one; 12 min of one core",
    },
    "paper": {
        "config": {},
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 250,
        "optimizers": {
            "discriminator": {
                "name": "sgd",
                "learning_rate": {
                    "schedule": "exponential",
                    "start": 0.05,
                    "end": 0.02884752,
                    "steps": 137_500,
                },
                "momentum": 0.7,
            },
            "generator": {
                "name": "sgd",
                "learning_rate": {
                    "schedule": "exponential",
                    "start": 0.1,
                    "end": 0.05769505,
                    "steps": 137_500,
                },
                "momentum": 0.7,
            },
        },
        "expect": "Parzen window 225 +- 2 nats in the paper; not measured yet",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks.

    Attributes:
        image_shape: (H, W, C).
        code_size: d, the length of z, uniform in [-1, 1].
        generator_units: rectified layers of G.
        discriminator_units: maxout layers of D.
        pieces: linear functions a maxout unit.
        keep_input, keep_hidden: the share of values that dropout keeps in D.
        smoothing: real examples are labelled 1 - smoothing.
        loss: what the players minimise: `zoo.losses`.
        penalty: the weight of the gradient penalty of wgan_gp.
        critic_steps: D moves so often for one move of G; 5 in the paper of wgan_gp.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_size: int = 100
    generator_units: tuple[int, ...] = (1200, 1200)
    discriminator_units: tuple[int, ...] = (240, 240)
    pieces: int = 5
    keep_input: float = 0.8
    keep_hidden: float = 0.5
    smoothing: float = 0.0
    loss: Adversarial = "non_saturating"
    penalty: float = 10.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if min(self.code_size, self.pieces, *self.generator_units, *self.discriminator_units) < 1:
            raise UsageError("code_size, pieces and all layer sizes must be at least 1.")
        if not (0 < self.keep_input <= 1 and 0 < self.keep_hidden <= 1):
            raise UsageError("keep_input and keep_hidden must be in (0, 1].")
        check_adversarial(self.loss, self.smoothing, self.penalty, self.critic_steps)


@final
class GAN(GenerativeModel, Decodes, Represents):
    """The fully connected GAN. `represent` gives the hidden layers of its discriminator, without dropout."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size = math.prod(config.image_shape)
        self.generator_output = keras.layers.Dense(
            size, "sigmoid", kernel_initializer=uniform(0.05), dtype="float32"
        )
        self.generator = keras.Sequential(
            [
                keras.Input((config.code_size,)),
                *(
                    keras.layers.Dense(units, "relu", kernel_initializer=uniform(0.05))
                    for units in config.generator_units
                ),
                self.generator_output,
                keras.layers.Reshape(config.image_shape),
            ],
            name="generator",
        )
        self.maxouts = [Maxout(units, config.pieces, uniform(0.005)) for units in config.discriminator_units]
        self.discriminator_output = keras.layers.Dense(1, kernel_initializer=uniform(0.005), dtype="float32")
        width = size
        for layer in self.maxouts:
            layer.build((None, width))
            width = layer.units
        self.discriminator_output.build((None, width))

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def begin(self, batch: Batch) -> None:
        """The generator starts at the data's brightness, pixel by pixel, as in the authors' code."""
        mean = tf.clip_by_value(tf.reduce_mean(batch["image"], 0), 0.01, 0.99)
        self.generator_output.bias.assign(tf.reshape(tf.math.log(mean / (1.0 - mean)), (-1,)))

    def discriminate(self, image: tf.Tensor, noise: Noise | None = None, purpose: str = "") -> tf.Tensor:
        """Logits [B] that images [B, H, W, C] are real; with dropout where there is noise."""
        x = tf.reshape(image, (-1, self.dimensions))
        keep = self.config.keep_input
        for index, layer in enumerate(self.maxouts):
            x = layer(dropout(x, keep, noise, f"{purpose}/{index}"))
            keep = self.config.keep_hidden
        return self.discriminator_output(dropout(x, keep, noise, f"{purpose}/last"))[:, 0]

    def turns(self) -> list[Turn]:
        layers = [*self.maxouts, self.discriminator_output]
        discriminator = [variable for layer in layers for variable in layer.trainable_variables]
        return [
            Turn("discriminator", discriminator, self.discriminator_objective),
            Turn(
                "generator",
                self.generator.trainable_variables,
                self.generator_objective,
                through_shared=True,
                every=self.config.critic_steps,
            ),
        ]

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        return {"fake": self.generator(self.prior(noise), training=True)}

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        real = self.discriminate(batch["image"], noise, "real")
        fake = self.discriminate(shared["fake"], noise, "fake")
        kind, smoothing = self.config.loss, self.config.smoothing
        loss = discriminator_loss(real, fake, kind, smoothing)
        terms = verdicts(real, fake, kind, smoothing)
        if kind == "wgan_gp":
            terms["gradient_penalty"] = gradient_penalty(
                lambda image: self.discriminate(image, noise, "between"),
                batch["image"],
                shared["fake"],
                noise.uniform("share", ()),
                self.config.penalty,
            )
            loss += terms["gradient_penalty"]
        return loss, {"discriminator_loss": loss, **terms}

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        loss = generator_loss(self.discriminate(shared["fake"], noise, "generator"), self.config.loss)
        return loss, {"generator_loss": loss}

    def prior(self, noise: Noise) -> tf.Tensor:
        return 2.0 * noise.uniform("code", (self.config.code_size,)) - 1.0

    def prior_parts(self) -> tuple[Part, ...]:
        return (Part("uniform", self.config.code_size),)

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return self.generator(code, training=False)

    def represent(self, x: tf.Tensor) -> tf.Tensor:
        x, features = tf.reshape(x, (-1, self.dimensions)), []
        for layer in self.maxouts:
            x = layer(x)
            features.append(x)
        return tf.cast(tf.concat(features, -1), tf.float32)

    def representation_parts(self) -> tuple[Part, ...]:
        return (Part("other", sum(self.config.discriminator_units)),)
