"""ImageGPT is a distribution, looks only back, and draws one place at a time what it would draw at once."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo import registry
from zoo.base import configure
from zoo.distributions import draw_categorical
from zoo.errors import UsageError
from zoo.layers.text import NOTHING
from zoo.models.imagegpt import Config, ImageGPT
from zoo.noise import RowNoise, StepNoise

LETTERS = tuple("abcd")


def imagegpt(sharpness: float = 1.0, **options) -> ImageGPT:
    """A model with large random weights, so that its conditionals differ, the more the larger its logits."""
    values = {"image_shape": (2, 3, 1), "width": 8, "depth": 2, "heads": 2, "expansion": 2, **options}
    model = ImageGPT(Config(**values))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        drawn, name = random.normal(size=variable.shape), variable.path.split("/")[-1]
        if name in ("gamma", "beta", "bias"):
            variable.assign((name == "gamma") + 0.2 * drawn)
        else:
            variable.assign(
                drawn if name in ("embeddings", "place") else 2.0 * drawn / np.sqrt(variable.shape[0])
            )
    model.head.kernel.assign(sharpness * model.head.kernel)
    model.head.bias.assign(sharpness * model.head.bias)
    return model


def every_image(shape: tuple[int, int, int], levels: int = 2) -> np.ndarray:
    """All images of so many levels."""
    states = itertools.product(range(levels), repeat=int(np.prod(shape)))
    return (np.array(list(states), np.float32) / (levels - 1)).reshape(-1, *shape)


KINDS = [
    {},
    {"group": 2},
    {"group": 6},
    {"image_shape": (2, 2, 1), "levels": 3},
    {"image_shape": (1, 2, 3), "group": 3},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_probabilities_of_all_images_sum_to_one(options):
    model = imagegpt(**options)
    log_prob = model.log_prob(every_image(model.config.image_shape, model.config.levels)).numpy()
    assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)
    assert log_prob.max() - log_prob.min() > 3  # far from the uniform distribution


def test_the_probabilities_of_all_texts_sum_to_one():
    model = imagegpt(vocabulary=LETTERS, length=4)
    texts = np.array(list(itertools.product(range(4), repeat=4)), np.int32)
    assert np.logaddexp.reduce(model.log_prob(texts).numpy()) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"group": 3}], ids=str)
def test_conditionals_are_those_that_enumeration_gives(options):
    """log p(x_t | x_<t) is a ratio of sums over the images that agree on x_<=t and on x_<t."""
    model = imagegpt(**options)
    everything = every_image((2, 3, 1))
    values = model.sequence(everything).numpy()
    probability = np.exp(model.log_prob(everything).numpy().astype(np.float64))
    x = values[37]
    conditionals = model.log_conditionals(everything[37:38]).numpy()[0]
    assert conditionals.shape == (6 // model.config.group,)
    for t in range(len(x)):
        before = (values[:, :t] == x[:t]).all(1)
        enumerated = probability[before & (values[:, t] == x[t])].sum() / probability[before].sum()
        assert np.log(enumerated) == pytest.approx(conditionals[t], abs=1e-4)


def test_a_value_changes_no_conditional_at_or_before_its_place():
    model = imagegpt(image_shape=(3, 4, 1))
    values = np.random.default_rng(6).integers(0, 2, (1, 12)).astype(np.int32)
    before = model.logits(tf.constant(values)).numpy()
    for place in range(12):
        changed = values.copy()
        changed[0, place] = 1 - changed[0, place]
        after = model.logits(tf.constant(changed)).numpy()
        np.testing.assert_array_equal(after[:, : place + 1], before[:, : place + 1])
        assert (np.abs(after - before)[0, place + 1 :].max(-1) > 1e-5).all()


def by_full_passes(model: ImageGPT, uniform: np.ndarray) -> np.ndarray:
    """A sampler that runs the whole network anew for each place, over the window that the place is in."""
    rows, length = uniform.shape
    half = model.places // 2
    drawn = np.zeros((rows, length), np.int32)
    start = 0
    for t in range(length):
        if t - start == model.places:
            start = t - half
        window = np.zeros((rows, model.places), np.int32)
        window[:, : t - start] = drawn[:, start:t]
        logits = model.logits(tf.constant(window))[:, t - start]
        drawn[:, t] = draw_categorical(logits, tf.constant(uniform[:, t]))
    return drawn


@pytest.mark.parametrize(
    "options",
    [
        {"image_shape": (3, 4, 1)},
        {"image_shape": (3, 4, 1), "group": 2, "levels": 3},
        {"vocabulary": LETTERS, "length": 6, "sample_length": 20},
        {"vocabulary": LETTERS, "length": 7, "sample_length": 21},
        {"vocabulary": LETTERS, "length": 2, "sample_length": 5},
    ],
    ids=str,
)
def test_kept_keys_and_values_give_what_full_passes_give(options):
    model = imagegpt(**options)
    noise = RowNoise(tf.range(30, dtype=tf.int64))
    size = options.get("sample_length", model.places)
    expected = by_full_passes(model, noise.uniform("values", (size,)).numpy())
    drawn = tf.function(lambda: model.sample(noise), autograph=False)()
    np.testing.assert_array_equal(drawn, model.example(tf.constant(expected)))
    assert len(np.unique(expected, axis=0)) > 10


def counted(drawn: np.ndarray, model: ImageGPT) -> np.ndarray:
    """How often each image is drawn, in the order of `every_image`."""
    levels = model.config.levels
    flat = np.round(np.reshape(drawn, (len(drawn), -1)) * (levels - 1)).astype(int)
    index = flat @ levels ** np.arange(flat.shape[1] - 1, -1, -1)
    return np.bincount(index, minlength=levels ** flat.shape[1])


@pytest.mark.parametrize("options", [{}, {"group": 2}, {"image_shape": (2, 2, 1), "levels": 3}], ids=str)
def test_samples_come_as_often_as_their_probability_says(options):
    model, other = imagegpt(0.2, **options), imagegpt(0.16, **options)
    draws = 20_000
    graph = tf.function(lambda seeds: model.sample(RowNoise(seeds)), autograph=False)
    counts = counted(graph(tf.range(draws, dtype=tf.int64)).numpy(), model)
    everything = every_image(model.config.image_shape, model.config.levels)
    for each, fits in ((model, True), (other, False)):  # a model that differs a little is told apart
        expected = draws * np.exp(each.log_prob(everything).numpy().astype(np.float64))
        assert expected.min() > 1
        # Of one million fixed seeds, one would fail here by chance.
        assert (stats.chisquare(counts, expected * draws / expected.sum()).pvalue > 1e-6) == fits


@pytest.mark.parametrize("options", [{}, {"group": 2}, {"group": 6}], ids=str)
def test_completions_come_as_often_as_their_probability_says(options):
    """What is unknown is drawn in order, given what stands before it and what is known of its own token."""
    model = imagegpt(0.3, **options)
    group = model.config.group
    x = np.array([1.0, 0, 0, 1, 0, 1], np.float32).reshape(1, 2, 3, 1)
    known = np.array([1, 0, 0, 1, 0, 0], bool).reshape(1, 2, 3)
    draws = 20_000
    graph = tf.function(
        lambda seeds: model.complete(tf.repeat(x, draws, 0), tf.repeat(known, draws, 0), RowNoise(seeds)),
        autograph=False,
    )
    completed = graph(tf.range(draws, dtype=tf.int64)).numpy()
    assert (completed[:, known[0]] == x[0][known[0]]).all()
    everything = every_image((2, 3, 1))
    conditionals = model.log_conditionals(everything).numpy().astype(np.float64)  # [64, T]
    fits = (everything == x).reshape(64, -1) | ~known.reshape(1, -1)
    probability = np.zeros(64)
    values = model.sequence(everything).numpy()
    for image in np.flatnonzero(fits.all(1)):
        log_p = 0.0
        for t in range(values.shape[1]):
            # Images that agree before this token, and whose token fits what is known of it.
            place = slice(t * group, (t + 1) * group)
            rivals = (values[:, :t] == values[image, :t]).all(1) & fits[:, place].all(1)
            _, first = np.unique(values[rivals, t], return_index=True)
            total = np.logaddexp.reduce(conditionals[rivals, t][first])
            log_p += conditionals[image, t] - total
        probability[image] = np.exp(log_p)
    assert probability.sum() == pytest.approx(1.0, abs=1e-5)
    counts = counted(completed, model)
    assert counts[probability == 0].sum() == 0
    counts, expected = counts[probability > 0], draws * probability[probability > 0]
    assert expected.min() > 5
    assert stats.chisquare(counts, expected * draws / expected.sum()).pvalue > 1e-6


def test_what_is_known_stays_whatever_its_value():
    model = imagegpt()
    x = np.random.default_rng(7).random((3, 2, 3, 1)).astype(np.float32)
    known = np.random.default_rng(8).random((3, 2, 3)) < 0.5
    completed = model.complete(
        tf.constant(x), tf.constant(known), RowNoise(tf.range(3, dtype=tf.int64))
    ).numpy()
    np.testing.assert_array_equal(completed[known], x[known])
    assert set(np.unique(completed[~known])) <= {0.0, 1.0}


def test_a_text_goes_on_from_its_prompt():
    model = imagegpt(vocabulary=LETTERS, length=6, sample_length=9)
    prompts = [b"", b"abcabcabcabc", b"d"]
    noise = RowNoise(tf.constant([4, 5, 6], tf.int64))
    narrowing = {"temperature": tf.ones(3), "top_k": tf.zeros(3, tf.int32)}
    drawn = model.sample_with(noise, prompt=tf.constant(prompts), **narrowing).numpy()
    texts = ["".join(LETTERS[value] for value in row if value != NOTHING) for row in drawn]
    assert [len(text) for text in texts] == [len(prompt) + 9 for prompt in prompts]
    assert all(text.startswith(prompt.decode()) for text, prompt in zip(texts, prompts, strict=True))
    np.testing.assert_array_equal(drawn[0, :9], model.sample(noise)[0])
    # Alone, without the padding that a longer prompt brings.
    alone = model.sample_with(
        RowNoise(tf.constant([6], tf.int64)),
        prompt=tf.constant([b"d"]),
        temperature=tf.ones(1),
        top_k=tf.zeros(1, tf.int32),
    )
    np.testing.assert_array_equal(alone[0], drawn[2, :10])


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_k": 2}, {"temperature": 0.0}], ids=str)
def test_a_prompt_stands_however_unlikely_it_is(options):
    model = imagegpt(vocabulary=LETTERS, length=6, sample_length=3)
    prompts = ["".join(text) for text in itertools.product(LETTERS, repeat=3)]
    rows = len(prompts)
    drawn = model.sample_with(
        RowNoise(tf.range(rows, dtype=tf.int64)),
        prompt=tf.constant(prompts),
        temperature=tf.fill((rows,), options.get("temperature", 1.0)),
        top_k=tf.fill((rows,), options.get("top_k", 0)),
    ).numpy()
    assert ["".join(LETTERS[value] for value in row[:3]) for row in drawn] == prompts


def test_texts_go_on_with_the_probability_that_the_prompt_leaves_them():
    model, other = (imagegpt(each, vocabulary=LETTERS, length=5, sample_length=3) for each in (0.2, 0.16))
    draws = 20_000
    graph = tf.function(lambda noise, **given: model.sample_with(noise, **given), autograph=False)
    drawn = graph(
        RowNoise(tf.range(draws, dtype=tf.int64)),
        prompt=tf.fill((draws,), "ba"),
        temperature=tf.ones(draws),
        top_k=tf.zeros(draws, tf.int32),
    ).numpy()
    counts = np.bincount(drawn[:, 2:] @ [16, 4, 1], minlength=64)
    behind = np.array(list(itertools.product(range(4), repeat=3)), np.int32)
    texts = np.concatenate([np.tile(np.array([[1, 0]], np.int32), (64, 1)), behind], 1)
    for each, fits in ((model, True), (other, False)):
        expected = np.exp(each.log_prob(texts).numpy().astype(np.float64))
        expected *= draws / expected.sum()
        assert expected.min() > 1
        assert (stats.chisquare(counts, expected).pvalue > 1e-6) == fits


def test_temperature_and_top_k_narrow_each_conditional():
    model = imagegpt(image_shape=(3, 4, 1), group=2)
    rows = 300
    noise = RowNoise(tf.range(rows, dtype=tf.int64))

    @tf.function(autograph=False)
    def graph(temperature: tf.Tensor, top_k: tf.Tensor) -> tf.Tensor:
        return model.sample_with(noise, temperature=temperature, top_k=top_k)

    def drawn(temperature: float, top_k: int) -> tf.Tensor:
        return graph(tf.fill((rows,), temperature), tf.fill((rows,), top_k))

    np.testing.assert_array_equal(drawn(1.0, 0), model.sample(noise))
    best = drawn(0.0, 0)
    np.testing.assert_array_equal(best, drawn(1.0, 1))
    assert len(np.unique(best.numpy().reshape(rows, -1), axis=0)) == 1
    mean = [
        tf.reduce_mean(model.log_prob(x)).numpy() for x in (best, drawn(1.0, 2), drawn(1.0, 0), drawn(9.0, 0))
    ]
    assert mean == sorted(mean, reverse=True)


def test_the_loss_is_the_mean_negative_log_likelihood():
    model = imagegpt()
    x = every_image((2, 3, 1))[::7]
    loss, terms = model.objective({"image": tf.constant(x)}, {}, StepNoise(0, 0, len(x)))
    assert loss.numpy() == pytest.approx(-model.log_prob(x).numpy().mean(), rel=1e-5)
    assert terms["nll"].numpy() == loss.numpy()


def test_the_papers_preset_is_igpt_s():
    config = configure(
        Config, {**registry.presets("imagegpt")["paper"]["config"], "image_shape": (32, 32, 3)}
    )
    width, places, colours = config.width, 32 * 32, 512
    assert config.levels**config.group == colours
    assert 32 * 32 * 3 // config.group == places

    def parameters(width: int, depth: int, places: int, values: int) -> int:
        block = 12 * width**2 + 13 * width
        return (values + 1 + places) * width + depth * block + 2 * width + values * (width + 1)

    tiny = imagegpt(expansion=4)
    assert sum(int(np.prod(v.shape)) for v in tiny.trainable_variables) == parameters(8, 2, 6, 2)
    assert parameters(width, config.depth, places, colours) == pytest.approx(76e6, rel=0.02)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 9}, "multiple of heads"),
        ({"group": 4}, "does not divide the 6"),
        ({"image_shape": (2, 8, 1), "group": 16}, "at most 4096"),
        ({"levels": 1}, "at least 2"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_options_are_refused(options, why):
    with pytest.raises(UsageError, match=why):
        imagegpt(**options)


def test_a_new_model_knows_nothing():
    keras.utils.set_random_seed(0)
    model = ImageGPT(Config(image_shape=(4, 4, 1), width=16, heads=2))
    x = (np.random.default_rng(9).random((20, 4, 4, 1)) < 0.5).astype(np.float32)
    assert model.log_prob(x).numpy() == pytest.approx(-16 * np.log(2), rel=0.2)
