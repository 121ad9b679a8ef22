"""Numbers in words, and pictures inside a page."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from zoo.reports import page


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        (-61.473, 0.1385, "−61.47 ± 0.14"),
        (-2100.4, 12.3, "−2,100 ± 12"),
        (0.11312, 0.000254, "0.11312 ± 0.00025"),
        (3.14159, None, "3.142"),
        (435873.0, None, "435,873"),
        (0.0, None, "0"),
        (1e-7, None, "1e−07"),
        (5.0, 0.0, "5"),
        (None, 1.0, "not finite"),
        (-math.inf, None, "not finite"),
    ],
)
def test_a_value_has_as_many_places_as_its_error(value, error, told):
    assert page.measured({"value": value, "standard_error": error}) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0046, "4.6 ms"), (0.0996, "0.1 s"), (2.84, "2.8 s"), (9.96, "10 s"), (59.6, "1 min 0 s"),
        (190.0, "3 min 10 s"), (7500.0, "2 h 5 min"), (None, ""),
    ],
)  # fmt: skip
def test_durations(seconds, told):
    assert page.duration(seconds) == told


def test_settings_in_one_line():
    schedule = {"name": "adam", "learning_rate": {"schedule": "cosine", "start": 0.002}}
    assert page.setting(schedule) == "name adam, learning_rate schedule cosine, start 0.002"
    assert page.setting([1, None, True, False]) == "1, none, yes, no"
    assert page.setting([]) == page.setting(()) == page.setting("") == "none"
    assert page.setting(0) == "0"
    assert page.setting([*range(100)]).endswith("11, ... (100 in all)")
    assert page.moment("2026-01-31T13:00:00.5+01:00") == "2026-01-31 12:00 UTC"


@pytest.mark.parametrize(("size", "kind"), [(20, "image/png"), (900, "image/jpeg")])
def test_a_large_picture_becomes_a_jpeg(tmp_path, size, kind):
    noise = np.random.default_rng(0).integers(256, size=(size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    found = page.inlined_picture(tmp_path / "a.png")
    head, _, data = found["uri"].partition(",")
    assert head == f"data:{kind};base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (found["width"], found["height"]) == (size, size)
        if kind == "image/png":
            np.testing.assert_array_equal(np.asarray(image), noise)
