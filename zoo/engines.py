"""Ray: shards, signatures and workers on the machines of a cluster, or on the cores of this one.

Ray is imported when it is asked for. Where no cluster is named (RAY_ADDRESS), one is started on this machine,
and none that happens to run is joined.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.cluster import TF_CONFIG, Cluster
from zoo.errors import UsageError, ZooError
from zoo.launching import Group, Told
from zoo.sharding import Job, Source, opened_late

#: How long workers wait for places on the cluster.
PLACING_SECONDS = 300
#: Read by Ray when it starts.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected; what was started here ends with the block.

    Raises:
        UsageError: it is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'gmzoo[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        ray.init(
            address=os.environ.get("RAY_ADDRESS") or "local",
            include_dashboard=None if os.environ.get("RAY_ADDRESS") else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def actors_for(ray: Any, wanted: int | None, work: int) -> int:
    """How many actors: as many as there are GPUs, else processors, and pieces of work."""
    found = ray.cluster_resources()
    return max(1, min(wanted or int(found.get("GPU", 0) or found.get("CPU", 1)), work))


def gpus_of_each(ray: Any) -> int | None:
    """What an actor that computes asks for: TensorFlow takes a whole GPU, where there are any."""
    return 1 if ray.cluster_resources().get("GPU", 0) >= 1 else None


class ShardMaker:
    """An actor that opens its source once, and writes shards."""

    def __init__(self, job: Job, source: Callable[[], Source]) -> None:
        self.job, self.source = job, opened_late(source)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        code, text = 0, ""
        try:
            for index in batch["id"].tolist():
                self.job.write(index, self.source(*self.job.span(index)))
        except ZooError as error:  # Ray would bring it back as one of its own
            code, text = error.exit_code, str(error)
        except (OSError, MemoryError) as error:
            code, text = 1, f"A worker of the cluster failed: {error or type(error).__name__}"
        return {**batch, "code": np.array([code]), "text": np.array([text], object)}


def make(
    job: Job, indices: Sequence[int], source: Callable[[], Source], actors: int | None = None
) -> Iterator[int]:
    """Makes shards on the cluster; gives how many rows each has, as they are written.

    A shard whose actor is lost is made again by another one.
    """
    if not indices:
        return
    with cluster() as ray:
        items = ray.data.from_items([{"id": index} for index in indices], override_num_blocks=len(indices))
        made = items.map_batches(
            ShardMaker,
            fn_constructor_args=(job, source),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=actors_for(ray, actors, len(indices))),
            num_gpus=gpus_of_each(ray),
        )
        for row in made.iter_rows():
            if row["code"]:
                raise {2: UsageError}.get(int(row["code"]), ZooError)(row["text"])
            start, stop = job.span(int(row["id"]))
            yield stop - start


# -- signatures --------------------------------------------------------------------------------------------


class SignatureRunner:
    """An actor that opens a SavedModel once, and runs one of its signatures on chunks."""

    def __init__(self, path: Path, signature: str, chunks: Sequence[Any]) -> None:
        """
        Args:
            path: of the SavedModel.
            signature: its name.
            chunks: references to the inputs of each chunk.
        """
        from zoo import sampling

        self.function = sampling.load(path).function(signature)
        self.chunks = chunks

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import ray
        import tensorflow as tf

        packed = []
        for index in batch["id"].tolist():
            inputs = ray.get(self.chunks[index])
            outputs = self.function(**{name: tf.constant(value) for name, value in inputs.items()})
            packed.append(pack({name: value.numpy() for name, value in outputs.items()}))
        return {"id": batch["id"], "outputs": np.array(packed, object)}


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as bytes; texts as fixed-width ones, which need no pickling."""
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v.astype("S") if v.dtype == object else v for k, v in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """What `pack` was given."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {
            name: arrays[name].astype(object) if arrays[name].dtype.kind == "S" else arrays[name]
            for name in arrays.files
        }


def spread(ray: Any, actors: int | None = None) -> Callable[..., Iterator[dict[str, np.ndarray]]]:
    """Runs chunks of a signature on the cluster, as `LoadedModel.elsewhere` does; in their order."""

    def run(
        path: Path, signature: str, chunks: Sequence[Mapping[str, np.ndarray]]
    ) -> Iterator[dict[str, np.ndarray]]:
        references = [ray.put(dict(each)) for each in chunks]
        count = len(references)
        items = ray.data.from_items([{"id": index} for index in range(count)], override_num_blocks=count)
        made = items.map_batches(
            SignatureRunner,
            fn_constructor_args=(path.resolve(), signature, references),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=actors_for(ray, actors, count)),
            num_gpus=gpus_of_each(ray),
        )
        waiting: dict[int, bytes] = {}
        following = 0
        for row in made.iter_rows():
            waiting[int(row["id"])] = row["outputs"]
            while following in waiting:
                yield unpack(waiting.pop(following))
                following += 1

    return run


# -- workers -----------------------------------------------------------------------------------------------


class Host:
    """An actor that runs one worker of multi-worker training on its machine."""

    def __init__(self) -> None:
        self.process: Any = None
        self.lines: list[str] = []

    def address(self) -> str:
        """Where the others will find this one."""
        import ray

        from zoo.launching import free_ports

        return f"{ray.util.get_node_ip_address()}:{free_ports(1)[0]}"

    def start(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> int:
        """Starts the worker; gives the number of its process."""
        from zoo.launching import begin, follow

        self.process = begin(command, environment, folder if os.path.isdir(folder) else None)
        self.reader = follow(self.process, self.lines.append)
        return int(self.process.pid)

    def look(self) -> tuple[list[str], int | None]:
        """The lines since the last look, and the exit code, None while it runs."""
        code = self.process.poll()
        if code is not None:
            self.reader.join()
        count = len(self.lines)  # another thread appends
        lines = self.lines[:count]
        del self.lines[:count]
        return lines, code

    def send(self, signum: int) -> None:
        """Passes a signal on."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)


