"""Codes: what the prior of each unit is, the way from one code to another, and what one unit does alone.

Shapes: d units of a code, F frames.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

Family = Literal["gaussian", "uniform", "one_hot", "binary", "other"]
#: From where to where a unit is moved, by its family: what holds nearly all of the prior.
RANGES: dict[str, tuple[float, float]] = {
    "gaussian": (-3.0, 3.0),
    "uniform": (-1.0, 1.0),
    "one_hot": (0.0, 1.0),
    "binary": (0.0, 1.0),
}
# Below this angle, in radians, an arc is a straight line to within the precision of float32.
STRAIGHT = 1e-4


@dataclasses.dataclass(frozen=True)
class Part:
    """Units of a code that stand side by side and share a prior.

    Attributes:
        family: `gaussian`, each N(0, 1); `uniform`, each in [-1, 1]; `one_hot`, one of `size` classes, all
            as likely; `binary`, each 0 or 1, as likely; or any `other`.
        size: how many units.
    """

    family: Family
    size: int


def placed(parts: Sequence[Part]) -> Iterator[tuple[Part, slice]]:
    """Each part with the units that it is of."""
    start = 0
    for part in parts:
        yield part, slice(start, start + part.size)
        start += part.size


def part_of(unit: int, parts: Sequence[Part]) -> tuple[Part, slice]:
    """The part that a unit belongs to."""
    return next((part, units) for part, units in placed(parts) if unit < units.stop)


def between(a: np.ndarray, b: np.ndarray, frames: int, parts: Sequence[Part]) -> np.ndarray:
    """Codes on the way from one code to another.

    Gaussian units go along a circle: their vectors all have nearly the same length, and on a straight line
    the middle would be shorter than any that the decoder has seen. All others go straight, which keeps a
    class that both ends share, and stays inside the range of a uniform prior.

    Args:
        a, b: codes [d].
        frames: F, both ends included.
        parts: of the code, in order.

    Returns:
        float32 [F, d].

    References:
        White, Sampling Generative Networks, arXiv 1609.04468, section 2.1.
    """
    share = np.linspace(0.0, 1.0, frames)[:, None]
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ways = [
        (spherical if part.family == "gaussian" else straight)(a[units], b[units], share)
        for part, units in placed(parts)
    ]
    return np.concatenate(ways, axis=1).astype(np.float32)


def straight(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(1 - t) a + t b, [F, d], for t of `share` [F, 1]."""
    found: np.ndarray = (1.0 - share) * a + share * b
    return found


def spherical(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, where w is the angle between a and b; [F, d]."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / lengths, -1.0, 1.0)) if lengths > 0.0 else 0.0
    if angle < STRAIGHT or np.pi - angle < STRAIGHT:  # opposite vectors have no one arc between them
        return straight(a, b, share)
    found: np.ndarray = (np.sin((1.0 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return found


def moved(code: np.ndarray, unit: int, values: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """A code with one unit at each of some values, all other units as they are.

    A unit of a class says how far the code has gone from its own class to this one: all units of the class
    change together, since no prior draws half of one class and all of another.

    Args:
        code: [d].
        unit: which, from 0.
        values: [F].
        parts: of the code, in order.

    Returns:
        float32 [F, d].
    """
    found = np.tile(np.asarray(code, np.float32), (len(values), 1))
    part, units = part_of(unit, parts)
    if part.family == "one_hot":
        found[:, units] *= 1.0 - values[:, None]
        found[:, unit] += values
    else:
        found[:, unit] = values
    return found


def span(part: Part, draws: np.ndarray) -> tuple[float, float]:
    """From where to where a unit is moved: what holds nearly all of its prior.

    Args:
        part: that the unit belongs to.
        draws: of the unit from its prior, [N], for a family of which nothing is known.
    """
    if part.family in RANGES:
        return RANGES[part.family]
    low, high = np.quantile(draws, [0.01, 0.99])
    return float(low), float(high)


def quantiles(part: Part, count: int, draws: np.ndarray) -> np.ndarray:
    """Values of a unit with as much of its prior between each two: those at (i + 1/2) / count, [count].

    Args:
        part, draws: as for `span`.
        count: how many.
    """
    share = (np.arange(count) + 0.5) / count
    if part.family == "gaussian":
        normal = statistics.NormalDist()
        return np.array([normal.inv_cdf(each) for each in share.tolist()])
    if part.family in RANGES:
        low, high = RANGES[part.family]
        return low + share * (high - low)
    return np.quantile(draws, share)
