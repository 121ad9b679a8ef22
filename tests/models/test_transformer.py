"""The Transformer is a distribution of targets for each source; padding is nothing; drawing is scoring."""

from __future__ import annotations

import itertools
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo import registry, sampling, training
from zoo.base import configure
from zoo.distributions import draw_categorical
from zoo.errors import UsageError
from zoo.layers.text import NOTHING, UNKNOWN
from zoo.models.transformer import Config, Transformer
from zoo.noise import RowNoise, StepNoise

WORDS = (UNKNOWN, "a", "red", "blue", "ring")
SOURCES = ["a red ring", "ring", "a a a blue blue ring", ""]
TEXT = {"target_vocabulary": (UNKNOWN, "un", "anneau", "rouge"), "target_length": 6}
IMAGE = {"image_shape": (2, 3, 1), "levels": 2, "group": 1}


def transformer(sharpness: float = 1.0, **options) -> Transformer:
    """A model with large random weights; the larger its embeddings, the more its conditionals differ."""
    values = {"source_vocabulary": WORDS, "width": 8, "depth": 2, "heads": 2, "hidden": 12, **options}
    keras.utils.set_random_seed(0)
    model = Transformer(Config(**values))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        drawn, name = random.normal(size=variable.shape), variable.path.split("/")[-1]
        if name in ("gamma", "beta", "bias"):
            variable.assign((name == "gamma") + 0.2 * drawn)
        elif name == "kernel":
            variable.assign(0.7 * drawn / np.sqrt(variable.shape[0]))
        else:
            variable.assign(3.0 * drawn / np.sqrt(variable.shape[1]))
    model.target_embedding.assign(sharpness * model.target_embedding)
    return model


def every_image(levels: int = 2) -> np.ndarray:
    """All images of 6 values."""
    return (np.array(list(itertools.product(range(levels), repeat=6)), np.float32) / (levels - 1)).reshape(
        -1, 2, 3, 1
    )


def given(model: Transformer, x, source: str) -> np.ndarray:
    """log p(x | source) of examples."""
    return model.log_prob_given(tf.constant(x), tf.fill((len(x),), source)).numpy().astype(np.float64)


@pytest.mark.parametrize("options", [{}, {"group": 3}, {"levels": 3, "group": 2}], ids=str)
def test_the_probabilities_of_all_images_sum_to_one_for_each_source(options):
    model = transformer(**{**IMAGE, **options})
    found = [given(model, every_image(model.config.levels), source) for source in SOURCES]
    for log_prob in found:
        assert np.logaddexp.reduce(log_prob) == pytest.approx(0.0, abs=1e-5)
    assert np.abs(found[0] - found[2]).max() > 0.1  # the source counts


def test_the_probabilities_of_all_texts_sum_to_one():
    """Of the texts of at most 5 words: what is missing are the longer ones, which a sampler counts."""
    model = transformer(0.3, **TEXT)
    words = TEXT["target_vocabulary"]
    # The word that stands for unknown ones is written as one that is not in the vocabulary.
    texts = [" ".join(["xyz" if word == UNKNOWN else word for word in text])
             for n in range(6) for text in itertools.product(words, repeat=n)]  # fmt: skip
    total = np.exp(given(model, np.array(texts, object), "a red ring")).sum()
    assert total < 1
    noise = RowNoise(tf.range(4000, dtype=tf.int64))
    prompt, temperature = tf.fill((4000,), "a red ring"), tf.ones(4000)
    drawn = tf.function(lambda: model.sample_with(noise, prompt=prompt, temperature=temperature))()
    lengths = np.array([len(text.split()) for text in drawn.numpy()])
    assert (lengths <= 5).mean() == pytest.approx(total, abs=0.04)
    assert 0.05 < total < 0.99


def test_a_value_changes_no_conditional_at_or_before_its_place():
    model = transformer(image_shape=(3, 4, 1), levels=2, group=1)
    values = np.random.default_rng(6).integers(0, 2, (1, 12)).astype(np.int32)
    source = tf.constant(["a red ring"])
    before = model.predict_all(tf.constant(values), source).numpy()
    for place in range(12):
        changed = values.copy()
        changed[0, place] = 1 - changed[0, place]
        after = model.predict_all(tf.constant(changed), source).numpy()
        np.testing.assert_array_equal(after[:, : place + 1], before[:, : place + 1])
        assert (np.abs(after - before)[0, place + 1 :].max(-1) > 1e-6).all()


def test_every_word_of_the_source_counts_and_so_does_its_place():
    model = transformer(**IMAGE)
    x = every_image()[:1]
    sources = ["a red ring", "blue red ring", "a blue ring", "a red blue", "ring red a", "a red xyz"]
    found = [given(model, x, source)[0] for source in sources]
    assert np.abs(np.subtract.outer(found, found))[~np.eye(6, dtype=bool)].min() > 1e-4


