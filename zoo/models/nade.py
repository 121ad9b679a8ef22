"""NADE: one conditional probability a pixel, the likelihood exact.

Idea: by the chain rule p(x) is a product of conditionals, one a dimension in some order. A hidden layer whose
weights all conditionals share gives each from the dimensions before it, and going from one dimension to the
next changes it by one column of W: all D conditionals cost O(D H).

Objective: the mean of -log p(x) = -sum_d log p(x_d | x_{<d}), in nats, with

    h_d = act(c + W x_{<d}),    p(x_d = 1 | x_{<d}) = sigmoid(b_d + V_d h_d)

Reference: Uria, Cote, Gregor, Murray, Larochelle, Neural Autoregressive Distribution Estimation,
arXiv 1605.02226: equations 2 to 4, algorithm 1; its table of binarized MNIST has 88.33 nats at 500 units.

Shapes: B rows, H x W x C image, D = H * W * C dimensions, U hidden units.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, final

import keras
import numpy as np
import tensorflow as tf

from zoo.base import Batch, Conditions, ExactLikelihood, GenerativeModel, Samples, Shared, Terms, Turn
from zoo.distributions import bernoulli, diagonal
from zoo.errors import UsageError
from zoo.layers.nade import Activation, Memory, conditionals, draw
from zoo.noise import SMALLEST, Noise

CARD = {
    "title": "NADE",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "sample_with", "score"],
    "paper": "Uria et al. 2016, arXiv 1605.02226",
    "summary": "one conditional a pixel from a hidden layer that all share",
    "limits": "Knows binary images only: a pixel of half or more is 1. It samples one pixel after another, "
    "and has no code to encode into or to interpolate between.",
    "default": "digits",
}

PRESETS = {
    "tiny": {
        "config": {"hidden_units": 8},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {"hidden_units": 200},
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 150,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 100},
            }
        },
        "expect": "readable digits",
    },
    "glyphs": {
        "config": {"hidden_units": 300},
        "dataset": "glyphs",
        "batch_size": 100,
        "epochs": 5,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 500},
            }
        },
        "expect": "readable characters",
    },
    "mnist": {
        "config": {"hidden_units": 500},
        "dataset": "binarized_mnist",
        "batch_size": 100,
        "epochs": 40,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 500},
            }
        },
        "expect": "test NLL 87.75 nats (88.33 in the paper); 40 min on 2 cores",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The network.

    Attributes:
        image_shape: (H, W, C).
        hidden_units: U, of the layer that all conditionals share.
        activation: of the hidden units.
        ordering: of the dimensions: `raster`, or `random` from `ordering_seed`.
        ordering_seed: names a random ordering.
        memory: for the gradient, `stored` keeps all hidden states; `recomputed` keeps one a block.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    hidden_units: int = 500
    activation: Activation = "sigmoid"
    ordering: Literal["raster", "random"] = "raster"
    ordering_seed: int = 0
    memory: Memory = "stored"

    def __post_init__(self) -> None:
        if self.hidden_units < 1 or self.ordering_seed < 0:
            raise UsageError("hidden_units must be at least 1, ordering_seed at least 0.")


@final
class NADE(GenerativeModel, Samples, ExactLikelihood, Conditions):
    """NADE for binary images: a pixel of half or more is 1."""

    levels = 2

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size, units = math.prod(config.image_shape), config.hidden_units
        order = np.arange(size)
        if config.ordering == "random":
            order = np.random.default_rng(config.ordering_seed).permutation(size)
        self.order, self.position = tf.constant(order), tf.constant(np.argsort(order))
        small = keras.initializers.RandomNormal(0.0, 0.01)
        self.input_weights = self.add_weight(shape=(size, units), initializer=small, name="input_weights")
        self.hidden_bias = self.add_weight(shape=(units,), initializer="zeros", name="hidden_bias")
        self.output_weights = self.add_weight(shape=(size, units), initializer=small, name="output_weights")
        self.output_bias = self.add_weight(shape=(size,), initializer="zeros", name="output_bias")

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        variables = [self.input_weights, self.hidden_bias, self.output_weights, self.output_bias]
        return [Turn("likelihood", variables, self.objective)]

    def begin(self, batch: Batch) -> None:
        """Starts each output at its pixel's log-odds in the data, half an example of each kind added."""
        ones = tf.reduce_mean(self.ordered(batch["image"]), 0)
        rows = float(batch["image"].shape[0])
        mean = (ones * rows + 0.5) / (rows + 1.0)
        self.output_bias.assign(tf.math.log(mean) - tf.math.log1p(-mean))

    def ordered(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> 0. or 1., [B, D], in the order of the factorisation."""
        x = tf.cast(tf.reshape(image, (-1, self.dimensions)) >= 0.5, tf.float32)
        return x if self.config.ordering == "raster" else tf.gather(x, self.order, axis=1)

    def log_likelihood(
        self, x: tf.Tensor, memory: Memory = "recomputed", fixed_shapes: bool = False
    ) -> tf.Tensor:
        """log p(x) in nats, [B], of x [B, D] in order; the options are those of `conditionals`."""
        outputs = conditionals(
            x,
            self.input_weights.value,
            self.hidden_bias.value,
            self.output_weights.value[:, None],
            activation=self.config.activation,
            memory=memory,
            fixed_shapes=fixed_shapes,
        )
        logits = outputs[:, :, 0] + self.output_bias.value
        return diagonal(bernoulli(logits)).log_prob(x)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        return self.log_likelihood(self.ordered(x))

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        x = self.ordered(batch["image"])
        loss = -tf.reduce_mean(self.log_likelihood(x, self.config.memory, fixed_shapes=self.jit_compile))
        return loss, {"nll": loss}

    def sample(self, noise: Noise) -> tf.Tensor:
        return self.draw(noise, tf.constant(1.0))

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"temperature": tf.TensorSpec([None], tf.float32)}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.draw(noise, conditions["temperature"][:, None])

    def draw(self, noise: Noise, temperature: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] of 0. and 1., each conditional's log-odds divided by `temperature`."""
        uniform = noise.uniform("pixels", (self.dimensions,)) + SMALLEST
        # u < sigmoid(l / t) where l > t logit(u): one comparison a dimension.
        logit = tf.math.log(uniform) - tf.math.log1p(-uniform)
        x = draw(
            temperature * logit - self.output_bias.value,
            self.input_weights.value,
            self.hidden_bias.value,
            self.output_weights.value,
            activation=self.config.activation,
        )
        return tf.reshape(tf.gather(x, self.position, axis=1), (-1, *self.config.image_shape))
