"""Dropout whose masks are a function of the step's noise, so that runs resume and replicas agree."""

from __future__ import annotations

import tensorflow as tf

from zoo.noise import Noise


def dropout(x: tf.Tensor, keep: float, noise: Noise | None, purpose: str) -> tf.Tensor:
    """Keeps each value with probability `keep` and divides what is kept by it.

    Args:
        x: [B, ...].
        keep: in (0, 1].
        noise: the step's noise, or None outside training: then x is returned as it is.
        purpose: names this place in the network.

    Returns:
        Like x.

    References:
        Srivastava et al.: Dropout, JMLR 2014; scaled at training time, so that nothing changes at test time.
    """
    if noise is None or keep == 1.0:
        return x
    kept = noise.uniform(purpose, x.shape[1:]) < keep
    return tf.where(kept, x / tf.cast(keep, x.dtype), tf.zeros_like(x))
