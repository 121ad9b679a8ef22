"""The adversarial losses on a world of few outcomes, where the best discriminator is known; and others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import UsageError
from zoo.losses import (
    check_adversarial,
    class_cross_entropy,
    cross_entropy,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    real_gradient_penalty,
    verdicts,
)

STATES = 6
#: How often each of the states is seen, among the real and among the generated examples.
counts = st.lists(st.integers(1, 9), min_size=STATES, max_size=STATES).map(np.array)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """The Jensen-Shannon divergence in nats."""
    m = (p + q) / 2
    return float((p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2)


@settings(max_examples=25, deadline=None)
@given(real=counts, fake=counts)
def test_the_best_discriminator_is_p_over_p_plus_q_and_its_value_is_the_divergence(real, fake):
    p, q = real / real.sum(), fake / fake.sum()
    logits = tf.Variable(np.log(p / q), dtype=tf.float32)  # D = p / (p + q)
    np.testing.assert_allclose(tf.sigmoid(logits), p / (p + q), rtol=1e-5)
    rows = [np.repeat(np.arange(STATES), each) for each in (real, fake)]
    with tf.GradientTape() as tape:
        loss = discriminator_loss(*(tf.gather(logits, row) for row in rows))
    value = -float(loss)
    assert value == pytest.approx(-math.log(4) + 2 * divergence(p, q), abs=1e-5)
    # Convex in the logits, and flat here: no other discriminator is better.
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(loss, logits)), np.zeros(STATES), atol=1e-6)


def test_equal_distributions_leave_the_discriminator_at_one_half():
    assert float(discriminator_loss(tf.zeros(5), tf.zeros(7))) == pytest.approx(math.log(4), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(logit=st.floats(-20, 20))
def test_the_non_saturating_gradient_lives_where_the_saturating_one_dies(logit):
    logits = tf.constant([logit], tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        loss = generator_loss(logits)
        saturating = -cross_entropy(logits, 0.0)  # log(1 - D), which is minimised
    seen = 1 / (1 + math.exp(-logit))
    np.testing.assert_allclose(tape.gradient(loss, logits), [-(1 - seen)], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(saturating, logits), [-seen], rtol=1e-4, atol=1e-6)


def test_smoothing_moves_the_best_real_logit_and_leaves_the_fake_side():
    # With labels 0.9 the real half is least at D = 0.9 instead of at infinity.
    best = tf.Variable([math.log(9.0)])
    fake = tf.Variable([-3.0])
    with tf.GradientTape() as tape:
        loss = discriminator_loss(best, fake, smoothing=0.1)
    on_real, on_fake = tape.gradient(loss, [best, fake])
    assert float(on_real[0]) == pytest.approx(0.0, abs=1e-6)
    assert float(on_fake[0]) == pytest.approx(1 / (1 + math.exp(3.0)), rel=1e-5)


def test_losses_of_certain_and_wrong_logits_are_finite_and_means():
    assert float(cross_entropy(tf.constant([-200.0, 200.0]), 1.0)) == pytest.approx(100.0)
    assert float(generator_loss(tf.constant([0.0, 0.0, 0.0]))) == pytest.approx(math.log(2), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(real=counts, fake=counts)
def test_the_best_outputs_of_the_other_losses(real, fake):
    p, q = real / real.sum(), fake / fake.sum()
    rows = [np.repeat(np.arange(STATES), each) for each in (real, fake)]

    def loss_of(outputs: np.ndarray, kind: str) -> tuple[float, np.ndarray]:
        variable = tf.Variable(outputs, dtype=tf.float32)
        with tf.GradientTape() as tape:
            loss = discriminator_loss(*(tf.gather(variable, row) for row in rows), kind)
        return float(loss), tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()

    # Least squares: the best output is p / (p + q) too, and the loss is convex.
    least, slope = loss_of(p / (p + q), "least_squares")
    np.testing.assert_allclose(slope, np.zeros(STATES), atol=1e-6)
    assert least == pytest.approx(0.5 * (p * q / (p + q)).sum(), abs=1e-6)
    # Hinge: the best output is the sign of p - q, and the loss is 2 - 2 (total variation).
    variation = 0.5 * np.abs(p - q).sum()
    assert loss_of(np.sign(p - q), "hinge")[0] == pytest.approx(2.0 - 2.0 * variation, abs=1e-5)
    for change in (-0.3, 0.3):
        assert loss_of(np.sign(p - q) + change, "hinge")[0] >= 2.0 - 2.0 * variation - 1e-5
    # A critic's loss is a difference of means: a constant on all outputs changes nothing.
    outputs = np.linspace(-1.0, 2.0, STATES)
    assert loss_of(outputs, "wgan_gp")[0] == pytest.approx(float(((q - p) * outputs).sum()), abs=1e-5)
    assert loss_of(outputs + 3.0, "wgan_gp")[0] == pytest.approx(loss_of(outputs, "wgan_gp")[0], abs=1e-5)


def test_what_the_generator_minimises():
    outputs = np.array([-1.5, 0.25, 2.0], np.float32)
    probability = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    expected = {
        "non_saturating": -np.log(probability).mean(),
        "saturating": np.log(1 - probability).mean(),
        "least_squares": 0.5 * np.square(outputs - 1).mean(),
        "hinge": -outputs.mean(),
        "wgan_gp": -outputs.mean(),
    }
    for kind, value in expected.items():
        assert float(generator_loss(tf.constant(outputs), kind)) == pytest.approx(value, rel=1e-5), kind
    same = [
        discriminator_loss(tf.constant(outputs), tf.constant(outputs), *each)
        for each in [("saturating",), ()]
    ]
    assert float(same[0]) == float(same[1])


@pytest.mark.parametrize("length", [0.2, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic(length):
    w = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    w *= length / np.linalg.norm(w)
    x, y = tf.unstack(tf.random.stateless_normal((2, 5, 4, 3, 2), (1, 2)))
    share = np.linspace(0.0, 0.9, 5, dtype=np.float32)
    found = gradient_penalty(lambda z: tf.reduce_sum(z * w, (1, 2, 3)), x, y, share, 10.0)
    assert float(found) == pytest.approx(10.0 * (length - 1.0) ** 2, rel=1e-4, abs=1e-8)


def test_the_penalty_is_a_mean_over_examples_between_real_and_fake():
    x, y = tf.unstack(tf.random.stateless_normal((2, 6, 3, 2), (2, 2)))
    share = np.random.default_rng(3).uniform(size=6).astype(np.float32)
    # Of |z|^2 / 2 the gradient is z itself.
    found = gradient_penalty(lambda z: 0.5 * tf.reduce_sum(z**2, (1, 2)), x, y, share, 2.0)
    between = x + share[:, None, None] * (y - x)
    norms = np.linalg.norm(tf.reshape(between, (6, -1)), axis=1)
    assert float(found) == pytest.approx(2.0 * np.square(norms - 1).mean(), rel=1e-5)


def test_the_penalty_has_a_gradient_where_the_critic_is_flat():
    weight = tf.Variable(tf.zeros((3,)))
    x = tf.ones((4, 3))
    with tf.GradientTape() as tape:
        loss = gradient_penalty(lambda z: tf.linalg.matvec(z, weight), x, 2 * x, tf.fill((4,), 0.5), 10.0)
    assert np.isfinite(tape.gradient(loss, weight).numpy()).all()
    assert float(loss) == pytest.approx(10.0, rel=1e-4)


def test_the_penalty_at_real_examples_is_half_the_mean_squared_slope():
    x = tf.random.stateless_normal((6, 3, 2), (2, 3))
    found = real_gradient_penalty(lambda z: 0.5 * tf.reduce_sum(z**2, (1, 2)), x, 4.0)
    assert float(found) == pytest.approx(2.0 * np.mean(np.sum(np.square(x), (1, 2))), rel=1e-5)


def test_verdicts_draw_the_line_where_the_loss_has_it():
    real, fake = tf.constant([0.3, 0.7, 2.0, 0.6]), tf.constant([-1.0, 0.2, 0.3, 0.8])
    assert float(verdicts(real, fake)["discriminator_accuracy"]) == pytest.approx(5 / 8)
    squares = verdicts(real, fake, "least_squares")
    assert float(squares["discriminator_accuracy"]) == pytest.approx(6 / 8)  # labels 0 and 1: 1/2
    smoothed = verdicts(real, fake, "least_squares", 0.5)
    assert float(smoothed["discriminator_accuracy"]) == pytest.approx(6 / 8)  # labels 0 and 1/2: 1/4
    assert float(squares["real_score"]) == pytest.approx(0.9)
    critic = verdicts(real, fake, "wgan_gp")
    assert "discriminator_accuracy" not in critic
    assert float(critic["critic_distance"]) == pytest.approx(0.9 - 0.075)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("hinge", 0.1, 10.0, 1), "smooth"),
        (("wgan_gp", 0.1, 10.0, 1), "smooth"),
        (("non_saturating", 1.0, 10.0, 1), "smoothing"),
        (("wgan_gp", 0.0, -1.0, 1), "penalty"),
        (("wgan_gp", 0.0, 10.0, 0), "critic_steps"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        check_adversarial(*options)
    check_adversarial("least_squares", 0.1, 10.0, 5)


def test_class_cross_entropy_is_the_mean_over_the_labelled():
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    label = np.array([2, -1, 0, 3, -1, 1], np.int32)
    log_p = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    rows = label >= 0
    loss, accuracy = class_cross_entropy(tf.constant(logits), tf.constant(label))
    assert loss.numpy() == pytest.approx(-log_p[rows, label[rows]].mean(), rel=1e-5)
    assert accuracy.numpy() == pytest.approx((log_p[rows].argmax(-1) == label[rows]).mean())
    smoothed, same = class_cross_entropy(tf.constant(logits), tf.constant(label), smoothing=0.2)
    expected = -0.8 * log_p[rows, label[rows]].mean() - 0.2 * log_p[rows].mean()
    assert smoothed.numpy() == pytest.approx(expected, rel=1e-5)
    assert same.numpy() == accuracy.numpy()
    assert [value.numpy() for value in class_cross_entropy(tf.constant(logits), -tf.ones(6, tf.int32))] == [
        0,
        0,
    ]


def test_replicas_with_fewer_labels_count_less():
    logits = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    label = np.array([2, 1, 0, 3, -1, -1], np.int32)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )

    def half(context):
        rows = slice(3 * context.replica_id_in_sync_group, 3 * context.replica_id_in_sync_group + 3)
        return tf.constant(logits[rows]), tf.constant(label[rows])

    parts = [strategy.experimental_distribute_values_from_function(lambda c, i=i: half(c)[i]) for i in (0, 1)]
    losses = strategy.run(lambda x, y: class_cross_entropy(x, y)[0], parts)
    mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)
    whole, _ = class_cross_entropy(tf.constant(logits), tf.constant(label))
    assert mean.numpy() == pytest.approx(whole.numpy(), rel=1e-5)
