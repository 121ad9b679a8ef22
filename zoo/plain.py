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
