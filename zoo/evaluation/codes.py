"""Which units of a code have a standard normal prior, and what their posterior is.

Shapes: B rows, d units of a code, of which g have a standard normal prior.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.base import Decodes, Encodes
from zoo.latents import placed


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
    """A compiled function: examples [B, ...] -> the mean and the scale of each Gaussian unit, [B, g] each."""
    units = gaussian_units(model)

    @tf.function(reduce_retracing=True, autograph=False)
    def look(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        posterior = model.encode(x)
        return tf.gather(posterior.mean(), units, axis=-1), tf.gather(posterior.stddev(), units, axis=-1)

    return look
