"""`joint`, `independent` and `markov` count exactly, sum to one, and are one another's limits."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo.errors import UsageError
from zoo.models import independent, joint, markov
from zoo.models.independent import Independent
from zoo.models.joint import Joint
from zoo.models.markov import Markov
from zoo.noise import RowNoise

SHAPE = (2, 3, 1)
MODELS = [
    pytest.param(Joint, {}, id="joint"),
    pytest.param(Independent, {}, id="independent"),
    *(pytest.param(Markov, {"order": k}, id=f"markov-{k}") for k in (0, 1, 2, 5, 9)),
]


def make(model_class, **options):
    """A model that has counted nothing yet."""
    module = {Joint: joint, Independent: independent, Markov: markov}[model_class]
    model = model_class(module.Config(**{"image_shape": SHAPE, **options}))
    model.compile({})
    return model


def count(model, images: np.ndarray, weight: np.ndarray | None = None, batch: int = 50) -> None:
    """Shows the model every image once."""
    weight = np.ones(len(images), np.float32) if weight is None else weight
    data = tf.data.Dataset.from_tensor_slices({"image": images, "weight": weight}).batch(batch)
    model.fit(data, shuffle=False, verbose=0)


def every_image(levels: int) -> np.ndarray:
    """All L^6 images of six pixels."""
    states = itertools.product(range(levels), repeat=6)
    return np.array(list(states), np.float32).reshape(-1, *SHAPE) / (levels - 1)


def dependent_images(rows: int, levels: int = 2, seed: int = 0) -> np.ndarray:
    """Images whose pixels depend on one another, over every distance."""
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.full(levels**6, 0.3))
    return every_image(levels)[random.choice(len(p), rows, p=p)]


def drawn(model, rows: int) -> np.ndarray:
    """One image a seed."""
    graph = tf.function(lambda seeds: model.sample(RowNoise(seeds)))
    return graph(tf.range(rows, dtype=tf.int64)).numpy()


def mean_nll(model, images: np.ndarray) -> float:
    return -float(np.mean(model.log_prob(images).numpy(), dtype=np.float64))


@pytest.mark.parametrize(("model_class", "options"), MODELS)
@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_the_probabilities_of_all_images_sum_to_one(model_class, options, levels, smoothing):
    model = make(model_class, levels=levels, smoothing=smoothing, **options)
    count(model, dependent_images(200, levels))
    log_prob = model.log_prob(every_image(levels)).numpy().astype(np.float64)
    assert np.exp(log_prob).sum() == pytest.approx(1.0, abs=1e-5)
    assert not np.isnan(log_prob).any()
    if smoothing:
        assert np.isfinite(log_prob).all()


@pytest.mark.parametrize("levels", [2, 3])
def test_a_chain_without_memory_is_independent_and_one_with_all_of_it_is_the_joint_table(levels):
    images = dependent_images(300, levels)
    table, pixels, none, most = (
        make(model_class, levels=levels, smoothing=0.0, **options)
        for model_class, options in [
            (Joint, {}),
            (Independent, {}),
            (Markov, {"order": 0}),
            (Markov, {"order": 5}),
        ]
    )
    for model in (table, pixels, none, most):
        count(model, images)
    states = every_image(levels)
    np.testing.assert_allclose(none.log_prob(states), pixels.log_prob(states), rtol=1e-5)
    np.testing.assert_allclose(most.log_prob(states), table.log_prob(states), rtol=1e-5)


def test_more_memory_fits_the_training_images_better():
    images = dependent_images(400)
    nll = []
    for order in range(6):
        model = make(Markov, order=order, smoothing=0.0)
        count(model, images)
        nll.append(mean_nll(model, images))
    assert (np.diff(nll) < -1e-3).all(), nll


def test_the_joint_table_has_the_empirical_entropy_as_its_cross_entropy():
    images = dependent_images(300)
    model = make(Joint, smoothing=0.0)
    count(model, images)
    times = np.array(list(collections.Counter(image.tobytes() for image in images).values()))
    entropy = -(times / 300 * np.log(times / 300)).sum()
    assert mean_nll(model, images) == pytest.approx(entropy, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("order", [0, 1, 2, 7])
def test_a_conditional_is_a_share_of_counts(order, smoothing):
    """Counted again by hand: p(x_d | the k before) from the images that agree."""
    levels = 3
    images = dependent_images(250, levels, seed=1)
    model = make(Markov, order=order, levels=levels, smoothing=smoothing)
    count(model, images)
    data = np.round(images.reshape(250, 6) * 2).astype(int)
    x = data[17]
    expected = 0.0
    for d in range(6):
        start = max(0, d - order)
        agree = (data[:, start:d] == x[start:d]).all(1)
        share = ((agree & (data[:, d] == x[d])).sum() + smoothing) / (agree.sum() + smoothing * levels)
        expected += np.log(share)
    assert model.log_prob(images[17:18]).numpy()[0] == pytest.approx(expected, rel=1e-5)


def test_smoothing_of_the_joint_table_is_laplaces():
    images = dependent_images(100)
    model = make(Joint, smoothing=0.25)
    count(model, images)
    times = (images.reshape(100, 6) == images[3].reshape(6)).all(1).sum()
    expected = np.log((times + 0.25) / (100 + 0.25 * 64))
    assert model.log_prob(images[3:4]).numpy()[0] == pytest.approx(expected, rel=1e-6)


def test_the_parameters_of_a_chain_are_recovered_from_what_it_draws():
    random = np.random.default_rng(3)
    p = random.uniform(0.15, 0.85, (6, 2))  # p[d, x_{d-1}] = p(x_d = 1 | x_{d-1})
    rows = 20_000
    x = np.zeros((rows, 6), int)
    for d in range(6):
        x[:, d] = random.random(rows) < p[d, x[:, d - 1] if d else 0]
    model = make(Markov, order=1, smoothing=0.0)
    count(model, x.reshape(rows, *SHAPE).astype(np.float32), batch=1000)
    counts = model.counts.numpy().astype(float)  # the first pixel has one row, the others two each
    estimated = counts[:, 1] / counts.sum(1)
    error = np.sqrt(0.25 / counts.sum(1))
    assert (np.abs(estimated - np.concatenate([p[0, :1], p[1:].reshape(-1)])) < 4 * error).all()
    assert error.max() < 0.012


@pytest.mark.parametrize(
    ("model_class", "options", "levels"),
    [
        (Joint, {}, 2),
        (Joint, {}, 3),
        (Independent, {}, 3),
        (Markov, {"order": 1}, 2),
        (Markov, {"order": 2}, 3),
    ],
)
def test_samples_come_as_often_as_their_probability_says(model_class, options, levels):
    model = make(model_class, levels=levels, smoothing=1.0, **options)
    count(model, dependent_images(300, levels))
    draws = 10_000
    state = np.round(drawn(model, draws).reshape(draws, 6) * (levels - 1)) @ levels ** np.arange(5, -1, -1)
    found = np.bincount(state.astype(int), minlength=levels**6)
    other = make(model_class, levels=levels, smoothing=1.0, **options)
    count(other, dependent_images(100, levels))
    for each, fits in ((model, True), (other, False)):  # what fewer images say is told apart
        expected = draws * np.exp(each.log_prob(every_image(levels)).numpy().astype(np.float64))
        many = expected >= 5  # the rare ones together
        counts = np.append(found[many], found[~many].sum())
        expected = np.append(expected[many], expected[~many].sum())
        kept = expected > 0
        assert counts[~kept].sum() == 0
        pvalue = stats.chisquare(counts[kept], expected[kept] * draws / expected[kept].sum()).pvalue
        assert (pvalue > 1e-6) == fits


def test_an_image_without_probability_is_never_drawn():
    images = dependent_images(60)
    seen = {image.tobytes() for image in images}
    for model_class, options in [(Joint, {}), (Markov, {"order": 5})]:
        model = make(model_class, smoothing=0.0, **options)
        count(model, images)
        assert {image.tobytes() for image in drawn(model, 2000)} <= seen


def test_a_chain_of_more_than_all_pixels_is_the_joint_table():
    longest, whole = make(Markov, order=40), make(Markov, order=5)
    for model in (longest, whole):
        count(model, dependent_images(60))
    np.testing.assert_array_equal(drawn(longest, 200), drawn(whole, 200))
    np.testing.assert_array_equal(longest.log_prob(every_image(2)), whole.log_prob(every_image(2)))


@pytest.mark.parametrize("levels", [2, 4])
@pytest.mark.parametrize("order", range(5))
def test_parameters_are_counted_by_the_formula(order, levels):
    n = 4
    shape = (2, 2, 1)
    chain = make(Markov, image_shape=shape, order=order, levels=levels)
    assert chain.free_parameters == sum(levels ** min(d, order) for d in range(n)) * (levels - 1)
    if order == 1 and levels == 2:
        assert chain.free_parameters == 2 * n - 1
    if order == 0:
        assert chain.free_parameters == make(Independent, image_shape=shape, levels=levels).free_parameters
        assert chain.free_parameters == n * (levels - 1)
    if order >= n - 1:
        assert chain.free_parameters == make(Joint, image_shape=shape, levels=levels).free_parameters
        assert chain.free_parameters == levels**n - 1


@pytest.mark.parametrize(("model_class", "options"), MODELS)
def test_rows_without_weight_are_not_counted(model_class, options):
    images = dependent_images(90)
    weight = (np.arange(90) % 3 > 0).astype(np.float32)
    some, all_of_those = make(model_class, **options), make(model_class, **options)
    count(some, images, weight)
    count(all_of_those, images[weight > 0], batch=7)
    np.testing.assert_array_equal(some.counts.numpy(), all_of_those.counts.numpy())
    assert some.counts.numpy().sum() == weight.sum() * (1 if model_class is Joint else 6)


@pytest.mark.parametrize(
    ("make_config", "words"),
    [
        (lambda: joint.Config(image_shape=(28, 28, 1)), r"2\^784 images of 28x28, .* --image-size 4\."),
        (lambda: joint.Config(image_shape=(8, 8, 3)), r"8x8x3, .* --image-size 2\."),
        (lambda: joint.Config(image_shape=(4, 4, 1), levels=16), r"16\^16 .* --image-size 2\."),
        (lambda: joint.Config(image_shape=(1, 1, 3), levels=256), "use fewer levels"),
        (lambda: markov.Config(order=30), r"order=30 .* 16,777,216 is the most"),
        (lambda: markov.Config(order=-1), "order and smoothing at least 0"),
        (lambda: independent.Config(levels=1), "levels must be at least 2"),
        (lambda: joint.Config(smoothing=-0.1), "smoothing at least 0"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_what_can(make_config, words):
    with pytest.raises(UsageError, match=words):
        make_config()


def test_the_largest_joint_table_is_that_of_sixteen_binary_pixels():
    assert Joint(joint.Config(image_shape=(4, 4, 1))).free_parameters == 65_535
    assert Joint(joint.Config(image_shape=(2, 2, 1), levels=16)).free_parameters == 65_535
