"""The recursion over rows and diagonals: equal to the naive one, in value and in gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.pixel_lstm import Sweep, advance, diagonals, rearrange, rows, skew, states, unskew

BATCH, UNITS = 2, 3
SHAPES = [(3, 4), (4, 2), (1, 3), (3, 1)]
SWEEPS = {
    "rows of 3": lambda height, width: rows(height, width, 3),
    "rows of 5": lambda height, width: rows(height, width, 5),
    "diagonals": diagonals,
}


def read_from(name: str, i: int, j: int) -> list[tuple[int, int]]:
    """The pixels whose states the state of pixel (i, j) reads, by the definition of the layer."""
    if name == "diagonals":
        return [(i, j - 1), (i - 1, j)]
    side = 1 if name == "rows of 3" else 2
    return [(i - 1, j + shift) for shift in range(-side, side + 1)]


def naive(name: str, gates, kernel, state, cell, sweep: Sweep) -> tf.Tensor:
    """Pixel by pixel, in raster order, as the equation stands; [N, B, h] in the order of the sweep."""
    height, width = sweep.place.shape
    start = (tf.broadcast_to(state, (BATCH, UNITS)), tf.broadcast_to(cell, (BATCH, UNITS)))
    found = {}
    for i, j in np.ndindex(height, width):
        read = tf.concat([found.get(pixel, start)[0] for pixel in read_from(name, i, j)], -1)
        before = found.get((i, j - 1) if name == "diagonals" else (i - 1, j), start)[1]
        found[i, j] = advance(gates[sweep.place[i, j]] + read @ kernel, before)
    order = sorted(found, key=lambda pixel: sweep.place[pixel])
    return tf.stack([found[pixel][0] for pixel in order])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SWEEPS)
def test_values_and_gradients_are_those_of_the_naive_recursion(name, shape):
    sweep = SWEEPS[name](*shape)
    random = np.random.default_rng(0)
    sizes = [(sweep.place.size, BATCH, 4 * UNITS), (len(sweep.taps) * UNITS, 4 * UNITS), (UNITS,), (UNITS,)]
    values = [tf.constant(random.normal(size=size).astype(np.float32)) for size in sizes]
    weighting = random.normal(size=(sweep.place.size, BATCH, UNITS)).astype(np.float32)

    @tf.function(autograph=False)
    def both(values):
        results = []
        for function in (states, lambda *given: naive(name, *given)):
            with tf.GradientTape() as tape:
                tape.watch(values)
                output = function(*values, sweep)
                loss = tf.reduce_sum(output * weighting)
            results.append([output, *tape.gradient(loss, values)])
        return results

    for ours, theirs in zip(*both(values), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert np.abs(theirs).max() > 0.01


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SWEEPS)
def test_unskewing_gives_the_skewed_image_back(name, shape):
    sweep = SWEEPS[name](*shape)
    image = np.random.default_rng(0).normal(size=(BATCH, *shape, 2)).astype(np.float32)
    np.testing.assert_array_equal(unskew(skew(tf.constant(image), sweep), sweep), image)


def test_a_skewed_image_has_its_diagonals_one_after_another():
    image = tf.constant(np.arange(12.0, dtype=np.float32).reshape(1, 3, 4, 1))
    order = skew(image, diagonals(3, 4))[:, 0, 0]
    np.testing.assert_array_equal(order, [0, 1, 4, 2, 5, 8, 3, 6, 9, 7, 10, 11])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_step_reads_only_states_of_steps_before(shape):
    for make in SWEEPS.values():
        sweep = make(*shape)
        step = np.repeat(np.arange(len(sweep.length)), sweep.length)
        assert sorted(sweep.place.reshape(-1)) == list(range(sweep.place.size))
        for source in sweep.sources:
            read = source < sweep.place.size
            assert (step[source[read]] < step[read]).all()


def test_what_is_rearranged_has_the_gradient_of_a_permutation():
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    index, back = np.array([4, 2, 0, 1]), np.array([2, 3, 1, 4])  # the last place goes nowhere
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = rearrange(x, index, back)
        loss = tf.reduce_sum(y * tf.constant([[1.0], [2.0], [3.0], [4.0]]))
    np.testing.assert_array_equal(y, np.concatenate([x, np.zeros((1, 2))])[index])
    np.testing.assert_array_equal(tape.gradient(loss, x), [[3.0] * 2, [4.0] * 2, [2.0] * 2, [0.0] * 2])
