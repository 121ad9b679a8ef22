"""What the units of a code carry: the KL of each from its prior, and how many are active.

A unit is active where the mean of its posterior depends on the example: its variance over the data is above
0.01. One that is not has collapsed: its posterior is its prior, and the decoder has learnt to ignore it.

Reference: Burda, Grosse, Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519, section 5 (5.1).

Shapes: B rows, d units, of which g have a standard normal prior.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.base import Decodes, Encodes
from zoo.evaluation.posteriors import ACTIVE
from zoo.latents import placed


@dataclasses.dataclass(frozen=True)
class Units:
    """What was found of the Gaussian units.

    Attributes:
        kl: the mean KL of the posterior from N(0, 1) over the examples, nats, float64 [g].
        variance: of the posterior's mean over the examples, float64 [g].
    """

    kl: np.ndarray
    variance: np.ndarray

    @property
    def active(self) -> int:
        """How many units are active."""
        return int((self.variance > ACTIVE).sum())


def gaussian_units(model: Any) -> np.ndarray:
    """Which units of a model's code have a standard normal prior, int [g]."""
    if not isinstance(model, Decodes):
        return np.zeros(0, np.int64)
    ranges = [
        np.arange(units.start, units.stop)
        for part, units in placed(model.prior_parts())
        if part.family == "gaussian"
    ]
    return np.concatenate([np.zeros(0, np.int64), *ranges])


def looker(model: Encodes) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A compiled function: examples [B, ...] -> the KL and the mean of each Gaussian unit, [B, g] each."""
    units = gaussian_units(model)
    standard = tfp.distributions.Normal(0.0, 1.0)

    @tf.function(reduce_retracing=True, autograph=False)
    def look(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        posterior = model.encode(x)
        mean, scale = (tf.gather(each, units, axis=-1) for each in (posterior.mean(), posterior.stddev()))
        return tfp.distributions.kl_divergence(tfp.distributions.Normal(mean, scale), standard), mean

    return look


def measure(look: Callable[..., Any], batches: Iterable[np.ndarray]) -> Units:
    """The Gaussian units over examples.

    Args:
        look: what `looker` made.
        batches: of examples [B, ...].
    """
    found = [[each.numpy() for each in look(tf.constant(batch))] for batch in batches]
    kl, mean = (np.concatenate(each).astype(np.float64) for each in zip(*found, strict=True))
    return Units(kl.mean(0), mean.var(0))
