"""GAN-INT-CLS: which pairs the discriminator sees, how they weigh, and what lies between two captions."""

from __future__ import annotations

import dataclasses
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import data as datasets
from zoo import registry, training
from zoo.base import configure
from zoo.errors import UsageError
from zoo.layers.text import NOTHING, UNKNOWN, encode_text, encode_words
from zoo.models.text2image import Config, Text2Image, matching_loss
from zoo.noise import RowNoise, StepNoise

ROWS = 6
WORDS = (UNKNOWN, "a", "red", "blue", "ring", "star", ",")
CAPTIONS = ["a red ring", "a blue star", "a red star", "a blue ring", "a ring", "red"]
SMALL = {
    "image_shape": (8, 8, 3),
    "source_vocabulary": WORDS,
    "caption_size": 8,
    "heads": 2,
    "caption_units": 4,
    "noise_size": 4,
    "generator_width": 4,
    "discriminator_width": 4,
}


def made(**options) -> Text2Image:
    keras.utils.set_random_seed(3)
    model = Text2Image(Config(**{**SMALL, **options}))
    turns = ("discriminator", "generator")
    model.compile({turn: keras.optimizers.Adam(5e-3) for turn in turns}, seed=7)
    return model


@pytest.fixture(scope="module")
def model() -> Text2Image:
    """One that nothing changes, with large weights: each word and each layer counts."""
    model = made(hidden=8, projection=True)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.path.split("/")[-1] == "kernel":
            drawn = random.normal(size=variable.shape) / math.sqrt(np.prod(variable.shape[:-1]))
            variable.assign(1.5 * drawn)
    return model


def batch(rows: int = ROWS) -> dict[str, tf.Tensor]:
    captions = np.resize(np.array(CAPTIONS, object), rows)
    return {
        "image": tf.random.stateless_uniform((rows, 8, 8, 3), (1, 2)),
        "caption": tf.constant(captions),
        "wrong_caption": tf.constant(np.roll(captions, 1)),
    }


class Matched:
    """Stands in place of `match`: keeps the pairs that were judged, and judges them."""

    def __init__(self, model: Text2Image) -> None:
        self.match, self.pairs = model.match, []

    def __call__(self, image: tf.Tensor, *captions: tf.Tensor) -> list[tf.Tensor]:
        found = self.match(image, *captions)
        self.pairs += [(image.numpy(), caption.numpy(), logit.numpy()) for caption, logit in
                       zip(captions, found, strict=True)]  # fmt: skip
        return found


def played(model: Text2Image, monkeypatch) -> tuple[dict, list, list, tuple, tuple]:
    """What is shared, the pairs that each player judged, and the loss and terms of each."""
    given, noise = batch(), StepNoise(1, 2, ROWS)
    shared = model.shared(given, noise)
    judged = []
    for objective in (model.discriminator_objective, model.generator_objective):
        spy = Matched(model)
        with monkeypatch.context() as patch:
            patch.setattr(model, "match", spy)
            judged += [spy.pairs, objective(given, shared, noise)]
    return shared, judged[0], judged[2], judged[1], judged[3]


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


# -- the objectives ------------------------------------------------------------------------------------------


def test_the_discriminator_sees_three_kinds_of_pairs_with_weights_1_half_half(model, monkeypatch):
    shared, pairs, _, (loss, terms), _ = played(model, monkeypatch)
    right, wrong = (model.read(batch()[name]).numpy() for name in ("caption", "wrong_caption"))
    image = 2.0 * batch()["image"].numpy() - 1.0
    expected = [(image, right), (image, wrong), (shared["fake"].numpy(), right)]
    assert len(pairs) == 3
    for (seen, caption, _), (own_image, own_caption) in zip(pairs, expected, strict=True):
        np.testing.assert_array_equal(seen, own_image)
        np.testing.assert_allclose(caption, own_caption, atol=1e-5)
    on_right, on_wrong, on_fake = (logit for _, _, logit in pairs)
    value = softplus(-on_right).mean() + 0.5 * (softplus(on_wrong).mean() + softplus(on_fake).mean())
    assert float(loss) == pytest.approx(value, rel=1e-5)
    assert float(terms["wrong_probability"]) == pytest.approx((1 / (1 + np.exp(-on_wrong))).mean(), rel=1e-5)


