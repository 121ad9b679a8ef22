"""`gmzoo translate`, by a model that inverts images or leaves them, and one that sets brightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
import zoo.data
from zoo.base import GenerativeModel, Translates
from zoo.cli.images import Folder, Rows
from zoo.data import folder
from zoo.errors import UsageError
from zoo.exporting import export
from zoo.sampling import CHUNK

pytestmark = pytest.mark.xdist_group("cli")


class Inverter(GenerativeModel, Translates):
    """The domain `dark` is the inverse of the domain `light`. Sides that do not fit are an error."""

    def __init__(self) -> None:
        super().__init__(None)
        self.bias = self.add_weight(shape=(), initializer="zeros")

    def example_shape(self):
        return 8, 8, 3

    def turns(self):
        return []

    def asks(self):
        return "domain", (2,)

    def translate(self, x, to):
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(x)[1:3] % 4, 0)]):
            return tf.where(to[:, None, None, None] == 1, 1.0 - x, x) + self.bias.value


class Setter(GenerativeModel, Translates):
    """Sets red, green and blue to 0 or 1, or leaves them."""

    def __init__(self) -> None:
        super().__init__(None)
        self.bias = self.add_weight(shape=(), initializer="zeros")

    def example_shape(self):
        return 8, 8, 3

    def turns(self):
        return []

    def asks(self):
        return "attributes", (2, 2, 2)

    def translate(self, x, to):
        asked = to[:, None, None, :]
        return tf.where(asked < 0, x, tf.cast(asked, tf.float32)) + self.bias.value


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The paths of both SavedModels."""
    folder = tmp_path_factory.mktemp("saved")
    data = {"spec": "shapes", "image_size": 8, "fingerprint": "other", "levels": 256}
    config = {"image_shape": [8, 8, 3]}
    domains = {"model": "inverter", "config": config, "dataset": {**data, "domains": ["light", "dark"]}}
    colours = {name: ["0", "1"] for name in ("red", "green", "blue")}
    attributes = {"model": "setter", "config": config, "dataset": {**data, "attributes": colours}}
    return {
        "inverter": export(Inverter(), folder / "inverter" / "1", domains),
        "setter": export(Setter(), folder / "setter" / "1", attributes),
    }


@pytest.fixture
def photos(tmp_path):
    """Images of several sizes and modes, some in a folder of a domain."""
    random = np.random.default_rng(0)
    sizes = {"light/a.png": (9, 14), "light/b.png": (9, 14), "light/b.jpg": (16, 8), "dark/c.png": (8, 8)}
    for name, (height, width) in sizes.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels if "a" in path.stem else pixels[..., 0]).save(path)
    return tmp_path / "photos"


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_folder_becomes_a_folder_of_images_of_the_same_sizes(gmzoo, saved, photos):
    line = ["translate", "--model", saved["inverter"], "--data", f"folder:{photos}", "--to", "dark"]
    done = gmzoo(*line, "--out", "out/")
    assert (done.code, done.out) == (0, "out\n"), done.err
    assert "3 of 4 images are of another domain" in done.err
    assert "was trained on" not in done.err  # none of them is far from it
    names = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.png"))
    assert names == ["light/a.png", "light/b.jpg.png", "light/b.png"]
    np.testing.assert_array_equal(pixels("out/light/a.png"), 255 - pixels(photos / "light/a.png"))
    made = sorted(pixels(path).shape for path in Path("out").rglob("*.png"))
    assert made == [(9, 14, 3), (9, 14, 3), (16, 8, 3)]
    again = gmzoo(*line, "--out", "out/")
    assert (again.code, again.out) == (2, "")
    assert "out/ exists" in again.err
    assert gmzoo(*line, "--out", "out/", "--force").code == 0


