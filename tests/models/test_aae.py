"""The adversarial autoencoder: its priors, its turns, and what labels do."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo.errors import UsageError
from zoo.latents import Part
from zoo.losses import cross_entropy
from zoo.models.aae import AAE, ACROSS, ALONG, END, RADIUS, ROUNDS, THICKNESS, Config, place
from zoo.noise import RowNoise, StepNoise

ROWS = 8
SMALL = {
    "image_shape": (4, 4, 1),
    "code_size": 2,
    "encoder_units": (6,),
    "decoder_units": (6,),
    "discriminator_units": (6,),
}
RING = {"prior": "mixture", "classes": 10}
LABELS = {"code_size": 3, "categories": 4, "classes": 4}


def player(optimizer=None, **options) -> AAE:
    keras.utils.set_random_seed(3)
    model = AAE(Config(**{**SMALL, **options}))
    turns = [turn.name for turn in model.turns()]
    model.compile({turn: optimizer() if optimizer else keras.optimizers.SGD(1.0) for turn in turns}, seed=7)
    return model


def batch(classes: int = 4) -> dict[str, tf.Tensor]:
    label = tf.constant([0, 1, -1, 2, 3, -1, 0, 1]) % tf.constant(classes)
    label = tf.where(tf.constant([False, False, True, False, False, True, False, False]), -1, label)
    return {"image": tf.random.stateless_uniform((ROWS, 4, 4, 1), (1, 2)), "label": label}


def values(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


# -- priors --------------------------------------------------------------------------------------------------

DRAWS = 4000


def draws(config: Config, part: int) -> np.ndarray:
    """Draws [N, 2] of one part of a prior of two units."""
    return place(config, tf.fill((DRAWS,), part), StepNoise(part, 0, DRAWS)).numpy()


@pytest.mark.parametrize("part", range(10))
def test_a_gaussian_of_the_ring_lies_at_its_angle_and_points_outward(part):
    points = draws(Config(**{**SMALL, **RING}), part)
    angle = 2 * math.pi * part / 10
    outward = np.array([math.cos(angle), math.sin(angle)])
    sideward = np.array([-outward[1], outward[0]])
    along, across = points @ outward, points @ sideward
    assert along.mean() == pytest.approx(RADIUS, abs=5 * ALONG / math.sqrt(DRAWS))
    assert across.mean() == pytest.approx(0.0, abs=5 * ACROSS / math.sqrt(DRAWS))
    # The standard error of a standard deviation is its 1 / sqrt(2 N).
    assert along.std() == pytest.approx(ALONG, rel=5 / math.sqrt(2 * DRAWS))
    assert across.std() == pytest.approx(ACROSS, rel=5 / math.sqrt(2 * DRAWS))
    assert abs(np.corrcoef(along, across)[0, 1]) < 5 / math.sqrt(DRAWS)


@pytest.mark.parametrize("part", [0, 3, 9])
def test_a_part_of_the_swiss_roll_is_a_segment_of_it(part):
    points = draws(Config(**{**SMALL, "prior": "swiss_roll"}), part)
    # How far along the roll the nearest point of it is, found on a fine grid of the whole.
    share = np.linspace(0, 1, 4001)
    angle = 2 * math.pi * ROUNDS * np.sqrt(share)
    roll = END * np.sqrt(share)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    distance = np.linalg.norm(points[:500, None] - roll, axis=-1)
    nearest = share[distance.argmin(1)]
    assert distance.min(1).max() < 5 * THICKNESS
    inside = (nearest > part / 10 - 0.02) & (nearest < (part + 1) / 10 + 0.02)
    assert inside.all()


def test_the_scale_of_a_normal_prior_is_its_standard_deviation():
    plain, wide = (AAE(Config(**{**SMALL, "prior_scale": scale})) for scale in (1.0, 5.0))
    noise = RowNoise(tf.range(50, dtype=tf.int64))
    np.testing.assert_array_equal(plain.prior(noise), noise.normal("code", (2,)))
    np.testing.assert_allclose(wide.prior(noise), 5.0 * plain.prior(noise), rtol=1e-6)
    assert plain.prior_parts() == (Part("gaussian", 2),)
    assert wide.prior_parts() == (Part("other", 2),)  # "gaussian" is one of standard deviation 1


def test_the_whole_ring_has_the_moments_of_a_ring():
    model = AAE(Config(**{**SMALL, "prior": "mixture", "parts": 7}))
    points = model.prior(StepNoise(1, 2, DRAWS)).numpy()
    variance = (RADIUS**2 + ALONG**2 + ACROSS**2) / 2
    assert np.abs(points.mean(0)).max() < 5 * math.sqrt(variance / DRAWS)
    np.testing.assert_allclose(points.var(0), variance, rtol=0.1)
    part = np.round(np.arctan2(points[:, 1], points[:, 0]) / (2 * math.pi) * 7).astype(int) % 7
    assert stats.chisquare(np.bincount(part, minlength=7)).pvalue > 1e-4


def test_every_pair_of_units_of_a_larger_code_is_in_the_same_part():
    config = Config(**{**SMALL, **RING, "code_size": 6})
    points = place(config, tf.range(10), StepNoise(1, 0, 10)).numpy().reshape(10, 3, 2)
    part = np.round(np.arctan2(points[..., 1], points[..., 0]) / (2 * math.pi) * 10).astype(int) % 10
    np.testing.assert_array_equal(part, np.arange(10)[:, None].repeat(3, 1))


def test_categories_stand_behind_z():
    model = AAE(Config(**{**SMALL, **LABELS}))
    assert model.prior_parts() == (Part("gaussian", 3), Part("one_hot", 4))
    code = model.code(batch()["image"]).numpy()
    assert code.shape == (ROWS, 7)
    np.testing.assert_allclose(code[:, 3:].sum(1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(model.encode(batch()["image"]).mean(), code)


# -- turns ---------------------------------------------------------------------------------------------------

PARTS = ("encoder", "decoder", "discriminator", "category_discriminator")


@pytest.mark.parametrize("options", [{}, RING, LABELS], ids=["plain", "ring", "labels"])
def test_each_turn_leaves_the_others_networks_unchanged(options):
    model = player(**options)
    moves = {
        "autoencoder": {"encoder", "decoder"},
        "discriminator": {"discriminator", "category_discriminator"},
        "encoder": {"encoder"},
        "supervised": {"encoder"},
    }
    networks = [name for name in PARTS if hasattr(model, name)]
    assert ("supervised" in [turn.name for turn in model.turns()]) == (options is LABELS)
    for turn in model.turns():
        model.playing = (turn.name,)
        before = {name: values(getattr(model, name).trainable_variables) for name in networks}
        model.train_step(batch())
        for name in networks:
            same = [
                np.array_equal(old, new)
                for old, new in zip(
                    before[name], values(getattr(model, name).trainable_variables), strict=True
                )
            ]
            if name in moves[turn.name]:
                assert not any(same), (turn.name, name)
            else:
                assert all(same), (turn.name, name)


def test_no_gradient_of_the_discriminators_turn_reaches_the_encoder_and_none_of_the_encoders_the_decoder():
    model, noise = player(**LABELS), StepNoise(0, 0, ROWS)
    encoder, decoder = (
        [each.value for each in network.trainable_variables] for network in (model.encoder, model.decoder)
    )
    with tf.GradientTape(persistent=True) as tape:
        judged, _ = model.discriminator_objective(batch(), {}, noise)
        deceived, _ = model.encoder_objective(batch(), {}, noise)
    assert tape.gradient(judged, encoder) == [None] * len(encoder)
    assert tape.gradient(judged, decoder) == tape.gradient(deceived, decoder) == [None] * len(decoder)
    assert all(float(tf.norm(each)) > 0 for each in tape.gradient(deceived, encoder))


@pytest.mark.parametrize(("scale", "lost"), [(1.0, True), (2.0, False)])
def test_codes_that_are_draws_of_the_prior_leave_the_discriminator_at_2_log_2(scale, lost):
    options = {"image_shape": (2, 1, 1), "encoder_units": (), "discriminator_units": (16,)}
    model = player(lambda: keras.optimizers.Adam(5e-3), **options)
    kernel, bias = model.encoder.trainable_variables
    kernel.assign(scale * np.eye(2))
    bias.assign(np.zeros(2))
    model.playing = ("discriminator",)
    step = tf.function(model.train_step)
    losses = []
    for index in range(200):
        x = tf.random.stateless_normal((256, 2, 1, 1), (index, 5))
        losses.append(float(step({"image": x, "label": tf.zeros(256, tf.int32)})["discriminator_loss"]))
    found = np.mean(losses[100:])
    assert (abs(found - 2 * math.log(2)) < 0.015) == lost
    assert found < 2 * math.log(2) + 0.015
    np.testing.assert_array_equal(kernel, scale * np.eye(2))


def test_from_a_noisy_image_the_clean_one_is_restored_and_an_image_is_encoded_without_noise():
    model, noise, image = player(noise=0.3), StepNoise(5, 0, ROWS), batch()["image"]
    noisy = image + 0.3 * noise.normal("image", (4, 4, 1))
    again = model.decode(model.code(noisy))
    by_hand = np.square(again - image).sum((1, 2, 3)).mean()
    found, _ = model.autoencoder_objective(batch(), {}, noise)
    assert float(found) == pytest.approx(by_hand, rel=1e-5)
    toward_noise = np.square(again - noisy).sum((1, 2, 3)).mean()
    assert abs(toward_noise - by_hand) > 0.1 * by_hand
    code = model.encode(image).mean()
    np.testing.assert_array_equal(code, model.code(image))
    assert np.abs(code - model.code(noisy)).max() > 1e-2


@pytest.mark.parametrize("options", [{}, LABELS], ids=["plain", "labels"])
def test_smoothing_is_of_draws_of_the_prior_alone(options, monkeypatch):
    model = player(smoothing=0.2, **options)
    judged = iter([tf.constant([1.5, -0.5]), tf.constant([0.3, -2.0])])  # of the prior, and of codes
    monkeypatch.setattr(model, "judge", lambda z, label: next(judged))
    _, terms = model.discriminator_objective(batch(), {}, StepNoise(0, 0, ROWS))
    real, fake = tf.constant([1.5, -0.5]), tf.constant([0.3, -2.0])
    smoothed = 0.8 * cross_entropy(real, 1.0) + 0.2 * cross_entropy(real, 0.0)
    assert float(terms["discriminator_loss"]) == pytest.approx(
        float(smoothed + cross_entropy(fake, 0.0)), rel=1e-6
    )
    if options:
        plain = player(**options)
        _, other = plain.discriminator_objective(batch(), {}, StepNoise(0, 0, ROWS))
        drawn = plain.category_discriminator(plain.draw_category(StepNoise(0, 0, ROWS)))
        # log(1 - D) in place of log D, for a fifth of each.
        more = 0.2 * (cross_entropy(drawn, 0.0) - cross_entropy(drawn, 1.0))
        apart = terms["category_discriminator_loss"] - other["category_discriminator_loss"]
        assert float(apart) == pytest.approx(float(more), abs=1e-6)


def test_the_turns_together_bring_codes_to_the_prior():
    options = {"image_shape": (2, 2, 1), "encoder_units": (32,), "discriminator_units": (32,)}
    model = player(lambda: keras.optimizers.Adam(2e-3, beta_1=0.5), **options)
    image = tf.random.stateless_uniform((400, 2, 2, 1), (1, 2))

    def apart() -> float:
        """The squared difference of codes and the prior in means of a kernel, MMD."""
        code = model.encode(image).mean().numpy()
        drawn = model.prior(StepNoise(1, 2, 400)).numpy()

        def mean(a: np.ndarray, b: np.ndarray) -> float:
            return float(np.exp(-0.5 * np.square(a[:, None] - b).sum(-1)).mean())

        return mean(code, code) + mean(drawn, drawn) - 2 * mean(code, drawn)

    before = apart()
    step = tf.function(model.train_step)
    for index in range(300):
        rows = tf.random.stateless_uniform((64,), (index, 3), 0, 400, tf.int32)
        step({"image": tf.gather(image, rows), "label": tf.zeros(64, tf.int32)})
    assert apart() < 0.25 * before


# -- labels --------------------------------------------------------------------------------------------------


def test_the_prior_beside_a_labelled_image_is_that_of_its_class(monkeypatch):
    model, seen = player(**RING), []
    monkeypatch.setattr(model, "judge", lambda z, label: seen.append((z, label)) or z[:, 0])
    images = batch()
    model.discriminator_objective(images, {}, StepNoise(0, 0, ROWS))
    (drawn, told), (code, same) = seen
    np.testing.assert_array_equal(told, images["label"])
    np.testing.assert_array_equal(same, images["label"])
    np.testing.assert_array_equal(code, model.read(images["image"])[0])
    part = np.round(np.arctan2(drawn[:, 1], drawn[:, 0]) / (2 * math.pi) * 10).astype(int) % 10
    known = images["label"].numpy() >= 0
    np.testing.assert_array_equal(part[known], images["label"].numpy()[known])


@pytest.mark.parametrize("parts", [10, 3])
def test_the_prior_beside_unlabelled_images_is_the_whole_mixture(parts, monkeypatch):
    rows = 2000
    model, seen = player(prior="mixture", classes=parts), []
    monkeypatch.setattr(model, "judge", lambda z, label: seen.append(z) or z[:, 0])
    label = tf.where(tf.range(rows) < 10, 0, tf.fill((rows,), -1))  # ten of class 0 among them
    images = {"image": tf.zeros((rows, 4, 4, 1)), "label": label}
    model.discriminator_objective(images, {}, StepNoise(3, 0, rows))
    drawn = seen[0].numpy()
    part = np.round(np.arctan2(drawn[:, 1], drawn[:, 0]) / (2 * math.pi) * parts).astype(int) % parts
    assert (part[:10] == 0).all()
    assert stats.chisquare(np.bincount(part[10:], minlength=parts)).pvalue > 1e-4


def test_an_unlabelled_code_has_a_class_of_its_own():
    model = player(**RING)
    z = tf.random.stateless_normal((12, 2), (1, 2))
    same = tf.repeat(z[:1], 12, 0)
    label = tf.constant([*range(10), -1, -1])
    found = model.judge(same, label).numpy()
    assert found[10] == found[11]
    assert len(np.unique(found)) == 11
    kernel = model.discriminator.trainable_variables[0]
    kernel.assign(np.concatenate([kernel.numpy()[:-1], np.zeros((1, 6))]))  # no weight of "no label"
    without = model.judge(same, label).numpy()
    np.testing.assert_array_equal(without[:10], found[:10])
    assert without[10] != found[10]


def test_a_label_asks_for_its_part_of_the_prior_or_its_category(monkeypatch):
    noise = RowNoise(tf.range(10, dtype=tf.int64))
    ring = player(**RING)
    monkeypatch.setattr(ring, "decode", lambda code: code)
    z = ring.sample_with(noise, label=tf.range(10)).numpy()
    np.testing.assert_array_equal(z, place(ring.config, tf.range(10), noise))
    model = player(**LABELS)
    monkeypatch.setattr(model, "decode", lambda code: code)
    code = model.sample_with(noise, label=tf.range(10) % 4).numpy()
    np.testing.assert_array_equal(code[:, 3:], np.eye(4)[np.arange(10) % 4])
    np.testing.assert_array_equal(code[:, :3], model.prior(noise)[:, :3])


def test_of_few_labels_a_batch_that_has_them_is_learnt_from():
    few, all_of_them = player(**LABELS, labels=6), player(**LABELS)
    beside = {"labelled_image": 1.0 - batch()["image"][:3], "labelled_label": tf.constant([3, 2, 0])}
    given = {**batch(), **beside}
    found, _ = few.supervised_objective(given, {}, StepNoise(0, 0, ROWS))
    own = {"image": beside["labelled_image"], "label": beside["labelled_label"]}
    expected, _ = all_of_them.supervised_objective(own, {}, StepNoise(0, 0, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    logits = all_of_them.read(own["image"])[1]
    log_p = tf.nn.log_softmax(logits).numpy()
    np.testing.assert_allclose(expected, -log_p[range(3), [3, 2, 0]].mean(), rtol=1e-5)


def test_the_papers_networks_have_the_papers_sizes():
    model = AAE(Config())
    count = {
        name: sum(int(np.prod(each.shape)) for each in getattr(model, name).trainable_variables)
        for name in PARTS[:3]
    }
    assert count == {
        "encoder": 785 * 1000 + 1001 * 1000 + 1001 * 8,
        "decoder": 9 * 1000 + 1001 * 1000 + 1001 * 784,
        "discriminator": 9 * 1000 + 1001 * 1000 + 1001,
    }


def test_weights_begin_with_the_scale_that_is_asked_for():
    model = AAE(Config(**{**SMALL, **LABELS, "initial_scale": 0.01}))
    kernels = [
        layer.kernel.numpy().ravel()
        for name in PARTS
        for layer in getattr(model, name).layers
        if isinstance(layer, keras.layers.Dense)
    ]
    everything = np.concatenate(kernels)
    assert everything.std() == pytest.approx(0.01, rel=5 / math.sqrt(2 * len(everything)))
    assert len(np.unique(everything)) == len(everything)  # each layer has numbers of its own


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"code_size": 3, "prior": "mixture"}, "even"),
        ({"labels": 100}, "with classes"),
        ({"classes": 10}, "needs a place"),
        ({"classes": 10, "categories": 9}, "cannot be the 10 classes"),
        ({"categories": 1}, "says nothing"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"prior_scale": 0.0}, "prior_scale must be above 0"),
        ({"initial_scale": 0.0}, "initial_scale must be above 0"),
        ({"prior_scale": 5.0, "prior": "uniform"}, "prior=gaussian alone"),
        ({"encoder_units": (0,)}, "at least 1"),
    ],
)
def test_impossible_options_are_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        Config(**{**SMALL, **wrong})
