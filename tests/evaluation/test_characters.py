"""Each character of a text is scored once, with the context that is promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zoo.evaluation.characters import in_context, per_character


def context_of(tokens: np.ndarray) -> np.ndarray:
    """A score that says how many characters of the text stand before each, in its window."""
    return np.tile(np.arange(tokens.shape[1], dtype=np.float32), (len(tokens), 1))


def itself(tokens: np.ndarray) -> np.ndarray:
    """A score that says which character was scored."""
    return tokens.astype(np.float32)


@pytest.mark.parametrize(("count", "length"), [(5, 8), (4, 7), (3, 1), (1, 8)])
def test_each_character_counts_once_in_its_place(count, length):
    tokens = np.arange(count * length, dtype=np.int32).reshape(count, length)
    np.testing.assert_array_equal(in_context(itself, tokens), tokens)


@pytest.mark.parametrize("length", [8, 7])
def test_half_a_window_stands_before_each_character(length):
    tokens = np.zeros((5, length), np.int32)
    context = in_context(context_of, tokens)
    np.testing.assert_array_equal(context[0], np.arange(length))
    assert context[1:].min() == length // 2
    assert context.max() == length - 1


def test_a_coin_has_one_bit_a_character():
    found = per_character(np.full((6, 4), math.log(0.5)))
    assert found["bits_per_character"]["value"] == pytest.approx(1.0)
    assert found["nats_per_character"]["value"] == pytest.approx(math.log(2))
    assert found["nats_per_character"]["standard_error"] == pytest.approx(0.0, abs=1e-12)


def test_the_error_is_that_of_the_mean_over_windows():
    nats = np.random.default_rng(0).normal(-2, 1, (50, 8))
    found = per_character(nats)
    error = nats.mean(1).std(ddof=1) / math.sqrt(50)
    assert found["nats_per_character"]["standard_error"] == pytest.approx(error)
    assert found["bits_per_character"]["standard_error"] == pytest.approx(error / math.log(2))
    assert per_character(nats[:1])["nats_per_character"]["standard_error"] is None
