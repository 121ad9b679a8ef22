"""Losses on logits, each a mean over the batch: of classes, and of adversarial games."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from zoo.errors import UsageError

#: The adversarial losses, as a model's option names them: see `discriminator_loss` and `generator_loss`.
Adversarial = Literal["non_saturating", "saturating", "least_squares", "hinge", "wgan_gp"]
# What a squared norm is at least.
SMALLEST_SQUARE = 1e-12


def cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Mean binary cross-entropy in nats of logits [B, ...] against one constant target in [0, 1]."""
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logits), target), logits=logits)
    )


def check_adversarial(loss: Adversarial, smoothing: float, penalty: float, critic_steps: int) -> None:
    """Refuses options of an adversarial loss that cannot go together.

    Raises:
        UsageError: smoothing where nothing is labelled, or a number out of its range.
    """
    if not 0 <= smoothing < 1:
        raise UsageError("smoothing must be in [0, 1).")
    if smoothing and loss in ("hinge", "wgan_gp"):
        raise UsageError(f"loss={loss} has no labels to smooth: leave out smoothing.")
    if penalty < 0 or critic_steps < 1:
        raise UsageError("penalty must not be negative, and critic_steps must be at least 1.")


def discriminator_loss(
    real: tf.Tensor, fake: tf.Tensor, loss: Adversarial = "non_saturating", smoothing: float = 0.0
) -> tf.Tensor:
    """What a discriminator minimises, from its outputs [B] for real and for generated examples.

    With D = sigmoid(output) for the first, and the output d itself for the others:

        non_saturating, saturating   -E log D(x) - E log(1 - D(G(z)))
        least_squares                1/2 E (d(x) - 1)^2 + 1/2 E d(G(z))^2
        hinge                        E max(0, 1 - d(x)) + E max(0, 1 + d(G(z)))
        wgan_gp                      E d(G(z)) - E d(x), to which `gradient_penalty` has to be added

    Args:
        real: outputs for real examples.
        fake: outputs for generated ones.
        loss: which.
        smoothing: real examples are labelled 1 - smoothing (Salimans et al. 2016, arXiv 1606.03498).

    References:
        Goodfellow et al.: Generative Adversarial Networks, arXiv 1406.2661, equation 1.
        Mao et al.: Least Squares Generative Adversarial Networks, arXiv 1611.04076, equation 9.
        Lim and Ye: Geometric GAN, arXiv 1705.02894; Miyato et al., arXiv 1802.05957, equations 16 and 17.
        Gulrajani et al.: Improved Training of Wasserstein GANs, arXiv 1704.00028, equation 3.
    """
    real, fake = tf.cast(real, tf.float32), tf.cast(fake, tf.float32)
    if loss == "least_squares":
        on_real = tf.reduce_mean((real - (1.0 - smoothing)) ** 2)
        return 0.5 * on_real + 0.5 * tf.reduce_mean(fake**2)
    if loss == "hinge":
        return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))
    if loss == "wgan_gp":
        return tf.reduce_mean(fake) - tf.reduce_mean(real)
    return cross_entropy(real, 1.0 - smoothing) + cross_entropy(fake, 0.0)


def generator_loss(fake: tf.Tensor, loss: Adversarial = "non_saturating") -> tf.Tensor:
    """What a generator minimises, from a discriminator's outputs [B] for what it made.

        non_saturating   -E log D(G(z))                   (arXiv 1406.2661, end of section 3)
        saturating       E log(1 - D(G(z)))               (its equation 1; the gradient dies where D is sure)
        least_squares    1/2 E (d(G(z)) - 1)^2
        hinge, wgan_gp   -E d(G(z))

    Args:
        fake: outputs.
        loss: which; see `discriminator_loss`.
    """
    fake = tf.cast(fake, tf.float32)
    if loss == "saturating":
        return -cross_entropy(fake, 0.0)
    if loss == "least_squares":
        return 0.5 * tf.reduce_mean((fake - 1.0) ** 2)
    if loss in ("hinge", "wgan_gp"):
        return -tf.reduce_mean(fake)
    return cross_entropy(fake, 1.0)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    share: tf.Tensor,
    weight: float,
) -> tf.Tensor:
    """weight * E (|grad d(x)| - 1)^2, at points x between real and generated examples.

    The norm is over all values of one example. A critic with BatchNorm has no gradient of one example alone,
    so that it must have none.

    Args:
        critic: examples [B, ...] -> outputs [B]. Where an output depends on other rows too, as with ProGAN's
            deviation over a group, the gradient of a row is that of the sum of all outputs.
        real: examples [B, ...].
        fake: generated ones, of the same shape.
        share: one number of U[0, 1) a row, [B]: how far the point is from the real example.
        weight: lambda; 10 in the paper.

    References:
        Gulrajani et al.: Improved Training of Wasserstein GANs, arXiv 1704.00028, equation 3, algorithm 1.
    """
    rank = real.shape.rank
    between = real + tf.reshape(share, (-1, *[1] * (rank - 1))) * (fake - real)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(between)
        output = critic(between)
    gradient = tf.cast(tape.gradient(output, between), tf.float32)
    # Inside the root: where the gradient is 0, that of its norm would not be finite.
    norm = tf.sqrt(tf.reduce_sum(gradient**2, tuple(range(1, rank))) + SMALLEST_SQUARE)
    return weight * tf.reduce_mean((norm - 1.0) ** 2)


def real_gradient_penalty(
    discriminator: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, weight: float
) -> tf.Tensor:
    """weight / 2 * E |grad d(x)|^2 at real examples x, called R1: where a generator draws what is real, a
    discriminator is punished for seeing any difference still.

    Args:
        discriminator: examples [B, ...] -> logits [B], of each row by itself.
        real: examples [B, ...].
        weight: gamma; 10 in the paper.

    References:
        Mescheder et al.: Which Training Methods for GANs do actually Converge?, arXiv 1801.04406, equation 9.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real)
        output = discriminator(real)
    gradient = tf.cast(tape.gradient(output, real), tf.float32)
    return 0.5 * weight * tf.reduce_mean(tf.reduce_sum(gradient**2, tuple(range(1, real.shape.rank))))


def verdicts(
    real: tf.Tensor, fake: tf.Tensor, loss: Adversarial = "non_saturating", smoothing: float = 0.0
) -> dict[str, tf.Tensor]:
    """What a discriminator says, as terms for the logs, from its outputs [B].

    Returns:
        Where it says a probability, `real_probability` and `fake_probability`, the means of D(x) and D(G(z));
        else `real_score` and `fake_score`, those of its outputs. `discriminator_accuracy`, the share of both
        that it takes for what they are: 1/2 where it can only guess. A critic has no line between real and
        generated: of it `critic_distance`, the difference of the scores, which estimates the Wasserstein
        distance.
    """
    real, fake = tf.cast(real, tf.float32), tf.cast(fake, tf.float32)
    if loss == "wgan_gp":
        means = tf.reduce_mean(real), tf.reduce_mean(fake)
        return {"real_score": means[0], "fake_score": means[1], "critic_distance": means[0] - means[1]}
    middle = 0.5 * (1.0 - smoothing) if loss == "least_squares" else 0.0
    right = tf.concat([real > middle, fake < middle], 0)
    accuracy = {"discriminator_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}
    if loss in ("least_squares", "hinge"):
        return {"real_score": tf.reduce_mean(real), "fake_score": tf.reduce_mean(fake), **accuracy}
    return {
        "real_probability": tf.reduce_mean(tf.sigmoid(real)),
        "fake_probability": tf.reduce_mean(tf.sigmoid(fake)),
        **accuracy,
    }


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
