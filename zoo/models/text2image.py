"""GAN-INT-CLS: an image from a sentence.

Idea: a conditional GAN whose condition is a text. The discriminator is *matching-aware* (CLS): beside
generated images it is shown real ones under captions that do not fit, so that it must read, and tells the
generator what the words ask for. And the generator learns from more captions than there are (INT): from
points halfway between two of them, for which no image is needed: only the discriminator's opinion counts.

Objective: with s = D(image, caption), t the caption of x, t' one of another meaning, and z drawn,
D minimises -E [log s(x, t) + 1/2 log(1 - s(x, t')) + 1/2 log(1 - s(G(z, t), t))];
G minimises -E log s(G(z, t), t) - E log s(G(z, m), m), where m = 1/2 t + 1/2 t' as the encoder reads them.

Reference: Reed et al., Generative Adversarial Text to Image Synthesis, arXiv 1605.05396: section 4.1 and
figure 2 (networks), 4.2 and algorithm 1 (CLS), 4.3 and equation 5 (INT); the authors' code has the residual
blocks, and draws interpolations for half a batch. Two things differ: the captions are read by a Transformer
(arXiv 1706.03762) that the discriminator trains, and not by a network that was trained before; and the
discriminator may have an inner product of image and caption beside its joint layers (Miyato and Koyama,
cGANs with Projection Discriminator, arXiv 1802.05637, equation 4).

Shapes: B rows, H x W x C image, h x w x F the smallest map, T tokens of a caption, e numbers that a caption
is read as.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, final

import keras
import tensorflow as tf

from zoo.base import Batch, Blends, GenerativeModel, Shared, Terms, Turn
from zoo.errors import UsageError
from zoo.layers.batch_norm import BatchNorm
from zoo.layers.initializers import normal
from zoo.layers.text import NOTHING, Unit, encode
from zoo.layers.transformer import Block, layer_norm, sinusoids
from zoo.losses import cross_entropy, generator_loss, real_gradient_penalty, verdicts
from zoo.noise import Noise

CARD = {
    "title": "GAN-INT-CLS",
    "family": "adversarial",
    "likelihood": "implicit",
    "capabilities": ["sample_with", "blend"],
    "paper": "Reed et al. 2016, arXiv 1605.05396",
    "summary": "text to image: a GAN whose discriminator knows whether a caption fits",
    "default": "shapes",
    "limits": "Has no likelihood, and draws nothing without a caption. It knows the words that it was "
    "trained on; what it draws for a sentence unlike the captions of its data means little.",
}

PRESETS = {
    "tiny": {
        "config": {
            "caption_size": 8,
            "depth": 0,
            "caption_units": 4,
            "noise_size": 4,
            "generator_width": 4,
            "discriminator_width": 4,
            "residual": False,
            "projection": True,
            "wrong_candidates": 2,
        },
        "dataset": "shapes",
        "image_size": 8,
        "batch_size": 16,
        "steps": 4,
        "optimizers": {
            "discriminator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            "generator": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
        },
        "averages": {"discriminator": 0.9, "generator": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "caption_size": 64,
            "noise_size": 64,
            "generator_width": 32,
            "discriminator_width": 32,
            "hidden": 256,
            "projection": True,
            "discriminator_norm": False,
            "real_penalty": 1.0,
            "wrong_candidates": 16,
        },
        "dataset": "shapes/heldout",
        "batch_size": 64,
        "epochs": 32,
        "optimizers": {
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-4, "end": 2e-5},
                "beta_1": 0.5,
            },
            "generator": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 1e-3, "end": 1e-4},
                "beta_1": 0.5,
            },
        },
        "averages": {"discriminator": 0.999, "generator": 0.999},
        "expect": "shapes as the caption says, in pairs of shape and colour that were never shown; "
        "not measured yet",
    },
    "paper": {
        "config": {"text": "characters", "caption_size": 256, "depth": 2},
        "dataset": "folder:IMAGES",
        "image_size": 64,
        "batch_size": 64,
        "epochs": 600,
        "optimizers": {
            "discriminator": {
                "name": "adam",
                "learning_rate": {"schedule": "exponential", "start": 2e-4, "end": 3.125e-6},
                "beta_1": 0.5,
            },
            "generator": {
                "name": "adam",
                "learning_rate": {"schedule": "exponential", "start": 2e-4, "end": 3.125e-6},
                "beta_1": 0.5,
            },
        },
        "averages": {"discriminator": 0.999, "generator": 0.999},
        "expect": "the paper's networks at 64x64 on a folder with captions.tsv: for a GPU",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The encoder and the networks.

    Attributes:
        image_shape: (H, W, C); each side is 4 to 7 times the same power of two.
        text: what a token of a caption is.
        source_vocabulary: the symbol of each token.
        source_length: the most tokens of a caption of the training data.
        caption_size: e, the width of the encoder too; 1,024 in the paper.
        depth: the encoder's blocks; 0: each token is read by itself.
        heads: of its attention, a divisor of `caption_size`.
        caption_units: what each network makes of a caption before it uses it.
        noise_size: the length of z, normal.
        generator_width, discriminator_width: filters of the layer next to the image; they double toward the
            smallest map.
        residual: whether the generator has a residual block at its first two maps, and the discriminator one
            at its last, as in the authors' code.
        hidden: units of one fully connected layer between caption and z and the generator's first map; 0 for
            none, as in the paper.
        projection: whether the discriminator has the inner product of image and caption.
        discriminator_norm: whether the discriminator has batch normalisation, as in the paper.
        real_penalty: gamma of the penalty on the discriminator's gradient at real images (R1), which leaves a
            generator something to follow; 0: none, as in the paper. It needs `discriminator_norm` to be off.
        wrong_candidates: of so many captions of other meaning the one that shares most words with the right
            one is the wrong one. 1: any, as in the paper.
        interpolation: the weight of the captions halfway; 1 in the authors' code, 0 is GAN-CLS.
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    text: Unit = "words"
    source_vocabulary: tuple[str, ...] = ("a",)
    source_length: int = 20
    caption_size: int = 256
    depth: int = 1
    heads: int = 4
    caption_units: int = 128
    noise_size: int = 100
    generator_width: int = 128
    discriminator_width: int = 64
    residual: bool = True
    hidden: int = 0
    projection: bool = False
    discriminator_norm: bool = True
    real_penalty: float = 0.0
    wrong_candidates: int = 1
    interpolation: float = 1.0

    def __post_init__(self) -> None:
        sizes = (self.caption_size, self.heads, self.caption_units, self.noise_size, self.wrong_candidates)
        if min(sizes) < 1 or min(self.depth, self.hidden, self.interpolation) < 0:
            raise UsageError(
                "all sizes of text2image and wrong_candidates must be at least 1, and depth, hidden and "
                "interpolation not negative."
            )
        if min(self.generator_width, self.discriminator_width) < 4:
            raise UsageError("generator_width and discriminator_width must be at least 4.")
        if self.real_penalty < 0:
            raise UsageError("real_penalty must not be negative.")
        if self.real_penalty and self.discriminator_norm:
            raise UsageError(
                "real_penalty needs discriminator_norm=false: with batch normalisation a logit has no "
                "gradient of one image alone."
            )
        if self.caption_size % self.heads:
            raise UsageError(f"caption_size={self.caption_size} is not a multiple of heads={self.heads}.")
        height, width, _ = self.image_shape
        if self.doublings < 1 or height % 2**self.doublings or width % 2**self.doublings:
            raise UsageError(
                f"text2image cannot draw {height}x{width}: it doubles a small square, as for 28, 32, 48 or "
                "64. Choose such a size with --image-size."
            )

    @property
    def doublings(self) -> int:
        """How often the generator doubles its first map, whose shorter side is 4 to 7."""
        return (min(self.image_shape[:2]) // 4).bit_length() - 1

    @property
    def smallest(self) -> tuple[int, int]:
        """(h, w) of the smallest map."""
        height, width, _ = self.image_shape
        return height >> self.doublings, width >> self.doublings


def batch_norm() -> keras.layers.Layer:
    """Batch normalisation over all replicas."""
    scale = normal(mean=1.0)
    return BatchNorm(momentum=0.9, epsilon=1e-5, gamma_initializer=scale)


def convolution(
    x: Any, filters: int, size: int, activation: keras.layers.Layer | None, norm: bool = True
) -> Any:
    """A convolution of stride 1, normalised where asked."""
    x = keras.layers.Conv2D(filters, size, 1, "same", use_bias=not norm, kernel_initializer=normal())(x)
    x = batch_norm()(x) if norm else x
    return activation(x) if activation else x


def activated(
    x: Any, residual: bool, activation: type[keras.layers.Layer], norm: bool = True, **options: Any
) -> Any:
    """A map, activated; before that the authors' code adds three convolutions at a quarter of the filters."""
    if residual:
        filters = x.shape[-1]
        y = convolution(x, filters // 4, 1, activation(**options), norm)
        y = convolution(y, filters // 4, 3, activation(**options), norm)
        x = keras.layers.Add()([x, convolution(y, filters, 3, None, norm)])
    return activation(**options)(x)


def caption_layer(config: Config, caption: Any) -> Any:
    """What a network makes of a caption [B, e] before it uses it."""
    return keras.layers.LeakyReLU(0.2)(keras.layers.Dense(config.caption_units)(caption))


def make_generator(config: Config) -> keras.Model:
    """Caption [B, e] and z [B, noise_size] -> image [B, H, W, C] in [-1, 1]."""
    caption, z = keras.Input((config.caption_size,)), keras.Input((config.noise_size,))
    x = keras.layers.Concatenate()([z, caption_layer(config, caption)])
    if config.hidden:
        x = keras.layers.Dense(config.hidden, use_bias=False, kernel_initializer=normal())(x)
        x = keras.layers.ReLU()(batch_norm()(x))
    filters = config.generator_width * 2 ** (config.doublings - 1)
    first = (*config.smallest, filters)
    x = keras.layers.Dense(math.prod(first), use_bias=False, kernel_initializer=normal())(x)
    x = keras.layers.Reshape(first)(batch_norm()(x))  # each unit by itself
    x = activated(x, config.residual, keras.layers.ReLU)
    for index in range(config.doublings - 1):
        filters //= 2
        x = keras.layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=normal())(
            x
        )
        x = activated(batch_norm()(x), config.residual and not index, keras.layers.ReLU)
    x = keras.layers.Conv2DTranspose(config.image_shape[2], 4, 2, "same", kernel_initializer=normal())(x)
    image = keras.layers.Activation("tanh", dtype="float32")(x)
    return keras.Model([caption, z], image, name="generator")


def make_viewer(config: Config) -> keras.Model:
    """Image [B, H, W, C] -> what the discriminator sees in it, whatever the caption, [B, h, w, F]."""
    x = image = keras.Input(config.image_shape)
    for index in range(config.doublings):
        filters = config.discriminator_width * 2**index
        norm = config.discriminator_norm and index > 0
        x = keras.layers.Conv2D(filters, 4, 2, "same", use_bias=not norm, kernel_initializer=normal())(x)
        x = batch_norm()(x) if norm else x
        residual = config.residual and index + 1 == config.doublings
        x = activated(x, residual, keras.layers.LeakyReLU, config.discriminator_norm, negative_slope=0.2)
    return keras.Model(image, x, name="viewer")


def make_matcher(config: Config) -> keras.Model:
    """What is seen [B, h, w, F] and a caption [B, e] -> logit [B, 1] that it is real and the caption fits."""
    filters = config.discriminator_width * 2 ** (config.doublings - 1)
    seen, caption = keras.Input((*config.smallest, filters)), keras.Input((config.caption_size,))
    read = keras.layers.Reshape((1, 1, config.caption_units))(caption_layer(config, caption))
    everywhere = keras.layers.UpSampling2D(config.smallest)(read)
    joint = keras.layers.Concatenate()([seen, everywhere])
    joint = convolution(joint, filters, 1, keras.layers.LeakyReLU(0.2), config.discriminator_norm)
    flat = keras.layers.Flatten()(joint)
    logit = keras.layers.Dense(1, kernel_initializer=normal(), dtype="float32")(flat)
    if config.projection:
        units = config.caption_units
        small = keras.initializers.VarianceScaling(1.0 / units)
        of_image = keras.layers.Dense(units)(keras.layers.Flatten()(seen))
        of_caption = keras.layers.Dense(units, use_bias=False, kernel_initializer=small)(caption)
        product = keras.layers.Dot(1, dtype="float32")([of_image, of_caption])
        logit = keras.layers.Add(dtype="float32")([logit, product])
    return keras.Model([seen, caption], logit, name="matcher")


def matching_loss(real: tf.Tensor, wrong: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """What a matching-aware discriminator minimises (algorithm 1, line 9).

    Args:
        real: logits [B] of real images under their captions.
        wrong: of the same images under captions that do not fit.
        fake: of generated images under the captions that they were made for.
    """
    return cross_entropy(real, 1.0) + 0.5 * (cross_entropy(wrong, 0.0) + cross_entropy(fake, 0.0))


@final
class Text2Image(GenerativeModel, Blends):
    """The matching-aware GAN with captions between captions."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size = config.caption_size
        self.embedding = self.add_weight(
            shape=(len(config.source_vocabulary), size),
            initializer=normal(1.0),
            name="embedding",
        )
        self.blocks = [Block(size, config.heads, 2 * size, name=f"block_{i}") for i in range(config.depth)]
        for block in self.blocks:
            block.build()
        self.norm = layer_norm(size, "norm")
        self.generator = make_generator(config)
        self.viewer = make_viewer(config)
        self.matcher = make_matcher(config)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        layers = (*self.blocks, self.norm, self.viewer, self.matcher)
        reading = [self.embedding, *(each for layer in layers for each in layer.trainable_variables)]
        return [
            Turn("discriminator", reading, self.discriminator_objective, through_shared=True),
            Turn(
                "generator",
                self.generator.trainable_variables,
                self.generator_objective,
                through_shared=True,
            ),
        ]

    # -- reading a caption ---------------------------------------------------------------------------------

    def read(self, text: tf.Tensor) -> tf.Tensor:
        """Captions, string [B], as numbers [B, e].

        They are the sum of what the encoder makes of the tokens, over the root of how many they are: a word
        counts for less in a longer sentence, and not for as little as in a mean.
        """
        tokens = encode(text, self.config.source_vocabulary, self.config.text)  # [B, T]
        visible = tokens != NOTHING
        place = sinusoids(tf.range(tf.shape(tokens)[1]), self.config.caption_size)
        x = tf.cast(tf.gather(self.embedding.value, tf.maximum(tokens, 0)) + place, self.compute_dtype)
        for block in self.blocks:
            x, _ = block(x, visible=visible)
        counted = tf.cast(visible, tf.float32)[:, :, None]
        total = tf.reduce_sum(tf.cast(self.norm(x), tf.float32) * counted, 1)
        return total / tf.sqrt(tf.maximum(tf.reduce_sum(counted, 1), 1.0))

    # -- the game ------------------------------------------------------------------------------------------

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        caption, wrong = tf.split(self.read(tf.concat([batch["caption"], batch["wrong_caption"]], 0)), 2)
        z = noise.normal("code", (self.config.noise_size,))
        # The encoder is trained by what the discriminator makes of captions, and not by what is drawn.
        fake = self.generator([tf.stop_gradient(caption), z], training=True)
        return {"fake": fake, "caption": caption, "wrong": wrong}

    def match(self, image: tf.Tensor, *captions: tf.Tensor) -> list[tf.Tensor]:
        """Logits [B] that images [B, H, W, C] in [-1, 1] are real and fit, for each batch of captions [B, e].

        An image is looked at once. Batch statistics are those of one kind of pair.
        """
        seen = self.viewer(image, training=True)
        return [self.matcher([seen, caption], training=True)[:, 0] for caption in captions]

    def discriminator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        image = 2.0 * batch["image"] - 1.0
        on_right, on_wrong = self.match(image, shared["caption"], shared["wrong"])
        (on_fake,) = self.match(shared["fake"], shared["caption"])
        loss = matching_loss(on_right, on_wrong, on_fake)
        told = verdicts(on_right, on_fake)
        told["wrong_probability"] = tf.reduce_mean(tf.sigmoid(tf.cast(on_wrong, tf.float32)))
        if self.config.real_penalty:
            told["gradient_penalty"] = real_gradient_penalty(
                lambda x: self.match(x, shared["caption"])[0], image, self.config.real_penalty
            )
            loss += told["gradient_penalty"]
        return loss, {"discriminator_loss": loss, **told}

    def generator_objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        (on_fake,) = self.match(shared["fake"], shared["caption"])
        loss = generator_loss(on_fake)
        terms = {"generator_loss": loss}
        if self.config.interpolation:
            # Of every other row: half a batch, in whatever parts replicas have it.
            between = 0.5 * (shared["caption"] + shared["wrong"])[::2]
            z = noise.normal("code between", (self.config.noise_size,))[::2]
            (on_between,) = self.match(self.generator([between, z], training=True), between)
            terms["interpolation_loss"] = generator_loss(on_between)
            loss += self.config.interpolation * terms["interpolation_loss"]
        return loss, terms

    # -- drawing -------------------------------------------------------------------------------------------

    def draw(self, noise: Noise, caption: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] for captions [B, e]."""
        z = noise.normal("code", (self.config.noise_size,))
        return 0.5 * self.generator([caption, z], training=False) + 0.5

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"prompt": tf.TensorSpec([None], tf.string)}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.draw(noise, self.read(conditions["prompt"]))

    def sample_between(
        self, noise: Noise, prompt: tf.Tensor, other_prompt: tf.Tensor, share: tf.Tensor
    ) -> tf.Tensor:
        share = share[:, None]
        return self.draw(noise, (1.0 - share) * self.read(prompt) + share * self.read(other_prompt))
