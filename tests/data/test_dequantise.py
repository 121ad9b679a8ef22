"""Images as features: a level plus noise, the same wherever it is read."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import stats

from zoo.data import Data, Info, as_features, load


@pytest.fixture(scope="module")
def digits():
    return load("digits", "test")


def test_the_level_is_what_stands_before_the_point(digits):
    found = as_features(digits)
    features, image = found.fields["features"], digits.fields["image"]
    assert features.dtype == np.float32
    assert features.shape == (len(digits), 64)
    np.testing.assert_array_equal(np.floor(features), image.reshape(len(digits), 64))
    noise = (features - np.floor(features)).reshape(-1)
    assert stats.kstest(noise, "uniform").pvalue > 1e-3
    assert found.info.dequantised == (8, 8, 1)
    np.testing.assert_array_equal(found.fields["label"], digits.fields["label"])
    assert "image" not in found.fields


def test_a_row_has_the_same_noise_whatever_is_read_with_it(digits):
    whole, part = as_features(digits), as_features(load("digits", "test", limit=7))
    np.testing.assert_array_equal(part.fields["features"], whole.fields["features"][:7])
    other = as_features(load("digits", "validation"))
    noise = [each.fields["features"][:7] % 1 for each in (part, other)]
    assert np.abs(noise[0] - noise[1]).min() > 0


def test_it_is_told(caplog):
    caplog.set_level(logging.INFO, "gmzoo")
    image = np.zeros((3, 2, 2, 1), np.uint8)
    found = as_features(Data("told once", "all", {"image": image}, Info(levels=256)))
    assert "a bound on the likelihood of the levels" in caplog.text
    assert "0 to 256" in found.info.notes[-1]


def test_what_has_features_or_no_images_stays_as_it_is():
    for fields in ({"features": np.zeros((3, 2), np.float32)}, {"tokens": np.zeros((3, 2), np.int32)}):
        data = Data("mine", "all", fields, Info())
        assert as_features(data) is data