class HostGroup(Group):
    """Workers on the machines of a cluster, each with as many GPUs as there are for each."""

    def __init__(
        self,
        ray: Any,
        command: Sequence[str],
        count: int,
        told: Told,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(told)
        self.ray = ray
        gpus = int(ray.cluster_resources().get("GPU", 0)) // count
        make = ray.remote(num_cpus=1, num_gpus=gpus, max_concurrency=2)(Host)
        self.hosts = [make.remote() for _ in range(count)]
        try:
            asked = [host.address.remote() for host in self.hosts]
            addresses = tuple(ray.get(asked, timeout=PLACING_SECONDS))
        except ray.exceptions.GetTimeoutError:
            have = int(ray.cluster_resources().get("CPU", 0))
            raise ZooError(
                f"The cluster, which has {have} processors, had no place for {count} workers within "
                f"{PLACING_SECONDS} s."
            ) from None
        self.found: list[int | None] = [None] * count
        none = {} if gpus else {"CUDA_VISIBLE_DEVICES": ""}  # two cannot train on one
        for index, host in enumerate(self.hosts):
            own = {**(environment or {}), **none, TF_CONFIG: Cluster(addresses, index).tf_config}
            number = ray.get(host.start.remote([*command], own, os.getcwd()))
            told(-1, f"worker {index} is process {number} at {addresses[index]}")

    def codes(self) -> list[int | None]:
        for index, host in enumerate(self.hosts):
            if self.found[index] is not None:
                continue
            try:
                lines, self.found[index] = self.ray.get(host.look.remote())
            except self.ray.exceptions.RayActorError:
                lines, self.found[index] = ["its machine is lost"], -signal.SIGKILL
            for line in lines:
                self.told(index, line)
        return [*self.found]

    def send(self, signum: int) -> None:
        for index, host in enumerate(self.hosts):
            if self.found[index] is None:
                host.send.remote(signum)

    def close(self) -> None:
        for host in self.hosts:
            self.ray.kill(host)
