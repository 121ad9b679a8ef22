"""Curves as SVG inside a page: sharp at any size, small, and in the colours of the page, light or dark."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from zoo.reports.curves import limits

#: The units of a drawing; the page scales it.
WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 8, 24
#: More points than this cannot be told apart; neighbours are averaged.
MOST_POINTS = 300


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        label: what it is.
        steps, values: its points; a value that is not finite is a gap.
        color: which of the page's series colours, from 0.
        dashed: whether it is dashed.
    """

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    color: int = 0
    dashed: bool = False


def plot(lines: Sequence[Line], title: str) -> Markup:
    """The curves as one `<svg>` element.

    Args:
        lines: at least one.
        title: what is drawn, for those who cannot see it; each line's last value is told with it.
    """
    low, high = limits([value for line in lines for value in line.values])
    last = max(float(max(line.steps)) for line in lines) or 1.0

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value: float) -> float:
        # What is beyond the range is drawn a little outside of it, where the frame cuts it off.
        share = np.clip((value - low) / (high - low), -0.5, 1.5)
        return float(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share)

    # A little wider than the frame, for a dot on its edge.
    left, width, height = LEFT - 4, WIDTH - LEFT - RIGHT + 8, HEIGHT - TOP - BOTTOM
    parts = [
        Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, _told(lines, title)
        )
    ]
    for value in ticks(low, high, 4):
        parts.append(
            Markup(
                '<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(LEFT, WIDTH - RIGHT, y(value), y(value), LEFT - 6, y(value) + 3.5, short(value))
        )
    for step in ticks(0, last, 3):
        anchor = "start" if step == 0 else "end" if x(step) > WIDTH - 30 else "middle"
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
                x(step), HEIGHT - 8, anchor, short(step)
            )
        )
    # A nested drawing cuts off what is outside of it, and needs no name that is unique in the page.
    parts.append(
        Markup('<svg x="{}" y="{}" width="{}" height="{}" viewBox="{} {} {} {}">').format(
            left, TOP, width, height, left, TOP, width, height
        )
    )
    for line in lines:
        classes = f"line c{line.color % 8}" + (" dashed" if line.dashed else "")
        steps, values = thinned(line.steps, line.values)
        for piece in _pieces(steps, values):
            if len(piece) == 1:
                (step, value), *_ = piece
                parts.append(
                    Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(
                        classes, x(step), y(value)
                    )
                )
            else:
                points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in piece)
                parts.append(Markup('<polyline class="{}" points="{}"/>').format(classes, points))
    parts.append(Markup("</svg></svg>"))
    return Markup("").join(parts)


def place(quantity: str, kinds: Iterable[str]) -> int:
    """Where a panel stands among others: what was validated first, gradients and diagnostics last."""
    if "validation" in kinds:
        return 0
    return 2 if "gradient" in quantity or "train" not in kinds else 1


def thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_POINTS` points: means of neighbours, where there are more."""
    every = math.ceil(len(steps) / MOST_POINTS)
    starts = np.arange(0, len(steps), every)
    counts = np.diff([*starts, len(steps)])
    x, y = np.asarray(steps, float), np.asarray(values, float)
    return np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts


def _pieces(steps: np.ndarray, values: np.ndarray) -> list[list[tuple[float, float]]]:
    """The stretches between gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if math.isfinite(value):
            found[-1].append((step, value))
        elif found[-1]:
            found.append([])
    return [piece for piece in found if piece]


def ticks(low: float, high: float, about: int) -> list[float]:
    """About so many round numbers from low to high."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def short(value: float) -> str:
    """`12k`, `0.25`, `-1.5M`, with a minus sign that is as wide as a plus."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{suffix}".replace("-", "\N{MINUS SIGN}")
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _told(lines: Sequence[Line], title: str) -> str:
    """The drawing in words."""
    ends = [
        f"{line.label} from {short(finite[0])} to {short(finite[-1])}"
        for line in lines
        if (finite := [value for value in line.values if math.isfinite(value)])
    ]
    return f"{title}: {'; '.join(ends) or 'no finite values'}"
