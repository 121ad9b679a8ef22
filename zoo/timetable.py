"""Which phase, epoch and batch a step belongs to.

Each phase passes through the data in epochs of its own, since its batches may be of another size than those
of the phase before: its first epoch begins with it, and its last one ends with it, however far it has come.
So the position in the data is a function of the step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from zoo.base import Phase, first_steps
from zoo.data import steps_per_epoch


@dataclasses.dataclass(frozen=True)
class Stretch:
    """The steps of one phase.

    Attributes:
        name: of the phase.
        start: its first step.
        stop: the first step of the next phase; None for the last one.
        batch_size: examples of a batch.
        steps_per_epoch: how many steps an epoch has.
        first_epoch: the number of its first epoch, from 0, counted over the whole run.
    """

    name: str
    start: int
    stop: int | None
    batch_size: int
    steps_per_epoch: int
    first_epoch: int


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a step stands.

    Attributes:
        stretch: of its phase.
        epoch: which, from 0, counted over the whole run.
        position: how many steps of the epoch come before it.
        left: how many steps of the epoch there are from it on.
    """

    stretch: Stretch
    epoch: int
    position: int
    left: int


class Timetable:
    """The steps of a run, by phase and epoch."""

    def __init__(
        self, phases: Sequence[Phase], examples: int, batch_size: int, every_row: bool = False
    ) -> None:
        """
        Args:
            phases: of the run, in order.
            examples: how many there are.
            batch_size: of the run; a phase may have less.
            every_row: whether an epoch has every example once; else its remainder is dropped.
        """
        starts = first_steps(phases)
        self.stretches: list[Stretch] = []
        #: How many steps all phases take together; None where the last one does not say.
        self.length = None if phases[-1].steps is None else starts[-1] + phases[-1].steps
        epoch = 0
        for phase, start, stop in zip(phases, starts, [*starts[1:], None], strict=True):
            rows = min(batch_size, phase.batch_size or batch_size)
            each = steps_per_epoch(examples, rows, every_row)
            self.stretches.append(Stretch(phase.name, start, stop, rows, each, epoch))
            epoch += 0 if stop is None else -(-(stop - start) // each)

    def at(self, step: int) -> Place:
        """Where the step after `step` others stands."""
        stretch = next(each for each in self.stretches if each.stop is None or step < each.stop)
        epochs, position = divmod(step - stretch.start, stretch.steps_per_epoch)
        end = step - position + stretch.steps_per_epoch
        return Place(
            stretch,
            stretch.first_epoch + epochs,
            position,
            (end if stretch.stop is None else min(end, stretch.stop)) - step,
        )

    def epochs(self, steps: int) -> float:
        """How many times `steps` steps pass through the data."""
        return sum(
            (min(steps, steps if each.stop is None else each.stop) - each.start) / each.steps_per_epoch
            for each in self.stretches
            if each.start < steps
        )

    def steps(self, epochs: int) -> int:
        """How many steps the first `epochs` epochs take; a phase's last one may be a short one."""
        stretch = next(each for each in reversed(self.stretches) if each.first_epoch <= epochs)
        found = stretch.start + (epochs - stretch.first_epoch) * stretch.steps_per_epoch
        return found if stretch.stop is None else min(found, stretch.stop)
