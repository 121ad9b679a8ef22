"""DALL-E is a distribution of tokens for each caption; it sees what it may see; drawing is scoring."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo import registry
from zoo.base import Tokenises, configure
from zoo.errors import UsageError
from zoo.exporting import signatures
from zoo.layers.text import NOTHING, UNKNOWN
from zoo.models.dalle import DALLE, Config, pattern_of, sparse
from zoo.noise import RowNoise, StepNoise

WORDS = (UNKNOWN, "a", "red", "ring", "blue")
LENGTH, GRID, VALUES = 3, (2, 2), 3  # S, (h, w), K
TEXTS = ["a red ring", "ring", "", "blue blue xyz"]
ALL = np.array(list(itertools.product(range(VALUES), repeat=4)), np.int32)  # every grid of tokens


class Quarters(Tokenises):
    """A first stage whose tokens are the gray levels of the four pixels of an image."""

    def token_grid(self) -> tuple[int, int]:
        return GRID

    def token_values(self) -> int:
        return VALUES

    def tokenise(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.round(tf.reshape(x, (-1, 4)) * (VALUES - 1)), tf.int32)

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.cast(code, tf.float32) / (VALUES - 1), (-1, *GRID, 1))


def dalle(**options) -> DALLE:
    """A model with large random weights."""
    values = {"image_shape": (2, 2, 1), "grid": GRID, "codebook": VALUES, "source_vocabulary": WORDS}
    size = {"source_length": LENGTH, "width": 8, "depth": 2, "heads": 2, "expansion": 2}
    model = DALLE(Config(**{**values, **size, **options}))
    model.stand_on(Quarters(), "0" * 16)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        drawn, name = random.normal(size=variable.shape), variable.path.split("/")[-1]
        scale = variable.shape[0] ** -0.5 if name == "kernel" else 1.0
        variable.assign((name == "gamma") + scale * (0.2 if name in ("gamma", "beta") else 1.0) * drawn)
    return model


@pytest.fixture(scope="module")
def model() -> DALLE:
    return dalle(unprompted=0.5)


@pytest.fixture(scope="module")
def masked() -> DALLE:
    """Three blocks, each with another of the paper's patterns."""
    assert [pattern_of(block, 3) for block in (1, 2, 3)] == ["row", "column", "convolution"]
    return dalle(attention="sparse", kernel=1, depth=3)


def read(model: DALLE, *texts: str) -> tf.Tensor:
    return model.read(tf.constant([*texts]))


def images(tokens: np.ndarray) -> tf.Tensor:
    return Quarters().decode(tf.constant(tokens))


# -- a distribution ------------------------------------------------------------------------------------------


def test_the_probabilities_of_all_tokens_sum_to_one_for_each_caption(model, masked):
    for each in (model, masked):
        found = [each.log_prob_given(images(ALL), tf.fill((len(ALL),), text)).numpy() for text in TEXTS]
        for nats in found:
            assert np.logaddexp.reduce(nats.astype(np.float64)) == pytest.approx(0.0, abs=1e-5)
        assert np.abs(found[0] - found[1]).max() > 0.1  # the caption counts


def test_the_probabilities_of_all_captions_sum_to_one(model):
    """Of up to S words, each but an unknown one; what is behind the end costs nothing."""
    texts = np.array(
        [(*words, *[NOTHING] * (LENGTH - n)) for n in range(LENGTH + 1)
         for words in itertools.product(range(len(WORDS)), repeat=n)], np.int32)  # fmt: skip
    hidden = model.hidden(tf.constant(texts), tf.zeros((len(texts), 4), tf.int32))
    nats = tf.reduce_sum(model.log_words(hidden, tf.constant(texts)), 1).numpy().astype(np.float64)
    assert np.logaddexp.reduce(nats) == pytest.approx(0.0, abs=1e-5)


# -- what sees what ------------------------------------------------------------------------------------------


