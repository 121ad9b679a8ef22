"""Joint table: one probability for each image there can be.

Idea: the model that assumes nothing. A table over the L^n images of n pixels can be any distribution, and
it has L^n - 1 free parameters: 65,535 for 4 x 4 binary pixels, and for 28 x 28 more than there are atoms.
Every other model of the zoo is a way to have fewer.

Objective: log p(x) itself. Its maximum-likelihood estimate is counted in one pass:

    p(x) = (N(x) + a) / (N + a L^n),    N(x) the images equal to x, N all of them, a the smoothing

Reference: Laplace, Essai philosophique sur les probabilites (1814): the rule of succession is a = 1; a = 0 is
maximum likelihood, the empirical distribution, whose cross-entropy on its own data is their entropy.

Shapes: B rows, H x W x C image, D = H * W * C scalars (n above), L levels, S = L^D states.
"""

from __future__ import annotations

import dataclasses
import math
from typing import final

import numpy as np
import tensorflow as tf

from zoo.base import Batch, CountingTurn, Counts, ExactLikelihood, GenerativeModel, Samples
from zoo.errors import UsageError
from zoo.layers.levels import quantise, to_image
from zoo.layers.tables import counted, empty_table, log_probabilities
from zoo.noise import Noise

CARD = {
    "title": "Joint table",
    "family": "tabular",
    "likelihood": "exact",
    "capabilities": ["sample", "score"],
    "paper": "Laplace 1814, Essai philosophique sur les probabilites",
    "summary": "one probability for each image there can be: 2^n - 1 parameters, n at most 16",
    "default": "digits",
    "limits": "At most 16 binary pixels, and far more parameters than examples: what it has not seen is all "
    "equally unlikely to it. A baseline.",
}

PRESETS = {
    "tiny": {
        "config": {},
        "dataset": "digits",
        "image_size": 3,
        "batch_size": 400,
        "epochs": 1,
        "optimizers": {},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {"smoothing": 0.001},
        "dataset": "digits",
        "image_size": 4,
        "batch_size": 500,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 4.96 nats on 4x4 digits; seconds",
    },
    "glyphs": {
        "config": {"smoothing": 0.001},
        "dataset": "glyphs",
        "image_size": 4,
        "batch_size": 1000,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 2.53 nats on 4x4 glyphs; seconds",
    },
    "mnist": {
        "config": {"smoothing": 0.001},
        "dataset": "mnist",
        "image_size": 4,
        "batch_size": 1000,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 1.96 nats on 4x4 digits; seconds",
    },
}

#: The table has at most as many states as 16 binary pixels.
LARGEST = 2**16


@dataclasses.dataclass(frozen=True)
class Config:
    """The table.

    Attributes:
        image_shape: (H, W, C), with at most 2^16 images.
        levels: L, how many values a pixel takes; with 2, a pixel of half or more is 1.
        smoothing: what is added to each count; 0 is maximum likelihood.
    """

    image_shape: tuple[int, int, int] = (4, 4, 1)
    levels: int = 2
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if self.levels < 2 or self.smoothing < 0:
            raise UsageError("levels must be at least 2, smoothing at least 0.")
        height, width, channels = self.image_shape
        size = height * width * channels
        most = int(math.log(LARGEST, self.levels) + 1e-9)  # scalars
        if size > most:
            side = math.isqrt(most // channels)
            advice = f"use smaller images: --image-size {side}" if side else "use fewer levels"
            raise UsageError(
                f"joint keeps a number for each of the {self.levels}^{size} images of {height}x{width}"
                f"{f'x{channels}' if channels > 1 else ''}, and 2^16 is the most: {advice}."
            )


@final
class Joint(GenerativeModel, Counts, ExactLikelihood, Samples):
    """A table over all images; image x is the number whose digits in base L are its pixels."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.levels = config.levels
        size = math.prod(config.image_shape)
        self.table_shape = (1, config.levels**size)  # one context, S values
        self.places = tf.constant(config.levels ** np.arange(size - 1, -1, -1), tf.int32)  # [D]
        self.counts = empty_table(self.table_shape)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    @property
    def free_parameters(self) -> int:
        return self.table_shape[1] - 1

    def turns(self) -> list[CountingTurn]:
        return [CountingTurn("count", [self.counts], self.update)]

    def state_of(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> their numbers, int32 [B]."""
        x = tf.reshape(quantise(image, self.config.levels), (-1, self.dimensions))
        return tf.reduce_sum(x * self.places, -1)

    def update(self, batch: Batch) -> list[tf.Tensor]:
        state = self.state_of(batch["image"])[:, None]
        return [counted(tf.zeros_like(state), state, batch["weight"], self.table_shape)]

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        log_p = log_probabilities(self.counts.value, self.config.smoothing)[0]  # [S]
        return tf.cast(tf.gather(log_p, self.state_of(x)), tf.float32)

    def sample(self, noise: Noise) -> tf.Tensor:
        p = tf.exp(log_probabilities(self.counts.value, self.config.smoothing))
        uniform = tf.cast(noise.uniform("state", ()), tf.float64)[None]  # [1, B]
        # The first state whose cumulative probability is above the uniform number.
        state = tf.searchsorted(tf.cumsum(p, -1), uniform, side="right")[0]  # [B]
        x = state[:, None] // self.places % self.config.levels  # [B, D]
        return tf.reshape(to_image(x, self.config.levels), (-1, *self.config.image_shape))
