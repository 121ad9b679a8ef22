"""Squares of an image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.patches import patches


@pytest.mark.parametrize("side", [1, 2])
def test_squares_go_row_by_row_and_so_do_their_pixels(side):
    x = np.random.default_rng(0).random((3, 4, 6, 2), np.float32)
    found = patches(tf.constant(x), side).numpy()
    assert found.shape == (3, 24 // side**2, 2 * side**2)
    for row in range(4 // side):
        for column in range(6 // side):
            square = x[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            np.testing.assert_array_equal(found[:, row * (6 // side) + column], square.reshape(3, -1))
