"""PuzzleGAN: an image from a few of its patches, whose places nobody tells.

Idea: cut the patches out of an image that tell most of it, enlarge them, and ask a generator for the image. A
part encoder reads each patch by the same weights, and what it reads is summed: patches have no order. A mask
decoder says where they belong, an image decoder draws them there and, from noise, what lies around them. The
discriminator also sees images whose patches come from another image than their ground, so that it learns what
goes together.

Objective: with the mask M of the patches that were given, the predicted mask M^ and the generated image G,
    L_G = -E log D(G) + lambda_s E |M^ - M| + lambda_a E |M^ G - M x|
    L_D = -E log D(x) - E log(1 - D(G)) - sum_c E log(1 - D(c))        c: the composites
where the second and the third mean are over pixels and values too. The weights fall by the same factor at
each step: first places are learned, then patches, then realism.

Reference: Lee, Yun, Choi, Yoo, Yang, Oh, Unsupervised Holistic Image Generation from Key Local Patches, arXiv
1703.10730: key patches by objectness, the spatial, the appearance and the adversarial loss. Networks, weights
and the composites of two real images are those of an author's code (hellbell/KeyPatchGan, the U-Net). There
both L1 terms are sums over the batch, times 1e-2 to 1e-4; here they are means, whose weights do not depend
on the batch. `fewer` is ours: the paper always gives all patches.

Shapes: B rows, S x S x C image, N patches, each enlarged to S x S x C; L levels of maps, each half as wide as
the one before.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Literal, final

import keras
import tensorflow as tf

from zoo.annealing import Ramp
from zoo.base import Assembles, Batch, GenerativeModel, Samples, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.layers.alignment import best_shift, moved
from zoo.layers.batch_norm import BatchNorm, batches_apart
from zoo.layers.initializers import normal
from zoo.layers.objectness import covered, cut, key_squares
from zoo.losses import cross_entropy, verdicts
from zoo.noise import Noise

CARD = {
    "title": "PuzzleGAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["sample", "assemble"],
    "paper": "Lee et al. 2017, arXiv 1703.10730",
    "summary": "an image from up to three of its patches, whose places it finds",
    "limits": "Has no likelihood. Patches are restored nearly, not pixel by pixel, and what lies around them "
    "is made up: it is no record of what was there. Patches of other kinds of images than those it was "
    "trained on give nothing sensible; a sample, from no patch at all, is its weakest picture.",
    "default": "shapes",
}

PRESETS = {
    "tiny": {
        "config": {
            "width": 2,
            "code_size": 4,
            "noise_size": 3,
            "sizes": [0.375, 0.5],
            "critic_steps": 1,
            "spatial": {"start": 20.0, "end": 2.0, "steps": 4, "shape": "geometric"},
            "appearance": {"start": 20.0, "end": 2.0, "steps": 4, "shape": "geometric"},
        },
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
    "shapes": {
        "config": {
            "width": 24,
            "kernel": 4,
            "fewer": 0.25,
            "shift": 6,
            "critic_steps": 1,  # the discriminator is ahead as it is
            "spatial": {"start": 2600.0, "end": 130.0, "steps": 7500, "shape": "geometric"},
            "appearance": {"start": 7900.0, "end": 395.0, "steps": 7500, "shape": "geometric"},
        },
        "dataset": "shapes",
        "batch_size": 32,
        "epochs": 12,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "80 % of images of three patches read as their class; not measured yet",
    },
    "mnist": {
        "config": {
            "width": 32,
            "kernel": 4,
            "fewer": 0.25,
            "shift": 2,
            "critic_steps": 1,
            "spatial": {"start": 2600.0, "end": 130.0, "steps": 9375, "shape": "geometric"},
            "appearance": {"start": 7900.0, "end": 395.0, "steps": 9375, "shape": "geometric"},
        },
        "dataset": "mnist",
        "batch_size": 32,
        "epochs": 5,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5},
        },
        "averages": {"generator": 0.998},
        "expect": "80 % of images of three patches read as their digit; not measured yet",
    },
    "paper": {
        "config": {
            "composites": "exchanged",
            "fewer": 0.1,
            # 64 examples a batch, 64 x 64 pixels and 3 values each, times 1e-2 and 1e-4.
            "spatial": {"start": 2621.44, "end": 26.2144, "steps": 79_000, "shape": "geometric"},
            "appearance": {"start": 7864.32, "end": 78.6432, "steps": 79_000, "shape": "geometric"},
        },
        "dataset": "folder:IMAGES",
        "image_size": 64,
        "batch_size": 64,
        "epochs": 25,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
        },
        "expect": "the paper's networks, rates and weights at 64x64; not measured yet",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The patches, the networks, and the game.

    Attributes:
        image_shape: (S, S, C); S is 4 to 7 times a power of two.
        patches: N, how many an image is made of at most.
        sizes: the sides that a patch may have, as shares of S.
        fewer: the share of examples of which 0 to N - 1 patches are given, each number as often; of the
            others all are. A model that never saw fewer could make nothing of them, and draw no sample.
        code_size: numbers that a patch is read as.
        noise_size: the length of z, uniform in [-1, 1].
        width: filters of the layer next to the image; they double toward the code, three times at most.
        kernel: of all convolutions. 5 in the paper; 4 takes less than two thirds of the work.
        composites: what else the discriminator learns to refuse. `exchanged`: patches of one real image on
            the ground of another, both ways, as in the author's code; `generated`: real patches on generated
            ground, and the other way round; `both`.
        spatial, appearance: lambda_s and lambda_a.
        shift: how many pixels the patches of an example may be moved each way, all together, to where the
            generator has put them, before they are compared. 0 in the paper, whose images are aligned: there
            a patch tells where it belongs. Of things that stand anywhere patches tell how they lie to one
            another and no more; then 0 is the median of each pixel of M, and nothing is learned.
        critic_steps: D moves so often for one move of G.
    """

    image_shape: tuple[int, int, int] = (64, 64, 3)
    patches: int = 3
    sizes: tuple[float, ...] = (0.25, 0.3125, 0.375)
    fewer: float = 0.5
    code_size: int = 128
    noise_size: int = 128
    width: int = 64
    kernel: int = 5
    composites: Literal["exchanged", "generated", "both"] = "both"
    spatial: Ramp = Ramp(2621.44, 26.2144, 5000, "geometric")
    appearance: Ramp = Ramp(7864.32, 78.6432, 5000, "geometric")
    shift: int = 0
    critic_steps: int = 2

    def __post_init__(self) -> None:
        if min(self.patches, self.code_size, self.noise_size, self.width, self.critic_steps) < 1:
            raise UsageError("patches, code_size, noise_size, width and critic_steps must be at least 1.")
        if self.kernel < 3:
            raise UsageError("kernel must be at least 3: neighbours would not touch.")
        if not 0 < self.fewer <= 1:
            raise UsageError("fewer is a share above 0, at most 1: samples are made of no patch.")
        if not 0 <= self.shift < self.image_shape[0]:
            raise UsageError("shift is a number of pixels, less than an image has.")
        if min(self.spatial.lowest, self.appearance.lowest) < 0:
            raise UsageError("spatial and appearance must not be negative.")
        height, width, _ = self.image_shape
        if height != width or self.doublings < 1 or height % 2**self.doublings:
            raise UsageError(
                f"puzzlegan cannot draw {height}x{width}: it doubles a small square, as for 28, 32, 48 or "
                "64. Choose such a size with --image-size."
            )
        if not self.sizes or min(self.sides) < 3 or max(self.sizes) > 0.75:
            raise UsageError(
                f"sizes are shares of {height} pixels, from {3 / height:.3g} (3 of them) to 0.75."
            )

    @property
    def doublings(self) -> int:
        """L: how often the decoders double their first map, whose side is 4 to 7."""
        return (self.image_shape[0] // 4).bit_length() - 1

    @property
    def filters(self) -> tuple[int, ...]:
        """Of the maps of each level, the finest first."""
        return tuple(self.width * 2 ** min(level, 3) for level in range(self.doublings))

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of patches in pixels."""
        return tuple(sorted({round(self.image_shape[0] * size) for size in self.sizes}))


def batch_norm() -> keras.layers.Layer:
    """Batch normalisation, over all replicas."""
    return BatchNorm(momentum=0.9, epsilon=1e-5)


def steps_down(config: Config) -> list[list[keras.layers.Layer]]:
    """The layers of each level on the way from an image to a code, the finest first."""
    levels = []
    for level, filters in enumerate(config.filters):
        plain = level == 0  # next to the image nothing is normalised
        layer = keras.layers.Conv2D(
            filters, config.kernel, 2, "same", use_bias=plain, kernel_initializer=normal()
        )
        levels.append([layer, *([] if plain else [batch_norm()]), keras.layers.LeakyReLU(0.2)])
    return levels


def up(config: Config, code: Any, beside: list[Any], channels: int, activation: str) -> tuple[list[Any], Any]:
    """A code through transposed convolutions, joined at each level by what stands beside it.

    Args:
        code: [B, d].
        beside: what joins the map of each level, the coarsest first.
        channels: of the result.
        activation: of the result.

    Returns:
        The joined maps, the coarsest first, and the result [B, S, S, channels].
    """
    side, *filters = config.image_shape[0] >> config.doublings, *config.filters[::-1]
    x = keras.layers.Dense(side * side * filters[0], use_bias=False, kernel_initializer=normal())(code)
    x = keras.layers.Reshape((side, side, filters[0]))(x)
    joined = []
    for other, wider in zip(beside, [*filters[1:], channels], strict=True):
        x = keras.layers.ReLU()(batch_norm()(x))
        joined.append(keras.layers.Concatenate()([x, other]))
        last = len(joined) == len(beside)
        x = keras.layers.Conv2DTranspose(
            wider, config.kernel, 2, "same", use_bias=last, kernel_initializer=normal()
        )(joined[-1])
    return joined, keras.layers.Activation(activation, dtype="float32")(x)


def make_encoder(config: Config) -> keras.Model:
    """Patch [B, S, S, C] -> its code [B, d], then its maps, the coarsest first."""
    x = patch = keras.Input(config.image_shape)
    maps = []
    for layers in steps_down(config):
        for layer in layers:
            x = layer(x)
        maps.append(x)
    code = keras.layers.Dense(config.code_size, kernel_initializer=normal())(keras.layers.Flatten()(x))
    return keras.Model(patch, [keras.layers.LeakyReLU(0.2)(code), *maps[::-1]], name="encoder")


def make_mask_decoder(config: Config, read: list[Any]) -> keras.Model:
    """What was read off the patches -> where they lie [B, S, S, 1] in [0, 1], then the maps that led there.

    Args:
        read: symbols of the encoder's outputs; they say the shapes.
    """
    code, *maps = (keras.Input(each.shape[1:]) for each in read)
    joined, mask = up(config, code, maps, 1, "sigmoid")
    return keras.Model([code, *maps], [mask, *joined], name="mask_decoder")


def make_image_decoder(config: Config, joined: list[Any]) -> keras.Model:
    """The code and z [B, d + z], and the maps of the mask decoder -> image [B, S, S, C] in [-1, 1]."""
    code = keras.Input((config.code_size + config.noise_size,))
    maps = [keras.Input(each.shape[1:]) for each in joined]
    _, image = up(config, code, maps, config.image_shape[-1], "tanh")
    return keras.Model([code, *maps], image, name="image_decoder")


def make_discriminator(config: Config) -> keras.Sequential:
    """Image [B, S, S, C] in [-1, 1] -> logit [B, 1]."""
    layers = [
        keras.Input(config.image_shape),
        *itertools.chain(*steps_down(config)),
        keras.layers.Flatten(),
        keras.layers.Dense(1, kernel_initializer=normal(), dtype="float32"),
    ]
    return keras.Sequential(layers, name="discriminator")


def composites(one: tf.Tensor, other: tf.Tensor, parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The patches of one image on the ground of another, and the other way round.

    Args:
        one, other: images [B, S, S, C].
        parts: where patches lie, [B, S, S, 1], 0 or 1.
    """
    return parts * one + (1.0 - parts) * other, parts * other + (1.0 - parts) * one


def exchanged(x: tf.Tensor) -> tf.Tensor:
    """Another row of the batch for each: rows 0 and 1 change places, 2 and 3, and so on.

    So they do on each of several replicas. The last of an odd number takes the one before; there are two.
    """
    rows = tf.range(tf.shape(x)[0])
    other = tf.bitwise.bitwise_xor(rows, 1)
    other = tf.where(other < tf.shape(x)[0], other, rows - 1)
    return tf.gather(x, tf.maximum(other, 0))


@final
class PuzzleGAN(GenerativeModel, Samples, Assembles):
    """An image from up to N patches; a sample is made of none."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.encoder = make_encoder(config)
        self.mask_decoder = make_mask_decoder(config, self.encoder.outputs)
        self.image_decoder = make_image_decoder(config, self.mask_decoder.outputs[1:])
        self.discriminator = make_discriminator(config)

    @classmethod
    def fewest_rows(cls, config: Config) -> int:
        return 1 if config.composites == "generated" else 2  # one image would be exchanged with itself

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        generator = (self.encoder, self.mask_decoder, self.image_decoder)
        return [
            Turn("discriminator", self.discriminator.trainable_variables, self.discriminator_objective),
            Turn(
                "generator",
                [variable for network in generator for variable in network.trainable_variables],
                self.generator_objective,
                through_shared=True,
                every=self.config.critic_steps,
            ),
        ]

    # -- the generator -------------------------------------------------------------------------------------

    def read(self, patches: tf.Tensor, given: tf.Tensor, training: bool) -> list[tf.Tensor]:
        """What the encoder makes of patches [B, N, S, S, C] in [-1, 1], summed over those that are given.

        Returns:
            The code [B, d] and the maps, the coarsest first.
        """
        each = self.encoder(tf.reshape(patches, (-1, *self.config.image_shape)), training=training)
        return [self.summed(part, given) for part in each]

    def summed(self, of_patches: tf.Tensor, given: tf.Tensor) -> tf.Tensor:
        """[B * N, ...] -> [B, ...]."""
        shape = of_patches.shape[1:]
        apart = tf.reshape(of_patches, (-1, self.config.patches, *shape))
        there = tf.reshape(tf.cast(given, apart.dtype), (-1, self.config.patches, *[1] * len(shape)))
        return tf.reduce_sum(there * apart, 1)

    def generate(
        self, patches: tf.Tensor, given: tf.Tensor, z: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Images [B, S, S, C] in [-1, 1] from patches and z, and where in them patches lie, [B, S, S, 1]."""
        code, *maps = self.read(patches, given, training)
        places, *joined = self.mask_decoder([code, *maps], training=training)
        code = tf.concat([code, tf.cast(z, code.dtype)], -1)
        return self.image_decoder([code, *joined], training=training), places

    def draw_z(self, noise: Noise) -> tf.Tensor:
        """z [B, z], uniform in [-1, 1]."""
        return 2.0 * noise.uniform("noise", (self.config.noise_size,)) - 1.0

    # -- the game ------------------------------------------------------------------------------------------

    def given(self, noise: Noise) -> tf.Tensor:
        """Which patches there are, bool [B, N]: as many as `fewer` says, any of them."""
        count = self.config.patches
        less = tf.cast(noise.uniform("count", ()) * count, tf.int32)  # 0 .. N - 1
        wanted = tf.where(noise.uniform("fewer", ()) < self.config.fewer, less, count)
        order = tf.argsort(tf.argsort(noise.uniform("which", (count,)), -1), -1)
        return order < wanted[:, None]

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        config, image = self.config, batch["image"]
        size = config.image_shape[0]
        squares = key_squares(image, config.sides, config.patches)
        patches, given = cut(2.0 * image - 1.0, squares, size), self.given(noise)
        fake, places = self.generate(patches, given, self.draw_z(noise), training=True)
        lying = covered(squares, size, size)  # [B, N, S, S]
        of_given = tf.logical_and(lying, given[:, :, None, None])
        parts, mask = (tf.cast(tf.reduce_any(each, 1), tf.float32)[..., None] for each in (lying, of_given))
        return {"fake": fake, "places": places, "parts": parts, "mask": mask}

    def refused(self, image: tf.Tensor, shared: Shared) -> list[tf.Tensor]:
        """The composites [B, S, S, C] that D is to refuse, of images in [-1, 1]."""
        found: list[tf.Tensor] = []
        if self.config.composites in ("exchanged", "both"):
            found += composites(exchanged(image), image, shared["parts"])
        if self.config.composites in ("generated", "both"):
            found += composites(shared["fake"], image, shared["parts"])
        return found

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        image = 2.0 * batch["image"] - 1.0
        seen = [image, shared["fake"], *self.refused(image, shared)]
        real, fake, *mixed = (logits[:, 0] for logits in batches_apart(self.discriminator, *seen))
        loss = cross_entropy(real, 1.0) + tf.add_n([cross_entropy(each, 0.0) for each in (fake, *mixed)])
        composite = tf.reduce_mean(tf.sigmoid(tf.concat(mixed, 0)))
        return loss, {
            "discriminator_loss": loss,
            **verdicts(real, fake),
            "composite_probability": composite,
        }

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        (judged,) = batches_apart(self.discriminator, shared["fake"])
        adversarial = cross_entropy(judged, 1.0)
        spatial, appearance = self.distances(*self.target(2.0 * batch["image"] - 1.0, shared), shared)
        step, config = self.step.value, self.config
        loss = adversarial + config.spatial.at(step) * spatial + config.appearance.at(step) * appearance
        return loss, {
            "generator_loss": adversarial,
            "spatial_loss": spatial,
            "appearance_loss": appearance,
        }

    def target(self, image: tf.Tensor, shared: Shared) -> tuple[tf.Tensor, tf.Tensor]:
        """M [B, S, S, 1] and M x of images in [-1, 1], moved as far as `shift` allows."""
        mask, most = shared["mask"], self.config.shift
        seen = mask * image
        if not most:
            return mask, seen
        made = tf.concat([shared["places"], shared["places"] * shared["fake"]], -1)
        target = tf.concat([mask, seen], -1)
        target = moved(target, best_shift(target, tf.stop_gradient(made), mask[..., 0] > 0, most), most)
        return target[..., :1], target[..., 1:]

    def distances(self, mask: tf.Tensor, seen: tf.Tensor, shared: Shared) -> tuple[tf.Tensor, tf.Tensor]:
        """E |M^ - M|, a mean over pixels, and E |M^ G - M x|, a mean over values.

        Args:
            mask, seen: M and M x.
            shared: holds M^ and G.
        """
        places = shared["places"]
        spatial = tf.reduce_mean(tf.abs(places - mask))
        return spatial, tf.reduce_mean(tf.abs(places * shared["fake"] - seen))

    # -- a trained model -----------------------------------------------------------------------------------

    def patches_shape(self) -> tuple[int, ...]:
        return (self.config.patches, *self.config.image_shape)

    def key_patches(self, x: tf.Tensor) -> tf.Tensor:
        squares = key_squares(x, self.config.sides, self.config.patches)
        return cut(x, squares, self.config.image_shape[0])

    def assemble(self, patches: tf.Tensor, given: tf.Tensor, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        return self.with_z(patches, given, self.draw_z(noise))

    def sample(self, noise: Noise) -> tf.Tensor:
        z = self.draw_z(noise)
        rows = tf.shape(z)[0]
        nothing = tf.zeros((rows, self.config.patches), tf.bool)
        return self.with_z(tf.zeros((rows, *self.patches_shape())), nothing, z)[0]

    def with_z(self, patches: tf.Tensor, given: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What `assemble` gives, for z in place of noise."""
        image, places = self.generate(2.0 * patches - 1.0, given, z, training=False)
        return 0.5 * image + 0.5, places[..., 0]
