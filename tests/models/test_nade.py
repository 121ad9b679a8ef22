"""NADE is a distribution: it sums to one, looks only back, and its sampler draws from it."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo.errors import UsageError
from zoo.models.nade import NADE, Config
from zoo.noise import RowNoise, StepNoise


def nade(spread: float = 1.5, **options) -> NADE:
    """A NADE with large random weights, so that its conditionals are far from 1/2 and from one another."""
    keras.utils.set_random_seed(4)
    model = NADE(Config(**{"image_shape": (2, 4, 1), "hidden_units": 6, **options}))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * spread)
    return model


def every_image(shape: tuple[int, int, int]) -> np.ndarray:
    """All 2^D binary images."""
    states = itertools.product([0.0, 1.0], repeat=int(np.prod(shape)))
    return np.array(list(states), np.float32).reshape(-1, *shape)


def images(model: NADE, rows: int = 5) -> np.ndarray:
    return (np.random.default_rng(6).random((rows, *model.config.image_shape)) < 0.5).astype(np.float32)


def counted(model: NADE, draws: int) -> np.ndarray:
    """How often each of the images of 6 pixels is drawn, in the order of `every_image`."""
    graph = tf.function(lambda seeds: model.sample(RowNoise(seeds)))
    drawn = graph(tf.range(draws, dtype=tf.int64)).numpy().reshape(draws, 6)
    return np.bincount((drawn @ 2 ** np.arange(5, -1, -1)).astype(int), minlength=64)


ORDERINGS = [{"ordering": "raster"}, *({"ordering": "random", "ordering_seed": seed} for seed in range(4))]


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("ordering", ORDERINGS, ids=str)
def test_the_probabilities_of_all_images_sum_to_one(ordering, activation):
    model = nade(activation=activation, **ordering)
    log_prob = model.log_prob(every_image(model.config.image_shape)).numpy()
    assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)
    assert log_prob.max() - log_prob.min() > 5  # far from the uniform distribution


def test_the_orderings_are_permutations_that_differ():
    orders = [tuple(nade(**ordering).order.numpy()) for ordering in ORDERINGS]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len(set(orders)) == len(orders)
    assert orders[0] == tuple(range(8))


@pytest.mark.parametrize("ordering", ORDERINGS[:2], ids=str)
def test_log_prob_is_the_sum_of_conditionals_that_enumeration_gives(ordering):
    """log p(x_d | x_<d) is a ratio of sums over the images that agree on x_<=d and on x_<d."""
    model = nade(**ordering)
    everything = every_image(model.config.image_shape)
    in_order = everything.reshape(len(everything), -1)[:, model.order.numpy()]
    probability = np.exp(model.log_prob(everything).numpy().astype(np.float64))
    W, c, V, b = (v.numpy().astype(np.float64) for v in model.trainable_variables)
    x = in_order[137]
    for d in range(8):
        agree = (in_order[:, :d] == x[:d]).all(1)
        hidden = 1 / (1 + np.exp(-(c + x[:d] @ W[:d])))
        direct = 1 / (1 + np.exp(-(b[d] + V[d] @ hidden)))
        enumerated = probability[agree & (in_order[:, d] == 1)].sum() / probability[agree].sum()
        assert enumerated == pytest.approx(direct, abs=1e-5)


def test_without_output_weights_the_pixels_are_independent():
    model = nade()
    model.output_weights.assign(tf.zeros_like(model.output_weights))
    x = images(model)
    p = 1 / (1 + np.exp(-model.output_bias.numpy()))
    flat = x.reshape(len(x), -1)
    expected = np.log(np.where(flat == 1, p, 1 - p)).sum(1)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-5)


def test_the_paper_has_as_many_parameters():
    model = NADE(Config())
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 785_284  # 2 D H + H + D


def test_a_pixel_of_half_or_more_is_one():
    model = nade()
    gray = np.random.default_rng(7).random((6, *model.config.image_shape)).astype(np.float32)
    gray[0, 0, 0] = 0.5
    np.testing.assert_array_equal(model.log_prob(gray), model.log_prob((gray >= 0.5).astype(np.float32)))


@pytest.mark.parametrize("ordering", ORDERINGS[:2], ids=str)
def test_samples_come_as_often_as_their_probability_says(ordering):
    model = nade(spread=0.7, image_shape=(2, 3, 1), **ordering)
    draws = 20_000
    counts = counted(model, draws)
    expected = draws * np.exp(model.log_prob(every_image((2, 3, 1))).numpy().astype(np.float64))
    assert expected.min() > 1
    # Of one million fixed seeds, one would fail here by chance.
    assert stats.chisquare(counts, expected * draws / expected.sum()).pvalue > 1e-6


def test_samples_do_not_fit_another_model():
    """The test above can tell two models apart."""
    model, other = (nade(spread=spread, image_shape=(2, 3, 1)) for spread in (0.7, 0.6))
    draws = 20_000
    counts = counted(model, draws)
    expected = draws * np.exp(other.log_prob(every_image((2, 3, 1))).numpy().astype(np.float64))
    assert stats.chisquare(counts, expected * draws / expected.sum()).pvalue < 1e-6


@pytest.mark.parametrize("ordering", ORDERINGS[:2], ids=str)
def test_the_sampler_runs_through_the_conditionals_that_are_scored(ordering):
    """A step-by-step sampler in NumPy, with the same uniforms, draws the same and sums the same log p(x)."""
    model = nade(image_shape=(3, 5, 2), **ordering)
    noise = RowNoise(tf.range(40, dtype=tf.int64))
    drawn = model.sample(noise)
    uniform = noise.uniform("pixels", (30,)).numpy()
    W, c, V, b = (v.numpy().astype(np.float64) for v in model.trainable_variables)
    x, log_prob = np.zeros((40, 30)), np.zeros(40)
    for d in range(30):
        hidden = 1 / (1 + np.exp(-(c + x[:, :d] @ W[:d])))
        p = 1 / (1 + np.exp(-(b[d] + hidden @ V[d])))
        x[:, d] = uniform[:, d] < p
        log_prob += np.log(np.where(x[:, d] == 1, p, 1 - p))
    in_order = drawn.numpy().reshape(40, -1)[:, model.order.numpy()]
    np.testing.assert_array_equal(in_order, x)
    np.testing.assert_allclose(model.log_prob(drawn), log_prob, rtol=1e-5, atol=1e-4)


def test_temperature_sharpens_each_conditional():
    model = nade()
    rows = 300
    noise = RowNoise(tf.range(rows, dtype=tf.int64))
    cold, one, hot = (model.sample_with(noise, temperature=tf.fill((rows,), t)) for t in (0.0, 1.0, 100.0))
    np.testing.assert_array_equal(one, model.sample(noise))
    assert len(np.unique(cold.numpy().reshape(rows, -1), axis=0)) == 1  # each pixel's likelier value
    mean = [tf.reduce_mean(model.log_prob(x)).numpy() for x in (cold, one, hot)]
    assert mean[0] > mean[1] > mean[2]
    assert np.abs(hot.numpy().mean(0) - 0.5).max() < 0.15


@pytest.mark.parametrize("options", [{}, {"memory": "recomputed"}], ids=str)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_training_step_descends_the_exact_gradient(jit_compile, options):
    model = nade(spread=0.5, **options)
    rate = 0.1
    model.compile({"likelihood": keras.optimizers.SGD(rate)}, jit_compile=jit_compile)
    x = images(model)
    before = [v.numpy().astype(np.float64) for v in model.trainable_variables]
    flat = x.reshape(len(x), -1).astype(np.float64)

    def loss(W, c, V, b):
        total = 0.0
        for d in range(flat.shape[1]):
            logit = b[d] + (1 / (1 + np.exp(-(c + flat[:, :d] @ W[:d])))) @ V[d]
            total += np.logaddexp(0, np.where(flat[:, d] == 1, -logit, logit)).mean()
        return total

    model.fit(tf.data.Dataset.from_tensors({"image": x}), shuffle=False, verbose=0)
    for which, variable in enumerate(model.trainable_variables):
        descended = (before[which] - variable.numpy()) / rate
        for place in np.random.default_rng(which).choice(descended.size, 4, replace=False):
            change = np.zeros(descended.size)
            change[place] = 1e-5
            change = change.reshape(descended.shape)
            up = loss(*(p + change if i == which else p for i, p in enumerate(before)))
            down = loss(*(p - change if i == which else p for i, p in enumerate(before)))
            assert descended.flat[place] == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-4)


def test_the_loss_is_the_mean_negative_log_likelihood():
    model = nade()
    x = images(model)
    loss, terms = model.objective({"image": tf.constant(x)}, {}, StepNoise(0, 0, len(x)))
    assert loss.numpy() == pytest.approx(-model.log_prob(x).numpy().mean(), rel=1e-5)
    assert terms["nll"].numpy() == loss.numpy()


@pytest.mark.parametrize("ordering", ORDERINGS[:2], ids=str)
def test_it_begins_as_the_pixels_of_the_data(ordering):
    model = NADE(Config(image_shape=(2, 3, 1), hidden_units=4, **ordering))
    x = (np.random.default_rng(8).random((200, 2, 3, 1)) < np.linspace(0, 1, 6).reshape(2, 3, 1)).astype("f")
    model.begin({"image": tf.constant(x)})
    p = (x.reshape(200, -1).sum(0) + 0.5) / 201
    np.testing.assert_allclose(tf.sigmoid(model.output_bias), p[model.order.numpy()], rtol=1e-4)


@pytest.mark.parametrize("options", [{"hidden_units": 0}, {"ordering_seed": -1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError, match="at least"):
        Config(**options)
