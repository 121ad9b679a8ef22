"""ProGAN: a GAN that grows, from 4x4 pixels up.

Idea: learn first what images look like from far away. Both players begin at 4x4; when they have settled,
layers for twice the size are faded in, in both at once, and so on. Most of the training is at small sizes,
and each size finds a game that is already balanced.

Objective: the Wasserstein distance with a gradient penalty, and a small term that keeps the critic's output
from drifting away from 0:

    D:  minimise  E D(G(z)) - E D(x) + 10 E (|grad D(y)| - 1)^2 + 0.001 E D(x)^2,    y between x and G(z)
    G:  minimise  -E D(G(z))

Schedule: at each size after the first, a phase in which the new layers' share rises from 0 to 1, then one in
which they stand alone. While they fade in, real images too are blended with their own half size. The
optimizers start anew at each size.

Reference: Karras, Aila, Laine, Lehtinen, Progressive Growing of GANs for Improved Quality, Stability, and
Variation, arXiv 1710.10196: section 2 and figure 2 (growing), section 3 (minibatch deviation), section 4
(equalised learning rate, pixel norm), table 2 (layers), appendix A.1 (training). Where the paper is silent,
this follows its code: the gains, and the deviation in groups.

Shapes: B rows, S x S x C image at a level (level 0 is 4x4), F channels of a layer, d code size.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import final

import keras
import tensorflow as tf

from zoo.annealing import Ramp
from zoo.base import Batch, Decodes, GenerativeModel, Phase, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.latents import Part
from zoo.layers.equalized import HE, EqualizedConv, EqualizedDense
from zoo.losses import discriminator_loss, generator_loss, gradient_penalty, verdicts
from zoo.noise import Noise

CARD = {
    "title": "ProGAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["sample", "decode", "interpolate", "traverse"],
    "paper": "Karras, Aila, Laine, Lehtinen 2018, arXiv 1710.10196",
    "summary": "a GAN that grows from 4x4 pixels up to 1024x1024",
    "limits": "Has no likelihood and no encoder, and nothing tells whether it leaves out kinds of images. "
    "Images are squares whose side is a power of two. The schedule is fixed beforehand: nobody knows how "
    "long a size needs.",
    "prior": "gaussian",
    "default": "shapes",
}

PRESETS = {
    "tiny": {
        "config": {
            "code_size": 4,
            "channels": 16,
            "most_channels": 4,
            "group": 4,
            "stable_steps": [1],
            "fade_steps": [2],
            "batch_sizes": [8, 16],
        },
        "dataset": "digits",
        "batch_size": 16,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99},
        },
        "averages": {"generator": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "code_size": 64,
            "channels": 256,
            "most_channels": 32,
            "stable_steps": [1000, 1000, 1500, 2500],
            "fade_steps": [1000, 1500, 1500],
        },
        "dataset": "shapes",
        "batch_size": 16,
        "optimizers": {
            "discriminator": {
                "name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
            },
            "generator": {
                "name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
            },
        },
        "averages": {"generator": 0.999},
        "expect": "coloured blobs, half of them read as shapes, from at most 32 channels; 21 min of one core",
    },
    "pictures": {
        "config": {
            "code_size": 128,
            "channels": 512,
            "most_channels": 64,
            "stable_steps": [1000, 1000, 1200, 1300, 1500],
            "fade_steps": [1000, 1000, 1200, 1200],
        },
        "dataset": "folder:IMAGES",
        "image_size": 64,
        "batch_size": 16,
        "optimizers": {
            "discriminator": {
                "name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
            },
            "generator": {
                "name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
            },
        },
        "averages": {"generator": 0.999},
        "expect": "a folder of pictures of one kind at 64x64; not measured yet",
    },
    "paper": {
        "config": {
            "stable_steps": [50_000, 50_000, 50_000, 50_000, 50_000, 50_000, 57_143, 133_334, 2_066_667],
            "fade_steps": [50_000, 50_000, 50_000, 50_000, 50_000, 57_143, 133_334, 266_667],
            "batch_sizes": [16, 16, 16, 16, 16, 16, 14, 6, 3],
        },
        "dataset": "folder:IMAGES",
        "image_size": 1024,
        "batch_size": 16,
        "optimizers": {
            "discriminator": {
                "name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
            },
            "generator": {
                "name": "adam", "learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8,
            },
        },
        "averages": {"generator": 0.999},
        "expect": "the paper's networks and its 19 million images at 1024x1024: 23.1 M parameters each",
    },
}  # fmt: skip

#: Keeps roots and their gradients finite.
EPSILON = 1e-8
SLOPE = 0.2
FIRST_SIDE, LARGEST_SIDE = 4, 1024


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks, and the schedule by which they grow.

    Attributes:
        image_shape: (S, S, C), with S a power of two from 8 to 1024.
        code_size: d, the length of z.
        channels, most_channels: F at level n is channels / 2^(n + 1), and at most `most_channels`.
        group: examples whose deviation is taken together; of a batch that it does not divide, the largest
            number below it that does. The paper's runs have 16, which is their whole batch.
        stable_steps: how many steps each level has for itself, from 4x4 up. The last number goes for all
            levels above, here and in the next two.
        fade_steps: how many steps each level is faded in for, from 8x8 up.
        batch_sizes: the most examples of a batch at each level, from 4x4 up; () for the run's own at all.
        penalty: the weight of the gradient penalty.
        drift: the weight of the mean square of D's output for real images.
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    code_size: int = 512
    channels: int = 8192
    most_channels: int = 512
    group: int = 16
    stable_steps: tuple[int, ...] = (50_000,)
    fade_steps: tuple[int, ...] = (50_000,)
    batch_sizes: tuple[int, ...] = ()
    penalty: float = 10.0
    drift: float = 0.001

    def __post_init__(self) -> None:
        height, width, _ = self.image_shape
        if height != width or height & (height - 1) or not 2 * FIRST_SIDE <= height <= LARGEST_SIDE:
            raise UsageError(
                f"progan cannot draw {height}x{width}: it doubles 4x4 to 8, 16, 32, 64, 128, 256, 512 or "
                "1024. Choose such a size with --image-size."
            )
        if min(self.code_size, self.channels, self.most_channels, self.group) < 1:
            raise UsageError("code_size, channels, most_channels and group must be at least 1.")
        for name in ("stable_steps", "fade_steps"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise UsageError(f"{name} must be numbers of at least 1.")
        if min(self.batch_sizes, default=1) < 1:
            raise UsageError("batch_sizes must be numbers of at least 1.")
        if min(self.penalty, self.drift) < 0:
            raise UsageError("penalty and drift must not be negative.")

    @property
    def levels(self) -> int:
        """How many sizes there are, 4x4 the first."""
        return (self.image_shape[0] // FIRST_SIDE).bit_length()

    def filters(self, level: int) -> int:
        """F at a level."""
        return max(1, min(self.channels >> (level + 1), self.most_channels))


def of_level(values: Sequence[int], level: int) -> int:
    """The number of a level; the last one goes for all above."""
    return values[min(level, len(values) - 1)]


# -- parts of the networks ---------------------------------------------------------------------------------


def leaky(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU of slope 0.2."""
    return tf.nn.leaky_relu(x, SLOPE)


