"""Which phase, epoch and batch a step belongs to: by hand, and against a walk through all steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.base import Phase, first_steps
from zoo.data.order import rows_of_step
from zoo.timetable import Timetable

PHASES = (Phase("first", 5, batch_size=2), Phase("second", 3), Phase("third", 4))


def test_each_phase_passes_through_the_data_in_epochs_of_its_own():
    table = Timetable(PHASES, 10, 4)
    places = [table.at(step) for step in range(16)]
    assert [place.stretch.name for place in places] == ["first"] * 5 + ["second"] * 3 + ["third"] * 8
    assert [place.stretch.batch_size for place in places] == [2] * 5 + [4] * 11
    assert [place.epoch for place in places] == [0] * 5 + [1, 1, 2] + [3, 3, 4, 4, 5, 5, 6, 6]
    assert [place.position for place in places] == [0, 1, 2, 3, 4, 0, 1, 0] + [0, 1] * 4
    assert [place.left for place in places] == [5, 4, 3, 2, 1, 2, 1, 1] + [2, 1] * 4
    assert table.length == 12
    assert [table.steps(epochs) for epochs in range(6)] == [0, 5, 7, 8, 10, 12]
    assert [table.epochs(steps) for steps in (3, 5, 8, 9)] == [0.6, 1.0, 2.5, 3.0]


def test_a_run_of_one_phase_has_plain_epochs():
    table = Timetable([Phase()], 10, 4)
    assert table.length is None
    for step in range(7):
        place = table.at(step)
        assert (place.epoch, place.position, place.left) == (step // 2, step % 2, 2 - step % 2)
    assert (table.steps(3), table.epochs(5)) == (6, 2.5)
    assert Timetable([Phase()], 10, 4, every_row=True).steps(1) == 3


@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), min_size=1, max_size=4),
    st.integers(5, 12),
    st.integers(0, 40),
)
def test_steps_follow_one_another_and_epochs_count_them(phases, examples, steps):
    table = Timetable([Phase(str(i), n, batch_size=rows) for i, (n, rows) in enumerate(phases)], examples, 5)
    before = table.at(0)
    assert (before.epoch, before.position) == (0, 0)
    for step in range(1, steps):
        place = table.at(step)
        same = (before.epoch, before.position + 1, before.left - 1)
        assert (place.epoch, place.position, place.left) == (
            same if before.left > 1 else (before.epoch + 1, 0, place.left)
        )
        if place.position == 0:
            assert table.steps(place.epoch) == step
        before = place


def test_two_phases_never_read_one_epoch_in_the_same_order():
    table = Timetable((Phase("first", 3), Phase("second", 3)), 8, 4)
    orders = []
    for start in (0, 2, 3, 5):  # the first epoch of the first phase is whole, its second one half
        stretch = table.at(start).stretch
        steps = rows_of_step(8, 4, 7, start - stretch.start, first_epoch=stretch.first_epoch)
        orders.append(np.concatenate([next(steps), next(steps)]).tolist())
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(8)) for order in orders)


def test_a_phase_without_steps_comes_last_or_not_at_all():
    assert first_steps((Phase("a", 2), Phase("b"))) == (0, 2)
    with pytest.raises(ValueError, match="every phase but the last one needs at least one step"):
        first_steps((Phase("a"), Phase("b", 2)))
