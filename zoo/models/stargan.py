"""StarGAN: one generator for all domains, or for attributes that are changed one by one.

Idea: to translate between K domains in pairs takes K (K - 1) generators. Here one generator G(x, c) is told
by maps of constants what is wanted: a domain, or values of attributes. The discriminator judges whether an
image is real, patch by patch, and besides reads off what domain it is of: it learns that from real images,
and G is to make it read what was asked for. Translating back with the original's own label must give the
original again.

Objective, with c' the label of the real image x, and c the label that is asked for:

    D:  minimise  E D(G(x, c)) - E D(x) + 10 E (|grad D(y)| - 1)^2 - E log D_cls(c' | x)
    G:  minimise  -E D(G(x, c)) - E log D_cls(c | G(x, c)) + 10 E |x - G(G(x, c), c')|

Several data sets at once: of an image only the labels of its own data set are known. The others are 0, and a
mask says which are meant; what is not known is neither classified nor asked for. Where single labels of its
own data set are unknown too, G is told them as D reads them.

Reference: Choi et al., StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation, arXiv 1711.09020: equations 1 to 8, section 3.2 (several data sets), section 3.3 (WGAN-GP),
tables 4 and 5 (networks). The generator's borders are zeros, as in the authors' code: with reflection a map
of constants would be constant after the first convolution too, and instance normalisation would remove it.

Shapes: B rows, H x W x C image, A labels of an image, L numbers that tell them, K values of one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, final

import keras
import tensorflow as tf

from zoo.base import Batch, GenerativeModel, Shared, Terms, Translates, Turn
from zoo.errors import UsageError
from zoo.layers.instance_norm import InstanceNorm
from zoo.losses import class_cross_entropy, discriminator_loss, generator_loss, gradient_penalty, verdicts
from zoo.noise import Noise

CARD = {
    "title": "StarGAN",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["translate"],
    "paper": "Choi et al. 2018, arXiv 1711.09020",
    "summary": "one generator that translates between many domains, or changes attributes",
    "limits": "Draws no images of its own, and one translation of each image. It changes colours and "
    "textures, hardly shapes. What is not asked for may change too, where it goes with what is: of "
    "attributes that mostly come together one cannot be changed alone.",
    "default": "shapes",
}

PRESETS = {
    "tiny": {
        "config": {"width": 4, "blocks": 1, "discriminator_width": 4, "layers": 2, "critic_steps": 2},
        "dataset": "shapes",
        "image_size": 8,
        "batch_size": 4,
        "steps": 4,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.5},
        },
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "width": 16,
            "blocks": 3,
            "discriminator_width": 24,
            "layers": 4,
            "critic_steps": 3,
            "residual": True,
        },
        "dataset": "shapes",
        "image_size": 32,
        "batch_size": 8,
        "steps": 15_000,
        "optimizers": {
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 3e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "generator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 3e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "coloured shapes in any of four drawing styles; not measured yet",
    },
    "colours": {
        "config": {
            "changes": ["colour", "background"],
            "width": 16,
            "blocks": 3,
            "discriminator_width": 24,
            "layers": 4,
            "critic_steps": 3,
            "residual": True,
        },
        "dataset": "shapes",
        "image_size": 32,
        "batch_size": 8,
        "steps": 15_000,
        "optimizers": {
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 3e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "generator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 3e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "shapes in another colour, or on the other background; not measured yet",
    },
    "emoji": {
        "config": {
            "width": 20,
            "blocks": 3,
            "discriminator_width": 32,
            "layers": 4,
            "critic_steps": 3,
            "residual": True,
        },
        "dataset": "folder:IMAGES",
        "image_size": 32,
        "batch_size": 8,
        "steps": 24_000,
        "optimizers": {
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 2e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "generator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 2e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "small pictures in any of several styles, a folder each; not measured yet",
    },
    "paper": {
        "config": {"flip": True},
        "dataset": "folder:IMAGES",
        "image_size": 128,
        "batch_size": 16,
        "steps": 200_000,
        "optimizers": {
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 1e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
            "generator": {
                "name": "adam",
                "learning_rate": {"schedule": "linear", "start": 1e-4, "end": 0.0, "flat": 0.5},
                "beta_1": 0.5,
            },
        },
        "expect": "the paper's networks at 128x128: 8.4 M parameters the generator, 44.8 M the discriminator",
    },
}

SLOPE = 0.01


@dataclasses.dataclass(frozen=True)
class Config:
    """The labels, the networks and the weights of the terms.

    Attributes:
        image_shape: (H, W, C) in training, H and W multiples of 2^layers. Afterwards images may be of any
            size.
        domains: the names of the domains; () for all that the data has.
        changes: the names of the attributes that it changes; () for the domain.
        values: how many values each label has, filled in from the data.
        groups: which labels are known of the same images, filled in from the data: a data set each.
        width: filters of the generator's outer layers; 64 in the paper.
        blocks: its residual blocks; 6 in the paper.
        discriminator_width: filters of the discriminator's first layer, which double from layer to layer; 64
            in the paper.
        layers: its layers of stride 2; 6 in the paper, of 128x128. What is left after them, one convolution
            reads the labels from.
        critic_steps: D moves so often for one move of G; 5 in the paper.
        penalty: the weight of the gradient penalty.
        classification: the weight of the labels that D reads.
        reconstruction: the weight of what there and back changes.
        flip: whether every other image is mirrored in training.
        residual: whether the generator makes the change of an image instead of the image: what is not to
            change is exact then.
        instance_norm: whether the generator is normalised, as in the paper. Instance normalisation forgets
            how bright an image is and how strong its contrast, and so of an image of two colours nearly
            all that tells which they are.
    """

    image_shape: tuple[int, int, int] = (128, 128, 3)
    domains: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    values: tuple[int, ...] = (4,)
    groups: tuple[tuple[int, ...], ...] = ((0,),)
    width: int = 64
    blocks: int = 6
    discriminator_width: int = 64
    layers: int = 6
    critic_steps: int = 5
    penalty: float = 10.0
    classification: float = 1.0
    reconstruction: float = 10.0
    flip: bool = False
    residual: bool = False
    instance_norm: bool = True

    def __post_init__(self) -> None:
        if self.domains and self.changes:
            raise UsageError("stargan changes the domain or attributes: leave out domains or changes.")
        if min(self.values, default=0) < 2:
            raise UsageError(
                f"stargan has nothing to translate to: the data has {self.values[0]} domain."
                if len(self.values) == 1
                else "stargan needs at least two values of each attribute."
            )
        if sorted(label for group in self.groups for label in group) != [*range(len(self.values))]:
            raise UsageError("groups must name each label once, by its number from 0.")
        if min(self.width, self.discriminator_width, self.layers, self.critic_steps) < 1:
            raise UsageError("width, discriminator_width, layers and critic_steps must be at least 1.")
        if min(self.blocks, self.penalty, self.classification, self.reconstruction) < 0:
            raise UsageError("blocks, penalty, classification and reconstruction must not be negative.")
        height, width, _ = self.image_shape
        step = max(4, 1 << self.layers)
        if height % step or width % step:
            raise UsageError(
                f"stargan cannot be trained on {height}x{width} with layers={self.layers}: sides are "
                f"multiples of {step}. Choose such a size with --image-size, or fewer --set layers=N."
            )

    @property
    def numbers(self) -> tuple[int, ...]:
        """How many numbers tell each label: one for two values, else one for each value."""
        return tuple(1 if count == 2 else count for count in self.values)

    @property
    def label_size(self) -> int:
        """L: the numbers of all labels, and the mask where there are several data sets."""
        return sum(self.numbers) + (len(self.groups) if len(self.groups) > 1 else 0)


def known_groups(config: Config, label: tf.Tensor) -> tf.Tensor:
    """Which data sets' labels are given, bool [B, groups], of labels int32 [B, A], -1 where unknown."""
    found = [tf.reduce_any(tf.gather(label, group, axis=1) >= 0, 1) for group in config.groups]
    return tf.stack(found, 1)


