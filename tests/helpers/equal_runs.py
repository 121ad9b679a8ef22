"""Whether two runs ended with the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo import checkpoints
from zoo.runs import Run


def weights(run: Run) -> dict[str, np.ndarray]:
    """What the newest checkpoint holds."""
    return checkpoints.read(checkpoints.steps(run.checkpoints)[-1])[0]


def assert_equal_runs(a: Run, b: Run) -> None:
    """All that the newest checkpoints hold, and the whole log."""
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []
    assert (a.path / "metrics.jsonl").read_text() == (b.path / "metrics.jsonl").read_text()


def newest_step(folder: Path) -> str:
    """The newest checkpoint of any run in a folder of runs; "" before there is one."""
    return max((path.name for path in folder.glob("*/checkpoints/step-*.npz")), default="")
