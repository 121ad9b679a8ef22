"""dVAE: an autoencoder whose code is a grid of tokens; the first stage of DALL-E.

Idea: each place of a small grid holds one of K tokens. Training relaxes the choice: in place of a one-hot
token the decoder sees softmax((logits + Gumbel noise) / temperature), through which the gradient passes, and
the temperature falls until hardly anything but one token is left. The tokens of an image then are a short
text that a Transformer can learn. What images differ in has to reach the tokens before they settle, and at
first all places go together where the decoder would make the whole image better. So the decoder starts with
what it can say without tokens, and the KL has its weight from the first steps on.

Objective: ELBO(x) = E_q(z|x) log p(x|z) - KL(q(z|x) || uniform), summed over the T places and over pixels;
training weighs the second term by beta. KL = sum_t ( ln K - H(q_t) ) is that of the encoder's plain logits at
any temperature. Scores are of hard tokens, at beta 1, and of all of p(x|z).

Reference: Ramesh et al., Zero-Shot Text-to-Image Generation, arXiv 2102.12092: section 2.1, appendices A.1 to
A.3. The networks are those of the authors' code (github.com/openai/DALL-E). Gumbel-softmax: Jang, Gu, Poole,
arXiv 1611.01144, equations 1 and 2; Maddison, Mnih, Teh, arXiv 1611.00712.

Shapes: B rows, H x W x C image, D = H * W * C, h x w grid of T tokens, K tokens to choose from, P numbers a
pixel, S draws.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Literal, final

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.annealing import Ramp
from zoo.base import Batch, Encodes, GenerativeModel, LikelihoodBound, Phase, Shared, Terms, Tokenises, Turn
from zoo.distributions import categorical, diagonal, draw_categorical
from zoo.errors import UsageError
from zoo.layers.levels import quantise, to_image
from zoo.layers.patches import patches
from zoo.layers.pixel_likelihoods import BernoulliPixels, LogitLaplacePixels, pixel_likelihood
from zoo.noise import Noise

# Images whose patches the first tokens are chosen among; what is equal in steps of 1 / COARSE is one patch.
SEEN, COARSE = 512, 15

CARD = {
    "title": "dVAE",
    "family": "latent variable",
    "likelihood": "bound",
    "capabilities": ["score", "encode", "decode", "reconstruct"],
    "paper": "Ramesh et al. 2021, arXiv 2102.12092",
    "summary": "an autoencoder whose code is a grid of tokens, DALL-E's first stage",
    "limits": "It turns images into tokens and back, and draws none: its prior, all tokens equally likely, "
    "makes noise, and a second model has to learn which go together. Its bound is low for that reason, and "
    "not to be ranked beside exact figures.",
    "default": "shapes",
}

PRESETS = {
    "tiny": {
        "config": {
            "groups": 2,
            "blocks": 1,
            "width": 8,
            "first": 8,
            "codebook": 6,
            "temperature": {"start": 1.0, "end": 0.5, "steps": 3, "shape": "cosine"},
            "beta": {"start": 0.0, "end": 1.0, "steps": 2},
        },
        "dataset": "shapes",
        "image_size": 8,
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"elbo": {"name": "adam", "learning_rate": 1e-3}},
        "averages": {"elbo": 0.9},
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "groups": 2,
            "blocks": 1,
            "width": 32,
            "first": 64,
            "codebook": 256,
            "doubling": "learned",
            "smallest_scale": 0.4,
            "taught": 2000,
            "temperature": {"start": 0.5, "end": 0.0625, "steps": 1000, "shape": "cosine", "begin": 2000},
            "beta": 0.05,
        },
        "dataset": "shapes",
        "batch_size": 16,
        "steps": 3000,
        "optimizers": {
            "elbo": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 4e-3, "end": 1e-5, "warmup": 100},
            }
        },
        "averages": {"elbo": 0.99},
        "expect": "256 tokens of 256; 94 % of shapes and all colours restored; 8.4 min of one core",
    },
    "glyphs": {
        "config": {
            "groups": 3,
            "blocks": 2,
            "width": 16,
            "first": 32,
            "codebook": 64,
            "likelihood": "bernoulli",
            "temperature": {"start": 1.0, "end": 0.0625, "steps": 1500, "shape": "cosine"},
            "beta": {"start": 0.0, "end": 1.65, "steps": 50, "shape": "cosine"},
        },
        "dataset": "glyphs",
        "batch_size": 64,
        "steps": 2000,
        "optimizers": {
            "elbo": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 6e-4, "end": 1e-5, "warmup": 100},
            }
        },
        "averages": {"elbo": 0.99},
        "expect": "49 tokens of 64 for a glyph; not measured yet; about 5 min on 2 cores",
    },
    "paper": {
        "config": {
            "groups": 4,
            "blocks": 2,
            "width": 256,
            "first": 128,
            "codebook": 8192,
            "temperature": {"start": 1.0, "end": 0.0625, "steps": 150000, "shape": "cosine"},
            "beta": {"start": 0.0, "end": 6.6, "steps": 5000, "shape": "cosine"},
        },
        "dataset": "folder:IMAGES",
        "image_size": 256,
        "batch_size": 512,
        "steps": 3000000,
        "optimizers": {
            "elbo": {
                "name": "adamw",
                "weight_decay": 1e-4,
                "beta_2": 0.999,
                "learning_rate": {"schedule": "cosine", "start": 1e-4, "end": 1.25e-6, "steps": 1_200_000},
            }
        },
        "averages": {"elbo": 0.999},
        "expect": "the paper's networks: 32x32 tokens of 8,192 for a picture of 256x256; needs accelerators",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The networks, and what changes with the step.

    Attributes:
        image_shape: (H, W, C); each side is a multiple of 2^(groups - 1).
        codebook: K, how many tokens there are.
        groups: of blocks; between them the image is halved.
        blocks: residual blocks in each group.
        width: filters of the group next to the image, a multiple of 4; they double toward the tokens.
        first: filters of the decoder's first layer, which gives each token its vector.
        doubling: of the decoder's image: `nearest`, each pixel four times, as in the paper; `learned`, a
            transposed convolution, which gives each of the four its own map of the pixel.
        likelihood: p(x|z) of a pixel: `logit_laplace`, or `bernoulli` of two levels.
        levels: how many a pixel has; by default 2 of a Bernoulli, and 256 else.
        smallest_scale: what the scale b of a logit-Laplace stays above. Where an even ground can be told to
            a hair, that alone is worth more than all that stands on it.
        taught: for so many steps at the beginning the tokens are given: a place's is that of the patch,
            among K unlike ones, that is nearest to its pixels. The encoder learns to tell it, the decoder to
            read it. 0: both find tokens of their own from the start, as in the paper.
        temperature: of the relaxation in training.
        beta: weight of the KL in training.
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    codebook: int = 128
    groups: int = 3
    blocks: int = 2
    width: int = 32
    first: int = 64
    doubling: Literal["nearest", "learned"] = "nearest"
    likelihood: Literal["logit_laplace", "bernoulli"] = "logit_laplace"
    levels: int | None = None
    smallest_scale: float = 1e-3
    taught: int = 0
    temperature: Ramp = Ramp(start=1.0, end=0.0625, steps=1500, shape="cosine")
    beta: Ramp = Ramp(start=0.0, end=1.65, steps=50, shape="cosine")

    def __post_init__(self) -> None:
        self.pixels()
        if self.smallest_scale <= 0:
            raise UsageError("smallest_scale must be above 0.")
        if self.codebook < 2:
            raise UsageError("codebook must be at least 2.")
        if min(self.groups, self.blocks, self.first) < 1 or self.width < 4 or self.width % 4:
            raise UsageError("groups, blocks and first must be at least 1, width a multiple of 4.")
        if self.taught < 0:
            raise UsageError("taught must be at least 0.")
        if self.temperature.lowest <= 0 or self.beta.lowest < 0:
            raise UsageError("temperature must be above 0, and beta at least 0.")
        height, width, _ = self.image_shape
        if height % self.side or width % self.side:
            raise UsageError(
                f"dvae cannot halve {height}x{width} {self.groups - 1} times: choose a multiple of "
                f"{self.side} with --image-size, or fewer groups with --set."
            )

    def pixels(self) -> BernoulliPixels | LogitLaplacePixels:
        """p(x|z) of a pixel."""
        options = {} if self.likelihood == "bernoulli" else {"smallest_scale": self.smallest_scale}
        found = pixel_likelihood(self.likelihood, self.levels, **options)
        assert isinstance(found, BernoulliPixels | LogitLaplacePixels)
        return found

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the tokens."""
        return self.image_shape[0] // self.side, self.image_shape[1] // self.side

    @property
    def side(self) -> int:
        """Of the square of pixels that a token stands over."""
        return int(2 ** (self.groups - 1))


