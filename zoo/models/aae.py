"""AAE: an autoencoder whose codes are made to look like draws from a prior, by a discriminator of codes.

Idea: an autoencoder learns codes, but nothing says where in their space they lie. A discriminator learns to
tell codes from draws of a prior, and the encoder learns to deceive it: then codes fill the prior, and a draw
of the prior decodes to an image. The prior only has to be drawn from, so that it can have any shape.

Objective, in three turns of a step, as in the paper:

    autoencoder     encoder and decoder minimise  E |x - decode(encode(x))|^2
    discriminator   D minimises                  -E log D(z) - E log(1 - D(encode(x))),   z from the prior
    encoder         the encoder minimises        -E log D(encode(x))

Labels, where `classes` is set: with a mixture or a swiss roll, D is told the class, or that there is none,
and a draw of the prior beside an image of class k comes from part k (section 2.3). With `categories`, the
code has a category q(y|x) too, with a discriminator of its own; then labels are learnt in a fourth turn,
`supervised` (section 5), and without `classes` the categories are clusters (section 6).

Reference: Makhzani et al., Adversarial Autoencoders, arXiv 1511.05644: sections 2, 5 and 6, figure 1. The
encoder is deterministic, the first of the three kinds of section 2. The preset `paper` is that of the paper's
likelihoods. Its rates need its small weights at first: with those of Glorot and Bengio a trial soon diverged.

Shapes: B rows, H x W x C image, D = H * W * C, d units of z, K classes or parts of the prior.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, final

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.base import Batch, Conditions, Decodes, Encodes, GenerativeModel, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.latents import Family, Part
from zoo.losses import class_cross_entropy, discriminator_loss, generator_loss, verdicts
from zoo.noise import Noise

CARD = {
    "title": "Adversarial autoencoder",
    "family": "latent variable",
    "likelihood": "implicit",
    "capabilities": [
        "sample",
        "sample_with",
        "encode",
        "decode",
        "reconstruct",
        "interpolate",
        "traverse",
    ],
    "paper": "Makhzani et al. 2015, arXiv 1511.05644",
    "summary": "an autoencoder whose codes fill a prior of any shape",
    "limits": "Has no likelihood: nothing tells how probable an image is. Codes look like the prior to a "
    "discriminator only, and holes between them decode to blends. Images are means: samples are blurred.",
    "prior": "gaussian",
    "default": "glyphs",
}

PRESETS = {
    "tiny": {
        "config": {
            "encoder_units": [16],
            "decoder_units": [16],
            "discriminator_units": [16],
            "code_size": 2,
        },
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "autoencoder": {"name": "adam", "learning_rate": 1e-3},
            "discriminator": {"name": "adam", "learning_rate": 1e-3},
            "encoder": {"name": "adam", "learning_rate": 1e-3},
        },
        "expect": "nothing: four steps, for tests",
    },
    "tiny_ring": {
        "config": {
            "encoder_units": [16],
            "decoder_units": [16],
            "discriminator_units": [16],
            "code_size": 2,
            "prior": "mixture",
            "classes": 10,
            "labels": 400,
        },
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "autoencoder": {"name": "adam", "learning_rate": 1e-3},
            "discriminator": {"name": "adam", "learning_rate": 1e-3},
            "encoder": {"name": "adam", "learning_rate": 1e-3},
        },
        "expect": "nothing: four steps, for tests",
    },
    "tiny_labels": {
        "config": {
            "encoder_units": [16],
            "decoder_units": [16],
            "discriminator_units": [16],
            "code_size": 3,
            "categories": 10,
            "classes": 10,
            "labels": 50,
        },
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "autoencoder": {"name": "adam", "learning_rate": 1e-3},
            "discriminator": {"name": "adam", "learning_rate": 1e-3},
            "encoder": {"name": "adam", "learning_rate": 1e-3},
            "supervised": {"name": "adam", "learning_rate": 1e-3},
        },
        "expect": "nothing: four steps, for tests",
    },
    "glyphs": {
        "config": {
            "encoder_units": [512, 512],
            "decoder_units": [512, 512],
            "discriminator_units": [512, 512],
            "code_size": 10,
        },
        "dataset": "glyphs",
        "batch_size": 100,
        "epochs": 14,
        "optimizers": {
            "autoencoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
            },
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
            "encoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
        },
        "expect": "blurred digits of all classes; 7 min of one core",
    },
    "ring": {
        "config": {
            "encoder_units": [512, 512],
            "decoder_units": [512, 512],
            "discriminator_units": [512, 512],
            "code_size": 2,
            "prior": "mixture",
            "classes": 10,
        },
        "dataset": "glyphs",
        "batch_size": 100,
        "epochs": 14,
        "optimizers": {
            "autoencoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
            },
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
            "encoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
        },
        "expect": "a map of ten petals, one for each digit; not measured yet",
    },
    "mnist": {
        "config": {
            "encoder_units": [512, 512],
            "decoder_units": [512, 512],
            "discriminator_units": [512, 512],
            "code_size": 2,
            "prior": "mixture",
            "classes": 10,
        },
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 40,
        "optimizers": {
            "autoencoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
            },
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
            "encoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
        },
        "expect": "a map of ten petals, 98.5 % of draws read as their digit; 19 min of one core",
    },
    "semi": {
        "config": {
            "encoder_units": [512, 512],
            "decoder_units": [512, 512],
            "discriminator_units": [512, 512],
            "code_size": 10,
            "categories": 10,
            "classes": 10,
            "labels": 1000,
            "noise": 0.3,
        },
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 40,
        "optimizers": {
            "autoencoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
            },
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
            "encoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
            "supervised": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
            },
        },
        "expect": "4.4 % error with 1,000 labels (1.6 % in the paper after 1,500 epochs); 28 min of one core",
    },
    "clusters": {
        "config": {
            "encoder_units": [512, 512],
            "decoder_units": [512, 512],
            "discriminator_units": [512, 512],
            "code_size": 5,
            "categories": 16,
        },
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 60,
        "optimizers": {
            "autoencoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
            },
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
            "encoder": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-4, "end": 1e-5},
                "beta_1": 0.5,
            },
        },
        "expect": "error of 16 clusters: 9.55 % in the paper; not measured yet",
    },
    "paper": {
        "config": {
            "encoder_units": [1000, 1000],
            "decoder_units": [1000, 1000],
            "discriminator_units": [1000, 1000],
            "code_size": 8,
            "prior_scale": 5.0,
            "initial_scale": 0.01,
        },
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 300,
        "optimizers": {
            "autoencoder": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
            "discriminator": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.1},
            "encoder": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.1},
        },
        "expect": "Parzen window of 10,000 samples: 340 +- 2 nats in the paper; not measured yet",
    },
}

# The priors whose units are independent of each other; a normal one of standard deviation 1.
FAMILIES: dict[str, Family] = {"gaussian": "gaussian", "uniform": "uniform"}
# The ring of Gaussians: how far its petals lie from the middle, and how they spread along and across.
RADIUS, ALONG, ACROSS = 3.0, 0.75, 0.2
# The swiss roll: how far its end lies from the middle, how often it turns, and how thick it is.
END, ROUNDS, THICKNESS = 3.0, 2.0, 0.05


@dataclasses.dataclass(frozen=True)
class Config:
    """The prior, the labels, and the networks.

    Attributes:
        image_shape: (H, W, C).
        code_size: d, the units of z; a mixture and a swiss roll are laid out in pairs of units.
        prior: of z: normal, `uniform` in [-1, 1], a ring of Gaussians (`mixture`), or a `swiss_roll`.
        prior_scale: the standard deviation of the normal prior; 5 where the paper measures likelihoods.
        parts: Gaussians in the ring, where no classes say it.
        categories: 0, or the categories of y, all as likely, beside z.
        classes: 0, or the number of classes K whose labels are used: to say which part of a mixture or of a
            swiss roll an image belongs to, or, with as many categories, what its category is.
        labels: 0: all labels are used; else so many of the training examples keep theirs, as many of each
            class, and all others count as unlabelled.
        encoder_units, decoder_units, discriminator_units: rectified layers.
        initial_scale: the standard deviation of weights at first, which are normal then; 0.01 in the paper.
            None: as Glorot and Bengio have them.
        smoothing: draws of the prior are labelled 1 - smoothing.
        noise: in training the encoder sees images with normal noise of this standard deviation.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_size: int = 8
    prior: Literal["gaussian", "uniform", "mixture", "swiss_roll"] = "gaussian"
    prior_scale: float = 1.0
    parts: int = 10
    categories: int = 0
    classes: int = 0
    labels: int = 0
    encoder_units: tuple[int, ...] = (1000, 1000)
    decoder_units: tuple[int, ...] = (1000, 1000)
    discriminator_units: tuple[int, ...] = (1000, 1000)
    initial_scale: float | None = None
    smoothing: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        units = (*self.encoder_units, *self.decoder_units, *self.discriminator_units)
        if min(self.code_size, self.parts, *units) < 1:
            raise UsageError("code_size, parts and all layer sizes must be at least 1.")
        if min(self.categories, self.classes, self.labels) < 0 or self.categories == 1:
            raise UsageError("categories, classes, labels must not be negative; one category says nothing.")
        if not 0 <= self.smoothing < 1 or self.noise < 0:
            raise UsageError("smoothing must be in [0, 1), and noise must not be negative.")
        if self.initial_scale is not None and self.initial_scale <= 0:
            raise UsageError("initial_scale must be above 0.")
        if self.prior_scale <= 0 or (self.prior_scale != 1 and self.prior != "gaussian"):
            raise UsageError("prior_scale must be above 0, and is of prior=gaussian alone.")
        if self.shaped and self.code_size % 2:
            raise UsageError(f"prior={self.prior} is laid out in pairs of units: code_size must be even.")
        if self.labels and not self.classes:
            raise UsageError("labels says how many are kept: say what for with classes.")
        if self.classes and not self.categories and not self.shaped:
            raise UsageError("classes needs a place in the code: prior=mixture or swiss_roll, or categories.")
        if self.classes and self.categories not in (0, self.classes):
            raise UsageError(f"categories={self.categories} cannot be the {self.classes} classes.")

    @property
    def shaped(self) -> bool:
        """Whether the prior of z has parts."""
        return self.prior in ("mixture", "swiss_roll")

    @property
    def told(self) -> bool:
        """Whether the discriminator of z is told the class."""
        return bool(self.classes) and not self.categories

    @property
    def part_count(self) -> int:
        """How many parts the prior of z has."""
        return self.classes if self.told else self.parts