def test_the_penalty_is_on_real_images_under_their_captions():
    model = made(discriminator_norm=False, real_penalty=3.0)
    given = batch()
    noise = StepNoise(1, 2, ROWS)
    shared = model.shared(given, noise)
    _, terms = model.discriminator_objective(given, shared, noise)
    image = 2.0 * given["image"] - 1.0
    with tf.GradientTape() as tape:
        tape.watch(image)
        (on_right,) = model.match(image, shared["caption"])
    # Without batch normalisation a row is judged by itself: the gradient of the sum is that of each.
    slope = tf.reduce_sum(tape.gradient(on_right, image) ** 2, (1, 2, 3))
    assert float(terms["gradient_penalty"]) == pytest.approx(1.5 * float(tf.reduce_mean(slope)), rel=1e-4)
    assert not any("batch_norm" in each.path for each in model.viewer.variables + model.matcher.variables)


def test_of_each_pair_the_gradient_is_what_its_weight_says():
    logits = [tf.constant([0.3, -1.0]), tf.constant([0.7, 2.0]), tf.constant([-0.2, 0.1])]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = matching_loss(*logits)
    probability = [1 / (1 + np.exp(-each.numpy())) for each in logits]
    expected = [-(1 - probability[0]), 0.5 * probability[1], 0.5 * probability[2]]
    for gradient, value in zip(tape.gradient(loss, logits), expected, strict=True):
        np.testing.assert_allclose(gradient, value / 2, rtol=1e-5)


def test_the_generator_is_judged_on_captions_and_on_points_halfway_between_two(model, monkeypatch):
    shared, _, pairs, _, (loss, terms) = played(model, monkeypatch)
    (fake, caption, on_fake), (other, between, on_between) = pairs
    np.testing.assert_array_equal(fake, shared["fake"])
    np.testing.assert_array_equal(caption, shared["caption"])
    right, wrong = model.read(batch()["caption"]).numpy(), model.read(batch()["wrong_caption"]).numpy()
    np.testing.assert_allclose(between, 0.5 * (right + wrong)[::2], atol=1e-5)
    assert other.shape[0] == ROWS // 2  # half a batch of new images
    assert np.abs(other - fake[::2]).max() > 0.01
    value = softplus(-on_fake).mean() + softplus(-on_between).mean()
    assert float(loss) == pytest.approx(value, rel=1e-5)
    assert float(terms["generator_loss"]) == pytest.approx(softplus(-on_fake).mean(), rel=1e-5)


def test_points_between_captions_never_reach_the_discriminator(model, monkeypatch):
    shared, pairs, of_generator, _, _ = played(model, monkeypatch)
    own = np.concatenate([model.read(batch()[name]).numpy() for name in ("caption", "wrong_caption")])
    for _, caption, _ in pairs:
        distance = np.abs(caption[:, None] - own).max(-1).min(1)
        np.testing.assert_allclose(distance, 0.0, atol=1e-5)
    between = of_generator[1][1]
    assert (np.abs(between[:, None] - own).max(-1).min(1) > 0.01).all()
    assert set(shared) == {"fake", "caption", "wrong"}  # nor are they shared


def test_the_encoder_learns_from_captions_and_not_from_what_is_drawn_for_them(model):
    with tf.GradientTape(persistent=True) as tape:
        shared = model.shared(batch(), StepNoise(1, 2, ROWS))
    assert tape.gradient(shared["fake"], model.embedding.value) is None
    assert tape.gradient(shared["fake"], model.generator.trainable_variables[0].value) is not None
    for name in ("caption", "wrong"):
        moved = tf.convert_to_tensor(tape.gradient(shared[name], model.embedding.value))
        assert np.abs(moved[1]).max() > 0


def test_without_interpolation_it_is_gan_cls(model, monkeypatch):
    monkeypatch.setattr(model, "config", dataclasses.replace(model.config, interpolation=0.0))
    _, _, pairs, _, (loss, terms) = played(model, monkeypatch)
    assert len(pairs) == 1
    assert terms == {"generator_loss": loss}


# -- a discriminator that does not read ----------------------------------------------------------------------


