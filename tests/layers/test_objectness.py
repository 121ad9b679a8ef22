"""Key squares: their sums and scores against loops, and which of them are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.layers.objectness import (
    OVERLAP,
    all_squares,
    covered,
    cut,
    key_squares,
    objectness,
    overlap,
    square_sums,
    steepness,
)

SIDES = (3, 5)


def noise(rows: int, height: int, width: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((rows, height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("margin", [0, 1])
def test_sums_are_those_of_a_loop(margin):
    values = noise(2, 7, 9)[..., 0]
    squares = all_squares(7, 9, SIDES)
    assert len(np.unique(squares, axis=0)) == len(squares) == 5 * 7 + 3 * 5
    expected = [
        values[:, y + margin : y + side - margin, x + margin : x + side - margin].sum((1, 2))
        for y, x, side in squares
    ]
    np.testing.assert_allclose(square_sums(values, SIDES, margin), np.transpose(expected), atol=1e-4)


def test_steepness_is_the_slope_of_the_steepest_channel():
    y, x = np.mgrid[:6, :6].astype(np.float32)
    image = np.stack([3 * x + 4 * y, x], -1)[None]
    inside = steepness(image)[0, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, 8 * 5.0, rtol=1e-5)  # Sobel's sums are eight times the slope


def test_the_score_is_what_lies_within_the_frame_over_the_perimeter():
    x = noise(1, 6, 6)
    found = objectness(x, SIDES)[0].numpy()
    steep = steepness(x)[0].numpy()
    for (top, left, side), score in zip(all_squares(6, 6, SIDES), found, strict=True):
        inside = steep[top + 1 : top + side - 1, left + 1 : left + side - 1].sum()
        assert score == pytest.approx(inside / (4 * side) ** 1.5, rel=1e-4)


def test_a_thing_is_found_whole_and_a_flat_image_has_no_score():
    image = np.zeros((1, 16, 16, 1), np.float32)
    assert not objectness(image, (5, 7)).numpy().any()
    image[0, 6:9, 9:12] = 1.0
    (best, *_) = key_squares(image, (4, 7, 10), 3)[0].numpy().tolist()
    assert best == [4, 7, 7]  # it, the slope around it, and the frame


def test_the_best_comes_first_and_chosen_ones_overlap_little():
    x = noise(4, 12, 12)
    sides = (4, 5)
    chosen, squares, scores = key_squares(x, sides, 3), all_squares(12, 12, sides), objectness(x, sides)
    for row in range(4):
        free = np.ones(len(squares), bool)
        for found in chosen[row].numpy():
            best = np.flatnonzero(free)[np.argmax(scores[row].numpy()[free])]
            np.testing.assert_array_equal(found, squares[best])
            free &= overlap(found, squares).numpy() <= OVERLAP


def test_where_all_overlap_the_least_is_taken_and_none_twice():
    chosen = key_squares(noise(3, 4, 4), (3,), 4).numpy()  # only four squares fit
    for row in chosen:
        assert len(np.unique(row, axis=0)) == 4


squares = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6))


@settings(max_examples=50, deadline=None)
@given(squares, squares)
def test_overlap_is_a_share_of_pixels(a, b):
    one, two = covered(tf.constant([[a, b]]), 12, 12)[0].numpy()
    assert (one.sum(), two.sum()) == (a[2] ** 2, b[2] ** 2)
    assert float(overlap(tf.constant(a), tf.constant(b))) == pytest.approx(
        (one & two).sum() / (one | two).sum()
    )


def test_a_cut_of_its_own_size_is_the_pixels_themselves():
    x = noise(2, 8, 9)
    corners = tf.constant([[[0, 0, 5], [3, 4, 5]], [[3, 0, 5], [1, 2, 5]]])
    found = cut(x, corners, 5).numpy()
    for row, of_row in enumerate(corners.numpy()):
        for index, (top, left, side) in enumerate(of_row):
            expected = x[row, top : top + side, left : left + side]
            np.testing.assert_allclose(found[row, index], expected, atol=1e-6)


def test_an_enlarged_cut_reaches_from_the_first_pixel_to_the_last():
    y, x = np.mgrid[:9, :9].astype(np.float32)
    (found,) = cut(np.stack([y, x], -1)[None], tf.constant([[[4, 1, 5]]]), 13)[0].numpy()
    np.testing.assert_allclose(found[:, 0, 0], np.linspace(4, 8, 13), rtol=1e-5)
    np.testing.assert_allclose(found[0, :, 1], np.linspace(1, 5, 13), rtol=1e-5)