def test_nothing_sees_what_comes_behind_it(model, masked):
    """Each place that is changed moves what is predicted behind it, and nothing before it."""
    for each in (model, masked):
        text, tokens = read(each, "a red ring").numpy(), np.array([[0, 1, 2, 1]], np.int32)
        before = each.hidden(tf.constant(text), tf.constant(tokens)).numpy()[0]
        for place in range(LENGTH + 3):  # the last token is read by nobody
            changed = text.copy(), tokens.copy()
            if place < LENGTH:
                changed[0][0, place] = 4
            else:
                changed[1][0, place - LENGTH] = (tokens[0, place - LENGTH] + 1) % VALUES
            after = each.hidden(*map(tf.constant, changed)).numpy()[0]
            moved = np.abs(after - before).max(-1) > 1e-5
            assert not moved[: place + 1].any()
            assert moved[place + 1]
            if place < LENGTH:  # all of the image sees all of the text
                assert moved[LENGTH:].all()
        last = tf.constant([[0, 1, 2, 0]])
        np.testing.assert_array_equal(each.hidden(tf.constant(text), last)[0], before)


def test_a_place_without_a_word_has_a_sign_of_its_own(model):
    text = read(model, "ring", "")
    found = model.embed_text(text).numpy() - model.text_place.numpy()
    np.testing.assert_allclose(found[0, 1], model.word.numpy()[3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0, 2:], model.no_word.numpy()[1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1, 1:], model.no_word.numpy(), rtol=1e-5, atol=1e-6)


