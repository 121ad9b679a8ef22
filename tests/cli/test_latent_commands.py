"""Pictures of the space of codes: one unit at a time, two at once, and where examples lie."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import zoo
import zoo.data
from zoo.latents import between
from zoo.reports.captions import beside
from zoo.reports.pictures import grid

pytestmark = pytest.mark.xdist_group("cli")


def opened(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_without_units_those_that_change_most_come_first(trained, workshop):
    done = trained("traverse", "--model", "vae")
    assert done.code == 0, done.err
    header, *rows, path = done.out.splitlines()
    assert header.split() == ["unit", "prior", "values", "change"]
    assert path == "vae-traversal.png"
    changes = [float(row.split()[-1]) for row in rows]
    assert changes == sorted(changes, reverse=True)
    units = [int(row.split()[0]) for row in rows]
    assert sorted(units) == [0, 1]
    assert all("gaussian  -3 to 3" in row for row in rows)
    model = zoo.load(workshop / "vae-001")
    (code,) = model.prior([0])
    expected = np.concatenate([model.traverse(code, unit, np.linspace(-3, 3, 9)) for unit in units])
    words = [f"unit {unit}" for unit in units]
    assert np.abs(opened(path) - np.asarray(beside(grid(expected, columns=9), words)).astype(int)).max() <= 1


def test_a_row_for_each_unit_and_seed_in_the_order_given(trained, workshop):
    line = ["traverse", "--model", "vae", "--unit", "1,0", "--seeds", "4,7", "--range", "-1,2"]
    done = trained(*line, "--frames", 3, "--out", "a.png")
    assert done.code == 0, done.err
    model = zoo.load(workshop / "vae-001")
    codes = model.prior([4, 7])
    rows = [model.traverse(code, unit, [-1.0, 0.5, 2.0]) for unit in (1, 0) for code in codes]
    words = [f"unit {unit}, seed {seed}" for unit in (1, 0) for seed in (4, 7)]
    expected = np.asarray(beside(grid(np.concatenate(rows), columns=3), words)).astype(int)
    assert np.abs(opened("a.png") - expected).max() <= 1
    assert trained(*line, "--frames", 3, "--out", "a.gif").code == 0
    with Image.open("a.gif") as film:
        assert film.n_frames == 4  # there and back
        assert film.size == grid(np.stack(rows)[:, 0]).size


def test_from_an_example_of_the_data(trained, workshop):
    line = ["traverse", "--model", "vae", "--data", "digits", "--index", "2", "--unit", "0"]
    assert trained(*line, "--out", "a.png").code == 0
    model = zoo.load(workshop / "vae-001")
    image = zoo.data.load("digits", "test").fields["image"][2:3].astype(np.float32) / 15
    expected = model.traverse(model.encode(image)[0], 0, np.linspace(-3, 3, 9))
    wanted = np.asarray(beside(grid(expected, columns=9), ["unit 0"])).astype(int)
    assert np.abs(opened("a.png") - wanted).max() <= 1
    done = trained(*line[:-4], "--index", "180")
    assert (done.code, "0 to 179" in done.err) == (2, True)


def test_the_unit_of_a_class_goes_to_that_class(trained, workshop):
    model = zoo.load(workshop / "dcgan-001")
    done = trained("traverse", "--model", "dcgan", "--unit", "7", "--frames", 2, "--out", "a.png")
    assert done.code == 0, done.err
    assert "7  one_hot  0 to 1" in done.out
    ends = np.stack([model.sample([0])[0], model.sample([0], label=3)[0]])
    expected = np.asarray(beside(grid(ends, columns=2), ["class 3"])).astype(int)
    assert np.abs(opened("a.png") - expected).max() <= 1


def test_more_units_than_a_picture_shows_are_told(trained):
    done = trained("traverse", "--model", "shipped:gan", "--frames", 2)
    assert done.code == 0, done.err
    assert "the 16 units of 64 that change the picture most" in done.err
    assert len(done.out.splitlines()) == 1 + 16 + 1


def test_a_grid_of_two_units(trained, workshop):
    done = trained("traverse", "--model", "vae", "--grid", "--frames", 3, "--range", "-1,1")
    assert (done.code, done.out) == (0, "vae-traversal.png\n"), done.err
    model = zoo.load(workshop / "vae-001")
    # The first unit across, the second upwards.
    codes = [[x, y] for y in (1.0, 0.0, -1.0) for x in (-1.0, 0.0, 1.0)]
    expected = np.asarray(grid(model.decode(np.array(codes)), columns=3)).astype(int)
    assert np.abs(opened("vae-traversal.png") - expected).max() <= 1
    assert trained("traverse", "--model", "vae", "--grid", "--out", "a.png").code == 0
    assert opened("a.png").shape == grid(np.zeros((400, 8, 8, 1))).size[::-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--model nade", "nade cannot decode"),
        ("--model vae --unit 2", "units 0 to 1, not 2"),
        ("--model vae --unit x", "--unit 'x'"),
        ("--model vae --range 1,1", "two different numbers"),
        ("--model vae --range 3", "two numbers"),
        ("--model vae --range 0,inf", "two different numbers"),
        ("--model vae --frames 1", "--frames"),
        ("--model vae --seeds 0-999", "at most 4,096"),
        ("--model vae --seed 1 --seeds 2", "leave out"),
        ("--model vae --index 1 --seed 2", "--seeds, or --data"),
        ("--model vae --data digits", "--index"),
        ("--model vae --out a.npz", ".gif"),
        ("--model vae --grid --out a.gif", ".png"),
        ("--model vae --grid --unit 1", "--grid --unit 0,1"),
        ("--model dcgan --grid", "two of the 14 units"),
        ("--model vae --grid --seeds 0-1", "one code"),
        ("--model vae --grid --frames 100", "fewer --frames"),
        ("--model dcgan --index 0", "cannot reconstruct"),
    ],
)
def test_wrong_use(trained, tmp_path, line, said):
    done = trained("traverse", *line.split())
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err
    assert len(done.err.splitlines()[-1]) < 300
    assert not [*tmp_path.iterdir()]


def test_gaussian_codes_are_joined_by_an_arc(trained, workshop):
    assert trained("interpolate", "--model", "vae", "--seeds", "3,8", "--frames", 5).code == 0
    model = zoo.load(workshop / "vae-001")
    a, b = model.prior([3, 8])
    expected = np.asarray(grid(model.decode(between(a, b, 5, model.prior_parts)), columns=5)).astype(int)
    assert np.abs(opened("vae-interpolation.png") - expected).max() <= 1
    middle = between(a, b, 5, model.prior_parts)[2]
    assert np.abs(middle - (a + b) / 2).max() > 0.05


def test_a_map_of_codes(trained, workshop):
    line = ["encode", "--model", "vae", "--data", "digits", "--out", "map.png"]
    done = trained(*line)
    assert done.out == "the two units of the code, as they are\nmap.png\n", done.err
    picture = opened("map.png")
    assert min(picture.shape[:2]) > 400
    colours = {tuple(pixel) for pixel in picture.reshape(-1, picture.shape[-1])[:, :3].tolist()}
    assert (0x1F, 0x77, 0xB4) in colours  # the first of ten classes, in the legend
    done = trained("encode", "--model", "shipped:vae", "--data", "glyphs", "--limit", 50, "--out", "b.png")
    assert "two principal components of 16 units: " in done.out, done.err
    assert trained(*line[:-2], "--limit", 1, "--out", "c.png").code == 2
