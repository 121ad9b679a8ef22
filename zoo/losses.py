"""Adversarial losses on logits, each a mean over the batch."""

from __future__ import annotations

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Mean binary cross-entropy in nats of logits [B, ...] against one constant target in [0, 1]."""
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logits), target), logits=logits)
    )


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """-E log D(x) - E log(1 - D(G(z))), from logits [B].

    Args:
        real: logits of real examples.
        fake: logits of generated ones.
        smoothing: real examples are labelled 1 - smoothing (Salimans et al. 2016, arXiv 1606.03498).

    References:
        Goodfellow et al.: Generative Adversarial Networks, arXiv 1406.2661, equation 1.
    """
    return cross_entropy(real, 1.0 - smoothing) + cross_entropy(fake, 0.0)


def generator_loss(fake: tf.Tensor) -> tf.Tensor:
    """The non-saturating -E log D(G(z)), from logits [B] (arXiv 1406.2661, end of section 3)."""
    return cross_entropy(fake, 1.0)
