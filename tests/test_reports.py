"""Pictures show each pixel as it is; curves draw what the log holds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ZooError
from zoo.reports.curves import curves, read, together
from zoo.reports.pictures import BACKGROUND, LARGEST, gif, grid, picture, pixels, stacks, write_picture
from zoo.reports.texts import pages

IMAGES = np.linspace(0.0, 1.0, 5 * 8 * 6 * 3, dtype=np.float32).reshape(5, 8, 6, 3)


def test_pixels_are_rounded_and_clipped():
    found = pixels(np.array([[[[-1.0], [0.0], [0.5], [1.0], [2.0], [math.nan], [0.999]]]]))
    np.testing.assert_array_equal(found.ravel(), [0, 0, 128, 255, 255, 0, 255])


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_holds_every_image_in_its_place(channels):
    images = IMAGES[..., :channels]
    found = np.asarray(grid(images, columns=3, scale=2, gap=4)).reshape(2 * 20 + 4, 3 * 16 + 4, channels)
    for index, image in enumerate(pixels(images)):
        y, x = 4 + index // 3 * 20, 4 + index % 3 * 16
        for dy in range(2):  # each pixel is a square of 2 x 2
            np.testing.assert_array_equal(found[y + dy : y + 16 : 2, x : x + 12 : 2], image)
    assert (found[:4] == BACKGROUND).all()
    assert (found[24:40, 36:] == BACKGROUND).all()  # the sixth cell is empty


def test_grid_is_square_and_enlarges_what_is_small():
    assert grid(np.zeros((64, 8, 8, 1))).size == (530, 530)
    assert grid(np.zeros((64, 28, 28, 1))).size == (466, 466)
    assert grid(np.zeros((3, 200, 200, 3))).size == (406, 406)
    assert max(grid(np.zeros((2000, 8, 8, 1))).size) <= LARGEST + 100


def test_stacks_stand_one_below_the_other():
    found = np.asarray(stacks(IMAGES, 1 - IMAGES, columns=5))
    scale = 8
    np.testing.assert_array_equal(found[8 : 8 + 64 : scale, 8 : 8 + 48 : scale], pixels(IMAGES[0]))
    np.testing.assert_array_equal(found[74 : 74 + 64 : scale, 8 : 8 + 48 : scale], pixels(1 - IMAGES[0]))


def test_pictures_are_written_whole(tmp_path):
    write_picture(picture(IMAGES[0]), tmp_path / "deep/a.png")
    with Image.open(tmp_path / "deep/a.png") as found:
        np.testing.assert_array_equal(np.asarray(found), pixels(IMAGES[0]))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_film_repeats_and_rests_on_its_last_frame(tmp_path):
    gif((grid(image[None, ..., :1]) for image in IMAGES), tmp_path / "a.gif", ms=100)
    with Image.open(tmp_path / "a.gif") as film:
        durations = []
        for index in range(film.n_frames):
            film.seek(index)
            durations.append(film.info["duration"])
        assert durations == [100, 100, 100, 100, 800]
        assert film.info["loop"] == 0


def test_curves(tmp_path):
    lines = [
        {"kind": "train", "step": step, "epoch": 1, "loss": 1 / step, "kl": None} for step in range(1, 30)
    ]
    lines += [{"kind": "validation", "step": step, "epoch": 1, "loss": 2 / step} for step in (10, 20)]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "train", "st'
    (tmp_path / "metrics.jsonl").write_text(text)
    panels = read(tmp_path / "metrics.jsonl")
    assert list(panels) == ["loss", "kl"]
    assert panels["loss"]["validation"] == ([10, 20], [0.2, 0.1])
    assert panels["loss"]["train"][0] == list(range(1, 30))
    assert np.isnan(panels["kl"]["train"][1]).all()
    curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as found:
        colors = {color for _, color in found.convert("RGB").getcolors(2**24) or []}
    assert {(0x44, 0x77, 0xAA), (0xCC, 0x33, 0x11)} <= colors


def test_what_belongs_together_shares_a_panel(tmp_path):
    line = {"kind": "train", "step": 1, "epoch": 1}
    line |= {
        "b_gradient_norm": 1.0,
        "a_gradient_norm": 2.0,
        "loss": 3.0,
        "kl_per_unit": [1.0],
        "warnings": ["x"],
    }
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    panels = together(read(tmp_path / "metrics.jsonl"))
    assert [*panels.items()] == [
        ("loss", ["loss"]),
        ("gradient_norm", ["b_gradient_norm", "a_gradient_norm"]),  # what they are of stands first
    ]


def test_nothing_to_draw_is_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ZooError, match="no numbers"):
        curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")


def test_texts_stand_under_their_seeds_and_one_alone_under_nothing():
    assert "".join(pages(["a\nb", "", "c"], [3, 4, 3], headed=True)) == (
        "== seed 3 ==\na\nb\n\n== seed 4 ==\n\n\n== seed 3 ==\nc\n"
    )
    assert "".join(pages(["a\nb"], [3], headed=False)) == "a\nb\n"
