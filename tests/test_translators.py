"""What the data decides of models that translate, what their batches hold, and a run of attributes."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import training
from zoo.errors import UsageError

SIDE = 8
#: So many images of each folder, and how bright they are.
FOLDERS = {"dark": (9, 40), "bright": (14, 210), "middle": (6, 128)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of three folders; of one hair and age are known, of another the mood, of the third nothing."""
    path = tmp_path_factory.mktemp("domains")
    rows = []
    for name, (count, level) in FOLDERS.items():
        (path / name).mkdir()
        for index in range(count):
            Image.new("RGB", (SIDE, SIDE), (level, level + index, level)).save(path / name / f"{index}.png")
            known = {
                "dark": ("black", index % 2, ""),
                "bright": ("", "", ("sad", "glad", "calm")[index % 3]),
            }
            hair, young, mood = known.get(name, ("", "", ""))
            if name == "dark" and index % 3 == 0:
                hair = "brown"
            rows.append((f"{name}/{index}.png", hair, young, mood))
    with (path / "attributes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "hair", "young", "mood"), *rows])
    return f"folder:{path}"


def plan(name: str, folder: str, **options) -> training.Plan:
    return training.plan(name, preset="tiny", dataset=folder, **options)


def test_two_domains_stand_side_by_side(folder):
    bright, dark, _ = np.bincount(zoo.data.load(folder, "train").fields["domain"])
    made = plan("cyclegan", folder, settings={"domains": ["bright", "dark"]}, batch_size=32)
    assert made.config.domains == ("bright", "dark")
    assert made.batch_size == dark < bright
    assert made.settings["dataset"]["examples"] == bright
    (batch,) = made.batches(1).as_numpy_iterator()
    assert {*batch} >= {"image", "other_image"}
    assert batch["image"].min() > 0.8 > 0.4 > batch["other_image"].max()
    # Each pass through the larger one shows the smaller ones in another order.
    few = plan("cyclegan", folder, settings={"domains": ["bright", "dark"]}, batch_size=4)
    first, second = [*few.batches(6).as_numpy_iterator()], [*few.batches(3, 3).as_numpy_iterator()]
    for a, b in zip(first[3:], second, strict=True):
        np.testing.assert_array_equal(a["other_image"], b["other_image"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"domains": []}, r"the data has 3: bright, dark, middle.\nChoose two: --set domains="),
        ({"domains": ["dark", "brigth"]}, r"has no domain 'brigth'; it has .* Did you mean bright\?"),
        ({"domains": ["dark"]}, r"domains names 1 \(dark\): name two, as in --set domains="),
        ({"domains": "dark"}, "domains='dark': must be a list"),
    ],
)
def test_other_domains_are_refused(folder, settings, said):
    with pytest.raises(UsageError, match=said):
        plan("cyclegan", folder, settings=settings)


def test_data_of_one_domain_is_refused(tmp_path):
    (tmp_path / "train/photos").mkdir(parents=True)
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "train/photos/1.png")
    with pytest.raises(UsageError, match=r"the data has 1: photos.\nGive it a folder for each"):
        plan("cyclegan", f"folder:{tmp_path}", settings={"domains": []}, data_dir=tmp_path / "prepared")


def test_data_without_domains_is_refused():
    with pytest.raises(UsageError, match="digits has no domain .*\nDatasets that have it: glyphs"):
        training.plan("cyclegan", preset="tiny", dataset="digits")


def test_one_generator_takes_all_domains_or_some(folder):
    made = plan("stargan", folder)
    assert (made.config.domains, made.config.values) == (("bright", "dark", "middle"), (3,))
    some = plan("stargan", folder, settings={"domains": ["middle", "dark"]})
    assert some.config.values == (2,)
    (batch,) = some.batches(1).as_numpy_iterator()
    assert {*batch} == {"image", "domain", "other_domain"}
    np.testing.assert_array_equal(batch["domain"] == 0, batch["image"].mean((1, 2, 3)) > 0.4)


def test_empty_cells_make_data_sets_of_their_own(folder, caplog):
    caplog.set_level("INFO", "gmzoo")
    made = plan("stargan", folder, settings={"changes": ["hair", "mood", "young"]})
    assert made.config.values == (2, 3, 2)
    assert made.config.groups == ((0, 2), (1,))
    assert any(text.endswith("data sets of their own: hair, young; mood") for text in caplog.messages)
    assert made.config.label_size == 1 + 3 + 1 + 2
    assert len(made.train) < len(
        plan("stargan", folder).train
    )  # images of which nothing is known are left out
    (batch,) = made.batches(1).as_numpy_iterator()
    assert {*batch} == {"image", "attributes", "other_attributes"}
    assert ((batch["attributes"] >= 0).any(1)).all()


@pytest.mark.usefixtures("no_curves")
def test_a_run_of_attributes_translates_by_name(folder, tmp_path):
    options = {"changes": ["hair", "mood", "young"]}
    run = zoo.train("stargan", preset="tiny", dataset=folder, settings=options, steps=2, runs=tmp_path)
    # Eight images, and a row for each of the seven values.
    with Image.open(next((run.path / "samples").glob("epoch-*.png"))) as picture:
        assert picture.height > 7 * picture.width / 8
    model = zoo.load(run.path)
    assert model.attributes["mood"] == ["calm", "glad", "sad"]
    x = np.random.default_rng(0).random((3, 8, 12, 3), np.float32)
    asked = np.array([[0, -1, -1]] * 3, np.int32)
    found = model.translate(x, {"hair": "black"})
    np.testing.assert_array_equal(found, model.translate(x, asked))
    assert np.abs(found - model.translate(x, {"mood": "sad"})).max() > 1e-4
    # What is left open is one of its values, as the discriminator reads it.
    both = [model.translate(x, {"hair": "black", "young": young}) for young in (0, 1)]
    for row in range(3):
        assert min(np.abs(found[row] - each[row]).max() for each in both) < 1e-6
