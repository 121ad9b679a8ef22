"""Who trains together, read from TF_CONFIG and from Slurm's environment."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo import cluster
from zoo.errors import UsageError


def tf_config(tasks: dict, kind: str, index: int) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": tasks, "task": {"type": kind, "index": index}})}


def test_workers_of_tf_config_come_in_its_order():
    found = cluster.find(tf_config({"worker": ["a:1", "b:2", "c:3"]}, "worker", 2))
    assert found == cluster.Cluster(("a:1", "b:2", "c:3"), 2)
    assert cluster.find({"TF_CONFIG": found.tf_config}) == found


@pytest.mark.parametrize(("kind", "index", "ours"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_a_chief_comes_first(kind, index, ours):
    """As Kubeflow's TFJob says it."""
    found = cluster.find(tf_config({"worker": ["a:1", "b:2"], "chief": ["z:3"]}, kind, index))
    assert found == cluster.Cluster(("z:3", "a:1", "b:2"), ours)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TF_CONFIG or Slurm"),
        ({"TF_CONFIG": ""}, "TF_CONFIG or Slurm"),
        ({"TF_CONFIG": "{"}, "JSONDecodeError"),
        ({"TF_CONFIG": "[]"}, "TypeError"),
        ({"TF_CONFIG": "{}"}, "KeyError: 'cluster'"),
        (tf_config({"worker": ["a:1"]}, "ps", 0), "is a ps, which trains nothing"),
        (tf_config({"worker": ["a:1"]}, "worker", 1), "no worker 1 among 1"),
        ({"SLURM_PROCID": "0"}, "start the workers with srun"),
    ],
)
def test_what_describes_no_cluster_is_told_in_two_lines(environment, message):
    with pytest.raises(UsageError, match=message) as told:
        cluster.find(environment)
    assert len(str(told.value).splitlines()) <= 2


def slurm(**values: str) -> dict[str, str]:
    return {f"SLURM_{key}": value for key, value in values.items()}


def test_slurm_counts_ranks_in_the_order_of_its_nodes():
    """`srun --ntasks 5` on three nodes, as Slurm sets its variables; TensorFlow would put n10 before n9."""
    environment = slurm(
        PROCID="3", STEP_NODELIST="gpu[9-11]", STEP_TASKS_PER_NODE="2(x2),1", NODELIST="gpu[1-20]"
    )
    expected = ("gpu9:12345", "gpu9:12346", "gpu10:12345", "gpu10:12346", "gpu11:12345")
    assert cluster.find(environment) == cluster.Cluster(expected, 3)
    assert cluster.find({**environment, "GMZOO_PORT": "80"}).addresses[0] == "gpu9:80"
    with pytest.raises(UsageError, match="GMZOO_PORT='x'"):
        cluster.find({**environment, "GMZOO_PORT": "x"})
    with pytest.raises(UsageError, match="counts 5 tasks"):
        cluster.find({**environment, "SLURM_PROCID": "5"})
    with pytest.raises(UsageError, match="names 1 nodes, and tasks for 3"):
        cluster.find({**environment, "SLURM_STEP_NODELIST": "gpu9"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),
        ("a,b-1", ["a", "b-1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-10,12],m", ["n08", "n09", "n10", "n12", "m"]),
        ("n[1,2].site,x", ["n1.site", "n2.site", "x"]),
    ],
)
def test_host_lists(text, expected):
    assert [*cluster.hosts(text)] == expected


@pytest.mark.parametrize("text", ["n[a-b]", "n[1-", "n[1-2][3-4]", "n[]"])
def test_other_host_lists_are_told(text):
    with pytest.raises(UsageError, match="cannot be read"):
        list(cluster.hosts(text))
    with pytest.raises(UsageError, match="cannot be read"):
        list(cluster.tasks_per_node(text))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_tasks_per_node(counts):
    assert [*cluster.tasks_per_node(",".join(map(str, counts)))] == counts
    assert [*cluster.tasks_per_node(",".join(f"{each}(x3)" for each in counts))] == [
        each for each in counts for _ in range(3)
    ]
