"""The files of docs/scaling.md, as far as they can be tried without a cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from zoo import cluster
from zoo.cli.main import main

PAGE = (Path(__file__).parents[1] / "docs/scaling.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
SCRIPTS = [name for name in FILES if name.endswith(".sbatch")]


def parses(words: list[str]) -> None:
    """That gmzoo takes these words, without doing what they say."""
    assert words[0] == "gmzoo"
    command = main.commands.get(words[1]) or main.get_command(None, words[1])
    command.make_context(words[1], words[2:])


def stub(folder: Path, body: str) -> dict[str, str]:
    """An environment in which `gmzoo` and `srun` are ours."""
    for name, text in {"gmzoo": body, "srun": 'shift; exec "$@"'}.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_the_page_has_all_files():
    assert {*FILES} == {"train.sbatch", "sample.sbatch", "tfjob.yaml", "trainjob.yaml"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts(name, tmp_path):
    assert subprocess.run(["bash", "-n"], input=FILES[name], text=True, check=False).returncode == 0
    environment = stub(tmp_path, 'printf "%s\\n" gmzoo "$@"')
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16"}
    done = subprocess.run(
        ["bash"],
        input=FILES[name],
        env={**environment, **array},
        capture_output=True,
        text=True,
        check=True,
    )
    parses(done.stdout.splitlines())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("code", "times"), [(0, 1), (1, 4), (137, 4), (2, 1), (143, 1)])
def test_what_was_lost_is_started_again(tmp_path, code, times):
    environment = stub(tmp_path, f"echo again; exit {code}")
    done = subprocess.run(
        ["bash"], input=FILES["train.sbatch"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count("again")) == (code, times)


def test_tfjob():
    (job,) = yaml.safe_load_all(FILES["tfjob.yaml"])
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert job["spec"]["runPolicy"]["cleanPodPolicy"] in ("All", "Running", "None")
    replicas = job["spec"]["tfReplicaSpecs"]
    assert {*replicas} <= {"Chief", "Master", "Worker", "Evaluator"}
    for each in replicas.values():
        assert each["restartPolicy"] in ("Always", "OnFailure", "Never", "ExitCode")
        pod = each["template"]["spec"]
        (container,) = [item for item in pod["containers"] if item["name"] == "tensorflow"]
        parses(container["command"])
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.skipif(shutil.which("sh") is None, reason="no sh")
def test_trainjob(tmp_path):
    runtime, job = yaml.safe_load_all(FILES["trainjob.yaml"])
    assert {runtime["apiVersion"], job["apiVersion"]} == {"trainer.kubeflow.org/v1alpha1"}
    assert (runtime["kind"], job["kind"]) == ("TrainingRuntime", "TrainJob")
    reference = job["spec"]["runtimeRef"]
    assert (reference["kind"], reference["name"]) == ("TrainingRuntime", runtime["metadata"]["name"])
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    containers = node["template"]["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == [node["name"]] == ["node"]
    count = job["spec"]["trainer"]["numNodes"]
    name = job["metadata"]["name"]
    expected = tuple(f"{name}-node-0-{index}.{name}:12345" for index in range(count))
    environment = stub(tmp_path, 'printf "%s\\n" "$TF_CONFIG" ---; printf "%s\\n" gmzoo "$@"')
    for index in range(count):
        done = subprocess.run(
            job["spec"]["trainer"]["command"],
            env={**environment, "JOB_COMPLETION_INDEX": str(index)},
            capture_output=True,
            text=True,
            check=True,
        )
        tf_config, _, words = done.stdout.partition("---\n")
        assert cluster.find({"TF_CONFIG": tf_config}) == cluster.Cluster(expected, index)
        parses(words.splitlines())
