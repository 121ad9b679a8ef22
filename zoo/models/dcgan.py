"""DCGAN: the GAN with convolutions that trains.

Idea: replace pooling by strides, drop hidden fully connected layers, and normalise the activations of both
players over the batch; then the two-player game is stable enough to draw images.

Objective: as in the GAN: D minimises -E log D(x) - E log(1 - D(G(z))); G minimises -E log D(G(z)). Other
losses are an option (`zoo.losses`).

Reference: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, arXiv 1511.06434: section 3, figure 1, section 4 (details of training). The paper's code
uses 5x5 kernels and no biases, and its discriminator mirrors the generator.

Shapes: B rows, H x W x C image, d code size, K classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any, final

import keras
import tensorflow as tf

from zoo.base import Batch, Conditions, Decodes, GenerativeModel, Represents, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.latents import Part
from zoo.layers.batch_norm import BatchNorm, batches_apart
from zoo.layers.initializers import normal
from zoo.layers.pooling import max_pool_to
from zoo.layers.resampling import ImageConv, ImageConvTranspose, halvings
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
    "title": "DCGAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["sample", "sample_with", "encode", "decode", "interpolate", "traverse"],
    "paper": "Radford, Metz, Chintala 2015, arXiv 1511.06434",
    "summary": "the convolutional GAN: strided convolutions and batch normalisation",
    "limits": "Has no likelihood, and nothing tells whether it leaves out kinds of images. What it encodes "
    "are features of its discriminator, and no code to decode. The best step is not known: the last averages "
    "are kept. Pictures larger than 64x64 are beyond it.",
    "prior": "uniform",
    "default": "glyphs",
}

PRESETS = {
    "tiny": {
        "config": {"width": 4, "code_size": 4},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
        },
        "averages": {"generator": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "tiny_wgan": {
        "config": {"width": 4, "code_size": 4, "hidden": 8, "loss": "wgan_gp", "critic_steps": 2},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.0, "beta_2": 0.9},
            "generator": {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.0, "beta_2": 0.9},
        },
        "averages": {"generator": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "glyphs": {
        "config": {"width": 32, "code_size": 64, "hidden": 256},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 3,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "97 % of samples read by a classifier, 80 % by a strict one; 2.3 min on 2 cores",
    },
    "conditional": {
        "config": {"width": 32, "code_size": 64, "hidden": 256, "classes": 10},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 3,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "98 % of samples read as the class asked for; 3 min on 2 cores",
    },
    "mnist": {
        "config": {"width": 32, "code_size": 64, "hidden": 256},
        "dataset": "mnist",
        "batch_size": 64,
        "epochs": 5,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "handwritten digits, most of them plain; 4.5 min on 2 cores",
    },
    "paper": {
        "config": {"width": 128, "code_size": 100},
        "dataset": "folder:IMAGES",
        "image_size": 64,
        "batch_size": 128,
        "epochs": 25,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
        },
        "expect": "the paper's networks at 64x64, 18.9 M and 17.2 M parameters; not its code's L2 of 1e-5",
    },
}


# The windows of a feature map, on each side, of which the largest value is a feature.
WINDOWS = 4


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks.

    Attributes:
        image_shape: (H, W, C); each side is 4 to 7 times the same power of two.
        code_size: d, the length of z, uniform in [-1, 1].
        width: filters of the layer next to the image; they double toward the code. 128 in the paper.
        hidden: units of one fully connected layer behind the code and one before the logit; 0 for none, as
            the paper wants it in deep networks. Theirs for 28x28 has 1,024: two convolutions see
            13 pixels across, and it takes a layer above them to judge the whole.
        classes: 0, or the number of classes K of a class-conditional model.
        smoothing: real examples are labelled 1 - smoothing.
        loss: what the players minimise: `zoo.losses`. With wgan_gp D has no BatchNorm: its penalty is of the
            gradient of one example, and there would be none.
        penalty: the weight of the gradient penalty of wgan_gp.
        critic_steps: D moves so often for one move of G; 5 in the paper of wgan_gp.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_size: int = 100
    width: int = 128
    hidden: int = 0
    classes: int = 0
    smoothing: float = 0.0
    loss: Adversarial = "non_saturating"
    penalty: float = 10.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if min(self.code_size, self.width) < 1 or min(self.hidden, self.classes) < 0:
            raise UsageError("code_size and width must be at least 1, hidden and classes at least 0.")
        check_adversarial(self.loss, self.smoothing, self.penalty, self.critic_steps)
        height, width, _ = self.image_shape
        if not self.doublings:
            raise UsageError(
                f"dcgan cannot draw {height}x{width}: it doubles a small square, as for 28, 32, 48 or 64. "
                "Choose such a size with --image-size."
            )

    @property
    def doublings(self) -> int:
        """How often the generator doubles its first map, whose shorter side is 4 to 7."""
        return halvings(self.image_shape)


def batch_norm() -> keras.layers.Layer:
    """Batch normalisation with the original's scale initialisation, over all replicas."""
    scale = normal(mean=1.0)
    return BatchNorm(momentum=0.9, epsilon=1e-5, gamma_initializer=scale)


