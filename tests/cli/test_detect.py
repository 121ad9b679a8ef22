"""`gmzoo detect`, and `score --threshold`: what is flagged, what is written, what is refused."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

import zoo
import zoo.data
from zoo.evaluation import anomaly
from zoo.reports.captions import MARK

pytestmark = pytest.mark.xdist_group("cli")

NADE = ["detect", "--model", "shipped:nade"]


def digits(split: str) -> np.ndarray:
    return zoo.data.load("digits", split).fields["image"].astype(np.float32) / np.float32(15)


def nats(name: str, split: str) -> np.ndarray:
    return zoo.load(f"shipped:{name}").log_prob(digits(split))["log_prob"]


@pytest.fixture
def noise(tmp_path) -> str:
    """Twenty images of noise in a file of the user's own."""
    image = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez(tmp_path / "noise.npz", image=image)
    return "npz:noise.npz"


def rows_of(path) -> tuple[list[str], list[list[str]]]:
    with path.open() as file:
        header, *rows = csv.reader(file)
    return header, rows


def test_the_files_and_what_is_flagged(gmzoo, tmp_path):
    done = gmzoo(*NADE, "--data", "digits")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2:] == ["nade-anomalies.png", "nade-anomalies.csv"]
    assert "higher is more anomalous" in done.out
    header, rows = rows_of(tmp_path / "nade-anomalies.csv")
    assert header == ["index", "file", "score", "flag"]
    scores, flags = (np.array([float(row[column]) for row in rows]) for column in (2, 3))
    np.testing.assert_allclose(scores, -nats("nade", "test"), atol=1e-5)
    threshold = np.sort(-nats("nade", "validation"))[-9]  # 9 = 0.05 * (179 + 1)
    np.testing.assert_array_equal(flags, scores > threshold)
    assert f"flagged    {flags.sum():.0f} of 180 of digits, split test" in done.out
    again = gmzoo(*NADE, "--data", "digits", "--limit", 9)
    assert again.out.splitlines()[-2:] == ["nade-anomalies-2.png", "nade-anomalies-2.csv"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--method", "typicality"], lambda p, q: np.abs(p["test"] - p["validation"].mean(dtype=np.float64))),
        (["--method", "ratio", "--background", "shipped:markov"], lambda p, q: q["test"] - p["test"]),
    ],
)
def test_other_methods(gmzoo, options, expected):
    done = gmzoo(*NADE, "--data", "digits", *options, "--json")
    assert done.code == 0, done.err
    p, q = ({split: nats(name, split) for split in ("test", "validation")} for name in ("nade", "markov"))
    found = np.array([each["score"] for each in done.json["examples"]])
    np.testing.assert_allclose(found, expected(p, q), rtol=1e-5, atol=1e-4)