def test_a_discriminator_that_is_blind_to_text_cannot_tell_right_captions_from_wrong_ones(model):
    given = batch()
    captions = model.read(given["caption"]), model.read(given["wrong_caption"])
    on_right, on_wrong = model.match(given["image"], *captions)
    assert np.abs(on_right - on_wrong).min() > 1e-3
    blind = [v for v in model.matcher.trainable_variables if v.shape[0] == SMALL["caption_size"]]
    assert len(blind) == 2  # of the joint layers, and of the product
    kept = [variable.numpy() for variable in blind]
    for variable in blind:
        variable.assign(tf.zeros_like(variable))
    on_right, on_wrong = model.match(given["image"], *captions)
    np.testing.assert_allclose(on_right, on_wrong, atol=1e-6)
    for variable, value in zip(blind, kept, strict=True):
        variable.assign(value)


@settings(max_examples=25, deadline=None)
@given(st.floats(-20, 20), st.floats(-60, 60))
def test_and_gains_nothing_by_captions_that_do_not_fit(logit, fake):
    """Whatever it says: at best it says 2/3 of real images, the share of right captions by their weights."""
    loss = float(matching_loss(tf.constant([logit]), tf.constant([logit]), tf.constant([fake])))
    best = -math.log(2 / 3) - 0.5 * math.log(1 / 3)
    assert loss >= best - 1e-5
    at_best = float(matching_loss(*(tf.constant([math.log(2.0)]),) * 2, tf.constant([-60.0])))
    assert at_best == pytest.approx(best, rel=1e-5)
    reading = float(matching_loss(tf.constant([60.0]), tf.constant([-60.0]), tf.constant([-60.0])))
    assert reading == pytest.approx(0.0, abs=1e-6)


def test_what_it_has_learnt_to_read_it_misses_when_captions_are_exchanged():
    model = made(residual=False, depth=0)
    # Red images are called red, blue ones blue.
    red = np.arange(ROWS) % 2 == 0
    image = np.zeros((ROWS, 8, 8, 3), np.float32)
    image[red, ..., 0] = image[~red, ..., 2] = 1.0
    names = np.where(red, "red", "blue").astype(object)
    given = {
        "image": tf.constant(image),
        "caption": tf.constant(names),
        "wrong_caption": tf.constant(np.roll(names, 1)),
    }
    exchanged = {**given, "caption": given["wrong_caption"], "wrong_caption": given["caption"]}
    model.playing = ("discriminator",)
    step = tf.function(lambda: model.train_step(given), autograph=False)
    for _ in range(40):
        step()
    noise = StepNoise(0, 0, ROWS)
    right, wrong = (
        float(model.discriminator_objective(each, model.shared(each, noise), noise)[0])
        for each in (given, exchanged)
    )
    assert wrong > right + 0.5


# -- reading captions ----------------------------------------------------------------------------------------

SENTENCES = ["a red ring", "A RED, ring", "ring", "a  blue\tstar , a star", "a green ring", "", "reda ring"]


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_strings_become_the_tokens_that_python_makes_of_them(unit):
    vocabulary = WORDS if unit == "words" else tuple(sorted(set("".join(SENTENCES[:3]))))
    encode = encode_words if unit == "words" else encode_text
    found = tf.function(lambda text: encode(text, vocabulary), autograph=False)(tf.constant(SENTENCES))
    for row, text in zip(found.numpy(), SENTENCES, strict=True):
        if unit == "words":
            pieces = re.findall(r"[\w'-]+|[^\w\s]", text.lower())
            expected = [vocabulary.index(each) if each in vocabulary else 0 for each in pieces]
        else:
            expected = [vocabulary.index(each) for each in text if each in vocabulary]
        assert row[row != NOTHING].tolist() == expected


def test_a_caption_is_read_alike_whatever_stands_beside_it(model):
    together = model.read(tf.constant(SENTENCES)).numpy()
    assert np.isfinite(together).all()
    for text, row in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(model.read(tf.constant([text]))[0], row, rtol=1e-4, atol=1e-5)


def test_every_word_counts_and_so_does_its_place(model):
    texts = ["a red ring", "a blue ring", "a red star", "red a ring", "a red", "a red ring ring"]
    found = model.read(tf.constant(texts)).numpy()
    apart = np.abs(found[:, None] - found).max(-1)
    assert apart[~np.eye(len(texts), dtype=bool)].min() > 0.01


# -- drawing -------------------------------------------------------------------------------------------------


