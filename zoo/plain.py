"""Values in a plain form: what JSON can hold, and tensors in words."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """What JSON can hold: NumPy scalars and arrays as numbers and lists, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # of NumPy, which need not be imported to know it
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def figures(metric: Mapping[str, Any]) -> tuple[str, str]:
    """A measured value and its error as text: the error to two digits, the value to the same place.

    Args:
        metric: `value`, `standard_error`; of several models `standard_deviation`, which is told instead.

    Returns:
        The value, four significant digits of it where no error is known, whole where it is large or counted,
        `not finite` where it is none; and the error, empty where none is known.
    """
    value = metric["value"]
    error = metric.get("standard_deviation", metric.get("standard_error"))
    if value is None or not math.isfinite(value):
        return "not finite", ""
    if isinstance(value, int):
        return f"{value:,}", ""
    if not error or not math.isfinite(error):
        return (f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"), ""
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{places}f}", f"{error:,.{places}f}"


def table(specs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tensor name -> {dtype, shape} of a `tf.TensorSpec` or tensor; None in a shape is the batch."""
    return {name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()} for name, spec in specs.items()}


def tensors(specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each tensor as `name dtype[shape]`, N for the batch.

    Args:
        specs: name -> {dtype, shape}; None in a shape is the batch.
    """
    return [
        f"{name} {spec['dtype']}[{', '.join('N' if size is None else str(size) for size in spec['shape'])}]"
        for name, spec in specs.items()
    ]