def pixel_norm(x: tf.Tensor) -> tf.Tensor:
    """Divides the values of each pixel, [..., F], by the root of their mean square (section 4.2)."""
    wide = tf.cast(x, tf.float32)  # in half precision squares would overflow, and EPSILON would be 0
    return tf.cast(wide * tf.math.rsqrt(tf.reduce_mean(wide**2, -1, keepdims=True) + EPSILON), x.dtype)


def deviation(x: tf.Tensor, group: int, batches: int = 1) -> tf.Tensor:
    """The standard deviation over a group of examples, averaged over all its values (section 3).

    Args:
        x: [batches * B, ...], kinds of examples one after the other, B of each.
        group: how many neighbours of one kind are a group; or the largest number below that divides B. So
            they lie on one device, and are the same on several where it divides what each one has.
        batches: how many kinds.

    Returns:
        float32 [batches * B], one number for all of a group.
    """
    rows = tf.shape(x)[0] // batches  # of a device: unknown while a graph is traced
    sizes = tf.range(1, group + 1)
    size = tf.reduce_max(tf.where(rows % sizes == 0, sizes, 1))
    groups = tf.reshape(tf.cast(x, tf.float32), (-1, size, math.prod(x.shape[1:])))
    variance = tf.math.reduce_variance(groups, 1)  # [groups, values]
    return tf.repeat(tf.reduce_mean(tf.sqrt(variance + EPSILON), 1), size)


