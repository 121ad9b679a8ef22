"""Pooling to a map of a fixed size."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.pooling import max_pool_to, windows


@pytest.mark.parametrize(("length", "count"), [(4, 4), (7, 4), (14, 4), (16, 4), (9, 2), (5, 3)])
def test_windows_cover_every_place_and_are_even(length, count):
    found = windows(length, count)
    assert len(found) == count
    assert {place for each in found for place in range(length)[each]} == set(range(length))
    sizes = {each.stop - each.start for each in found}
    assert max(sizes) - min(sizes) <= 1
    if length % count == 0:
        assert sizes == {length // count}


def test_each_result_is_the_largest_of_its_window():
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 3)).astype(np.float32)
    found = max_pool_to(tf.constant(x), 4)
    assert found.shape == (2, 4, 4, 3)
    for i, down in enumerate(windows(7, 4)):
        for j, across in enumerate(windows(9, 4)):
            np.testing.assert_array_equal(found[:, i, j], x[:, down, across].max((1, 2)))


def test_where_it_divides_it_is_keras_pooling():
    x = tf.random.stateless_normal((2, 16, 8, 5), (1, 2))
    np.testing.assert_array_equal(max_pool_to(x, 4), tf.nn.max_pool2d(x, (4, 2), (4, 2), "VALID"))
