"""`sample` and `score` in shards, without Ray; with it in one slow test."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zoo.sharding import read


def columns(folder) -> dict[str, np.ndarray]:
    parts = [*read(folder)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_samples_in_shards_are_those_of_one_file(trained, tmp_path):
    # Labels take turns over all rows, though no shard is a multiple of three.
    words = ["sample", "--model", "dcgan", "-n", "150", "--seed", "5", "--label", "0-2"]
    assert trained(*words, "--out", "a.npz").code == 0
    for part in ("2/2", "1/2"):
        done = trained(*words, "--shard", part, "--shard-size", "64", "--out", "shards/")
        assert (done.code, done.out) == (0, "shards\n"), done.err
    found = columns(tmp_path / "shards")
    with np.load(tmp_path / "a.npz") as whole:
        np.testing.assert_array_equal(found["seed"], whole["seed"])
        np.testing.assert_array_equal(found["image"], whole["image"].reshape(150, -1))
    assert (
        "2 shards are there already"
        in trained(*words, "--shard", "1/2", "--shard-size", "64", "--out", "shards/").err
    )
    other = trained(*words, "--seed", "6", "--shard-size", "64", "--out", "shards/")
    assert other.code == 2
    assert "seeds: 5-154 -> 6-155" in other.err
    forced = trained(*words, "--force", "--shard-size", "64", "--out", "shards/")
    assert (forced.code, "never replaced" in forced.err) == (2, True)
    again = trained(*words[:-1], "0-3", "--shard-size", "64", "--out", "shards/")
    assert again.code == 2
    assert "label: 0-2 -> 0-3" in again.err
    assert len(again.err.splitlines()) <= 3


def test_scores_in_shards_are_those_of_one_file(trained, tmp_path):
    words = ["score", "--model", "nade", "--limit", "150"]
    whole = trained(*words, "--json").json
    done = trained(*words, "--shard-size", "64", "--out", "shards/", "--json")
    assert done.code == 0, done.err
    assert done.json["log_prob"] == pytest.approx(whole["log_prob"])
    found = columns(tmp_path / "shards")
    expected = [each["log_prob"] for each in whole["examples"]]
    np.testing.assert_array_equal(found["log_prob"], np.array(expected, np.float32))
    assert json.loads((tmp_path / "shards/job.json").read_text())["settings"]["source"] == "digits"


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_ray_gives_the_same(trained, tmp_path):
    pytest.importorskip("ray")
    words = ["sample", "--model", "vae", "-n", "300", "--shard-size", "64"]
    assert trained(*words, "--out", "here/").code == 0
    done = trained(*words, "--engine", "ray", "--actors", "2", "--out", "there/")
    assert done.code == 0, done.err
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name
    words = ["evaluate", "--model", "vae", "--metrics", "elbo", "--limit", "200", "--json"]
    assert trained(*words, "--engine", "ray").json == trained(*words).json


def test_without_ray_its_package_is_named(trained, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    done = trained("sample", "--model", "vae", "-n", "3", "--engine", "ray", "--out", "shards/")
    assert done.code == 2
    assert "pip install 'gmzoo[ray]'" in done.err.splitlines()[-1]
    assert "pip install" in trained("launch", "--engine", "ray", "--workers", "2", "--", "train", "vae").err
