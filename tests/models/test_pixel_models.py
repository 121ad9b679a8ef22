"""PixelCNN and PixelRNN are distributions: they sum to one, look only back, and draw what they score."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo.errors import UsageError
from zoo.layers.raster import centred
from zoo.models import pixelcnn, pixelrnn
from zoo.noise import RowNoise, StepNoise

Model = pixelcnn.PixelCNN | pixelrnn.PixelRNN

NETWORKS = {
    "plain": (pixelcnn.PixelCNN, pixelcnn.Config, {}),
    "gated": (pixelcnn.PixelCNN, pixelcnn.Config, {"gated": True}),
    "row_lstm": (pixelrnn.PixelRNN, pixelrnn.Config, {"layer": "row_lstm"}),
    "diagonal_bilstm": (pixelrnn.PixelRNN, pixelrnn.Config, {"layer": "diagonal_bilstm"}),
}
# Binary and of three values, gray and coloured.
IMAGES = [
    {"image_shape": (3, 3, 1)},
    {"image_shape": (2, 2, 1), "levels": 3},
    {"image_shape": (1, 2, 3), "levels": 3},
]
CONDITIONAL = [
    ("plain", {"image_shape": (2, 3, 1), "classes": 2}),
    ("gated", {"image_shape": (2, 1, 3), "classes": 3}),
]
COLOURED = {"image_shape": (2, 2, 3), "levels": 3}
each_network = pytest.mark.parametrize("network", NETWORKS)
one_of_each_model = pytest.mark.parametrize("network", ["gated", "diagonal_bilstm"])
each_class_model = pytest.mark.parametrize(("network", "options"), CONDITIONAL, ids=str)


def of_kinds(*images: dict):
    """Every network with images of these kinds, and the class-conditional models."""
    return pytest.mark.parametrize(
        ("network", "options"), [*itertools.product(NETWORKS, images), *CONDITIONAL], ids=str
    )


def made(network: str, spread: float = 0.3, **options) -> Model:
    """A model whose weights, masked or not, are random, so that its conditionals differ from one another."""
    keras.utils.set_random_seed(4)
    model_class, config_class, own = NETWORKS[network]
    model = model_class(
        config_class(**{"layers": 1, "hidden_features": 6, "output_features": 6, **own, **options})
    )
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign_add(random.normal(size=variable.shape) * spread)
    return model


def every_image(model: Model) -> np.ndarray:
    """All images there are."""
    values = np.arange(model.levels, dtype=np.float32) / (model.levels - 1)
    states = itertools.product(values, repeat=model.dimensions)
    return np.array(list(states), np.float32).reshape(-1, *model.config.image_shape)


def logits(model: Model, x: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
    return model.logits(x, label) if isinstance(model, pixelcnn.PixelCNN) else model.logits(x)


def conditionals(model: Model, label: tf.Tensor | None) -> Callable[[np.ndarray], np.ndarray]:
    """Of levels [B, H, W, C], p(x_i = v | x_1 .. x_{i-1}) for each value v, [B, H, W, C, L], float64."""
    graph = tf.function(lambda level: logits(model, centred(level, model.levels), label), autograph=False)

    def probabilities(level: np.ndarray) -> np.ndarray:
        found = graph(tf.constant(level)).numpy().astype(np.float64)
        if model.levels == 2:
            found = np.concatenate([np.zeros_like(found), found], -1)
        weights = np.exp(found - found.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    return probabilities


def naive(
    model: Model,
    noise: RowNoise,
    label: tf.Tensor | None = None,
    given: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws with the whole network for each value: images [B, H, W, C], and the sum of log p of the draws."""
    uniform = noise.uniform("pixels", model.config.image_shape).numpy()
    probabilities = conditionals(model, label)
    level = np.zeros(uniform.shape, np.int32)
    log_prob = np.zeros(len(level))
    for place in np.ndindex(*model.config.image_shape):
        here = (slice(None), *place)
        p = probabilities(level)[here]  # [B, L]
        drawn = (uniform[here][:, None] >= np.cumsum(p, -1)[:, :-1]).sum(-1)
        if model.levels == 2:  # the comparison of a Bernoulli draw is the other way round
            drawn = (uniform[here] < p[:, 1]).astype(int)
        if known is not None:
            drawn = np.where(known[here[:-1]], np.round(given[here] * (model.levels - 1)), drawn)
        level[here] = drawn
        log_prob += np.log(np.take_along_axis(p, level[here][:, None], 1)[:, 0])
    return level / (model.levels - 1), log_prob