def convolution(filters: int, kernel: int, dtype: str | None = None) -> keras.layers.Conv2D:
    """A convolution of the authors' code: normal weights of variance 1 / fan-in, bias 0."""
    normal = keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")
    return keras.layers.Conv2D(filters, kernel, padding="same", kernel_initializer=normal, dtype=dtype)


def residual(x: keras.KerasTensor, filters: int, kernels: Sequence[int], gain: float) -> keras.KerasTensor:
    """A block [B, H, W, any] -> [B, H, W, filters]: a narrow path of four convolutions beside a straight one.

    Args:
        x: its input.
        filters: of its output; within they are a fourth.
        kernels: sizes of the convolutions.
        gain: what the narrow path is multiplied by, so that many blocks add up to little at first.
    """
    straight = x if x.shape[-1] == filters else convolution(filters, 1)(x)
    for index, kernel in enumerate(kernels):
        inside = filters if index == len(kernels) - 1 else filters // 4
        x = convolution(inside, kernel)(keras.layers.ReLU()(x))
    return keras.layers.Add()([straight, keras.layers.Rescaling(gain)(x)])


def make_encoder(config: Config) -> keras.Model:
    """Image [B, H, W, C] in [0, 1] -> logits of the tokens [B, h, w, K]."""
    gain = 1.0 / (config.groups * config.blocks) ** 2
    image = keras.Input(config.image_shape)
    # Around 0: of values from 0 up, rectified, a dark and a light patch would begin with the same token.
    x = keras.layers.Rescaling(2.0, offset=-1.0)(image)
    x = convolution(config.width, 7)(x)
    for group in range(config.groups):
        x = keras.layers.MaxPooling2D(2)(x) if group else x
        for _ in range(config.blocks):
            x = residual(x, config.width * 2**group, (3, 3, 3, 1), gain)
    logits = convolution(config.codebook, 1, "float32")(keras.layers.ReLU()(x))
    return keras.Model(image, logits, name="encoder")


