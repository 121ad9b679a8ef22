"""Three small trained models for the commands, and the commands in a folder of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done, command_line

from zoo import callbacks
from zoo.files import lock

# One with a bound, one exact, one with labels and a likelihood of neither kind.
TRAINED = {
    "vae": ["--steps", "20"],
    "nade": [],
    "dcgan": ["--set", "classes=10"],
}


@pytest.fixture(autouse=True)
def quick(opened_once: None, no_curves: None) -> None:
    """SavedModels are opened once, and no curves are drawn of what is trained."""


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished runs: vae-001, nade-001, dcgan-001 (conditional)."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "cli-runs"
    with lock(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "curves", lambda *_: None)
        for name, options in TRAINED.items():
            if not (folder / f"{name}-001").exists():
                done = command_line("train", name, "--preset", "tiny", "--runs-dir", folder, *options)
                assert done.code == 0, done.err
    return folder


@pytest.fixture
def gmzoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs a command line in an empty folder without runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GMZOO_RUNS", raising=False)
    return command_line


@pytest.fixture
def trained(
    gmzoo: Callable[..., Done], workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs a command line in an empty folder, with the runs of the workshop."""
    monkeypatch.setenv("GMZOO_RUNS", str(workshop))
    return gmzoo
