"""Noise is a function of its seed and purpose, alike in any batch and on any replica, and follows its law."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from zoo.noise import Noise, RowNoise, StepNoise

ROWS = 4000


def rows(seeds) -> RowNoise:
    return RowNoise(tf.constant(np.asarray(seeds, np.int64)))


def in_graph(draw):
    """What `draw` returns, from a graph: a loop over rows is slow outside one."""
    return tf.nest.map_structure(lambda each: each.numpy(), tf.function(draw, autograph=False)())


@pytest.mark.parametrize("kind", ["normal", "uniform", "gumbel"])
def test_a_row_does_not_depend_on_its_batch(kind):
    def draw(seeds):
        return getattr(rows(seeds).fold(3), kind)("code", (2, 5)).numpy()

    together = draw([7, 0, 2**40, 7])
    assert together.shape == (4, 2, 5)
    for index, seed in enumerate([7, 0, 2**40, 7]):
        # The logarithms of gumbel round differently by their place in the processor's vectors.
        np.testing.assert_allclose(together[index], draw([seed])[0], rtol=1e-6 if kind == "gumbel" else 0)


def test_a_row_is_the_same_in_a_graph_of_unknown_batch():
    spec = tf.TensorSpec([None], tf.int64)
    graph = tf.function(lambda seeds: RowNoise(seeds).fold(1).normal("code", (3,)), input_signature=[spec])
    np.testing.assert_array_equal(
        graph(tf.range(5, dtype=tf.int64)), rows(range(5)).fold(1).normal("code", (3,))
    )


@pytest.mark.parametrize("replicas", [2, 4])
def test_the_rows_of_the_replicas_are_those_of_the_global_batch(replicas):
    def draw(**split):
        noise = StepNoise(3, 11, **split)
        return [
            each.numpy() for each in (noise.normal("code", (3,)), noise.fold(2).uniform("dropout", (2, 2)))
        ]

    whole = draw(rows=8)
    parts = [draw(rows=8 // replicas, replica=replica, replicas=replicas) for replica in range(replicas)]
    for index in range(2):
        np.testing.assert_array_equal(whole[index], np.concatenate([part[index] for part in parts]))


def sources() -> dict[str, Noise]:
    row, step = rows(range(ROWS)), StepNoise(0, 0, ROWS)
    return {
        "row": row,
        "row, next seeds": rows(range(ROWS, 2 * ROWS)),
        "row, round 0": row.fold(0),
        "row, round 1": row.fold(1),
        "row, rounds 0 0": row.fold(0).fold(0),
        "row, rounds 0 1": row.fold(0).fold(1),
        "row, rounds 1 0": row.fold(1).fold(0),
        "step": step,
        "step, next step": StepNoise(0, 1, ROWS),
        "step, next seed": StepNoise(1, 0, ROWS),
        "step, round 0": step.fold(0),
        "step, rounds 0 1": step.fold(0).fold(1),
        "step, rounds 1 0": step.fold(1).fold(0),
    }


def test_purposes_seeds_steps_and_rounds_are_independent():
    def draw():
        return {
            (name, purpose): noise.normal(purpose, (2,))
            for name, noise in sources().items()
            for purpose in ("code", "dropout")
        }

    draws = in_graph(draw)
    # Two numbers of one row, too, are two draws.
    columns = {(*name, column): each[:, column] for name, each in draws.items() for column in range(2)}
    correlation = np.corrcoef(list(columns.values()))
    pairs = list(itertools.combinations(columns, 2))
    found = correlation[np.triu_indices(len(columns), 1)]
    limit = scipy.stats.norm.isf(1e-3 / len(pairs)) / np.sqrt(ROWS)
    worst = int(np.abs(found).argmax())
    assert abs(found[worst]) < limit, pairs[worst]
    # And they are as far from one another as chance makes them, not nearer to zero.
    assert found.std() == pytest.approx(1 / np.sqrt(ROWS), rel=0.1)


def test_neighbouring_seeds_are_independent():
    values = in_graph(lambda: rows(range(ROWS)).normal("code", (1,)))[:, 0]
    for lag in (1, 2, 10):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4 / np.sqrt(ROWS)


def test_keys_have_64_bits_so_that_steps_of_a_long_run_do_not_meet():
    keys = np.array([StepNoise(0, step, 1).fold(0).key[0] for step in range(50)])
    assert len(np.unique(keys)) == 50
    assert np.abs(keys.astype(np.float64)).max() > 2**60


@pytest.mark.parametrize(
    "make", [lambda: rows(range(ROWS)), lambda: StepNoise(5, 2, ROWS)], ids=["row", "step"]
)
@pytest.mark.parametrize(
    ("kind", "law"),
    [("normal", scipy.stats.norm), ("uniform", scipy.stats.uniform), ("gumbel", scipy.stats.gumbel_r)],
)
def test_draws_follow_their_law(make, kind, law):
    values = in_graph(lambda: getattr(make(), kind)("code", (5,)))
    assert scipy.stats.kstest(values.ravel(), law.cdf).pvalue > 0.01
    if kind == "uniform":
        assert values.min() >= 0.0
        assert values.max() < 1.0


class Extreme(Noise):
    """The smallest and the largest value that a float32 uniform in [0, 1) can have."""

    def normal(self, purpose, shape):
        raise NotImplementedError

    def uniform(self, purpose, shape):
        return tf.constant([0.0, np.nextafter(np.float32(1), np.float32(0))])

    def fold(self, index):
        return self


def test_gumbel_is_finite_at_the_ends_of_the_uniform():
    low, high = Extreme().gumbel("token", (2,)).numpy()
    assert np.isfinite([low, high]).all()
    assert low < -2.8
    assert high > 15.9


def test_the_largest_of_logits_and_gumbel_is_a_categorical_draw():
    logits = np.array([0.0, 1.0, -1.0, 2.0])
    drawn = in_graph(
        lambda: tf.argmax(logits.astype("float32") + rows(range(10_000)).gumbel("token", (4,)), -1)
    )
    expected = 10_000 * np.exp(logits) / np.exp(logits).sum()
    assert scipy.stats.chisquare(np.bincount(drawn, minlength=4), expected).pvalue > 0.01
