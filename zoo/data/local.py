"""What the sources of the user's own files share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zoo.errors import UsageError

PARTS = ("train", "validation", "test")


def existing(path: Path, kind: str) -> None:
    """Refuses a path that is missing or cannot be read.

    Raises:
        UsageError: saying which of the two.
    """
    try:
        found = path.exists()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    if not found:
        raise UsageError(f"There is no {path} (asked for by {kind}:{path}).")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise UsageError(f"{path} cannot be read: permission denied.")


def join_parts(
    parts: Mapping[str, Mapping[str, np.ndarray]], path: Path
) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, int]]]:
    """Joins the splits of a source, one after another.

    Args:
        parts: the fields of each split.
        path: named in the error.

    Returns:
        The fields over all rows, and the rows of each split.

    Raises:
        UsageError: if the splits differ in their fields or in the size of their images.
    """
    first = next(iter(parts.values()))
    bounds, start = {}, 0
    for split, fields in parts.items():
        if set(fields) != set(first):
            raise UsageError(
                f"{path}: the splits differ: {split} has {', '.join(fields)}; "
                f"{next(iter(parts))} has {', '.join(first)}."
            )
        for name, array in fields.items():
            if array.shape[1:] != first[name].shape[1:]:
                raise UsageError(
                    f"{path}: `{name}` is {list(array.shape[1:])} in {split}, but "
                    f"{list(first[name].shape[1:])} in {next(iter(parts))}."
                )
        rows = len(next(iter(fields.values())))
        bounds[split] = (start, start + rows)
        start += rows
    joined = {name: np.concatenate([fields[name] for fields in parts.values()]) for name in first}
    return joined, bounds


def numbered_classes(fields: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The names "0", "1", ... of labels that come without names."""
    label = fields.get("label")
    return () if label is None else tuple(str(number) for number in range(int(label.max(initial=-1)) + 1))
