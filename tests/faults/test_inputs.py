"""Broken files through the commands that read them: one or two lines, or what can be read of them."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from broken_files import LEFT_BEHIND, broken, picture
from PIL import Image

import zoo

pytestmark = pytest.mark.slow

SECONDS = 20.0
#: Of each of them, above what the process had before: a bomb of 600 MB is never unpacked.
MEGABYTES = 300

FILES = broken()
EACH = [(kind, name) for kind, files in FILES.items() for name in files]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A model that scores images, one that translates, one of tables and one of text, tiny ones."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name: zoo.train(name, preset="tiny", steps=1, runs=folder).path
        for name in ("vae", "cyclegan", "rnade", "rnn")
    }


@pytest.fixture
def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def lay(kind: str, name: str, place: Path) -> Path:
    """Writes a broken file as a user might have it; of images and archives that is the file itself."""
    content = FILES[kind][name]
    if kind == "folder" and not name.endswith(".zip"):
        place = place / "pictures"
    place.mkdir(exist_ok=True)
    path = place / name
    path.write_bytes(content)
    return place if place.name == "pictures" else path


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_a_broken_file_is_one_clear_line(kind, name, models, tmp_path, gmzoo, peak):
    data = f"{kind}:{lay(kind, name, tmp_path)}"
    reader = {"csv": "rnade", "text": "rnn"}.get(kind, "vae")
    lines = [
        ["score", "--model", models[reader], "--data", data, "--json"],
        ["train", reader, "--preset", "tiny", "--steps", 1, "--dataset", data, "--runs-dir", "runs"],
    ]
    if kind in ("folder", "npz"):
        lines.append(["translate", "--model", models["cyclegan"], "--data", data, "--to", 1, "--out", "to"])
    for line in lines:
        start = time.monotonic()
        done = gmzoo(*line)
        assert time.monotonic() - start < SECONDS, line[0]
        assert "Traceback" not in done.err
        assert done.code in ((1, 2) if name in ("above.zip", "root.zip") else (0, 1, 2))
        if done.code:
            assert 1 <= len(done.told) <= 2, done.err
            assert max(map(len, done.told)) < 500
            assert "--debug shows where" not in done.err, done.err  # an error that nobody thought of
        elif line[0] == "score":
            assert json.loads(done.out)["n"] > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 < peak + MEGABYTES
    # What archives name with .. or a leading / are names and no more, and no pickle is run.
    for place in (tmp_path, *tmp_path.parents[:3], Path("/")):
        assert not list(place.glob(f"{LEFT_BEHIND}*"))


def test_skip_bad_goes_on_with_the_rest(models, tmp_path, gmzoo):
    """All broken pictures in one folder with three good ones: the good ones are scored."""
    place = tmp_path / "mixed"
    place.mkdir()
    for name, content in FILES["folder"].items():
        if not name.endswith(".zip"):
            (place / name).write_bytes(content)
    for number in range(3):
        picture(8).save(place / f"good-{number}.png")
    refused = gmzoo("score", "--model", models["vae"], "--data", f"folder:{place}", "--json")
    assert refused.code in (1, 2)
    done = gmzoo("score", "--model", models["vae"], "--data", f"folder:{place}", "--json", "--skip-bad")
    assert done.code == 0, done.err
    files = [each["file"] for each in json.loads(done.out)["examples"]]
    assert {f"good-{number}.png" for number in range(3)} <= set(files)


def test_a_tower_of_folders_and_links_ends(tmp_path, models, gmzoo):
    """A link to its own folder, a broken one, a named pipe: nothing is read forever."""
    place = tmp_path / "pictures"
    place.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "a.png")
    (place / "self").symlink_to(place)
    (place / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(place / "pipe.png")
    start = time.monotonic()
    done = gmzoo("score", "--model", models["vae"], "--data", f"folder:{place}", "--json")
    assert time.monotonic() - start < SECONDS
    assert done.code in (0, 1, 2)
    assert "Traceback" not in done.err
