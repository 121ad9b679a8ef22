"""Which processes train together: what `TF_CONFIG` or Slurm says of them.

No TensorFlow here: what is wrong with a cluster is told before anything is waited for.

References:
    TF_CONFIG: `tf.distribute.cluster_resolver.TFConfigClusterResolver`. Slurm's variables: `man srun`, OUTPUT
    ENVIRONMENT VARIABLES. TensorFlow's own `SlurmClusterResolver` orders hosts by their letters, where Slurm
    counts ranks in the order of its list, and wants GPUs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping

from zoo.errors import UsageError

TF_CONFIG = "TF_CONFIG"
#: The first port of the workers of a node that Slurm describes; each further one has the next.
PORT = "GMZOO_PORT"
FIRST_PORT = 12_345
#: The command that started all workers, as they learn it from `gmzoo launch`.
STARTED_BY = "GMZOO_STARTED_BY"
#: The kinds of task that train.
TRAINING = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Processes that train one model together.

    Attributes:
        addresses: host:port of each, the chief's first.
        index: which of them this one is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def tf_config(self) -> str:
        """What `TF_CONFIG` holds for this process."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": [*self.addresses]}, "task": task})


def find(environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that the environment describes: by `TF_CONFIG`, else by Slurm.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    if environment.get(TF_CONFIG):
        return _by_tf_config(environment[TF_CONFIG])
    if "SLURM_PROCID" in environment:
        return _by_slurm(environment)
    raise UsageError(
        "--strategy multi-worker needs several processes, which TF_CONFIG or Slurm describes; neither does.\n"
        "To try it on this machine: gmzoo launch --workers 2 -- train NAME"
    )


def _by_tf_config(text: str) -> Cluster:
    try:
        found = json.loads(text)
        tasks, kind, index = found["cluster"], found["task"]["type"], int(found["task"]["index"])
        addresses = {name: [*map(str, tasks.get(name, ()))] for name in TRAINING}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(f"{type(error).__name__}: {error}") from error
    if kind not in TRAINING:
        raise _wrong(f"this process is a {kind}, which trains nothing; there are {' and '.join(TRAINING)}")
    if not 0 <= index < len(addresses[kind]):
        raise _wrong(f"there is no {kind} {index} among {len(addresses[kind])}")
    before = len(addresses["chief"]) if kind == "worker" else 0
    return Cluster((*addresses["chief"], *addresses["worker"]), before + index)


def _wrong(what: str) -> UsageError:
    example = Cluster(("host-a:12345", "host-b:12345"), 0).tf_config
    return UsageError(f"TF_CONFIG cannot be used: {what}.\nIt looks like this: {example}")


def _by_slurm(environment: Mapping[str, str]) -> Cluster:
    def value(name: str) -> str:
        for key in (f"SLURM_STEP_{name}", f"SLURM_{name}"):
            if environment.get(key):
                return environment[key]
        raise UsageError(
            f"Slurm says nothing of SLURM_STEP_{name}: start the workers with srun, as docs/scaling.md shows."
        )

    try:
        first = int(environment.get(PORT) or FIRST_PORT)
    except ValueError:
        raise UsageError(f"{PORT}={environment[PORT]!r}: use a port, as in {PORT}={FIRST_PORT}.") from None
    nodes, counts = [*hosts(value("NODELIST"))], [*tasks_per_node(value("TASKS_PER_NODE"))]
    if len(nodes) != len(counts):
        raise UsageError(f"Slurm names {len(nodes)} nodes, and tasks for {len(counts)}.")
    addresses = tuple(
        f"{node}:{first + index}" for node, count in zip(nodes, counts, strict=True) for index in range(count)
    )
    rank = int(environment["SLURM_PROCID"])
    if rank >= len(addresses):
        raise UsageError(f"Slurm counts {len(addresses)} tasks, and this one has the number {rank}.")
    return Cluster(addresses, rank)


def hosts(text: str) -> Iterator[str]:
    """The hosts of Slurm's `a[1-3,07],b`, in its order.

    Raises:
        UsageError: it is something else.
    """
    for part in re.split(r",(?![^\[]*\])", text):  # commas in brackets stay
        match = re.fullmatch(r"([^\[\]]*)(?:\[([^\]]+)\]([^\[\]]*))?", part)
        if not match:
            raise UsageError(f"SLURM_STEP_NODELIST={text!r} cannot be read.")
        before, ranges, behind = match[1], match[2], match[3] or ""
        if ranges is None:
            yield before
            continue
        for each in ranges.split(","):
            low, _, high = each.partition("-")
            if not (low.isdigit() and (high or low).isdigit()):
                raise UsageError(f"SLURM_STEP_NODELIST={text!r} cannot be read.")
            for number in range(int(low), int(high or low) + 1):
                yield f"{before}{number:0{len(low)}d}{behind}"


def tasks_per_node(text: str) -> Iterator[int]:
    """The numbers of Slurm's `2(x3),1`.

    Raises:
        UsageError: it is something else.
    """
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise UsageError(f"SLURM_STEP_TASKS_PER_NODE={text!r} cannot be read.")
        yield from [int(match[1])] * int(match[2] or 1)
