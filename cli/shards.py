"""Results in shards: the options that ask for them, and the work, here or on Ray."""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from zoo.cli.command import stacked
from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    from zoo.sharding import Source

log = logging.getLogger("gmzoo")

#: Said where --force is given with shards.
KEPT = "Shards that are there are never replaced: leave out --force, or choose another --out."

engine_options = stacked(
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Where the work is done: in this process, or by actors of a Ray cluster.",
    ),
    click.option(
        "--actors", type=click.IntRange(min=1), help="How many, on Ray.  [default: one a processor]"
    ),
)


def check_engine(engine: str, actors: int | None) -> None:
    """Refuses a number of actors where there are none."""
    if actors is not None and engine != "ray":
        raise UsageError("--actors goes with --engine ray.")


def shard_options(*forms: str) -> Callable[[Any], Any]:
    """The options of a command whose results can come in shards of these formats."""
    return stacked(
        engine_options,
        click.option(
            "--shard",
            metavar="I/N",
            help="Write shards into the folder --out, and of them the I-th part of N only, for array jobs.",
        ),
        click.option(
            "--shard-format",
            type=click.Choice(forms),
            help=f"Write shards into the folder --out, of this format.  [default: {forms[0]}]",
        ),
        click.option(
            "--shard-size",
            type=click.IntRange(min=1),
            help="Rows of a shard, a multiple of 64.  [default: 8192]",
        ),
    )


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What was asked for by `shard_options`."""

    engine: str
    actors: int | None
    shard: str | None
    shard_format: str | None
    shard_size: int | None

    @property
    def sharded(self) -> bool:
        """Whether the results come in shards."""
        return self.engine == "ray" or any((self.actors, self.shard, self.shard_format, self.shard_size))

    def part(self) -> tuple[int, int]:
        """Which part of how many is to be made.

        Raises:
            UsageError: it is none.
        """
        from zoo.cli.inputs import parse_part

        return parse_part(self.shard) if self.shard else (1, 1)

    def folder(self, out: str | None) -> Path:
        """Where shards go, before any work is done.

        Raises:
            UsageError: it is no folder, or none was named.
        """
        from zoo.cli import output

        if out is None or output.ending(out) != output.FOLDER or Path(out).is_file():
            raise UsageError("Shards go into a folder: name it by --out, as in --out samples/")
        check_engine(self.engine, self.actors)
        output.check_writable(Path(out))
        self.part()  # what is wrong with it is told now
        return Path(out)


def make(
    wanted: Wanted,
    folder: Path,
    stem: str,
    rows: int,
    settings: Mapping[str, Any],
    source: Callable[[], Source],
    here: Source,
    form: str,
) -> bool:
    """Makes the shards that are missing, and tells how far it is.

    Args:
        wanted: how.
        folder: where.
        stem, rows, settings: of the job.
        source: opens what the rows come from; in every actor once.
        here: the same, opened in this process.
        form: the format where none is asked for.

    Returns:
        Whether all shards are there now.
    """
    from zoo import engines, sharding

    job = sharding.Job(
        folder.resolve(),  # actors on Ray have working directories of their own
        stem,
        rows,
        wanted.shard_size or sharding.SHARD_ROWS,
        wanted.shard_format or form,
        dict(settings),
    )
    job.begin()
    turn, parts = wanted.part()
    missing = job.missing((turn, parts))
    there = len(range(turn - 1, job.shards, parts)) - len(missing)
    if there:
        log.info("%d shards are there already: going on with %d", there, len(missing))
    made: Iterator[int] = (
        engines.make(job, missing, source, wanted.actors)
        if wanted.engine == "ray"
        else sharding.make(job, missing, here)
    )
    total = sum(stop - start for start, stop in map(job.span, missing))
    done = 0
    for count in made:
        done += count
        log.info("%s of %s rows", f"{done:,}", f"{total:,}")
    manifest = job.finish()
    if not manifest["complete"]:
        log.info("%d of %d shards of %s are there", len(manifest["shards"]), job.shards, folder)
    return bool(manifest["complete"])