def test_a_token_knows_its_row_and_its_column(model):
    found = model.embed_image(tf.constant([[2, 2, 2, 2]]), tf.range(4)).numpy()[0]
    row, column = model.row.numpy(), model.column.numpy()
    expected = [model.token.numpy()[2] + row[i] + column[j] for i in range(2) for j in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_patterns_are_those_of_the_paper():
    """A grid of 4x4 behind 6 words, as its figure 11 has it, but for the sign of the beginning."""
    texts, side = 7, 4
    for kind in ("row", "column", "convolution"):
        seen = sparse(kind, texts, (side, side), 3)
        assert seen.shape == (texts + 15, texts + 15)
        np.testing.assert_array_equal(seen[:texts], np.tri(texts, texts + 15, dtype=bool))
        assert seen[texts:, :texts].all()
        for query, key in itertools.product(range(15), repeat=2):
            (a, b), (c, d) = divmod(query, side), divmod(key, side)
            allowed = {
                "row": query - side <= key,
                "column": b == d,
                "convolution": abs(a - c) <= 1 and abs(b - d) <= 1,
            }[kind]
            assert seen[texts + query, texts + key] == (allowed and key <= query)
    kinds = [pattern_of(block, 64) for block in range(1, 65)]
    assert kinds[:7] == ["row", "column", "row", "row", "row", "column", "row"]
    assert kinds[-1] == "convolution"
    assert kinds.count("column") == 16
    assert kinds.count("convolution") == 1


def test_a_block_takes_nothing_from_what_its_pattern_hides():
    """Of one block with a kernel of one: a token sees the caption and itself alone."""
    one = dalle(attention="sparse", kernel=1, depth=1)
    text = read(one, "a red ring")
    before, after = (one.hidden(text, tf.constant([[first, 1, 2, 1]])).numpy()[0] for first in (0, 2))
    np.testing.assert_allclose(after[LENGTH + 2 :], before[LENGTH + 2 :], atol=1e-6)
    assert np.abs(after - before)[LENGTH + 1].max() > 0.1


# -- drawing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["model", "masked"])
def test_drawing_with_kept_keys_is_drawing_with_full_passes(which, request):
    each = request.getfixturevalue(which)
    text = read(each, *TEXTS)
    uniform = RowNoise(tf.range(4, dtype=tf.int64)).uniform("tokens", (4,))
    drawn = each.continued(text, uniform, tf.ones(4), tf.zeros(4, tf.int32)).numpy()
    tokens = np.zeros((4, 4), np.int32)
    for place in range(4):
        hidden = each.hidden(text, tf.constant(tokens))
        logits = each.image_head(hidden[:, LENGTH:]).numpy()[:, place].astype(np.float64)
        cumulative = np.cumsum(np.exp(logits - np.logaddexp.reduce(logits, 1)[:, None]), 1)
        tokens[:, place] = (uniform.numpy()[:, place, None] >= cumulative[:, :-1]).sum(1)
    np.testing.assert_array_equal(drawn, tokens)


def test_tokens_are_drawn_as_often_as_they_are_likely(model):
    count = 4000
    noise = StepNoise(0, 0, count)  # all rows at once: one by one takes seconds
    narrow = {"temperature": tf.ones(count), "top_k": tf.zeros(count, tf.int32)}
    drawn = model.sample_with(noise, prompt=tf.fill((count,), "a red ring"), **narrow)
    tokens = Quarters().tokenise(drawn).numpy() @ VALUES ** np.arange(3, -1, -1)
    p = np.exp(model.log_prob_given(images(ALL), tf.fill((len(ALL),), "a red ring")).numpy().astype(float))
    assert (p * count > 4).all()
    seen = np.bincount(tokens, minlength=len(ALL))
    assert stats.chisquare(seen, count * p / p.sum()).pvalue > 1e-4


def test_a_low_temperature_and_one_level_are_the_likeliest_tokens(model):
    noise = RowNoise(tf.constant([1, 2, 3, 4], tf.int64))
    prompt = tf.constant(TEXTS)
    all_values, one = tf.zeros(4, tf.int32), tf.ones(4, tf.int32)
    cold = model.sample_with(noise, prompt=prompt, temperature=tf.fill([4], 1e-4), top_k=all_values)
    top = model.sample_with(noise, prompt=prompt, temperature=tf.ones(4), top_k=one)
    np.testing.assert_array_equal(cold, top)
    tokens = Quarters().tokenise(cold)
    logits = model.image_head(model.hidden(model.read(prompt), tokens)[:, LENGTH:])
    np.testing.assert_array_equal(tokens, tf.argmax(logits, -1))


def test_the_best_candidate_is_the_one_whose_caption_is_likeliest(model):
    seeds, counts = tf.constant([5, 6, 7], tf.int64), tf.constant([1, 4, 2])
    prompt = tf.constant(["a red ring", "a red ring", "blue"])
    narrow = {"temperature": tf.ones(3), "top_k": tf.zeros(3, tf.int32)}
    noise = RowNoise(seeds)
    best, fit = model.sample_best(noise, counts, prompt=prompt, **narrow)
    text, nothing = model.read(prompt), read(model, "", "", "")
    fits, drawn = [], []
    for index in range(4):
        uniform = (noise.fold(index) if index else noise).uniform("tokens", (4,))
        tokens = model.continued(text, uniform, **narrow)
        fits.append((model.log_prob_of(tokens, text) - model.log_prob_of(tokens, nothing)).numpy())
        drawn.append(Quarters().decode(tokens).numpy())
    for row, count in enumerate(counts.numpy()):
        chosen = int(np.argmax([each[row] for each in fits[:count]]))
        assert fit.numpy()[row] == pytest.approx(fits[chosen][row], abs=1e-4)
        np.testing.assert_array_equal(best[row], drawn[chosen][row])
    # The first candidate is what is drawn without any other.
    np.testing.assert_array_equal(best[0], model.sample_with(noise, prompt=prompt, **narrow)[0])
    assert len({each[1] for each in fits}) > 1


def test_only_a_model_that_knows_images_without_captions_ranks(model, masked):
    assert "sample_best" in signatures(model)
    assert "sample_best" not in signatures(masked)


# -- training ------------------------------------------------------------------------------------------------


def test_the_loss_is_an_eighth_of_a_word_and_seven_eighths_of_a_token():
    model = dalle()
    tokens, texts = ALL[[3, 40, 77, 12]], ["a red ring", "ring", "a ring", "blue"]
    loss, terms = model.objective(
        {"image": images(tokens), "caption": tf.constant(texts)}, {}, StepNoise(0, 0, 4)
    )
    text = read(model, *texts)
    hidden = model.hidden(text, tf.constant(tokens))
    logits = model.text_head(hidden[:, :LENGTH]).numpy(), model.image_head(hidden[:, LENGTH:]).numpy()
    words, values = (each - np.logaddexp.reduce(each, -1, keepdims=True) for each in map(np.float64, logits))
    caption = 0.0
    for row, tokenised in enumerate(text.numpy()):
        for place, token in enumerate(tokenised):
            caption -= words[row, place, token if token != NOTHING else len(WORDS)]
            if token == NOTHING:
                break  # the end is predicted, what is behind it not
    image = -np.take_along_axis(values, tokens[..., None], -1).sum()
    assert terms["nll_caption"].numpy() == pytest.approx(caption / 4, rel=1e-4)
    assert terms["nll_tokens"].numpy() == pytest.approx(image / 4, rel=1e-4)
    assert loss.numpy() == pytest.approx(caption / 4 / LENGTH / 8 + 7 * image / 4 / 4 / 8, rel=1e-4)
    scored = -model.log_prob_given(images(tokens), tf.constant(texts)).numpy().mean()
    assert terms["nll_tokens"].numpy() == pytest.approx(scored, rel=1e-4)


def test_a_caption_that_is_left_out_is_none_and_is_not_predicted(model):
    """Half of the captions of these rows are left out; the rest is the plain loss of the others."""
    tokens, texts = np.tile(ALL[[40]], (64, 1)), ["a red ring"] * 64
    batch = {"image": images(tokens), "caption": tf.constant(texts)}
    _, terms = model.objective(batch, {}, StepNoise(0, 3, 64))
    x, texts = images(tokens[:1]), (tf.constant([""]), tf.constant(["a red ring"]))
    without, given = (-float(model.log_prob_given(x, each)[0]) for each in texts)
    hidden = model.hidden(read(model, "a red ring"), tf.constant(tokens[:1]))
    caption = -float(tf.reduce_sum(model.log_words(hidden, read(model, "a red ring"))))
    share = float(terms["nll_caption"]) / caption
    assert 0.3 < share < 0.7
    assert round(64 * share) == pytest.approx(64 * share, abs=1e-3)
    assert float(terms["nll_tokens"]) == pytest.approx(share * given + (1 - share) * without, rel=1e-4)


def test_the_tokens_are_the_first_stage_s(model):
    with pytest.raises(UsageError, match="let it stand_on one"):
        DALLE(Config(grid=GRID, codebook=VALUES)).log_prob_given(images(ALL[:1]), tf.constant(["a"]))
    assert model.dimensions == 4
    outputs = signatures(model)["log_prob"].run(images(ALL[:2]), tf.constant(["a", "ring"]))
    assert outputs.keys() == {"log_prob_tokens", "bits_per_dim_tokens"}  # none of the image
    nats = outputs["log_prob_tokens"].numpy()
    np.testing.assert_allclose(outputs["bits_per_dim_tokens"], -nats / 4 / np.log(2), rtol=1e-5)


# -- captions and sizes --------------------------------------------------------------------------------------


def test_strings_are_tokenised_in_the_graph_as_in_python(model):
    texts = ["A  red\tRing", "ring, blue!", "", "a red ring blue", "xyz a", "RÉD ring"]

    def tokenise(text: str) -> list[int]:
        words = re.findall(r"[^\W_]+|[^\w\s]", text.lower())
        tokens = [WORDS.index(word) if word in WORDS else 0 for word in words][:LENGTH]
        return tokens + [NOTHING] * (LENGTH - len(tokens))

    graph = tf.function(model.read, autograph=False)
    np.testing.assert_array_equal(graph(tf.constant(texts)), [tokenise(text) for text in texts])


def test_the_paper_s_preset_has_its_size():
    values = registry.presets("dalle")["paper"]["config"]
    config = configure(Config, values)
    assert (config.depth, config.heads, config.width // config.heads) == (64, 62, 64)
    assert (config.grid, config.codebook, config.text_weight) == ((32, 32), 8192, 0.125)
    tiny = dalle(width=6, heads=2, depth=2, expansion=4)
    blocks = sum(int(np.prod(v.shape)) for block in tiny.blocks for v in block.trainable_variables)
    assert blocks == 2 * (12 * 6**2 + 13 * 6)
    paper = config.depth * (12 * config.width**2 + 13 * config.width)
    assert paper == pytest.approx(12.1e9, rel=0.01)


def test_impossible_options_are_refused():
    for options, why in (
        ({"width": 9}, "multiple of heads"),
        ({"depth": 0}, "at least 1"),
        ({"codebook": 1}, "codebook at least 2"),
        ({"unprompted": 1.0}, "unprompted must be"),
        ({"text_weight": 0.0}, "text_weight between"),
    ):
        with pytest.raises(UsageError, match=why):
            Config(**options)
