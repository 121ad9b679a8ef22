"""Losses on logits, each a mean over the batch."""

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


def verdicts(real: tf.Tensor, fake: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a discriminator says, as terms for the logs, from logits [B].

    Returns:
        `real_probability` and `fake_probability`, the means of D(x) and D(G(z)); `discriminator_accuracy`,
        the share of both that it takes for what they are: 1/2 where it can only guess.
    """
    real, fake = tf.cast(real, tf.float32), tf.cast(fake, tf.float32)
    right = tf.concat([real > 0.0, fake < 0.0], 0)
    return {
        "real_probability": tf.reduce_mean(tf.sigmoid(real)),
        "fake_probability": tf.reduce_mean(tf.sigmoid(fake)),
        "discriminator_accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
    }


def generator_loss(fake: tf.Tensor) -> tf.Tensor:
    """The non-saturating -E log D(G(z)), from logits [B] (arXiv 1406.2661, end of section 3)."""
    return cross_entropy(fake, 1.0)


def class_cross_entropy(
    logits: tf.Tensor, label: tf.Tensor, smoothing: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean cross-entropy of labels, over the labelled examples of all replicas.

    Args:
        logits: [B, K].
        label: int [B]; -1 where an example has none.
        smoothing: this share of a label's weight goes to all classes alike (Szegedy et al., Rethinking the
            Inception Architecture, arXiv 1512.00567, section 7).

    Returns:
        The loss in nats and the share of labels that are likeliest; both 0 where nothing is labelled.
    """
    logits, classes = tf.cast(logits, tf.float32), logits.shape[-1]
    weight = tf.cast(label >= 0, tf.float32)
    target = (1.0 - smoothing) * tf.one_hot(label, classes) + smoothing / classes  # [B, K]
    loss = tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=logits)
    right = tf.cast(tf.argmax(logits, -1, label.dtype) == label, tf.float32)
    count = tf.reduce_sum(weight)
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        # Each replica's share of the mean, so that the mean over replicas is that over all examples.
        count = context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return (
        tf.math.divide_no_nan(tf.reduce_sum(weight * loss), count),
        tf.math.divide_no_nan(tf.reduce_sum(weight * right), count),
    )
