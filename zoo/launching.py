"""Starts several processes on this machine that train together, looks after them, and starts them again.

All workers stop when one is lost. What trained with them is in the newest checkpoint, so starting all of them
again with the same command goes on from there.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from zoo import cluster
from zoo.cluster import STARTED_BY, Cluster

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
    if done.returncode:  # it says why, a line for which there is no GPU
        return []
    return [str(index) for index, _ in enumerate(filter(None, done.stdout.splitlines()))]


def devices(index: int, count: int, found: Sequence[str]) -> dict[str, str]:
    """Which GPUs a worker sees: all workers as many; none where there is not one for each."""
    each = len(found) // count
    return {"CUDA_VISIBLE_DEVICES": ",".join(found[index * each : (index + 1) * each])} if found else {}


def begin(
    command: Sequence[str], environment: Mapping[str, str], folder: str | None = None
) -> subprocess.Popen[str]:
    """Starts a worker, whose lines are read from its stdout."""
    return subprocess.Popen(
        command,
        # Ctrl-C in a terminal goes to the whole group: here it is passed on once.
        start_new_session=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
    )


def follow(process: subprocess.Popen[str], heard: Callable[[str], None]) -> threading.Thread:
    """Gives each line that a worker prints to a function, in a thread of its own."""

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                heard(line.rstrip("\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def resuming(words: Sequence[str]) -> list[str]:
    """The words of a command as they go on with a run: `--new` would start afresh."""
    return [word for word in words if word != "--new"]


def started_by(words: Sequence[str]) -> dict[str, str]:
    """What workers find in their environment of the words behind `gmzoo` that start, and go on with, all."""
    return {STARTED_BY: shlex.join(["gmzoo", *resuming(words)])}


class Group(abc.ABC):
    """Workers that run at the same time."""

    def __init__(self, told: Told) -> None:
        """
        Args:
            told: is given the number of a worker and each line that it prints; -1 where none of them says it.
        """
        self.told = told

    @abc.abstractmethod
    def codes(self) -> list[int | None]:
        """The exit code of each, the negative number of the signal of one that was killed; None: it runs."""

    @abc.abstractmethod
    def send(self, signum: int) -> None:
        """Passes a signal on to all that run."""

    @abc.abstractmethod
    def close(self) -> None:
        """Lets go of what all of them had, when none runs."""

    @final
    def wait(self) -> list[int]:
        """The exit codes of all. When one fails, or the chief is done, the others get `GRACE_SECONDS`."""
        until = None
        while None in (codes := self.codes()):
            if until is None and (any(codes) or codes[0] == 0):
                until = time.monotonic() + GRACE_SECONDS
            if until is not None and time.monotonic() > until:
                self.kill()
                break  # what was killed here says nothing of what went wrong
            time.sleep(LOOK_SECONDS)
        return [1 if code is None else code for code in codes]

    @final
    def kill(self) -> None:
        """Ends those that still run, at once."""
        self.send(signal.SIGKILL)
        until = time.monotonic() + GRACE_SECONDS
        while None in self.codes() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)


class LocalGroup(Group):
    """Workers on this machine, each with its share of the GPUs."""

    def __init__(
        self, command: Sequence[str], count: int, told: Told, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(told)
        addresses = tuple(f"localhost:{port}" for port in free_ports(count))
        found = gpus()
        self.processes, self.readers = [], []
        try:
            for index in range(count):
                tf_config = {cluster.TF_CONFIG: Cluster(addresses, index).tf_config}
                process = begin(command, {**(environment or {}), **devices(index, count, found), **tf_config})
                told(-1, f"worker {index} is process {process.pid}")
                self.processes.append(process)
                self.readers.append(follow(process, functools.partial(told, index)))
        except BaseException:
            self.kill()
            raise

    def codes(self) -> list[int | None]:
        return [process.poll() for process in self.processes]

    def send(self, signum: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signum)

    def close(self) -> None:
        for process, reader in zip(self.processes, self.readers, strict=True):
            process.wait()
            reader.join(GRACE_SECONDS)


def launch(start: Callable[[bool], Group], restarts: int) -> int:
    """Runs workers until they are done, and again where one of them was killed.

    SIGINT and SIGTERM are passed on to them: they save, and end.

    Args:
        start: starts all of them; it is told whether for the first time.
        restarts: how often they are started again.

    Returns:
        The exit code of the chief; 128 and the number of the signal where it was killed.
    """
    heard: list[int] = []
    group: Group | None = None

    def pass_on(signum: int, frame: Any) -> None:
        heard.append(signum)
        if group is not None:
            group.send(signum)

    fresh = True
    with _handling(pass_on):
        while True:
            group = start(fresh)
            fresh = False
            for signum in heard:  # while they were started
                group.send(signum)
            try:
                codes = group.wait()
            finally:
                group.kill()
                group.close()
            killed = [index for index, code in enumerate(codes) if code < 0]
            if heard or not killed or restarts == 0:
                return 128 - codes[0] if codes[0] < 0 else codes[0]
            restarts -= 1
            names = ", ".join(f"worker {index} (signal {-codes[index]})" for index in killed)
            group.told(-1, f"killed: {names}; all are started again, {restarts} more times if need be")
            group = None


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, kept in before.items():
            signal.signal(each, kept)