def classes_drawn(model: Model, noise: RowNoise) -> tf.Tensor | None:
    classes = getattr(model.config, "classes", 0)
    return tf.cast(noise.uniform("label", ()) * classes, tf.int32) if classes else None


def seeds(count: int) -> tf.Tensor:
    return tf.range(count, dtype=tf.int64)


def compiled(method):
    """A method of noise, as a function of seeds that is a graph."""
    return tf.function(lambda seeds, *given: method(*given, RowNoise(seeds)), autograph=False)


# -- a distribution ----------------------------------------------------------------------------------------


@of_kinds(*IMAGES)
def test_the_probabilities_of_all_images_sum_to_one(network, options):
    model = made(network, **options)
    log_prob = tf.function(model.log_prob, autograph=False)(every_image(model)).numpy()
    assert np.logaddexp.reduce(log_prob.astype(np.float64)) == pytest.approx(0.0, abs=1e-5)
    assert log_prob.max() - log_prob.min() > 0.5  # far from the uniform distribution


@of_kinds(COLOURED)
def test_the_sampler_draws_as_the_whole_network_would_and_sums_what_it_scores(network, options):
    model = made(network, **options)
    noise = RowNoise(seeds(30))
    drawn = compiled(model.sample)(seeds(30)).numpy()
    label = classes_drawn(model, noise)
    images, log_prob = naive(model, noise, label)
    np.testing.assert_allclose(drawn, images, atol=1e-6)
    assert len(np.unique(drawn.reshape(30, -1), axis=0)) > 5
    if label is None:
        np.testing.assert_allclose(model.log_prob(drawn), log_prob, rtol=1e-4, atol=1e-4)


@each_class_model
def test_the_likelihood_of_a_class_conditional_model_is_the_mean_over_classes(network, options):
    model = made(network, spread=0.8, **options)
    x = every_image(model)[::7]
    level = np.round(x).astype(np.int32)
    by_class = []
    for label in range(model.config.classes):
        p = conditionals(model, tf.fill((len(x),), label))(level)
        by_class.append(np.log(np.take_along_axis(p, level[..., None], -1)).sum((1, 2, 3, 4)))
    assert np.ptp(by_class, axis=0).max() > 0.5  # the classes differ
    expected = np.logaddexp.reduce(by_class, 0) - np.log(model.config.classes)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-4, atol=1e-4)


@each_network
def test_samples_come_as_often_as_their_probability_says(network):
    model = made(network, spread=0.2, image_shape=(2, 3, 1))
    draws = 10_000
    drawn = compiled(model.sample)(seeds(draws)).numpy().reshape(draws, -1)
    counts = np.bincount((drawn @ 2 ** np.arange(5, -1, -1)).astype(int), minlength=64)
    expected = draws * np.exp(model.log_prob(every_image(model)).numpy().astype(np.float64))
    assert expected.min() > 1
    # Of one million fixed seeds, one would fail here by chance.
    assert stats.chisquare(counts, expected * draws / expected.sum()).pvalue > 1e-6
    uniform = np.full(len(counts), draws / len(counts))
    assert stats.chisquare(counts, uniform).pvalue < 1e-6  # and the test can tell


# -- what is seen ------------------------------------------------------------------------------------------


def sees(model: Model) -> np.ndarray:
    """Whether the logits of one value (row) depend on another (column); bool [D, D], in raster order."""
    shape = model.config.image_shape
    size, images = model.dimensions, 8  # where one image closes a ReLU, another opens it
    x = np.random.default_rng(0).uniform(-1, 1, (1, images, *shape)).astype(np.float32)
    x = tf.constant(np.repeat(x, size, 0).reshape(-1, *shape))  # of copy d, value d is looked at
    label = tf.ones(size * images, tf.int32) if getattr(model.config, "classes", 0) else None

    @tf.function(autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = logits(model, x, label)
            # Different weights, so that gradients of a value's logits do not cancel.
            y = tf.reduce_sum(y * tf.range(1.0, y.shape[-1] + 1.0), -1)
            looked_at = tf.reduce_sum(tf.reshape(y, (size, images, size)) * tf.eye(size)[:, None])
        return tape.gradient(looked_at, x)

    return (gradient(x).numpy().reshape(size, images, size) != 0).any(1)


@each_network
@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (3, 4)])
def test_no_value_sees_itself_or_what_comes_later(network, channels, levels):
    wide = {"layers": 2, "hidden_features": 12, "output_features": 12}
    seen = sees(made(network, image_shape=(3, 4, channels), levels=levels, **wide))
    assert not np.triu(seen).any()
    pixel = 5 * channels  # row 1, column 1
    left = slice(pixel - channels, pixel)
    for channel in range(channels):
        assert seen[pixel + channel, left].all(), "the left neighbour"
        assert seen[pixel + channel, pixel : pixel + channel].all(), "R before G before B"
        assert seen[pixel + channel, pixel - 4 * channels : pixel - 3 * channels].all(), "the pixel above"


