"""A recurrent network is a distribution: it sums to one, looks only back, and its sampler draws from it."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo.errors import UsageError
from zoo.layers.text import NOTHING, decode_text
from zoo.models.rnn import RNN, Config
from zoo.noise import RowNoise, StepNoise

CELLS = ("vanilla", "lstm", "gru")
TEXT = {"vocabulary": ("a", "b", "\n"), "length": 4, "sample_length": 5}


def rnn(cell: str = "lstm", spread: float = 0.8, **options) -> RNN:
    """A network with large random weights, so that its conditionals are far from uniform."""
    sizes = {"image_shape": (2, 3, 1), "units": 5, "embedding_size": 4}
    model = RNN(Config(**{**sizes, "cell": cell, **options}))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * spread)
    return model


def every(values: int, shape: tuple[int, ...]) -> np.ndarray:
    """All sequences of values 0 .. values - 1, in the given shape."""
    states = itertools.product(range(values), repeat=int(np.prod(shape)))
    return np.array(list(states)).reshape(-1, *shape)


def images(levels: int, shape: tuple[int, int, int]) -> np.ndarray:
    """All images of some levels."""
    return every(levels, shape).astype(np.float32) / (levels - 1)


def seeds(count: int) -> RowNoise:
    return RowNoise(tf.range(count, dtype=tf.int64))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# -- likelihood ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("levels", "shape", "layers"), [(2, (2, 4, 1), 1), (3, (2, 2, 1), 1), (3, (1, 2, 2), 2)]
)
def test_the_probabilities_of_all_images_sum_to_one(cell, levels, shape, layers):
    model = rnn(cell, image_shape=shape, levels=levels, layers=layers)
    log_prob = model.log_prob(images(levels, shape)).numpy()
    assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)
    assert log_prob.max() - log_prob.min() > 2  # far from the uniform distribution


@pytest.mark.parametrize("cell", CELLS)
def test_the_probabilities_of_all_texts_sum_to_one(cell):
    log_prob = rnn(cell, **TEXT).log_prob(every(3, (4,))).numpy()
    assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_the_conditionals_are_those_of_the_equations(cell):
    """The equations of the module, one step at a time in NumPy, from the weights of Keras' layers."""
    model = rnn(cell, levels=3)
    weights = {v.name: v.numpy().astype(np.float64) for v in model.trainable_variables}
    embeddings, place = weights["embeddings"], weights["place"]
    W, U, bias = (v.numpy().astype(np.float64) for v in model.recurrent[0].trainable_variables)
    V, b = (v.numpy().astype(np.float64) for v in model.head.trainable_variables)
    values = np.random.default_rng(6).integers(3, size=6)
    h, c, previous, expected = np.zeros(5), np.zeros(5), 3, []
    for t, value in enumerate(values):
        e = embeddings[previous] + place[t]
        if cell == "vanilla":
            h = np.tanh(e @ W + h @ U + bias)
        elif cell == "lstm":
            i, f, g, o = np.split(e @ W + h @ U + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            x, r = np.split(e @ W + bias[0], 3), np.split(h @ U + bias[1], 3)
            z = sigmoid(x[0] + r[0])
            h = z * h + (1 - z) * np.tanh(x[2] + sigmoid(x[1] + r[1]) * r[2])
        logits = h @ V + b
        expected.append(logits[value] - np.logaddexp.reduce(logits))
        previous = value
    found = model.log_conditionals((values / 2).reshape(1, 2, 3, 1).astype(np.float32))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{"levels": 4}, TEXT], ids=["image", "text"])
