"""Two processes train as one does: every model, by one pair of workers.

`make test` tries the models that strain the base most; `make test-all` tries all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo import checkpoints, cluster, training
from zoo.launching import free_ports

SECONDS = 1200.0


@pytest.fixture(scope="module")
def ended(subjects_together, tmp_path_factory):
    """Each model, and all that a checkpoint holds, of the chief and of the other worker: after one step, and
    after two.
    """
    folder = tmp_path_factory.mktemp("workers")
    wanted = json.dumps([(each.name, each.preset, str(each.runs)) for each in subjects_together])
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), wanted, str(folder)]
    logs = [folder / f"{index}.log" for index in range(2)]
    processes = []
    for index, log in enumerate(logs):
        tf_config = {cluster.TF_CONFIG: cluster.Cluster(addresses, index).tf_config}
        with log.open("wb") as file:
            processes.append(
                subprocess.Popen(command, env={**environment, **tf_config}, stdout=file, stderr=file)
            )
    try:
        codes = [process.wait(SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)

    def read(subject, step: int) -> list[dict]:
        names = [f"{subject.name}-{subject.preset}-{step}-{worker}.npz" for worker in range(2)]
        return [checkpoints.read(folder / name)[0] for name in names]

    return [(each, read(each, 1), read(each, 2)) for each in subjects_together]


def test_two_workers_keep_equal_weights(ended):
    for subject, *after in ended:
        for chief, other in after:
            assert chief.keys() == other.keys()
            apart = [name for name in chief if chief[name].tobytes() != other[name].tobytes()]
            assert apart == [], subject.name


def test_their_gradient_is_that_of_one_process_with_the_whole_batch(ended):
    for subject, (together, _), _ in ended:
        subject.assert_trained_alike(*subject.first_step(training.make_strategy("one")), together)
