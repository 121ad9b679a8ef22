"""Ways through the space of codes, each as the prior of its units wants it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zoo.latents import Part, between, moved, part_of, quantiles, span

RNG = np.random.default_rng(0)
MIXED = (Part("gaussian", 3), Part("uniform", 2), Part("one_hot", 4))


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_gaussian_codes_keep_their_length_on_the_way(seed, size):
    a, b = np.random.default_rng(seed).normal(size=(2, size))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    way = between(a, b, 7, (Part("gaussian", size),))
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), np.linalg.norm(a), rtol=1e-4)
    np.testing.assert_allclose(way[[0, -1]], [a, b], atol=1e-6)
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3, atol=1e-5)  # all steps are as long


def test_a_quarter_circle_passes_through_its_middle():
    way = between(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 3, (Part("gaussian", 2),))
    np.testing.assert_allclose(way[1], [np.sqrt(2.0), np.sqrt(2.0)], rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 0.5, -1.0, 0.0])
def test_codes_on_one_line_are_joined_by_it(factor):
    a = np.array([1.0, -2.0, 0.5])
    way = between(a, factor * a, 5, (Part("gaussian", 3),))
    expected = a * np.linspace(1.0, factor, 5)[:, None]
    np.testing.assert_allclose(way, expected, atol=1e-6)


@pytest.mark.parametrize("family", ["uniform", "one_hot", "other"])
def test_all_other_codes_go_straight(family):
    a, b = RNG.uniform(-1, 1, (2, 5))
    way = between(a, b, 5, (Part(family, 5),))
    np.testing.assert_allclose(way, a + np.linspace(0, 1, 5)[:, None] * (b - a), atol=1e-6)


def test_each_part_goes_its_own_way():
    a = np.concatenate([[1.0, 0.0, 0.0], [-1.0, 0.5], np.eye(4)[2]])
    b = np.concatenate([[0.0, 1.0, 0.0], [1.0, 0.5], np.eye(4)[2]])
    way = between(a, b, 5, MIXED)
    np.testing.assert_allclose(np.linalg.norm(way[:, :3], axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(way[2, 3:5], [0.0, 0.5], atol=1e-7)
    np.testing.assert_array_equal(way[:, 5:], np.tile(np.eye(4)[2], (5, 1)))  # a class that both share


def test_one_unit_moves_and_the_others_stay():
    code = RNG.normal(size=9)
    found = moved(code, 4, np.array([-1.0, 0.0, 1.0]), MIXED)
    np.testing.assert_array_equal(found[:, 4], [-1.0, 0.0, 1.0])
    others = np.arange(9) != 4
    np.testing.assert_array_equal(found[:, others], np.tile(code[others].astype(np.float32), (3, 1)))


def test_a_class_goes_from_the_codes_own_to_the_other():
    code = np.concatenate([np.zeros(5), np.eye(4)[1]])
    found = moved(code, 8, np.linspace(0.0, 1.0, 5), MIXED)[:, 5:]
    np.testing.assert_allclose(found.sum(1), 1.0)
    np.testing.assert_array_equal(found[[0, -1]], np.eye(4)[[1, 3]])
    same = moved(code, 6, np.linspace(0.0, 1.0, 5), MIXED)[:, 5:]
    np.testing.assert_array_equal(same, np.tile(np.eye(4)[1], (5, 1)))


def test_units_belong_to_their_parts():
    assert [part_of(unit, MIXED)[0].family for unit in (0, 2, 3, 4, 5, 8)] == [
        "gaussian", "gaussian", "uniform", "uniform", "one_hot", "one_hot",
    ]  # fmt: skip
    assert part_of(6, MIXED)[1] == slice(5, 9)


def test_quantiles_are_those_of_the_prior():
    share = (np.arange(10) + 0.5) / 10
    draws = RNG.exponential(size=1000)
    np.testing.assert_allclose(quantiles(Part("gaussian", 1), 10, draws), stats.norm.ppf(share), atol=1e-9)
    np.testing.assert_allclose(quantiles(Part("uniform", 1), 10, draws), 2 * share - 1)
    np.testing.assert_allclose(quantiles(Part("other", 1), 10, draws), np.quantile(draws, share))


def test_a_span_holds_nearly_all_of_the_prior():
    draws = RNG.exponential(size=1000)
    assert span(Part("gaussian", 1), draws) == (-3.0, 3.0)
    assert span(Part("uniform", 1), draws) == (-1.0, 1.0)
    low, high = span(Part("other", 1), draws)
    assert np.mean((draws >= low) & (draws <= high)) == pytest.approx(0.98, abs=0.005)
