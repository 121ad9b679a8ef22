"""`gmzoo complete` of a model that assembles: a made one that lays its patches side by side."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
import zoo.data
from zoo.base import Assembles, GenerativeModel, Samples
from zoo.errors import UsageError
from zoo.exporting import export
from zoo.layers.objectness import cut

pytestmark = pytest.mark.xdist_group("cli")

SIZE, COUNT = 8, 2


class Collage(GenerativeModel, Samples, Assembles):
    """An image whose halves are the means of its patches, plus a little noise; they lie at the top."""

    def __init__(self) -> None:
        super().__init__(None)
        self.bias = self.add_weight(shape=(), initializer="zeros")

    def example_shape(self):
        return SIZE, SIZE, 1

    def turns(self):
        return []

    def sample(self, noise):
        return noise.uniform("all", self.example_shape()) + self.bias.value

    def patches_shape(self):
        return COUNT, SIZE, SIZE, 1

    def key_patches(self, x):
        return tf.stack([x, 1.0 - x], 1)

    def assemble(self, patches, given, noise):
        mean = tf.reduce_mean(patches, (2, 3, 4)) * tf.cast(given, tf.float32) + self.bias.value  # [B, 2]
        halves = tf.repeat(mean, SIZE // COUNT, 1)[:, None, :, None]
        image = 0.9 * tf.tile(halves, (1, SIZE, 1, 1)) + 0.1 * self.sample(noise)
        top = tf.range(SIZE) < SIZE // 2
        return image, tf.cast(tf.tile(top[None, :, None], (tf.shape(patches)[0], 1, SIZE)), tf.float32)


@pytest.fixture(scope="module")
def collage(tmp_path_factory):
    """The path of its SavedModel."""
    card = {"model": "collage", "dataset": {"spec": "digits", "fingerprint": "other", "levels": 16}}
    return export(Collage(), tmp_path_factory.mktemp("collage") / "1", card)


@pytest.fixture
def folder(tmp_path):
    """One patch of one image, two of another, in sizes and modes of their own."""
    for name, levels in {"cat": [200], "dog": [100, 50]}.items():
        (tmp_path / "patches" / name).mkdir(parents=True)
        for index, level in enumerate(levels):
            pixels = np.full((12, 12 + index, 3), level, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "patches" / name / f"{index}.png")
    return tmp_path / "patches"


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def test_a_folder_holds_the_patches_of_one_image(gmzoo, collage, folder):
    done = gmzoo("complete", "--model", collage, "--data", f"folder:{folder / 'dog'}", "--out", "made.png")
    assert (done.code, done.out) == (0, "made.png\n"), done.err
    with Image.open("made.png") as picture:
        pixels = np.asarray(picture) / 255
    cells = [
        pixels[8 + 66 * row : 72 + 66 * row : 8, 8:72:8] for row in range(4)
    ]  # two patches, places, image
    assert [cell.shape for cell in cells] == [(8, 8)] * 4
    for cell, level in zip(cells, (100, 50), strict=False):
        np.testing.assert_allclose(cell, level / 255, atol=1 / 255)
    np.testing.assert_array_equal(cells[2], np.arange(8)[:, None] // 4 == np.zeros((1, 8)))
    patches = np.stack([np.full((8, 8, 1), level / 255, np.float32) for level in (100, 50)])[None]
    expected = zoo.load(collage).assemble(patches)["image"][0, ..., 0]
    np.testing.assert_allclose(cells[3], expected, atol=1 / 255)


def test_subfolders_hold_those_of_several_images(gmzoo, collage, folder):
    line = ["complete", "--model", collage, "--data", f"folder:{folder}", "--seed", 5]
    assert gmzoo(*line, "--out", "made.npz").code == 0
    found = arrays("made.npz")
    assert found["given"].tolist() == [[True, False], [True, True]]
    np.testing.assert_allclose(
        found["patches"].mean((2, 3, 4)), np.array([[200, 0], [100, 50]]) / 255, atol=1e-6
    )
    expected = zoo.load(collage).assemble(found["patches"], found["given"], [5, 6])
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    # The images alone, one file each.
    assert gmzoo(*line, "--out", "made/").code == 0
    for row, name in enumerate(("cat", "dog")):
        with Image.open(f"made/{name}.png") as picture:
            np.testing.assert_allclose(
                np.asarray(picture) / 255, found["image"][row, ..., 0], atol=0.51 / 255
            )
    assert gmzoo(*line, "--index", "1", "--out", "one.npz").code == 0
    np.testing.assert_array_equal(arrays("one.npz")["image"], found["image"][1:])


def test_patches_that_are_cut_out_and_given_back_are_those_of_training(gmzoo, collage, tmp_path):
    """Each in its own size, from 3x3 to the whole."""
    image = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 1), np.uint8)
    squares = np.array([[[1, 4, 3], [2, 0, 5]], [[0, 0, SIZE], [5, 1, 3]]])
    for row, of_row in enumerate(squares):
        (tmp_path / f"cut/{row}").mkdir(parents=True)
        for index, (top, left, side) in enumerate(of_row):
            pixels = image[0, top : top + side, left : left + side, 0]
            Image.fromarray(pixels).save(tmp_path / f"cut/{row}/{index}.png")
    assert gmzoo("complete", "--model", collage, "--data", "folder:cut", "--out", "made.npz").code == 0
    x = np.repeat(image / np.float32(255), 2, 0)
    np.testing.assert_allclose(arrays("made.npz")["patches"], cut(x, squares, SIZE), atol=1e-6)


def test_of_whole_images_the_patches_are_taken(gmzoo, collage):
    done = gmzoo("complete", "--model", collage)
    assert (done.code, done.out) == (0, "collage-completions.png\n"), done.err
    with Image.open("collage-completions.png") as picture:  # eight columns of five rows
        assert picture.size == (8 * 72 + 8, 5 * 66 - 2 + 16)
    assert gmzoo("complete", "--model", collage, "--index", "3,70", "--out", "some.npz").code == 0
    x = zoo.data.load("digits", "test").fields["image"][[3, 70]].astype(np.float32) / np.float32(15)
    loaded, found = zoo.load(collage), arrays("some.npz")
    np.testing.assert_array_equal(found["patches"], loaded.key_patches(x))
    np.testing.assert_array_equal(found["image"], loaded.assemble(found["patches"], seeds=[3, 70])["image"])


def test_patches_are_numbers_from_0_to_1(collage):
    loaded = zoo.load(collage)
    assert loaded.patches_shape == (2, 8, 8, 1)
    with pytest.raises(UsageError, match="from 0 to 1, got uint8"):
        loaded.assemble(np.zeros((1, 2, 8, 8, 1), np.uint8))
    with pytest.raises(UsageError, match="given rows of shape 2"):
        loaded.assemble(np.zeros((1, 2, 8, 8, 1)), given=[[1, 1, 0]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--mask left", "leave out --mask"),
        ("--index 5 --data folder:patches", "images 0 to 1"),
        ("--out a.csv", ".npz"),
        ("--data folder:patches/dog/more", "3 images"),
        ("--data folder:bad --skip-bad", "bad: no image could be read"),
        ("--data wine", "image"),
    ],
)
def test_used_wrongly(gmzoo, collage, folder, words, said):
    (folder / "dog" / "more").mkdir()
    (folder.parent / "bad").mkdir()
    (folder.parent / "bad/1.png").write_text("no picture")
    if "more" in words:
        for name in "abc":
            Image.new("L", (4, 4)).save(folder / "dog" / "more" / f"{name}.png")
    done = gmzoo("complete", "--model", collage, *words.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
