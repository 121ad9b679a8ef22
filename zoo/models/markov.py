"""Markov chain: each pixel depends on the k pixels before it.

Idea: by the chain rule p(x) is a product of conditionals. If pixel d is independent of those farther back
given the k before it, its table has one row for each of their L^k values: the independence saves the
parameters. With k = 0 this is `independent`; with k = n - 1 nothing is assumed, and it is the full table of
`joint`.

Objective: log p(x) = sum_d log p_d(x_d | x_{d-k} .. x_{d-1}) in raster order, each position with a table of
its own. Its maximum-likelihood estimate is counted in one pass:

    p_d(v | context) = (N_d(context, v) + a) / (N_d(context) + a L),    a the smoothing

Free parameters: sum_{d=1}^{n} L^min(d-1, k) (L - 1); for binary pixels and k = 1, 1 + 2 (n - 1) = 2 n - 1.

Reference: Markov, An example of statistical investigation of the text Eugene Onegin (1913), for the chain;
Laplace (1814) for the smoothing: a = 1 is his rule of succession, a = 0 is maximum likelihood.

Shapes: B rows, H x W x C image, D = H * W * C scalars (n above), L levels, R contexts of all positions.
"""

from __future__ import annotations

import dataclasses
import math
from typing import final

import numpy as np
import tensorflow as tf

from zoo.base import Batch, CountingTurn, Counts, ExactLikelihood, GenerativeModel, Samples
from zoo.distributions import draw_categorical
from zoo.errors import UsageError
from zoo.layers.levels import quantise, to_image
from zoo.layers.tables import counted, empty_table, log_probabilities
from zoo.noise import Noise

CARD = {
    "title": "Markov chain",
    "family": "tabular",
    "likelihood": "exact",
    "capabilities": ["sample", "score"],
    "paper": "Markov 1913, An example of statistical investigation of the text Eugene Onegin",
    "summary": "each pixel depends on the k before it; 2 n - 1 parameters for n binary pixels and k = 1",
    "default": "digits",
    "limits": "Sees k pixels back in raster order: unless k is the width of the image or more, never the row "
    "above, and strokes come out as dashes. A larger k has more rows than examples to fill them. A baseline.",
}

PRESETS = {
    "tiny": {
        "config": {"order": 2},
        "dataset": "digits",
        "batch_size": 400,
        "epochs": 1,
        "optimizers": {},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {"order": 1},
        "dataset": "digits",
        "batch_size": 500,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 23.9 nats, 127 parameters; seconds",
    },
    "above": {
        "config": {"order": 9, "smoothing": 0.2},
        "dataset": "digits",
        "batch_size": 500,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 18.7 nats: with 9 pixels back the row above is seen, the best order; seconds",
    },
    "glyphs": {
        "config": {"order": 10, "smoothing": 0.1},
        "dataset": "glyphs",
        "batch_size": 1000,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 116 nats; seconds",
    },
    "mnist": {
        "config": {"order": 10, "smoothing": 0.1},
        "dataset": "binarized_mnist",
        "batch_size": 1000,
        "epochs": 1,
        "optimizers": {},
        "expect": "test NLL 139 nats; seconds",
    },
}

#: No more numbers than this are kept: 128 MB.
LARGEST = 2**24


@dataclasses.dataclass(frozen=True)
class Config:
    """The tables.

    Attributes:
        image_shape: (H, W, C).
        order: k, how many scalars before it a scalar depends on.
        levels: L, how many values a pixel takes; with 2, a pixel of half or more is 1.
        smoothing: what is added to each count; 0 is maximum likelihood.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    order: int = 1
    levels: int = 2
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if self.levels < 2 or self.smoothing < 0 or self.order < 0:
            raise UsageError("levels must be at least 2, order and smoothing at least 0.")
        if (cells := sum(self.contexts) * self.levels) > LARGEST:
            raise UsageError(
                f"order={self.order} with {self.levels} levels needs {cells:,} counts, and {LARGEST:,} "
                "is the most: choose a smaller order, fewer levels, or a smaller --image-size."
            )

    @property
    def contexts(self) -> list[int]:
        """How many contexts each position has: L^min(d, k)."""
        return [self.levels ** min(d, self.order) for d in range(math.prod(self.image_shape))]


@final
class Markov(GenerativeModel, Counts, ExactLikelihood, Samples):
    """A chain of any order over the pixels in raster order, with a table for each position."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.levels = config.levels
        self.order = min(config.order, self.dimensions - 1)  # there are no more before the last one
        self.table_shape = (sum(config.contexts), config.levels)  # (R, L)
        # The tables of all positions lie below one another; position d begins at row `first[d]`.
        self.first = tf.constant(np.cumsum([0, *config.contexts[:-1]]), tf.int32)  # [D]
        self.counts = empty_table(self.table_shape)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    @property
    def free_parameters(self) -> int:
        contexts, levels = self.table_shape
        return contexts * (levels - 1)

    def turns(self) -> list[CountingTurn]:
        return [CountingTurn("count", [self.counts], self.update)]

    def flat(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> levels int32 [B, D]."""
        return tf.reshape(quantise(image, self.config.levels), (-1, self.dimensions))

    def rows(self, x: tf.Tensor) -> tf.Tensor:
        """The row of the tables that each scalar of x int32 [B, D] belongs to, int32 [B, D].

        A context is a number in base L, its last digit the scalar just before; those before the first are 0.
        """
        before = tf.zeros_like(x)
        for distance in range(1, self.order + 1):
            shifted = tf.pad(x[:, :-distance], [(0, 0), (distance, 0)])
            before += shifted * self.config.levels ** (distance - 1)
        return self.first + before

    def update(self, batch: Batch) -> list[tf.Tensor]:
        x = self.flat(batch["image"])
        return [counted(self.rows(x), x, batch["weight"], self.table_shape)]

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        log_p = log_probabilities(self.counts.value, self.config.smoothing)  # [R, L]
        x = self.flat(x)
        each = tf.gather_nd(log_p, tf.stack([self.rows(x), x], -1))  # [B, D]
        return tf.cast(tf.reduce_sum(each, -1), tf.float32)

    def sample(self, noise: Noise) -> tf.Tensor:
        log_p = log_probabilities(self.counts.value, self.config.smoothing)
        uniform = tf.transpose(noise.uniform("pixels", (self.dimensions,)))  # [D, B]
        levels = self.config.levels
        kept = levels ** max(self.order - 1, 0)  # of a context, all but the scalar farthest back

        def draw(d: tf.Tensor, before: tf.Tensor, x: tf.TensorArray):
            value = draw_categorical(tf.gather(log_p, self.first[d] + before), uniform[d])  # [B]
            after = value + levels * (before % kept) if self.order else before
            return d + 1, after, x.write(d, value)

        start = tf.zeros(tf.shape(uniform)[1:], tf.int32)
        x = tf.TensorArray(tf.int32, self.dimensions, element_shape=(None,))
        *_, x = tf.while_loop(lambda d, *_: d < self.dimensions, draw, (0, start, x))
        image = to_image(tf.transpose(x.stack()), levels)
        return tf.reshape(image, (-1, *self.config.image_shape))
