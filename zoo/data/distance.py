"""Distance templates: shapes that can be drawn antialiased at any size, place, angle and weight."""

from __future__ import annotations

import numpy as np


def distance_template(inside: np.ndarray, step: int) -> np.ndarray:
    """The signed distance to the outline of a drawing, on a coarser grid.

    Args:
        inside: bool [side, side], the drawing.
        step: points of the drawing a point of the template.

    Returns:
        float32 [side / step, side / step], in points of the drawing, positive inside.
    """
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(inside) - distance_transform_edt(~inside)
    side = len(inside) // step
    return distance.reshape(side, step, side, step).mean((1, 3)).astype(np.float32)


def interpolate(templates: np.ndarray, which: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Reads for each example one template at its own points, linearly between those of its grid.

    Args:
        templates: float32 [T, side, side].
        which: int [B], the template of each example.
        row, column: float32 [B, H, W], from the centre, in points of the grid; held at the border.

    Returns:
        float32 [B, H, W].
    """
    side = templates.shape[1]
    row = np.clip(row + (side - 1) / 2, 0, side - 1.001)
    column = np.clip(column + (side - 1) / 2, 0, side - 1.001)
    top, left = row.astype(np.int32), column.astype(np.int32)
    row -= top
    column -= left
    first = top * side + left + (which.astype(np.int32) * side * side)[:, None, None]
    flat = templates.reshape(-1)

    def along(start: np.ndarray) -> np.ndarray:
        value = flat[start]
        return value + (flat[start + 1] - value) * column

    upper = along(first)
    return upper + (along(first + side) - upper) * row
