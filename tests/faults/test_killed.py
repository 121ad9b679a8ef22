"""Killed, stopped, started twice: a run ends with the same bits as one that nothing happened to."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from equal_runs import assert_equal_runs, newest_step

import zoo
from zoo import checkpoints
from zoo.runs import all_runs

#: Trains for some seconds, and saves as often as it can.
TRAIN = """
import sys, zoo, zoo.callbacks
zoo.callbacks.CHECKPOINT_SECONDS = 0.05
zoo.train(sys.argv[1], preset="tiny", steps=int(sys.argv[2]), runs=sys.argv[3])
"""
COMMAND = "import sys; from zoo.cli.main import main; main(sys.argv[1:])"


@pytest.mark.parametrize(
    ("name", "steps", "kills"),
    [  # one turn, two, and three: a likelihood and two games
        ("dcgan", 400, 5),
        pytest.param("vae", 6000, 20, marks=pytest.mark.slow),
        pytest.param("dcgan", 2000, 20, marks=pytest.mark.slow),
        pytest.param("aae", 2000, 20, marks=pytest.mark.slow),
    ],
)
def test_kill_9_at_random_moments_ends_with_the_same_bits(name, steps, kills, tmp_path, start):
    folder = tmp_path / "killed"
    whole = zoo.train(name, preset="tiny", steps=steps, runs=tmp_path / "whole")
    random = np.random.default_rng(0)
    for killed in range(kills):
        process = start(TRAIN, name, steps, folder)
        before = newest_step(folder)
        while process.poll() is None and newest_step(folder) == before:
            time.sleep(0.005)  # until it trains
        time.sleep(random.uniform(0, 0.15))
        assert process.poll() is None, f"{name} was done after {killed} kills: give it more steps"
        process.kill()
        process.communicate()
    (run,) = all_runs(zoo.train(name, preset="tiny", steps=steps, runs=folder).path.parent)
    assert_equal_runs(whole, run)
    assert run.record["result"] == whole.record["result"]


@pytest.mark.slow
def test_killed_before_the_first_checkpoint_starts_again(tmp_path, start):
    process = start(TRAIN, "vae", 50, tmp_path / "killed")
    while process.poll() is None and not list((tmp_path / "killed").glob("*/run.json")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    whole = zoo.train("vae", preset="tiny", steps=50, runs=tmp_path / "whole")
    assert_equal_runs(whole, zoo.train("vae", preset="tiny", steps=50, runs=tmp_path / "killed"))


@pytest.mark.slow
def test_sigterm_saves_and_exits_with_143_within_ten_seconds(tmp_path, start):
    """As schedulers send it: they start a process again that ends so."""
    folder = tmp_path / "runs"
    line = ["train", "dcgan", "--preset", "tiny", "--steps", "100000", "--runs-dir", folder]
    process = start(COMMAND, *line)
    while process.poll() is None and not list(folder.glob("*/metrics.jsonl")):
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143, err
    assert "everything is saved. Go on with: gmzoo train dcgan" in err
    (run,) = all_runs(folder)
    assert run.status == "stopped"
    assert run.step == checkpoints.read(checkpoints.steps(run.checkpoints)[-1])[1]["step"] > 0


@pytest.mark.slow
def test_a_second_process_on_one_run_is_told(tmp_path, start):
    folder = tmp_path / "run"
    line = ["train", "dcgan", "--preset", "tiny", "--steps", "100000", "--run-dir", folder]
    first = start(COMMAND, *line)
    while first.poll() is None and not (folder / "metrics.jsonl").exists():
        time.sleep(0.05)
    second = start(COMMAND, *line)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 2
    assert f"Error: Another process trains in {folder}." in err
    assert first.poll() is None


@pytest.mark.slow
def test_a_clock_that_goes_back_changes_nothing(tmp_path):
    """The newest run is the one that started last by its own clock; resuming goes by settings."""
    first = zoo.train("vae", preset="tiny", steps=20, runs=tmp_path)
    first.update(started="2190-01-01T00:00:00+00:00")
    other = zoo.train("vae", preset="tiny", steps=20, seed=1, runs=tmp_path)
    assert other.path.name == "vae-002"
    again = zoo.train("vae", preset="tiny", steps=40, seed=1, runs=tmp_path)
    assert again.path == other.path
    for steps in (20, 40):  # in two goes as well: the log tells where each of them ended
        undisturbed = zoo.train("vae", preset="tiny", steps=steps, seed=1, runs=tmp_path / "undisturbed")
    assert_equal_runs(undisturbed, again)