@pytest.mark.parametrize("options", [IMAGE, TEXT], ids=["image", "text"])
def test_padding_changes_nothing(options):
    """Each row alone, without the padding that longer sources and targets bring."""
    model = transformer(**options)
    x = (
        every_image()[[3, 9, 27, 60]]
        if options is IMAGE
        else np.array(["un", "rouge un anneau", "", "un un"])
    )
    together = model.log_prob_given(tf.constant(x), tf.constant(SOURCES)).numpy()
    assert np.isfinite(together).all()
    for row, source in enumerate(SOURCES):
        np.testing.assert_allclose(
            given(model, x[row : row + 1], source), together[row], rtol=1e-4, atol=1e-5
        )


def test_a_text_ends_once():
    model = transformer(**TEXT)
    values = model.sequence(tf.constant(["un anneau rouge", "", "xyz"])).numpy()
    assert values.tolist() == [
        [1, 2, 3, 4],
        [4, NOTHING, NOTHING, NOTHING],
        [0, 4, NOTHING, NOTHING],
    ]
    texts = model.example(tf.constant([[1, 4, 2, 4], [4, 1, 1, 1], [1, 2, 3, 3]])).numpy().tolist()
    assert texts == [b"un", b"", b"un anneau rouge rouge"]


def by_full_passes(model: Transformer, source: tf.Tensor, uniform: np.ndarray) -> np.ndarray:
    """A sampler that runs the whole network anew for each place."""
    rows, length = uniform.shape
    drawn = np.zeros((rows, length), np.int32)
    for t in range(length):
        logits = model.predict_all(tf.constant(drawn), source)[:, t]
        drawn[:, t] = draw_categorical(logits, tf.constant(uniform[:, t]))
    return drawn