@each_class_model
def test_a_class_changes_nothing_of_the_order(network, options):
    seen = sees(made(network, **options))
    assert not np.triu(seen).any()


# A first layer of 3x3, and enough layers that only their form limits what is seen.
FORM = {"image_shape": (3, 5, 1), "first_size": 3, "layers": 3}


@each_network
def test_what_of_the_past_is_seen(network):
    """Diagonal BiLSTM and gated PixelCNN see all of it; the others nothing beyond a line to the upper right.

    Each row up, the plain PixelCNN's 3x3 and Row LSTM's states of three neighbours reach one pixel further to
    the right, and no more: the rest of the rows above is PixelCNN's blind spot, and outside the triangle.
    """
    _, width, _ = FORM["image_shape"]
    seen = sees(made(network, spread=0.2, **FORM))
    row, column = np.divmod(np.arange(len(seen)), width)
    up, right = row[:, None] - row, column - column[:, None]
    past = (up > 0) | ((up == 0) & (right < 0))
    if network in ("plain", "row_lstm"):
        blind = past & (right > up)
        assert blind.any()
        past &= ~blind
    np.testing.assert_array_equal(seen, past)


# -- completing, temperature, classes ----------------------------------------------------------------------


@each_network
def test_what_is_known_stays_and_the_rest_is_drawn_after_it(network):
    model = made(network, **COLOURED)
    random = np.random.default_rng(0)
    x = random.random((20, *model.config.image_shape)).astype(np.float32)  # not on the levels
    known = random.random(x.shape[:3]) < 0.5
    completed = compiled(model.complete)(seeds(20), tf.constant(x), tf.constant(known)).numpy()
    np.testing.assert_array_equal(completed[known], x[known])
    images, _ = naive(
        model,
        RowNoise(seeds(20)),
        given=np.floor(x * (model.levels - 1) + 0.5) / (model.levels - 1),
        known=known,
    )
    np.testing.assert_allclose(completed[~known], images[~known], atol=1e-6)


def test_a_completion_takes_the_classes_that_what_is_known_makes_likely():
    """Of the last pixel, given all others: its law is that of the mixture of classes, by Bayes' rule."""
    model = made("plain", spread=0.6, image_shape=(2, 3, 1), classes=2)
    ones = every_image(model)[1::8]  # the last pixel 1, and 0 in the image before each
    log_prob = tf.function(model.log_prob, autograph=False)
    zeros = ones * (np.arange(6).reshape(2, 3, 1) < 5)
    one, zero = (np.exp(log_prob(x).numpy().astype(np.float64)) for x in (ones, zeros))
    expected = one / (one + zero)
    draws = 1000
    known = tf.constant(np.broadcast_to(np.arange(6).reshape(2, 3) < 5, (draws * len(ones), 2, 3)))
    x = tf.constant(np.repeat(ones, draws, 0))
    drawn = compiled(model.complete)(seeds(draws * len(ones)), x, known).numpy()
    share = drawn[:, -1, -1, 0].reshape(len(ones), draws).mean(1)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert np.abs(share - expected).max() < 5 * error.max()
    level = ones.astype(np.int32)
    unaware = np.mean(
        [conditionals(model, tf.fill((len(ones),), k))(level)[:, -1, -1, 0, 1] for k in range(2)], 0
    )
    assert (np.abs(share - unaware) > 5 * error).any()  # the test can tell


@one_of_each_model
def test_temperature_sharpens_each_conditional(network):
    model = made(network, image_shape=(2, 3, 1), levels=3)
    rows = 200
    draw = compiled(lambda temperature, noise: model.sample_with(noise, temperature=temperature))
    cold, one, hot = (draw(seeds(rows), tf.fill((rows,), t)).numpy() for t in (0.0, 1.0, 100.0))
    np.testing.assert_array_equal(one, compiled(model.sample)(seeds(rows)))
    assert len(np.unique(cold.reshape(rows, -1), axis=0)) == 1  # each value's likeliest
    mean = [tf.reduce_mean(model.log_prob(x)).numpy() for x in (cold, one, hot)]
    assert mean[0] > mean[1] > mean[2]
    assert np.abs((hot == 0.5).mean(0) - 1 / 3).max() < 0.15