def test_a_value_changes_what_comes_after_it_and_nothing_before(cell, options):
    model = rnn(cell, layers=2, **options)
    values = np.random.default_rng(7).integers(3, size=(1, model.dimensions)).astype(np.int32)
    before = model.logits(tf.constant(values)).numpy()[0]
    for t in range(model.dimensions):
        changed = values.copy()
        changed[0, t] = (values[0, t] + 1) % 3
        apart = np.abs(model.logits(tf.constant(changed)).numpy()[0] - before).max(1)
        assert (apart[: t + 1] == 0).all(), t
        assert (apart[t + 1 :] > 1e-4).all(), t


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{"levels": 4}, TEXT], ids=["image", "text"])
def test_step_by_step_is_the_whole_at_once(cell, options):
    model = rnn(cell, layers=2, **options)
    values = np.random.default_rng(8).integers(3, size=(3, model.dimensions)).astype(np.int32)
    states = [tf.zeros((3, 5))] * (4 if cell == "lstm" else 2)
    previous, logits = tf.fill((3,), model.values), []
    for t in range(model.dimensions):
        each, states = model.advance(previous, tf.constant(t), states)
        logits.append(each)
        previous = tf.constant(values[:, t])
    np.testing.assert_allclose(np.stack(logits, 1), model.logits(tf.constant(values)), rtol=1e-4, atol=1e-5)


def test_the_channels_of_a_pixel_stand_together():
    """The first conditional that sees the red of a pixel is that of its green."""
    model = rnn(image_shape=(1, 2, 3))
    image = np.zeros((1, 1, 2, 3), np.float32)
    red = image.copy()
    red[0, 0, 1, 0] = 1.0  # the fourth value
    apart = np.abs(model.log_conditionals(red) - model.log_conditionals(image))[0]
    assert (apart[:3] == 0).all()
    assert apart[4] > 0


def test_the_loss_is_the_mean_negative_log_likelihood():
    for options in ({}, TEXT):
        model = rnn(**options)
        x = images(2, (2, 3, 1))[::7] if not options else every(3, (4,))[::7].astype(np.int32)
        loss, terms = model.objective({model.modality: tf.constant(x)}, {}, StepNoise(0, 0, len(x)))
        assert loss.numpy() == pytest.approx(-model.log_prob(x).numpy().mean(), rel=1e-5)
        assert terms["nll"].numpy() == loss.numpy()


def test_dropout_is_of_training_alone():
    model = rnn(dropout=0.5)
    x = {"image": tf.constant(images(2, (2, 3, 1)))}
    first, second = (model.objective(x, {}, StepNoise(0, step, 64))[0].numpy() for step in (0, 1))
    assert first != second
    assert first != pytest.approx(-model.log_prob(x["image"]).numpy().mean(), rel=1e-4)
    np.testing.assert_array_equal(model.log_prob(x["image"]), rnn().log_prob(x["image"]))


def test_it_begins_at_the_frequencies_of_the_values():
    model = RNN(Config(units=3, embedding_size=2, **TEXT))
    model.begin({"tokens": tf.constant([[0, 0, 1, 0]] * 10)})
    p = np.array([30.5, 10.5, 0.5]) / 41.5
    np.testing.assert_allclose(model.head.bias.numpy(), np.log(p), rtol=1e-5)


# -- the cells -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "formula"),
    [
        ("vanilla", lambda d, h: h * (d + h + 1)),
        ("lstm", lambda d, h: 4 * h * (d + h + 1)),
        ("gru", lambda d, h: 3 * h * (d + h + 2)),  # two biases
    ],
)
def test_a_cell_has_as_many_parameters_as_its_formula(cell, formula):
    model = RNN(Config(image_shape=(2, 3, 1), cell=cell, layers=2, units=7, embedding_size=3))
    assert [layer.count_params() for layer in model.recurrent] == [formula(3, 7), formula(7, 7)]


def run(model: RNN, states: list[np.ndarray], steps: int = 30) -> list[np.ndarray]:
    """The states after some steps over random values."""
    values = np.random.default_rng(9).integers(model.values, size=(steps, len(states[0])))
    for value in values:
        _, states = model.advance(tf.constant(value, tf.int32), tf.constant(0), states)
    return [state.numpy() for state in states]


def test_an_lstm_with_its_forget_gate_open_and_its_input_gate_shut_keeps_its_cell():
    model = rnn("lstm")
    bias = model.recurrent[0].cell.bias
    start = [np.random.default_rng(10).normal(size=(4, 5)).astype(np.float32) for _ in range(2)]
    assert np.abs(run(model, start)[1] - start[1]).max() > 0.1
    bias.assign(np.concatenate([np.full(5, -60.0), np.full(5, 60.0), bias.numpy()[10:]]))  # i, f, g, o
    h, c = run(model, start)
    np.testing.assert_array_equal(c, start[1])
    assert np.abs(h - start[0]).max() > 0.1  # the output gate still moves


