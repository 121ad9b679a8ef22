"""A map of codes: every example a point, in the colour of its class."""

from __future__ import annotations

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from zoo.errors import UsageError
from zoo.files import replacing

#: More classes than this have no colours that can be told apart.
MOST = 20
UNLABELLED = "#bbbbbb"
PLAIN = "#4477aa"


def plane(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes as points of a plane: as they are where they have two units, else their principal components.

    Args:
        codes: [N, d], N and d at least 2.

    Returns:
        float [N, 2], and the share of the variance that each component explains [2]; None for two units.

    Raises:
        UsageError: there are too few codes, or units.
    """
    count, size = codes.shape
    if count < 2 or size < 2:
        raise UsageError(f"A map needs 2 codes of 2 units or more; here are {count} of {size}.")
    if size == 2:
        return codes, None
    from sklearn.decomposition import PCA

    found = PCA(2, svd_solver="full")
    points = found.fit_transform(codes.astype(np.float64))
    return points, found.explained_variance_ratio_


def latent_map(
    codes: np.ndarray,
    out: str | os.PathLike[str],
    label: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> np.ndarray | None:
    """Draws a map of codes.

    Args:
        codes: [N, d], N and d at least 2.
        out: the PNG to write.
        label: int [N], -1 where there is none; None: points of one colour.
        class_names: the name of each label; its number where there are none.

    Returns:
        The share of the variance that each axis explains [2]; None where the codes have two units.

    Raises:
        UsageError: as `plane`.
    """
    points, explained = plane(codes)
    figure = Figure(figsize=(6.2, 5.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    size = float(np.clip(16_000 / len(points), 2, 24))
    classes = [] if label is None else np.unique(label).tolist()
    if label is None or len(classes) > MOST:
        axes.scatter(points[:, 0], points[:, 1], s=size, color=PLAIN, alpha=0.7, linewidths=0)
    else:
        palette = matplotlib.colormaps["tab10" if len(classes) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
        # In the order of the data: points of a class that is drawn last would hide the others.
        of_class = {each: UNLABELLED if each < 0 else palette[index] for index, each in enumerate(classes)}
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            c=[of_class[each] for each in label.tolist()],
            alpha=0.7,
            linewidths=0,
        )
        for each in classes:
            name = "no label" if each < 0 else class_names[each] if class_names else str(each)
            axes.scatter([], [], s=20, color=of_class[each], label=name, linewidths=0)
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    names = [f"unit {index} of the code" for index in range(2)]
    if explained is not None:
        names = [f"component {index + 1}: {explained[index]:.1%} of the variance" for index in range(2)]
    axes.set_xlabel(names[0], fontsize=8)
    axes.set_ylabel(names[1], fontsize=8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.tick_params(labelsize=7)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(out) as temporary:
        figure.savefig(temporary, format="png")
    return explained
