"""Active units, the rate, and the aggregate posterior of known codes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_probability as tfp

from zoo.evaluation.posteriors import code_use

ROWS = 20_000


def use(mean: np.ndarray, scale: np.ndarray, piece: int = 512):
    parts = ((mean[i : i + piece], scale[i : i + piece]) for i in range(0, len(mean), piece))
    return code_use(parts, mean.shape[1])


def test_codes_that_fill_the_prior():
    """Means N(0, 0.75), scales 1/2: together N(0, 1) in two units, a third one is the prior itself."""
    random = np.random.default_rng(0)
    mean = np.concatenate([random.normal(0, 0.75**0.5, (ROWS, 2)), np.zeros((ROWS, 1))], 1)
    scale = np.tile([0.5, 0.5, 1.0], (ROWS, 1))
    found = use(mean, scale)
    assert found.active.tolist() == [True, True, False]
    assert found.aggregate_kl == pytest.approx(0.0, abs=1e-3)
    tfd = tfp.distributions
    divergence = tfd.kl_divergence(tfd.Normal(mean, scale), tfd.Normal(np.float64(0), np.float64(1)))
    np.testing.assert_allclose(found.code_kl, divergence.numpy().sum(1), atol=1e-9)


def test_codes_beside_the_prior():
    """KL(N(m, S) || N(0, I)) of one unit: (S + m^2 - 1 - log S) / 2."""
    random = np.random.default_rng(1)
    mean = random.normal(2.0, 3.0, (ROWS, 1))
    found = use(mean, np.full((ROWS, 1), 4.0))
    variance = mean.var(ddof=1) + 16.0
    expected = 0.5 * (variance + mean.mean() ** 2 - 1 - np.log(variance))
    assert found.aggregate_kl == pytest.approx(expected, rel=1e-9)