def test_a_gru_with_its_update_gate_saturated_keeps_its_state():
    model = rnn("gru")
    bias = model.recurrent[0].cell.bias
    start = [np.random.default_rng(10).uniform(-1, 1, size=(4, 5)).astype(np.float32)]
    assert np.abs(run(model, start)[0] - start[0]).max() > 0.1
    changed = bias.numpy()
    changed[0, :5] = 60.0  # z
    bias.assign(changed)
    np.testing.assert_array_equal(run(model, start)[0], start[0])


def test_the_forget_gates_start_open():
    model = RNN(Config(units=4, embedding_size=2, **TEXT))
    np.testing.assert_array_equal(model.recurrent[0].cell.bias.numpy(), [0] * 4 + [1] * 4 + [0] * 8)


# -- drawing -------------------------------------------------------------------------------------------------


def fits(drawn: np.ndarray, states: np.ndarray, log_prob: np.ndarray) -> float:
    """How well draws [N, ...] fit the probabilities of all states [S, ...]: a p-value."""
    flat = states.reshape(len(states), -1)
    place = {row.tobytes(): index for index, row in enumerate(flat)}
    counts = np.bincount(
        [place[row.tobytes()] for row in drawn.reshape(len(drawn), -1).astype(flat.dtype)],
        minlength=len(states),
    )
    expected = np.exp(log_prob.astype(np.float64))
    expected *= len(drawn) / expected.sum()
    rare = expected < 5  # counted together
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    return stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue


@pytest.mark.parametrize("cell", CELLS)
def test_samples_come_as_often_as_their_probability_says(cell):
    """Of one million fixed seeds, one would fail here by chance; another model's probabilities do."""
    shape = (2, 2, 1)
    model, other = (rnn(cell, spread, levels=3, image_shape=shape, layers=2) for spread in (0.5, 0.4))
    drawn = tf.function(lambda: model.sample(seeds(20_000)), autograph=False)().numpy()
    states = images(3, shape)
    assert fits(drawn, states, model.log_prob(states).numpy()) > 1e-6
    assert fits(drawn, states, other.log_prob(states).numpy()) < 1e-6


def test_texts_go_on_with_the_probability_that_the_prompt_leaves_them():
    model = rnn("gru", 0.5, vocabulary=TEXT["vocabulary"], length=5, sample_length=3)
    draws = 10_000
    free = {"temperature": tf.ones(draws), "top_k": tf.zeros(draws, tf.int32)}
    drawn = tf.function(
        lambda: model.sample_with(seeds(draws), prompt=tf.fill((draws,), "ba"), **free), autograph=False
    )().numpy()
    assert (drawn[:, :2] == [1, 0]).all()
    behind = every(3, (3,)).astype(np.int32)
    whole = np.concatenate([np.tile(np.array([[1, 0]], np.int32), (27, 1)), behind], 1)
    assert fits(drawn[:, 2:], behind, model.log_prob(whole).numpy()) > 1e-6


def test_a_prompt_stands_as_it_is_whatever_else_is_in_the_batch():
    model = rnn(**TEXT)
    prompts = ["", "ab\nba", "b", "abababab"]
    free = {"temperature": tf.ones(4), "top_k": tf.zeros(4, tf.int32)}
    tokens = model.sample_with(seeds(4), prompt=tf.constant(prompts), **free)
    together = [text.decode() for text in decode_text(tokens, model.vocabulary).numpy()]
    for row, (text, prompt) in enumerate(zip(together, prompts, strict=True)):
        assert text.startswith(prompt)
        assert len(text) == len(prompt) + 5
        one = {name: value[:1] for name, value in free.items()}
        noise = RowNoise(tf.constant([row], tf.int64))
        alone = model.sample_with(noise, prompt=tf.constant([prompt]), **one)
        assert decode_text(alone, model.vocabulary).numpy()[0].decode() == text
    np.testing.assert_array_equal(tokens[0, :5], model.sample(seeds(4))[0])  # an empty prompt is none
    assert (tokens.numpy()[0, 5:] == NOTHING).all()


