"""`gmzoo evaluate` with small trained models: tables, JSON, several models, the model card, the picture."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from zoo.cli.evaluate import command
from zoo.errors import ZooError
from zoo.evaluation import extractors

KEYS = {"value", "standard_error", "unit", "kind", "better", "receipt"}


@pytest.fixture
def copy(trained, workshop, tmp_path) -> Path:
    """A run of nade that may be written into."""
    return Path(shutil.copytree(workshop / "nade-001/saved_model", tmp_path / "nade"))


def test_json_is_one_document_with_receipts(trained):
    done = trained("evaluate", "--model", "dcgan", "--samples", 60, "--seed", 3, "--json")
    assert done.code == 0, done.err
    document = done.json
    assert {key: document[key] for key in ("schema", "model", "dataset", "split")} == {
        "schema": 1, "model": "dcgan", "dataset": "digits", "split": "test"
    }  # fmt: skip
    assert {"fid", "fid_floor", "kid", "precision", "recall", "modes", "label_accuracy"} <= set(
        document["metrics"]
    )
    assert "log_prob" not in document["metrics"]  # it is implicit
    for name, metric in document["metrics"].items():
        assert set(metric) == KEYS, name
        assert metric["receipt"]["seed"] == 3
    assert document["metrics"]["fid"]["receipt"]["samples"] == 60
    assert "Warning: fid, fid_floor: 60 images are few" in done.err
    words = ("--metrics", "kid", "--samples", 60, "--seed", 3, "--json")
    again = trained("evaluate", "--model", "dcgan", *words)
    assert again.json["metrics"] == {"kid": document["metrics"]["kid"]}


def test_a_bound(trained):
    words = ["evaluate", "--model", "vae", "--metrics", "elbo,iwae_50,codes", "--limit", 60]
    metrics = trained(*words, "--json").json["metrics"]
    assert {each["kind"] for name, each in metrics.items() if "iwae" in name} == {"bound"}
    assert metrics["iwae_50"]["value"] > metrics["elbo"]["value"]
    assert metrics["iwae_50"]["receipt"]["importance_samples"] == 50
    assert metrics["elbo"]["receipt"]["n"] == 60
    units = int(metrics["active_units"]["unit"].split()[1])
    assert 0 <= metrics["active_units"]["value"] <= units
    assert metrics["code_kl"]["value"] >= 0
    table = trained(*words).out.splitlines()
    assert table[0].split()[:2] == ["metric", "value"]
    assert [line.split()[0] for line in table[1 : 1 + len(metrics)]] == list(metrics)
    column = table[0].index("unit")
    assert all(line[column - 1] == " " and line[column] != " " for line in table[1 : 1 + len(metrics)])
    assert table[-1] == "examples  60 of digits, split test"


@pytest.mark.parametrize(
    "words", ["--runs a b --json", "--runs a --json --runs b", "--runs=a --runs=b", "--json --runs a b"]
)
def test_all_words_behind_runs_are_models(words):
    context = command.make_context("evaluate", words.split())
    assert (context.params["several"], context.params["model"]) == (("a", "b"), "a")


def test_several_models(trained):
    words = ["--runs", "nade", "shipped:nade", "--metrics", "kid", "--samples", 60]
    done = trained("evaluate", *words, "--json")
    assert done.code == 0, done.err
    assert [Path(each).parts[-3] for each in done.json["models"]] == ["nade-001", "saved_models"]
    metric = done.json["metrics"]["kid"]
    assert metric["value"] == pytest.approx(sum(metric["values"]) / 2)
    assert metric["standard_deviation"] == pytest.approx(
        abs(metric["values"][0] - metric["values"][1]) / 2**0.5
    )
    alone = trained("evaluate", "--model", "shipped:nade", *words[3:], "--json").json["metrics"]["kid"]
    assert alone["value"] == pytest.approx(metric["values"][1])
    assert "standard deviation" in trained("evaluate", *words).out
    other = trained("evaluate", "--runs", "dcgan", "shipped:dcgan", "--metrics", "fid_floor")
    assert (other.code, other.out) == (2, "")
    assert "No mean over these models: their dataset differs (digits and " in other.err
    assert "split test" not in other.err  # no data was read for it


def test_the_card_holds_what_was_measured(trained, copy):
    path = copy / "1/assets.extra/model_card.json"
    before = json.loads(path.read_text())
    done = trained("evaluate", "--model", copy, "--metrics", "kid", "--samples", 60, "--card", "--json")
    assert done.code == 0, done.err
    card = json.loads(path.read_text())
    assert card.pop("metrics") == {**before.pop("metrics"), **done.json["metrics"]}
    assert card == before
    assert "- kid: value" in path.with_suffix(".md").read_text()
    assert {each.name for each in path.parent.iterdir()} == {
        "model_card.json", "model_card.md", "tf_serving_warmup_requests"
    }  # fmt: skip
    path.unlink()
    without = trained("evaluate", "--model", copy, "--data", "digits", "--metrics", "log_prob", "--card")
    assert without.out == ""
    assert without.code == 2
    assert "has no model card" in without.err


def test_the_card_keeps_what_training_knows_better(trained, workshop, tmp_path):
    copy = Path(shutil.copytree(workshop / "vae-001/saved_model", tmp_path / "vae"))
    path = copy / "1/assets.extra/model_card.json"
    before = json.loads(path.read_text())["metrics"]
    done = trained("evaluate", "--model", copy, "--metrics", "elbo,codes", "--card", "--json")
    assert done.code == 0, done.err
    after = json.loads(path.read_text())["metrics"]
    assert after["elbo"] == before["elbo"] != done.json["metrics"]["elbo"]
    assert after["code_kl"] == done.json["metrics"]["code_kl"]


@pytest.mark.parametrize("words", ["--limit 9", "--split train", "--split all", "--data glyphs"])
def test_the_card_takes_no_figures_of_other_data(trained, words):
    done = trained("evaluate", "--model", "nade", "--metrics", "log_prob", "--card", *words.split())
    assert (done.code, done.out) == (2, "")
    assert "--card takes figures of unseen data of the model's own, all of it: leave out" in done.err


def test_a_card_that_cannot_be_written_is_told_of_before_anything_is_measured(trained, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    done = trained("evaluate", "--model", "nade", "--metrics", "log_prob", "--card")
    assert (done.code, done.out) == (1, "")
    assert "cannot be written: leave out --card" in done.err


def test_a_picture_of_the_nearest_training_images(trained):
    words = ["evaluate", "--model", "nade", "--samples", 20, "--out", "near.png"]
    done = trained(*words, "--metrics", "copies")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "near.png"
    with Image.open("near.png") as picture:
        assert min(picture.size) > 60
    assert trained(*words).code == 2  # it exists
    other = trained("evaluate", "--model", "nade", "--metrics", "kid", "--out", "other.png")
    assert (other.code, "measure copies" in other.err) == (2, True)


def test_features_of_inception_need_their_weights(trained, monkeypatch, tmp_path):
    """Without a network it is told at once, in two lines."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(extractors, "reachable", lambda urls: False)
    done = trained(
        "evaluate", "--model", "nade", "--metrics", "fid", "--samples", 9, "--extractor", "inception"
    )
    assert done.code == 1
    assert "InceptionV3's weights are not in" in done.err
    assert "leave out --extractor inception" in done.err
    assert "Traceback" not in done.err


