"""What a measured number is: a value with its error, its unit, what it is worth, and a receipt.

    {"value", "standard_error", "unit", "kind", "better", "receipt"}

`kind` is `exact`, `bound` (of a likelihood, from below) or `estimate`; `better` is `higher`, `lower`, or None
where neither is. The receipt says what the number was made of, so that two of them can be compared, and has a
`warning` where it rests on too little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Metric = dict[str, Any]
Metrics = dict[str, Metric]

#: The version of the document that `gmzoo evaluate --json` prints.
SCHEMA = 1


def metric(
    value: float | None,
    standard_error: float | None,
    unit: str,
    better: str | None,
    receipt: Mapping[str, Any],
    kind: str = "estimate",
) -> Metric:
    """One measured number."""
    return {
        "value": value,
        "standard_error": standard_error,
        "unit": unit,
        "kind": kind,
        "better": better,
        "receipt": dict(receipt),
    }


def mean_of(
    values: np.ndarray, unit: str, better: str | None, receipt: Mapping[str, Any], kind: str = "exact"
) -> Metric:
    """The mean over examples [N]; without an error where there is none to tell."""
    values = np.asarray(values, np.float64)
    spread = len(values) > 1 and np.isfinite(values).all()
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if spread else None
    return metric(float(values.mean()), error, unit, better, {**receipt, "n": len(values)}, kind)


def over_models(found: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over several models, with the standard deviation between them.

    Args:
        found: the metrics of each model.

    Returns:
        Those metrics that all models have a value of. `standard_error` is that of the mean over models;
        beside it stand `standard_deviation` and the `values`. The receipt is what those of all agree in.
    """
    together = {}
    for name, first in found[0].items():
        each = [metrics[name] for metrics in found if metrics.get(name, {}).get("value") is not None]
        if len(each) < len(found):
            continue
        values = np.array([one["value"] for one in each], np.float64)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else None
        agreed = {
            key: value
            for key, value in first["receipt"].items()
            if all(one["receipt"].get(key) == value for one in each)
        }
        together[name] = {
            **metric(
                float(values.mean()),
                None if deviation is None else deviation / math.sqrt(len(values)),
                first["unit"],
                first["better"],
                {**agreed, "models": len(values)},
                first["kind"] if all(one["kind"] == first["kind"] for one in each) else "mixed",
            ),
            "standard_deviation": deviation,
            "values": values.tolist(),
        }
    return together
