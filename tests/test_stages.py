"""Two stages: the first is trained, found again, named or kept; both resume; the second contains it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo import registry, training
from zoo.callbacks import Stopped
from zoo.cli.main import main
from zoo.errors import UsageError
from zoo.files import file_hash
from zoo.runs import Run
from zoo.stages import WEIGHTS_FILE

pytestmark = pytest.mark.xdist_group("dalle")
STOP_AT = 2
PROMPT = "a small red circle in the centre"


class Listener:
    """Progress that remembers what it is told, and asks to stop after a step of a model."""

    def __init__(self, stop_in: str | None = None) -> None:
        self.stop_in, self.model, self.told = stop_in, "", []

    def start(self, total: int, start: int, size: int, title: str) -> None:
        self.model = title.split()[0]

    def step(self, step: int, logs) -> None:
        if (self.model, step) == (self.stop_in, STOP_AT):
            os.kill(os.getpid(), signal.SIGTERM)

    def message(self, text: str) -> None:
        self.told.append(text)

    def epoch(self, *_) -> None: ...
    def finish(self, summary) -> None: ...


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Where one line was stopped in the first stage, given again and stopped in the second, and again."""
    folder = tmp_path_factory.mktemp("stages")
    told = []
    for stage in ("dvae", "dalle", None):
        listener = Listener(stop_in=stage)
        with pytest.raises(Stopped) if stage else contextlib.nullcontext():
            training.train("dalle", preset="tiny", runs=folder, progress=listener)
        if stage:
            assert Run(folder / f"{stage}-001").status == "stopped"
        if stage == "dalle":
            shutil.copytree(folder / "dalle-001", folder / "stopped" / "dalle-001")
        told.append(listener.told[0])
    assert told[1:] == [f"resuming {folder / name} at step 2 of 4" for name in ("dvae-001", "dalle-001")]
    assert Run(folder / "dalle-001").status == "finished"
    return folder


def test_the_first_stage_is_a_run_of_its_own_with_the_data_of_the_second(runs):
    assert sorted(path.name for path in runs.glob("*-*")) == ["dalle-001", "dvae-001"]
    first, second = (Run(runs / name).record for name in ("dvae-001", "dalle-001"))
    assert (first["model"], first["preset"], first["status"], first["step"]) == (
        "dvae",
        "tiny",
        "finished",
        4,
    )
    assert first["dataset"] == second["dataset"]
    assert first["seed"] == second["seed"]


def test_the_run_keeps_the_first_stage_and_its_hash(runs):
    first, run = Run(runs / "dvae-001").saved_model, Run(runs / "dalle-001")
    kept = run.path / "dvae/1"
    assert (kept / "saved_model.pb").read_bytes() == (first / "saved_model.pb").read_bytes()
    weights_hash = file_hash(first / WEIGHTS_FILE)
    told = {"model": "dvae:tiny", "hash": weights_hash}
    assert run.record["first_stage"] == told
    card = zoo.load(run.path).card
    assert card["first_stage"] == told
    assert card["scored"] == {"what": "tokens", "count": 16, "values": 6, "by": weights_hash}
    assert (
        run.record["result"]["log_prob_tokens"]["receipt"]["scored"] == f"16 tokens of 6, by {weights_hash}"
    )
    assert all("tokens" in name for name in run.record["result"])


def test_a_trained_first_stage_is_found_and_may_be_named(runs):
    first = runs / "dvae-001"
    found = training.plan("dalle", preset="tiny", runs=runs)
    for named in (
        "dvae:tiny",
        first,
        first / "saved_model",
        first / "saved_model/1",
        runs / "dalle-001/dvae",
    ):
        plan = training.plan("dalle", preset="tiny", runs=runs, settings={"dvae": str(named)})
        assert plan.settings == found.settings
        assert not training.differences(plan, Run(runs / "dalle-001"))


def test_without_one_a_plan_says_how_to_get_it(runs, tmp_path):
    with pytest.raises(UsageError, match="`gmzoo train dalle` trains it first"):
        training.plan("dalle", preset="tiny", runs=tmp_path)
    with pytest.raises(UsageError, match="trains it first"):
        training.plan("dalle", preset="tiny", runs=runs, seed=1)


def test_a_dry_run_tells_of_the_first_stage_alone(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "gmzoo"):
        assert training.train("dalle", preset="tiny", runs=tmp_path, dry_run=True) is None
    assert "dalle stands on a dvae: training it first" in caplog.text
    assert f"would start {tmp_path / 'dvae-001'}" in caplog.text
    assert not [*tmp_path.iterdir()]


def test_what_is_no_first_stage_is_refused(runs):
    first = str(runs / "dvae-001")
    for settings, why, size in (
        ({"dvae": "shipped:vae"}, "whose code is no tokens", None),
        ({"dvae": first}, "of images of 8x8x3, and these are 16x16x3: use --image-size", 16),
        ({"dvae": first, "codebook": 7}, "codebook=7: .* decides it, and has 6", None),
        ({"dvae": "nowhere/at/all"}, "No such file", None),
    ):
        with pytest.raises(UsageError, match=why):
            training.plan("dalle", preset="tiny", runs=runs, settings=settings, image_size=size)


def test_an_unfinished_second_stage_needs_nothing_but_its_run(runs):
    """The run of the first stage is not beside it."""
    images = zoo.load(runs / "stopped/dalle-001").sample([1, 2], prompt=PROMPT)
    assert images.shape == (2, 8, 8, 3)


def test_what_is_scored_is_named_and_counted(runs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = zoo.load(runs / "dalle-001")
    found = model.log_prob(model.sample(range(3), prompt=PROMPT), prompts=[PROMPT] * 3)
    assert found.keys() == {"log_prob_tokens", "bits_per_dim_tokens"}
    np.testing.assert_allclose(
        found["bits_per_dim_tokens"], -found["log_prob_tokens"] / 16 / np.log(2), rtol=1e-5
    )
    assert (model.suffix, model.kind) == ("_tokens", registry.card("dalle")["likelihood"])
    done = CliRunner().invoke(main, ["score", "--model", str(runs / "dalle-001"), "--limit", "3"])
    assert done.exit_code == 0, done.stderr
    assert "nats (exact, of the tokens of an image, given its caption)" in done.stdout


def test_prompts_are_checked_before_they_are_read(runs):
    model = zoo.load(runs / "dalle-001")
    with pytest.raises(UsageError, match="knows no 'giraffe'"):
        model.sample([1], prompt="a small giraffe")
    with pytest.raises(UsageError, match=r"reads at most 8 words of a prompt, and 'a small .*' has 9"):
        model.sample([1], prompt="a small red circle in the centre at the")
    with pytest.raises(UsageError, match="candidates must be at least 1"):
        model.sample([1], prompt=PROMPT, candidates=0)
    np.testing.assert_array_equal(
        model.sample([1, 2], prompt=PROMPT, candidates=1), model.sample([1, 2], prompt=PROMPT)
    )
    with pytest.raises(UsageError, match="vae cannot choose among candidates. Models that can"):
        zoo.load("shipped:vae").sample([1], candidates=2)
