"""CycleGAN: learns to translate between two kinds of images from examples that are not paired.

Idea: nobody knows what a horse would look like as a zebra, but anybody can tell zebras from other things. A
generator G makes images of the second domain from those of the first, F the other way round, and a
discriminator for each domain tells made images from real ones. That alone would allow any zebra for any
horse: so an image that has gone there and back must be what it was.

Objective, with x of the first domain, y of the second, least squares for the game:

    G, F:  minimise  E (D_Y(G(x)) - 1)^2 + E (D_X(F(y)) - 1)^2
                     + 10 (E |F(G(x)) - x| + E |G(F(y)) - y|) + 5 (E |G(y) - y| + E |F(x) - x|)
    D_Y:   minimise  1/2 E (D_Y(y) - 1)^2 + 1/2 E D_Y(G(x))^2,    and D_X alike

The last two terms of the generators keep colours where they are; the paper has them for paintings and
flowers only. The discriminators see made images of earlier steps too, from a pool of 50.

Reference: Zhu, Park, Isola, Efros, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks, arXiv 1703.10593: equations 1 to 3, section 4 (training), section 5.2 (identity), appendix 7.2
(networks). Convolutions in front of a normalisation have no bias here, since it would take it away again.

Shapes: B rows, H x W x C image, h x w the places at which a discriminator judges.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from zoo.base import Batch, GenerativeModel, Shared, Terms, Translates, Turn
from zoo.errors import UsageError
from zoo.layers.initializers import normal
from zoo.layers.instance_norm import InstanceNorm
from zoo.layers.padding import ReflectionPad
from zoo.layers.pool import ImagePool
from zoo.losses import discriminator_loss, generator_loss, verdicts
from zoo.noise import Noise

CARD = {
    "title": "CycleGAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["translate"],
    "paper": "Zhu, Park, Isola, Efros 2017, arXiv 1703.10593",
    "summary": "translates between two kinds of images, from examples that are not paired",
    "limits": "Draws no images of its own. It changes colours and textures, hardly shapes. Nothing in its "
    "objective says that a translation means the same: where two domains differ in what they show, it adds "
    "and takes away to even that out. What one domain lacks it may hide in faint patterns to find it again.",
    "default": "shapes",
}

PRESETS = {
    "tiny": {
        "config": {
            "domains": ["flat", "outline"],
            "width": 4,
            "blocks": 1,
            "discriminator_width": 4,
            "patch_layers": 1,
            "pool": 3,
            "cycle": 1.0,
        },
        "dataset": "shapes",
        "image_size": 8,
        "batch_size": 4,
        "steps": 4,
        "optimizers": {
            "generators": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "discriminators": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
        },
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "domains": ["flat", "outline"],
            "width": 16,
            "blocks": 3,
            "discriminator_width": 24,
            "patch_layers": 2,
            "residual": True,
        },
        "dataset": "shapes",
        "image_size": 32,
        "batch_size": 4,
        "steps": 8000,
        "optimizers": {
            "generators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 4e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "discriminators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 4e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "coloured shapes filled in, and outlined: no nearer than unchanged yet; 26 min of one core",
    },
    "emoji": {
        "config": {
            "width": 20,
            "blocks": 3,
            "discriminator_width": 32,
            "patch_layers": 2,
            "residual": True,
        },
        "dataset": "folder:IMAGES",
        "image_size": 32,
        "batch_size": 4,
        "steps": 12_000,
        "optimizers": {
            "generators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 2e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "discriminators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 2e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "small pictures in two styles, a folder each; not measured yet",
    },
    "digits": {
        "config": {
            "width": 16,
            "blocks": 3,
            "discriminator_width": 24,
            "patch_layers": 2,
            "identity": 0.0,
            "residual": True,
        },
        "dataset": "folder:IMAGES",
        "image_size": 28,
        "batch_size": 4,
        "steps": 12_000,
        "optimizers": {
            "generators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 4e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "discriminators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 4e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "MNIST to USPS and back, a folder each (benchmarks/domain_folders.py); not measured yet",
    },
    "paper": {
        "config": {"flip": True},
        "dataset": "folder:IMAGES",
        "image_size": 256,
        "batch_size": 1,
        "epochs": 200,
        "optimizers": {
            "generators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 2e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "discriminators": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 2e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "the paper's networks at 256x256: 11.4 M and 2.8 M parameters, two of each",
    },
}

SLOPE = 0.2
#: A discriminator's filters double from layer to layer, so many times at most.
DOUBLINGS = 3


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks and the weights of the terms.

    Attributes:
        image_shape: (H, W, C) in training, H and W multiples of 4. Afterwards images may be of any size.
        domains: the names of the first domain and the second; () for those of the data, if it has two.
        width: filters of a generator's outer layers; 64 in the paper.
        blocks: residual blocks of a generator; 6 in the paper up to 128x128, 9 above.
        discriminator_width: filters of a discriminator's first layer; 64 in the paper.
        patch_layers: a discriminator's layers of stride 2. It judges patches of 16x16 pixels with one, of
            34x34 with two, of 70x70 with the paper's three.
        pool: how many made images of earlier steps the discriminators are shown from, of each domain.
        cycle: the weight of what there and back changes.
        identity: the weight of what a generator changes in an image of its own domain, as a share of `cycle`.
        flip: whether every other image is mirrored in training.
        residual: whether a generator makes the change of an image instead of the image: what is not to
            change is exact then.
        instance_norm: whether a generator is normalised, as in the paper. Instance normalisation forgets
            how bright an image is and how strong its contrast, and so of an image of two colours nearly
            all that tells which they are.
    """

    image_shape: tuple[int, int, int] = (256, 256, 3)
    domains: tuple[str, ...] = ()
    width: int = 64
    blocks: int = 9
    discriminator_width: int = 64
    patch_layers: int = 3
    pool: int = 50
    cycle: float = 10.0
    identity: float = 0.5
    flip: bool = False
    residual: bool = False
    instance_norm: bool = True

    def __post_init__(self) -> None:
        if len(self.domains) not in (0, 2):
            named = ", ".join(self.domains)
            raise UsageError(
                f"domains names {len(self.domains)} ({named}): name two, as in --set domains=[A,B]."
            )
        if min(self.width, self.discriminator_width, self.patch_layers) < 1:
            raise UsageError("width, discriminator_width and patch_layers must be at least 1.")
        if min(self.blocks, self.pool, self.cycle, self.identity) < 0:
            raise UsageError("blocks, pool, cycle and identity must not be negative.")
        height, width, _ = self.image_shape
        if height % 4 or width % 4 or min(height, width) >> self.patch_layers < 3:
            least = max(8, 3 << self.patch_layers)
            raise UsageError(
                f"cyclegan cannot be trained on {height}x{width} with patch_layers={self.patch_layers}: "
                f"sides are multiples of 4 from {least} on. Choose such a size with --image-size."
            )


