"""InfoGAN: a GAN whose code says what is seen, found without labels.

Idea: besides noise z the generator is given a code c of known parts: a category, a number, a yes or no. A
network Q must read c off the image. What can be read off is not ignored, and the easiest to draw so that it
can be read is what images differ in: the class, the slant, the width.

Objective: min_{G,Q} max_D V(D, G) - lambda L_I(G, Q), where V is the game of the GAN (`zoo.losses`) and
L_I = E log Q(c|G(z, c)) + H(c) <= I(c; G(z, c)) in nats: for a category at most its entropy, log K; for a
number that is read with a standard deviation of 1 at most log 2 - 1/2 log 2 pi = -0.226.

Reference: Chen et al., InfoGAN: Interpretable Representation Learning by Information Maximizing Generative
Adversarial Nets, arXiv 1606.03657: equations 5 and 6, appendix C.1 (the networks for MNIST). Q shares all but
its last layers with D. As in the authors' code the bound is in the objectives of both players, so that Q and
the trunk are trained with D's optimizer alone, and numbers are read with a standard deviation of 1.

Shapes: B rows, H x W x C image, K categories, d code size: the code c, then the noise z.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, final

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.base import Batch, Conditions, Decodes, GenerativeModel, Represents, Shared, Terms, Turn
from zoo.distributions import bernoulli, categorical, gaussian
from zoo.errors import UsageError
from zoo.latents import Part, placed
from zoo.layers.batch_norm import BatchNorm, batches_apart
from zoo.layers.initializers import normal
from zoo.layers.resampling import halvings
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
    "title": "InfoGAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["sample", "sample_with", "encode", "decode", "interpolate", "traverse"],
    "paper": "Chen et al. 2016, arXiv 1606.03657",
    "summary": "a GAN with a code that a part of its discriminator reads off the image",
    "limits": "Has no likelihood, and nothing tells whether it leaves out kinds of images. What a part of "
    "the code comes to mean is found in training: another seed may give another meaning. The noise cannot "
    "be read off an image, so that nothing is reconstructed.",
    "prior": "one_hot",
    "default": "glyphs",
}

PRESETS = {
    "tiny": {
        "config": {
            "width": 4,
            "hidden": 16,
            "q_hidden": 8,
            "noise_size": 4,
            "categorical": [3, 2],
            "continuous": 2,
            "binary": 1,
        },
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "glyphs": {
        "config": {"width": 32, "hidden": 256, "q_hidden": 128},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 3,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "digits, a category of its own for nearly each; 5 min of one core",
    },
    "mnist": {
        "config": {"width": 32, "hidden": 512},
        "dataset": "mnist",
        "batch_size": 64,
        "epochs": 12,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "the category matched with digits: 5 % error in the paper, 23 % here",
    },
    "paper": {
        "config": {},
        "dataset": "mnist",
        "batch_size": 128,
        "steps": 5000,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "expect": "the paper's networks and rates: 5 % error of the category; not measured yet",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The code and the networks.

    Attributes:
        image_shape: (H, W, C); each side is 4 to 7 times the same power of two.
        categorical: how many categories each categorical part of the code has.
        continuous: how many numbers, uniform in [-1, 1].
        binary: how many parts that are 0 or 1, each as likely.
        noise_size: the length of z, uniform in [-1, 1].
        width: filters of the layer next to the image; they double toward the code.
        hidden: units of the fully connected layer behind the code, and of the one before D's output.
        q_hidden: units of Q's own layer.
        information: lambda for categories and binary parts.
        continuous_information: lambda for numbers.
        spread: the standard deviation with which Q reads numbers: 1, as in the authors' code, or `learned`,
            as in the paper. With 1 the bound of a number is log 2 - 1/2 log 2 pi - (c - mean)^2 / 2, at most
            -0.226 nats, so that the logged `continuous_information` is always below 0: see
            `continuous_error`. With `learned` it is at most 6.68, that of the smallest spread, 0.001, and
            lambda may have to be smaller.
        smoothing: real examples are labelled 1 - smoothing.
        loss: what the players minimise: `zoo.losses`. With wgan_gp D has no BatchNorm.
        penalty: the weight of the gradient penalty of wgan_gp.
        critic_steps: D moves so often for one move of G.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    categorical: tuple[int, ...] = (10,)
    continuous: int = 2
    binary: int = 0
    noise_size: int = 62
    width: int = 64
    hidden: int = 1024
    q_hidden: int = 128
    information: float = 1.0
    continuous_information: float = 1.0
    spread: Literal["one", "learned"] = "one"
    smoothing: float = 0.0
    loss: Adversarial = "non_saturating"
    penalty: float = 10.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if min(self.noise_size, self.width, self.hidden, self.q_hidden) < 1:
            raise UsageError("noise_size, width, hidden and q_hidden must be at least 1.")
        if min(self.continuous, self.binary) < 0 or any(count < 2 for count in self.categorical):
            raise UsageError("a categorical part has at least 2 categories; other counts are not negative.")
        if not self.code_parts():
            raise UsageError("infogan needs a code: set categorical, continuous or binary.")
        if min(self.information, self.continuous_information) < 0:
            raise UsageError("information and continuous_information must not be negative.")
        check_adversarial(self.loss, self.smoothing, self.penalty, self.critic_steps)
        height, width, _ = self.image_shape
        if not self.doublings:
            raise UsageError(
                f"infogan cannot draw {height}x{width}: it doubles a small square, as for 28, 32, 48 or 64. "
                "Choose such a size with --image-size."
            )

    @property
    def doublings(self) -> int:
        """How often the generator doubles its first map, whose shorter side is 4 to 7."""
        return halvings(self.image_shape)

    def code_parts(self) -> tuple[Part, ...]:
        """The parts of c, in order: each category, then the numbers, then the binary parts."""
        numbers = [Part("uniform", self.continuous)] if self.continuous else []
        binary = [Part("binary", self.binary)] if self.binary else []
        return (*(Part("one_hot", count) for count in self.categorical), *numbers, *binary)

    @property
    def code_size(self) -> int:
        """The units of c."""
        return sum(part.size for part in self.code_parts())


def batch_norm() -> keras.layers.Layer:
    """Over all replicas, its statistics means over many batches."""
    return BatchNorm(momentum=0.99, epsilon=1e-5, gamma_initializer=normal(mean=1.0))


def make_generator(config: Config) -> keras.Model:
    """Code and noise [B, d] -> image [B, H, W, C] in [0, 1]."""
    height, width, channels = config.image_shape
    filters = config.width * 2 ** (config.doublings - 1)
    first = (height >> config.doublings, width >> config.doublings, filters)
    layers: list[Any] = [keras.Input((config.code_size + config.noise_size,))]
    for units in (config.hidden, math.prod(first)):
        layers += [
            keras.layers.Dense(units, use_bias=False, kernel_initializer=normal()),
            batch_norm(),
            keras.layers.ReLU(),
        ]
    layers.append(keras.layers.Reshape(first))
    for _ in range(config.doublings - 1):
        filters //= 2
        layers += [
            keras.layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=normal()),
            batch_norm(),
            keras.layers.ReLU(),
        ]
    layers += [
        keras.layers.Conv2DTranspose(channels, 4, 2, "same", kernel_initializer=normal()),
        keras.layers.Activation("sigmoid", dtype="float32"),
    ]
    return keras.Sequential(layers, name="generator")


def normalised(config: Config, layer: type[keras.layers.Layer], *arguments: Any) -> list[keras.layers.Layer]:
    """A layer of D or Q with its normalisation and its activation."""
    plain = config.loss == "wgan_gp"  # normalisation has a shift of its own; without it layers need one
    made = layer(*arguments, use_bias=plain, kernel_initializer=normal())
    return [made, *([] if plain else [batch_norm()]), keras.layers.LeakyReLU(0.1)]


def make_trunk(config: Config) -> keras.Model:
    """Image [B, H, W, C] -> what D and Q share [B, hidden]; the first layer has no normalisation."""
    layers: list[Any] = [
        keras.Input(config.image_shape),
        keras.layers.Conv2D(config.width, 4, 2, "same", kernel_initializer=normal()),
        keras.layers.LeakyReLU(0.1),
    ]
    for index in range(1, config.doublings):
        layers += normalised(config, keras.layers.Conv2D, config.width * 2**index, 4, 2, "same")
    layers += [keras.layers.Flatten(), *normalised(config, keras.layers.Dense, config.hidden)]
    return keras.Sequential(layers, name="trunk")


def make_reader(config: Config) -> keras.Model:
    """What D and Q share [B, hidden] -> Q's statistics of c [B, units of c, and a raw scale a number]."""
    scales = config.continuous if config.spread == "learned" else 0
    layers = [
        keras.Input((config.hidden,)),
        *normalised(config, keras.layers.Dense, config.q_hidden),
        keras.layers.Dense(config.code_size + scales, kernel_initializer=normal(), dtype="float32"),
    ]
    return keras.Sequential(layers, name="reader")


