"""The Frechet distance: closed forms, independent implementations, moments that come in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from zoo.evaluation.frechet import Moments, frechet_distance


def moments(features: np.ndarray, piece: int = 64) -> Moments:
    found = Moments(features.shape[1])
    for start in range(0, len(features), piece):
        found.add(features[start : start + piece])
    return found


def known(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    """Moments that are exactly these."""
    found = Moments(len(mean))
    found.count, found.mean, found.scatter = 101, mean, 100 * covariance
    return found


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_moments_in_pieces_are_those_of_the_whole(piece):
    features = np.random.default_rng(0).normal(1000.0, 1.0, (100, 5)).astype(np.float32)
    found = moments(features, piece)
    assert found.count == 100
    np.testing.assert_allclose(found.mean, features.mean(0, np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64), rowvar=False))
    both = moments(features[:30]) + moments(features[30:])
    np.testing.assert_allclose(both.covariance, found.covariance, atol=1e-9)


def test_two_gaussians_that_commute():
    """FID = |m1 - m2|^2 + sum of (s1 - s2)^2, for covariances with the same axes."""
    random = np.random.default_rng(1)
    axes, _ = np.linalg.qr(random.normal(size=(6, 6)))
    scales = random.uniform(0.1, 3.0, (2, 6))
    means = random.normal(size=(2, 6))
    a, b = (known(means[i], (axes * scales[i] ** 2) @ axes.T) for i in range(2))
    expected = np.square(means[0] - means[1]).sum() + np.square(scales[0] - scales[1]).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("rows", "size"), [(300, 20), (10, 30)])
def test_agrees_with_the_matrix_square_root(rows, size):
    """As scipy's sqrtm has it; with fewer rows than features it needs an offset, as everybody's code adds."""
    random = np.random.default_rng(2)
    mix = random.normal(size=(size, size))
    a, b = moments(random.normal(size=(rows, size)) @ mix), moments(random.normal(0.3, 1.5, (rows, size)))
    offset = np.eye(size) * (1e-6 if rows < size else 0.0)
    product = (a.covariance + offset) @ (b.covariance + offset)
    root = scipy.linalg.sqrtm(product).real
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)


def test_agrees_with_torch_fidelity():
    pytest.importorskip("torch")
    metric = pytest.importorskip("torch_fidelity.metric_fid")
    random = np.random.default_rng(3)
    a, b = (moments(random.normal(0.1 * i, 1.0 + i, (500, 24))) for i in range(2))
    theirs = metric.fid_statistics_to_metric(
        *({"mu": each.mean, "sigma": each.covariance} for each in (a, b)), verbose=False
    )
    assert frechet_distance(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