def convolution(filters: int, size: int, stride: int = 1, **options: Any) -> keras.layers.Conv2D:
    """A convolution whose borders are its caller's matter; weights are drawn from N(0, 0.02)."""
    return keras.layers.Conv2D(filters, size, stride, **{"kernel_initializer": normal(), **options})


def make_generator(config: Config, name: str) -> keras.Model:
    """Images [B, H, W, C] -> images of the same shape, of any H and W that are multiples of 4.

    c7s1-64, d128, d256, the residual blocks R256, u128, u64, c7s1-3 (appendix 7.2). Values are in [-1, 1];
    where changes are made they are not cut, since no gradient comes from beyond a border.
    """
    channels, width = config.image_shape[-1], config.width

    def options() -> dict[str, Any]:
        """Without a normalisation layers need a bias, and weights that keep the size of what goes through."""
        if config.instance_norm:
            return {"use_bias": False, "kernel_initializer": normal()}
        return {"kernel_initializer": keras.initializers.HeNormal()}

    def normalised(x: Any, layer: keras.layers.Layer, rectified: bool = True) -> Any:
        x = InstanceNorm()(layer(x)) if config.instance_norm else layer(x)
        return keras.layers.ReLU()(x) if rectified else x

    image = x = keras.Input((None, None, channels))
    x = normalised(ReflectionPad(3)(x), convolution(width, 7, **options()))
    for factor in (2, 4):
        # Even sides: the last pixel is beyond the border on one side only.
        x = normalised(ReflectionPad(0, 1)(x), convolution(factor * width, 3, 2, **options()))
    for _ in range(config.blocks):
        inner = normalised(ReflectionPad(1)(x), convolution(4 * width, 3, **options()))
        x = x + normalised(ReflectionPad(1)(inner), convolution(4 * width, 3, **options()), False)
    for factor in (2, 1):
        x = normalised(x, keras.layers.Conv2DTranspose(factor * width, 3, 2, "same", **options()))
    last: dict[str, Any] = {"kernel_initializer": "zeros"} if config.residual else {}  # at first no change
    x = convolution(channels, 7, **last)(ReflectionPad(3)(x))
    x = keras.layers.Activation("tanh", dtype="float32")(x)
    if config.residual:
        x = keras.ops.cast(image, "float32") + 2.0 * x
    return keras.Model(image, x, name=name)


def make_discriminator(config: Config, name: str) -> keras.Sequential:
    """Images [B, H, W, C] -> scores [B, h, w, 1], each of one patch, near 1 for real ones.

    C64-C128-C256-C512 and a last convolution (appendix 7.2); the first layer is not normalised.
    """
    width, leaky = config.discriminator_width, keras.layers.LeakyReLU
    layers: list[Any] = [
        keras.Input((None, None, config.image_shape[-1])),
        convolution(width, 4, 2, padding="same"),
        leaky(SLOPE),
    ]
    for index in range(1, config.patch_layers):
        filters = width << min(index, DOUBLINGS)
        layers += [convolution(filters, 4, 2, padding="same", use_bias=False), InstanceNorm(), leaky(SLOPE)]
    filters = width << min(config.patch_layers, DOUBLINGS)
    layers += [
        keras.layers.ZeroPadding2D(1),
        convolution(filters, 4, use_bias=False),
        InstanceNorm(),
        leaky(SLOPE),
        keras.layers.ZeroPadding2D(1),
        convolution(1, 4, dtype="float32"),
    ]
    return keras.Sequential(layers, name=name)


