"""Scores of anomalies, the rate of false alarms, and how well two sets are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.cli import detect as commands
from zoo.errors import UsageError
from zoo.evaluation.anomaly import METHODS, Detector, anomaly_scores, fit, separation


@pytest.mark.parametrize("false_alarms", [0.05, 0.1, 0.37])
def test_false_alarms_are_as_rare_as_was_asked_for(false_alarms):
    """Of 20 exchangeable scores the first 19 fit the threshold, and the last is judged; many times."""
    rng = np.random.default_rng(0)
    log_prob = rng.normal(-80.0, 20.0, (20_000, 20))
    flagged = [bool(fit("likelihood", false_alarms, row[:19]).flags(-row[19:])[0]) for row in log_prob]
    expected = np.floor(false_alarms * 20 + 1e-9) / 20  # of 19 thresholds there are 20 places to lie in
    assert expected <= false_alarms
    assert np.mean(flagged) == pytest.approx(expected, abs=4 * np.sqrt(expected / 20_000))


@given(st.integers(0, 2**32 - 1), st.integers(20, 200), st.floats(0.05, 0.95))
def test_no_more_of_the_normal_examples_lie_above_the_threshold_than_asked(seed, n, false_alarms):
    log_prob = np.random.default_rng(seed).integers(0, 9, n).astype(float)  # with ties
    detector = fit("likelihood", false_alarms, log_prob)
    above = detector.flags(detector.scores(log_prob)).sum()
    assert above < false_alarms * (n + 1)


def test_the_command_offers_the_methods_that_there_are():
    assert METHODS == commands.METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_fitted_detector_flags_about_its_share(method):
    rng = np.random.default_rng(1)
    log_prob, background = rng.normal(size=(2, 2, 4000))
    detector = fit(method, 0.1, log_prob[0], background[0])
    rate = detector.flags(detector.scores(log_prob[1], background[1])).mean()
    assert rate == pytest.approx(0.1, abs=0.025)


def test_so_few_examples_tell_no_small_share():
    with pytest.raises(UsageError, match="it takes 99 or more"):
        fit("likelihood", 0.01, np.zeros(98))
    fit("likelihood", 0.01, np.zeros(99))


def test_the_least_likely_are_the_most_anomalous():
    np.testing.assert_array_equal(anomaly_scores("likelihood", np.array([-3.0, -5.0]), None, 0.0), [3.0, 5.0])


def test_typicality_is_symmetric():
    """Too likely is as odd as too unlikely."""
    detector = fit("typicality", 0.1, np.linspace(-100.0, -80.0, 41))
    assert detector.normal_mean == pytest.approx(-90.0)
    scores = detector.scores(np.array([-97.0, -83.0, -90.0, 0.0, -180.0]))
    np.testing.assert_allclose(scores, [7.0, 7.0, 0.0, 90.0, 90.0])
    np.testing.assert_array_equal(detector.flags(scores), [False, False, False, True, True])


def test_the_ratio_takes_away_what_the_background_knows():
    """Closed form: p and q Bernoulli products that differ in one pixel; the others do not count."""
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2, (50, 8))
    shared, p, q = rng.uniform(0.1, 0.9, 7), 0.9, 0.5

    def log_prob(last: float) -> np.ndarray:
        ones = np.append(shared, last)
        return np.where(x == 1, np.log(ones), np.log1p(-ones)).sum(1)

    found = anomaly_scores("ratio", log_prob(p), log_prob(q), 0.0)
    np.testing.assert_allclose(found, np.where(x[:, -1] == 1, np.log(q / p), np.log((1 - q) / (1 - p))))
    with pytest.raises(UsageError, match="background"):
        anomaly_scores("ratio", log_prob(p), None, 0.0)


def test_separable_sets_are_told_apart_and_equal_ones_are_not():
    rng = np.random.default_rng(3)
    apart = separation(rng.uniform(0, 1, 50), rng.uniform(2, 3, 30))
    assert apart["auroc"] == {"value": 1.0, "standard_error": pytest.approx(0.0, abs=1e-12)}
    assert apart["average_precision"]["value"] == pytest.approx(1.0)
    backwards = separation(rng.uniform(2, 3, 30), rng.uniform(0, 1, 50))
    assert backwards["auroc"]["value"] == 0.0
    same = rng.normal(size=300)
    assert separation(same, same)["auroc"]["value"] == pytest.approx(0.5)
    assert separation(np.zeros(9), np.zeros(4))["auroc"]["value"] == 0.5  # ties are half


def test_the_standard_error_is_that_of_repeating_the_experiment():
    rng = np.random.default_rng(4)

    def once() -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=60), rng.normal(1.0, size=40)

    draws = [once() for _ in range(400)]
    values = [np.mean(odd[:, None] > normal) for normal, odd in draws]  # AUROC by its definition
    assert separation(*draws[0])["auroc"]["value"] == pytest.approx(values[0])
    errors = [separation(*once())["auroc"]["standard_error"] for _ in range(3)]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)
    assert separation(np.zeros(5), np.ones(1))["auroc"]["standard_error"] is None


def test_the_bootstrap_is_the_same_for_the_same_seed():
    normal, odd = np.random.default_rng(5).normal(size=(2, 50))
    assert separation(normal, odd, seed=1) == separation(normal, odd, seed=1)
    assert separation(normal, odd, seed=1) != separation(normal, odd, seed=2)


def test_what_lies_on_the_threshold_is_no_anomaly():
    detector = Detector("likelihood", 5.0, 0.05, -1.0)
    np.testing.assert_array_equal(detector.flags(np.array([4.9, 5.0, 5.1])), [False, False, True])
