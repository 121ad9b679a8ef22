"""Vectors of numbers at the command line: tables, clouds of points, and images as numbers."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.data import load

pytestmark = pytest.mark.xdist_group("rnade")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """RNADE on wine, and on the digits as 64 numbers each."""
    folder = tmp_path_factory.mktemp("features")
    return {
        name: zoo.train("rnade", preset="tiny", dataset=name, run_dir=folder / name)
        for name in ("wine", "digits")
    }


def test_samples_are_a_table_under_the_names_of_the_features(gmzoo, runs, tmp_path):
    out = tmp_path / "wines.csv"
    assert gmzoo("sample", "--model", runs["wine"].path, "-n", "3", "--out", out).code == 0
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["seed", *load("wine", "train").info.feature_names]
    values = np.array(rows, np.float32)
    np.testing.assert_array_equal(values[:, 0], [0, 1, 2])
    np.testing.assert_allclose(values[:, 1:], zoo.load(runs["wine"].path).sample(range(3)), rtol=1e-6)


def test_samples_are_a_cloud_of_points_for_each_pair(gmzoo, runs, tmp_path):
    out = tmp_path / "wines.png"
    assert gmzoo("sample", "--model", runs["wine"].path, "-n", "100", "--out", out).code == 0
    with Image.open(out) as picture:
        assert min(picture.size) > 600
        assert len(picture.convert("RGB").getcolors(maxcolors=100_000)) > 10


def test_images_as_numbers_come_back_as_images(gmzoo, runs, tmp_path):
    out = tmp_path / "digits.png"
    assert gmzoo("sample", "--model", runs["digits"].path, "-n", "4", "--out", out).code == 0
    with Image.open(out) as picture:
        assert picture.mode == "L"
        assert picture.width == picture.height
    card = zoo.load(runs["digits"].path).card
    assert card["dataset"]["dequantised"] == [8, 8, 1]
    assert card["config"]["features"] == 64


def test_the_density_of_images_as_numbers_is_called_a_bound(gmzoo, runs):
    for name, kind in (("wine", "exact"), ("digits", "bound")):
        done = gmzoo("score", "--model", runs[name].path, "--limit", "5", "--json")
        assert done.code == 0, done.err
        assert done.json["kind"] == kind
        assert runs[name].record["result"]["log_prob"]["kind"] == kind
    done = gmzoo("score", "--model", runs["digits"].path, "--limit", "5")
    assert "a lower bound on their likelihood" in done.out
    notes = zoo.load(runs["digits"].path).card["dataset"]["notes"]
    assert "each a level plus noise" in notes[-1]


def test_images_are_read_in_the_size_that_was_trained_on(gmzoo, tmp_path):
    run = zoo.train("rnade", preset="tiny", dataset="digits", image_size=4, run_dir=tmp_path / "run")
    done = gmzoo("score", "--model", run.path, "--limit", "5", "--json")
    assert done.code == 0, done.err
    assert done.json["n"] == 5


def test_the_known_half_of_the_columns_stays(gmzoo, runs, tmp_path):
    out = tmp_path / "done.npz"
    done = gmzoo("complete", "--model", runs["wine"].path, "--mask", "left", "--limit", "6", "--out", out)
    assert done.code == 0, done.err
    with np.load(out) as arrays:
        known = arrays["known"]
        np.testing.assert_array_equal(arrays["completed"][known], arrays["features"][known])
        assert np.abs(arrays["completed"] - arrays["features"])[~known].min() > 0