def make_generator(config: Config) -> keras.Model:
    """Code [B, d + K] -> image [B, H, W, C] in [-1, 1]."""
    height, width, channels = config.image_shape
    layers: list[Any] = [keras.Input((config.code_size + config.classes,))]
    if config.hidden:
        layers += [
            keras.layers.Dense(config.hidden, use_bias=False, kernel_initializer=normal()),
            batch_norm(),
            keras.layers.ReLU(),
        ]
    filters = config.width * 2 ** (config.doublings - 1)
    first = (height >> config.doublings, width >> config.doublings, filters)
    layers += [
        keras.layers.Dense(first[0] * first[1] * first[2], use_bias=False, kernel_initializer=normal()),
        batch_norm(),  # each unit by itself, as in the authors' code
        keras.layers.ReLU(),
        keras.layers.Reshape(first),
    ]
    for _ in range(config.doublings - 1):
        filters //= 2
        layers += [
            keras.layers.Conv2DTranspose(filters, 5, 2, "same", use_bias=False, kernel_initializer=normal()),
            batch_norm(),
            keras.layers.ReLU(),
        ]
    layers += [
        ImageConvTranspose(channels, kernel_initializer=normal()),
        keras.layers.Activation("tanh", dtype="float32"),
    ]
    return keras.Sequential(layers, name="generator")


def make_discriminator(config: Config) -> keras.Model:
    """Image [B, H, W, C + K] -> logit [B, 1]; the first layer has no normalisation (section 3)."""
    height, width, channels = config.image_shape
    # Normalisation has a shift of its own; without it layers need one.
    plain = config.loss == "wgan_gp"

    def activated(layer: keras.layers.Layer) -> list[Any]:
        return [layer, *([] if plain else [batch_norm()]), keras.layers.LeakyReLU(0.2)]

    layers: list[Any] = [
        keras.Input((height, width, channels + config.classes)),
        ImageConv(config.width, kernel_initializer=normal()),
        keras.layers.LeakyReLU(0.2),
    ]
    for index in range(1, config.doublings):
        filters = config.width * 2**index
        layers += activated(
            keras.layers.Conv2D(filters, 5, 2, "same", use_bias=plain, kernel_initializer=normal())
        )
    layers.append(keras.layers.Flatten())
    if config.hidden:
        layers += activated(keras.layers.Dense(config.hidden, use_bias=plain, kernel_initializer=normal()))
    layers += [
        keras.layers.Dense(1, use_bias=False, kernel_initializer=normal(), dtype="float32"),
    ]
    return keras.Sequential(layers, name="discriminator")


