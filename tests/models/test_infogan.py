"""InfoGAN: the bound on what the image tells of the code, and who is trained by it."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import UsageError
from zoo.latents import Part
from zoo.models.infogan import Config, InfoGAN
from zoo.noise import RowNoise, StepNoise

ROWS = 8
SMALL = {
    "image_shape": (8, 8, 1),
    "categorical": (3, 2),
    "continuous": 2,
    "binary": 1,
    "noise_size": 4,
    "width": 4,
    "hidden": 16,
    "q_hidden": 8,
}


def game(learning_rate: float = 1.0, **options) -> InfoGAN:
    keras.utils.set_random_seed(3)
    model = InfoGAN(Config(**{**SMALL, **options}))
    turns = ("discriminator", "generator")
    model.compile({turn: keras.optimizers.SGD(learning_rate) for turn in turns}, seed=7)
    return model


@pytest.fixture(scope="module")
def model() -> InfoGAN:
    """One that nothing changes."""
    return game()


def batch(rows: int = ROWS) -> dict[str, tf.Tensor]:
    return {"image": tf.random.stateless_uniform((rows, 8, 8, 1), (1, 2))}


def count(network) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_the_papers_networks_have_the_papers_sizes():
    paper = InfoGAN(Config())
    norm = 2  # a scale and a shift
    assert count(paper.generator) == (
        (62 + 10 + 2) * 1024 + norm * 1024
        + 1024 * 7 * 7 * 128 + norm * 7 * 7 * 128
        + 4 * 4 * 128 * 64 + norm * 64
        + 4 * 4 * 64 + 1
    )  # fmt: skip
    assert count(paper.trunk) == (
        4 * 4 * 64 + 64 + 4 * 4 * 64 * 128 + norm * 128 + 7 * 7 * 128 * 1024 + norm * 1024
    )
    assert count(paper.judge) == 1024 + 1
    assert count(paper.reader) == 1024 * 128 + norm * 128 + (128 + 1) * (10 + 2)
    kinds = [type(layer).__name__ for layer in paper.trunk.layers]
    assert kinds[:2] == ["Conv2D", "LeakyReLU"]  # no normalisation next to the image
    assert paper.trunk.layers[1].negative_slope == 0.1


# -- the bound -----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.0, 30.0))
def test_of_categories_the_bound_is_at_most_their_entropy(model, seed, scale):
    random = np.random.default_rng(seed)
    code = model.prior(StepNoise(0, 0, 32))[:, : model.config.code_size]
    read = tf.constant(scale * random.normal(size=(32, model.config.code_size)), tf.float32)
    _, terms = model.information(code, read)
    assert float(terms["categorical_information"]) <= math.log(3) + math.log(2) + 1e-5
    assert float(terms["binary_information"]) <= math.log(2) + 1e-5


def test_it_is_the_entropy_where_the_category_is_read_and_nothing_where_it_is_guessed(model):
    code = model.prior(StepNoise(0, 0, 32))[:, : model.config.code_size]
    sure = 50.0 * (2.0 * code - 1.0)
    _, terms = model.information(code, sure)
    assert float(terms["categorical_information"]) == pytest.approx(math.log(6), rel=1e-5)
    assert float(terms["binary_information"]) == pytest.approx(math.log(2), rel=1e-5)
    _, terms = model.information(code, tf.zeros_like(code))
    assert float(terms["categorical_information"]) == pytest.approx(0.0, abs=1e-6)
    assert float(terms["binary_information"]) == pytest.approx(0.0, abs=1e-6)


def test_with_the_true_posterior_it_is_the_mutual_information():
    toy = InfoGAN(Config(**{**SMALL, "categorical": (3,), "continuous": 0, "binary": 0}))
    table = np.array([[4, 1, 3], [0, 6, 2], [5, 2, 1]])  # how often category and image come together
    joint = table / table.sum()
    category, image = (
        np.repeat(axis.ravel(), table.ravel()) for axis in np.meshgrid(range(3), range(3), indexing="ij")
    )
    posterior = joint / joint.sum(0)
    read = np.log(np.maximum(posterior, 1e-30))[:, image].T.astype(np.float32)
    _, terms = toy.information(tf.one_hot(category, 3), tf.constant(read))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    known = joint > 0
    mutual = float((joint[known] * np.log(joint[known] / independent[known])).sum())
    assert float(terms["categorical_information"]) == pytest.approx(mutual, rel=1e-5)
    # Any other reader's bound is lower.
    _, worse = toy.information(tf.one_hot(category, 3), tf.constant(0.8 * read))
    assert float(worse["categorical_information"]) < mutual


@pytest.mark.parametrize("spread", ["one", "learned"])
def test_of_numbers_it_is_the_density_of_a_normal(spread):
    toy = InfoGAN(Config(**{**SMALL, "categorical": (), "binary": 0, "spread": spread}))
    random = np.random.default_rng(0)
    code = random.uniform(-1, 1, (5, 2)).astype(np.float32)
    read = random.normal(size=(5, 2 if spread == "one" else 4)).astype(np.float32)
    scale = np.ones((5, 2)) if spread == "one" else np.log1p(np.exp(read[:, 2:])) + 1e-3
    log_q = -0.5 * ((code - read[:, :2]) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)
    _, terms = toy.information(tf.constant(code), tf.constant(read))
    expected = log_q.sum(1).mean() + 2 * math.log(2)
    assert float(terms["continuous_information"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["continuous_error"]) == pytest.approx(np.square(code - read[:, :2]).mean(), rel=1e-5)


def test_with_a_spread_of_one_the_bound_of_numbers_is_below_zero_and_their_error_tells_more():
    toy = InfoGAN(Config(**{**SMALL, "categorical": (), "binary": 0}))
    code = toy.prior(StepNoise(0, 0, 4000))[:, :2]
    highest = 2 * (math.log(2) - 0.5 * math.log(2 * math.pi))  # of two numbers
    _, read = toy.information(code, code)
    assert float(read["continuous_information"]) == pytest.approx(highest, rel=1e-5)
    assert float(read["continuous_error"]) == 0.0
    _, guessed = toy.information(code, tf.zeros_like(code))
    assert float(guessed["continuous_error"]) == pytest.approx(1 / 3, abs=0.02)
    assert float(guessed["continuous_information"]) == pytest.approx(highest - 1 / 3, abs=0.02)


def test_each_lambda_weighs_its_own_terms(model):
    code = model.prior(StepNoise(0, 0, 6))[:, : model.config.code_size]
    read = tf.random.stateless_normal(code.shape, (1, 2))
    weighted = InfoGAN(Config(**{**SMALL, "information": 2.0, "continuous_information": 0.25}))
    found, terms = weighted.information(code, read)
    kinds = ("categorical", "binary", "continuous")
    values = [float(terms[f"{kind}_information"]) for kind in kinds]
    assert float(found) == pytest.approx(2.0 * values[0] + 2.0 * values[1] + 0.25 * values[2], rel=1e-5)


# -- who is trained by it ------------------------------------------------------------------------------------


def test_the_trunk_and_the_reader_are_in_one_optimizer(model):
    discriminator, generator = ({id(each) for each in turn.variables} for turn in model.turns())
    for network in (model.trunk, model.judge, model.reader):
        assert {id(each) for each in network.trainable_variables} <= discriminator
    assert not discriminator & generator
    assert discriminator | generator == {id(each) for each in model.trainable_variables}


def test_the_gradient_of_the_bound_reaches_the_generator_and_the_trunk(model):
    noise = StepNoise(7, 0, ROWS)
    with tf.GradientTape(persistent=True) as tape:
        shared = model.shared(batch(), noise)
        hidden = model.trunk(shared["fake"], training=True)
        gained, _ = model.information(shared["code"], model.reader(hidden, training=True))
    for network in (model.generator, model.trunk, model.reader):
        gradients = tape.gradient(gained, [each.value for each in network.trainable_variables])
        assert all(float(tf.norm(gradient)) > 0 for gradient in gradients)


def test_both_players_gain_by_the_bound():
    noise = StepNoise(7, 0, ROWS)
    with_it, without = (game(information=each, continuous_information=each) for each in (1.0, 0.0))
    for player in ("discriminator", "generator"):
        found = []
        for each in (with_it, without):
            shared = each.shared(batch(), noise)
            found.append(getattr(each, f"{player}_objective")(batch(), shared, noise))
        (total, terms), (alone, _) = found
        shared = with_it.shared(batch(), noise)
        hidden = with_it.trunk(shared["fake"], training=True)
        gained, _ = with_it.information(shared["code"], with_it.reader(hidden, training=True))
        assert float(alone - total) == pytest.approx(float(gained), rel=1e-3)
        assert float(terms[f"{player}_loss"]) == float(total)
        assert float(terms[f"{player}_adversarial_loss"]) == pytest.approx(float(alone), rel=1e-5)


def test_the_reader_is_never_shown_a_real_image():
    first, second = game(), game()
    noise, other = StepNoise(7, 0, ROWS), {"image": 1.0 - batch()["image"]}
    _, terms = first.discriminator_objective(batch(), first.shared(batch(), noise), noise)
    _, again = second.discriminator_objective(other, second.shared(other, noise), noise)
    assert float(terms["categorical_information"]) == pytest.approx(
        float(again["categorical_information"]), rel=1e-5
    )
    assert float(terms["real_probability"]) != float(again["real_probability"])


def test_training_makes_the_code_readable():
    keras.utils.set_random_seed(0)
    learner = InfoGAN(Config(**{**SMALL, "categorical": (3,), "continuous": 0, "binary": 0}))
    turns = ("discriminator", "generator")
    learner.compile({turn: keras.optimizers.Adam(3e-3, beta_1=0.5) for turn in turns}, seed=1)
    images = batch(32)
    step = tf.function(lambda: learner.train_step(images))
    first = float(step()["categorical_information"])
    for _ in range(60):
        last = float(step()["categorical_information"])
    assert first < 0.3 < 0.6 * math.log(3) < last <= math.log(3)


@pytest.mark.parametrize("loss", ["saturating", "least_squares", "hinge", "wgan_gp"])
def test_every_loss_has_a_gradient_for_both_players(loss):
    other = game(loss=loss)
    logs = other.train_step(batch())
    assert all(np.isfinite(float(value)) for value in logs.values()), logs
    assert float(logs["discriminator_gradient_norm"]) > 0
    assert float(logs["generator_gradient_norm"]) > 0
    normalised = [
        any(type(layer).__name__ == "BatchNorm" for layer in network.layers)
        for network in (other.generator, other.trunk, other.reader)
    ]
    assert normalised == [True, loss != "wgan_gp", loss != "wgan_gp"]


# -- codes ---------------------------------------------------------------------------------------------------


def test_the_code_stands_before_the_noise(model):
    assert model.prior_parts() == (
        Part("one_hot", 3), Part("one_hot", 2), Part("uniform", 2), Part("binary", 1), Part("uniform", 4)
    )  # fmt: skip
    assert model.representation_parts() == model.prior_parts()[:-1]


def test_what_is_asked_for_is_set_and_the_rest_comes_from_the_seed(model, monkeypatch):
    monkeypatch.setattr(model, "decode", lambda code: code)
    noise = RowNoise(tf.range(6, dtype=tf.int64))
    drawn = model.prior(noise).numpy()
    nothing = np.full((6, 5), np.nan, np.float32)
    np.testing.assert_array_equal(model.sample_with(noise, code=tf.constant(nothing)), drawn)
    wanted = nothing.copy()
    wanted[:, 0] = [0, 1, 2, 0, 1, 2]  # the first category
    wanted[:3, 3] = -1.5  # the second number
    wanted[:, 4] = 1.0  # the binary part
    found = model.sample_with(noise, code=tf.constant(wanted)).numpy()
    expected = drawn.copy()
    expected[:, :3] = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    expected[:3, 6] = -1.5
    expected[:, 7] = 1.0
    np.testing.assert_array_equal(found, expected)


def test_what_is_read_off_an_image_are_probabilities_and_means(model):
    read = model.represent(batch()["image"]).numpy()
    assert read.shape == (ROWS, 8)
    np.testing.assert_allclose(read[:, :3].sum(1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(read[:, 3:5].sum(1), 1.0, rtol=1e-5)
    assert (read[:, 7] > 0).all() and (read[:, 7] < 1).all()
    alone = model.represent(batch()["image"][2:3]).numpy()
    np.testing.assert_allclose(alone, read[2:3], atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"categorical": (1,)}, "at least 2"),
        ({"categorical": (), "continuous": 0, "binary": 0}, "needs a code"),
        ({"continuous": -1}, "negative"),
        ({"information": -1.0}, "negative"),
        ({"image_shape": (30, 30, 1)}, "cannot draw"),
        ({"loss": "wgan_gp", "smoothing": 0.1}, "smooth"),
    ],
)
def test_impossible_options_are_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        Config(**{**SMALL, **wrong})
