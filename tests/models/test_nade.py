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
GIVEN = {"ordering": "given", "order": (7, 0, 6, 1, 5, 2, 4, 3)}
DEEP = {"orderless": True, "hidden_layers": 2, "activation": "relu", "hidden_units": 5}
ENSEMBLE = {**DEEP, "ordering": "random", "orderings": 3}


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("ordering", [*ORDERINGS, GIVEN], ids=str)
def test_the_probabilities_of_all_images_sum_to_one(ordering, activation):
    model = nade(activation=activation, **ordering)
    log_prob = model.log_prob(every_image(model.config.image_shape)).numpy()
    assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)
    assert log_prob.max() - log_prob.min() > 5  # far from the uniform distribution


@pytest.mark.parametrize("ordering", [*ORDERINGS, GIVEN], ids=str)
@pytest.mark.parametrize("layers", [1, 3])
def test_an_orderless_network_sums_to_one_along_every_ordering(ordering, layers):
    model = nade(**{**DEEP, "hidden_layers": layers, **ordering})
    log_prob = model.log_prob(every_image(model.config.image_shape)).numpy()
    assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)
    assert log_prob.max() - log_prob.min() > 5


def test_a_given_ordering_is_taken():
    assert tuple(nade(**GIVEN).order.numpy()) == GIVEN["order"]


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
    """Random order too: each output has its own pixel's log-odds."""
    model = NADE(Config(image_shape=(2, 3, 1), hidden_units=4, **ordering))
    x = (np.random.default_rng(8).random((200, 2, 3, 1)) < np.linspace(0, 1, 6).reshape(2, 3, 1)).astype("f")
    model.begin({"image": tf.constant(x)})
    p = (x.reshape(200, -1).sum(0) + 0.5) / 201
    np.testing.assert_allclose(tf.sigmoid(model.output_bias), p[model.order.numpy()], rtol=1e-4)


# -- orderless ---------------------------------------------------------------------------------------------


def along(model: NADE, x: np.ndarray, order) -> np.ndarray:
    """log p(x) of images along one ordering, each conditional from its own mask: the naive way."""
    flat = x.reshape(len(x), -1).astype(np.float32)
    log_prob = np.zeros(len(x))
    known = np.zeros(flat.shape, bool)
    for d in order:
        logit = model.network.logits(flat, known).numpy()[:, d].astype(np.float64)
        log_prob -= np.logaddexp(0, np.where(flat[:, d] == 1, -logit, logit))
        known[:, d] = True
    return log_prob


def test_the_walk_along_an_ordering_equals_a_mask_for_each_conditional():
    model = nade(**DEEP, ordering="random")
    x = images(model)
    np.testing.assert_allclose(model.log_prob(x), along(model, x, model.order.numpy()), rtol=1e-4)


def test_an_ensemble_is_the_mean_of_probabilities():
    model = nade(**ENSEMBLE)
    x = images(model)
    each = [along(model, x, order) for order in model.orders.numpy()]
    expected = np.logaddexp.reduce(each, axis=0) - np.log(3)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-4)
    assert np.abs(expected - np.mean(each, axis=0)).max() > 0.1  # not the mean of log-probabilities
    everything = model.log_prob(every_image(model.config.image_shape)).numpy()
    assert np.logaddexp.reduce(everything) == pytest.approx(0.0, abs=1e-5)


def test_the_orderless_loss_is_the_mean_over_all_orderings():
    """All subsets of all sizes, each as often as it is drawn, against all 4! orderings."""
    model = nade(**DEEP, image_shape=(2, 2, 1))
    x = images(model)
    flat = x.reshape(len(x), 4)
    expected = -np.mean([along(model, x, order) for order in itertools.permutations(range(4))], axis=0)
    loss, biased = np.zeros(len(x)), np.zeros(len(x))
    for size in range(4):
        subsets = list(itertools.combinations(range(4), size))
        for subset in subsets:
            known = np.zeros(flat.shape, bool)
            known[:, list(subset)] = True
            each = model.orderless_loss(flat, known).numpy() / len(subsets) / 4
            loss += each
            biased += each * (4 - size) / (5 - size)  # with the weight D / (D - n + 1)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert np.abs(biased - expected).min() > 0.01  # the test can tell


def test_known_dimensions_are_drawn_evenly_over_sizes_and_subsets():
    model = nade(**DEEP, image_shape=(2, 2, 1))
    rows = 40_000
    known = model.draw_known(StepNoise(0, 0, rows)).numpy()
    state = np.bincount(known @ 2 ** np.arange(4), minlength=16)
    expected = [rows / 4 / [1, 4, 6, 4][bin(s).count("1")] if s < 15 else 0 for s in range(16)]
    assert state[15] == 0  # something is always unknown
    assert stats.chisquare(state[:15], expected[:15]).pvalue > 1e-6


def test_the_training_loss_is_the_mean_over_the_drawn_masks():
    model = nade(**DEEP)
    x = images(model)
    noise = StepNoise(3, 1, len(x))
    loss, terms = model.objective({"image": tf.constant(x)}, {}, noise)
    expected = model.orderless_loss(x.reshape(len(x), -1), model.draw_known(noise)).numpy().mean()
    assert loss.numpy() == pytest.approx(expected, rel=1e-6)
    assert terms["nll_mean_over_orderings"].numpy() == loss.numpy()


def test_what_is_unknown_has_no_gradient():
    model = nade(**DEEP)
    x = tf.constant(images(model, 1).reshape(1, -1))
    for size in range(8):
        known = np.arange(8)[None] < size
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = model.network.logits(x, known)
        gradient = tape.jacobian(logits, x).numpy()[0, :, 0]  # [D outputs, D inputs]
        assert (gradient[:, size:] == 0).all()
        if size:
            assert (np.abs(gradient[:, :size]).max(0) > 0).all()