@pytest.mark.parametrize("options", [{**IMAGE, "levels": 3}, TEXT], ids=["image", "text"])
def test_kept_keys_and_values_give_what_full_passes_give(options):
    model = transformer(0.5, **options)
    rows, length = 24, 7 if options is TEXT else 6  # the end of a text is drawn too
    noise, source = RowNoise(tf.range(rows, dtype=tf.int64)), tf.constant(SOURCES * (rows // len(SOURCES)))
    expected = by_full_passes(model, source, noise.uniform("values", (length,)).numpy())
    graph = tf.function(
        lambda: model.sample_with(noise, prompt=source, temperature=tf.ones(rows)), autograph=False
    )
    np.testing.assert_array_equal(graph(), model.example(tf.constant(expected)))
    assert len(np.unique(expected, axis=0)) > 10


def test_samples_come_as_often_as_their_probability_says():
    model, draws = transformer(0.15, **IMAGE), 20_000
    graph = tf.function(
        lambda prompt: model.sample_with(
            RowNoise(tf.range(draws, dtype=tf.int64)),
            prompt=tf.fill((draws,), prompt),
            temperature=tf.ones(draws),
        ),
        autograph=False,
    )
    everything = every_image()
    for source, other in (("a red ring", "blue"), ("blue", "a red ring")):
        drawn = graph(tf.constant(source)).numpy().reshape(draws, 6)
        counts = np.bincount((drawn @ 2 ** np.arange(5, -1, -1)).astype(int), minlength=64)
        for each, fits in ((source, True), (other, False)):  # another source is told apart
            expected = draws * np.exp(given(model, everything, each))
            assert expected.min() > 1
            # Of one million fixed seeds, one would fail here by chance.
            assert (stats.chisquare(counts, expected * draws / expected.sum()).pvalue > 1e-6) == fits


def test_texts_come_as_often_as_their_probability_says():
    """Those of the most tokens too, whose end is drawn as any other token is."""
    words = TEXT["target_vocabulary"][1:]
    options = {**TEXT, "target_vocabulary": (UNKNOWN, *words), "target_length": 2}
    model, other, draws = transformer(0.3, **options), transformer(0.2, **options), 20_000
    drawn = tf.function(
        lambda: model.sample_with(
            RowNoise(tf.range(draws, dtype=tf.int64)),
            prompt=tf.fill((draws,), "a red ring"),
            temperature=tf.ones(draws),
        ),
        autograph=False,
    )()
    texts = [" ".join(text) for n in range(3) for text in itertools.product(words, repeat=n)]
    found = Counter(text.decode() for text in drawn.numpy())
    counts = np.array([found[text] for text in texts])
    counts = np.append(counts, draws - counts.sum())  # the longer ones, and those of unknown words, together
    for each, fits in ((model, True), (other, False)):
        expected = draws * np.exp(given(each, np.array(texts, object), "a red ring"))
        expected = np.append(expected, draws - expected.sum())
        assert expected.min() > 5
        assert (stats.chisquare(counts, expected).pvalue > 1e-6) == fits


@pytest.mark.parametrize("options", [IMAGE, TEXT], ids=["image", "text"])
def test_labels_are_smoothed_in_training_only(options):
    plain, smooth = transformer(**options), transformer(**options, smoothing=0.2)
    x = every_image()[:4] if options is IMAGE else np.array(["un", "rouge un anneau", "", "un un"])
    batch = {plain.modality: tf.constant(x), "caption": tf.constant(SOURCES)}
    nats = given(plain, x[:1], SOURCES[0])
    np.testing.assert_array_equal(given(smooth, x[:1], SOURCES[0]), nats)
    (loss, terms), (smoothed, smooth_terms) = (
        m.objective(batch, {}, StepNoise(0, 0, 4)) for m in (plain, smooth)
    )
    all_nats = plain.log_prob_given(tf.constant(x), tf.constant(SOURCES)).numpy()
    assert loss.numpy() == pytest.approx(-all_nats.mean(), rel=1e-4)
    assert terms["nll"].numpy() == smooth_terms["nll"].numpy() == pytest.approx(loss.numpy(), rel=1e-6)
    values = plain.sequence(tf.constant(x)).numpy()
    log_p = tf.nn.log_softmax(plain.predict_all(tf.constant(values), tf.constant(SOURCES))).numpy()
    spread = np.where(values == NOTHING, 0.0, log_p.mean(-1)).sum(1).mean()
    assert smoothed.numpy() == pytest.approx(0.8 * loss.numpy() - 0.2 * spread, rel=1e-4)


def test_the_papers_preset_is_the_base_model():
    config = configure(
        Config, {**registry.presets("transformer")["paper"]["config"], "target_vocabulary": ("a",)}
    )
    assert (config.depth, config.width, config.hidden, config.heads) == (6, 512, 2048, 8)

    def blocks(width: int, hidden: int, depth: int) -> int:
        attention = 4 * width * (width + 1)
        network, norm = 2 * width * hidden + width + hidden, 2 * width
        return depth * ((attention + network + 2 * norm) + (2 * attention + network + 3 * norm))

    tiny = transformer(**TEXT)
    embeddings = (len(WORDS) + len(TEXT["target_vocabulary"]) + 1) * 8
    assert sum(int(np.prod(v.shape)) for v in tiny.trainable_variables) == blocks(8, 12, 2) + embeddings
    # Table 3 has 65 million with one table of 37,000 byte pairs.
    assert blocks(512, 2048, 6) == 44_138_496
    assert blocks(512, 2048, 6) + 37_000 * 512 == pytest.approx(65e6, rel=0.05)


@pytest.mark.usefixtures("no_curves")
def test_a_table_of_pairs_is_trained_on_scored_and_drawn_from(tmp_path):
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    lines = [f"{a} plus {b}, {numbers[a + b]}!" for a in range(5) for b in range(5)]
    (tmp_path / "pairs.csv").write_text(
        "source,target\n" + "".join(f"{x}\n".replace(", ", ",") for x in lines)
    )
    config = {"width": 8, "depth": 1, "hidden": 8, "heads": 2}
    run = training.train(
        "transformer",
        preset="pairs",
        dataset=f"csv:{tmp_path / 'pairs.csv'}",
        settings=config,
        steps=3,
        batch_size=8,
        run_dir=tmp_path / "run",
    )
    assert np.isfinite(run.record["result"]["log_prob"]["value"])
    model = sampling.load(run.saved_model)
    assert (model.modality, model.kind, model.conditions) == ("text", "exact", ("prompt", "temperature"))
    drawn = model.sample([1, 2], prompt="3 plus 4")
    assert len(drawn) == 2
    assert all(len(text.decode().split()) <= 3 for text in drawn)  # the longest target, and one more
    scores = model.log_prob(["seven!", "two"], prompts=["3 plus 4", "1 plus 1"])["log_prob"]
    assert (scores < 0).all()
    with pytest.raises(UsageError, match="knows no 'minus'"):
        model.sample([1], prompt="3 minus 4")
    with pytest.raises(UsageError, match="draw nothing without a prompt"):
        model.sample([1])
    with pytest.raises(UsageError, match="given its text"):
        model.log_prob(["two"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 9}, "multiple of heads"),
        ({**IMAGE, "group": 4}, "does not divide the 6"),
        ({"depth": 0}, "at least 1"),
        ({"smoothing": 1.0}, "dropout and smoothing"),
    ],
)
def test_impossible_options_are_refused(options, why):
    with pytest.raises(UsageError, match=why):
        transformer(**options)
