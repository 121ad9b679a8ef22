"""RNADE: NADE for real values, a mixture of Gaussians a dimension, the density exact.

Idea: the density of a vector is a product of conditionals, one a dimension in the order of the columns. As in
NADE all of them share one hidden layer, whose activation changes by one row of W from one dimension to the
next; each conditional is a mixture of K normals.

Objective: the mean of -log p(x) = -sum_d log p(x_d | x_{<d}), in nats, with

    h_d = act(rho_d (c + sum_{j<d} z_j W_j)),    [alpha_d, mean_d, log sigma_d] = b_d + V_d h_d
    p(z_d | z_{<d}) = sum_k softmax(alpha_d)_k N(z_d; mean_dk, sigma_dk^2)

and z = (x - m) / s, standardised by the training data. What is reported is the density of x itself:
log p(x) = log p(z) - sum_d log s_d. Two remedies from the paper and its code:

- rho_d, learned, one a dimension: the activation is a sum of more and more terms.
- The gradient of a component's mean is multiplied by its sigma, always: a narrow component would take steps
  far too large.

sigma is kept above 0.001, softly, so that no component shrinks onto a repeated value, where the density would
go to infinity; and below 1000, so that what follows an outlier stays finite.

Reference: Uria, Murray, Larochelle, RNADE: The real-valued neural autoregressive density-estimator,
arXiv 1306.0186: equations 5 to 12; its table of UCI data has -9.36 nats for red wine, standardised.

Shapes: B rows, D features, U hidden units, K components.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Literal, final

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.base import Batch, Completes, ExactLikelihood, GenerativeModel, Samples, Shared, Terms, Turn
from zoo.distributions import SMALLEST_SCALE, draw_gaussian_mixture, gaussian_mixture
from zoo.errors import UsageError
from zoo.noise import Noise

CARD = {
    "title": "RNADE",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "score", "complete"],
    "paper": "Uria, Murray, Larochelle 2013, arXiv 1306.0186",
    "summary": "NADE for real values: a mixture of Gaussians a dimension",
    "limits": "Reads vectors of real numbers. A column of few different values, or one that follows from "
    "others, has a density as large as the floor of the scales allows: remove such columns. An unknown value "
    "is drawn from the values before it, not from those after.",
    "default": "wine",
}

PRESETS = {
    "tiny": {
        "config": {"hidden_units": 8, "components": 3},
        "dataset": "wine",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "wine": {
        "config": {"hidden_units": 50, "components": 3},
        "dataset": "wine",
        "batch_size": 16,
        "epochs": 150,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "weight_decay": 0.1,
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 50},
            }
        },
        "patience": 40,
        "expect": "test NLL 19.5 nats (20.4 of a Gaussian with a full covariance); seconds",
    },
    "patches": {
        "config": {"hidden_units": 256, "components": 10},
        "dataset": "patches",
        "batch_size": 100,
        "epochs": 20,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 1e-3, "end": 0.0, "warmup": 200},
            }
        },
        "expect": "not measured yet",
    },
    "mnist": {
        "config": {"hidden_units": 300, "components": 5},
        "dataset": "mnist",
        "batch_size": 100,
        "epochs": 10,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 1e-3, "end": 0.0, "warmup": 500},
            }
        },
        "expect": "200 steps tried (1 s of a core each); 45 min on 2 cores",
    },
}


#: Of a component, in standard deviations of the training data.
LARGEST_SCALE = 1e3


@dataclasses.dataclass(frozen=True)
class Config:
    """The network.

    Attributes:
        features: D, how many values an example has; the data decides it.
        hidden_units: U, of the layer that all conditionals share.
        components: K, of each mixture.
        activation: of the hidden units; the paper prefers rectified ones.
    """

    features: int = 13
    hidden_units: int = 50
    components: int = 10
    activation: Literal["relu", "sigmoid"] = "relu"

    def __post_init__(self) -> None:
        if min(self.features, self.hidden_units, self.components) < 1:
            raise UsageError("features, hidden_units and components must be at least 1.")


@final
class RNADE(GenerativeModel, Samples, ExactLikelihood, Completes):
    """The real-valued neural autoregressive density-estimator."""

    modality = "features"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        size, units, components = config.features, config.hidden_units, config.components
        self.act = keras.activations.get(config.activation)
        wide = keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")
        small = keras.initializers.RandomNormal(0.0, 0.01)
        self.input_weights = self.add_weight(shape=(size, units), initializer=wide, name="input_weights")
        self.hidden_bias = self.add_weight(shape=(units,), initializer="zeros", name="hidden_bias")
        self.rescaling = self.add_weight(shape=(size,), initializer="ones", name="rescaling")  # rho
        self.output_weights = self.add_weight(
            shape=(size, units, 3 * components), initializer=small, name="output_weights"
        )
        self.output_bias = self.add_weight(
            shape=(size, 3 * components), initializer="zeros", name="output_bias"
        )
        self.output_bias.assign(np.tile(spread_components(components), (size, 1)))
        # m and s of the training data.
        self.centre = self.add_weight(shape=(size,), initializer="zeros", trainable=False, name="centre")
        self.spread = self.add_weight(shape=(size,), initializer="ones", trainable=False, name="spread")

    def example_shape(self) -> tuple[int, ...]:
        return (self.config.features,)

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    def begin(self, batch: Batch) -> None:
        """Measures mean and standard deviation of each feature; a constant one keeps its unit."""
        x = tf.cast(batch["features"], tf.float64)
        spread = tf.math.reduce_std(x, 0)
        self.centre.assign(tf.reduce_mean(x, 0))
        self.spread.assign(tf.where(spread > 0, spread, 1.0))

    def standardised(self, x: tf.Tensor) -> tf.Tensor:
        """z = (x - m) / s, both [B, D]."""
        return (x - self.centre.value) / self.spread.value

    # -- density -------------------------------------------------------------------------------------------

    def conditionals(self, z: tf.Tensor) -> tfp.distributions.Distribution:
        """p(z_d | z_{<d}) for every d: batch shape [B, D], of standardised rows float32 [B, D]."""
        terms = z[:, :, None] * self.input_weights.value  # [B, D, U]
        a = self.hidden_bias.value + tf.cumsum(terms, 1, exclusive=True)
        h = self.act(self.rescaling.value[:, None] * a)
        raw = tf.einsum("bdu,duo->bdo", h, self.output_weights.value) + self.output_bias.value
        return gaussian_mixture(*mixture_parameters(raw))

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        z = self.standardised(x)
        log_p = tf.reduce_sum(self.conditionals(z).log_prob(z), -1)
        return log_p - tf.reduce_sum(tf.math.log(self.spread.value))

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        loss = -tf.reduce_mean(self.log_prob(batch["features"]))
        return loss, {"nll": loss}

    # -- drawing -------------------------------------------------------------------------------------------

    def sample(self, noise: Noise) -> tf.Tensor:
        uniform = noise.uniform("component", (self.dimensions,))
        return self.draw(tf.zeros_like(uniform), tf.zeros_like(uniform, tf.bool), uniform, noise)

    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Each unknown value given all values before it."""
        return self.draw(x, known, noise.uniform("component", (self.dimensions,)), noise)

    def draw(self, x: tf.Tensor, known: tf.Tensor, uniform: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Takes one feature after another: the known ones as they are, the others drawn.

        Args:
            x: float32 [B, D]; what is not known does not count.
            known: bool [B, D].
            uniform: float32 [B, D], which component each value comes from.
            noise: of the values.

        Returns:
            float32 [B, D].
        """
        normal = noise.normal("value", (self.dimensions,))
        z = self.standardised(x)

        def step(d, a, values):
            h = self.act(self.rescaling.value[d] * a)
            raw = h @ self.output_weights.value[d] + self.output_bias.value[d]
            drawn = draw_gaussian_mixture(*mixture_parameters(raw), uniform[:, d], normal[:, d])
            value = tf.where(known[:, d], z[:, d], drawn)
            return d + 1, a + value[:, None] * self.input_weights.value[d], values.write(d, value)

        start = tf.broadcast_to(self.hidden_bias.value, (tf.shape(x)[0], self.config.hidden_units))
        values = tf.TensorArray(tf.float32, self.dimensions, element_shape=(None,))
        *_, values = tf.while_loop(lambda d, *_: d < self.dimensions, step, (0, start, values))
        drawn = tf.transpose(values.stack()) * self.spread.value + self.centre.value
        return tf.where(known, x, drawn)


def mixture_parameters(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Logits, means and scales, each [..., K], of raw outputs [..., 3 K].

    The scale is exp(log sigma) within its bounds; the gradient of a mean is multiplied by its scale.
    """
    logits, means, log_scales = tf.split(raw, 3, -1)
    floor = math.log(SMALLEST_SCALE)
    log_scales = tf.minimum(floor + tf.math.softplus(log_scales - floor), math.log(LARGEST_SCALE))
    scales = tf.exp(log_scales)
    fixed = tf.stop_gradient(means)
    return logits, fixed + tf.stop_gradient(scales) * (means - fixed), scales


def spread_components(components: int) -> np.ndarray:
    """Raw outputs float [3 K] of equal components that together are about a standard normal."""
    quantiles = [statistics.NormalDist().inv_cdf((k + 0.5) / components) for k in range(components)]
    narrow = -0.5 * math.log(components)  # log sigma
    return np.concatenate([np.zeros(components), quantiles, np.full(components, narrow)])
