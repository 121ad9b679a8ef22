"""The score of known probabilities, entropy, and which classes are covered."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zoo.evaluation.classes import Tally, class_distance, covered


def tally(probabilities: np.ndarray, piece: int = 13) -> Tally:
    found = Tally.empty(len(probabilities), probabilities.shape[1])
    for start in range(0, len(probabilities), piece):
        found.add(probabilities[start : start + piece])
    return found


def one_hot(labels: np.ndarray, classes: int = 4) -> np.ndarray:
    return np.eye(classes)[labels]


def test_the_score_of_known_probabilities():
    sure = tally(one_hot(np.arange(80) % 4))
    assert sure.score() == (pytest.approx(4.0), None)  # K, where all is sure and even
    assert tally(one_hot(np.zeros(400, int))).score()[0] == pytest.approx(1.0)  # one class only
    assert tally(np.full((400, 4), 0.25)).score()[0] == pytest.approx(1.0)  # never sure


def test_the_score_does_not_depend_on_the_order_of_the_data():
    """Data that are sorted by class hold them all in each split."""
    assert tally(one_hot(np.repeat(np.arange(4), 500))).score()[0] == pytest.approx(4.0, abs=0.05)


def test_the_score_is_the_mean_over_splits():
    probabilities = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 505)
    found = tally(probabilities)
    scores = []
    for split in range(10):
        part = probabilities[found.split == split]
        assert len(part) in (50, 51)
        marginal = part.mean(0)
        scores.append(math.exp((part * np.log(part / marginal)).sum(1).mean()))
    assert found.score() == pytest.approx((np.mean(scores), np.std(scores, ddof=1) / math.sqrt(10)))
    value, error = tally(probabilities[:40]).score()  # too few for splits
    assert value > 1
    assert error is None


def test_agrees_with_torch_fidelity():
    torch = pytest.importorskip("torch")
    metric = pytest.importorskip("torch_fidelity.metric_isc")
    logits = np.random.default_rng(1).normal(0.0, 2.0, (200, 4))
    theirs = metric.isc_features_to_metric(torch.from_numpy(logits), 4, shuffle=False)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    in_turn = Tally.empty(200, 4)
    in_turn.split.sort()  # theirs are in the order of the rows
    in_turn.add(probabilities)
    assert in_turn.score()[0] == pytest.approx(theirs["inception_score_mean"], rel=1e-3)


def test_entropy_with_its_error():
    assert tally(one_hot(np.arange(400) % 4)).entropy() == pytest.approx((math.log(4), 0.0))
    assert tally(one_hot(np.zeros(9, int))).entropy() == (0.0, 0.0)
    random, shares = np.random.default_rng(2), np.array([0.6, 0.3, 0.1, 0.0])
    found = np.array([tally(one_hot(random.choice(4, 500, p=shares))).entropy() for _ in range(200)])
    exact = -(shares[:3] * np.log(shares[:3])).sum()
    assert found[:, 0].mean() == pytest.approx(exact, abs=0.01)
    assert found[:, 0].std(ddof=1) == pytest.approx(found[:, 1].mean(), rel=0.15)


def test_modes_and_shares():
    real = tally(one_hot(np.arange(300) % 3))  # no example of class 3
    few = np.repeat([0, 1, 3], [280, 9, 11])  # 3 % is less than a tenth of a third
    samples = tally(one_hot(few))
    assert covered(samples, real).tolist() == [True, False, False, False]
    assert covered(real, real).tolist() == [True, True, True, False]
    assert class_distance(real, real) == 0.0
    assert class_distance(samples, real) == pytest.approx(280 / 300 - 1 / 3 + 11 / 300)
    unsure = tally(np.tile([0.4, 0.3, 0.3, 0.0], (300, 1)))
    assert not covered(unsure, real).any()
    assert unsure.shares().tolist() == [1, 0, 0, 0]
