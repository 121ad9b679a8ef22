"""NADE's recursion in blocks: equal to the naive one, in value and in gradient, wherever it may run."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.nade import ACTIVATIONS, conditionals, draw

ROWS, D, H, OUTPUTS = 4, 11, 5, 2

# Blocks that do not divide D, that do, of one dimension, and longer than D.
BLOCKS = [1, 4, 11, 28]


def weights(dimensions: int = D, outputs: int = OUTPUTS) -> list[tf.Tensor]:
    random = np.random.default_rng(dimensions)
    shapes = [(dimensions, H), (H,), (dimensions, outputs, H)]
    return [tf.constant(random.normal(size=shape).astype(np.float32)) for shape in shapes]


def binary(density: float, dimensions: int = D) -> tf.Tensor:
    return tf.constant((np.random.default_rng(1).random((ROWS, dimensions)) < density).astype(np.float32))


def continuous() -> tf.Tensor:
    return tf.constant(np.random.default_rng(2).normal(size=(ROWS, D)).astype(np.float32))


# What the loss weighs each output with; XLA would draw other numbers from the same seed.
WEIGHTING = np.random.default_rng(3).normal(size=(ROWS, D, OUTPUTS)).astype(np.float32)
INPUTS = {"empty": binary(0.0), "sparse": binary(0.3), "full": binary(2.0), "continuous": continuous()}


def naive(x: tf.Tensor, W: tf.Tensor, c: tf.Tensor, V: tf.Tensor, activation: str) -> tf.Tensor:
    """Each state from all the values before it."""
    act, _ = ACTIVATIONS[activation]
    seen = [act(c + x[:, :d] @ W[:d]) for d in range(W.shape[0])]
    return tf.stack([h @ tf.transpose(V[d]) for d, h in enumerate(seen)], 1)


def value_and_gradients(function, x: tf.Tensor, parameters: list[tf.Tensor]) -> list[tf.Tensor]:
    """The output, and the gradients of a weighted sum of it."""
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        output = function(x, *parameters)
        loss = tf.reduce_sum(output * WEIGHTING)
    return [output, *tape.gradient(loss, parameters)]


def assert_equal(ours: list[tf.Tensor], theirs: list[tf.Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("memory", ["stored", "recomputed"])
@pytest.mark.parametrize("kind", INPUTS)
def test_values_and_gradients_are_those_of_the_naive_recursion(kind, memory, activation):
    x, parameters = INPUTS[kind], weights()
    theirs = value_and_gradients(lambda *a: naive(*a, activation), x, parameters)
    for block in BLOCKS:
        for fixed_shapes in (False, True):
            ours = value_and_gradients(
                lambda *a, block=block, fixed_shapes=fixed_shapes: conditionals(
                    *a, activation=activation, memory=memory, fixed_shapes=fixed_shapes, block=block
                ),
                x,
                parameters,
            )
            assert_equal(ours, theirs)


@pytest.mark.parametrize("memory", ["stored", "recomputed"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_graph_compiled_or_not_gives_the_same(jit_compile, memory):
    x, parameters = INPUTS["sparse"], weights()

    @tf.function(jit_compile=jit_compile)
    def graph(x, *parameters):
        return value_and_gradients(
            lambda *a: conditionals(*a, memory=memory, fixed_shapes=jit_compile, block=4), x, list(parameters)
        )

    theirs = value_and_gradients(lambda *a: naive(*a, "sigmoid"), x, parameters)
    assert_equal(graph(x, *parameters), theirs)


def test_one_graph_takes_any_number_of_rows():
    parameters = weights()
    graph = tf.function(
        lambda x: conditionals(x, *parameters), input_signature=[tf.TensorSpec((None, D), tf.float32)]
    )
    for rows in (1, 3, 4):
        x = INPUTS["sparse"][:rows]
        np.testing.assert_allclose(graph(x), naive(x, *parameters, "sigmoid"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", ["stored", "recomputed"])
def test_gradients_are_finite_differences(memory):
    x, parameters = INPUTS["sparse"], weights()
    *_, W_gradient, c_gradient, V_gradient = value_and_gradients(
        lambda *a: conditionals(*a, memory=memory, block=4), x, parameters
    )

    # A sum in float64 of the naive recursion, so that a small step is not lost in rounding.
    exact = [tf.cast(parameter, tf.float64) for parameter in parameters]

    def loss(*parameters):
        return float(tf.reduce_sum(naive(tf.cast(x, tf.float64), *parameters, "sigmoid") * WEIGHTING))

    step = 1e-5
    for which, gradient in enumerate([W_gradient, c_gradient, V_gradient]):
        for place in np.random.default_rng(which).choice(gradient.numpy().size, 5, replace=False):
            change = np.zeros(gradient.numpy().size)
            change[place] = step
            change = change.reshape(gradient.shape)
            up = [p + change if i == which else p for i, p in enumerate(exact)]
            down = [p - change if i == which else p for i, p in enumerate(exact)]
            slope = (loss(*up) - loss(*down)) / (2 * step)
            assert gradient.numpy().flat[place] == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_a_value_changes_no_parameter_at_its_place_or_before():
    parameters = weights()
    x = INPUTS["sparse"].numpy()
    before = conditionals(tf.constant(x), *parameters, block=4).numpy()
    for d in range(D):
        changed = x.copy()
        changed[:, d] = 1 - changed[:, d]
        after = conditionals(tf.constant(changed), *parameters, block=4).numpy()
        np.testing.assert_allclose(after[:, : d + 1], before[:, : d + 1], atol=1e-6)
        if d + 1 < D:
            assert np.abs(after[:, d + 1 :] - before[:, d + 1 :]).max() > 1e-3


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_what_is_drawn_passes_its_own_thresholds(rows, block, activation):
    W, c, V = weights(outputs=1)
    thresholds = tf.random.stateless_normal((rows, D), (5, rows))
    x = draw(thresholds, W, c, V[:, 0], activation=activation, block=block)
    outputs = conditionals(x, W, c, V, activation=activation)[:, :, 0]
    np.testing.assert_array_equal(x, tf.cast(outputs > thresholds, tf.float32))
    assert set(np.unique(x)) <= {0.0, 1.0}


def test_blocks_without_a_1_are_passed_over_but_those_after_them_are_drawn():
    W, c, V = weights(outputs=1)
    never, always = np.inf, -np.inf
    wanted = np.zeros((3, D), np.float32)
    wanted[1, 8:] = wanted[2, 10] = 1.0
    thresholds = tf.constant(np.where(wanted > 0, always, never).astype(np.float32))
    np.testing.assert_array_equal(draw(thresholds, W, c, V[:, 0], block=4), wanted)


def test_a_row_is_drawn_alone_as_in_a_batch():
    W, c, V = weights(outputs=1)
    thresholds = tf.random.stateless_normal((5, D), (7, 8))
    together = draw(thresholds, W, c, V[:, 0]).numpy()
    for row in range(5):
        np.testing.assert_array_equal(draw(thresholds[row : row + 1], W, c, V[:, 0])[0], together[row])