def test_a_way_between_two_prompts_begins_and_ends_at_them(model):
    noise = RowNoise(tf.constant([4, 4, 4], tf.int64))
    first, last = tf.fill((3,), "a red ring"), tf.fill((3,), "a blue star")
    share = tf.constant([0.0, 0.5, 1.0])
    way = model.sample_between(noise, first, last, share).numpy()
    ends = [model.sample_with(noise, prompt=prompt).numpy() for prompt in (first, last)]
    np.testing.assert_allclose(way[0], ends[0][0], atol=1e-5)
    np.testing.assert_allclose(way[2], ends[1][2], atol=1e-5)
    halfway = model.draw(noise, 0.5 * (model.read(first) + model.read(last)))
    np.testing.assert_allclose(way[1], halfway[1], atol=1e-5)
    assert np.abs(way[1] - way[0]).max() > 1e-3


def test_images_are_what_seed_and_prompt_say(model):
    seeds = RowNoise(tf.constant([1, 2, 1, 1], tf.int64))
    prompts = tf.constant(["a red ring", "a red ring", "a red ring", "a blue star"])
    image = model.sample_with(seeds, prompt=prompts).numpy()
    np.testing.assert_allclose(image[0], image[2], atol=1e-6)
    assert np.abs(image[0] - image[1]).max() > 1e-3
    assert np.abs(image[0] - image[3]).max() > 1e-3
    assert image.min() >= 0.0
    assert image.max() <= 1.0


# -- networks, options and data ------------------------------------------------------------------------------


def test_the_papers_networks_have_the_papers_sizes():
    values = {**registry.presets("text2image")["paper"]["config"], "image_shape": (64, 64, 3)}
    paper = Text2Image(configure(Config, values))
    size, norm = paper.config.caption_size, 2  # a scale and a shift

    def block(filters: int) -> int:
        few = filters // 4
        return few * (filters + 9 * few + 9 * filters) + norm * (2 * few + filters)

    def count(*networks) -> int:
        return sum(int(np.prod(each.shape)) for network in networks for each in network.trainable_variables)

    first = 4 * 4 * 1024
    assert count(paper.generator) == (
        (size + 1) * 128 + (128 + 100) * first + norm * first + block(1024)
        + 16 * 1024 * 512 + norm * 512 + block(512)
        + 16 * (512 * 256 + 256 * 128 + 128 * 3) + norm * (256 + 128) + 3
    )  # fmt: skip
    assert count(paper.viewer) == (
        16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + norm * (128 + 256 + 512) + block(512)
    )
    assert count(paper.matcher) == (size + 1) * 128 + (512 + 128) * 512 + norm * 512 + 4 * 4 * 512 + 1
    assert paper.viewer.output_shape == (None, 4, 4, 512)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"heads": 3}, "multiple of heads"),
        ({"image_shape": (9, 9, 3)}, "cannot draw 9x9"),
        ({"wrong_candidates": 0}, "at least 1"),
        ({"interpolation": -1.0}, "not negative"),
        ({"generator_width": 2}, "at least 4"),
        ({"real_penalty": -1.0, "discriminator_norm": False}, "not be negative"),
        ({"real_penalty": 1.0}, "discriminator_norm=false"),
    ],
)
def test_impossible_options_are_refused(options, why):
    with pytest.raises(UsageError, match=why):
        Config(**{**SMALL, **options})


def test_it_asks_for_captions_and_for_more_than_one_meaning(tmp_path):
    image = np.full((20, 8, 8, 3), 200, np.uint8)
    np.savez(tmp_path / "bare.npz", image=image)
    np.savez(tmp_path / "alike.npz", image=image, caption=np.array(["A ring.", "a  ring ."] * 10))
    with pytest.raises(UsageError, match="no caption"):
        training.plan("text2image", preset="tiny", dataset=f"npz:{tmp_path / 'bare.npz'}")
    with pytest.raises(UsageError, match="mean the same"):
        training.plan("text2image", preset="tiny", dataset=f"npz:{tmp_path / 'alike.npz'}")


def test_wrong_captions_come_with_each_batch():
    plan = training.plan("text2image", preset="tiny")
    for each in plan.batches(2).as_numpy_iterator():
        assert (each["caption"] != each["wrong_caption"]).all()
        assert set(each["wrong_caption"]) <= {text.encode() for text in plan.train.fields["caption"]}
    assert isinstance(plan.mismatched, datasets.Mismatched)
