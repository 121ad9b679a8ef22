"""Long work on the screen: a bar with the time left in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.cli.startup import Lines

if TYPE_CHECKING:
    from rich.progress import Progress

#: Seconds between two plain lines, and before a bar that may not be worth it appears.
LINE_SECONDS = 10.0
#: What a term weighs in the mean of the last steps that is shown.
SMOOTHING = 0.02


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _in_terminal() -> bool:
    return bool(sys.stderr) and sys.stderr.isatty()


@contextlib.contextmanager
def _bar(*columns: Any, transient: bool) -> Iterator[Progress]:
    """A Rich progress display on stderr; the library's messages appear above it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    before = Lines.write
    with Progress(*columns, console=console, transient=transient, refresh_per_second=4) as bar:
        Lines.write = staticmethod(lambda text: console.print(text, markup=False, highlight=False))
        try:
            yield bar
        finally:
            Lines.write = before


def follow(pieces: Iterable[np.ndarray], total: int, doing: str) -> Iterator[np.ndarray]:
    """Passes pieces on and shows how many rows have come.

    Args:
        pieces: arrays [.., ...] with `total` rows in all.
        total: how many rows there will be.
        doing: what is done, as in `sampling`.
    """
    if _in_terminal():
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with _bar(*columns, transient=True) as bar:
            task = bar.add_task(doing, total=total)
            for piece in pieces:
                yield piece
                bar.advance(task, len(piece))
        return
    begun = told = time.monotonic()
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        now = time.monotonic()
        if now - told > LINE_SECONDS and done < total:
            told = now
            left = (now - begun) / done * (total - done)
            Lines.write(f"{doing}: {done:,} of {total:,}, {duration(left)} left")


class TrainingProgress:
    """Shows a training run: losses, examples a second, time left. The library calls the methods."""

    def __init__(self) -> None:
        self.display = contextlib.ExitStack()
        self.bar: Progress | None = None
        self.means: dict[str, float] = {}
        self.total = self.done = self.examples = 0
        self.seconds_per_step = math.nan
        self.last = self.told = time.monotonic()

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.display.close()

    def start(self, total_steps: int, start_step: int, examples_per_step: int, title: str) -> None:
        """
        Args:
            total_steps: of the whole run.
            start_step: those done before.
            examples_per_step: the batch.
            title: what is trained on what.
        """
        self.total, self.done, self.examples = total_steps, start_step, examples_per_step
        self.last = self.told = time.monotonic()
        self.message(title)
        if _in_terminal():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

            columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
            self.bar = self.display.enter_context(_bar(*columns, transient=False))
            self.task = self.bar.add_task("", total=total_steps, completed=start_step)

    def step(self, step: int, logs: Mapping[str, float]) -> None:
        """After a step: `step` counts those done, `logs` holds its terms."""
        now = time.monotonic()
        # The first step of a sitting traces the graph, and says nothing of the pace.
        took = now - self.last
        if self.done and self.means:
            pace = self.seconds_per_step
            self.seconds_per_step = took if math.isnan(pace) else pace + SMOOTHING * (took - pace)
        for name, value in logs.items():
            mean = self.means.get(name, value)
            self.means[name] = mean + SMOOTHING * (value - mean)
        self.last, self.done = now, step
        if self.bar is not None:
            shown = self._pace() if step < self.total else f"{terms(self.means)}  measuring and exporting"
            self.bar.update(self.task, completed=step, description=shown)
        elif now - self.told > LINE_SECONDS:
            self.told = now
            self.message(f"step {step:,} of {self.total:,}  {self._pace()}")

    def epoch(self, epoch: int, summary: Mapping[str, float]) -> None:
        """After an epoch: what was measured on the validation split."""
        self.told = time.monotonic()
        self.message(
            f"epoch {epoch}  step {self.done:,} of {self.total:,}  {terms({**self.means, **summary})}"
        )
        self.last = time.monotonic()  # measuring is not training

    def message(self, text: str) -> None:
        Lines.write(text)

    def finish(self, summary: Mapping[str, float]) -> None:
        self.display.close()

    def _pace(self) -> str:
        if math.isnan(self.seconds_per_step):
            return terms(self.means)
        rate = self.examples / max(self.seconds_per_step, 1e-9)
        left = self.seconds_per_step * (self.total - self.done)
        return f"{terms(self.means)}  {rate:,.0f} examples/s  {duration(left)} left"


def terms(values: Mapping[str, float]) -> str:
    """`loss 0.693  kl 12.1`."""
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
