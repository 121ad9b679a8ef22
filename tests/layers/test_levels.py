"""Pixels become the nearest level and come back."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.layers.levels import quantise, to_image


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_levels_come_back_as_they_went(levels):
    level = np.arange(levels, dtype=np.int32)
    image = to_image(level, levels).numpy()
    assert (image.min(), image.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(quantise(image, levels), level)


def test_halfway_goes_up_and_what_is_beyond_is_cut():
    np.testing.assert_array_equal(quantise(np.float32([0.4999, 0.5, 0.5001]), 2), [0, 1, 1])
    np.testing.assert_array_equal(quantise(np.float32([0.24, 0.25, 0.5, 0.75]), 3), [0, 1, 1, 2])
    np.testing.assert_array_equal(quantise(np.float32([-0.2, 1.3]), 4), [0, 3])