@final
class CycleGAN(GenerativeModel, Translates):
    """Two generators, from each domain to the other, and a discriminator of each domain."""

    unpaired: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.to_second = make_generator(config, "to_second")
        self.to_first = make_generator(config, "to_first")
        self.first_discriminator = make_discriminator(config, "first_discriminator")
        self.second_discriminator = make_discriminator(config, "second_discriminator")
        self.first_pool = ImagePool(config.pool, config.image_shape, name="first_pool")
        self.second_pool = ImagePool(config.pool, config.image_shape, name="second_pool")

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def asks(self) -> tuple[str, tuple[int, ...]]:
        return "domain", (2,)

    def turns(self) -> list[Turn]:
        generators = [*self.to_second.trainable_variables, *self.to_first.trainable_variables]
        judges = [
            *self.first_discriminator.trainable_variables,
            *self.second_discriminator.trainable_variables,
        ]
        return [
            Turn("generators", generators, self.generators_objective, through_shared=True),
            Turn("discriminators", judges, self.discriminators_objective),
        ]

    def images(self, batch: Batch, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        """Real images of the first and of the second domain, [B, H, W, C] in [-1, 1]."""
        found = []
        for name in ("image", "other_image"):
            image = 2.0 * batch[name] - 1.0
            if self.config.flip:
                mirrored = noise.uniform(f"flip {name}", ())[:, None, None, None] < 0.5
                image = tf.where(mirrored, image[:, :, ::-1], image)
            found.append(image)
        return found[0], found[1]

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        first, second = self.images(batch, noise)
        return {"made_second": self.to_second(first), "made_first": self.to_first(second)}

    def generators_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        first, second = self.images(batch, noise)
        made_first, made_second = shared["made_first"], shared["made_second"]
        # The paper squares the whole distance; `generator_loss` has the half of it.
        loss = 2.0 * generator_loss(self.first_discriminator(made_first), "least_squares")
        loss += 2.0 * generator_loss(self.second_discriminator(made_second), "least_squares")
        terms = {"generators_loss": loss}
        # There and back, and one's own domain: each generator sees both in one batch.
        own = bool(self.config.identity)
        again = self.to_first(tf.concat([made_second, first], 0) if own else made_second)
        first_again, first_same = tf.split(again, 2) if own else (again, None)
        again = self.to_second(tf.concat([made_first, second], 0) if own else made_first)
        second_again, second_same = tf.split(again, 2) if own else (again, None)
        terms["cycle"] = apart(first_again, first) + apart(second_again, second)
        loss += self.config.cycle * terms["cycle"]
        if own:
            terms["identity"] = apart(first_same, first) + apart(second_same, second)
            loss += self.config.identity * self.config.cycle * terms["identity"]
        return loss, terms

    def discriminators_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        first, second = self.images(batch, noise)
        sides = {
            "first": (self.first_discriminator, self.first_pool, first),
            "second": (self.second_discriminator, self.second_pool, second),
        }
        loss, found = tf.zeros(()), []
        for name, (judge, pool, real) in sides.items():
            swap, place = (noise.uniform(f"{name} {what}", ()) for what in ("swap", "place"))
            made = pool(tf.cast(shared[f"made_{name}"], tf.float32), swap, place)
            on_real, on_made = tf.split(judge(tf.concat([real, made], 0)), 2)
            loss += discriminator_loss(on_real, on_made, "least_squares")
            found.append(verdicts(on_real, on_made, "least_squares"))
        terms = {name: 0.5 * (found[0][name] + found[1][name]) for name in found[0]}
        return loss, {"discriminators_loss": loss, **terms}

    def translate(self, x: tf.Tensor, to: tf.Tensor) -> tf.Tensor:
        x = 2.0 * x - 1.0
        places = [tf.where(rows)[:, 0] for rows in (to == 0, to != 0)]  # each row is in one of them

        def through(network: keras.Model, rows: tf.Tensor) -> tf.Tensor:
            return tf.cond(tf.size(rows) > 0, lambda: network(tf.gather(x, rows)), lambda: x[:0])

        made = [through(self.to_first, places[0]), through(self.to_second, places[1])]
        joined = tf.dynamic_stitch([tf.cast(rows, tf.int32) for rows in places], made)
        return tf.clip_by_value(0.5 * joined + 0.5, 0.0, 1.0)


def apart(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The mean absolute difference of two batches of images."""
    return tf.reduce_mean(tf.abs(a - b))
