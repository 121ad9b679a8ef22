"""The pool of generated images: filled first, then half of all images exchanged, and nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.pool import ImagePool

SIZE, ROWS = 6, 4


def images(first: int, rows: int = ROWS) -> np.ndarray:
    """Images of 1x1 pixel that are numbers."""
    return np.arange(first, first + rows, dtype=np.float32).reshape(-1, 1, 1, 1)


def uniform(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed).random((2, rows), np.float32)
    return drawn[0], drawn[1]


@pytest.fixture(scope="module")
def call():
    """One trace for all pools of one size."""
    pools: dict[ImagePool, object] = {}

    def run(pool: ImagePool, *inputs: np.ndarray) -> np.ndarray:
        if pool not in pools:
            pools[pool] = tf.function(pool, autograph=False)
        return pools[pool](*map(tf.constant, inputs)).numpy()

    return run


def test_without_a_pool_every_image_comes_back():
    pool = ImagePool(0, (1, 1, 1))
    np.testing.assert_array_equal(pool(tf.constant(images(3)), *uniform(0)), images(3))
    assert pool.variables == []


def test_it_fills_up_first_and_then_exchanges_half(call):
    pool = ImagePool(SIZE, (1, 1, 1))
    assert not pool.trainable_variables
    given = [call(pool, images(start), *uniform(start)) for start in range(0, 8, ROWS)]
    np.testing.assert_array_equal(given[0], images(0))  # not full yet
    np.testing.assert_array_equal(given[1][:2], images(4)[:2])  # nor here
    assert int(pool.filled.numpy()) == SIZE
    came = swapped = 0
    known = {*range(8)}
    for start in range(8, 1008, ROWS):
        before = pool.images.numpy().ravel()
        swap, place = uniform(start)
        given = call(pool, images(start), swap, place).ravel()
        known |= {*range(start, start + ROWS)}
        came += ROWS
        swapped += int((given != images(start).ravel()).sum())
        # What is given back or kept is what came or was kept, each once.
        together = sorted([*given, *pool.images.numpy().ravel()])
        assert together == sorted([*before, *images(start).ravel()])
        np.testing.assert_array_equal(given[swap >= 0.5], images(start).ravel()[swap >= 0.5])
    assert swapped / came == pytest.approx(0.5, abs=0.06)


def test_images_leave_it_from_every_place_alike(call):
    pool = ImagePool(SIZE, (1, 1, 1))
    call(pool, images(0), *uniform(0))
    call(pool, images(4), *uniform(1))
    places = np.array([0.01, 0.3, 0.5, 0.9999999], np.float32)
    kept = pool.images.numpy().ravel()
    given = call(pool, images(100), np.zeros(ROWS, np.float32), places).ravel()
    np.testing.assert_array_equal(given, kept[[0, 1, 3, 5]])
    np.testing.assert_array_equal(pool.images.numpy().ravel()[[0, 1, 3, 5]], images(100).ravel())


def test_replicas_share_one_pool():
    """Two devices with two images each do what one does with all four."""
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        pool = ImagePool(SIZE, (1, 1, 1))
    alone = ImagePool(SIZE, (1, 1, 1))
    run = tf.function(lambda *inputs: strategy.run(pool, inputs), autograph=False)
    for start in range(0, 24, ROWS):
        inputs = (images(start), *uniform(start))
        halves = [
            strategy.experimental_distribute_values_from_function(
                lambda context, each=each: tf.constant(np.split(each, 2)[context.replica_id_in_sync_group])
            )
            for each in inputs
        ]
        given = np.concatenate([each.numpy() for each in strategy.experimental_local_results(run(*halves))])
        np.testing.assert_array_equal(given, alone(*map(tf.constant, inputs)))
        np.testing.assert_array_equal(np.asarray(pool.images), np.asarray(alone.images))
