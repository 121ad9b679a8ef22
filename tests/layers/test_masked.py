"""Masked convolutions hide what comes later, whatever their weights hold, and run by rows and pixels too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.masked import MaskedConv, centre_mask, groups_of, neighbours

HEIGHT, WIDTH, ROWS = 4, 5, 3


def filled(**options) -> MaskedConv:
    """A convolution of which every weight, masked or not, is a large random number."""
    conv = MaskedConv(6, 6, **options)
    random = np.random.default_rng(0)
    for variable in conv.weights:
        variable.assign(random.normal(size=variable.shape))
    return conv


def maps(rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, HEIGHT, WIDTH, 6)).astype(np.float32)


def test_features_are_split_alike_in_layers_of_any_width():
    np.testing.assert_array_equal(groups_of(6, 3), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(groups_of(3, 3), [0, 1, 2])
    np.testing.assert_array_equal(groups_of(3 * 256, 3), np.repeat([0, 1, 2], 256))
    assert set(groups_of(4, 3)) == {0, 1, 2}


def test_at_the_centre_a_sees_the_colours_before_and_b_its_own_too():
    np.testing.assert_array_equal(centre_mask(3, 3, "A", 3), [[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(centre_mask(3, 3, "B", 3), [[1, 1, 1], [0, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(centre_mask(3, 6, "B", 3, copies=2), np.tile(centre_mask(3, 3, "B", 3), 2))


@pytest.mark.parametrize("sight", ["A", "B", "above", "row"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_output_sees_what_its_mask_says_and_all_of_it(sight, channels):
    conv = filled(rows=3, columns=5, sight=sight, channels=channels)
    x = tf.constant(maps(1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = conv(x)
    jacobian = tape.jacobian(y, x).numpy()[0, :, :, :, 0]  # [H, W, G, H, W, F]
    group = groups_of(6, channels)
    for (i, j, g), (k, m, f) in itertools.product(np.ndindex(HEIGHT, WIDTH, 6), np.ndindex(HEIGHT, WIDTH, 6)):
        seen = {
            "A": k < i or (k == i and (m < j or (m == j and group[f] < group[g]))),
            "B": k < i or (k == i and (m < j or (m == j and group[f] <= group[g]))),
            "above": k < i,
            "row": k <= i,
        }[sight]
        within = abs(m - j) <= 2 and i - k <= 2
        assert (jacobian[i, j, g, k, m, f] != 0) == (seen and within), (i, j, g, k, m, f)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (2, 3), (4, 7)])
@pytest.mark.parametrize("sight", ["A", "B", "row"])
def test_by_rows_and_pixels_it_gives_the_same(sight, rows, columns):
    conv = filled(rows=rows, columns=columns, sight=sight, channels=3)
    x = maps()
    whole = conv(tf.constant(x)).numpy()
    weights = conv.weights_in_rows()
    outside = np.zeros((rows - 1, WIDTH, ROWS, 6), np.float32)
    by_row = np.concatenate([outside, x.transpose(1, 2, 0, 3)])  # [rows - 1 + H, W, B, F]
    for row in range(HEIGHT):
        known = list(by_row[row : row + rows - (sight != "row")])
        above = weights.of_rows(known).numpy() if known else np.broadcast_to(conv.bias, (WIDTH, ROWS, 6))
        left = np.zeros((ROWS, columns // 2 * 6), np.float32)
        for column in range(WIDTH):
            pixel = x[:, row, column]
            y = above[column] + (0.0 if sight == "row" else weights.of_pixel(left, pixel).numpy())
            np.testing.assert_allclose(y, whole[:, row, column], rtol=1e-4, atol=1e-4)
            left = np.concatenate([left, pixel], 1)[:, 6:]


def test_a_kernel_of_one_row_runs_along_maps_whose_columns_stand_before_the_batch():
    conv = filled(columns=5, channels=3)
    x = maps()
    along = conv.along(tf.constant(x.transpose(1, 2, 0, 3))).numpy()
    np.testing.assert_allclose(along.transpose(2, 0, 1, 3), conv(tf.constant(x)), rtol=1e-4, atol=1e-4)


def test_neighbours_stand_from_left_to_right_and_something_stands_outside():
    row = tf.reshape(tf.range(3.0), (3, 1, 1))
    found = neighbours(row, 1, 1, outside=tf.constant([9.0]))
    np.testing.assert_array_equal(found[:, 0], [[9, 0, 1], [0, 1, 2], [1, 2, 9]])
