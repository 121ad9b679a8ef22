"""Workers are started, heard, stopped and started again; only one test trains in them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from zoo import checkpoints, launching
from zoo.launching import LocalGroup, devices, free_ports, gpus, launch


def worker(code: str) -> list[str]:
    """A program that knows its number `index` and how many times it was started, `times`."""
    begin = (
        "import json, os, pathlib, signal, sys, time\n"
        "task = json.loads(os.environ['TF_CONFIG']); index = task['task']['index']\n"
        "file = pathlib.Path(f'times-{index}'); times = len(file.read_text()) if file.exists() else 0\n"
        "file.write_text('x' * (times + 1))\n"
    )
    return [sys.executable, "-c", begin + code]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Launches workers in an empty folder: their exit code, and what was told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launching, "GRACE_SECONDS", 1.0)

    def run(code: str, count: int = 2, restarts: int = 0) -> tuple[int, list[tuple[int, str]]]:
        told: list[tuple[int, str]] = []

        def tell(index: int, text: str) -> None:
            told.append((index, text))

        return launch(lambda _: LocalGroup(worker(code), count, tell), restarts), told

    return run


def test_each_worker_knows_the_others_and_is_heard(run):
    code, told = run("print(json.dumps(task)); print('second line', file=sys.stderr)", count=3)
    assert code == 0
    tasks = {index: json.loads(text) for index, text in told if text.startswith("{")}
    assert {index: task["task"] for index, task in tasks.items()} == {
        index: {"type": "worker", "index": index} for index in range(3)
    }
    assert len({json.dumps(task["cluster"]) for task in tasks.values()}) == 1
    assert len(set(tasks[0]["cluster"]["worker"])) == 3
    assert sorted(index for index, text in told if text == "second line") == [0, 1, 2]


@pytest.mark.parametrize(("chief", "other", "expected"), [(0, 0, 0), (3, 0, 3), (2, 2, 2), (143, 143, 143)])
def test_the_exit_code_is_the_chief_s_and_what_failed_by_itself_is_not_tried_again(
    run, tmp_path, chief, other, expected
):
    code, _ = run(f"sys.exit({chief} if index == 0 else {other})", restarts=3)
    assert code == expected
    assert (tmp_path / "times-0").read_text() == "x"


def test_all_are_started_again_when_one_is_killed(run, tmp_path):
    """The other one hangs, as one does that waits for it."""
    killed = "index == 1 and times == 0 and os.kill(os.getpid(), signal.SIGKILL)\ntimes or time.sleep(60)\n"
    begun = time.monotonic()
    code, told = run(killed, restarts=2)
    assert code == 0
    assert time.monotonic() - begun < 30
    assert [(tmp_path / f"times-{index}").read_text() for index in range(2)] == ["xx", "xx"]
    assert "worker 1 (signal 9)" in "\n".join(text for index, text in told if index < 0)


def test_and_so_many_times_only(run, tmp_path):
    code, _ = run("os.kill(os.getpid(), signal.SIGKILL) if index == 0 else time.sleep(60)", restarts=2)
    assert code == 128 + signal.SIGKILL
    assert (tmp_path / "times-0").read_text() == "xxx"


LAUNCHER = """
import sys
from zoo.launching import LocalGroup, launch
def tell(index, text):
    sys.stdout.write(f"{index} {text}\\n")  # at once: two workers speak at the same time
    sys.stdout.flush()
sys.exit(launch(lambda _: LocalGroup(sys.argv[1:], 2, tell), 3))
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(tmp_path, signum):
    waiting = (
        "def end(signum, frame): print('ended', flush=True); sys.exit(128 + signum)\n"
        "signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGINT, end)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", LAUNCHER, *worker(waiting)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = 0
        while ready < 2:
            ready += process.stdout.readline().endswith("ready\n")
        process.send_signal(signum)
        rest, _ = process.communicate(timeout=60)
    assert sorted(rest.split("\n")[:2]) == ["0 ended", "1 ended"]
    assert process.returncode == 128 + signum


def test_gpus_are_divided():
    assert gpus({"CUDA_VISIBLE_DEVICES": "2,3,5"}) == ["2", "3", "5"]
    assert gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert [devices(index, 2, ["a", "b", "c", "d"])["CUDA_VISIBLE_DEVICES"] for index in range(2)] == [
        "a,b",
        "c,d",
    ]
    assert devices(1, 2, ["a"]) == {"CUDA_VISIBLE_DEVICES": ""}  # not two on one
    assert devices(0, 2, []) == {}


def test_ports_are_free_and_different():
    assert len(set(free_ports(5))) == 5


def gmzoo(folder: Path, name: str, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [*launching.gmzoo(), "launch", "--workers", "2", "--", "train", name, "--preset", "tiny"]
    options = ["--steps", "66", "--batch-size", "128", "--runs-dir", str(folder), *words]
    return subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True)


def weights(folder: Path, name: str) -> dict[str, np.ndarray]:
    found = checkpoints.newest(folder / f"{name}-001/checkpoints", name)
    assert found is not None
    assert found[1]["step"] == 66
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "dcgan"])  # two players, BatchNorm and averages
def test_a_worker_killed_by_kill_9_and_one_stopped_resume_the_run(tmp_path, name):
    """A run of two workers that is broken twice ends with the bits of one that is not."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with gmzoo(whole, name) as process:
        _, told = process.communicate(timeout=900)
    assert process.returncode == 0, told
    assert [path.name for path in whole.iterdir()] == [f"{name}-001"]  # the chief alone has a run
    with gmzoo(broken, name, "--new") as process:  # which counts once
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            numbers = re.findall(r"worker 1 is process (\d+)", "".join(lines))
            if "epoch 1 " in line and len(numbers) == 1:
                os.kill(int(numbers[0]), signal.SIGKILL)
            if "epoch 3 " in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.communicate(timeout=900)[1]
    assert process.returncode == 128 + signal.SIGTERM, rest
    assert "all are started again" in "".join(lines)
    assert rest.count("everything is saved") == 1  # the chief alone says so, and what goes on with it
    assert "Go on with: gmzoo launch --workers 2 -- train" in rest
    assert "--new" not in rest.partition("Go on with:")[2]
    assert [path.name for path in broken.iterdir()] == [f"{name}-001"]
    with gmzoo(broken, name) as process:
        told = process.communicate(timeout=900)[1]
    assert process.returncode == 0, told
    assert "resuming" in told
    ours, theirs = weights(broken, name), weights(whole, name)
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
