"""A real Ray cluster on this machine: shards, signatures and workers, and what is lost with an actor."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from zoo import engines, sharding
from zoo.cluster import find
from zoo.errors import UsageError
from zoo.launching import launch
from zoo.sharding import Job

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

ROWS = 640


@pytest.fixture(scope="module")
def ray():
    """Two processors, whatever the machine has."""
    ray = pytest.importorskip("ray")
    for name, value in engines.QUIET.items():
        os.environ.setdefault(name, value)
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield ray
    ray.shutdown()


def opened(folder: Path, deadly: bool) -> Callable[[int, int], Iterator[dict[str, np.ndarray]]]:
    """A source that notes each time it is opened, and once takes its process with it."""
    (folder / f"opened-{os.getpid()}").touch(exist_ok=False)

    def rows(start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        yield {"row": np.arange(start, start + 1)}
        if deadly and start == 256 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"row": np.arange(start + 1, stop)}

    return rows


@pytest.mark.parametrize("deadly", [False, True])
def test_shards_are_made_once_and_an_actor_that_is_killed_loses_none(ray, tmp_path, deadly):
    notes = tmp_path / "notes"
    notes.mkdir()
    job = Job(tmp_path / "shards", "samples", ROWS, 64, "tfrecord", {})
    job.begin()
    done = sum(engines.make(job, job.missing(), functools.partial(opened, notes, deadly), actors=2))
    assert done == ROWS
    # Once in each actor: two of them, of which one alone may have done all, and a third for one that died.
    assert 1 + deadly <= len([*notes.glob("opened-*")]) <= 2 + deadly
    assert job.finish()["complete"]
    assert np.concatenate([part["row"] for part in sharding.read(job.folder)]).tolist() == [*range(ROWS)]
    assert [*engines.make(job, job.missing(), functools.partial(opened, notes, False))] == []


def refusing() -> Callable[[int, int], Iterator[dict[str, np.ndarray]]]:
    raise UsageError("There is no such thing.")


def test_errors_of_actors_are_told_as_they_are_here(ray, tmp_path):
    job = Job(tmp_path / "shards", "samples", ROWS, 64, "tfrecord", {})
    with pytest.raises(UsageError, match=r"There is no such thing\."):
        [*engines.make(job, [0], refusing)]


def test_signatures_give_the_same_there(ray):
    import zoo

    model = zoo.load("shipped:vae")
    seeds = np.arange(200)
    here = model.sample(seeds)
    model.elsewhere = engines.spread(ray, 2)
    np.testing.assert_array_equal(model.sample(seeds), here)
    assert model.rows_at_once > len(seeds)


def test_packed_arrays_come_back():
    arrays = {"text": np.array([b"a", b"longer"], object), "number": np.arange(3.0)}
    again = engines.unpack(engines.pack(arrays))
    assert again["text"].tolist() == arrays["text"].tolist()
    np.testing.assert_array_equal(again["number"], arrays["number"])


WORKER = """
import os, pathlib, signal, sys
print(os.environ["TF_CONFIG"])
died = pathlib.Path(sys.argv[1])
if not died.exists():
    died.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_are_placed_and_started_again(ray, tmp_path):
    told: list[tuple[int, str]] = []
    command = [sys.executable, "-c", WORKER, str(tmp_path / "died")]
    code = launch(
        lambda _: engines.HostGroup(ray, command, 2, lambda index, text: told.append((index, text))), 1
    )
    assert code == 0
    found = {index: find({"TF_CONFIG": text}) for index, text in told if text.startswith("{")}
    assert {index: each.index for index, each in found.items()} == {0: 0, 1: 1}
    assert found[0].addresses == found[1].addresses
    assert "all are started again" in "\n".join(text for index, text in told if index < 0)
