"""The commands that read data with a trained model, and those that show and export it."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import zoo
import zoo.data

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture
def digits(tmp_path) -> str:
    """Five images in a file of the user's own: 0 to 15 as levels, without labels."""
    data = zoo.data.load("digits", "test", limit=5)
    np.savez(tmp_path / "mine.npz", image=data.fields["image"], levels=16)
    return "npz:mine.npz"


def examples(split: str = "test", limit: int | None = None) -> np.ndarray:
    found = zoo.data.load("digits", split, limit=limit).fields["image"]
    return found.astype(np.float32) / np.float32(15)


# -- score ---------------------------------------------------------------------------------------------------


def test_score_json_has_exactly_the_fields_of_the_contract(trained, workshop):
    done = trained("score", "--model", "nade", "--data", "digits", "--limit", 70, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert set(found) == {
        "model", "source", "split", "kind", "levels", "n", "log_prob", "bits_per_dim", "examples",
    }  # fmt: skip
    assert (found["model"], found["source"], found["split"]) == ("nade", "digits", "test")
    assert found["levels"] == 2
    assert "digits has values of 16 levels, the model 2" in done.err
    assert (found["kind"], found["n"]) == ("exact", 70)
    assert set(found["log_prob"]) == {"mean", "standard_error", "unit"}
    expected = zoo.load(workshop / "nade-001").log_prob(examples(limit=70))
    nats = np.array([each["log_prob"] for each in found["examples"]])
    np.testing.assert_array_equal(nats.astype(np.float32), expected["log_prob"])
    assert found["log_prob"]["unit"] == "nats"
    assert found["log_prob"]["mean"] == pytest.approx(nats.mean())
    assert found["log_prob"]["standard_error"] == pytest.approx(nats.std(ddof=1) / np.sqrt(70))
    assert found["bits_per_dim"] == pytest.approx(-nats.mean() / (64 * np.log(2)))
    assert [each["index"] for each in found["examples"]] == list(range(70))
    assert set(found["examples"][0]) == {"index", "file", "log_prob", "bits_per_dim"}


def test_score_csv(trained, tmp_path):
    done = trained("score", "--model", "nade", "--data", "digits", "--limit", 3)
    assert done.code == 0, done.err
    assert "(exact)" in done.out
    assert "levels        2\n" in done.out
    assert done.out.splitlines()[-1] == "nade-scores.csv"
    with (tmp_path / "nade-scores.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "file", "log_prob", "bits_per_dim"]
    assert [row[:2] for row in rows] == [["0", ""], ["1", ""], ["2", ""]]
    for row in rows:
        assert float(row[3]) == pytest.approx(-float(row[2]) / (64 * np.log(2)), abs=1e-5)


def test_score_of_one_example_has_no_error(trained):
    found = trained("score", "--model", "nade", "--data", "digits", "--limit", 1, "--json").json
    assert found["log_prob"]["standard_error"] is None


def test_a_bound_says_so_and_has_seeds(trained):
    line = ["score", "--model", "vae", "--data", "digits", "--limit", 70, "--json"]
    draws = ["1", "1 --seed 0", "1 --seed 9", "200"]
    few, again, other, many = (trained(*line, "--importance-samples", *each.split()).json for each in draws)
    assert few == again
    assert few["kind"] == "bound"
    assert few["examples"] != other["examples"]
    assert many["log_prob"]["mean"] > few["log_prob"]["mean"]
    # The bound of one draw is the difference of the terms, but for the noise of that draw in the second.
    terms = {name: each["mean"] for name, each in few["elbo"].items()}
    assert terms["kl"] > 0
    error = few["log_prob"]["standard_error"]
    assert abs(terms["reconstruction"] - terms["kl"] - few["log_prob"]["mean"]) < 5 * error
    done = trained("score", "--model", "vae", "--data", "digits", "--limit", 3)
    assert "a lower bound, 50 importance samples" in done.out
    names = [line.split()[0] for line in done.out.splitlines()[:4]]
    assert names == ["log_prob", "bits_per_dim", "reconstruction", "kl"]


def test_an_exact_score_takes_no_draws(trained):
    for option in ("--importance-samples", "--seed"):
        done = trained("score", "--model", "nade", "--data", "digits", option, 3)
        assert done.code == 2
        assert "exact" in done.err


def test_an_implicit_model_says_who_can(trained):
    done = trained("score", "--model", "dcgan", "--data", "digits")
    assert (done.code, done.out) == (2, "")
    assert "implicit" in done.err
    assert "nade" in done.err


def test_training_data_is_told(trained):
    line = ["score", "--model", "nade", "--limit", 3, "--json"]
    assert "Warning" not in trained(*line, "--data", "digits").err
    done = trained(*line, "--data", "digits", "--split", "train")
    assert done.json["split"] == "train"
    assert "Warning: nade was trained on examples of this split" in done.err


def test_without_data_the_models_own_test_split(trained):
    done = trained("score", "--model", "nade", "--limit", 3, "--json")
    assert (done.json["source"], done.json["split"]) == ("digits", "test")
    assert "data: digits, split test" in done.err


def test_own_data_is_scored_whole(trained, digits):
    own = trained("score", "--model", "nade", "--dataset", digits, "--json")
    assert own.code == 0, own.err
    named = trained("score", "--model", "nade", "--data", "digits", "--limit", 5, "--json")
    assert own.json["examples"] == named.json["examples"]
    assert (own.json["split"], own.json["n"], own.json["source"]) == ("all", 5, digits)


def test_files_are_named(trained, tmp_path):
    (tmp_path / "scans").mkdir()
    for index, one in enumerate(examples(limit=2)):
        Image.fromarray((one[..., 0] * 255).astype(np.uint8)).save(tmp_path / f"scans/{index}.png")
    found = trained("score", "--model", "nade", "--data", "folder:scans", "--json")
    assert found.code == 0, found.err
    assert [each["file"] for each in found.json["examples"]] == ["0.png", "1.png"]
    assert trained("score", "--model", "nade", "--data", "folder:scans", "--out", "a.csv").code == 0
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("0,0.png,")


def test_data_of_another_shape_is_converted_and_told(trained):
    done = trained("encode", "--model", "vae", "--data", "shapes/8", "--limit", 3, "--out", "a.npz")
    assert done.code == 0, done.err
    assert "RGB converted to gray" in done.err
    assert "trained on images of 16 levels; these have 256" in done.err


@pytest.mark.parametrize("command", ["score", "encode", "reconstruct"])
def test_data_that_does_not_fit_is_wrong_use(trained, command):
    for data, said in (("wine", "has no image"), ("digist", "digits"), ("npz:none.npz", "none.npz")):
        done = trained(command, "--model", "vae", "--data", data)
        assert (done.code, done.out) == (2, ""), done.err
        assert said in done.err


def test_scores_as_a_picture_go_from_the_least_to_the_most_likely(trained):
    assert trained("score", "--model", "nade", "--data", "digits", "--limit", 4, "--out", "a.png").code == 0
    nats = [
        each["log_prob"]
        for each in trained("score", "--model", "nade", "--limit", 4, "--json").json["examples"]
    ]
    with Image.open("a.png") as picture:
        cell = np.asarray(picture)[2:66:8, 2:66:8]  # the first of a grid of 2 x 2, enlarged 8 times
    np.testing.assert_array_equal(cell, np.round(examples(limit=4)[np.argmin(nats), ..., 0] * 255))


# -- codes ---------------------------------------------------------------------------------------------------


def test_encode(trained, workshop, tmp_path):
    model = zoo.load(workshop / "vae-001")
    x = examples(limit=70)
    line = ["encode", "--model", "vae", "--data", "digits", "--limit", 70]
    assert trained(*line).out == "vae-codes.npz\n"
    with np.load("vae-codes.npz") as found:
        assert found.files == ["code"]
        np.testing.assert_array_equal(found["code"], model.encode(x))
    assert trained(*line, "--draw", "--seed", 3, "--out", "drawn.npz").code == 0
    with np.load("drawn.npz") as found:
        np.testing.assert_array_equal(found["code"], model.encode(x, range(3, 73)))
    assert trained(*line, "--out", "codes.csv").code == 0
    with (tmp_path / "codes.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "file", "code0", "code1"]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], np.float32), model.encode(x))


def test_reconstruct(trained, workshop, digits):
    model = zoo.load(workshop / "vae-001")
    assert trained("reconstruct", "--model", "vae", "--data", digits).out == "vae-reconstructions.png\n"
    with Image.open("vae-reconstructions.png") as picture:
        pixels = np.asarray(picture)
    np.testing.assert_array_equal(pixels[8:72:8, 8:72:8], np.round(examples(limit=1)[0, ..., 0] * 255))
    below = model.reconstruct(examples(limit=1))[0, ..., 0]
    assert np.abs(pixels[74:138:8, 8:72:8] - below * 255).max() <= 0.51
    assert trained("reconstruct", "--model", "vae", "--data", digits, "--out", "a.npz").code == 0
    with np.load("a.npz") as found:
        np.testing.assert_array_equal(found["image"], examples(limit=5))
        np.testing.assert_array_equal(found["reconstruction"], model.reconstruct(examples(limit=5)))


def test_interpolate(trained, workshop, tmp_path):
    model = zoo.load(workshop / "vae-001")
    assert trained("interpolate", "--model", "vae", "--seeds", "3,8").out == "vae-interpolation.png\n"
    with Image.open("vae-interpolation.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (68, 16 * 66 + 2)
    ends = model.sample([3, 8])[..., 0] * 255
    for pixel, end in ((2, ends[0]), (2 + 15 * 66, ends[1])):
        assert np.abs(pixels[2:66:8, pixel : pixel + 64 : 8] - end).max() <= 1
    line = ["interpolate", "--model", "vae", "--data", "digits", "--index", "0,1", "--frames", 5]
    assert trained(*line, "--out", "a.gif").code == 0
    with Image.open("a.gif") as film:
        assert film.n_frames == 8  # there and back
    done = trained(*line[:-3], "0,180")
    assert done.code == 2
    assert "0 to 179" in done.err
    assert trained("interpolate", "--model", "dcgan", "--index", "0,1").code == 2
    done = trained("interpolate", "--model", "vae", "--prompts", "a ring", "a star")
    assert done.code == 2
    assert "cannot go from one prompt to another. Models that can" in done.err


# -- info, runs, export --------------------------------------------------------------------------------------


def test_info_of_a_run(trained, workshop):
    found = trained("info", workshop / "vae-001", "--json").json
    assert found["name"] == "vae"
    assert found["parameters"] > 0
    assert found["signatures"]["sample"] == {
        "inputs": {"seed": {"dtype": "int64", "shape": [None]}},
        "outputs": {"image": {"dtype": "float32", "shape": [None, 8, 8, 1]}},
    }
    assert trained("info", "vae", "--json").json["path"] == found["path"]
    text = trained("info", "vae").out
    assert "seed int64[N]" in text
    assert "image float32[N, 8, 8, 1]" in text
    assert "elbo" in text


def test_info_of_a_saved_model_without_a_card(trained, workshop, tmp_path):
    bare = tmp_path / "served/1"
    shutil.copytree(workshop / "nade-001/saved_model/1", bare, ignore=shutil.ignore_patterns("assets.extra"))
    found = trained("info", "./served", "--json")
    assert found.code == 0, found.err
    assert found.json["signatures"]["sample"]["outputs"]["image"]["shape"] == [None, 8, 8, 1]
    assert trained("sample", "--model", "./served", "-n", 2, "--out", "a.png").code == 0


def test_runs(trained, workshop):
    found = trained("runs", "--json").json
    assert {each["model"] for each in found} == {"vae", "nade", "dcgan"}
    assert [each["started"] for each in found] == sorted((each["started"] for each in found), reverse=True)
    (vae,) = trained("runs", "vae", "--json").json
    assert (vae["status"], vae["preset"], vae["step"]) == ("finished", "tiny", 20)
    assert vae["path"] == str(workshop / "vae-001")
    assert vae["metrics"]["elbo"]["unit"] == "nats"
    lines = trained("runs").out.splitlines()
    assert len(lines) == 4
    assert all("finished" in line for line in lines[1:])


def test_export_writes_the_next_version(trained, tmp_path):
    for version in ("1", "2"):
        done = trained("export", "--model", "vae", "--out", "served/vae")
        assert (done.code, done.out) == (0, f"served/vae/{version}\n")
    card = json.loads((tmp_path / "served/vae/2/assets.extra/model_card.json").read_text())
    assert card["model"] == "vae"
    assert trained("sample", "--model", "served/vae", "-n", 2, "--out", "a.png").code == 0
    (tmp_path / "file").write_text("")
    assert trained("export", "--model", "vae", "--out", "file").code == 2


def test_a_damaged_model_is_a_failure(trained, workshop, tmp_path):
    shutil.copytree(workshop / "vae-001/saved_model/1", tmp_path / "model/1")
    (tmp_path / "model/1/saved_model.pb").write_bytes(b"no model")
    done = trained("sample", "--model", "./model", "-n", 2)
    assert (done.code, done.out) == (1, "")
    assert "cannot be read" in done.err
    assert len(done.err.splitlines()) <= 2
