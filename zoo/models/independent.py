"""Independent pixels: one table a pixel, and no pixel knows of another.

Idea: the smallest model of an image. Each of its n pixels is drawn by itself, so a distribution over L^n
images needs only n (L - 1) numbers: n for binary pixels, where the full table of `joint` needs 2^n - 1.

Objective: log p(x) = sum_d log p_d(x_d). Its maximum-likelihood estimate is counted in one pass:

    p_d(v) = (N_d(v) + a) / (N + a L),    N_d(v) the images with x_d = v, N all of them, a the smoothing

Reference: Laplace, Essai philosophique sur les probabilites (1814): the rule of succession is a = 1; a = 0 is
maximum likelihood.

Shapes: B rows, H x W x C image, D = H * W * C scalars (n above), L levels.
"""

from __future__ import annotations

import dataclasses
import math
from typing import final

import tensorflow as tf

from zoo.base import Batch, CountingTurn, Counts, ExactLikelihood, GenerativeModel, Samples
from zoo.distributions import draw_categorical
from zoo.errors import UsageError
from zoo.layers.levels import quantise, to_image
from zoo.layers.tables import counted, empty_table, log_probabilities
from zoo.noise import Noise

CARD = {
    "title": "Independent pixels",
    "family": "tabular",
    "likelihood": "exact",
    "capabilities": ["sample", "score"],
    "paper": "Laplace 1814, Essai philosophique sur les probabilites",
    "summary": "one table a pixel, and no pixel knows of another: n parameters for n binary pixels",
    "default": "digits",
    "limits": "Knows the brightness of each pixel and nothing of shapes: its samples are noise. A baseline.",
}

PRESETS = {
    "tiny": {
        "config": {},
        "dataset": "digits",
        "batch_size": 400,
        "epochs": 1,
        "optimizers": {},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {},
        "dataset": "digits",
        "batch_size": 500,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 25.1 nats, 64 parameters; seconds",
    },
    "glyphs": {
        "config": {},
        "dataset": "glyphs",
        "batch_size": 1000,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 199 nats, 784 parameters; seconds",
    },
    "mnist": {
        "config": {},
        "dataset": "binarized_mnist",
        "batch_size": 1000,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 206 nats, 784 parameters; seconds",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The tables.

    Attributes:
        image_shape: (H, W, C).
        levels: L, how many values a pixel takes; with 2, a pixel of half or more is 1.
        smoothing: what is added to each count; 0 is maximum likelihood.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    levels: int = 2
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if self.levels < 2 or self.smoothing < 0:
            raise UsageError("levels must be at least 2, smoothing at least 0.")


@final
class Independent(GenerativeModel, Counts, ExactLikelihood, Samples):
    """Images of independent pixels."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.levels = config.levels
        self.table_shape = (math.prod(config.image_shape), config.levels)  # (D, L)
        self.counts = empty_table(self.table_shape)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    @property
    def free_parameters(self) -> int:
        size, levels = self.table_shape
        return size * (levels - 1)

    def turns(self) -> list[CountingTurn]:
        return [CountingTurn("count", [self.counts], self.update)]

    def flat(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> levels int32 [B, D]."""
        return tf.reshape(quantise(image, self.config.levels), (-1, self.dimensions))

    def update(self, batch: Batch) -> list[tf.Tensor]:
        x = self.flat(batch["image"])
        pixel = tf.broadcast_to(tf.range(self.dimensions), tf.shape(x))
        return [counted(pixel, x, batch["weight"], self.table_shape)]

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        log_p = log_probabilities(self.counts.value, self.config.smoothing)  # [D, L]
        each = tf.gather(log_p, tf.transpose(self.flat(x)), axis=1, batch_dims=1)  # [D, B]
        return tf.cast(tf.reduce_sum(each, 0), tf.float32)

    def sample(self, noise: Noise) -> tf.Tensor:
        log_p = log_probabilities(self.counts.value, self.config.smoothing)
        x = draw_categorical(log_p, noise.uniform("pixels", (self.dimensions,)))  # [B, D]
        return tf.reshape(to_image(x, self.config.levels), (-1, *self.config.image_shape))
