"""Curves of a training run: one small panel a quantity, training and validation together."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from zoo.errors import ZooError
from zoo.files import replacing

#: What says where a record stands; all other numbers of a record are drawn.
POSITION = {"schema", "step", "epoch", "seconds", "time", "examples", "examples_per_second"}
TRAIN, VALIDATION = "#4477aa", "#cc3311"


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; a last line that was cut short is left out."""
    records = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def series(records: list[dict[str, Any]]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """What to draw.

    Args:
        records: dictionaries with `step` and numbers, in groups (`{"validation": {"loss": 1.0}}`) or by names
            (`validation_loss`, `val_loss`).

    Returns:
        Quantity -> "training" or "validation" -> (steps, values). Values that are not finite break a line.
    """
    found: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for record in records:
        for name, value in _flat(record):
            if name.split("/")[-1] in POSITION or isinstance(value, bool):
                continue
            if not isinstance(value, int | float | None):
                continue
            quantity, kind = _kind(name)
            steps, values = found.setdefault(quantity, {}).setdefault(kind, ([], []))
            steps.append(record["step"])
            values.append(math.nan if value is None else float(value))
    return {
        quantity: kinds
        for quantity, kinds in found.items()
        if any(np.isfinite(values).any() for _, values in kinds.values())
    }


def _flat(record: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in record.items():
        pairs += _flat(value, f"{prefix}{key}/") if isinstance(value, dict) else [(prefix + key, value)]
    return pairs


def _kind(name: str) -> tuple[str, str]:
    for prefix in ("validation/", "validation_", "val_", "val/"):
        if name.startswith(prefix):
            return name.removeprefix(prefix), "validation"
    for prefix in ("training/", "train/", "train_", "logs/"):
        name = name.removeprefix(prefix)
    return name, "training"


def curves(metrics: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Draws the records of a run.

    Args:
        metrics: the run's `metrics.jsonl`.
        out: the PNG to write.

    Raises:
        ZooError: there is nothing to draw.
    """
    panels = series(read(metrics))
    if not panels:
        raise ZooError(f"{metrics} holds no numbers to draw.")
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.5 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for index, (quantity, kinds) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        for kind, color in [("training", TRAIN), ("validation", VALIDATION)]:
            if kind in kinds:
                steps, values = kinds[kind]
                axes.plot(
                    steps, values, color=color, linewidth=1.2, label=kind, marker="o" if len(steps) < 12 else None,
                    markersize=2.5,
                )  # fmt: skip
        axes.set_title(quantity.replace("_", " "), fontsize=9, loc="left")
        axes.set_ylim(*_limits([value for _, values in kinds.values() for value in values]))
        axes.tick_params(labelsize=7)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if index // columns == rows - 1 or index + columns >= len(panels):
            axes.set_xlabel("step", fontsize=8)
        if "validation" in kinds:
            axes.legend(fontsize=7, frameon=False)
    with replacing(out) as temporary:
        figure.savefig(temporary, format="png")
    return Path(out)


def _limits(values: list[float]) -> tuple[float, float]:
    """The range of a panel: a few values far out, as at a run's start, do not flatten the rest."""
    finite = np.array([value for value in values if math.isfinite(value)])
    low, high = np.percentile(finite, [1, 99]) if len(finite) >= 20 else (finite.min(), finite.max())
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)