def make_decoder(config: Config) -> keras.Model:
    """One-hot tokens, or a mixture of them, [B, h, w, K] -> what p(x|z) is made of, [B, H, W, C * P]."""
    gain = 1.0 / (config.groups * config.blocks) ** 2
    tokens = x = keras.Input((*config.grid, config.codebook))
    x = convolution(config.first, 1)(x)
    for group in reversed(range(config.groups)):
        for _ in range(config.blocks):
            x = residual(x, config.width * 2**group, (1, 3, 3, 3), gain)
        if group and config.doubling == "learned":
            normal = keras.initializers.VarianceScaling(1.0, "fan_out", "untruncated_normal")  # of one pixel
            x = keras.layers.Conv2DTranspose(config.width * 2**group, 2, 2, kernel_initializer=normal)(x)
        elif group:
            x = keras.layers.UpSampling2D(2)(x)
    outputs = config.image_shape[2] * config.pixels().parameters
    x = convolution(outputs, 1, "float32")(keras.layers.ReLU()(x))
    return keras.Model(tokens, x, name="decoder")


def relaxed(logits: tf.Tensor, gumbel: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
    """softmax((logits + gumbel) / temperature), all [..., K]: nearly one-hot where the temperature is low."""
    return tf.nn.softmax((logits + gumbel) / temperature)


def kl_to_uniform(logits: tf.Tensor) -> tf.Tensor:
    """KL(Categorical(logits) || uniform) = ln K - H, in nats, [...] of [..., K]."""
    log_q = tf.nn.log_softmax(logits)
    return math.log(logits.shape[-1]) + tf.reduce_sum(tf.exp(log_q) * log_q, -1)


def token_information(logits: tf.Tensor) -> tf.Tensor:
    """What a token says of where it stands, in nats, [], of logits [B, T, K]: H(mean q) - mean H(q)."""
    q = tf.nn.softmax(logits)
    overall = tf.reduce_mean(q, (0, 1))
    each = -tf.reduce_sum(q * tf.nn.log_softmax(logits), -1)
    return -tf.reduce_sum(tf.math.xlogy(overall, overall)) - tf.reduce_mean(each)


def unlike_patches(image: tf.Tensor, side: int, count: int) -> np.ndarray:
    """Patches that stand for all others: the centres of k-means, to which each different patch counts once.

    Most places show nothing but ground, and would take most of the tokens.

    Args:
        image: [B, H, W, C].
        side: of a patch, in pixels.
        count: K.

    Returns:
        [K, side * side * C].
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    found = np.reshape(patches(image, side), (-1, side * side * image.shape[-1]))
    different = np.unique(np.round(found * COARSE), axis=0) / COARSE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # there are fewer different patches
        return KMeans(count, n_init=1, max_iter=20, random_state=0).fit(different).cluster_centers_


@final
class DVAE(GenerativeModel, Tokenises, Encodes, LikelihoodBound):
    """The discrete variational autoencoder; an image's code is its T tokens, row by row, int32."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.encoder = make_encoder(config)
        self.decoder = make_decoder(config)
        self.pixels = config.pixels()
        self.levels = self.pixels.levels
        self.places = math.prod(config.grid)
        if config.taught:
            shape = (config.codebook, config.side**2 * config.image_shape[2])
            self.patches = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="patches")

    @classmethod
    def phases(cls, config: Config) -> list[Phase]:
        if not config.taught:
            return [Phase()]
        return [Phase("tokens of patches", steps=config.taught), Phase("tokens of its own")]

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def token_grid(self) -> tuple[int, int]:
        return self.config.grid

    def token_values(self) -> int:
        return self.config.codebook

    def turns(self) -> list[Turn]:
        return [Turn("elbo", self.trainable_variables, self.objective)]

    def logits(self, level: tf.Tensor) -> tf.Tensor:
        """Of each place's token, [B, T, K], of levels int32 [B, H, W, C]."""
        return tf.reshape(
            self.encoder(to_image(level, self.pixels.levels)), (-1, self.places, self.config.codebook)
        )

    def outputs(self, tokens: tf.Tensor) -> tf.Tensor:
        """What p(x|z) is made of, [B, D, P], for one-hot or relaxed tokens [B, T, K]."""
        grid = tf.reshape(tokens, (-1, *self.config.grid, self.config.codebook))
        return tf.reshape(self.decoder(grid), (-1, self.dimensions, self.pixels.parameters))

    def log_likelihood(self, level: tf.Tensor, tokens: tf.Tensor, noise: Noise) -> tf.Tensor:
        """log p(x|z) in nats, [B], of levels int32 [B, H, W, C] and tokens as in `outputs`."""
        uniform = noise.uniform("spread", (self.dimensions,)) if self.pixels.spreads else None
        level = tf.reshape(level, (-1, self.dimensions))
        return tf.reduce_sum(self.pixels.log_prob(level, self.outputs(tokens), uniform), -1)

    def nearest_patch(self, level: tf.Tensor) -> tf.Tensor:
        """Which patch is nearest to each place's pixels, int32 [B, T], of levels int32 [B, H, W, C]."""
        places, known = patches(to_image(level, self.pixels.levels), self.config.side), self.patches.value
        apart = tf.reduce_sum(tf.square(known), -1) - 2.0 * tf.matmul(places, known, transpose_b=True)
        return tf.argmin(apart, -1, output_type=tf.int32)

    def one_hot(self, tokens: tf.Tensor) -> tf.Tensor:
        """Tokens int32 [B, T] -> [B, T, K]."""
        return tf.one_hot(tokens, self.config.codebook)

    # -- training ------------------------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """The decoder starts with what it can say without tokens, so that these are asked for differences.

        Else the first steps teach all places the one token that makes everything brighter or darker.
        """
        level = quantise(batch["image"], self.pixels.levels)
        self.decoder.layers[-1].bias.assign(tf.reshape(self.pixels.constant(level), (-1,)))
        if self.config.taught:
            image = to_image(level[:SEEN], self.pixels.levels)
            self.patches.assign(unlike_patches(image, self.config.side, self.config.codebook))

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        level = quantise(batch["image"], self.pixels.levels)
        logits = self.logits(level)
        temperature, beta = (ramp.at(self.step.value) for ramp in (self.config.temperature, self.config.beta))
        if self.config.taught and self.phase == 0:
            tokens = self.one_hot(self.nearest_patch(level))
            # The cross-entropy stands where the KL does.
            divergence = -tf.reduce_mean(tf.reduce_sum(tokens * tf.nn.log_softmax(logits), (1, 2)))
            beta = tf.ones(())
        else:
            tokens = relaxed(logits, noise.gumbel("posterior", logits.shape[1:]), temperature)
            divergence = tf.reduce_mean(tf.reduce_sum(kl_to_uniform(logits), -1))
        reconstruction = tf.reduce_mean(self.log_likelihood(level, tokens, noise))
        loss = beta * divergence - reconstruction
        share, perplexity = self.codebook_use(tf.argmax(logits, -1, output_type=tf.int32))
        return loss, {
            "loss": loss,
            "relaxed_reconstruction": -reconstruction,
            "kl": divergence,
            "temperature": temperature,
            "beta": beta,
            "codebook_used": share,
            "codebook_perplexity": perplexity,
            "token_information": token_information(logits),
        }

    def codebook_use(self, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The share of the K tokens that occur, and exp(entropy) of their frequencies, of tokens [...]."""
        count = tf.reduce_sum(self.one_hot(tf.reshape(tokens, (-1,))), 0)
        frequency = count / tf.reduce_sum(count)
        entropy = -tf.reduce_sum(tf.math.xlogy(frequency, frequency))
        return tf.reduce_mean(tf.cast(count > 0.0, tf.float32)), tf.exp(entropy)

    # -- tokens --------------------------------------------------------------------------------------------

    def encode(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        return diagonal(categorical(self.logits(quantise(x, self.pixels.levels))))

    def tokenise(self, x: tf.Tensor) -> tf.Tensor:
        return self.encode(x).mode()

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return tf.reshape(self.pixels.mean(self.outputs(self.one_hot(code))), (-1, *self.config.image_shape))

    # -- the bound, of hard tokens ---------------------------------------------------------------------------

    def elbo_terms(self, x: tf.Tensor, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        level = quantise(x, self.pixels.levels)
        logits = self.logits(level)
        tokens = draw_categorical(logits, noise.uniform("posterior", (self.places,)))
        divergence = tf.reduce_sum(kl_to_uniform(logits), -1)
        return self.log_likelihood(level, self.one_hot(tokens), noise), divergence

    def log_weights(self, x: tf.Tensor, noise: Noise, samples: int) -> tf.Tensor:
        level = quantise(x, self.pixels.levels)
        logits = self.logits(level)
        log_q = tf.nn.log_softmax(logits)

        def one(index: tf.Tensor) -> tf.Tensor:
            fresh = noise.fold(index)
            tokens = draw_categorical(logits, fresh.uniform("posterior", (self.places,)))
            chosen = tf.reduce_sum(tf.gather(log_q, tokens, axis=-1, batch_dims=2), -1)
            log_prior = -self.places * math.log(self.config.codebook)
            return self.log_likelihood(level, self.one_hot(tokens), fresh) + log_prior - chosen

        each = tf.map_fn(
            one,
            tf.range(samples),
            fn_output_signature=tf.TensorSpec([None], tf.float32),
            parallel_iterations=1,
        )
        return tf.transpose(each)
