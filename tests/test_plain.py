"""Measured values as text, the same wherever they are told."""

from __future__ import annotations

import pytest

from zoo.plain import figures


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (-16.139033, 0.348, ("-16.14", "0.35")),
        (0.0123456, 0.00021, ("0.01235", "0.00021")),
        (5.9622145, None, ("5.962", "")),
        (12345.6, 234.5, ("12,346", "234")),
        (10, None, ("10", "")),
        (None, None, ("not finite", "")),
        (float("-inf"), None, ("not finite", "")),
        (1.0, 0.0, ("1", "")),
        (3.2, 0.004, ("3.2000", "0.0040")),
    ],
)
def test_as_many_decimals_as_the_error_deserves(value, error, shown):
    assert figures({"value": value, "standard_error": error}) == shown


def test_of_several_models_the_deviation_is_told():
    assert figures({"value": 1.0, "standard_error": 0.1, "standard_deviation": 0.3}) == ("1.00", "0.30")
