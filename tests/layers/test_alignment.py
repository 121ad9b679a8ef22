"""Shifts: correlations against a loop, and the way back to where a map was."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.layers.alignment import best_shift, correlations, moved, within

SIZE, MOST = 6, 2
SHIFTS = [(down, right) for down in range(-MOST, MOST + 1) for right in range(-MOST, MOST + 1)]


def maps(rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(random.normal(size=(rows, SIZE, SIZE, 2)).astype(np.float32) for _ in range(2))


def naive(x: np.ndarray, down: int, right: int) -> np.ndarray:
    found = np.zeros_like(x)
    for y in range(SIZE):
        for z in range(SIZE):
            if 0 <= y - down < SIZE and 0 <= z - right < SIZE:
                found[:, y, z] = x[:, y - down, z - right]
    return found


def test_moved_is_a_loop_over_places():
    x, _ = maps(len(SHIFTS))
    found = moved(tf.constant(x), tf.constant(SHIFTS), MOST).numpy()
    for row, shift in enumerate(SHIFTS):
        np.testing.assert_array_equal(found[row], naive(x[row : row + 1], *shift)[0])


def test_correlations_are_sums_of_products():
    a, b = maps()
    found = correlations(a, b, MOST).numpy().reshape(3, -1)
    expected = np.stack([(a * naive(b, *shift)).sum((1, 2, 3)) for shift in SHIFTS], 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_nothing_is_moved_out():
    held = np.zeros((3, SIZE, SIZE), bool)
    held[0, 1:5, 2:3] = True
    held[1, 0, 5] = True
    found = within(tf.constant(held), MOST).numpy().reshape(3, -1)
    for row in range(2):
        kept = [naive(held[..., None], *shift)[row].sum() == held[row].sum() for shift in SHIFTS]
        assert found[row].tolist() == kept
    assert [SHIFTS[index] for index in np.flatnonzero(found[2])] == [(0, 0)]


def test_the_best_shift_leads_back():
    held = np.zeros((len(SHIFTS), SIZE, SIZE), bool)
    held[:, 2:4, 2:4] = True
    target = held[..., None] * maps(len(SHIFTS))[0]
    made = moved(tf.constant(target), tf.constant(SHIFTS), MOST)
    found = best_shift(tf.constant(target), 0.3 * made, tf.constant(held), MOST)
    np.testing.assert_array_equal(found, SHIFTS)
    # It is the nearest of all.
    other = maps(len(SHIFTS))[1]
    found = best_shift(tf.constant(target), tf.constant(other), tf.constant(held), MOST).numpy()
    away = np.stack([((naive(target, *shift) - other) ** 2).sum((1, 2, 3)) for shift in SHIFTS], 1)
    assert [SHIFTS[index] for index in away.argmin(1)] == [tuple(shift) for shift in found.tolist()]