def halved(x: tf.Tensor, factor: int = 2) -> tf.Tensor:
    """The means of squares of 2x2 pixels, or of `factor` x `factor`."""
    return tf.nn.avg_pool2d(x, factor, factor, "VALID") if factor > 1 else x


def doubled(x: tf.Tensor, factor: int = 2) -> tf.Tensor:
    """Each pixel as a square of 2x2, or of `factor` x `factor`."""
    if factor == 1:
        return x
    _, height, width, channels = x.shape
    squares = tf.tile(x[:, :, None, :, None], (1, 1, factor, 1, factor, 1))
    return tf.reshape(squares, (-1, factor * height, factor * width, channels))


def blend(old: tf.Tensor, new: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """(1 - share) old + share new: exactly the one at 0, the other at 1."""
    share = tf.cast(share, new.dtype)
    return (1.0 - share) * old + share * new


def built(layer: keras.layers.Layer, *sizes: int | None) -> keras.layers.Layer:
    """A layer with weights for inputs [B, *sizes]."""
    layer.build((None, *sizes))
    return layer


class Generator(keras.layers.Layer):
    """Codes to images in [-1, 1], about: the last layers are linear."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="generator", autocast=False)
        filters = [config.filters(level) for level in range(config.levels)]
        # The authors' code gives this one layer a quarter of the gain.
        first = EqualizedDense((FIRST_SIDE, FIRST_SIDE, filters[0]), HE / 4)
        self.first = built(first, config.code_size)
        #: Of each level after 4x4 the convolution that doubles; of all the one behind it, and the last one.
        self.doubling = [
            built(EqualizedConv(wide, doubling=True), None, None, before)
            for before, wide in itertools.pairwise(filters)
        ]
        self.convs = [built(EqualizedConv(wide), None, None, wide) for wide in filters]
        channels = config.image_shape[-1]
        self.to_image = [
            built(EqualizedConv(channels, 1, gain=1.0, dtype="float32"), None, None, wide) for wide in filters
        ]

    def call(self, code: tf.Tensor, level: int, share: tf.Tensor | None = None) -> tf.Tensor:
        """Codes [B, d] -> float32 [B, S, S, C]; the newest layers have that share, or stand alone."""
        x = pixel_norm(leaky(self.first(pixel_norm(code))))
        x = before = pixel_norm(leaky(self.convs[0](x)))
        for index in range(level):
            before = x
            x = pixel_norm(leaky(self.doubling[index](x)))
            x = pixel_norm(leaky(self.convs[index + 1](x)))
        image = self.to_image[level](x)
        if share is None:
            return image
        return blend(doubled(self.to_image[level - 1](before)), image, share)

    def used(self, level: int, fading: bool) -> list[keras.Variable]:
        """The weights that `call` uses."""
        body = [self.first, *self.convs[: level + 1], *self.doubling[:level]]
        layers = [*body, *self.to_image[level - fading : level + 1]]
        return [variable for layer in layers for variable in layer.trainable_variables]


class Discriminator(keras.layers.Layer):
    """Images in [-1, 1] to one number each, higher for real ones."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="discriminator", autocast=False)
        self.group = config.group
        filters = [config.filters(level) for level in range(config.levels)]
        channels = config.image_shape[-1]
        #: Of each level the layer from an image; of those after 4x4 the two convolutions before it is halved.
        self.from_image = [built(EqualizedConv(wide, 1), None, None, channels) for wide in filters]
        self.convs = [built(EqualizedConv(wide), None, None, wide) for wide in filters[1:]]
        self.halving = [
            built(EqualizedConv(below), None, None, wide) for below, wide in itertools.pairwise(filters)
        ]
        self.last_conv = built(EqualizedConv(filters[0]), None, None, filters[0] + 1)
        hidden = min(config.channels, config.most_channels)
        self.hidden = built(EqualizedDense((hidden,)), FIRST_SIDE**2 * filters[0])
        self.output_layer = built(EqualizedDense((1,), gain=1.0, dtype="float32"), hidden)

    def call(
        self, image: tf.Tensor, level: int, share: tf.Tensor | None = None, batches: int = 1
    ) -> tf.Tensor:
        """Images [B, S, S, C] of one or several kinds, one after the other -> float32 [B]."""
        x = leaky(self.from_image[level](image))
        for index in reversed(range(level)):
            x = leaky(self.convs[index](x))
            x = halved(leaky(self.halving[index](x)))
            if index == level - 1 and share is not None:
                x = blend(leaky(self.from_image[index](halved(image))), x, share)
        spread = tf.cast(deviation(x, self.group, batches), x.dtype)
        x = tf.concat([x, tf.ones_like(x[..., :1]) * spread[:, None, None, None]], -1)
        x = leaky(self.last_conv(x))
        x = leaky(self.hidden(tf.reshape(x, (-1, math.prod(x.shape[1:])))))
        return self.output_layer(x)[:, 0]

    def used(self, level: int, fading: bool) -> list[keras.Variable]:
        """The weights that `call` uses."""
        body = [*self.convs[:level], *self.halving[:level], self.last_conv, self.hidden, self.output_layer]
        layers = [*body, *self.from_image[level - fading : level + 1]]
        return [variable for layer in layers for variable in layer.trainable_variables]


@final
class ProGAN(GenerativeModel, Decodes):
    """The progressively growing GAN.

    Phase 0 is 4x4; then two phases for each level, in which it fades in and in which it stands.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)

    @classmethod
    def phases(cls, config: Config) -> list[Phase]:
        found = []
        for level in range(config.levels):
            side = FIRST_SIDE << level
            rows = of_level(config.batch_sizes, level) if config.batch_sizes else None
            if level:
                steps = of_level(config.fade_steps, level - 1)
                found.append(Phase(f"{side}x{side} fading in", steps, rows, fresh=True))
            found.append(Phase(f"{side}x{side}", of_level(config.stable_steps, level), rows))
        return found

    @property
    def level(self) -> int:
        """The level of the present phase."""
        return (self.phase + 1) // 2

    @property
    def fading(self) -> bool:
        """Whether the level is being faded in."""
        return self.phase % 2 == 1

    @property
    def share(self) -> tf.Tensor | None:
        """The share of the newest layers, float32 []; None where they stand alone."""
        if not self.fading:
            return None
        steps = self.phases(self.config)[self.phase].steps
        return Ramp(0.0, 1.0, steps or 0, begin=self.first_steps[self.phase]).at(self.step.value)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        critic, maker = (
            network.used(self.level, self.fading) for network in (self.discriminator, self.generator)
        )
        return [
            Turn("discriminator", critic, self.discriminator_objective),
            Turn("generator", maker, self.generator_objective, through_shared=True),
        ]

    def real(self, image: tf.Tensor) -> tf.Tensor:
        """Images of the full size in [0, 1] -> [B, S, S, C] in [-1, 1], as blended as the fakes are."""
        x = halved(2.0 * image - 1.0, 1 << (self.config.levels - 1 - self.level))
        return blend(doubled(halved(x)), x, self.share) if self.fading else x

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        return {"fake": self.generator(self.prior(noise), level=self.level, share=self.share)}

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        level, share = self.level, self.share
        images = self.real(batch["image"]), shared["fake"]
        both = self.discriminator(tf.concat(images, 0), level=level, share=share, batches=2)
        real, fake = tf.split(both, 2)
        loss = discriminator_loss(real, fake, "wgan_gp")
        penalty = gradient_penalty(
            lambda between: self.discriminator(between, level=level, share=share),
            *images,
            noise.uniform("between", ()),
            self.config.penalty,
        )
        total = loss + penalty + self.config.drift * tf.reduce_mean(real**2)
        terms = {"discriminator_loss": total, "gradient_penalty": penalty, **verdicts(real, fake, "wgan_gp")}
        return total, terms if share is None else {**terms, "new_layers": share}

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        judged = self.discriminator(shared["fake"], level=self.level, share=self.share)
        loss = generator_loss(judged, "wgan_gp")
        return loss, {"generator_loss": loss}

    def prior(self, noise: Noise) -> tf.Tensor:
        # The generator's pixel norm takes it to the hypersphere.
        return noise.normal("code", (self.config.code_size,))

    def prior_parts(self) -> tuple[Part, ...]:
        return (Part("gaussian", self.config.code_size),)

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        image = self.generator(code, level=self.level, share=self.share)
        image = doubled(image, 1 << (self.config.levels - 1 - self.level))  # all phases draw the full size
        return tf.clip_by_value(0.5 * image + 0.5, 0.0, 1.0)
