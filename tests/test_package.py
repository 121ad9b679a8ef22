"""What is installed: one name, every package, the shipped models, within the limits."""

from __future__ import annotations

import configparser
import email
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, of a copy of the sources: in place, build/ would stay behind and ship what was deleted."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("zoo", "cli", "saved_models"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist", copy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next((copy / "dist").glob("*.whl")))


pytestmark = pytest.mark.xdist_group("package")


def shipped() -> list[Path]:
    """The version folders of the shipped models."""
    return sorted(path.parent for path in (ROOT / "saved_models").glob("*/*/saved_model.pb"))


def test_setup_lists_every_package():
    """setuptools cannot find them through package_dir: a folder without its line would not be shipped."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    written = config["options"]["packages"].split()
    present = {"zoo.cli", "zoo.saved_models"}
    for path in (ROOT / "zoo").rglob("*.py"):
        present.add(".".join(path.parent.relative_to(ROOT).parts))
    assert written == sorted(present)


def test_packages_are_regular():
    """A folder without `__init__.py` would still import here, and be missing from the wheel."""
    folders = {path.parent for name in ("zoo", "cli") for path in (ROOT / name).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_wheel_installs_one_name(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"zoo"}


def test_wheel_holds_all_of_it(wheel):
    names = set(wheel.namelist())
    wanted = {"zoo/py.typed"}
    for folder, package in [("zoo", "zoo"), ("cli", "zoo/cli"), ("saved_models", "zoo/saved_models")]:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    assert wanted == {name for name in names if not name.split("/")[0].endswith(".dist-info")}


def test_wheel_is_small(wheel):
    assert Path(wheel.filename).stat().st_size < 60 * MEGABYTE


def test_paths_are_short(wheel):
    """Windows stops at 260 characters, and site-packages stands before these."""
    longest = max(wheel.namelist(), key=len)
    assert len(longest) < 120, longest


def test_metadata(wheel):
    folder = next(name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    metadata = email.message_from_string(wheel.read(f"{folder}/METADATA").decode())
    assert metadata["Name"] == "gmzoo"
    assert "3.11" in metadata["Requires-Python"]
    assert set(metadata.get_all("Provides-Extra")) == {"gpu", "demo", "onnx", "docs", "dev", "ray"}
    for line in metadata.get_all("Requires-Dist"):
        assert "<" in line or "setuptools" in line, f"no upper bound: {line}"
    assert "gmzoo = zoo.cli.main:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_constraints_are_exact_and_complete():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.!]+", line)]
    locked = {normal(line.split("==")[0]) for line in lines}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    wanted = "\n".join(
        [
            config["options"]["install_requires"],
            *(extras[name] for name in ("demo", "docs", "dev", "onnx", "ray")),
        ]
    )
    named = {normal(re.split(r"[ ;\[]", line)[0]) for line in wanted.splitlines() if line and line[0] != "#"}
    assert named <= locked


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_models_are_shipped():
    assert shipped()


@pytest.mark.parametrize("folder", shipped(), ids=lambda folder: folder.parent.name)
def test_shipped_model(folder):
    """Small, with what a server and a reader need beside it, and made by a command that its card names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8 * MEGABYTE
    assert (folder / "assets.extra/tf_serving_warmup_requests").is_file()
    (card,) = folder.rglob("*card.json")
    assert "gmzoo train" in json.dumps(json.loads(card.read_text(encoding="utf-8")))
