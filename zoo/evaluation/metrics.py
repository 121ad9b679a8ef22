"""What a measured number is: a value with its error, its unit, what it is worth, and a receipt.

    {"value", "standard_error", "unit", "kind", "better", "receipt"}

`kind` is `exact`, `bound` (of a likelihood, from below) or `estimate`; `better` is `higher`, `lower`, or None
where neither is. The receipt says what the number was made of, so that two of them can be compared, and has a
`warning` where it rests on too little.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.errors import UsageError

Metric = dict[str, Any]
Metrics = dict[str, Metric]

#: The version of the document that `gmzoo evaluate --json` prints.
SCHEMA = 1
#: How the names of likelihoods begin; a cross-entropy of classes is in nats too, and none.
LIKELIHOODS = r"log_prob|elbo|iwae|importance_weighted|nats_per|bits_per"
#: What of their receipts several models must agree in for a mean over them to mean something.
ALIKE = ("dataset", "split", "n", "fingerprint", "shape", "levels", "extractor_hash", "temperature")


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


def is_likelihood(name: str, metric: Mapping[str, Any]) -> bool:
    """Whether a figure is a likelihood or a bound on one."""
    return bool(re.match(LIKELIHOODS, name)) and metric.get("kind") in ("exact", "bound")


def newest(
    recorded: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """What was measured now in place of what the card holds.

    A likelihood of the card stays where it is of the same data and of as many examples: training has the
    Python model, and knows the divergence of a bound in closed form.
    """
    found = dict(recorded)
    for name, metric in measured.items():
        old, new = (each.get("receipt", {}) for each in (recorded.get(name, {}), metric))
        same = all(old.get(key) == new.get(key) for key in ("fingerprint", "split"))
        if not (is_likelihood(name, metric) and same and old.get("n", 0) >= new.get("n", 0)):
            found[name] = metric
    return found


def over_models(found: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over several models, with the standard deviation between them.

    Args:
        found: the metrics of each model.

    Returns:
        Those metrics that all models have a value of. `standard_error` is that of the mean over models;
        beside it stand `standard_deviation` and the `values`. The receipt is what those of all agree in, with
        the warnings of any.

    Raises:
        UsageError: they were not measured alike, so that a mean over them means nothing.
    """
    together = {}
    for name, first in found[0].items():
        each = [metrics[name] for metrics in found if metrics.get(name, {}).get("value") is not None]
        if len(each) < len(found):
            continue
        _require_alike(name, each)
        values = np.array([one["value"] for one in each], np.float64)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else None
        receipts = [one["receipt"] for one in each]
        shared = _agreed(receipts)
        if found_alike := _agreed([receipt.get("found", {}) for receipt in receipts]):
            shared["found"] = found_alike
        together[name] = {
            **metric(
                float(values.mean()),
                None if deviation is None else deviation / math.sqrt(len(values)),
                first["unit"],
                first["better"],
                {**shared, "models": len(values)},
                first["kind"],
            ),
            "standard_deviation": deviation,
            "values": values.tolist(),
        }
    return together


def _agreed(receipts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all receipts say alike, and the warnings of any."""
    first, *others = receipts
    agreed = {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}
    agreed.pop("warning", None)
    if warnings := dict.fromkeys(each["warning"] for each in receipts if "warning" in each):
        agreed["warning"] = "; ".join(warnings)
    return agreed


def made_of(receipts: Sequence[Mapping[str, Any]], models: int) -> list[tuple[str, str]]:
    """What all figures are made of, as far as they agree, as a name and a text each.

    Args:
        receipts: of the figures.
        models: how many models they are the means over.
    """
    drawn = next((each for each in receipts if each.get("samples")), {})
    seen = next((each for each in receipts if "extractor" in each), {})
    counts = sorted({each["n"] for each in receipts if "n" in each})
    count = " to ".join(f"{each:,}" for each in dict.fromkeys([*counts[:1], *counts[-1:]])) or "some"
    lines = [("examples", f"{count} of {receipts[0].get('dataset')}, split {receipts[0].get('split')}")]
    if models > 1:
        lines.append(("models", f"{models}: means over them"))
    if drawn:
        begun = f", from seed {drawn['seed']} on" if "seed" in drawn else ""
        told = f", temperature {drawn['temperature']:g}" if "temperature" in drawn else ""
        lines.append(("samples", f"{drawn['samples']:,}{begun}{told}"))
    if parts := next((each for each in receipts if "other_part" in each), None):
        lines.append(("floor", f"{parts['n']:,} and {parts['other_part']:,} real images"))
    if seen:
        resized = "" if seen["resizer"] == "none" else f", images resized: {seen['resizer']}"
        lines.append(("features", f"{seen['extractor']} (weights {seen['extractor_hash']}){resized}"))
    return lines


def _require_alike(name: str, each: Sequence[Metric]) -> None:
    """Checks that one metric of several models was measured alike."""
    for key in (*ALIKE, "kind"):
        found = [one["kind"] if key == "kind" else one["receipt"].get(key) for one in each]
        if different := [value for value in found if value != found[0]]:
            raise UsageError(
                f"No mean of {name} over these models: their {key} differs ({found[0]} and {different[0]}). "
                "Measure them one by one."
            )
