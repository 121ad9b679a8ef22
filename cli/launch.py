"""`gmzoo launch`."""

from __future__ import annotations

import sys

import click

from zoo.cli.command import Command
from zoo.errors import UsageError


@click.command("launch", cls=Command, context_settings={"ignore_unknown_options": True})
@click.option("--workers", type=click.IntRange(min=1), required=True, help="How many.")
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How often all are started again when one was killed.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where they run: on this machine, or on those of a Ray cluster (RAY_ADDRESS).",
)
@click.argument("line", nargs=-1, type=click.UNPROCESSED, metavar="-- train NAME [OPTIONS]")
def command(workers: int, restarts: int, engine: str, line: tuple[str, ...]) -> None:
    """Start several workers that train one model together.

    It tries out what a cluster does (--strategy multi-worker), and gives each worker its share of the GPUs.
    What they say comes with the number of the worker before it; 0 is the chief, the only one that writes.
    When a worker is killed all stop, and are started again: the run goes on from its newest checkpoint.
    Ctrl-C and SIGTERM are passed on. The exit code is that of the chief.

        gmzoo launch --workers 2 -- train dcgan
        gmzoo launch --workers 4 --restarts 10 -- train vae --preset mnist --batch-size 512
        gmzoo launch --engine ray --workers 8 -- train dcgan --batch-size 1024 --runs-dir /shared/runs
    """
    from zoo.launching import LocalGroup, gmzoo, launch, resuming, started_by

    first = [*gmzoo(), *training(line)]
    environment = started_by(sys.argv[1:])
    again = resuming(first)
    if engine == "local":
        sys.exit(
            launch(lambda fresh: LocalGroup(first if fresh else again, workers, tell, environment), restarts)
        )
    from zoo import engines

    with engines.cluster() as ray:
        code = launch(
            lambda fresh: engines.HostGroup(ray, first if fresh else again, workers, tell, environment),
            restarts,
        )
    sys.exit(code)


def training(line: tuple[str, ...]) -> list[str]:
    """The command of each worker.

    Raises:
        UsageError: it is no training, or one under another strategy.
    """
    if not line or line[0] != "train":
        raise UsageError("gmzoo launch starts a training; try: gmzoo launch --workers 2 -- train dcgan")
    asked = [word for word in line if word == "--strategy" or word.startswith("--strategy=")]
    if asked:
        raise UsageError("gmzoo launch trains with --strategy multi-worker: leave out --strategy.")
    return [*line, "--strategy", "multi-worker"]


def tell(worker: int, text: str) -> None:
    """Prints a line of a worker, or one of our own."""
    click.echo(text if worker < 0 else f"[{worker}] {text}", err=True)
