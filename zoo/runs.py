"""Run directories: each describes itself in `run.json`, so that it can be found, resumed and used."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from zoo.errors import UsageError, ZooError
from zoo.files import remove_unfinished, replacing
from zoo.plain import plain

log = logging.getLogger("gmzoo")

SCHEMA = 1
#: The file that a process holds locked while it trains in a run.
LOCK = ".lock"


def runs_dir(option: str | os.PathLike[str] | None = None) -> Path:
    """Where runs live: the option, else GMZOO_RUNS, else ./runs."""
    return Path(option or os.environ.get("GMZOO_RUNS") or "runs")


class Run:
    """One training run and the files it holds."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: the run directory; it need not exist yet.
        """
        self.path = Path(path)

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            ZooError: it is missing or damaged, or something else of that name.
        """
        try:
            record = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ZooError(f"{self.path} is no run that can be read: {error}.") from error
        if not isinstance(record, dict) or not record.keys() >= {"model", "preset", "status", "started"}:
            raise ZooError(f"{self.path} is no run that can be read: its run.json is something else.")
        return record

    def update(self, **fields: Any) -> None:
        """Writes `run.json` with some fields changed."""
        record = self.record if (self.path / "run.json").exists() else {"schema": SCHEMA}
        with replacing(self.path / "run.json") as temporary:
            document = json.dumps(plain({**record, **fields}), indent=1)
            temporary.write_text(document + "\n", encoding="utf-8")

    @property
    def status(self) -> str:
        """`finished`, `running`, or `stopped` where it can be resumed."""
        status = self.record["status"]
        if status == "running" and not self._locked():
            return "stopped"
        return status

    @property
    def step(self) -> int:
        """How many steps are done and saved."""
        saved = [int(path.stem.removeprefix("step-")) for path in self.checkpoints.glob("step-*.npz")]
        return max(saved, default=self.record.get("step") or 0)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def saved_model(self) -> Path | None:
        """The SavedModel's newest version folder, or None before there is one."""
        versions = [p for p in (self.path / "saved_model").glob("*") if p.name.isdigit()]
        return max(versions, key=lambda p: int(p.name)) if versions else None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Holds the run against other processes.

        Raises:
            UsageError: another process trains in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise UsageError(
                f"Another process trains in {self.path}. Wait for it, or start another run with --new."
            ) from error
        try:
            remove_unfinished(self.path)
            yield
        finally:
            lock.release()
            if [path.name for path in self.path.iterdir()] == [LOCK]:  # nothing came of it
                with contextlib.suppress(OSError):
                    (self.path / LOCK).unlink()
                    self.path.rmdir()

    def _locked(self) -> bool:
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        lock.release()
        return False


def all_runs(folder: Path, model: str | None = None) -> list[Run]:
    """The runs in `folder`, newest first; only those of `model` where it is given."""
    found = [Run(path.parent) for path in folder.glob("*/run.json")]
    readable = []
    for run in found:
        try:
            if model in (None, run.record["model"]):
                readable.append((run.record["started"], str(run.path), run))
        except ZooError as error:
            log.warning("%s It is passed over.", error)
    return [run for *_, run in sorted(readable, key=lambda item: item[:2], reverse=True)]


def next_run(folder: Path, model: str) -> Run:
    """The first free `<folder>/<model>-<NNN>`."""
    taken = [
        int(match[1])
        for path in folder.glob(f"{model}-*")
        if (match := re.fullmatch(rf"{re.escape(model)}-(\d+)", path.name))
    ]
    return Run(folder / f"{model}-{max(taken, default=0) + 1:03d}")