@each_class_model
def test_the_class_that_is_asked_for_is_drawn(network, options):
    model = made(network, **options)
    noise = RowNoise(seeds(12))
    label = tf.constant(np.arange(12) % model.config.classes, tf.int32)
    draw = compiled(lambda label, noise: model.sample_with(noise, label=label, temperature=tf.ones(12)))
    np.testing.assert_allclose(draw(seeds(12), label), naive(model, noise, label)[0], atol=1e-6)
    assert set(model.conditions()) == {"label", "temperature"}


# -- training ----------------------------------------------------------------------------------------------


@one_of_each_model
def test_the_loss_is_the_mean_negative_log_likelihood(network):
    model = made(network, image_shape=(3, 4, 1))
    x = np.random.default_rng(0).random((5, 3, 4, 1)).astype(np.float32)
    loss, terms = model.objective({"image": tf.constant(x)}, {}, StepNoise(0, 0, 5))
    assert loss.numpy() == pytest.approx(-model.log_prob(x).numpy().mean(), rel=1e-5)
    assert terms["nll"].numpy() == loss.numpy()


@each_network
def test_dropout_is_for_training_alone(network):
    model = made(network, image_shape=(3, 4, 1), dropout=0.5)
    x = np.random.default_rng(0).random((5, 3, 4, 1)).astype(np.float32)
    same, other = (
        [model.objective({"image": tf.constant(x)}, {}, StepNoise(0, step, 5))[0].numpy() for _ in range(2)]
        for step in range(2)
    )
    assert same[0] == same[1]
    assert same[0] != other[0]
    whole = made(network, image_shape=(3, 4, 1))
    np.testing.assert_array_equal(model.log_prob(x), whole.log_prob(x))


@each_network
def test_training_learns_a_rule_about_neighbours(network):
    """Images of which every pixel is its neighbour's contrary: after the first, nothing is left to say."""
    keras.utils.set_random_seed(0)
    model_class, config_class, own = NETWORKS[network]
    sizes = {"layers": 1, "hidden_features": 8, "output_features": 8}
    model = model_class(config_class(image_shape=(4, 4, 1), **sizes, **own))
    board = (np.indices((4, 4)).sum(0) % 2).astype(np.float32)[None, ..., None]
    x = tf.constant(np.concatenate([board, 1 - board] * 4))
    model.compile({"likelihood": keras.optimizers.Adam(0.02)})
    model.fit(
        tf.data.Dataset.from_tensors({"image": x}).repeat(), steps_per_epoch=80, verbose=0, shuffle=False
    )
    assert -model.log_prob(x).numpy().mean() == pytest.approx(np.log(2.0), abs=0.05)


def test_xla_is_refused_where_it_cannot_compile():
    model = made("diagonal_bilstm", image_shape=(2, 3, 1))
    model.compile({"likelihood": "adam"}, jit_compile=True)
    data = tf.data.Dataset.from_tensors({"image": tf.zeros((2, 2, 3, 1))})
    with pytest.raises(UsageError, match="without --jit"):
        model.fit(data, verbose=0, shuffle=False)


def test_the_paper_has_as_many_layers_and_features():
    """Seven Diagonal BiLSTMs of h = 16; what is not the paper's are 64 weights a layer from the image."""
    model = pixelrnn.PixelRNN(pixelrnn.Config())
    first = 32 * (3 * 7 + 3) + 32  # of 7x7, the pixels before the centre
    stream = 64 * 32 + 64 * 32 + 64 + 2 * 16  # inputs, states of two neighbours, bias, first states
    head = 2 * (32 * 32 + 32) + 33
    masked = 32 * 4  # the centre of 7x7 and what stands right of it
    counted = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert counted == first + masked + 7 * (2 * stream + 64 + 16 * 32 + 32) + head


@pytest.mark.parametrize(
    ("config_class", "options"),
    [
        (pixelcnn.Config, {"levels": 1}),
        (pixelcnn.Config, {"levels": 257}),
        (pixelcnn.Config, {"size": 4}),
        (pixelcnn.Config, {"image_shape": (8, 8, 3), "hidden_features": 2}),
        (pixelrnn.Config, {"layers": 0}),
        (pixelrnn.Config, {"columns": 2}),
    ],
)
def test_what_cannot_be_is_refused(config_class, options):
    with pytest.raises(UsageError):
        config_class(**options)
