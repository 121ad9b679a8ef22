"""Curves of a training run: one small panel a quantity, training and validation together."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from zoo.errors import ZooError
from zoo.files import replacing

#: What says where a record stands; all its other numbers are drawn.
POSITION = {"kind", "step", "epoch"}
COLORS = {"train": "#4477aa", "validation": "#cc3311", "diagnostics": "#228833"}
#: Quantities that end so stand in one panel, a line each, in these colours.
TOGETHER = ("gradient_norm", "largest_gradient", "probability")
SHADES = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")

#: A panel's width and height, and what is left around its axes: left, below, right, above. Inches.
PANEL = (3.6, 2.5)
MARGINS = (0.62, 0.46, 0.12, 0.32)

# Quantity -> kind -> (steps, values).
Panels = dict[str, dict[str, tuple[list[int], list[float]]]]


def read(metrics: str | os.PathLike[str]) -> Panels:
    """What a run's `metrics.jsonl` holds, in the order in which it appears.

    Args:
        metrics: a file with lines like `{"kind": "train", "step": 100, "epoch": 1, "loss": 0.5}`. A line that
            was cut short is left out; null is a number that was not finite.
    """
    panels: Panels = {}
    for line in Path(metrics).read_text(encoding="utf-8").splitlines():
        try:
            record: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        for quantity, value in record.items():
            if quantity in POSITION or not (value is None or isinstance(value, int | float)):
                continue  # several numbers, one for each unit of a code, or words
            steps, values = panels.setdefault(quantity, {}).setdefault(record["kind"], ([], []))
            steps.append(record["step"])
            values.append(math.nan if value is None else float(value))
    return panels


def curves(metrics: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Draws the records of a run.

    Args:
        metrics: the run's `metrics.jsonl`.
        out: the PNG to write.

    Raises:
        ZooError: there is nothing to draw.
    """
    panels = read(metrics)
    if not panels:
        raise ZooError(f"{metrics} holds no numbers to draw.")
    titles = together(panels)
    columns = 2 if len(titles) in (2, 4) else min(len(titles), 3)
    rows = math.ceil(len(titles) / columns)
    (width, height), (left, bottom, right, top) = PANEL, MARGINS
    figure = Figure(figsize=(width * columns, height * rows), dpi=110)
    FigureCanvasAgg(figure)
    # A layout engine would measure every number on every axis, which takes seconds.
    figure.subplots_adjust(
        left=left / (width * columns),
        right=1 - right / (width * columns),
        bottom=bottom / (height * rows),
        top=1 - top / (height * rows),
        wspace=(left + right) / (width - left - right),
        hspace=(bottom + top) / (height - bottom - top),
    )
    for index, (title, quantities) in enumerate(titles.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        drawn: list[float] = []
        for place, quantity in enumerate(quantities):
            for kind, (steps, values) in panels[quantity].items():
                alone = len(quantities) == 1
                axes.plot(
                    steps,
                    values,
                    color=COLORS[kind] if alone else SHADES[place % len(SHADES)],
                    label=kind if alone else quantity.removesuffix(title).strip("_").replace("_", " "),
                    linewidth=1.2,
                    marker="o" if len(steps) < 12 else None,
                    markersize=2.5,
                )
                drawn += values
        axes.set_title(title.replace("_", " "), fontsize=9, loc="left")
        axes.set_ylim(*limits(drawn))
        axes.tick_params(labelsize=7)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if index + columns >= len(titles):
            axes.set_xlabel("step", fontsize=8)
        if len(quantities) > 1 or "validation" in panels[quantities[0]]:
            axes.legend(fontsize=7, frameon=False)
    with replacing(out) as temporary:
        figure.savefig(temporary, format="png")
    return Path(out)


def together(quantities: Iterable[str]) -> dict[str, list[str]]:
    """The quantities of each panel, by its title: those that end alike in one; gradients come last."""
    titles: dict[str, list[str]] = {}
    for quantity in quantities:
        titles.setdefault(next(filter(quantity.endswith, TOGETHER), quantity), []).append(quantity)
    return dict(sorted(titles.items(), key=lambda each: "gradient" in each[0]))


def limits(values: list[float]) -> tuple[float, float]:
    """The range of a panel: a few values far out, as at a run's start, do not flatten the rest."""
    finite = np.array([value for value in values if math.isfinite(value)] or [0.0])
    low, high = np.percentile(finite, [1, 99]) if len(finite) >= 20 else (finite.min(), finite.max())
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)
