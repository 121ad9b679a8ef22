"""Vectors of numbers as a picture: every feature against every other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

#: More features than this are too small to see; the first ones are drawn.
MOST = 6
COLOR = "#4477aa"


def scatter_matrix(features: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Draws a histogram of each feature, and a cloud of points for each pair.

    Args:
        features: [N, d]; at most the first `MOST` columns are drawn.
        names: of the columns.
    """
    shown = min(features.shape[1], MOST)
    figure = Figure(figsize=(1.6 * shown + 0.6, 1.6 * shown + 0.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(shown, shown, squeeze=False, sharex="col")
    size = np.clip(2000 / len(features), 1, 12)
    for row in range(shown):
        for column in range(shown):
            axes = grid[row, column]
            if row == column:
                axes.hist(features[:, row], bins=24, color=COLOR)
                axes.set_yticks([])
            else:
                axes.scatter(features[:, column], features[:, row], s=size, color=COLOR, linewidths=0)
                if column:
                    axes.set_yticklabels([])
            axes.tick_params(labelsize=6)
            axes.spines[["top", "right"]].set_visible(False)
            if row == shown - 1:
                axes.set_xlabel(names[column], fontsize=7)
            if column == 0:
                axes.set_ylabel(names[row], fontsize=7)
    if features.shape[1] > shown:
        figure.suptitle(f"the first {shown} of {features.shape[1]} features", fontsize=8)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
