"""Precision, recall, density, coverage, copying: toy sets, brute force, independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from sklearn.neighbors import NearestNeighbors

from zoo.evaluation import neighbours
from zoo.evaluation.neighbours import Nearest, copying, neighbourhoods


def by_scikit_learn(real: np.ndarray, samples: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage, all with the same k."""

    def ball(x: np.ndarray) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]

    distances = np.linalg.norm(real[:, None] - samples[None], axis=-1)
    within = distances <= ball(real)[:, None]
    return (
        within.any(0).mean(),
        (distances <= ball(samples)[None]).any(1).mean(),
        within.sum() / (k * len(samples)),
        within.any(1).mean(),
    )


@pytest.fixture(params=[512, 7])
def sets(request, monkeypatch) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds, far from 0; in one piece and in several."""
    monkeypatch.setattr(neighbours, "ROWS", request.param)
    random = np.random.default_rng(0)
    return random.normal(50.0, 1.0, (200, 4)), random.normal(50.7, 0.8, (150, 4))


def test_agrees_with_scikit_learn(sets):
    real, samples = sets
    for k in (3, 5):
        found = neighbourhoods(real, samples, k)
        ours = [found.precision[0], found.recall[0], found.density[0], found.coverage[0]]
        assert ours == pytest.approx(by_scikit_learn(real, samples, k), rel=1e-3)
        assert min(ours) > 0.05  # neither is trivial here


def test_agrees_with_prdc(sets):
    prdc = pytest.importorskip("prdc")
    real, samples = sets
    theirs = prdc.compute_prdc(real, samples, nearest_k=5)
    found = neighbourhoods(real, samples)
    for name, value in theirs.items():
        assert getattr(found, name)[0] == pytest.approx(value, rel=1e-3)


def test_a_generator_of_one_image_has_no_recall():
    random = np.random.default_rng(1)
    real = random.normal(size=(500, 8))
    collapsed = real[:1] + random.normal(0.0, 1e-3, (500, 8))
    found = neighbourhoods(real, collapsed)
    assert found.precision[0] == 1.0
    assert found.recall[0] < 0.1
    assert found.coverage[0] < 0.1
    exact = neighbourhoods(real, np.repeat(real[:1], 500, 0))
    assert (exact.precision[0], exact.recall[0]) == (1.0, 1 / 500)


def test_equal_distributions_are_precise_and_recalled():
    random = np.random.default_rng(2)
    found = neighbourhoods(random.normal(size=(1000, 4)), random.normal(size=(1000, 4)))
    assert min(found.precision[0], found.recall[0]) > 0.85
    assert found.density[0] == pytest.approx(1.0, abs=0.1)
    share, error = found.precision
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 999), rel=1e-6)


def test_the_nearest_of_pieces_is_the_nearest_of_all():
    random = np.random.default_rng(3)
    train = random.normal(1000.0, 1.0, (300, 6)).astype(np.float32)
    features = np.concatenate([random.normal(1000.0, 1.0, (40, 6)).astype(np.float32), train[[17, 250]]])
    found = Nearest(features)
    for start in range(0, 300, 70):
        found.add(train[start : start + 70])
    assert found.seen == 300
    distances = np.linalg.norm(features[:, None].astype(np.float64) - train[None], axis=-1)
    np.testing.assert_array_equal(found.index, distances.argmin(1))
    np.testing.assert_allclose(found.distance, distances.min(1), atol=1e-6)
    assert (found.distance[-2:] == 0).all()  # copies


def test_copying_is_the_statistic_of_mann_and_whitney():
    random = np.random.default_rng(4)
    samples, held_out = random.integers(0, 9, 80).astype(float), random.integers(2, 12, 50).astype(float)
    share, error = copying(samples, held_out)
    assert share == pytest.approx(scipy.stats.mannwhitneyu(held_out, samples).statistic / (80 * 50))
    assert error == pytest.approx(math.sqrt(131 / (12 * 80 * 50)))
    assert copying(np.zeros(9), np.ones(9))[0] == 1.0
    assert copying(np.ones(9), np.ones(9))[0] == 0.5


def test_the_error_of_copying_is_that_of_repeated_measurements():
    random = np.random.default_rng(5)
    found = [copying(random.normal(size=60), random.normal(size=40)) for _ in range(400)]
    shares, errors = np.transpose(found)
    assert shares.std(ddof=1) == pytest.approx(errors[0], rel=0.1)
    assert abs(shares.mean() - 0.5) < 3 * errors[0] / math.sqrt(400)
