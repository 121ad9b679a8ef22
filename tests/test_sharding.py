"""Shards: whole or absent, the same rows however they are cut, and gone on with where they were left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo import sharding
from zoo.cli.inputs import parse_part
from zoo.errors import UsageError, ZooError
from zoo.sharding import Job, read

ROWS = 300


def job(folder: Path, form: str = "tfrecord", size: int = 64, rows: int = ROWS, **settings: Any) -> Job:
    return Job(folder, "samples", rows, size, form, {"model": "none", **settings})


def source(start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
    """Images of 2x2 whose pixels are functions of the row, in pieces."""
    for first in range(start, stop, 50):
        row = np.arange(first, min(stop, first + 50))
        image = (row[:, None, None, None] % np.array([5, 7, 9, 11]).reshape(1, 2, 2, 1)) / 10
        yield {
            "row": row,
            "seed": row + 100,
            "prompt": np.array([f"no {n}" for n in row], object),
            "image": image.astype(np.float32),
        }


def make(job: Job, part: str = "1/1") -> dict[str, Any]:
    job.begin()
    assert sum(sharding.make(job, job.missing(parse_part(part)), source)) >= 0
    return job.finish()


@pytest.mark.parametrize("form", ["tfrecord", "parquet"])
def test_the_union_is_the_same_however_it_is_cut(tmp_path, form):
    found = []
    for size in (64, 128, 320):
        make(job(tmp_path / str(size), form, size))
        parts = [*read(tmp_path / str(size))]
        assert len(parts) == -(-ROWS // size)
        found.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    expected = [*source(0, ROWS)]
    for each in found:
        np.testing.assert_array_equal(each["row"], np.arange(ROWS))
        np.testing.assert_array_equal(each["seed"], np.arange(ROWS) + 100)
        images = np.concatenate([piece["image"] for piece in expected]).reshape(ROWS, -1)
        np.testing.assert_array_equal(each["image"].astype(np.float32), images)
        texts = [text.decode() if isinstance(text, bytes) else text for text in each["prompt"].tolist()]
        assert texts == [f"no {n}" for n in range(ROWS)]


def test_pictures(tmp_path):
    make(job(tmp_path / "a", "png"))
    files = sorted(path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*.png"))
    assert files[0] == "samples-00000-of-00005/000000000-seed-100.png"
    assert [int(Path(name).name[:9]) for name in files] == [*range(ROWS)]


def test_parts_of_an_array_job_make_one_whole(tmp_path):
    whole, parts = job(tmp_path / "whole"), job(tmp_path / "parts")
    make(whole)
    manifests = [make(parts, f"{turn}/3") for turn in (3, 1, 2)]
    assert [each["complete"] for each in manifests] == [False, False, True]
    with pytest.raises(UsageError, match="holds shards of something else: seed: None -> 1"):
        job(parts.folder, seed=1).begin()
    for path in whole.folder.iterdir():
        assert path.read_bytes() == (parts.folder / path.name).read_bytes(), path.name
    shards = json.loads((whole.folder / sharding.MANIFEST).read_text())["shards"]
    assert [(each["first"], each["rows"]) for each in shards] == [
        (n, min(64, ROWS - n)) for n in range(0, ROWS, 64)
    ]


class Killed(BaseException):
    pass


def test_what_is_there_is_left_and_what_is_missing_is_made(tmp_path):
    ours = job(tmp_path / "a")
    ours.begin()

    def breaking(start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        for piece in source(start, stop):
            yield piece
            if start == 128:
                raise Killed

    with pytest.raises(Killed):
        [*sharding.make(ours, ours.missing(), breaking)]
    before = {path.name: path.stat().st_mtime_ns for path in ours.folder.glob("samples-*")}
    assert len(before) == 2
    assert not ours.finish()["complete"]
    with pytest.raises(ZooError, match="lacks shards yet"):
        next(read(ours.folder))
    # What a process leaves that is killed with -9 is no shard, and goes when all are there.
    left = ours.folder / ".samples-00002-of-00005.0123abcd.tmp.tfrecord"
    left.write_text("half")
    assert ours.missing() == [2, 3, 4]
    assert make(ours)["complete"]
    assert not left.exists()
    assert {name: (ours.folder / name).stat().st_mtime_ns for name in before} == before
    assert np.concatenate([part["row"] for part in read(ours.folder)]).tolist() == [*range(ROWS)]


@pytest.mark.parametrize("text", ["3", "0/4", "5/4", "a/b", "1/0", "-1/3"])
def test_other_parts_are_told(text):
    with pytest.raises(UsageError, match="as in 3/16"):
        parse_part(text)


def test_wrong_use_is_told(tmp_path):
    with pytest.raises(UsageError, match="a multiple of 64"):
        job(tmp_path, size=100)
    with pytest.raises(UsageError, match="choose tfrecord"):
        job(tmp_path, "zip")
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match="is not empty and holds no shards"):
        job(tmp_path).begin()