def test_a_set_becomes_arrays_in_order_whatever_the_chunks(gmzoo, saved):
    line = ["translate", "--model", saved["inverter"], "--to", "1", "--limit", CHUNK + 6]
    assert gmzoo(*line, "--out", "all.npz").code == 0
    with np.load("all.npz") as found:
        image, translated = found["image"], found["translated"]
    data = zoo.data.load("shapes", "test", image_size=8, limit=CHUNK + 6)  # as in training
    np.testing.assert_allclose(image, data.fields["image"] / np.float32(255), atol=1e-6)
    np.testing.assert_allclose(translated, 1 - image, atol=1e-6)


def test_a_picture_shows_images_above_their_translations_and_of_one_the_translation(gmzoo, saved):
    done = gmzoo("translate", "--model", saved["inverter"], "--to", "dark", "--limit", 3)
    assert (done.code, done.out) == (0, "inverter-translations.png\n"), done.err
    image = zoo.data.load("shapes", "test", image_size=8, limit=3).fields["image"].astype(int)
    shown = pixels("inverter-translations.png")
    for row, expected in enumerate((image, 255 - image)):
        top = 8 + row * 66
        cells = shown[top : top + 64 : 8]
        for column in range(3):
            cell = cells[:, 8 + column * 72 : 72 + column * 72 : 8]
            np.testing.assert_allclose(cell, expected[column], atol=1)
    line = ["translate", "--model", saved["inverter"], "--to", "dark", "--index", 2, "--out", "two.png"]
    assert gmzoo(*line).code == 0
    np.testing.assert_allclose(pixels("two.png"), 255 - image[2], atol=1)


def test_images_may_be_resized_first(gmzoo, saved, photos):
    line = ["translate", "--model", saved["inverter"], "--data", f"folder:{photos}", "--to", "light"]
    assert gmzoo(*line, "--image-size", 12, "--out", "small/").code == 0
    assert pixels("small/dark/c.png").shape == (12, 12, 3)
    refused = gmzoo(*line, "--index", "0,2", "--out", "some.png")
    assert refused.code == 2
    assert "--image-size.\n--out DIR/ keeps each image in its own size" in refused.err


def test_attributes_are_asked_for_by_name(gmzoo, saved):
    line = ["translate", "--model", saved["setter"], "--limit", 2, "--to", "red=1, blue=0", "--out", "x.npz"]
    assert gmzoo(*line).code == 0
    with np.load("x.npz") as found:
        np.testing.assert_allclose(found["translated"][..., 0], 1)
        np.testing.assert_allclose(found["translated"][..., 1], found["image"][..., 1])
        np.testing.assert_allclose(found["translated"][..., 2], 0)


def test_a_bad_file_is_named_or_passed_over(gmzoo, saved, photos):
    (photos / "light/d.png").write_text("no picture")
    line = ["translate", "--model", saved["inverter"], "--data", f"folder:{photos}", "--to", "dark"]
    done = gmzoo(*line, "--out", "out/")
    assert (done.code, done.out) == (2, "")
    assert "light/d.png is no image" in done.err
    done = gmzoo(*line, "--out", "out/", "--skip-bad")
    assert done.code == 0
    assert "skipped light/d.png" in done.err
    for out in ("one.png", "one.npz", "one/"):
        done = gmzoo(*line, "--index", 4, "--out", out, "--skip-bad")
        assert (done.code, done.out) == (2, "")
        assert "photos: no image could be read" in done.err
        assert not Path(out).exists()


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        (
            "inverter",
            "--to darkk",
            "inverter knows no domain 'darkk'; it knows light, dark. Did you mean dark?",
        ),
        ("inverter", "--to 2", "knows no domain '2'"),
        ("inverter", "--to dark=1", "knows no domain 'dark=1'"),
        ("inverter", "", "--to"),
        ("inverter", "--to dark --index 1 --limit 2", "leave out --limit"),
        ("inverter", "--to dark --index 4000", "0 to 3999"),
        ("inverter", "--to dark --limit 300 --out a.png", "at most 256"),
        ("inverter", "--to dark --out a.csv", ".png, .npz"),
        ("inverter", "--to dark --data wine", "image"),
        ("inverter", "--to dark --data folder:nowhere", "There is no nowhere"),
        ("setter", "--to red", "changes attributes: say which and how. It knows red: 0, 1; green"),
        ("setter", "--to rde=1", "no attribute 'rde'"),
        ("setter", "--to red=2", "red is one of 0, 1, not '2'"),
        ("setter", "--to red=", "use NAME=VALUE"),
    ],
)
def test_used_wrongly(gmzoo, saved, tmp_path, model, words, said):
    done = gmzoo("translate", "--model", saved[model], *words.split())
    assert (done.code, done.out) == (2, ""), done.out
    assert said in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_names_those_that_can(trained):
    done = trained("translate", "--model", "dcgan", "--data", "digits", "--to", "B")
    assert (done.code, done.out) == (2, "")
    assert "dcgan cannot translate. Models that can translate: cyclegan, stargan" in done.err


