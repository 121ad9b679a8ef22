"""Two stages: the first is trained, found again, named or kept; the second contains it."""

from __future__ import annotations

import json
import logging
import shutil
import signal

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo import training
from zoo.callbacks import Stopped
from zoo.cli.main import main
from zoo.errors import UsageError
from zoo.files import file_hash
from zoo.runs import Run
from zoo.stages import WEIGHTS_FILE

pytestmark = pytest.mark.xdist_group("dalle")
PROMPT = "a small red circle in the centre"


@pytest.fixture(scope="module")
def first(subject_of):
    return subject_of("dvae", "tiny")


@pytest.fixture(scope="module")
def second(subject_of):
    return subject_of("dalle", "tiny")


def test_one_line_stops_and_resumes_in_the_first_stage(tmp_path, monkeypatch):
    """It is a run of its own, with the data and the seed of the second, which begins when it has ended."""
    done = []

    def train(plan, run, *_):
        done.append(
            (plan.model, plan.preset, run.path.name, plan.seed, plan.settings["dataset"]["image_size"])
        )
        run.update(**plan.settings, steps=plan.steps, status="stopped", started="now")
        raise Stopped(signal.SIGTERM, 2)

    monkeypatch.setattr(training, "_train", train)
    for _ in range(2):
        with pytest.raises(Stopped):
            training.train("dalle", preset="tiny", runs=tmp_path, seed=3)
    assert done == [("dvae", "tiny", "dvae-001", 3, 8)] * 2


def test_the_run_keeps_the_first_stage_and_its_hash(first, second):
    kept = second.run.path / "dvae/1"
    assert (kept / "saved_model.pb").read_bytes() == (first.saved / "saved_model.pb").read_bytes()
    weights_hash = file_hash(first.saved / WEIGHTS_FILE)
    told = {"model": "dvae:tiny", "hash": weights_hash}
    record, card = second.run.record, second.loaded.card
    assert record["first_stage"] == told
    assert card["first_stage"] == told
    assert card["scored"] == {"what": "tokens", "count": 16, "values": 6, "by": weights_hash}
    assert all("tokens" in name for name in record["result"])
    receipts = [metric["receipt"] for metric in record["result"].values()]
    assert {receipt["scored"] for receipt in receipts} == {f"16 tokens of 6, by {weights_hash}"}


def test_a_trained_first_stage_is_found_and_may_be_named(first, second, tmp_path):
    found = second.plan
    assert not training.differences(found, second.run)
    for named in (first.run.path, first.run.path / "saved_model", first.saved, second.run.path / "dvae"):
        plan = training.plan("dalle", preset="tiny", runs=tmp_path, settings={"dvae": str(named)})
        assert plan.settings == found.settings
    by_name = training.plan("dalle", preset="tiny", runs=first.runs, settings={"dvae": "dvae:tiny"})
    assert by_name.settings == found.settings


def test_without_one_a_plan_says_how_to_get_it(first, tmp_path):
    for options in ({"runs": tmp_path}, {"runs": first.runs, "seed": 1}):
        with pytest.raises(UsageError, match="`gmzoo train dalle` trains it first"):
            training.plan("dalle", preset="tiny", **options)


def test_a_dry_run_tells_of_the_first_stage_alone(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "gmzoo"):
        assert training.train("dalle", preset="tiny", runs=tmp_path, dry_run=True) is None
    assert "dalle stands on a dvae: training it first" in caplog.text
    assert f"would start {tmp_path / 'dvae-001'}" in caplog.text
    assert not [*tmp_path.iterdir()]


def test_what_is_no_first_stage_is_refused(first):
    path = str(first.run.path)
    for settings, why, size in (
        ({"dvae": "shipped:vae"}, "whose code is no tokens", None),
        ({"dvae": path}, "of images of 8x8x3, and these are 32x32x3: use --image-size", 32),
        ({"dvae": path, "codebook": 7}, "codebook=7: .* decides it, and has 6", None),
        ({"dvae": "nowhere/at/all"}, "No such file", None),
    ):
        with pytest.raises(UsageError, match=why):
            training.plan("dalle", preset="tiny", settings=settings, image_size=size)


def test_an_unfinished_second_stage_needs_nothing_but_its_run(second, tmp_path):
    """The run of the first stage is not where runs live."""
    run = Run(tmp_path / "dalle-001")
    shutil.copytree(second.run.path, run.path, ignore=shutil.ignore_patterns("saved_model"))
    run.update(status="running")
    model = zoo.load(run.path, runs=tmp_path)
    assert model.path.is_relative_to(run.path / "unfinished")
    np.testing.assert_array_equal(
        model.sample([1, 2], prompt=PROMPT), second.loaded.sample([1, 2], prompt=PROMPT)
    )


def test_the_command_says_what_it_scores(second, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["score", "--model", str(second.run.path), "--limit", "3"])
    assert done.exit_code == 0, done.stderr
    assert "nats (exact, of the tokens of an image, given its caption)" in done.stdout
    assert (second.loaded.suffix, second.loaded.kind) == ("_tokens", "exact")


def test_prompts_and_candidates_are_checked(second):
    model = second.loaded
    for conditions, why in (
        ({"prompt": "a small xxxx"}, "knows no 'xxxx', which the prompt 'a small xxxx' has. Use other words"),
        ({"prompt": ["a ring", "a Cirkle!"]}, "no 'cirkle', '!', .* 'a Cirkle!' has. Did you mean circle"),
        ({"prompt": f"{PROMPT}."}, "knows no '.', .* Leave out what it does not know"),
        ({"prompt": f"{PROMPT} at the"}, "reads at most 8 words of a prompt, and 'a small .*' has 9"),
        ({"prompt": PROMPT, "candidates": 0}, "candidates must be at least 1"),
    ):
        with pytest.raises(UsageError, match=why):
            model.sample([1, 2], **conditions)
    one, plain = (model.sample([1, 2], prompt=PROMPT, **more) for more in ({"candidates": 1}, {}))
    np.testing.assert_array_equal(one, plain)
    with pytest.raises(UsageError, match="vae cannot choose among candidates. Models that can"):
        zoo.load("shipped:vae").sample([1], candidates=2)


def test_captions_of_data_are_read_as_far_as_they_can_be(second, tmp_path, monkeypatch):
    """What a user types is refused, what data says is not: it is told how much of it is not read."""
    monkeypatch.chdir(tmp_path)
    captions = ["a small red circle", "a giraffe", f"{PROMPT} at the", "a"]
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (len(captions), 8, 8, 3)).astype(np.uint8)
    np.savez("mine.npz", image=image, caption=np.array(captions))
    told = "6.25% of the words of the captions are unknown to dalle, 25.00% of the captions are cut"
    told += " after 8 words"
    assert second.loaded.unread(captions) == told
    assert second.loaded.unread(captions[:1] * 3) == ""
    model = ["--model", str(second.run.path), "--data", "npz:mine.npz"]
    done = CliRunner().invoke(main, ["score", *model, "--json"])
    assert done.exit_code == 0, done.stderr
    assert told in done.stderr
    done = CliRunner().invoke(main, ["evaluate", *model, "--metrics", "log_prob_tokens", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["log_prob_tokens"]["receipt"]["unread"] == told
    drawn = second.loaded.sample([1, 2], prompt=captions[1:3], strict=False)
    np.testing.assert_array_equal(drawn[1], second.loaded.sample([2], prompt=PROMPT)[0])