@pytest.mark.parametrize("options", [{"levels": 4}, TEXT], ids=["image", "text"])
def test_temperature_and_top_k_narrow_the_draw(options):
    model, rows = rnn(**options), 300
    prompt = {"prompt": tf.fill((rows,), "")} if model.vocabulary else {}

    @tf.function(autograph=False)
    def draw(temperature: tf.Tensor, top_k: tf.Tensor) -> tf.Tensor:
        narrow = {"temperature": tf.fill((rows,), temperature), "top_k": tf.fill((rows,), top_k)}
        return model.sample_with(seeds(rows), **prompt, **narrow)

    def drawn(temperature: float, top_k: int) -> np.ndarray:
        values = draw(tf.constant(temperature), tf.constant(top_k)).numpy().reshape(rows, -1)
        return values if model.vocabulary else np.round(3 * values).astype(int)

    free = model.sample(seeds(rows)).numpy().reshape(rows, -1)
    np.testing.assert_array_equal(drawn(1.0, 0), free if model.vocabulary else np.round(3 * free))
    np.testing.assert_array_equal(drawn(1.0, 99), drawn(1.0, 0))
    likeliest = drawn(1.0, 1)
    assert (likeliest == likeliest[0]).all()
    np.testing.assert_array_equal(drawn(0.0, 0), likeliest)
    first, _ = model.advance(tf.fill((1,), model.values), tf.constant(0), [tf.zeros((1, 5))] * 2)
    best = np.argsort(first.numpy()[0])[::-1]
    assert likeliest[0, 0] == best[0]
    assert set(drawn(1.0, 2)[:, 0]) == set(best[:2])
    varied = [len(np.unique(drawn(temperature, 0), axis=0)) for temperature in (0.3, 1.0, 5.0)]
    assert varied[0] < varied[1] < varied[2]


def test_completing_draws_the_rest_as_the_model_says():
    """Behind a known beginning the rest comes with the probability that the beginning leaves it."""
    model, draws, shape = rnn("gru", 0.5), 10_000, (2, 3, 1)
    known = np.zeros((draws, 2, 3), bool)
    known[:, 0] = True
    x = np.full((draws, *shape), 0.25, np.float32)
    x[:, 0, :, 0] = [0.9, 0.1, 0.6]
    drawn = tf.function(
        lambda: model.complete(x, tf.constant(known), seeds(draws)), autograph=False
    )().numpy()
    np.testing.assert_array_equal(drawn[:, 0], x[:, 0])  # not even cut to 0 or 1
    below = images(2, (1, 3, 1))
    above = np.tile(np.array([1, 0, 1], np.float32).reshape(1, 1, 3, 1), (8, 1, 1, 1))
    log_prob = model.log_prob(np.concatenate([above, below], 1)).numpy()
    assert fits(drawn[:, 1], below, log_prob) > 1e-6


def test_completing_a_text_keeps_the_known_tokens():
    model = rnn(**TEXT)
    tokens = np.array([[0, 1, 2, 1], [2, 2, 0, 0]], np.int32)
    known = np.array([[True, False, True, False], [False, True, False, False]])
    drawn = model.complete(tf.constant(tokens), tf.constant(known), seeds(2)).numpy()
    np.testing.assert_array_equal(drawn[known], tokens[known])
    assert set(drawn.ravel()) <= {0, 1, 2}


# -- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_the_layers_take_what_cudnn_takes(cell):
    for layer in RNN(Config(cell=cell, units=3, **TEXT)).recurrent:
        assert isinstance(layer, keras.layers.RNN)
        assert layer.cell.activation is keras.activations.tanh
        assert (
            getattr(layer.cell, "recurrent_activation", keras.activations.sigmoid)
            is keras.activations.sigmoid
        )
        assert layer.dropout == layer.recurrent_dropout == 0.0
        assert not layer.unroll
        assert getattr(layer.cell, "reset_after", True)


@pytest.mark.parametrize("options", [{"units": 0}, {"layers": 0}, {"levels": 1}, {"dropout": 1.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError, match="must be at least"):
        Config(**options)
