"""`gmzoo complete` and `gmzoo classify`, by a model that fills in noise and tells dark images from bright."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import zoo
import zoo.data
from zoo.base import Classifies, Completes, Describes, GenerativeModel
from zoo.cli.masks import parse_mask
from zoo.data.known import PARTS
from zoo.errors import UsageError
from zoo.exporting import export

pytestmark = pytest.mark.xdist_group("cli")

SHAPE = (8, 8, 1)


class Filler(GenerativeModel, Completes, Classifies):
    """Fills in uniform noise; class 7 is dark, class 2 bright."""

    def __init__(self) -> None:
        super().__init__(None)
        self.bias = self.add_weight(shape=(), initializer="zeros")

    def example_shape(self):
        return SHAPE

    def turns(self):
        return []

    def complete(self, x, known, noise):
        return tf.where(known[..., None], x, noise.uniform("rest", SHAPE) + self.bias.value)

    def classify(self, x):
        bright = 20 * (tf.reduce_mean(x, [1, 2, 3]) - 0.3) + self.bias.value
        return tf.stack([-bright, bright], -1)


@pytest.fixture(scope="module")
def filler(tmp_path_factory):
    """The path of its SavedModel."""
    card = {
        "model": "filler",
        "dataset": {"spec": "digits", "fingerprint": "other", "levels": 16, "class_names": ["7", "2"]},
    }
    return export(Filler(), tmp_path_factory.mktemp("filler") / "1", card)


def examples(limit: int) -> np.ndarray:
    return zoo.data.load("digits", "test", limit=limit).fields["image"].astype(np.float32) / np.float32(15)


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


# -- masks ---------------------------------------------------------------------------------------------------


@given(st.integers(2, 9), st.integers(2, 9))
def test_halves_complete_one_another(height, width):
    known = {part: parse_mask(part, (height, width, 1))(np.arange(2)) for part in PARTS}
    for one, other in (("top", "bottom"), ("left", "right")):
        np.testing.assert_array_equal(known[one], ~known[other])
        assert known[one].shape == (2, height, width)
        assert known[one].any()
    assert known["top"][0, 0].all()
    assert known["left"][0, :, 0].all()
    assert known["center"][0, height // 2, width // 2]
    assert known["center"][0, 0].all() == (height < 4 and width < 4)


def test_random_masks_have_their_share_and_are_a_matter_of_the_seed():
    known_of = parse_mask("random:0.3", (40, 50, 3))
    known = known_of(np.array([3, 4, 3]))
    assert known.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(known[0], known[2])
    assert (known[0] != known[1]).any()
    np.testing.assert_array_equal(known_of(np.array([4]))[0], known[1])
    assert parse_mask("random:1", (3, 4, 1))(np.arange(1)).all()
    assert not parse_mask("random:0", (3, 4, 1))(np.arange(1)).any()


def test_rows_of_values_have_two_halves():
    np.testing.assert_array_equal(parse_mask("left", (5,))(np.arange(1)), [[True, True, False, False, False]])
    assert parse_mask("random:0.5", (5,))(np.arange(3)).shape == (3, 5)
    with pytest.raises(UsageError, match="only images have a top"):
        parse_mask("top", (5,))


def test_white_is_known_in_a_picture(tmp_path):
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[0, 1], pixels[2, 3] = 255, (200, 190, 180)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    known = parse_mask(str(tmp_path / "mask.png"), (3, 4, 1))(np.arange(2))
    assert np.argwhere(known[1]).tolist() == [[0, 1], [2, 3]]
    (tmp_path / "text.png").write_text("no picture")
    for name, shape, said in (
        ("mask.png", (4, 4, 1), "is 3 x 4; the examples are 4 x 4"),
        ("text.png", (3, 4, 1), "is no image"),
        ("none.png", (3, 4, 1), "No such file"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_mask(str(tmp_path / name), shape)


@pytest.mark.parametrize("text", ["topp", "random:", "random:2", "random:x", "random:nan", "mask.jpg", ""])
def test_other_masks_are_wrong_use(text):
    with pytest.raises(UsageError, match="--mask"):
        parse_mask(text, SHAPE)


# -- complete ------------------------------------------------------------------------------------------------


def test_complete_draws_three_rows(gmzoo, filler):
    done = gmzoo("complete", "--model", filler, "--limit", 3, "--mask", "left")
    assert (done.code, done.out) == (0, "filler-completions.png\n"), done.err
    with Image.open("filler-completions.png") as picture:
        pixels = np.asarray(picture)
    x = examples(3)
    completed = zoo.load(filler).complete(x, np.arange(8) < 4 * np.ones((3, 8, 1), bool))
    for row, expected in enumerate((x, None, completed)):
        top = 8 + row * 66
        cell = pixels[top : top + 64 : 8, 80:144:8] / 255  # of the second example
        wanted = expected[1, ..., 0] if expected is not None else x[1, ..., 0]
        np.testing.assert_allclose(cell[:, :4], wanted[:, :4], atol=1 / 255)
        if expected is None:
            assert len(np.unique(cell[:, 4:])) == 1
        else:
            np.testing.assert_allclose(cell[:, 4:], wanted[:, 4:], atol=1 / 255)


def test_complete_writes_all_that_belongs_together(gmzoo, filler):
    line = ["complete", "--model", filler, "--mask", "random:0.5", "--seed", 4]
    assert gmzoo(*line, "--limit", 70, "--out", "all.npz").code == 0
    found = arrays("all.npz")
    np.testing.assert_array_equal(found["image"], examples(70))
    assert found["known"].dtype == bool
    known = found["known"]
    np.testing.assert_array_equal(found["completed"][known], found["image"][known])
    seeds = np.arange(4, 74)
    np.testing.assert_array_equal(found["completed"], zoo.load(filler).complete(found["image"], known, seeds))
    assert gmzoo(*line, "--index", "66,1-2", "--out", "some.npz").code == 0
    for name, array in arrays("some.npz").items():
        np.testing.assert_array_equal(array, found[name][[66, 1, 2]])
    assert gmzoo("complete", "--model", filler, "--out", "every.npz").code == 0
    assert len(arrays("every.npz")["image"]) == 180


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--index 1 --limit 2", "leave out --limit"),
        ("--index 1,180", "0 to 179"),
        ("--index a", "--index"),
        ("--mask upper", "--mask"),
        ("--out a.csv", ".npz"),
        ("--data wine", "image"),
    ],
)
def test_complete_used_wrongly(gmzoo, filler, tmp_path, words, said):
    done = gmzoo("complete", "--model", filler, *words.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


# -- classify ------------------------------------------------------------------------------------------------


def test_classify(gmzoo, filler, tmp_path):
    done = gmzoo("classify", "--model", filler, "--data", "digits")
    assert done.code == 0, done.err
    with (tmp_path / "filler-classes.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "file", "class", "probability"]
    found = zoo.load(filler).classify(examples(180))
    assert [row[2] for row in rows] == [["7", "2"][index] for index in found["class_index"]]
    np.testing.assert_allclose([float(row[3]) for row in rows], found["probabilities"].max(-1), atol=1e-6)
    labels = zoo.data.load("digits", "test").fields["label"]
    right = np.mean([row[2] == str(label) for row, label in zip(rows, labels, strict=True)])
    assert 0 < right < 1
    measured, told, path = done.out.splitlines()
    assert measured.startswith(f"accuracy  {right:.4f} +- ")
    assert measured.endswith("(180 labelled examples)")
    assert told == "examples  180 of digits, split test"
    assert path == "filler-classes.csv"


def test_classify_json(gmzoo, filler, tmp_path):
    done = gmzoo("classify", "--model", filler, "--data", "digits", "--limit", 3, "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"model", "source", "split", "n", "accuracy", "examples"}
    assert set(done.json["examples"][0]) == {"index", "file", "class", "probability"}
    assert set(done.json["accuracy"]) == {"value", "standard_error", "n"}
    assert not list(tmp_path.iterdir())
    np.savez(tmp_path / "mine.npz", image=np.full((4, 8, 8), 255, np.uint8), label=[-1, 2, -1, 7])
    half = gmzoo("classify", "--model", filler, "--data", "npz:mine.npz", "--json").json["accuracy"]
    assert (half["value"], half["n"]) == (0.5, 2)
    np.savez(tmp_path / "mine.npz", image=np.full((4, 8, 8), 255, np.uint8))
    found = gmzoo("classify", "--model", filler, "--data", "npz:mine.npz", "--json").json
    assert found["accuracy"] is None
    assert [each["class"] for each in found["examples"]] == ["2"] * 4


class Describer(GenerativeModel, Describes):
    """Sees the same in every image: a circle, and of each attribute the value that `SEEN` says."""

    SEEN = (1, 2, 0, 3, 1)

    def __init__(self) -> None:
        super().__init__(None)
        self.bias = self.add_weight(shape=(), initializer="zeros")

    def example_shape(self):
        return 8, 8, 3

    def turns(self):
        return []

    def classify(self, x):
        return self.describe(x)[0]

    def describe(self, x):
        certain = tf.one_hot((0, *self.SEEN), 8) + self.bias.value
        return [tf.repeat(each[None], tf.shape(x)[0], 0) for each in tf.unstack(certain)]


def test_classify_names_attributes(gmzoo, tmp_path):
    data = zoo.data.load("shapes", "test", image_size=8, limit=30)
    info = data.info
    values = {
        name: list(each) for name, each in zip(info.attribute_names, info.attribute_values, strict=True)
    }
    card = {
        "model": "describer",
        "dataset": {"spec": "shapes", "class_names": list(info.class_names), "attributes": values},
    }
    saved = export(Describer(), tmp_path / "describer" / "1", card)
    seen = {name: each[index] for (name, each), index in zip(values.items(), Describer.SEEN, strict=True)}
    shares = (data.fields["attributes"] == Describer.SEEN).mean(0)
    assert 0 < shares.min() < shares.max() < 1
    done = gmzoo("classify", "--model", saved, "--data", "shapes", "--limit", 30, "--json")
    assert done.code == 0, done.err
    assert [each["attributes"] for each in done.json["examples"]] == [seen] * 30
    told = [each["value"] for each in done.json["attribute_accuracy"].values()]
    np.testing.assert_allclose(told, shares)
    done = gmzoo("classify", "--model", saved, "--data", "shapes", "--limit", 30)
    with (tmp_path / "describer-classes.csv").open() as file:
        header, first, *_ = csv.reader(file)
    assert header == ["index", "file", "class", "probability", *values]
    assert first[2:] == ["circle", first[3], *seen.values()]
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["accuracy", *values, "examples", "describer-classes.csv"]
    assert f"{shares[1]:.4f}" in lines[2]


def test_a_model_that_cannot_says_so(trained):
    for name in ("complete", "classify"):
        done = trained(name, "--model", "dcgan", "--data", "digits")
        assert (done.code, done.out) == (2, "")
        assert f"cannot {name}" in done.err
