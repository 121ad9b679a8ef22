"""The calibration error of classifiers whose confidence is known."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.evaluation.calibration import calibration_error


def two_classes(confidence: np.ndarray) -> np.ndarray:
    return np.stack([confidence, 1 - confidence], -1)


def test_confidence_that_is_kept_and_that_is_not():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1.0, 200_000)
    right = random.random(200_000) < confidence
    label = np.where(right, 0, 1)
    assert calibration_error(two_classes(confidence), label) < 0.005
    boast = two_classes(np.full(1000, 0.9))
    assert calibration_error(boast, np.arange(1000) % 2) == pytest.approx(0.4)
    assert calibration_error(two_classes(np.ones(10)), np.zeros(10, int)) == 0.0


def test_gaps_of_bins_do_not_cancel():
    """In one bin too sure by 0.3, in another not sure enough by 0.3."""
    confidence = np.repeat([0.9, 0.6], 100)
    right = np.concatenate([np.arange(100) % 10 < 6, np.arange(100) % 10 < 9])
    error = calibration_error(two_classes(confidence), np.where(right, 0, 1))
    assert error == pytest.approx(0.3)