def label_vector(config: Config, label: tf.Tensor) -> tf.Tensor:
    """Labels int32 [B, A], -1 where unknown, as the generator is told them: float32 [B, L].

    Of two values 0 or 1, of more a one-hot vector, zeros where unknown; then, of several data sets, the mask.
    """
    parts = []
    for column, count in enumerate(config.values):
        value = label[:, column]
        parts.append(tf.one_hot(value, count)[:, 1:] if count == 2 else tf.one_hot(value, count))
    if len(config.groups) > 1:
        parts.append(tf.cast(known_groups(config, label), tf.float32))
    return tf.concat(parts, 1)


def uniform_by_inputs() -> keras.initializers.Initializer:
    """Uniform within 1 / sqrt(inputs), as the authors' framework begins."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform")


def convolution(filters: int, size: int, stride: int = 1, **options: Any) -> keras.layers.Conv2D:
    """A convolution over an image with a border of zeros."""
    return keras.layers.Conv2D(
        filters,
        size,
        stride,
        "same",
        **{"kernel_initializer": uniform_by_inputs(), "use_bias": False, **options},
    )


def make_generator(config: Config) -> keras.Model:
    """Images and labels [B, H, W, C + L] -> images [B, H, W, C] (table 4).

    Values are in [-1, 1]; where changes are made they are not cut, since no gradient comes from beyond a
    border.
    """
    channels, width = config.image_shape[-1], config.width

    def options() -> dict[str, Any]:
        """Without a normalisation layers need a bias, and weights that keep the size of what goes through."""
        if config.instance_norm:
            return {"use_bias": False, "kernel_initializer": uniform_by_inputs()}
        return {"use_bias": True, "kernel_initializer": keras.initializers.HeNormal()}

    def normalised(x: Any, layer: keras.layers.Layer, rectified: bool = True) -> Any:
        x = InstanceNorm(affine=True)(layer(x)) if config.instance_norm else layer(x)
        return keras.layers.ReLU()(x) if rectified else x

    told = x = keras.Input((None, None, channels + config.label_size))
    x = normalised(x, convolution(width, 7, **options()))
    for factor in (2, 4):
        x = normalised(x, convolution(factor * width, 4, 2, **options()))
    for _ in range(config.blocks):
        inner = normalised(x, convolution(4 * width, 3, **options()))
        x = x + normalised(inner, convolution(4 * width, 3, **options()), False)
    for factor in (2, 1):
        x = normalised(x, keras.layers.Conv2DTranspose(factor * width, 4, 2, "same", **options()))
    last: dict[str, Any] = {"kernel_initializer": "zeros"} if config.residual else {}  # at first no change
    x = keras.layers.Activation("tanh", dtype="float32")(convolution(channels, 7, **last)(x))
    if config.residual:
        x = keras.ops.cast(told[..., :channels], "float32") + 2.0 * x
    return keras.Model(told, x, name="generator")


def make_discriminator(config: Config) -> keras.Model:
    """Images [B, H, W, C] -> scores of patches [B, h, w, 1], and what is read of the labels (table 5).

    The latter are logits [B, L without the mask]: of a label of two values one number, else one for each.
    """
    height, width, channels = config.image_shape
    image = x = keras.Input((height, width, channels))
    for index in range(config.layers):
        x = convolution(config.discriminator_width << index, 4, 2, use_bias=True)(x)
        x = keras.layers.LeakyReLU(SLOPE)(x)
    scores = convolution(1, 3, dtype="float32")(x)
    rest = (height >> config.layers, width >> config.layers)
    read = keras.layers.Conv2D(
        sum(config.numbers), rest, use_bias=False, kernel_initializer=uniform_by_inputs(), dtype="float32"
    )(x)
    return keras.Model(image, [scores, keras.layers.Flatten()(read)], name="discriminator")


@final
class StarGAN(GenerativeModel, Translates):
    """One generator that is told what is wanted, and a discriminator that reads what there is."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = make_generator(config)
        self.discriminator = make_discriminator(config)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def asks(self) -> tuple[str, tuple[int, ...]]:
        return ("attributes" if self.config.changes else "domain"), self.config.values

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

    # -- labels --------------------------------------------------------------------------------------------

    def labels(self, batch: Batch, prefix: str = "") -> tf.Tensor:
        """What is known of images, or, of those beside them, what is asked for: int32 [B, A]."""
        name, _ = self.asks()
        found = tf.cast(batch[prefix + name], tf.int32)
        return found if self.config.changes else found[:, None]

    def logits(self, read: tf.Tensor) -> list[tf.Tensor]:
        """What the discriminator reads [B, L without the mask] -> the logits of each label, [B, K]."""
        parts = tf.split(read, self.config.numbers, 1)
        # One number is the logit of the second of two values.
        return [tf.concat([tf.zeros_like(part), part], 1) if part.shape[1] == 1 else part for part in parts]

    def classification(self, read: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The cross-entropy of the labels that are known, summed over labels; and how often they are right.

        Args:
            read: what the discriminator reads [B, L without the mask].
            label: int32 [B, A], -1 where unknown.

        Returns:
            Nats, and a share that is the mean over labels.
        """
        found = [
            class_cross_entropy(logits, label[:, column]) for column, logits in enumerate(self.logits(read))
        ]
        losses, right = zip(*found, strict=True)
        return tf.add_n(losses), tf.add_n(right) / len(right)

    # -- training ------------------------------------------------------------------------------------------

    def real(self, batch: Batch, noise: Noise) -> tf.Tensor:
        """Real images [B, H, W, C] in [-1, 1]."""
        image = 2.0 * batch["image"] - 1.0
        if not self.config.flip:
            return image
        mirrored = noise.uniform("flip", ())[:, None, None, None] < 0.5
        return tf.where(mirrored, image[:, :, ::-1], image)

    def generate(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [-1, 1] as labels int32 [B, A] ask for them."""
        vector = label_vector(self.config, label)[:, None, None, :]
        maps = tf.broadcast_to(vector, tf.concat([tf.shape(image)[:3], [vector.shape[-1]]], 0))
        return self.generator(tf.concat([image, tf.cast(maps, image.dtype)], -1))

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        real = self.real(batch, noise)
        return {"fake": self.generate(real, self.completed(real, self.labels(batch, "other_")))}

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        real, label = self.real(batch, noise), self.labels(batch)
        scores, read = self.discriminator(tf.concat([real, shared["fake"]], 0))
        on_real, on_fake = tf.split(scores, 2)
        penalty = gradient_penalty(
            lambda between: self.discriminator(between)[0],
            real,
            shared["fake"],
            noise.uniform("between", ()),
            self.config.penalty,
        )
        # Made images are not classified: D would learn to read what G writes for it.
        classified, accuracy = self.classification(tf.split(read, 2)[0], label)
        loss = discriminator_loss(on_real, on_fake, "wgan_gp") + penalty
        loss += self.config.classification * classified
        return loss, {
            "discriminator_loss": loss,
            "gradient_penalty": penalty,
            "real_classification": classified,
            "real_label_accuracy": accuracy,
            **verdicts(on_real, on_fake, "wgan_gp"),
        }

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        scores, read = self.discriminator(shared["fake"])
        classified, accuracy = self.classification(read, self.labels(batch, "other_"))
        real = self.real(batch, noise)
        again = self.generate(shared["fake"], self.completed(real, self.labels(batch)))
        changed = tf.reduce_mean(tf.abs(real - again))
        loss = generator_loss(scores, "wgan_gp")
        terms = {
            "generator_loss": loss,
            "fake_classification": classified,
            "fake_label_accuracy": accuracy,
            "reconstruction": changed,
        }
        loss += self.config.classification * classified + self.config.reconstruction * changed
        return loss, terms

    # -- translation ---------------------------------------------------------------------------------------

    def translate(self, x: tf.Tensor, to: tf.Tensor) -> tf.Tensor:
        image = 2.0 * x - 1.0
        label = to if self.config.changes else to[:, None]
        made = self.generate(image, self.completed(image, label))
        return tf.clip_by_value(0.5 * made + 0.5, 0.0, 1.0)

    def completed(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Labels [B, A] of which some are given, the others of their data sets as D reads them in the images.

        A generator is told all labels of a data set, or none. D takes images of one size.
        """
        if max(map(len, self.config.groups)) == 1:
            return label
        groups = [
            next(index for index, group in enumerate(self.config.groups) if column in group)
            for column in range(len(self.config.values))
        ]
        lacking = (label < 0) & tf.gather(known_groups(self.config, label), groups, axis=1)

        def read() -> tf.Tensor:
            size, x = self.config.image_shape[:2], image
            if (*x.shape[1:3],) != (*size,):  # in training they are of that size
                x = tf.image.resize(x, size, antialias=True)
            likeliest = [tf.argmax(logits, -1, tf.int32) for logits in self.logits(self.discriminator(x)[1])]
            return tf.where(lacking, tf.stack(likeliest, 1), label)

        return tf.cond(tf.reduce_any(lacking), read, lambda: label)
