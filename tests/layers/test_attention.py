"""Attention is what equation 1 says; it sees what it may see; step by step it gives what it gives at once."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.attention import BLOCK, Attention, attend, attention_weights
from zoo.layers.transformer import Block, gelu, sinusoids
from zoo.noise import StepNoise

WIDTH, HEADS = 12, 3


def drawn(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape), tf.float32)


def layer(**options) -> Attention:
    keras.utils.set_random_seed(1)
    made = Attention(WIDTH, HEADS, name="attention", **options)
    made.build()
    for index, variable in enumerate(made.trainable_variables):
        variable.assign(drawn(*variable.shape, seed=index + 1))
    return made


def block(**options) -> Block:
    keras.utils.set_random_seed(2)
    made = Block(WIDTH, HEADS, 4 * WIDTH, name="block", **options)
    made.build()
    return made


def by_hand(query, key, value, allowed) -> np.ndarray:
    """Equation 1 in float64, one query at a time."""
    q, k, v = (np.asarray(x, np.float64) for x in (query, key, value))
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for b, h, t in np.ndindex(*q.shape[:-1]):
        seen = np.flatnonzero(allowed[b, t])
        if len(seen):
            scores = k[b, h, seen] @ q[b, h, t] / np.sqrt(q.shape[-1])
            weights = np.exp(scores - scores.max())
            out[b, h, t] = weights @ v[b, h, seen] / weights.sum()
    return out


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (3, 7), (1, 4), (2 * BLOCK + 50, 2 * BLOCK + 60)])
def test_attention_is_equation_1(queries, keys, masked, causal):
    query, key, value = drawn(2, 2, queries, 4), drawn(2, 2, keys, 4, seed=1), drawn(2, 2, keys, 3, seed=2)
    visible = np.random.default_rng(3).random((2, keys)) < 0.6
    places = np.arange(keys)[None, :] <= np.arange(queries)[:, None] + keys - queries
    allowed = np.broadcast_to(places if causal else True, (2, queries, keys))
    if masked:
        allowed = allowed & visible[:, None, :]
    found = attend(query, key, value, causal=causal, visible=tf.constant(visible) if masked else None)
    np.testing.assert_allclose(found, by_hand(query, key, value, allowed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(4, 6), (2 * BLOCK + 50, 2 * BLOCK + 60)])
def test_a_pattern_says_which_keys_a_query_sees(queries, keys, masked):
    query, key, value = drawn(2, 2, queries, 4), drawn(2, 2, keys, 4, seed=1), drawn(2, 2, keys, 3, seed=2)
    places = np.arange(keys)[None, :] - np.arange(queries)[:, None] - (keys - queries)  # 0: its own
    pattern = (places % 3 == 0) & (places <= 3)
    visible = np.random.default_rng(3).random((2, keys)) < 0.6
    for causal in (False, True):
        allowed = np.broadcast_to(pattern & (places <= 0) if causal else pattern, (2, queries, keys))
        if masked:
            allowed = allowed & visible[:, None, :]
        seen = tf.constant(visible) if masked else None
        found = attend(query, key, value, causal=causal, visible=seen, pattern=tf.constant(pattern))
        np.testing.assert_allclose(found, by_hand(query, key, value, allowed), rtol=1e-4, atol=1e-5)


def test_rows_sum_to_one_and_are_zero_where_they_must_be():
    query, key = drawn(2, HEADS, 6, 4), drawn(2, HEADS, 6, 4, seed=1)
    for causal in (False, True):
        weights = attention_weights(query, key, causal=causal).numpy()
        np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
        above = weights[..., np.triu(np.ones((6, 6), bool), 1)]
        assert (above == 0).all() if causal else (above > 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_sees_nothing_takes_nothing(causal):
    query, key, value = (drawn(3, 2, 4, 5, seed=seed) for seed in range(3))
    # Row 0 sees all, row 1 nothing; in row 2 nothing stands before the third place.
    visible = tf.constant([[True] * 4, [False] * 4, [False, False, True, True]])
    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        taken = attend(query, key, value, causal=causal, visible=visible)
    gradients = tape.gradient(taken, [query, key, value])
    weights = attention_weights(query, key, causal=causal, visible=visible).numpy()
    empty = [(1, slice(None)), (2, slice(0, 2))] if causal else [(1, slice(None))]
    for row, places in empty:
        assert (weights[row, :, places] == 0).all()
        assert (taken.numpy()[row, :, places] == 0).all()
        assert (gradients[0].numpy()[row, :, places] == 0).all()
    np.testing.assert_allclose(weights[0].sum(-1), 1.0, rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_half_precision_masks_without_overflow():
    query, key, value = (tf.cast(10.0 * drawn(1, 1, 4, 5, seed=seed), tf.float16) for seed in range(3))
    visible = tf.constant([[False, False, True, True]])
    assert np.isfinite(attend(query, key, value, causal=True, visible=visible)).all()


def test_the_layer_is_projections_around_attention():
    attention = layer()
    x = drawn(2, 5, WIDTH)
    W, b, W_out, b_out = (np.asarray(v.value, np.float64) for v in attention.trainable_variables)
    joint = (x.numpy() @ W + b).reshape(2, 5, 3, HEADS, WIDTH // HEADS)
    q, k, v = np.moveaxis(joint, (2, 3), (0, 2))
    taken = by_hand(q, k, v, np.ones((2, 5, 5), bool))
    expected = np.moveaxis(taken, 1, 2).reshape(2, 5, WIDTH) @ W_out + b_out
    np.testing.assert_allclose(attention(x)[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pieces", [[1] * 6, [2, 1, 3]])
def test_with_a_memory_it_gives_what_it_gives_at_once(pieces):
    attention = layer()
    x = drawn(2, 6, WIDTH)
    whole, (keys, values) = attention(x, causal=True)
    memory, parts = attention.empty_memory(2), []
    for part in tf.split(x, pieces, 1):
        taken, memory = attention(part, memory, causal=True)
        parts.append(taken)
    np.testing.assert_allclose(tf.concat(parts, 1), whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(memory[0], keys, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(memory[1], values, rtol=1e-4, atol=1e-4)


def test_padding_of_the_other_sequence_changes_nothing():
    attention = layer(cross=True)
    x, source = drawn(2, 5, WIDTH), drawn(2, 4, WIDTH, seed=1)
    longer = tf.concat([source, 100.0 * drawn(2, 3, WIDTH, seed=2)], 1)
    visible = tf.constant([[True] * 4 + [False] * 3] * 2)
    padded = attention(x, attention.remember(longer), visible=visible)[0]
    np.testing.assert_allclose(padded, attention(x, attention.remember(source))[0], rtol=1e-4, atol=1e-4)
    assert np.abs(attention(x, attention.remember(longer))[0] - padded).max() > 0.1


@pytest.mark.parametrize("post_norm", [False, True])
def test_without_places_a_block_moves_with_the_order(post_norm):
    layered = block(post_norm=post_norm)
    x = drawn(2, 6, WIDTH)
    order = [3, 0, 5, 1, 4, 2]
    moved = layered(tf.gather(x, order, axis=1))[0]
    np.testing.assert_allclose(moved, tf.gather(layered(x)[0], order, axis=1), rtol=1e-4, atol=1e-5)
    causal = layered(tf.gather(x, order, axis=1), causal=True)[0]
    assert np.abs(causal - tf.gather(layered(x, causal=True)[0], order, axis=1)).max() > 0.01


@pytest.mark.parametrize("post_norm", [False, True])
def test_a_causal_block_never_looks_ahead(post_norm):
    layered = block(post_norm=post_norm, cross=True)
    x, source = drawn(1, 6, WIDTH), layered.cross_attention.remember(drawn(1, 3, WIDTH, seed=1))
    before = layered(x, source=source, causal=True)[0].numpy()
    for place in range(6):
        changed = x.numpy()
        changed[:, place, 0] += 1.0
        after = layered(tf.constant(changed), source=source, causal=True)[0].numpy()
        np.testing.assert_array_equal(after[:, :place], before[:, :place])
        assert (np.abs(after - before)[:, place:].max(-1) > 1e-5).all()


def test_normalised_after_its_parts_a_block_gives_normalised_numbers():
    y = block(post_norm=True)(drawn(2, 4, WIDTH))[0].numpy()
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1.0, rtol=1e-3)
    assert np.abs(block()(drawn(2, 4, WIDTH))[0].numpy().std(-1) - 1.0).max() > 0.01


def test_dropout_is_a_function_of_the_step():
    layered = block(keep=0.5)
    x = drawn(4, 3, WIDTH)
    one, again, other = (layered(x, noise=StepNoise(0, step, 4))[0].numpy() for step in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1
    np.testing.assert_array_equal(layered(x)[0], block(keep=1.0)(x)[0])


def test_gelu_and_its_gradient():
    x = tf.linspace(-6.0, 6.0, 101)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = gelu(x), tf.nn.gelu(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), atol=1e-6)


def test_sinusoids_turn_by_the_distance():
    """A step of k places is a rotation, the same wherever it starts (section 3.5)."""
    waves = sinusoids(tf.range(50), 8).numpy().astype(np.float64)
    assert waves.shape == (50, 8)
    np.testing.assert_allclose(waves[0], [0, 1] * 4)
    np.testing.assert_allclose(waves[7, 2], np.sin(7 / 10000 ** (2 / 8)), rtol=1e-6)
    products = waves @ waves.T
    for k in range(10):
        np.testing.assert_allclose(np.diag(products, k), products[0, k], atol=1e-5)
    assert sinusoids(tf.range(5), 7).shape == (5, 7)
