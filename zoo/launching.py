"""Starts several processes on this machine that train together, looks after them, and starts them again.

All workers stop when one is lost. What trained with them is in the newest checkpoint, so starting all of them
again with the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from zoo import cluster
from zoo.cluster import Cluster

#: How long the others have to end by themselves when one is lost, or when the chief is done.
GRACE_SECONDS = 15.0
LOOK_SECONDS = 0.05

Told = Callable[[int, str], None]


def gmzoo() -> list[str]:
    """What runs this command in another process."""
    program = Path(sys.argv[0])
    if program.stem == "gmzoo" and program.is_file():
        return [sys.executable, str(program)]
    return [sys.executable, "-P", "-c", "from zoo.cli.main import main; main()"]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in opened]


def gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that may be used here: two processes cannot train on one."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        return [each for each in environment["CUDA_VISIBLE_DEVICES"].split(",") if each not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    done = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return [str(index) for index, _ in enumerate(filter(None, done.stdout.splitlines()))]


def devices(index: int, count: int, found: Sequence[str]) -> dict[str, str]:
    """Which GPUs a worker sees: all workers as many; none where there is not one for each."""
    each = len(found) // count
    return {"CUDA_VISIBLE_DEVICES": ",".join(found[index * each : (index + 1) * each])} if found else {}


class Group:
    """Workers that run at the same time."""

    def __init__(self, command: Sequence[str], count: int, told: Told) -> None:
        """
        Args:
            command: of each.
            count: how many.
            told: is given the number of a worker and each line that it prints; -1 where none of them says it.
        """
        self.told = told
        addresses = tuple(f"localhost:{port}" for port in free_ports(count))
        found = gpus()
        self.processes = [
            subprocess.Popen(
                command,
                # Ctrl-C in a terminal goes to the whole group: here it is passed on once.
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={
                    **os.environ,
                    **devices(index, count, found),
                    cluster.TF_CONFIG: Cluster(addresses, index).tf_config,
                    "PYTHONUNBUFFERED": "1",
                },
            )
            for index in range(count)
        ]
        self.readers = []
        for index, process in enumerate(self.processes):
            told(-1, f"worker {index} is process {process.pid}")
            reader = threading.Thread(target=self._read, args=(index, process.stdout), daemon=True)
            reader.start()
            self.readers.append(reader)

    def _read(self, index: int, output: IO[str]) -> None:
        for line in output:
            self.told(index, line.rstrip("\n"))

    def send(self, signum: int) -> None:
        """Passes a signal on to all that run."""
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signum)

    def wait(self) -> list[int]:
        """The exit codes of all, the negative number of the signal of one that was killed.

        When one has failed, or the chief is done, the others get `GRACE_SECONDS`.
        """
        until = None
        while any(process.poll() is None for process in self.processes):
            ended = any(process.poll() for process in self.processes) or self.processes[0].poll() == 0
            if ended and until is None:
                until = time.monotonic() + GRACE_SECONDS
            if until is not None and time.monotonic() > until:
                # What was killed here says nothing of what went wrong.
                codes = [process.poll() for process in self.processes]
                self.kill()
                return [1 if code is None else code for code in codes]
            time.sleep(LOOK_SECONDS)
        self._drain()
        return [process.wait() for process in self.processes]

    def kill(self) -> None:
        """Ends those that still run, at once."""
        self.send(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self._drain()

    def _drain(self) -> None:
        for reader in self.readers:
            reader.join(GRACE_SECONDS)


def launch(command: Sequence[str], count: int, restarts: int, told: Told) -> int:
    """Runs workers until they are done, and again where one of them was killed.

    SIGINT and SIGTERM are passed on to them: they save, and end.

    Args:
        command: of each worker; it finds the others by its TF_CONFIG.
        count: how many.
        restarts: how often they are started again.
        told: as in `Group`.

    Returns:
        The exit code of the chief; 128 and the number of the signal where it was killed.
    """
    heard: list[int] = []
    group: Group | None = None

    def pass_on(signum: int, frame: Any) -> None:
        heard.append(signum)
        if group is not None:
            group.send(signum)

    with _handling(pass_on):
        while True:
            group = Group(command, count, told)
            try:
                codes = group.wait()
            finally:
                group.kill()
            killed = [index for index, code in enumerate(codes) if code < 0]
            if heard or not killed or restarts == 0:
                return 128 - codes[0] if codes[0] < 0 else codes[0]
            restarts -= 1
            names = ", ".join(f"worker {index} (signal {-codes[index]})" for index in killed)
            told(-1, f"killed: {names}; all are started again, {restarts} more times if need be")


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, kept in before.items():
            signal.signal(each, kept)
