"""The Parzen window is the density that it says, in pieces too, and validation chooses its width."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from zoo.evaluation import parzen as module
from zoo.evaluation.parzen import SIGMAS, log_densities, parzen


@pytest.mark.parametrize("rows", [512, 3])
def test_it_is_the_mean_of_gaussians(monkeypatch, rows):
    monkeypatch.setattr(module, "ROWS", rows)
    random = np.random.default_rng(0)
    x, samples, sigmas = random.random((8, 5)), random.random((20, 5)), np.array([0.1, 0.7])
    found = log_densities(x, samples, sigmas)
    for sigma, each in zip(sigmas, found, strict=True):
        gaussian = scipy.stats.norm.pdf(x[:, None], samples[None], sigma).prod(-1)
        np.testing.assert_allclose(each, np.log(gaussian.mean(1)), rtol=1e-9)


def test_it_integrates_to_one():
    line = np.linspace(-3, 4, 4001)[:, None]
    (log_p,) = log_densities(line, np.array([[0.2], [0.9]]), np.array([0.15]))
    assert np.trapezoid(np.exp(log_p), line[:, 0]) == pytest.approx(1.0, abs=1e-6)


def test_validation_chooses_the_width():
    random = np.random.default_rng(1)
    x, validation, samples = (random.normal(0.5, 0.2, (n, 2)) for n in (200, 100, 2000))
    values, sigma = parzen(x, validation, samples)
    means = log_densities(validation, samples, SIGMAS).mean(1)
    assert sigma == SIGMAS[means.argmax()]
    exact = scipy.stats.norm.logpdf(x, 0.5, 0.2).sum(1).mean()
    assert values.mean() == pytest.approx(exact, abs=0.15)  # two dimensions: here it is near