def test_json_is_one_document_with_its_receipts(gmzoo, tmp_path):
    done = gmzoo(*NADE, "--data", "digits", "--method", "ratio", "--false-alarms", "0.1", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert set(found) == {
        "schema", "model", "source", "split", "n", "method", "kind", "unit", "higher_is", "threshold",
        "flagged", "receipt", "examples",
    }  # fmt: skip
    assert (found["method"], found["kind"], found["higher_is"]) == ("ratio", "exact", "more anomalous")
    receipt = found["receipt"]
    assert (receipt["dataset"], receipt["split"], receipt["n"]) == ("digits", "test", 180)
    assert (receipt["background"], receipt["false_alarms"]) == ("independent", 0.1)
    data = zoo.data.load("digits", "validation")
    assert receipt["fitted_to"] == {
        "dataset": "digits", "split": "validation", "n": 179, "fingerprint": data.info.fingerprint,
        "shape": [8, 8, 1], "selected_on": True,  # the best checkpoint is that of this split
    }  # fmt: skip
    assert found["threshold"] == receipt["threshold"]
    assert found["flagged"] == sum(each["score"] > found["threshold"] for each in found["examples"])
    assert set(found["examples"][0]) == {"index", "file", "score", "flag"}
    assert not [*tmp_path.iterdir()]


def test_against_a_set_that_is_known_to_be_anomalous(gmzoo, tmp_path, noise):
    done = gmzoo(*NADE, "--data", "digits", "--against", noise, "--json", "--out", "a.csv")
    assert done.code == 0, done.err
    found = done.json
    metrics = found["metrics"]
    assert set(metrics) == {"auroc", "average_precision", "false_alarm_rate", "detection_rate"}
    for each in metrics.values():
        assert set(each) == {"value", "standard_error", "unit", "kind", "better", "receipt"}
        assert each["receipt"]["against"]["dataset"] == noise
        assert (each["kind"], each["receipt"]["kind"]) == ("estimate", "exact")
    header, rows = rows_of(tmp_path / "a.csv")
    assert header == ["index", "file", "score", "flag", "source"]
    normal, odd = (np.array([float(row[2]) for row in rows if row[4] == spec]) for spec in ("digits", noise))
    assert (len(normal), len(odd)) == (180, 20)
    assert metrics["auroc"]["value"] == pytest.approx(np.mean(odd[:, None] > normal), abs=1e-6)
    assert metrics["auroc"]["value"] > 0.99  # noise is no digit
    assert metrics["detection_rate"]["value"] == np.mean(odd > found["threshold"])
    assert metrics["false_alarm_rate"]["value"] == found["flagged"] / 180
    text = gmzoo(*NADE, "--data", "digits", "--against", noise).out
    assert f"auroc              {metrics['auroc']['value']:.4f} +- " in text


def test_the_picture_frames_what_is_flagged(gmzoo, tmp_path, noise):
    assert gmzoo(*NADE, "--data", noise, "--out", "a.csv").code == 0
    with Image.open("a.png") as picture:
        pixels = np.asarray(picture)
    assert (pixels == MARK).all(-1).any()
    assert (
        gmzoo(*NADE, "--data", "digits", "--limit", 5, "--false-alarms", "0.01", "--out", "b.csv").code == 0
    )
    _, rows = rows_of(tmp_path / "b.csv")
    assert not any(int(row[3]) for row in rows)
    with Image.open("b.png") as picture:
        assert not (np.asarray(picture) == MARK).all(-1).any()


def test_a_bound_says_so(trained):
    done = trained("detect", "--model", "vae", "--limit", 3, "--importance-samples", 2, "--json")
    assert done.code == 0, done.err
    assert done.json["kind"] == "bound"
    assert done.json["receipt"]["importance_samples"] == 2
    other = trained(
        "detect", "--model", "vae", "--limit", 3, "--importance-samples", 2, "--seed", 9, "--json"
    )
    assert other.json["examples"] != done.json["examples"]


def test_what_is_normal_can_be_said(gmzoo, noise):
    done = gmzoo(*NADE, "--data", "digits", "--limit", 30, "--fit-data", noise, "--json")
    assert done.code == 0, done.err
    fitted_to = done.json["receipt"]["fitted_to"]
    assert (fitted_to["split"], done.json["flagged"]) == ("all", 0)
    assert fitted_to["selected_on"] is False


def test_judging_what_the_threshold_was_fitted_to_is_told(gmzoo):
    line = [*NADE, "--data", "digits", "--json"]
    assert "Warning" not in gmzoo(*line).err
    assert "threshold is fitted to examples of this split" in gmzoo(*line, "--split", "validation").err


def test_a_model_without_a_card_has_to_be_told_what_is_normal(gmzoo, tmp_path, noise):
    bare = tmp_path / "served/1"
    shutil.copytree(zoo.load("shipped:nade").path, bare, ignore=shutil.ignore_patterns("assets.extra"))
    done = gmzoo("detect", "--model", "./served", "--data", noise)
    assert (done.code, "--fit-data" in done.err) == (2, True)
    assert gmzoo("detect", "--model", "./served", "--data", noise, "--fit-data", "digits").code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--model shipped:gan", "implicit"),
        ("--model shipped:nade --method magic", "typicality"),
        ("--model shipped:nade --background shipped:markov", "--method ratio"),
        ("--model shipped:nade --method ratio --background shipped:nade", "itself"),
        ("--model shipped:nade --method ratio --background shipped:gan", "implicit"),
        ("--model shipped:nade --false-alarms 0", "--false-alarms"),
        ("--model shipped:nade --false-alarms 0.001", "it takes 999 or more"),
        ("--model shipped:nade --seed 3", "exact"),
        ("--model shipped:nade --out a.png", ".csv"),
        ("--model shipped:nade --against digist", "digits"),
        ("--model shipped:nade --fit-data npz:none.npz", "none.npz"),
    ],
)
def test_wrong_use(gmzoo, tmp_path, line, said):
    done = gmzoo("detect", *line.split())
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err
    assert not [*tmp_path.iterdir()]


def test_a_background_of_other_images_says_how_to_train_one(gmzoo):
    done = gmzoo("detect", "--model", "shipped:vae", "--method", "ratio")
    assert done.code == 2
    (line,) = [each for each in done.err.splitlines() if each.startswith("Error")]
    assert (
        "28 x 28 x 1 in 2 levels, the background independent scores images of 8 x 8 x 1 in 2 levels" in line
    )
    assert line.endswith("Train one on the same data: gmzoo train independent --dataset glyphs")


def test_a_background_of_other_levels_says_how_to_train_one():
    model, background = zoo.load("shipped:nade"), zoo.load("shipped:markov")
    anomaly.require_same_examples(model, background)
    model.card["levels"] = 16
    with pytest.raises(Exception, match=r"16 levels.*--dataset digits --set levels=16"):
        anomaly.require_same_examples(model, background)


# -- score --threshold ---------------------------------------------------------------------------------------


def test_a_threshold_flags_what_is_less_likely(gmzoo, tmp_path):
    line = ["score", "--model", "shipped:nade", "--data", "digits", "--limit", 40]
    expected = nats("nade", "test")[:40] < -18
    assert 0 < expected.sum() < 40
    done = gmzoo(*line, "--threshold", "-18", "--out", "a.csv")
    assert done.code == 0, done.err
    assert f"flagged       {expected.sum()} below -18 nats" in done.out
    header, rows = rows_of(tmp_path / "a.csv")
    assert header == ["index", "file", "log_prob", "bits_per_dim", "flag"]
    np.testing.assert_array_equal([row[4] == "1" for row in rows], expected)
    found = gmzoo(*line, "--threshold", "-18", "--json").json
    assert (found["threshold"], found["flagged"]) == (-18.0, expected.sum())
    np.testing.assert_array_equal([each["flag"] for each in found["examples"]], expected)


def test_a_threshold_frames_what_is_less_likely(gmzoo):
    line = ["score", "--model", "shipped:nade", "--data", "digits", "--limit", 9, "--out"]
    for name, threshold, marked in (("a.png", 0, True), ("b.png", -999, False)):
        assert gmzoo(*line, name, "--threshold", threshold).code == 0
        with Image.open(name) as picture:
            assert (np.asarray(picture.convert("RGB")) == MARK).all(-1).any() == marked
