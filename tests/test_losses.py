"""The adversarial losses on a world of few outcomes, where the best discriminator is known; and others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.losses import class_cross_entropy, cross_entropy, discriminator_loss, generator_loss

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