def draw_part(config: Config, noise: Noise) -> tf.Tensor:
    """A part of a mixture or of a swiss roll, int32 [B]."""
    return tf.cast(noise.uniform("part", ()) * config.part_count, tf.int32)


def place(config: Config, part: tf.Tensor | None, noise: Noise) -> tf.Tensor:
    """z [B, d] from the prior; of a mixture or a swiss roll from a part of it, int32 [B], or from any."""
    if config.prior == "gaussian":
        return config.prior_scale * noise.normal("code", (config.code_size,))
    if config.prior == "uniform":
        return 2.0 * noise.uniform("code", (config.code_size,)) - 1.0
    if part is None:
        part = draw_part(config, noise)
    pairs = config.code_size // 2
    spread = noise.normal("spread", (pairs, 2))  # [B, d/2, 2]
    share = tf.cast(part, tf.float32)[:, None] / config.part_count  # [B, 1]
    if config.prior == "mixture":
        angle = 2.0 * math.pi * share
        x, y = RADIUS + ALONG * spread[..., 0], ACROSS * spread[..., 1]
        points = tf.stack([x * tf.cos(angle) - y * tf.sin(angle), x * tf.sin(angle) + y * tf.cos(angle)], -1)
    else:
        # Distances from the middle grow with the root, so that the roll is as dense everywhere.
        root = tf.sqrt(share + noise.uniform("along", (pairs,)) / config.part_count)  # [B, d/2]
        angle = 2.0 * math.pi * ROUNDS * root
        points = END * root[..., None] * tf.stack([tf.cos(angle), tf.sin(angle)], -1) + THICKNESS * spread
    return tf.reshape(points, (-1, config.code_size))


