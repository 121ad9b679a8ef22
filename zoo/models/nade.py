"""NADE: one conditional probability a pixel, the likelihood exact.

Idea: by the chain rule p(x) is a product of conditionals, one a dimension in some order. A hidden layer whose
weights all conditionals share gives each from the dimensions before it, and going from one dimension to the
next changes it by one column of W: all D conditionals cost O(D H).

Objective: the mean of -log p(x) = -sum_d log p(x_d | x_{<d}), in nats, with

    h_d = act(c + W x_{<d}),    p(x_d = 1 | x_{<d}) = sigmoid(b_d + V_d h_d)

Orderless: one network of any depth for all orderings. It is trained to predict what is unknown from a random
subset o of known dimensions, whose size n is uniform in 0 .. D-1; the loss is the mean over all D! orderings:

    E_n E_o  D / (D - n)  sum_{d not in o} -log p(x_d | x_o)

An ensemble of M orderings is the mixture p(x) = 1/M sum_m p(x | ordering m): its log p(x) is the log of the
mean of probabilities, and its sampler draws an ordering first.

Reference: Uria, Cote, Gregor, Murray, Larochelle, Neural Autoregressive Distribution Estimation,
arXiv 1605.02226: equations 2 to 4, algorithm 1; section 4 for the orderless training and ensembles (EoNADE).
Its table of binarized MNIST has 88.33 nats at 500 units in one order, 85.10 for two layers and 128 orderings.

Shapes: B rows, H x W x C image, D = H * W * C dimensions, U hidden units, M orderings.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, final

import numpy as np
import tensorflow as tf

from zoo.base import (
    Batch,
    Completes,
    Conditions,
    ExactLikelihood,
    GenerativeModel,
    Samples,
    Shared,
    Terms,
    Turn,
)
from zoo.distributions import bernoulli, diagonal
from zoo.errors import UsageError
from zoo.layers.initializers import normal
from zoo.layers.nade import Activation, Memory, conditionals, draw
from zoo.layers.orderless import Orderless
from zoo.noise import SMALLEST, Noise

CARD = {
    "title": "NADE",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "sample_with", "score", "complete"],
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
    "tiny_orderless": {
        "config": {
            "hidden_units": 8,
            "hidden_layers": 2,
            "ordering": "random",
            "orderless": True,
            "orderings": 3,
        },
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
        "expect": "test NLL 16.1 nats, 0.364 bits/dim; 1 min on 2 cores",
    },
    "orderless": {
        "config": {
            "hidden_units": 200,
            "hidden_layers": 2,
            "activation": "relu",
            "ordering": "random",
            "orderless": True,
            "orderings": 16,
        },
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 200,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 1e-3, "end": 0.0, "warmup": 100},
            }
        },
        "expect": "test NLL 16.6 nats of 16 orderings, 0.374 bits/dim; 1 min on 2 cores",
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
        "expect": "test NLL 68.6 nats, 0.126 bits/dim; 3 min on 2 cores",
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
        "published": {
            "metric": "log_prob",
            "value": -88.33,
            "unit": "nats",
            "source": "Uria et al. 2016, arXiv 1605.02226: NADE, fixed order",
            "conditions": "fixed binarization, 1 ordering",
            "measured": {
                "value": -87.75,
                "standard_error": 0.23,
                "command": "gmzoo train nade --preset mnist --dataset npz:binarized_mnist",
            },
        },
    },
    "eonade": {
        "config": {
            "hidden_units": 500,
            "hidden_layers": 2,
            "activation": "relu",
            "ordering": "random",
            "orderless": True,
        },
        "dataset": "binarized_mnist",
        "batch_size": 100,
        "epochs": 100,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 1e-3, "end": 0.0, "warmup": 500},
            }
        },
        "expect": "167 nats after 200 steps (0.04 s of a core each); 15 min on 2 cores; 89.17 in the paper",
        "published": {
            "metric": "log_prob",
            "value": -89.17,
            "unit": "nats",
            "source": "Uria et al. 2016, arXiv 1605.02226, and the authors' code: EoNADE, 2 hidden layers",
            "conditions": "fixed binarization, 1 ordering",
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The network.

    Attributes:
        image_shape: (H, W, C).
        hidden_units: U, of a hidden layer; all conditionals share it.
        hidden_layers: how many there are; more than one only if `orderless`.
        activation: of the hidden units.
        ordering: of the dimensions: `raster`, `random` from `ordering_seed`, or `given` by `order`.
        ordering_seed: names a random ordering, or the ensemble of them.
        order: a given ordering: the dimensions, counted in raster order from 0.
        orderless: train for all orderings at once.
        orderings: M, how many random orderings the likelihood is averaged over; 1 unless `orderless`.
        memory: for the gradient in a fixed order, `stored` keeps all hidden states; `recomputed` keeps one a
            block.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    hidden_units: int = 500
    hidden_layers: int = 1
    activation: Activation = "sigmoid"
    ordering: Literal["raster", "random", "given"] = "raster"
    ordering_seed: int = 0
    order: tuple[int, ...] = ()
    orderless: bool = False
    orderings: int = 1
    memory: Memory = "stored"

    def __post_init__(self) -> None:
        if min(self.hidden_units, self.hidden_layers, self.orderings) < 1 or self.ordering_seed < 0:
            raise UsageError(
                "hidden_units, hidden_layers and orderings must be at least 1, ordering_seed at least 0."
            )
        if not self.orderless and (self.hidden_layers > 1 or self.orderings > 1):
            raise UsageError("a fixed order has one hidden layer and one ordering: add --set orderless=true.")
        if self.orderings > 1 and self.ordering != "random":
            raise UsageError("an ensemble has random orderings: add --set ordering=random.")
        if (self.ordering == "given") != bool(self.order):
            raise UsageError("ordering=given and order=[...] belong together.")
        if sorted(self.order) != list(range(len(self.order))):
            raise UsageError(f"order must hold each of 0 to {len(self.order) - 1} once.")


def make_orders(config: Config) -> np.ndarray:
    """The orderings int64 [M, D].

    Raises:
        UsageError: the given order is not of the image's size.
    """
    size = math.prod(config.image_shape)
    if config.ordering == "random":
        random = np.random.default_rng(config.ordering_seed)
        return np.stack([random.permutation(size) for _ in range(config.orderings)])
    order = np.array(config.order or range(size))
    if len(order) != size:
        raise UsageError(f"order has {len(order)} dimensions, and an image has {size}.")
    return order[None]


@final
class NADE(GenerativeModel, Samples, ExactLikelihood, Conditions, Completes):
    """NADE for binary images: a pixel of half or more is 1."""

    levels = 2

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size, units = math.prod(config.image_shape), config.hidden_units
        orders = make_orders(config)
        self.orders = tf.constant(orders, tf.int32)
        self.order, self.position = tf.constant(orders[0]), tf.constant(np.argsort(orders[0]))
        if config.orderless:
            self.network = Orderless(size, units, config.hidden_layers, config.activation)
            return
        self.input_weights = self.add_weight(
            shape=(size, units), initializer=normal(0.01), name="input_weights"
        )
        self.hidden_bias = self.add_weight(shape=(units,), initializer="zeros", name="hidden_bias")
        self.output_weights = self.add_weight(
            shape=(size, units), initializer=normal(0.01), name="output_weights"
        )
        self.output_bias = self.add_weight(shape=(size,), initializer="zeros", name="output_bias")

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    def begin(self, batch: Batch) -> None:
        """Starts each output at its pixel's log-odds in the data, half an example of each kind added."""
        x = self.flat(batch["image"])
        rows = float(batch["image"].shape[0])
        mean = (tf.reduce_mean(x, 0) * rows + 0.5) / (rows + 1.0)
        log_odds = tf.math.log(mean) - tf.math.log1p(-mean)
        if self.config.orderless:
            self.network.output_bias.assign(log_odds)
        else:
            self.output_bias.assign(tf.gather(log_odds, self.order))

    def flat(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> 0. or 1., [B, D], in raster order."""
        return tf.cast(tf.reshape(image, (-1, self.dimensions)) >= 0.5, tf.float32)

    def ordered(self, x: tf.Tensor) -> tf.Tensor:
        """What is in raster order, [B, D], in the order of the factorisation."""
        return x if self.config.ordering == "raster" else tf.gather(x, self.order, axis=1)

    # -- likelihood ----------------------------------------------------------------------------------------

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        if not self.config.orderless:
            return self.log_likelihood(self.ordered(self.flat(x)))
        x = self.flat(x)
        given, unused = tf.ones_like(x, tf.bool), tf.zeros_like(x)

        def along(order: tf.Tensor) -> tf.Tensor:
            return self.network.walk(x, given, tf.broadcast_to(order, tf.shape(x)), unused)[1]

        each = tf.map_fn(along, self.orders, fn_output_signature=tf.float32)  # [M, B]
        return tf.reduce_logsumexp(each, 0) - math.log(self.config.orderings)

    def log_likelihood(
        self, x: tf.Tensor, memory: Memory = "recomputed", fixed_shapes: bool = False
    ) -> tf.Tensor:
        """log p(x) in nats, [B], of x [B, D] in its one order; the options are those of `conditionals`."""
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

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        x = self.flat(batch["image"])
        if self.config.orderless:
            # Validation reports the likelihood of the ensemble, which is that of its orderings' mixture.
            loss = tf.reduce_mean(self.orderless_loss(x, self.draw_known(noise)))
            return loss, {"nll_mean_over_orderings": loss}
        x = self.ordered(x)
        loss = -tf.reduce_mean(self.log_likelihood(x, self.config.memory, fixed_shapes=self.jit_compile))
        return loss, {"nll": loss}

    def orderless_loss(self, x: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """D / (D - n) times the cross-entropy of what is unknown, in nats [B].

        Its mean over the draws of `draw_known` is that of -log p(x) over all orderings.

        Args:
            x: float32 [B, D] of 0. and 1., in raster order.
            known: bool [B, D], n of them true.
        """
        cross_entropy = -bernoulli(self.network.logits(x, known)).log_prob(x)
        unknown = tf.cast(~known, tf.float32)
        weight = self.dimensions / tf.reduce_sum(unknown, -1)
        return weight * tf.reduce_sum(unknown * cross_entropy, -1)

    def draw_known(self, noise: Noise) -> tf.Tensor:
        """A random subset of the dimensions, bool [B, D]: its size is uniform in 0 .. D-1."""
        count = tf.floor(noise.uniform("count", ()) * self.dimensions)
        rank = tf.argsort(tf.argsort(noise.uniform("subset", (self.dimensions,))))
        return tf.cast(rank, tf.float32) < count[:, None]

    # -- drawing -------------------------------------------------------------------------------------------

    def sample(self, noise: Noise) -> tf.Tensor:
        return self.draw(noise, tf.constant(1.0))

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"temperature": tf.TensorSpec([None], tf.float32)}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.draw(noise, conditions["temperature"][:, None])

    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        """In a fixed order, each unknown pixel given those before it; orderless, given all that are known."""
        given = tf.broadcast_to(known[..., None], tf.shape(x))
        drawn = self.draw(noise, tf.constant(1.0), self.flat(x), tf.reshape(given, (-1, self.dimensions)))
        return tf.where(given, x, drawn)

    def draw(
        self,
        noise: Noise,
        temperature: tf.Tensor,
        x: tf.Tensor | None = None,
        given: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Images [B, H, W, C] of 0. and 1., each conditional's log-odds divided by `temperature`.

        Args:
            noise: of the draws.
            temperature: float32 [] or [B, 1].
            x: float32 [B, D] of 0. and 1., in raster order.
            given: bool [B, D], which values of `x` are taken as they are; none without it.
        """
        uniform = noise.uniform("pixels", (self.dimensions,)) + SMALLEST
        # u < sigmoid(l / t) where l > t logit(u): one comparison a dimension.
        thresholds = temperature * (tf.math.log(uniform) - tf.math.log1p(-uniform))
        if x is None or given is None:
            x, given = tf.zeros_like(thresholds), tf.zeros_like(thresholds, tf.bool)
        if self.config.orderless:
            drawn = self.draw_orderless(noise, thresholds, x, given)
        else:
            certain = tf.where(self.ordered(x) == 1.0, -math.inf, math.inf)
            thresholds = tf.where(self.ordered(given), certain, thresholds - self.output_bias.value)
            drawn = draw(
                thresholds,
                self.input_weights.value,
                self.hidden_bias.value,
                self.output_weights.value,
                activation=self.config.activation,
            )
            drawn = tf.gather(drawn, self.position, axis=1)
        return tf.reshape(drawn, (-1, *self.config.image_shape))

    def draw_orderless(
        self, noise: Noise, thresholds: tf.Tensor, x: tf.Tensor, given: tf.Tensor
    ) -> tf.Tensor:
        """Draws a row's ordering, as the likelihood averages over them, and along it what is not given.

        What is given comes first, so that all of it is seen by all that is drawn. The orderings of an
        ensemble are drawn alike, and not by how likely each finds what is given.

        Returns:
            float32 [B, D] of 0. and 1., in raster order.
        """
        size = self.dimensions
        which = tf.cast(noise.uniform("ordering", ()) * self.config.orderings, tf.int32)
        order = tf.gather(self.orders, which)  # [B, D]
        later = tf.cast(~tf.gather(given, order, batch_dims=1), tf.int32) * size
        order = tf.gather(order, tf.argsort(tf.range(size) + later), batch_dims=1)
        return self.network.walk(x, given, order, thresholds)[0]
