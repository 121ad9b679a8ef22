"""Each likelihood of pixels is one: its levels sum to one, its density integrates to one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from zoo.distributions import SMALLEST_SCALE
from zoo.errors import UsageError
from zoo.layers.levels import to_image
from zoo.layers.pixel_likelihoods import pixel_likelihood

#: How far decoders' outputs are from zero, at most: beginnings, trained ones, and those gone astray.
SPREADS = (0.5, 3.0, 30.0)


def outputs_of(pixels, spread: float, count: int = 40) -> np.ndarray:
    return spread * np.random.default_rng(1).standard_normal((count, 1, pixels.parameters)).astype(np.float32)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    ("name", "levels"),
    [("bernoulli", 2), *((name, n) for name in ("categorical", "logistic") for n in (2, 17, 256))],
)
def test_the_probabilities_of_all_levels_sum_to_one(name, levels, spread):
    pixels = pixel_likelihood(name, levels)
    outputs = outputs_of(pixels, spread)
    log_prob = pixels.log_prob(
        tf.range(levels)[None], np.broadcast_to(outputs, (40, levels, pixels.parameters)), None
    )
    np.testing.assert_allclose(tf.reduce_logsumexp(log_prob, 1), 0.0, atol=2e-4)
    assert log_prob.shape == (40, levels)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_gaussian_integrates_to_one_and_over_a_level_to_its_mass(levels):
    pixels = pixel_likelihood("gaussian", levels)
    outputs = outputs_of(pixels, 1.0, 10)
    law = scipy.stats.norm(1 / (1 + np.exp(-outputs[:, 0, 0])), np.log1p(np.exp(outputs[:, 0, 1])) + 1e-3)
    fine = 10 if levels == 256 else 400
    uniform = np.tile(((np.arange(fine) + 0.5) / fine).astype(np.float32), 31 * levels)
    level = np.repeat(np.arange(-15 * levels, 16 * levels, dtype=np.int32), fine)
    density = np.exp([
        pixels.log_prob(level, np.broadcast_to(each, (len(level), 2)), uniform) for each in outputs
    ])  # fmt: skip
    np.testing.assert_allclose(density.sum(1) / fine, 1.0, atol=2e-3)
    mass = density.reshape(10, -1, fine).mean(2)[:, 15 * levels : 16 * levels]
    k = np.arange(levels)[:, None]
    np.testing.assert_allclose(mass.T, law.cdf((k + 1) / levels) - law.cdf(k / levels), atol=2e-4)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_the_logit_laplace_integrates_to_one(spread):
    pixels = pixel_likelihood("logit_laplace", 256)
    outputs = outputs_of(pixels, spread, 12)
    logit = np.linspace(-8, 8, 200_001)  # float32 has few x that are nearer to 1
    x = 1.0 / (1.0 + np.exp(-logit))
    for each in outputs:
        log_density = pixels.log_density(x.astype(np.float32), np.broadcast_to(each, (len(x), 2))).numpy()
        mass = np.sum(np.exp(log_density) * x * (1.0 - x)) * (logit[1] - logit[0])
        law = scipy.stats.laplace(each[0, 0], np.exp(each[0, 1]) + SMALLEST_SCALE)
        assert mass == pytest.approx(law.cdf(8) - law.cdf(-8), abs=2e-3)
        assert np.abs(np.exp(log_density) * x * (1 - x) - law.pdf(logit)).max() < 2e-3 * law.pdf(each[0, 0])


def test_the_logit_laplace_of_all_levels_is_its_mass_between_the_ends():
    pixels = pixel_likelihood("logit_laplace", 16)
    outputs = np.broadcast_to(np.float32([0.4, -0.7]), (16 * 500, 2))
    uniform = np.tile((np.arange(500, dtype=np.float32) + 0.5) / 500, 16)
    level = np.repeat(np.arange(16, dtype=np.int32), 500)
    total = np.exp(pixels.log_prob(level, outputs, uniform)).sum() / 500
    law, end = scipy.stats.laplace(0.4, math.exp(-0.7) + SMALLEST_SCALE), math.log(0.9 / 0.1)
    assert total == pytest.approx(law.cdf(end) - law.cdf(-end), abs=1e-3)
    assert total < 1.0


def test_a_logit_laplace_below_its_smallest_scale_integrates_to_one_and_is_drawn_back():
    pixels = pixel_likelihood("logit_laplace", 256)
    outputs = tf.constant([0.25, math.log(SMALLEST_SCALE) - 3.0])
    width = SMALLEST_SCALE * (1.0 + math.exp(-3.0))
    logit = 0.25 + np.linspace(-20 * width, 20 * width, 4001)
    x = (1.0 / (1.0 + np.exp(-logit))).astype(np.float32)
    exact = np.log(x.astype(np.float64)) - np.log1p(-x.astype(np.float64))  # as float32 has it
    log_density = pixels.log_density(x, tf.broadcast_to(outputs, (len(x), 2))).numpy()
    density = np.exp(log_density.astype(np.float64)) * x * (1.0 - x)
    assert np.trapezoid(density, exact) == pytest.approx(1.0, abs=5e-3)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        far = pixels.log_density(tf.constant(0.7), outputs)
    assert float(tape.gradient(far, outputs)[1]) > 1.0  # a wider one fits better


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "gaussian", "logistic", "logit_laplace"])
def test_values_gradients_and_means_are_finite_far_out(name):
    pixels = pixel_likelihood(name, None)
    assert pixels.levels == (2 if name == "bernoulli" else 256)
    outputs = tf.Variable(outputs_of(pixels, 60.0, 200))
    level = tf.constant(np.random.default_rng(2).integers(0, pixels.levels, (200, 1)).astype(np.int32))
    uniform = tf.fill([200, 1], 0.5) if pixels.spreads else None
    with tf.GradientTape() as tape:
        log_prob = pixels.log_prob(level, outputs, uniform)
    gradient = tape.gradient(log_prob, outputs)
    assert np.isfinite(log_prob).all()
    assert np.isfinite(gradient).all()
    mean = pixels.mean(outputs).numpy()
    assert mean.shape == (200, 1)
    assert 0.0 <= mean.min() <= mean.max() <= 1.0


def test_the_middle_of_a_spread_level_is_the_level():
    pixels = pixel_likelihood("gaussian", 17)
    level = tf.range(17)
    np.testing.assert_allclose(pixels.unspread(pixels.spread(level, 0.5)), to_image(level, 17), atol=1e-6)


def test_the_mean_of_a_categorical_is_that_of_its_levels():
    pixels = pixel_likelihood("categorical", 3)
    probabilities = np.float32([[[0.2, 0.5, 0.3]]])
    np.testing.assert_allclose(pixels.mean(np.log(probabilities)), [[0.55]], rtol=1e-6)


def test_wrong_levels_are_named():
    with pytest.raises(UsageError, match="a Bernoulli likelihood has 2 levels, not 3"):
        pixel_likelihood("bernoulli", 3)
    with pytest.raises(UsageError, match="levels=1: must be 2 to 256"):
        pixel_likelihood("logistic", 1)
