"""Disks that are full, and folders that cannot be written: two lines, and nothing that was there is lost."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import zoo
from zoo.runs import all_runs

pytestmark = pytest.mark.slow

TRAIN = ["train", "dcgan", "--preset", "tiny", "--steps", "40"]


def fill(place, left: int) -> None:
    """Fills a disk up to `left` bytes."""
    subprocess.run(["dd", "if=/dev/zero", f"of={place}/filled", "bs=4096"], capture_output=True, check=False)
    size = (place / "filled").stat().st_size
    with (place / "filled").open("r+b") as file:
        file.truncate(size - left)


@pytest.mark.parametrize("left", [0, 4096, 20_000, 60_000, 120_000, 200_000])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(small_disk, tmp_path, gmzoo, left):
    fill(small_disk, left)
    done = gmzoo(*TRAIN, "--runs-dir", small_disk / "runs")
    assert done.code == 1
    assert 1 <= len(done.told) <= 2, done.err
    assert "disk is full" in done.told[0]
    (small_disk / "filled").unlink()
    again = gmzoo(*TRAIN, "--runs-dir", small_disk / "runs")
    whole = zoo.train("dcgan", preset="tiny", steps=40, runs=tmp_path / "whole")
    if again.code == 0:  # else 1 MB is too little for the rest, which is told as well
        (run,) = all_runs(small_disk / "runs")
        ours, theirs = zoo.load(run.path), zoo.load(whole.path)
        np.testing.assert_array_equal(ours.sample([0, 1]), theirs.sample([0, 1]))
    else:
        assert "disk is full" in again.told[0]


def test_a_folder_that_cannot_be_written_is_told(small_disk, gmzoo):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for line, code, told in (
        ([*TRAIN, "--runs-dir", small_disk], 1, "Read-only file system"),
        ([*TRAIN, "--run-dir", small_disk / "run"], 1, "Read-only file system"),
        # Known before anything is made: another --out is the remedy.
        (["sample", "--model", "shipped:vae", "-n", "2", "--out", small_disk / "x.png"], 2, "no permission"),
        (["export", "--model", "shipped:vae", "--out", small_disk / "vae"], 2, "no permission"),
    ):
        done = gmzoo(*line)
        assert done.code == code, (line, done.err)
        assert len(done.told) <= 2
        assert told in done.told[0]


def test_a_run_that_can_only_be_read_can_be_used(small_disk, tmp_path, gmzoo):
    made = zoo.train("vae", preset="tiny", steps=2, runs=tmp_path / "runs")
    subprocess.run(["cp", "-r", str(made.saved_model), str(small_disk / "1")], check=True)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert gmzoo("sample", "--model", small_disk / "1", "-n", 2, "--out", "x.png").code == 0