@pytest.mark.parametrize("options", [ENSEMBLE, {**DEEP, "ordering": "raster"}], ids=str)
def test_orderless_samples_come_as_often_as_the_ensembles_probability_says(options):
    model = nade(**options, spread=0.6, image_shape=(2, 3, 1))
    draws = 20_000
    counts = counted(model, draws)
    expected = draws * np.exp(model.log_prob(every_image((2, 3, 1))).numpy().astype(np.float64))
    assert stats.chisquare(counts, expected * draws / expected.sum()).pvalue > 1e-6


def test_temperature_sharpens_an_orderless_model_too():
    model = nade(**ENSEMBLE)
    noise = RowNoise(tf.range(100, dtype=tf.int64))
    cold, one = (model.sample_with(noise, temperature=tf.fill((100,), t)) for t in (0.0, 1.0))
    np.testing.assert_array_equal(one, model.sample(noise))
    assert len(np.unique(cold.numpy().reshape(100, -1), axis=0)) <= 3  # one an ordering


# -- completion --------------------------------------------------------------------------------------------


def completed(model: NADE, x: np.ndarray, known: np.ndarray, draws: int) -> np.ndarray:
    """How often each of the images of 6 pixels comes when `x` is completed."""
    graph = tf.function(
        lambda seeds: model.complete(
            tf.repeat(x[None], tf.size(seeds), 0), tf.repeat(known[None], tf.size(seeds), 0), RowNoise(seeds)
        )
    )
    drawn = graph(tf.range(draws, dtype=tf.int64)).numpy().reshape(draws, 6)
    return np.bincount((drawn @ 2 ** np.arange(5, -1, -1)).astype(int), minlength=64)


@pytest.mark.parametrize(
    "options",
    [{}, {"ordering": "random"}, {**DEEP, "ordering": "random"}],
    ids=["raster", "random", "orderless"],
)
def test_what_comes_first_is_completed_by_the_exact_conditional(options):
    """Where the known pixels are the first of the order, p(rest | known) is a ratio of sums over images."""
    model = nade(**options, spread=0.6, image_shape=(2, 3, 1))
    first = model.order.numpy()[:3]
    known = np.isin(np.arange(6), first).reshape(2, 3)
    x = np.array([1, 0, 1, 1, 0, 0], np.float32).reshape(2, 3, 1)
    everything = every_image((2, 3, 1))
    agree = (everything.reshape(64, 6)[:, first] == x.reshape(6)[first]).all(1)
    p = np.where(agree, np.exp(model.log_prob(everything).numpy().astype(np.float64)), 0)
    counts = completed(model, x, known, 10_000)
    assert counts[~agree].sum() == 0
    assert stats.chisquare(counts[agree], 10_000 * (p / p.sum())[agree]).pvalue > 1e-6


def test_an_orderless_model_sees_all_that_is_known():
    """Known pixels that come last in the order decide the first: the order is known first."""
    model = nade(**DEEP, spread=0.6, image_shape=(2, 3, 1))
    known = np.array([0, 0, 0, 0, 0, 1], bool).reshape(2, 3)
    x = np.zeros((2, 3, 1), np.float32)
    x[1, 2] = 1
    everything = every_image((2, 3, 1))
    known_first = np.exp(along(model, everything, [5, 0, 1, 2, 3, 4]))
    p = np.where(everything[:, 1, 2, 0] == 1, known_first, 0)
    agree = p > 0
    counts = completed(model, x, known, 10_000)
    assert stats.chisquare(counts[agree], 10_000 * (p / p.sum())[agree]).pvalue > 1e-6


@pytest.mark.parametrize(
    "options", [{}, {"ordering": "random"}, ENSEMBLE], ids=["raster", "random", "ensemble"]
)
def test_what_is_known_stays_as_it_is_gray_or_not(options):
    model = nade(**options, image_shape=(3, 2, 2))
    random = np.random.default_rng(9)
    x = random.random((20, 3, 2, 2)).astype(np.float32)
    known = random.random((20, 3, 2)) < 0.5
    done = model.complete(tf.constant(x), tf.constant(known), RowNoise(tf.range(20, dtype=tf.int64))).numpy()
    np.testing.assert_array_equal(done[known], x[known])
    assert set(np.unique(done[~known])) == {0.0, 1.0}
    # Unknown values of the input have no influence.
    x[~known] = 1 - x[~known]
    again = model.complete(tf.constant(x), tf.constant(known), RowNoise(tf.range(20, dtype=tf.int64))).numpy()
    np.testing.assert_array_equal(again[~known], done[~known])


def test_nothing_known_is_a_sample():
    for options in ({"ordering": "random"}, ENSEMBLE):
        model = nade(**options)
        noise = RowNoise(tf.range(20, dtype=tf.int64))
        sample = model.sample(noise)
        nothing = model.complete(tf.ones_like(sample), tf.zeros(sample.shape[:3], tf.bool), noise)
        np.testing.assert_array_equal(nothing, sample)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden_units": 0}, "at least 1"),
        ({"ordering_seed": -1}, "at least 0"),
        ({"hidden_layers": 2}, "orderless=true"),
        ({"orderings": 2, "ordering": "random"}, "orderless=true"),
        ({"orderings": 2, "orderless": True}, "ordering=random"),
        ({"ordering": "given"}, "belong together"),
        ({"order": (1, 0)}, "belong together"),
        ({"ordering": "given", "order": (0, 2)}, "each of 0 to 1 once"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        Config(**options)


def test_a_given_order_of_another_size_is_refused():
    with pytest.raises(UsageError, match="order has 3 dimensions, and an image has 4"):
        NADE(Config(image_shape=(2, 2, 1), ordering="given", order=(2, 0, 1)))
