"""`gmzoo doctor`."""

from __future__ import annotations

import logging
import platform
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click

from zoo.cli.command import Command, json_option, runs_option
from zoo.errors import ZooError

log = logging.getLogger("gmzoo")

#: Free space below which training and data preparation soon fail, in GB.
LEAST_GB = 1.0


@click.command("doctor", cls=Command)
@runs_option
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where prepared data is kept.")
@json_option
def command(runs_dir: str | None, data_dir: str | None, as_json: bool) -> None:
    """Check this machine, and train for two seconds.

    Looks at Python, the architecture, packages, disk, caches and devices, then trains the smallest model.
    Exits with 1 if a check fails, and says what to do.

        gmzoo doctor
        gmzoo doctor --json
    """
    from zoo.cli.output import write_json

    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("architecture", _architecture),
        ("packages", _packages),
        ("runs", lambda: _folder(_runs(runs_dir))),
        ("data", lambda: _folder(_data(data_dir))),
        ("models", _models),
        ("devices", _devices),
        ("training", lambda: _training(data_dir)),
    ]
    found = []
    for name, check in checks:
        try:
            ok, detail = True, check()
        except Exception as error:  # a check that breaks is a finding, whatever broke it
            ok, detail = False, (str(error).splitlines() or [type(error).__name__])[0]
        found.append({"check": name, "ok": ok, "detail": detail})
        if not as_json:
            click.echo(f"{'ok ' if ok else 'BAD'}  {name:<13} {detail}")
    if as_json:
        write_json(found)
    if bad := [each["check"] for each in found if not each["ok"]]:
        raise ZooError(f"{len(bad)} of {len(found)} checks failed: {', '.join(map(str, bad))}.")


def _python() -> str:
    if not (3, 11) <= sys.version_info < (3, 14):
        raise ZooError(f"Python {platform.python_version()}: gmzoo needs 3.11, 3.12 or 3.13")
    return f"Python {platform.python_version()} at {sys.executable}"


def _architecture() -> str:
    if struct.calcsize("P") != 8:
        raise ZooError("a 32-bit Python: TensorFlow needs 64 bits")
    return f"{platform.system()} {platform.machine()}"


def _packages() -> str:
    names = ("gmzoo", "tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets", "numpy")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _runs(option: str | None) -> Path:
    from zoo.runs import runs_dir

    return runs_dir(option)


def _data(option: str | None) -> Path:
    from zoo.data.store import data_folder

    return Path(data_folder(option))


def _folder(folder: Path) -> str:
    """Whether files can be written there, and how much room there is."""
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    with tempfile.TemporaryFile(dir=above):
        pass
    free = shutil.disk_usage(above).free / 1e9
    if free < LEAST_GB:
        raise ZooError(f"{folder}: only {free:.1f} GB free; training needs {LEAST_GB:.0f} GB")
    return f"{folder} ({free:.0f} GB free)"


def _models() -> str:
    from zoo import registry

    shipped = [name.removeprefix("shipped:") for name in registry.shipped()]
    return f"{len(registry.names())} models; installed with trained weights: {', '.join(shipped) or 'none'}"


def _devices() -> str:
    from zoo.cli import startup

    startup.tensorflow()
    import tensorflow as tf

    found = tf.config.list_physical_devices()
    kinds = [device.device_type for device in found]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _training(data_dir: str | None) -> str:
    """Trains, exports and samples the smallest VAE in a folder that is removed."""
    from zoo.cli import startup

    startup.tensorflow()
    import zoo

    begun = time.monotonic()
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = zoo.train("vae", preset="tiny", runs=folder, data_dir=data_dir)
            assert run is not None
            steps = run.record["step"]
            images = zoo.load(run.path).sample(range(4))
    finally:
        log.setLevel(level)
    return f"{steps} steps, an export and {len(images)} samples in {time.monotonic() - begun:.1f} s"
