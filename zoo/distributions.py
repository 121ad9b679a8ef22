"""Output heads: from a network's last layer to a distribution of tensorflow_probability, and to a draw.

A head says how many parameters a scalar needs, makes the distribution for scores, and draws from given
uniforms or normals, so that a row's draw is a function of that row's own noise.
"""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

# A scale below this makes a density, and its gradient, explode on repeated values.
SMALLEST_SCALE = 1e-3


def bernoulli(logits: tf.Tensor) -> tfp.distributions.Distribution:
    """Binary values with p(1) = sigmoid(logits); logits [...]."""
    return tfp.distributions.Bernoulli(logits=tf.cast(logits, tf.float32), dtype=tf.float32)


def categorical(logits: tf.Tensor) -> tfp.distributions.Distribution:
    """Levels 0 .. K-1; logits [..., K]."""
    return tfp.distributions.Categorical(logits=tf.cast(logits, tf.float32))


def gaussian(mean: tf.Tensor, raw_scale: tf.Tensor) -> tfp.distributions.Distribution:
    """Normal values; scale = softplus(raw_scale), kept above `SMALLEST_SCALE`; both [...]."""
    scale = tf.math.softplus(tf.cast(raw_scale, tf.float32)) + SMALLEST_SCALE
    return tfp.distributions.Normal(tf.cast(mean, tf.float32), scale)


def gaussian_mixture(
    logits: tf.Tensor, means: tf.Tensor, scales: tf.Tensor
) -> tfp.distributions.Distribution:
    """A mixture of K normals a scalar; all [..., K], the scales positive."""
    components = tfp.distributions.Normal(tf.cast(means, tf.float32), tf.cast(scales, tf.float32))
    return tfp.distributions.MixtureSameFamily(categorical(logits), components)


def diagonal(distribution: tfp.distributions.Distribution, axes: int = 1) -> tfp.distributions.Distribution:
    """Independent over the last `axes` axes: log_prob sums over them."""
    return tfp.distributions.Independent(distribution, reinterpreted_batch_ndims=axes)


def draw_bernoulli(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Draws 0. or 1. by comparing `uniform` in [0, 1) with the probability; both [...]."""
    return tf.cast(uniform < tf.sigmoid(tf.cast(logits, tf.float32)), tf.float32)


def draw_categorical(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Draws levels, int32 [...], by inverting the distribution of logits [..., K] at `uniform` [...]."""
    cumulative = tf.cumsum(tf.nn.softmax(tf.cast(logits, tf.float32)), axis=-1)
    # Of all K sums the last may round beside 1: what is drawn is a share of it, and below it.
    reached = uniform[..., None] * cumulative[..., -1:] >= cumulative[..., :-1]
    return tf.reduce_sum(tf.cast(reached, tf.int32), -1)


def draw_gaussian(mean: tf.Tensor, raw_scale: tf.Tensor, normal: tf.Tensor) -> tf.Tensor:
    """Draws from `gaussian(mean, raw_scale)` with standard normals; all [...]."""
    law = gaussian(mean, raw_scale)
    return law.loc + law.scale * normal


def draw_gaussian_mixture(
    logits: tf.Tensor, means: tf.Tensor, scales: tf.Tensor, uniform: tf.Tensor, normal: tf.Tensor
) -> tf.Tensor:
    """Draws from `gaussian_mixture`: `uniform` [...] picks the component, `normal` [...] the value."""
    component = draw_categorical(logits, uniform)
    mean, scale = (
        tf.gather(each, component, axis=-1, batch_dims=component.shape.rank) for each in (means, scales)
    )
    return mean + scale * normal


def narrowed(logits: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor) -> tf.Tensor:
    """The logits of a distribution that is sharper, or of which only the likeliest levels are left.

    Args:
        logits: [B, K].
        temperature: float [B]: what the logits are divided by; 0 leaves the likeliest level alone.
        top_k: int32 [B]: how many levels are left; 0 for all.

    Returns:
        [B, K].
    """
    levels = logits.shape[-1]
    logits = tf.cast(logits, tf.float32) / tf.maximum(temperature, 1e-6)[:, None]
    last = tf.where(top_k > 0, tf.minimum(top_k, levels), levels) - 1
    least = tf.gather(tf.sort(logits, direction="DESCENDING"), last, batch_dims=1)
    return tf.where(logits < least[:, None], -math.inf, logits)
