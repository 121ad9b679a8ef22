"""The kernel distance: the kernel, unbiasedness, its error, independent implementations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel as reference_kernel

from zoo.evaluation.kernel import kernel_distance, squared_discrepancy


def reference(x: np.ndarray, y: np.ndarray) -> float:
    """The estimate by scikit-learn's kernel and a sum over pairs."""
    xx, yy, xy = (reference_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    return sum((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (xx, yy)) - 2 * xy.mean()


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(90, 32)), random.normal(0.3, 1.2, (70, 32))
    assert squared_discrepancy(x, y) == pytest.approx(reference(x, y), rel=1e-9)


def test_agrees_with_torch_fidelity():
    pytest.importorskip("torch")
    metric = pytest.importorskip("torch_fidelity.metric_kid")
    random = np.random.default_rng(1)
    x, y = random.normal(size=(80, 32)), random.normal(0.3, 1.2, (80, 32))
    theirs = metric.kernel_mmd(x, y, kid_kernel="poly")  # of degree 3, by default
    assert squared_discrepancy(x, y) == pytest.approx(theirs, rel=1e-3)


def test_unbiased():
    """Over all ways to draw two sets from a small population, the mean is that of the population itself."""
    population = np.random.default_rng(2).normal(size=(5, 3))
    pairs = list(itertools.product(range(5), repeat=2))  # independent draws, with repeats
    found = [
        squared_discrepancy(population[list(a)], population[list(b)])
        for a, b in itertools.product(pairs, repeat=2)
    ]
    assert np.mean(found) == pytest.approx(0.0, abs=1e-12)
    assert min(found) < 0 < max(found)


def test_equal_distributions_are_at_0_and_others_are_not():
    random = np.random.default_rng(3)
    x, y, z = (random.normal(mean, 1.0, (4000, 16)) for mean in (0.0, 0.0, 0.2))
    value, error, rows = kernel_distance(x, y)
    assert rows == 400
    assert abs(value) < 3 * error
    value, error, _ = kernel_distance(x, z)
    assert value > 10 * error


def test_the_error_is_that_of_repeated_measurements():
    random = np.random.default_rng(4)
    found = [
        kernel_distance(random.normal(size=(200, 8)), random.normal(0.3, 1.0, (200, 8)))[:2]
        for _ in range(60)
    ]
    values, errors = np.transpose(found)
    assert values.std(ddof=1) == pytest.approx(np.sqrt(np.square(errors).mean()), rel=0.35)


@pytest.mark.parametrize(("n", "m", "rows"), [(2, 5, 2), (30, 1000, 3), (10500, 10001, 1000)])
def test_blocks_are_disjoint_and_at_most_so_large(n, m, rows):
    x, y = np.zeros((n, 1)), np.ones((m, 1))
    value, error, got = kernel_distance(x, y)
    assert got == rows
    assert value == pytest.approx(1 + 8 - 2)  # k(0, 0) + k(1, 1) - 2 k(0, 1)
    assert (error is None) == (min(n, m) < 2 * rows)
