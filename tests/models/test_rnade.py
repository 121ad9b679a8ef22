"""RNADE is a density: every conditional integrates to one, looks only back, and is what the sampler draws."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from zoo.distributions import SMALLEST_SCALE
from zoo.errors import UsageError
from zoo.models.rnade import RNADE, Config, mixture_parameters, spread_components
from zoo.noise import RowNoise, StepNoise

FEATURES = 4


def rnade(spread: float = 0.7, **options) -> RNADE:
    """A model with large random weights, standardised by other numbers than 0 and 1."""
    keras.utils.set_random_seed(1)
    model = RNADE(Config(**{"features": FEATURES, "hidden_units": 6, "components": 3, **options}))
    random = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * spread)
    size = model.config.features
    model.centre.assign(random.normal(size=size) * 5)
    model.spread.assign(np.exp(random.normal(size=size)))
    return model


def rows(model: RNADE, count: int = 5) -> np.ndarray:
    """Examples on the scale of the data."""
    z = np.random.default_rng(3).normal(size=(count, model.config.features))
    return (z * model.spread.numpy() + model.centre.numpy()).astype(np.float32)


def sampled(model: RNADE, count: int) -> np.ndarray:
    graph = tf.function(lambda seeds: model.sample(RowNoise(seeds)))
    return graph(tf.range(count, dtype=tf.int64)).numpy()


def naive(model: RNADE, x: np.ndarray) -> np.ndarray:
    """log p(x) [B] in float64, one conditional after another by the formulas of the paper."""
    W, c, rho, V, b = (v.numpy().astype(np.float64) for v in model.trainable_variables)
    m, s = model.centre.numpy().astype(np.float64), model.spread.numpy().astype(np.float64)
    z = (x - m) / s
    log_prob = np.zeros(len(x))
    for d in range(z.shape[1]):
        a = rho[d] * (c + z[:, :d] @ W[:d])
        h = np.maximum(a, 0) if model.config.activation == "relu" else 1 / (1 + np.exp(-a))
        logits, means, log_scales = np.split(h @ V[d] + b[d], 3, axis=1)
        floor = np.log(SMALLEST_SCALE)
        scales = np.exp(np.minimum(floor + np.logaddexp(0, log_scales - floor), np.log(1000)))
        log_weights = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        log_prob += np.logaddexp.reduce(log_weights + stats.norm.logpdf(z[:, d, None], means, scales), axis=1)
        log_prob -= np.log(s[d])
    return log_prob


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_log_prob_is_that_of_the_papers_formulas(activation):
    model = rnade(activation=activation)
    x = rows(model)
    np.testing.assert_allclose(model.log_prob(x), naive(model, x), rtol=1e-4)


@pytest.mark.parametrize("place", range(FEATURES))
def test_every_conditional_integrates_to_one(place):
    """In the units of the data, whatever stands before it: the density of x, not of z."""
    model = rnade()
    before = rows(model, 1)[0]
    scale, centre = model.spread.numpy()[place], model.centre.numpy()[place]
    grid = np.linspace(-60, 60, 60_001) * scale + centre
    x = np.tile(before, (len(grid), 1))
    x[:, place] = grid
    z = model.standardised(x.astype(np.float32))
    log_density = model.conditionals(z).log_prob(z).numpy()[:, place] - np.log(scale)
    assert integrate.simpson(np.exp(log_density.astype(np.float64)), x=grid) == pytest.approx(1, abs=1e-4)


def test_the_density_of_two_features_integrates_to_one():
    model = rnade(features=2, spread=0.4)
    m, s = model.centre.numpy(), model.spread.numpy()
    axis = np.linspace(-12, 12, 401)
    first, second = np.meshgrid(axis * s[0] + m[0], axis * s[1] + m[1], indexing="ij")
    x = np.stack([first, second], -1).reshape(-1, 2).astype(np.float32)
    density = np.exp(model.log_prob(x).numpy().astype(np.float64)).reshape(401, 401)
    total = integrate.simpson(integrate.simpson(density, x=second[0]), x=first[:, 0])
    assert total == pytest.approx(1, abs=1e-3)


def test_other_units_change_the_density_by_their_scale():
    """x' = a x + b with the standardisation of x': log p'(x') = log p(x) - sum log |a|."""
    model = rnade()
    x = rows(model)
    before = model.log_prob(x).numpy()
    a, b = np.float32([0.01, 3.0, 250.0, 1.0]), np.float32([1.0, -2.0, 40.0, 0.0])
    model.spread.assign(model.spread * a)
    model.centre.assign(model.centre * a + b)
    np.testing.assert_allclose(model.log_prob(x * a + b), before - np.log(a).sum(), rtol=1e-4)


def test_without_output_weights_the_features_are_independent():
    model = rnade()
    model.output_weights.assign(tf.zeros_like(model.output_weights))
    x = rows(model, 6)
    z = model.standardised(x)
    each = model.conditionals(z).log_prob(z).numpy()  # [B, D]
    for row in range(6):  # a value's density is the same whatever stands in the other columns
        other = np.tile(z.numpy()[row], (FEATURES, 1))
        other[~np.eye(FEATURES, dtype=bool)] = 7.0
        alone = np.diag(model.conditionals(other).log_prob(other).numpy())
        np.testing.assert_allclose(each[row], alone, rtol=1e-5)


def test_a_conditional_sees_all_before_it_and_nothing_else():
    model = rnade(activation="sigmoid")  # smooth: no gradient is 0 by chance
    z = tf.constant(np.random.default_rng(4).normal(size=(1, FEATURES)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(z)
        mean = model.conditionals(z).mean()
    gradient = tape.jacobian(mean, z).numpy()[0, :, 0]  # [D outputs, D inputs]
    assert (gradient[np.triu_indices(FEATURES)] == 0).all()
    assert (gradient[np.tril_indices(FEATURES, -1)] != 0).all()


def test_samples_follow_the_conditionals():
    """If x is drawn from the density, F(x_d | x_{<d}) are independent and uniform."""
    model = rnade()
    z = model.standardised(sampled(model, 4000))
    u = model.conditionals(z).cdf(z).numpy()
    for d in range(FEATURES):
        assert stats.kstest(u[:, d], "uniform").pvalue > 1e-4, d
    counts = np.histogramdd(u[:, [0, 1, 3]], bins=4, range=[(0, 1)] * 3)[0]
    assert stats.chisquare(counts.reshape(-1)).pvalue > 1e-4


def test_samples_do_not_fit_another_model():
    """The test above can tell two models apart."""
    model, other = rnade(), rnade(spread=0.6)
    z = model.standardised(sampled(model, 4000))
    u = other.conditionals(z).cdf(z).numpy()
    assert min(stats.kstest(u[:, d], "uniform").pvalue for d in range(FEATURES)) < 1e-4


def test_completion_keeps_what_is_known_and_draws_the_rest_given_what_is_before():
    model = rnade()
    x = rows(model, 1)[0]
    known = np.array([False, True, False, True])
    count = 4000

    def complete(seeds):
        repeated = tf.repeat(x[None], tf.size(seeds), 0)
        return model.complete(repeated, tf.repeat(known[None], tf.size(seeds), 0), RowNoise(seeds))

    done = tf.function(complete)(tf.range(count, dtype=tf.int64)).numpy()
    np.testing.assert_array_equal(done[:, known], np.tile(x[known], (count, 1)))
    z = model.standardised(done)
    u = model.conditionals(z).cdf(z).numpy()
    for d in (0, 2):
        assert stats.kstest(u[:, d], "uniform").pvalue > 1e-4, d


def test_unknown_values_may_be_anything():
    model = rnade()
    x = rows(model)
    known = np.arange(FEATURES) % 2 == np.arange(len(x))[:, None] % 2
    missing = np.where(known, x, np.nan).astype(np.float32)
    noise = RowNoise(tf.range(len(x), dtype=tf.int64))
    done = model.complete(tf.constant(missing), tf.constant(known), noise).numpy()
    assert np.isfinite(done).all()
    np.testing.assert_array_equal(done, model.complete(tf.constant(x), tf.constant(known), noise))
    nothing = model.complete(tf.constant(x), tf.zeros_like(known), noise)
    np.testing.assert_array_equal(nothing, model.sample(noise))


def test_the_gradient_of_a_mean_is_multiplied_by_its_scale():
    raw = np.random.default_rng(5).normal(size=(6, 9)).astype(np.float32)
    x = np.random.default_rng(6).normal(size=6)

    def loss(values: np.ndarray) -> float:
        logits, means, scales = (each.numpy().astype(np.float64) for each in mixture_parameters(values))
        log_weights = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return -np.logaddexp.reduce(log_weights + stats.norm.logpdf(x[:, None], means, scales), axis=1).sum()

    variable = tf.Variable(raw)
    with tf.GradientTape() as tape:
        logits, means, scales = mixture_parameters(variable)
        each = tf.math.log_softmax(logits) + stats_normal(tf.constant(x[:, None], tf.float32), means, scales)
        total = -tf.reduce_sum(tf.reduce_logsumexp(each, 1))
    ours = tape.gradient(total, variable).numpy()
    assert total.numpy() == pytest.approx(loss(raw), rel=1e-5)  # the value is untouched
    factor = np.ones((6, 9))
    factor[:, 3:6] = scales.numpy()
    for place in range(9):
        change = np.zeros((6, 9), np.float32)
        change[2, place] = 1e-2
        exact = (loss(raw + change) - loss(raw - change)) / 2e-2
        assert ours[2, place] == pytest.approx(exact * factor[2, place], rel=2e-2, abs=1e-3), place


def stats_normal(x: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return -0.5 * ((x - mean) / scale) ** 2 - tf.math.log(scale) - 0.5 * np.log(2 * np.pi)


def test_scales_have_a_floor_and_a_ceiling():
    for raw, scale in ((-1000, SMALLEST_SCALE), (1000, 1000)):
        assert mixture_parameters(np.float32([0, 0, raw]))[2].numpy() == pytest.approx(scale)
    _, _, scale = mixture_parameters(np.float32([0, 0, 1.5]))
    assert scale.numpy() == pytest.approx(np.exp(1.5), rel=1e-3)  # far above it, the paper's exp


@pytest.mark.parametrize("components", [1, 3, 10])
def test_it_begins_as_about_a_standard_normal(components):
    logits, means, scales = (
        each.numpy() for each in mixture_parameters(spread_components(components).astype(np.float32))
    )
    weights = np.exp(logits - np.logaddexp.reduce(logits))
    assert len(set(means)) == components
    assert weights @ means == pytest.approx(0, abs=1e-6)
    assert weights @ (means**2 + scales**2) == pytest.approx(1, abs=0.1)


def test_the_training_data_is_standardised():
    model = RNADE(Config(features=3, hidden_units=4))
    random = np.random.default_rng(7)
    x = np.stack([random.normal(700, 300, 500), random.normal(0.1, 0.01, 500), np.full(500, 2.0)], 1)
    model.begin({"features": tf.constant(x, tf.float32)})
    z = model.standardised(x.astype(np.float32)).numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z[:, :2].std(0), 1, atol=1e-4)
    assert model.spread.numpy()[2] == 1  # a constant column keeps its unit
    assert np.isfinite(model.log_prob(x.astype(np.float32))).all()


def test_the_loss_is_the_mean_negative_log_density():
    model = rnade()
    x = rows(model)
    loss, terms = model.objective({"features": tf.constant(x)}, {}, StepNoise(0, 0, len(x)))
    assert loss.numpy() == pytest.approx(-model.log_prob(x).numpy().mean(), rel=1e-6)
    assert terms["nll"].numpy() == loss.numpy()


@pytest.mark.parametrize("option", ["features", "hidden_units", "components"])
def test_impossible_options_are_refused(option):
    with pytest.raises(UsageError, match="at least 1"):
        Config(**{option: 0})
