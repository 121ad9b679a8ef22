"""Checkpoints: all variables of a model and its optimizers in one checksummed `.npz`, whole or not at all.

A `.npz` is a zip: each array has a checksum, so a file that was cut short, zeroed or swapped is noticed when
it is read, and the checkpoint before it is taken instead. Nothing is pickled.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooError
from zoo.files import replacing

log = logging.getLogger("gmzoo")

#: How many checkpoints a run has, beside the best one.
CHECKPOINTS_KEPT = 2
META = "meta"


class DamagedError(ZooError):
    """A checkpoint file that cannot be read whole."""


def write(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Writes arrays and a JSON document to `path`.

    Raises:
        ZooError: the disk is full; what stood at `path` is untouched.
    """
    contents: dict[str, Any] = {key.replace("/", "|"): value for key, value in arrays.items()}
    contents[META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **contents)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ZooError(
                f"The disk is full: {path.name} could not be written; the checkpoint before it is intact.\n"
                "Free some space, then give the same command again."
            ) from error
        raise


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and the JSON document of a checkpoint.

    Raises:
        DamagedError: the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {key.replace("|", "/"): content[key] for key in content.files}
        return arrays, json.loads(arrays.pop(META).tobytes())
    except Exception as error:  # NumPy and zipfile raise what the damaged bytes lead them to: anything
        raise DamagedError(f"{path} is damaged ({error}).") from error


def save(folder: Path, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Writes the checkpoint of `step` and removes all but the newest `CHECKPOINTS_KEPT`."""
    write(folder / f"step-{step:010d}.npz", arrays, meta)
    for old in steps(folder)[:-CHECKPOINTS_KEPT]:
        old.unlink()


def steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("step-*.npz"))


def newest(folder: Path, model: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The newest readable checkpoint of `model`; damaged ones are named and passed over.

    Args:
        folder: the run's `checkpoints`.
        model: what the checkpoint must say that it is of.

    Returns:
        Its arrays and document, or None where there is no checkpoint at all.

    Raises:
        ZooError: there are checkpoints, but none can be read.
    """
    found = steps(folder)
    for path in reversed(found):
        try:
            arrays, meta = read(path)
        except DamagedError as error:
            log.warning("%s Taking the checkpoint before it.", error)
            continue
        if meta["model"] == model and path.name == f"step-{meta['step']:010d}.npz":
            return arrays, meta
        log.warning(
            "%s is a checkpoint of %s at step %d. Taking the one before it.",
            path,
            meta["model"],
            meta["step"],
        )
    if found:
        raise ZooError(
            f"No checkpoint in {folder} can be read.\n"
            "Start afresh with --new; the damaged run stays where it is."
        )
    return None


def values(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The variables' values, on the host."""
    return {name: np.asarray(variable) for name, variable in variables.items()}


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Sets variables from arrays of the same names and shapes.

    Raises:
        ZooError: a variable has no array, or one of another shape.
    """
    for name, variable in variables.items():
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise ZooError(f"The checkpoint does not fit the model: {name} is missing or has another shape.")
    for name, variable in variables.items():
        variable.assign(arrays[name])
