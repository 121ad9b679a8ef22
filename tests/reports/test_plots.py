"""Curves as SVG: every point where it belongs, gaps where nothing was finite."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from zoo.reports.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_POINTS,
    RIGHT,
    WIDTH,
    Line,
    place,
    plot,
    short,
    thinned,
    ticks,
)


def drawn(lines, title="a title"):
    return ElementTree.fromstring(str(plot(lines, title)))


def points(svg):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        for line in svg.iter("polyline")
    ]


def test_points_are_where_they_belong():
    svg = drawn([Line("train", [0, 50, 100], [3.0, 1.0, 2.0])])
    ((a, b, c),) = points(svg)
    assert (a[0], b[0], c[0]) == (LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT)
    assert a[1] < c[1] < b[1] < HEIGHT - BOTTOM  # up is more
    assert c[1] == pytest.approx((a[1] + b[1]) / 2, abs=0.1)
    assert "train from 3 to 2" in svg.attrib["aria-label"]
    rules = [float(line.attrib["y1"]) for line in svg.iter("line")]
    labels = [text.text for text in svg.iter("text")]
    assert b[1] in rules
    assert {"1", "2", "3", "100"} <= set(labels)


def test_what_is_not_finite_is_a_gap_and_one_point_a_dot():
    svg = drawn([Line("train", [*range(6)], [1.0, 2.0, math.nan, 3.0, math.nan, math.inf])])
    assert [len(piece) for piece in points(svg)] == [2]
    assert len([*svg.iter("circle")]) == 1
    assert [*drawn([Line("train", [1], [math.nan])]).iter("polyline")] == []


def test_names_are_escaped():
    text = str(plot([Line('<script>"x"</script>', [0, 1], [0, 1])], "<b>"))
    assert "<script>" not in text
    assert "<b>" not in text
    ElementTree.fromstring(text)


def test_many_points_become_means_of_neighbours():
    steps, values = thinned(range(1000), np.arange(1000.0))
    assert len(steps) == 250 <= MOST_POINTS
    assert steps[0] == values[0] == 1.5
    assert steps[-1] == 997.5
    few, _ = thinned([3, 5], [1.0, 2.0])
    assert few.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (-3, 7, [-2.5, 0, 2.5, 5]),
        (100, 1e6, [250_000, 500_000, 750_000, 1e6]),
    ],
)
def test_ticks_are_round(low, high, found):
    assert ticks(low, high, 4) == pytest.approx(found)


def test_short_numbers():
    assert [short(value) for value in (12_000, -1.5e6, 0.25, 2e9)] == ["12k", "−1.5M", "0.25", "2G"]


def test_what_was_validated_comes_first_and_gradients_last():
    panels = {
        "elbo_gradient_norm": {"train"},
        "kl": {"train"},
        "recall": {"diagnostics"},
        "nll": {"train", "validation"},
    }
    assert sorted(panels, key=lambda name: place(name, panels[name])) == [
        "nll", "kl", "elbo_gradient_norm", "recall",
    ]  # fmt: skip
