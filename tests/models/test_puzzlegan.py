"""PuzzleGAN: patches without an order, places without noise, composites, and what the losses are means of."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.annealing import Ramp
from zoo.callbacks import Painter, State
from zoo.errors import UsageError
from zoo.layers.objectness import OVERLAP, key_squares, overlap
from zoo.models import puzzlegan
from zoo.models.puzzlegan import Config, PuzzleGAN, composites, exchanged
from zoo.noise import RowNoise, StepNoise

ROWS = 6
SMALL = {
    "image_shape": (16, 16, 2),
    "width": 3,
    "code_size": 5,
    "noise_size": 4,
    "sizes": (0.25, 0.375),
    "spatial": Ramp(20.0, 0.2, 10, "geometric"),
    "appearance": Ramp(30.0, 0.3, 10, "geometric"),
}


def game(**options) -> PuzzleGAN:
    keras.utils.set_random_seed(3)
    made = PuzzleGAN(Config(**{**SMALL, **options}))
    turns = ("discriminator", "generator")
    made.compile({turn: keras.optimizers.Adam(3e-3, beta_1=0.5) for turn in turns}, seed=7)
    return made


@pytest.fixture(scope="module")
def model() -> PuzzleGAN:
    """One that nothing changes but the statistics of its normalisation."""
    return game()


def images(rows: int = ROWS) -> tf.Tensor:
    return tf.random.stateless_uniform((rows, 16, 16, 2), (1, 2))


def noise(rows: int = ROWS) -> StepNoise:
    return StepNoise(6, 0, rows)


@pytest.fixture(scope="module")
def shared(model) -> dict[str, tf.Tensor]:
    return model.shared({"image": images()}, noise())


def count(network) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_the_papers_networks_have_the_papers_sizes():
    paper = PuzzleGAN(Config())
    norm, taps, square = 2, 5 * 5, 4 * 4  # a scale and a shift; a kernel; the first map
    down = taps * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + norm * (128 + 256 + 512)
    assert count(paper.encoder) == down + square * 512 * 128 + 128
    assert count(paper.discriminator) == down + square * 512 + 1
    norms = norm * (512 + 256 + 128 + 64)
    # Each map is joined by that of the encoder, and for the image by both.
    joined = taps * (512 * 256 + 256 * 128 + 128 * 64)
    assert count(paper.mask_decoder) == 128 * square * 512 + norms + 2 * joined + taps * 2 * 64 * 1 + 1
    assert count(paper.image_decoder) == 256 * square * 512 + norms + 3 * joined + taps * 3 * 64 * 3 + 3


# -- patches -------------------------------------------------------------------------------------------------


def test_the_order_of_patches_never_changes_the_result(model):
    orders = np.array([*itertools.permutations(range(3))])
    patches = model.key_patches(images(1)).numpy()[0][orders]  # six rows: the same ones in all orders
    given = np.array([True, False, True])[orders]
    same = RowNoise(tf.zeros(6, tf.int64))
    for present in (given, np.ones_like(given)):
        image, places = model.assemble(tf.constant(patches), tf.constant(present), same)
        for found in (image.numpy(), places.numpy()):
            np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), atol=1e-6)
    # Other patches give something else.
    other, _ = model.assemble(model.key_patches(images(6)), tf.constant(np.ones_like(given)), same)
    assert np.abs(other - image).max() > 1e-3


def test_what_is_not_given_does_not_count(model):
    patches = model.key_patches(images()).numpy()
    given = np.array([[k > i % 4 for k in (3, 1, 2)] for i in range(ROWS)])
    seeds = RowNoise(tf.range(ROWS, dtype=tf.int64))
    found = model.assemble(tf.constant(patches), tf.constant(given), seeds)
    patches[~given] = 0.3
    for one, other in zip(
        found, model.assemble(tf.constant(patches), tf.constant(given), seeds), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    nothing = tf.zeros((ROWS, 3), tf.bool)
    np.testing.assert_allclose(model.assemble(patches, nothing, seeds)[0], model.sample(seeds), atol=1e-6)


def test_the_places_do_not_depend_on_the_noise_and_the_image_does(model):
    patches, given = model.key_patches(images()), tf.ones((ROWS, 3), tf.bool)
    found = [
        model.assemble(patches, given, RowNoise(tf.range(start, start + ROWS, dtype=tf.int64)))
        for start in (0, 100)
    ]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert np.abs(found[0][0] - found[1][0]).max(axis=(1, 2, 3)).min() > 1e-6
    for image, places in found:
        assert (image.shape, places.shape) == ((ROWS, 16, 16, 2), (ROWS, 16, 16))
        assert 0.0 <= float(tf.reduce_min(image)) <= float(tf.reduce_max(image)) <= 1.0


def test_as_many_patches_are_given_as_is_asked_and_any_of_them(model, monkeypatch):
    given = model.given(StepNoise(0, 0, 8000)).numpy()
    share = np.bincount(given.sum(1), minlength=4) / len(given)
    np.testing.assert_allclose(share, [1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.02)
    alone = given[given.sum(1) == 1]
    np.testing.assert_allclose(alone.mean(0), 1 / 3, atol=0.05)
    monkeypatch.setattr(model, "config", Config(**{**SMALL, "fewer": 1.0}))
    assert model.given(StepNoise(0, 0, 500)).numpy().sum(1).max() == 2


def test_the_mask_is_of_the_patches_that_were_given_and_composites_take_all(model, shared):
    given = model.given(noise()).numpy()
    assert {0, 3} < set(given.sum(1))
    squares = key_squares(images(), model.config.sides, 3).numpy()
    assert set(squares[..., 2].ravel()) <= {4, 6}
    for row in range(ROWS):
        for key, chosen in (("parts", squares[row]), ("mask", squares[row][given[row]])):
            expected = np.zeros((16, 16))
            for top, left, side in chosen:
                expected[top : top + side, left : left + side] = 1
            np.testing.assert_array_equal(shared[key][row, ..., 0], expected)
        for a, b in itertools.combinations(squares[row], 2):
            assert float(overlap(tf.constant(a), tf.constant(b))) <= OVERLAP


def test_the_pictures_of_a_training_are_made_of_patches(model):
    batches = [{"image": images()}, {"image": 1.0 - images()}]
    painter = Painter(State(), None, None, batches)
    painter.set_model(model)
    seeds = tf.range(10, 14, dtype=tf.int64)
    (found,) = tf.function(painter.examples, autograph=False)(seeds).values()
    x = tf.concat([each["image"] for each in batches], 0)
    patches = model.key_patches(tf.gather(x, [10, 11, 0, 1]))
    made, _ = model.assemble(patches, tf.ones((4, 3), tf.bool), RowNoise(seeds))
    np.testing.assert_allclose(found, made, atol=1e-5)


# -- the game ------------------------------------------------------------------------------------------------


def test_composites_are_the_image_where_nothing_is_exchanged(shared):
    x, parts = images(), shared["parts"]
    for found in composites(x, x, parts):
        np.testing.assert_array_equal(found, x)
    other = exchanged(x)
    there, around = composites(other, x, parts)
    chosen = np.broadcast_to(parts.numpy() == 1, x.shape)
    np.testing.assert_array_equal(there.numpy()[chosen], other.numpy()[chosen])
    np.testing.assert_array_equal(there.numpy()[~chosen], x.numpy()[~chosen])
    np.testing.assert_allclose(there + around, x + other, atol=1e-6)


def test_images_change_places_in_pairs_on_every_replica_alike():
    rows = exchanged(tf.range(8)).numpy()
    assert rows.tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    np.testing.assert_array_equal(rows[4:], exchanged(tf.range(4, 8)))
    assert exchanged(tf.range(5)).numpy().tolist() == [1, 0, 3, 2, 3]


@pytest.mark.parametrize(("rows", "strategy", "wanted"), [(1, "one", 2), (2, "mirrored", 4)])
def test_one_image_on_a_device_is_refused_where_images_are_exchanged(tmp_path, rows, strategy, wanted):
    """It would be exchanged with itself, to be accepted and refused at once."""
    options = {"preset": "tiny", "batch_size": rows, "strategy": strategy, "dry_run": True, "runs": tmp_path}
    with pytest.raises(UsageError, match=f"2 examples or more .* gives it 1: use --batch-size {wanted}"):
        zoo.train("puzzlegan", **options)
    zoo.train("puzzlegan", **options, settings={"composites": "generated"})


@pytest.mark.parametrize(("kind", "many"), [("exchanged", 2), ("generated", 2), ("both", 4)])
def test_the_discriminator_refuses_what_was_generated_and_composites(model, shared, monkeypatch, kind, many):
    seen: list[np.ndarray] = []

    def judge(network, *batches):
        seen.extend(each.numpy() for each in batches)
        return [tf.fill((ROWS, 1), float(place)) for place, _ in enumerate(batches)]

    monkeypatch.setattr(puzzlegan, "batches_apart", judge)
    monkeypatch.setattr(model, "config", Config(**{**SMALL, "composites": kind}))
    loss, _ = model.discriminator_objective({"image": images()}, shared, noise())
    x, fake, parts = 2 * images().numpy() - 1, shared["fake"].numpy(), shared["parts"].numpy()
    np.testing.assert_array_equal(seen[0], x)
    np.testing.assert_array_equal(seen[1], fake)
    expected = {"exchanged": [exchanged(x).numpy()], "generated": [fake]}
    expected["both"] = expected["exchanged"] + expected["generated"]
    mixed = [
        each
        for one in expected[kind]
        for each in (parts * one + (1 - parts) * x, parts * x + (1 - parts) * one)
    ]
    assert len(seen) == 2 + many == 2 + len(mixed)
    for found, wanted in zip(seen[2:], mixed, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    # Each with the weight 1: -log D of the real ones, -log (1 - D) of all others.
    logits = np.arange(2 + many)
    assert float(loss) == pytest.approx(
        np.log1p(np.exp(-logits[0])) + np.log1p(np.exp(logits[1:])).sum(), rel=1e-5
    )


def distances(model, image, shared) -> list[float]:
    return [float(each) for each in model.distances(*model.target(image, shared), shared)]


def test_where_all_is_patch_the_appearance_loss_is_of_the_whole_image(model, shared):
    x = 2.0 * images() - 1.0
    everything = {**shared, "places": tf.ones_like(shared["places"]), "mask": tf.ones_like(shared["mask"])}
    whole = float(tf.reduce_mean(tf.abs(shared["fake"] - x)))
    assert distances(model, x, everything) == [0.0, pytest.approx(whole, rel=1e-6)]
    nothing = {**shared, "places": tf.zeros_like(shared["places"]), "mask": tf.zeros_like(shared["mask"])}
    assert distances(model, x, nothing) == [0.0, 0.0]
    places, mask = (shared[key].numpy() for key in ("places", "mask"))
    assert distances(model, x, shared) == [
        pytest.approx(np.abs(places - mask).mean(), rel=1e-5),
        pytest.approx(np.abs(places * shared["fake"] - mask * x).mean(), rel=1e-5),
    ]


def test_patches_may_be_moved_together_to_where_they_were_put(model, monkeypatch):
    x = 2.0 * images() - 1.0
    mask = np.zeros((ROWS, 16, 16, 1), np.float32)
    mask[:, 3:7, 4:8] = mask[:, 8:11, 4:7] = 1
    # The generator has put them, rightly, two pixels higher and one to the right.
    away = {key: np.roll(value, (-2, 1), (1, 2)) for key, value in (("places", mask), ("fake", mask * x))}
    shared = {**{key: tf.constant(value) for key, value in away.items()}, "mask": tf.constant(mask)}
    for most, found in ((0, False), (1, False), (2, True), (3, True)):
        monkeypatch.setattr(model, "config", Config(**{**SMALL, "shift": most}))
        assert [value == 0.0 for value in distances(model, x, shared)] == [found, found]


def test_the_weights_fall_and_do_not_depend_on_the_batch(model, shared, monkeypatch):
    def judge(network, fake):
        return [tf.fill((len(fake), 1), 0.7)]

    monkeypatch.setattr(puzzlegan, "batches_apart", judge)
    adversarial = np.log1p(np.exp(-0.7))  # -log D
    x, twice = images(), {key: tf.concat([value, value], 0) for key, value in shared.items()}
    for step, factor in ((0, 1.0), (5, 0.1), (10, 0.01), (99, 0.01)):
        model.step.assign(step)
        loss, terms = model.generator_objective({"image": x}, shared, noise())
        assert float(terms["generator_loss"]) == pytest.approx(adversarial, rel=1e-5)
        expected = adversarial + factor * (20 * terms["spatial_loss"] + 30 * terms["appearance_loss"])
        assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    model.step.assign(0)
    again, _ = model.generator_objective({"image": tf.concat([x, x], 0)}, twice, noise(2 * ROWS))
    loss, _ = model.generator_objective({"image": x}, shared, noise())
    assert float(again) == pytest.approx(float(loss), rel=1e-4)


def test_the_generator_is_due_at_every_second_step_and_is_all_of_its_networks(model, monkeypatch):
    assert [model.due(step) for step in range(3)] == [
        ("discriminator", "generator"), ("discriminator",), ("discriminator", "generator")
    ]  # fmt: skip
    found = {id(variable) for variable in model.turns()[1].variables}
    for network in (model.encoder, model.mask_decoder, model.image_decoder):
        assert {id(variable) for variable in network.trainable_variables} <= found
    monkeypatch.setattr(model, "config", Config(**{**SMALL, "critic_steps": 1}))
    assert model.due(1) == ("discriminator", "generator")


def test_each_loss_teaches_the_networks_that_it_is_about(model):
    x = images()
    with tf.GradientTape(persistent=True) as tape:
        shared = model.shared({"image": x}, noise())
        losses = model.distances(*model.target(2.0 * x - 1.0, shared), shared)
    networks = (model.encoder, model.mask_decoder, model.image_decoder)
    for loss, taught in zip(losses, ([True, True, False], [True, True, True]), strict=True):
        for network, due in zip(networks, taught, strict=True):
            gradients = tape.gradient(loss, [each.value for each in network.trainable_variables])
            assert [each is not None and float(tf.norm(each)) > 0 for each in gradients] == [due] * len(
                gradients
            )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patches": 0}, "at least 1"),
        ({"fewer": 0.0}, "above 0"),
        ({"kernel": 2}, "at least 3"),
        ({"shift": 16}, "number of pixels"),
        ({"spatial": Ramp(-1.0, 1.0)}, "negative"),
        ({"image_shape": (16, 24, 1)}, "cannot draw"),
        ({"image_shape": (30, 30, 1)}, "cannot draw"),
        ({"sizes": (0.1,)}, "3 of them"),
        ({"sizes": (0.9,)}, "0.75"),
        ({"sizes": ()}, "sizes"),
    ],
)
def test_impossible_options_are_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        Config(**{**SMALL, **wrong})