@final
class InfoGAN(GenerativeModel, Decodes, Conditions, Represents):
    """The information-maximising GAN.

    `represent` gives what Q reads off an image: of each category its probability, of numbers the mean, of
    binary parts the probability of 1.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = make_generator(config)
        self.trunk = make_trunk(config)
        self.judge = keras.layers.Dense(1, kernel_initializer=normal(), dtype="float32", name="judge")
        self.judge.build((None, config.hidden))
        self.reader = make_reader(config)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        networks = (self.trunk, self.judge, self.reader)
        return [
            Turn(
                "discriminator",
                [variable for network in networks for variable in network.trainable_variables],
                self.discriminator_objective,
            ),
            Turn(
                "generator",
                self.generator.trainable_variables,
                self.generator_objective,
                through_shared=True,
                every=self.config.critic_steps,
            ),
        ]

    # -- the code ------------------------------------------------------------------------------------------

    def prior(self, noise: Noise) -> tf.Tensor:
        drawn = []
        for index, part in enumerate(self.config.code_parts()):
            if part.family == "one_hot":
                chosen = tf.cast(noise.uniform(f"category/{index}", ()) * part.size, tf.int32)
                drawn.append(tf.one_hot(chosen, part.size))
            elif part.family == "binary":
                drawn.append(tf.cast(noise.uniform("binary", (part.size,)) < 0.5, tf.float32))
            else:
                drawn.append(2.0 * noise.uniform("continuous", (part.size,)) - 1.0)
        drawn.append(2.0 * noise.uniform("noise", (self.config.noise_size,)) - 1.0)
        return tf.concat(drawn, -1)

    def prior_parts(self) -> tuple[Part, ...]:
        return (*self.config.code_parts(), Part("uniform", self.config.noise_size))

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return self.generator(code, training=False)

    def conditions(self) -> dict[str, tf.TensorSpec]:
        """`code`: one value for each category (its number), each number, and each binary part."""
        single = self.config.continuous + self.config.binary
        return {"code": tf.TensorSpec([None, len(self.config.categorical) + single], tf.float32)}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        """Images whose code is what is asked for; a part that is NaN is left to the seed."""
        wanted = conditions["code"]
        count = len(self.config.categorical)
        of_categories = [
            # A category is asked for with all its units at once.
            tf.where(
                tf.math.is_nan(wanted[:, index, None]),
                wanted[:, index, None],
                tf.one_hot(tf.cast(tf.where(tf.math.is_nan(wanted), 0.0, wanted)[:, index], tf.int32), size),
            )
            for index, size in enumerate(self.config.categorical)
        ]
        units = tf.concat([*of_categories, wanted[:, count:]], -1)  # [B, units of c]
        drawn = self.prior(noise)
        code, rest = drawn[:, : self.config.code_size], drawn[:, self.config.code_size :]
        return self.decode(tf.concat([tf.where(tf.math.is_nan(units), code, units), rest], -1))

    # -- the game ------------------------------------------------------------------------------------------

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        code = self.prior(noise)
        return {"fake": self.generator(code, training=True), "code": code[:, : self.config.code_size]}

    def measure_statistics(self, batch: Batch, noise: Noise) -> None:
        self.shared(batch, noise)
        self.reader(self.trunk(batch["image"], training=True), training=True)  # as images are read

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        config, image, fake = self.config, batch["image"], shared["fake"]
        hidden = batches_apart(self.trunk, image, fake)  # of real images, and of generated ones
        real, made = (self.judge(each)[:, 0] for each in hidden)
        loss = discriminator_loss(real, made, config.loss, config.smoothing)
        terms = {
            "discriminator_adversarial_loss": loss,
            **verdicts(real, made, config.loss, config.smoothing),
        }
        if config.loss == "wgan_gp":
            terms["gradient_penalty"] = gradient_penalty(
                lambda between: self.judge(self.trunk(between, training=True))[:, 0],
                image,
                fake,
                noise.uniform("share", ()),
                config.penalty,
            )
            loss += terms["gradient_penalty"]
        gained, bounds = self.information(shared["code"], self.reader(hidden[1], training=True))
        loss -= gained
        return loss, {"discriminator_loss": loss, **terms, **bounds}

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        (hidden,) = batches_apart(self.trunk, shared["fake"])
        loss = generator_loss(self.judge(hidden)[:, 0], self.config.loss)
        gained, _ = self.information(shared["code"], self.reader(hidden, training=True))
        total = loss - gained
        return total, {"generator_loss": total, "generator_adversarial_loss": loss}

    def information(self, code: tf.Tensor, read: tf.Tensor) -> tuple[tf.Tensor, Terms]:
        """lambda L_I, and L_I of each kind of part (equation 5), in nats, means over the batch.

        With the terms comes `continuous_error`, the mean of (c - mean)^2: 1/3 where numbers are guessed.

        Args:
            code: c, [B, units of c].
            read: Q's statistics, as `make_reader` gives them.
        """
        code = tf.stop_gradient(code)  # drawn, not made
        terms: Terms = {}
        errors: Terms = {}
        for part, units in placed(self.config.code_parts()):
            truth, found = code[:, units], read[:, units]
            if part.family == "one_hot":
                name, entropy = "categorical", math.log(part.size)
                log_q = categorical(found).log_prob(tf.argmax(truth, -1, tf.int32))
            elif part.family == "binary":
                name, entropy = "binary", part.size * math.log(2.0)
                log_q = tf.reduce_sum(bernoulli(found).log_prob(truth), -1)
            else:
                name, entropy = "continuous", part.size * math.log(2.0)
                log_q = tf.reduce_sum(self.density(read, found).log_prob(truth), -1)
                errors["continuous_error"] = tf.reduce_mean((truth - found) ** 2)
            name = f"{name}_information"
            terms[name] = terms.get(name, 0.0) + tf.reduce_mean(log_q) + entropy
        weight = {"continuous_information": self.config.continuous_information}
        weights = {name: weight.get(name, self.config.information) for name in terms}
        return tf.add_n([weights[name] * value for name, value in terms.items()]), {**terms, **errors}

    def density(self, read: tf.Tensor, mean: tf.Tensor) -> tfp.distributions.Distribution:
        """Q of the numbers: normal, [B, numbers]."""
        if self.config.spread == "learned":
            return gaussian(mean, read[:, self.config.code_size :])
        return tfp.distributions.Normal(mean, 1.0)

    # -- reading an image ----------------------------------------------------------------------------------

    def represent(self, x: tf.Tensor) -> tf.Tensor:
        read = self.reader(self.trunk(x, training=False), training=False)
        said = {"one_hot": tf.nn.softmax, "binary": tf.sigmoid, "uniform": tf.identity}
        return tf.concat(
            [said[part.family](read[:, units]) for part, units in placed(self.config.code_parts())], -1
        )

    def representation_parts(self) -> tuple[Part, ...]:
        return self.config.code_parts()
