"""Files that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import filelock

log = logging.getLogger("gmzoo")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; renames it over `path` when the block succeeds.

    The block may write a file or make a folder there. If it raises, what it wrote is removed and whatever
    stood at `path` is untouched. The temporary name keeps the ending of `path`, which writers look at.

    Args:
        path: the final path; its folder is made where it is missing.

    Raises:
        OSError: a folder that is not empty stands at `path`, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that were killed inside `replacing` left in a folder, at any depth."""
    for path in [*folder.rglob(".*.tmp*")]:
        if not re.fullmatch(r"\..*\.[0-9a-f]{8}\.tmp(\.[^.]*)?", path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def file_hash(path: str | os.PathLike[str]) -> str:
    """A short sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Holds `path` locked against other processes; says so once where it has to wait.

    Args:
        path: what is protected; the lock lies beside it as `.<name>.lock`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        log.info("waiting for another process that prepares %s", path)
        held.acquire()
    try:
        yield
    finally:
        held.release()