def perceptron(config: Config, inputs: int, units: Sequence[int], outputs: int, name: str) -> keras.Model:
    """Rectified layers and a linear one: [B, inputs] -> [B, outputs]."""

    def weights() -> Any:
        """A new one for each layer: one alone would give the same numbers to all."""
        scale = config.initial_scale
        return "glorot_uniform" if scale is None else keras.initializers.RandomNormal(0.0, scale)

    layers: list[Any] = [keras.Input((inputs,))]
    layers += [keras.layers.Dense(size, "relu", kernel_initializer=weights()) for size in units]
    layers.append(keras.layers.Dense(outputs, kernel_initializer=weights(), dtype="float32"))
    return keras.Sequential(layers, name=name)


@final
class AAE(GenerativeModel, Decodes, Encodes, Conditions):
    """The adversarial autoencoder. Its code is z, then the probabilities of the categories y, if any."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size, code = math.prod(config.image_shape), config.code_size + config.categories
        self.encoder = perceptron(config, size, config.encoder_units, code, "encoder")
        self.decoder = perceptron(config, code, config.decoder_units, size, "decoder")
        told = config.classes + 1 if config.told else 0  # the last says that there is no label
        inputs = config.code_size + told
        self.discriminator = perceptron(config, inputs, config.discriminator_units, 1, "discriminator")
        if config.categories:
            self.category_discriminator = perceptron(
                config, config.categories, config.discriminator_units, 1, "category_discriminator"
            )

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        encoder, decoder = self.encoder.trainable_variables, self.decoder.trainable_variables
        judges = list(self.discriminator.trainable_variables)
        if self.config.categories:
            judges += self.category_discriminator.trainable_variables
        turns = [
            Turn("autoencoder", [*encoder, *decoder], self.autoencoder_objective),
            Turn("discriminator", judges, self.discriminator_objective),
            Turn("encoder", encoder, self.encoder_objective),
        ]
        if self.config.classes and self.config.categories:
            turns.append(Turn("supervised", encoder, self.supervised_objective))
        return turns

    # -- codes and images ----------------------------------------------------------------------------------

    def read(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Images [B, H, W, C] -> z [B, d], and the logits of y [B, categories]."""
        found = self.encoder(tf.reshape(image, (-1, self.dimensions)))
        return found[:, : self.config.code_size], found[:, self.config.code_size :]

    def code(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] -> z and the probabilities of y [B, d + categories]."""
        z, logits = self.read(image)
        return tf.concat([z, tf.nn.softmax(logits)], -1) if self.config.categories else z

    def encode(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        return tfp.distributions.VectorDeterministic(self.code(x))

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.sigmoid(self.decoder(code)), (-1, *self.config.image_shape))

    def draw_category(self, noise: Noise) -> tf.Tensor:
        """y as one of its categories, [B, categories]."""
        drawn = tf.cast(noise.uniform("category", ()) * self.config.categories, tf.int32)
        return tf.one_hot(drawn, self.config.categories)

    def prior(self, noise: Noise) -> tf.Tensor:
        z = place(self.config, None, noise)
        return tf.concat([z, self.draw_category(noise)], -1) if self.config.categories else z

    def prior_parts(self) -> tuple[Part, ...]:
        category = (Part("one_hot", self.config.categories),) if self.config.categories else ()
        family = FAMILIES.get(self.config.prior, "other") if self.config.prior_scale == 1 else "other"
        return (Part(family, self.config.code_size), *category)

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"label": tf.TensorSpec([None], tf.int32)} if self.config.classes else {}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        label = conditions["label"]
        if self.config.told:
            return self.decode(place(self.config, label, noise))
        z = place(self.config, None, noise)
        return self.decode(tf.concat([z, tf.one_hot(label, self.config.categories)], -1))

    def seen(self, image: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Images as the encoder sees them in training."""
        if not self.config.noise:
            return image
        return image + self.config.noise * noise.normal("image", self.config.image_shape)

    # -- the turns -----------------------------------------------------------------------------------------

    def autoencoder_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        image = batch["image"]
        error = (self.decode(self.code(self.seen(image, noise))) - image) ** 2
        loss = tf.reduce_mean(tf.reduce_sum(error, (1, 2, 3)))
        return loss, {"reconstruction": loss}

    def judge(self, z: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        """Logits [B] that z [B, d] are draws of the prior, of their class where D is told it."""
        if label is not None:
            known = tf.one_hot(tf.where(label >= 0, label, self.config.classes), self.config.classes + 1)
            z = tf.concat([z, known], -1)
        return self.discriminator(z)[:, 0]

    def told_labels(self, batch: Batch) -> tf.Tensor | None:
        """What D is told, int [B], -1 for no label; None where it is told nothing."""
        return batch["label"] if self.config.told else None

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        label = self.told_labels(batch)
        part = None if label is None else tf.where(label >= 0, label, draw_part(self.config, noise))
        z, logits = (tf.stop_gradient(each) for each in self.read(self.seen(batch["image"], noise)))
        real, fake = self.judge(place(self.config, part, noise), label), self.judge(z, label)
        loss = discriminator_loss(real, fake, smoothing=self.config.smoothing)
        terms = {"discriminator_loss": loss, **verdicts(real, fake)}
        if self.config.categories:
            real, fake = (
                self.category_discriminator(each)[:, 0]
                for each in (self.draw_category(noise), tf.nn.softmax(logits))
            )
            terms["category_discriminator_loss"] = discriminator_loss(
                real, fake, smoothing=self.config.smoothing
            )
            loss += terms["category_discriminator_loss"]
        return loss, terms

    def encoder_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        z, logits = self.read(self.seen(batch["image"], noise))
        loss = generator_loss(self.judge(z, self.told_labels(batch)))
        terms = {"encoder_loss": loss}
        if self.config.categories:
            terms["category_encoder_loss"] = generator_loss(
                self.category_discriminator(tf.nn.softmax(logits))[:, 0]
            )
            loss += terms["category_encoder_loss"]
        return loss, terms

    def supervised_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        """Of few labels, a batch of examples that have one stands beside that of all examples."""
        kind = "labelled_" if self.config.labels else ""
        image = batch[f"{kind}image"]
        if self.config.noise:
            image += self.config.noise * noise.normal("labelled", self.config.image_shape)
        loss, right = class_cross_entropy(self.read(image)[1], batch[f"{kind}label"])
        return loss, {"supervised_loss": loss, "supervised_accuracy": right}
