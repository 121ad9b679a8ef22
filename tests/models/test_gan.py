"""The fully connected GAN: the networks of the paper, dropout, maxout, and a game of moves in turn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import registry
from zoo.errors import UsageError
from zoo.layers.dropout import dropout
from zoo.layers.maxout import Maxout
from zoo.models.gan import GAN, Config
from zoo.noise import RowNoise, StepNoise
from zoo.schedules import make_optimizer

ROWS = 8


def game(**options) -> GAN:
    keras.utils.set_random_seed(3)
    small = {"image_shape": (4, 4, 1), "code_size": 5, "generator_units": (6,), "discriminator_units": (7, 7)}
    model = GAN(Config(**{**small, **options}))
    model.compile({turn: keras.optimizers.SGD(1.0) for turn in ("discriminator", "generator")}, seed=7)
    return model


def batch() -> dict[str, tf.Tensor]:
    return {"image": tf.random.stateless_uniform((ROWS, 4, 4, 1), (1, 2))}


def players(model: GAN) -> dict[str, list[keras.Variable]]:
    return {turn.name: list(turn.variables) for turn in model.turns()}


def values(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def test_the_papers_networks_have_the_papers_sizes():
    counts = {
        name: sum(int(np.prod(v.shape)) for v in variables)
        for name, variables in players(GAN(Config())).items()
    }
    # 100 - 1200 - 1200 - 784 rectified; 784 - 240 x 5 - 240 x 5 - 1 maxout: weights and biases.
    assert counts["generator"] == 101 * 1200 + 1201 * 1200 + 1201 * 784
    assert counts["discriminator"] == 785 * 240 * 5 + 241 * 240 * 5 + 241


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_one_players_turn_leaves_the_other_unchanged(player):
    model = game()
    model.playing = (player,)
    other = {"discriminator": "generator", "generator": "discriminator"}[player]
    before = {name: values(variables) for name, variables in players(model).items()}
    model.train_step(batch())
    after = {name: values(variables) for name, variables in players(model).items()}
    for old, new in zip(before[other], after[other], strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(not np.array_equal(old, new) for old, new in zip(before[player], after[player], strict=True))


def test_the_gradient_through_the_shared_fakes_is_that_of_one_tape():
    model = game()
    variables = players(model)["generator"]
    before = values(variables)
    model.train_step(batch())
    moved = [new - old for old, new in zip(before, values(variables), strict=True)]
    # The same again: the fakes of the old generator, judged by the discriminator after its turn.
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    noise = StepNoise(7, 0, ROWS)
    with tf.GradientTape() as tape:
        loss, _ = model.generator_objective(batch(), model.shared(batch(), noise), noise)
    for step, gradient in zip(moved, tape.gradient(loss, [v.value for v in variables]), strict=True):
        np.testing.assert_allclose(step, -gradient.numpy(), rtol=1e-3, atol=1e-7)  # the rate is 1


def test_dropout_belongs_to_training_and_differs_between_real_and_fake():
    model = game()
    image = batch()["image"]
    plain = model.discriminate(image)
    np.testing.assert_array_equal(plain, model.discriminate(image))
    noise = StepNoise(7, 0, ROWS)
    dropped = model.discriminate(image, noise, "real")
    assert float(tf.reduce_max(tf.abs(dropped - plain))) > 1e-7
    assert float(tf.reduce_max(tf.abs(dropped - model.discriminate(image, noise, "fake")))) > 1e-7
    np.testing.assert_array_equal(dropped, model.discriminate(image, noise, "real"))


def test_dropout_keeps_its_share_and_the_mean():
    x = tf.ones((200, 50))
    kept = dropout(x, 0.8, StepNoise(1, 2, 200), "here").numpy()
    assert set(np.unique(kept)) == {np.float32(0.0), np.float32(1.25)}
    # 10,000 draws: the standard error of their mean is 0.005.
    assert abs(kept.mean() - 1.0) < 0.025
    assert dropout(x, 0.8, None, "here") is x


def test_maxout_is_the_largest_of_its_pieces():
    layer = Maxout(3, 4)
    x = tf.random.stateless_normal((5, 2), (1, 2))
    found = layer(x)
    linear = (x.numpy() @ layer.linear.kernel.numpy() + layer.linear.bias.numpy()).reshape(5, 3, 4)
    np.testing.assert_allclose(found, linear.max(-1), rtol=1e-6)
    again = Maxout.from_config(layer.get_config())
    assert (again.units, again.pieces) == (3, 4)


def test_images_lie_between_0_and_1_and_codes_between_minus_1_and_1():
    model = game()
    noise = RowNoise(tf.range(200, dtype=tf.int64))
    code = model.prior(noise)
    assert code.shape == (200, 5)
    assert -1.0 <= float(tf.reduce_min(code)) < -0.98
    assert 0.98 < float(tf.reduce_max(code)) < 1.0
    image = model.sample(noise)
    assert image.shape == (200, 4, 4, 1)
    assert float(tf.reduce_min(image)) >= 0.0
    assert float(tf.reduce_max(image)) <= 1.0


@pytest.mark.parametrize("loss", ["saturating", "least_squares", "hinge", "wgan_gp"])
def test_every_loss_has_a_gradient_for_both_players(loss):
    model = game(loss=loss)
    logs = model.train_step(batch())
    assert all(np.isfinite(float(value)) for value in logs.values()), logs
    assert float(logs["discriminator_gradient_norm"]) > 0
    assert float(logs["generator_gradient_norm"]) > 0
    assert ("gradient_penalty" in logs) == (loss == "wgan_gp")


def test_the_loss_that_is_logged_is_what_is_minimised():
    model, noise = game(loss="wgan_gp"), StepNoise(7, 0, ROWS)
    total, terms = model.discriminator_objective(batch(), model.shared(batch(), noise), noise)
    assert float(terms["discriminator_loss"]) == float(total)
    game_alone = float(total - terms["gradient_penalty"])
    assert game_alone == pytest.approx(-float(terms["critic_distance"]), abs=1e-6)


def test_the_papers_rates_are_those_of_the_authors_code():
    optimizers = registry.presets("gan")["paper"]["optimizers"]
    for turn, start in (("discriminator", 0.05), ("generator", 0.1)):
        optimizer = make_optimizer(turn, optimizers[turn], 300_000)  # however long the run
        optimizer.build([])
        for step in (0, 1000, 137_500):
            optimizer.iterations.assign(step)
            assert float(optimizer.learning_rate) == pytest.approx(start / 1.000004**step, rel=1e-5)


def test_features_are_the_hidden_layers_of_the_discriminator():
    model = game()
    image = batch()["image"]
    found = model.represent(image).numpy()
    first = model.maxouts[0](tf.reshape(image, (ROWS, -1)))
    np.testing.assert_allclose(found[:, :7], first, rtol=1e-6)
    np.testing.assert_allclose(found[:, 7:], model.maxouts[1](first), rtol=1e-6)
    assert model.representation_parts()[0].size == found.shape[1] == 14
    # The discriminator says no more than a linear function of the last ones.
    np.testing.assert_allclose(
        model.discriminator_output(found[:, 7:])[:, 0], model.discriminate(image), rtol=1e-6
    )


def test_the_generator_starts_at_the_brightness_of_the_data():
    model = game()
    image = tf.random.stateless_uniform((500, 4, 4, 1), (1, 2)) * tf.reshape(
        tf.range(16.0) / 15, (1, 4, 4, 1)
    )
    model.begin({"image": image})
    drawn = model.sample(RowNoise(tf.range(500, dtype=tf.int64)))
    np.testing.assert_allclose(tf.reduce_mean(drawn, 0), tf.reduce_mean(image, 0), atol=0.02)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"code_size": 0}, "code_size, pieces and all layer sizes must be at least 1"),
        ({"pieces": 0}, "code_size, pieces and all layer sizes must be at least 1"),
        ({"generator_units": (6, 0)}, "all layer sizes must be at least 1"),
        ({"keep_input": 0.0}, "keep_input and keep_hidden must be in"),
        ({"keep_hidden": 1.5}, "keep_input and keep_hidden must be in"),
        ({"smoothing": 1.0}, "smoothing must be in"),
        ({"loss": "hinge", "smoothing": 0.1}, "loss=hinge has no labels to smooth"),
    ],
)
def test_impossible_options_are_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        Config(**wrong)
