"""Every command that a model's card claims works on its SavedModel; every other one says who can."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from zoo import registry
from zoo.cli.main import SECTIONS, main

pytestmark = pytest.mark.usefixtures("opened_once")

USES = list(SECTIONS["Use a trained model"])
# Command -> the verbs of a card of which it needs one; its arguments; the ending of what it writes.
COMMANDS = {
    "sample": ({"sample"}, ["-n", "3"], ".npz"),
    "score": ({"score", "bound"}, ["--limit", "5"], ".csv"),
    "detect": ({"score", "bound"}, ["--limit", "5", "--false-alarms", "0.2"], ".csv"),
    "encode": ({"encode"}, ["--limit", "5"], ".npz"),
    "reconstruct": ({"reconstruct"}, ["--limit", "5"], ".png"),
    "interpolate": ({"interpolate", "blend"}, ["--seeds", "1,2", "--frames", "3"], ".png"),
    "traverse": ({"traverse"}, ["--frames", "3"], ".png"),
    "complete": ({"complete", "assemble"}, ["--limit", "3"], ".npz"),
    "classify": ({"classify"}, ["--limit", "5"], ".csv"),
    "translate": ({"translate"}, ["--limit", "3", "--to", "1"], ".npz"),
}


def gmzoo(*arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    return done.exit_code, done.stdout, done.stderr


def test_every_command_is_tried():
    assert COMMANDS.keys() == set(USES)


def test_what_the_card_claims_works_and_nothing_else(subject, tmp_path):
    claimed = set(registry.card(subject.name)["capabilities"])
    for name, (verbs, arguments, ending) in COMMANDS.items():
        if name == "sample" and subject.loaded.modality == "text":
            ending = ".txt"
        if name == "interpolate" and "blend" in claimed:
            arguments = ["--prompts", "a red circle", "a blue ring", "--frames", "3"]
        out = tmp_path / f"{name}{ending}"
        code, stdout, stderr = gmzoo(name, "--model", subject.run.path, *arguments, "--out", out)
        if verbs & claimed:
            assert code == 0, f"{name}: {stderr}"
            assert out.stat().st_size > 0
            assert stdout.splitlines()[-1] == str(out)
        else:
            assert code == 2, name
            assert "can" in stderr.splitlines()[-1], stderr
            assert not out.exists()


def test_samples_of_the_command_are_those_of_the_library(subject, tmp_path):
    if "sample" not in subject.loaded.signatures:
        return
    if subject.loaded.modality == "text":
        code, _, stderr = gmzoo(
            "sample", "--model", subject.saved, "--seeds", "5", "--out", tmp_path / "s.txt"
        )
        assert code == 0, stderr
        written = (tmp_path / "s.txt").read_bytes()
        assert written == subject.loaded.sample([5])[0] + b"\n"
        return
    code, _, stderr = gmzoo("sample", "--model", subject.saved, "--seeds", "5,2", "--out", tmp_path / "s.npz")
    assert code == 0, stderr
    with np.load(tmp_path / "s.npz") as arrays:
        np.testing.assert_array_equal(arrays["seed"], [5, 2])
        np.testing.assert_array_equal(arrays[subject.loaded.modality], subject.loaded.sample([5, 2]))
    if subject.loaded.modality == "image":
        code, _, stderr = gmzoo("sample", "--model", subject.saved, "-n", "4", "--out", tmp_path / "s.png")
        assert code == 0, stderr
        height, width = subject.model.example_shape()[:2]
        with Image.open(tmp_path / "s.png") as picture:
            assert picture.width >= 2 * width
            assert picture.height >= 2 * height


def test_scores_of_the_command_are_those_of_the_library(subject):
    if subject.loaded.kind is None:
        return
    code, stdout, stderr = gmzoo("score", "--model", subject.saved, "--limit", "3", "--json")
    assert code == 0, stderr
    scores = json.loads(stdout)
    assert (scores["kind"], scores["n"], scores["split"]) == (subject.loaded.kind, 3, "test")
    assert scores["kind"] == registry.card(subject.name)["likelihood"]
    nats = [each["log_prob"] for each in scores["examples"]]
    assert np.isclose(scores["log_prob"]["mean"], np.mean(nats))
    assert np.isfinite(nats).all()


def test_info_lists_the_signatures(subject):
    code, stdout, stderr = gmzoo("info", subject.saved, "--json")
    assert code == 0, stderr
    listed = json.loads(stdout)["signatures"]
    for name, table in subject.loaded.signatures.items():
        if name != "serving_default":
            assert listed[name] == table


def test_export_publishes_the_run(subject, tmp_path):
    for version in ("1", "2"):
        code, _, stderr = gmzoo("export", "--model", subject.run.path, "--out", tmp_path / "base")
        assert code == 0, stderr
        assert (tmp_path / "base" / version / "saved_model.pb").exists()