def test_one_that_draws_nothing_is_not_sampled(gmzoo, saved, tmp_path):
    done = gmzoo("sample", "--model", saved["inverter"])
    assert (done.code, done.out) == (2, "")
    assert "cannot sample. Models that can sample: " in done.err
    assert not list(tmp_path.iterdir())


def test_large_images_of_a_folder_are_held_a_few_at_a_time(saved, tmp_path):
    for name in "abc":
        Image.new("RGB", (512, 256)).save(tmp_path / f"{name}.png")
    model = zoo.load(saved["inverter"])
    for images in (
        Folder(folder.originals(tmp_path), 3, skip_bad=False),
        Rows(zoo.data.load(f"folder:{tmp_path}", "all", data_dir=tmp_path / "prepared")),
    ):
        pieces = [*images.pieces(model)]
        assert [names for names, _ in pieces] == [["a.png", "b.png"], ["c.png"]]
        assert [x.shape for _, x in pieces] == [(2, 256, 512, 3), (1, 256, 512, 3)]


def test_sizes_far_from_those_in_training_are_told_once(gmzoo, saved, photos):
    Image.new("RGB", (30, 17)).save(photos / "light/e.png")
    Image.new("RGB", (17, 40)).save(photos / "light/f.png")
    line = ["translate", "--model", saved["inverter"], "--data", f"folder:{photos}", "--to", "dark"]
    done = gmzoo(*line, "--out", "out/")
    assert done.err.count("was trained on") == 1
    told = "images of 9x14 to 40x17; inverter was trained on 8x8 (--image-size 8 shows it such)"
    assert told in done.err
    assert "was trained on" not in gmzoo(*line, "--out", "small/", "--image-size", 8).err


def test_large_images_go_a_few_at_a_time(saved):
    """The result is that of each alone, and the number of rows at a time is a matter of their size."""
    model = zoo.load(saved["inverter"])
    rows = []
    function = model._functions["translate"]

    def spied(**inputs):
        rows.append(len(inputs["image"]))
        return function(**inputs)

    model._functions["translate"] = spied
    x = np.random.default_rng(0).random((3, 256, 512, 3), np.float32)
    np.testing.assert_allclose(model.translate(x, "dark"), 1 - x, atol=1e-6)
    np.testing.assert_allclose(model.translate(x[:1, :, :8], np.array([0])), x[:1, :, :8], atol=1e-6)
    assert rows == [2, 2, CHUNK]
    with pytest.raises(UsageError, match="at least 8x8"):
        model.translate(x[:, :7], "dark")


@pytest.mark.parametrize(
    ("name", "to", "said"),
    [
        ("inverter", [0, 2], "inverter knows the domains 0 to 1"),
        ("inverter", [-1, 0], "inverter knows the domains 0 to 1"),
        ("setter", [[0, 1, -1], [0, 2, 0]], "setter numbers the values of green 0 to 1, and -1 as it is"),
        ("setter", [-2, 0, 0], "the values of red"),
    ],
)
def test_numbers_that_nothing_has_are_refused(saved, name, to, said):
    with pytest.raises(UsageError, match=said):
        zoo.load(saved[name]).translate(np.zeros((2, 8, 8, 3), np.float32), np.array(to))
