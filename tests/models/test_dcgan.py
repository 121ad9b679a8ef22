"""DCGAN: the networks of the paper, and a game in which each player moves alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import UsageError
from zoo.models.dcgan import DCGAN, Config
from zoo.noise import RowNoise, StepNoise

ROWS = 8


def game(learning_rate: float = 1.0, **options) -> DCGAN:
    keras.utils.set_random_seed(3)
    model = DCGAN(Config(**{"image_shape": (8, 8, 1), "code_size": 5, "width": 4, **options}))
    turns = ("discriminator", "generator")
    model.compile({turn: keras.optimizers.SGD(learning_rate) for turn in turns}, seed=7)
    return model


def batch(model: DCGAN) -> dict[str, tf.Tensor]:
    image = tf.random.stateless_uniform((ROWS, *model.config.image_shape), (1, 2))
    return {"image": image, "label": tf.range(ROWS) % max(1, model.config.classes)}


def values(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def test_the_papers_networks_have_the_papers_sizes():
    model = DCGAN(Config(image_shape=(64, 64, 3), code_size=100, width=128))
    # 18.89 M and 17.23 M as in the authors' code; moving statistics are no parameters.
    counts = [
        sum(int(np.prod(v.shape)) for v in network.trainable_variables)
        for network in (model.generator, model.discriminator)
    ]
    assert counts == [18_885_760, 17_232_768]
    features = 16 * sum(layer.filters for layer in model.discriminator.layers if hasattr(layer, "filters"))
    assert features == 16 * (128 + 256 + 512 + 1024)
    assert model.generator.output_shape == (None, 64, 64, 3)


def test_only_the_papers_layers_are_normalised_and_none_has_a_bias():
    model = DCGAN(Config(image_shape=(32, 32, 3), width=4))
    kinds = [type(layer).__name__ for layer in model.generator.layers]
    assert kinds[-2:] == ["ImageConvTranspose", "Activation"]  # no normalisation next to the image
    assert kinds.count("BatchNorm") == 3
    kinds = [type(layer).__name__ for layer in model.discriminator.layers]
    assert kinds[:2] == ["ImageConv", "LeakyReLU"]
    assert kinds.count("BatchNorm") == 2
    linear = [v.path for v in model.trainable_variables if v.path.endswith("bias")]
    assert linear == []


def test_a_hidden_layer_stands_behind_the_code_and_before_the_logit():
    model = DCGAN(Config(image_shape=(8, 8, 1), code_size=5, width=4, hidden=7))
    dense = [
        tuple(layer.kernel.shape)
        for network in (model.generator, model.discriminator)
        for layer in network.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    assert dense == [(5, 7), (7, 4 * 4 * 4), (4 * 4 * 4, 7), (7, 1)]


@pytest.mark.parametrize(
    ("shape", "first"),
    [((28, 28, 1), (7, 7)), ((64, 64, 3), (4, 4)), ((32, 48, 3), (4, 6)), ((8, 8, 1), (4, 4))],
)
def test_images_of_many_shapes_are_doubled_from_a_small_map(shape, first):
    model = DCGAN(Config(image_shape=shape, width=2, code_size=3))
    assert (
        next(x for x in model.generator.layers if isinstance(x, keras.layers.Reshape)).target_shape[:2]
        == first
    )
    image = model.decode(tf.zeros((2, 3)))
    assert image.shape == (2, *shape)


@pytest.mark.parametrize("shape", [(30, 30, 1), (28, 30, 1), (4, 4, 1)])
def test_a_shape_that_cannot_be_doubled_is_refused_with_sizes_that_can(shape):
    with pytest.raises(UsageError, match="cannot draw"):
        Config(image_shape=shape)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_one_players_turn_leaves_the_other_unchanged(player):
    model = game()
    model.playing = (player,)
    other = {"discriminator": "generator", "generator": "discriminator"}[player]
    before = {name: values(getattr(model, name).trainable_variables) for name in (player, other)}
    logs = model.train_step(batch(model))
    for old, new in zip(before[other], values(getattr(model, other).trainable_variables), strict=True):
        np.testing.assert_array_equal(old, new)
    moved = [
        not np.array_equal(old, new)
        for old, new in zip(before[player], values(getattr(model, player).trainable_variables), strict=True)
    ]
    assert all(moved)
    assert f"{player}_loss" in logs
    assert f"{other}_loss" not in logs


@pytest.mark.parametrize("classes", [0, 3])
def test_the_gradient_through_the_shared_fakes_is_that_of_one_tape(classes):
    model = game(classes=classes)
    before = values(model.generator.trainable_variables)
    model.train_step(batch(model))
    moved = [new - old for old, new in zip(before, values(model.generator.trainable_variables), strict=True)]
    # The same again: the fakes of the old generator, judged by the discriminator after its turn.
    for variable, value in zip(model.generator.trainable_variables, before, strict=True):
        variable.assign(value)
    noise = StepNoise(7, 0, ROWS)
    with tf.GradientTape() as tape:
        loss, _ = model.generator_objective(batch(model), model.shared(batch(model), noise), noise)
    variables = [variable.value for variable in model.generator.trainable_variables]
    for step, gradient in zip(moved, tape.gradient(loss, variables), strict=True):
        np.testing.assert_allclose(step, -gradient.numpy(), rtol=1e-3, atol=1e-6)  # the rate is 1


def test_real_and_fake_are_normalised_apart():
    model = game(hidden=6)
    images = batch(model)
    fake = {"fake": -tf.ones_like(images["image"])}
    _, alone = model.discriminator_objective(images, fake, StepNoise(0, 0, ROWS))
    other = {"fake": tf.random.stateless_normal(images["image"].shape, (5, 6))}
    _, beside = model.discriminator_objective(images, other, StepNoise(0, 0, ROWS))
    assert float(alone["real_probability"]) == float(beside["real_probability"])
    assert float(alone["fake_probability"]) != float(beside["fake_probability"])


@pytest.mark.parametrize("loss", ["saturating", "least_squares", "hinge", "wgan_gp"])
def test_every_loss_moves_both_players(loss):
    model = game(loss=loss, hidden=6)
    before = {each.path: each.numpy() for each in model.trainable_variables}
    logs = model.train_step(batch(model))
    assert all(np.isfinite(float(value)) for value in logs.values()), logs
    still = [each.path for each in model.trainable_variables if np.array_equal(each, before[each.path])]
    assert still == []


def test_a_critic_has_no_batch_norm_and_judges_each_image_alone():
    model = game(loss="wgan_gp", hidden=6, classes=3)
    kinds = [type(layer).__name__ for layer in model.discriminator.layers]
    assert "BatchNorm" not in kinds
    assert any(type(layer).__name__ == "BatchNorm" for layer in model.generator.layers)
    images = batch(model)
    (together,) = model.discriminate(images, images["image"])
    rows = {"label": images["label"][2:3]}
    (alone,) = model.discriminate(rows, images["image"][2:3])
    np.testing.assert_allclose(alone, together[2:3], atol=1e-6)


def test_the_penalty_is_in_the_loss():
    noise = StepNoise(0, 0, ROWS)
    light, heavy = (game(loss="wgan_gp", penalty=penalty) for penalty in (0.0, 7.0))
    images = batch(light)
    fake = {"fake": tf.random.stateless_uniform(images["image"].shape, (5, 6), -1.0, 1.0)}
    (without, _), (with_it, terms) = (
        model.discriminator_objective(images, fake, noise) for model in (light, heavy)
    )
    assert float(terms["gradient_penalty"]) > 0.1  # the critic is nearly flat at first
    assert float(with_it - without) == pytest.approx(float(terms["gradient_penalty"]), rel=1e-5)
    assert float(terms["discriminator_loss"]) == float(with_it)


def test_the_penalty_pulls_the_gradient_to_length_1():
    model, noise = game(loss="wgan_gp", penalty=300.0), StepNoise(0, 0, ROWS)
    images = batch(model)
    fake = tf.random.stateless_uniform(images["image"].shape, (5, 6), -1.0, 1.0)
    real, share = 2.0 * images["image"] - 1.0, noise.uniform("share", ())[:, None, None, None]
    between = real + share * (fake - real)

    def lengths() -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(between)
            (judged,) = model.discriminate(images, between)
        return np.sqrt(np.square(tape.gradient(judged, between)).sum((1, 2, 3)))

    optimizer, variables = keras.optimizers.Adam(0.01), model.discriminator.trainable_variables
    optimizer.build(variables)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss, _ = model.discriminator_objective(images, {"fake": fake}, noise)
        optimizer.apply(tape.gradient(loss, [each.value for each in variables]), variables)

    assert lengths().max() < 0.1  # the critic is nearly flat at first
    for _ in range(60):
        step()
    np.testing.assert_allclose(lengths(), 1.0, atol=0.2)


def test_a_critic_moves_more_often_than_the_generator():
    model = game(loss="wgan_gp", critic_steps=3)
    assert [model.due(step) for step in range(4)] == [
        ("discriminator", "generator"),
        ("discriminator",),
        ("discriminator",),
        ("discriminator", "generator"),
    ]


def test_images_lie_between_0_and_1_and_codes_between_minus_1_and_1():
    model = game()
    for weight in model.generator.trainable_variables:
        weight.assign(20.0 * weight.value)  # up to the limits
    noise = RowNoise(tf.range(200, dtype=tf.int64))
    code = model.prior(noise)
    assert code.shape == (200, 5)
    assert -1.0 <= float(tf.reduce_min(code)) < -0.98
    assert 0.98 < float(tf.reduce_max(code)) < 1.0
    image = model.sample(noise)
    assert 0.0 <= float(tf.reduce_min(image)) < 0.1
    assert 0.9 < float(tf.reduce_max(image)) <= 1.0


def test_a_label_changes_the_image_and_a_seed_draws_every_label():
    model = game(classes=3)
    noise = RowNoise(tf.zeros(3, tf.int64))  # one seed three times
    images = model.sample_with(noise, label=tf.range(3)).numpy()
    assert np.abs(images[0] - images[1]).max() > 1e-4
    assert np.abs(images[1] - images[2]).max() > 1e-4
    code = model.prior(RowNoise(tf.range(60, dtype=tf.int64)))
    assert code.shape == (60, 5 + 3)
    labels = tf.argmax(code[:, 5:], -1).numpy()
    assert set(labels) == {0, 1, 2}
    same = model.sample_with(RowNoise(tf.range(60, dtype=tf.int64)), label=tf.constant(labels, tf.int32))
    np.testing.assert_allclose(same, model.decode(code), atol=1e-6)


@pytest.mark.parametrize("classes", [0, 3])
def test_features_are_the_largest_values_of_each_convolution(classes):
    model = game(image_shape=(28, 28, 1), hidden=6, classes=classes)
    image = tf.random.stateless_uniform((ROWS, 28, 28, 1), (1, 2))
    found = model.represent(image).numpy()
    assert found.shape == (ROWS, 16 * (4 + 8))
    assert model.representation_parts()[0].size == found.shape[1]
    # The first convolution alone: 14x14 places in 4x4 windows of 4 or 5.
    shown = tf.pad(2.0 * image - 1.0, [[0, 0], [0, 0], [0, 0], [0, classes]])
    first = tf.nn.leaky_relu(model.discriminator.layers[0](shown), 0.2).numpy()
    np.testing.assert_allclose(found[:, :4], first[:, :4, :4].max((1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[:, 60:64], first[:, 10:, 10:].max((1, 2)), rtol=1e-4, atol=1e-6)
    # A row is the same alone: statistics are not those of the batch.
    np.testing.assert_allclose(model.represent(image[2:3]), found[2:3], atol=1e-5)


def test_the_discriminator_judges_an_image_by_its_label():
    model = game(classes=3)
    images = batch(model)
    (first,) = model.discriminate(images, images["image"])
    (second,) = model.discriminate({"label": (images["label"] + 1) % 3}, images["image"])
    assert float(tf.reduce_max(tf.abs(first - second))) > 1e-6


def test_statistics_for_reading_images_are_those_of_real_images():
    """In training the discriminator sees fakes twice as often, and they change."""
    model = game(image_shape=(16, 16, 1))
    real = batch(model)
    with model.evaluation_weights([real]):
        x = 2.0 * real["image"] - 1.0
        for layer in model.discriminator.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                break
            x = layer(x)
        expected = tf.reduce_mean(x, (0, 1, 2)).numpy()
        np.testing.assert_allclose(layer.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-6)
        assert np.abs(expected).max() > 1e-3
