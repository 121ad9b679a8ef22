"""Files that were cut, zeroed, swapped or changed by one bit: told, or passed over, never taken for good."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo import checkpoints, registry
from zoo.errors import ZooError
from zoo.runs import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    """A run of two checkpoints, since it was trained in two goes."""
    runs = tmp_path_factory.mktemp("runs")
    zoo.train("dcgan", preset="tiny", steps=30, runs=runs)
    return zoo.train("dcgan", preset="tiny", steps=60, runs=runs)


@pytest.fixture
def copied(finished, tmp_path) -> Run:
    shutil.copytree(finished.path, tmp_path / "run")
    return Run(tmp_path / "run")


HARMS = {
    "cut": lambda content, where: content[:where],
    "zeroed": lambda content, where: content[:where] + bytes(len(content) - where),
    "hole": lambda content, where: content[:where] + bytes(64) + content[where + 64 :],
    "bit": lambda content, where: content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_is_noticed_wherever_it_is_damaged(finished, tmp_path, harm):
    """Or what it says is what it said: a changed time stamp of the zip is no damage."""
    path = checkpoints.steps(finished.checkpoints)[-1]
    content = path.read_bytes()
    arrays, meta = checkpoints.read(path)
    noticed = 0
    for where in np.random.default_rng(0).integers(1, len(content) - 64, 200):
        harmed = tmp_path / "harmed.npz"
        harmed.write_bytes(HARMS[harm](content, int(where)))
        try:
            found, said = checkpoints.read(harmed)
        except checkpoints.DamagedError:
            noticed += 1
            continue
        assert said == meta
        assert found.keys() == arrays.keys()
        assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)
    assert noticed >= 150


def test_when_all_checkpoints_are_damaged_nothing_is_trained(copied, caplog):
    for path in checkpoints.steps(copied.checkpoints):
        path.write_bytes(path.read_bytes()[:-300])
    before = {path: path.read_bytes() for path in copied.path.rglob("*") if path.is_file()}
    copied.update(status="stopped")
    with pytest.raises(ZooError, match="No checkpoint in .* can be read"):
        zoo.train("dcgan", preset="tiny", steps=70, run_dir=copied.path)
    kept = [path for path in before if path.name not in ("run.json", ".lock")]
    assert all(path.read_bytes() == before[path] for path in kept)


def test_a_checkpoint_of_another_model_is_passed_over(copied, tmp_path, caplog):
    other = zoo.train("vae", preset="tiny", steps=60, runs=tmp_path / "other")
    theirs = checkpoints.steps(other.checkpoints)[-1]
    older, newest = checkpoints.steps(copied.checkpoints)[-2:]
    shutil.copy(theirs, newest)
    found = checkpoints.newest(copied.checkpoints, "dcgan")
    assert found is not None
    assert older.name == f"step-{found[1]['step']:010d}.npz"
    assert "is a checkpoint of vae" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 500, b"[]", b'{"model": 3}', b"\xff\xfe{}"])
def test_a_damaged_record_is_told(copied, gmzoo, content):
    (copied.path / "run.json").write_bytes(content)
    for line in (["info", copied.path], ["train", "dcgan", "--preset", "tiny", "--run-dir", copied.path]):
        done = gmzoo(*line)
        assert done.code in (1, 2)
        assert 1 <= len(done.told) <= 2
    assert (copied.path / "run.json").read_bytes() == content


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_damaged_saved_model_is_told_or_says_what_it_said(finished, tmp_path, gmzoo, file, harm):
    """TensorFlow checks what it reads of variables; what it does not read may be anything."""
    model = tmp_path / "model"
    shutil.copytree(finished.saved_model, model / "1")
    content = (model / "1" / file).read_bytes()
    for where in np.random.default_rng(1).integers(1, len(content) - 64, 5):
        (model / "1" / file).write_bytes(HARMS[harm](content, int(where)))
        done = gmzoo("sample", "--model", model, "-n", 2, "--out", "two.npz", "--force")
        if done.code:
            assert 1 <= len(done.told) <= 2, done.err
        else:
            assert np.isfinite(np.load("two.npz")["image"]).all()


def test_records_and_cards_of_schema_1_still_load(finished, gmzoo):
    """What the first release wrote stays readable: what changes its meaning gets another number."""
    kept = Path(__file__).parent / "schema-1"
    (row,) = json.loads(gmzoo("runs", "--runs-dir", kept, "--json").out)
    assert (row["model"], row["status"]) == ("dcgan", "finished")
    theirs = json.loads((kept / "dcgan-001/run.json").read_text())
    assert theirs["schema"] == finished.record["schema"] == 1
    assert finished.record.keys() >= theirs.keys() - {"finished"}
    card = json.loads((finished.saved_model / "assets.extra/model_card.json").read_text())
    shipped = Path(zoo.__file__).parents[1] / "saved_models"
    for path in shipped.glob("*/*/assets.extra/model_card.json"):
        said = json.loads(path.read_text())
        assert said["schema"] == card["schema"] == 1
        # A model says more of itself by what it can: codes, a prior, the cost of drawing.
        own = registry.card("dcgan").keys() | {"encodes", "prior", "drawing"}
        assert card.keys() - own <= said.keys(), path
