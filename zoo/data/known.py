"""Parts of an example by name: which of its values are known, where the others are to be drawn."""

from __future__ import annotations

import numpy as np

PARTS = ("top", "bottom", "left", "right", "center")
#: Those that a row of values has, too.
ROW_PARTS = ("left", "right")


def part(name: str, area: tuple[int, ...]) -> np.ndarray:
    """A half, or the middle half of both sides; of a row of values the left or the right half.

    Args:
        name: one of `PARTS`; of a row one of `ROW_PARTS`.
        area: (H, W), or (d,) of a row.

    Returns:
        bool, of the shape of the area, true where a value is known.
    """
    known = np.zeros(area, bool)
    width = area[-1]
    half = {"left": slice(None, width // 2), "right": slice(width // 2, None)}
    if name in half:
        known[..., half[name]] = True
        return known
    height = area[0]
    rows, columns = {
        "top": (slice(None, height // 2), slice(None)),
        "bottom": (slice(height // 2, None), slice(None)),
        "center": (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)),
    }[name]
    known[rows, columns] = True
    return known