def test_an_extractor_of_ones_own(trained):
    options = ["--metrics", "kid", "--samples", 40, "--json"]
    done = trained("evaluate", "--model", "nade", "--extractor", "vae", *options)
    assert done.json["metrics"]["kid"]["receipt"]["extractor"] == "vae trained on digits"
    none = trained("evaluate", "--model", "nade", "--extractor", "nade", *options)
    assert none.code == 2
    assert "nade cannot encode" in none.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nade", "--metrics", "fidd"], "Did you mean fid"),
        (["--model", "nade", "--metrics", "elbo"], "a lower bound"),
        (["--model", "nade", "--metrics", ","], "names nothing"),
        (["--model", "nade", "--runs", "dcgan"], "leave out --model"),
        (["--runs", "--json"], "--runs needs models"),
        (["--runs", "nade", "dcgan", "--out", "x.png"], "one model"),
        ([], "try: gmzoo evaluate --model"),
    ],
)
def test_wrong_use(trained, words, said):
    done = trained("evaluate", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("Error")]) == 1


def test_weights_that_are_none(monkeypatch, tmp_path):
    """A file of the right name in Keras' cache that holds something else."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / extractors.INCEPTION_FILE
    path.parent.mkdir()
    path.write_bytes(b"something else")
    assert extractors.inception_weights() == path
    with pytest.raises(ZooError, match="does not hold the weights"):
        extractors.Inception()