@final
class DCGAN(GenerativeModel, Decodes, Conditions, Represents):
    """The deep convolutional GAN, class-conditional where `classes` is set.

    `represent` gives the paper's features (section 5.1): what each convolution of the discriminator makes of
    the image, the largest value in each of 4x4 windows. A conditional discriminator sees no class then.

    A conditional model's code is z and the one-hot class; its discriminator sees the class as constant maps
    (Mirza and Osindero, arXiv 1411.1784).
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = make_generator(config)
        self.discriminator = make_discriminator(config)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        return [
            Turn("discriminator", self.discriminator.trainable_variables, self.discriminator_objective),
            Turn(
                "generator",
                self.generator.trainable_variables,
                self.generator_objective,
                through_shared=True,
                every=self.config.critic_steps,
            ),
        ]

    def discriminate(self, batch: Batch, *images: tf.Tensor) -> list[tf.Tensor]:
        """Logits [B] that images [B, H, W, C] in [-1, 1] are real, of their class, for each kind of image.

        Batch statistics are those of one kind.
        """
        if self.config.classes:
            maps = tf.one_hot(batch["label"], self.config.classes)[:, None, None, :]
            maps = tf.broadcast_to(maps, [*tf.unstack(tf.shape(images[0])[:3]), self.config.classes])
            images = tuple(tf.concat([image, maps], -1) for image in images)
        return [logits[:, 0] for logits in batches_apart(self.discriminator, *images)]

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        code = self.draw_code(noise)
        if self.config.classes:
            code = self.with_label(code, batch["label"])
        return {"fake": self.generator(code, training=True)}

    def measure_statistics(self, batch: Batch, noise: Noise) -> None:
        self.shared(batch, noise)
        self.discriminate(batch, 2.0 * batch["image"] - 1.0)  # what it sees where images are encoded

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        image = 2.0 * batch["image"] - 1.0
        real, fake = self.discriminate(batch, image, shared["fake"])
        kind, smoothing = self.config.loss, self.config.smoothing
        loss = discriminator_loss(real, fake, kind, smoothing)
        terms = verdicts(real, fake, kind, smoothing)
        if kind == "wgan_gp":
            terms["gradient_penalty"] = gradient_penalty(
                lambda between: self.discriminate(batch, between)[0],
                image,
                shared["fake"],
                noise.uniform("share", ()),
                self.config.penalty,
            )
            loss += terms["gradient_penalty"]
        return loss, {"discriminator_loss": loss, **terms}

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        (judged,) = self.discriminate(batch, shared["fake"])
        loss = generator_loss(judged, self.config.loss)
        return loss, {"generator_loss": loss}

    def draw_code(self, noise: Noise) -> tf.Tensor:
        """z [B, d], uniform in [-1, 1]."""
        return 2.0 * noise.uniform("code", (self.config.code_size,)) - 1.0

    def with_label(self, code: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """z [B, d] and labels int [B] -> [B, d + K]."""
        return tf.concat([code, tf.one_hot(label, self.config.classes)], -1)

    def prior(self, noise: Noise) -> tf.Tensor:
        code = self.draw_code(noise)
        if not self.config.classes:
            return code
        return self.with_label(code, tf.cast(noise.uniform("label", ()) * self.config.classes, tf.int32))

    def prior_parts(self) -> tuple[Part, ...]:
        label = (Part("one_hot", self.config.classes),) if self.config.classes else ()
        return (Part("uniform", self.config.code_size), *label)

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return 0.5 * self.generator(code, training=False) + 0.5

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"label": tf.TensorSpec([None], tf.int32)} if self.config.classes else {}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.decode(self.with_label(self.draw_code(noise), conditions["label"]))

    def represent(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.pad(2.0 * x - 1.0, [[0, 0], [0, 0], [0, 0], [0, self.config.classes]])
        features = []
        for layer in self.discriminator.layers:
            x = layer(x, training=False)
            if isinstance(layer, keras.layers.Flatten):
                break
            if isinstance(layer, keras.layers.LeakyReLU):
                pooled = max_pool_to(x, WINDOWS)
                features.append(tf.reshape(pooled, (-1, WINDOWS * WINDOWS * x.shape[-1])))
        return tf.cast(tf.concat(features, -1), tf.float32)

    def representation_parts(self) -> tuple[Part, ...]:
        filters = sum(self.config.width * 2**index for index in range(self.config.doublings))
        return (Part("other", WINDOWS * WINDOWS * filters),)
