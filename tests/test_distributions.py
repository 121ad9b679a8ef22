"""Each head is what it says: against scipy, normalised, and its draws have its probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf

from zoo.distributions import (
    SMALLEST_SCALE,
    bernoulli,
    categorical,
    diagonal,
    draw_bernoulli,
    draw_categorical,
    draw_gaussian,
    draw_gaussian_mixture,
    gaussian,
    gaussian_mixture,
    narrowed,
)

DRAWS = 20_000
LOGITS = np.array([[0.0, 1.0, -2.0, 0.5], [3.0, -1.0, 0.0, 0.2]], np.float32)
MEANS = np.array([[-2.0, 0.0, 1.0, 4.0], [0.5, -3.0, 2.0, 6.0]], np.float32)
SCALES = np.array([[0.3, 0.9, 0.7, 0.5], [1.3, 0.7, 0.13, 1.1]], np.float32)


@pytest.fixture
def chance():
    return np.random.default_rng(0)


def softplus(x):
    return np.logaddexp(0.0, x.astype(np.float64)) + SMALLEST_SCALE


def uniforms(chance, *shape):
    """As TensorFlow makes them: multiples of 2^-23 in [0, 1)."""
    return (chance.integers(0, 2**23, shape) / 2.0**23).astype(np.float32)


def test_bernoulli_is_normalised_and_finite_far_out():
    logits = np.array([-200.0, -3.0, 0.0, 0.7, 200.0], np.float32)
    head = bernoulli(logits)
    log_probs = np.stack([head.log_prob(value) for value in (0.0, 1.0)])
    assert np.isfinite(log_probs).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(log_probs[1], scipy.special.log_expit(logits), rtol=1e-6)
    np.testing.assert_allclose(log_probs[0], scipy.special.log_expit(-logits), rtol=1e-6)


def test_categorical_is_normalised():
    head = categorical(LOGITS)
    log_probs = np.stack([head.log_prob(level) for level in range(4)], -1)
    np.testing.assert_allclose(log_probs, scipy.special.log_softmax(LOGITS, -1), rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-6)


def test_gaussian_is_that_of_scipy_and_its_scale_has_a_floor():
    mean, raw_scale = np.float32([-1.0, 0.0, 3.0]), np.float32([-100.0, 0.0, 5.0])
    x = np.float32([-1.0005, 2.0, -4.0])
    expected = scipy.stats.norm.logpdf(x, mean, softplus(raw_scale))
    np.testing.assert_allclose(gaussian(mean, raw_scale).log_prob(x), expected, rtol=1e-4)
    assert gaussian(mean, raw_scale).stddev()[0].numpy() == np.float32(SMALLEST_SCALE)


def mixture_pdf(x, row):
    weights = scipy.special.softmax(LOGITS[row].astype(np.float64))
    return float(weights @ scipy.stats.norm.pdf(x, MEANS[row], SCALES[row]))


def test_gaussian_mixture_is_the_weighted_sum_and_integrates_to_one():
    head = gaussian_mixture(LOGITS, MEANS, SCALES)
    grid = np.linspace(-30, 30, 60_001, dtype=np.float32)
    density = np.exp(head.log_prob(np.stack([grid, grid], -1)))
    for row in range(2):
        expected = [mixture_pdf(x, row) for x in grid[::500]]
        np.testing.assert_allclose(density[::500, row], expected, rtol=1e-4, atol=1e-30)
        assert scipy.integrate.simpson(density[:, row], x=grid) == pytest.approx(1.0, abs=1e-4)


def test_diagonal_sums_over_the_last_axes():
    logits = np.linspace(-2, 2, 12, dtype=np.float32).reshape(2, 2, 3)
    x = (np.arange(12).reshape(2, 2, 3) % 2).astype(np.float32)
    each = bernoulli(logits).log_prob(x).numpy()
    np.testing.assert_allclose(diagonal(bernoulli(logits)).log_prob(x), each.sum(-1), rtol=1e-6)
    np.testing.assert_allclose(diagonal(bernoulli(logits), 2).log_prob(x), each.sum((-1, -2)), rtol=1e-6)


def test_half_precision_logits_are_scored_in_float32():
    assert bernoulli(tf.constant([0.1], tf.bfloat16)).log_prob(1.0).dtype == tf.float32
    assert categorical(tf.constant(LOGITS, tf.float16)).log_prob([0, 1]).dtype == tf.float32
    half = gaussian(tf.constant([0.1], tf.float16), tf.constant([0.1], tf.float16))
    assert half.log_prob(1.0).dtype == tf.float32


def test_draws_of_bernoulli_have_its_probability(chance):
    for logit in (-4.0, 0.0, 1.5):
        drawn = draw_bernoulli(np.full(DRAWS, logit, np.float32), uniforms(chance, DRAWS)).numpy()
        expected = DRAWS * scipy.special.expit([-logit, logit])
        assert scipy.stats.chisquare(np.bincount(drawn.astype(int), minlength=2), expected).pvalue > 0.01


def test_certain_draws_are_certain_at_both_ends_of_the_uniform():
    ends = np.float32([0.0, 1 - 2.0**-24])
    np.testing.assert_array_equal(draw_bernoulli(np.full(2, 200.0, np.float32), ends), [1.0, 1.0])
    np.testing.assert_array_equal(draw_bernoulli(np.full(2, -200.0, np.float32), ends), [0.0, 0.0])
    for level in range(4):
        logits = np.full((2, 4), -1000.0, np.float32)
        logits[:, level] = 0.0
        np.testing.assert_array_equal(draw_categorical(logits, ends), [level, level])


def test_draws_of_categorical_have_its_probabilities(chance):
    drawn = draw_categorical(np.broadcast_to(LOGITS, (DRAWS, 2, 4)), uniforms(chance, DRAWS, 2)).numpy()
    for row in range(2):
        expected = DRAWS * scipy.special.softmax(LOGITS[row].astype(np.float64))
        assert scipy.stats.chisquare(np.bincount(drawn[:, row], minlength=4), expected).pvalue > 0.01


def test_a_draw_among_many_levels_stays_among_them(chance):
    # Rounding may leave the last cumulative sum below 1.
    logits = chance.normal(size=(1000, 256)).astype(np.float32)
    drawn = draw_categorical(logits, np.full(1000, 1 - 2.0**-24, np.float32)).numpy()
    assert drawn.min() >= 250
    assert drawn.max() == 255


def test_a_level_without_probability_is_never_drawn(chance):
    """However the sums of thousands of levels round, on either side of 1."""
    logits = chance.normal(size=(200, 4096)).astype(np.float32)
    logits[:, -1] = -np.inf
    drawn = draw_categorical(logits, np.full(200, 1 - 2.0**-24, np.float32)).numpy()
    assert drawn.max() < 4095
    assert drawn.min() >= 4050


def test_draws_of_gaussian_follow_its_law(chance):
    normal = chance.standard_normal(DRAWS).astype(np.float32)
    drawn = draw_gaussian(np.full(DRAWS, 1.5, np.float32), np.full(DRAWS, -1.0, np.float32), normal)
    law = scipy.stats.norm(1.5, softplus(np.array(-1.0)))
    assert scipy.stats.kstest(drawn.numpy(), law.cdf).pvalue > 0.01


def test_draws_of_gaussian_mixture_have_its_probabilities(chance):
    parameters = [np.broadcast_to(each, (DRAWS, 2, 4)) for each in (LOGITS, MEANS, SCALES)]
    normal = chance.standard_normal((DRAWS, 2)).astype(np.float32)
    drawn = draw_gaussian_mixture(*parameters, uniforms(chance, DRAWS, 2), normal).numpy()
    assert drawn.shape == (DRAWS, 2)
    for row in range(2):
        weights = scipy.special.softmax(LOGITS[row].astype(np.float64))
        laws = scipy.stats.norm(MEANS[row], SCALES[row])
        edges = np.linspace(-4, 6, 21)
        probabilities = np.diff([0.0, *(float(weights @ laws.cdf(edge)) for edge in edges), 1.0])
        counts = np.bincount(np.searchsorted(edges, drawn[:, row]), minlength=len(edges) + 1)
        assert scipy.stats.chisquare(counts, DRAWS * probabilities).pvalue > 0.01


def test_narrowed_logits_are_sharper_or_fewer():
    logits = np.tile(LOGITS[:1], (5, 1))
    found = narrowed(logits, np.array([1, 0.5, 0, 1, 1], np.float32), np.array([0, 0, 0, 2, 9], np.int32))
    p = tf.nn.softmax(found).numpy()
    whole = scipy.special.softmax(LOGITS[0])
    np.testing.assert_allclose(p[0], whole, rtol=1e-5)
    np.testing.assert_allclose(p[1], whole**2 / (whole**2).sum(), rtol=1e-5)
    np.testing.assert_array_equal(p[2], [0, 1, 0, 0])
    np.testing.assert_allclose(p[3], np.array([0, whole[1], 0, whole[3]]) / whole[[1, 3]].sum(), rtol=1e-5)
    np.testing.assert_allclose(p[4], whole, rtol=1e-5)
