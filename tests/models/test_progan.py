"""ProGAN: it grows without a jump, its parts are the paper's, and it goes on in the middle of a fade."""

from __future__ import annotations

import io
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
from zoo import callbacks, checkpoints, registry, training
from zoo.base import configure
from zoo.errors import UsageError
from zoo.models.progan import (
    Config,
    Discriminator,
    Generator,
    ProGAN,
    deviation,
    doubled,
    halved,
    of_level,
    pixel_norm,
)
from zoo.noise import RowNoise, StepNoise
from zoo.timetable import Timetable

ROWS = 8
SMALL = {
    "code_size": 5,
    "channels": 16,
    "most_channels": 6,
    "group": 4,
    "stable_steps": (3,),
    "fade_steps": (4,),
}


def grower(side: int = 16, **options) -> ProGAN:
    """At 16x16: 4x4 until step 3, 8x8 fading in until 7 and alone until 10, 16x16 fading in until 14."""
    keras.utils.set_random_seed(3)
    model = ProGAN(Config(**{"image_shape": (side, side, 2), **SMALL, **options}))
    for layer in [*model.generator._flatten_layers(), *model.discriminator._flatten_layers()]:
        if hasattr(layer, "bias"):  # 0 at first: it would hide where a bias is added
            layer.bias.assign(tf.random.stateless_normal(layer.bias.shape, (4, 5)))
    return model


def go(model: ProGAN, step: int, phase: int | None = None) -> None:
    """To a step, in its phase or in the one that ends there."""
    model.step.assign(step)
    model.enter(step if phase is None else model.first_steps[phase])


def images(side: int, rows: int = ROWS, seed: int = 1) -> tf.Tensor:
    return tf.random.stateless_normal((rows, side, side, 2), (seed, 2))


def codes(rows: int = ROWS) -> tf.Tensor:
    return tf.random.stateless_normal((rows, 5), (7, 8))


# -- growing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2])
def test_without_new_layers_the_generator_draws_what_the_smaller_one_draws_doubled(level):
    generator = grower().generator
    smaller = generator(codes(), level=level - 1)
    faded = generator(codes(), level=level, share=tf.constant(0.0))
    np.testing.assert_allclose(faded, doubled(smaller), atol=1e-6)
    new = generator(codes(), level=level)
    np.testing.assert_allclose(generator(codes(), level=level, share=tf.constant(1.0)), new, atol=1e-6)
    half = generator(codes(), level=level, share=tf.constant(0.5))
    np.testing.assert_allclose(half, 0.5 * doubled(smaller) + 0.5 * new, atol=1e-5)
    assert np.abs(new - doubled(smaller)).max() > 0.1


@pytest.mark.parametrize("level", [1, 2])
def test_without_new_layers_the_discriminator_says_what_the_smaller_one_says_of_half_the_size(level):
    discriminator = grower().discriminator
    x = images(4 << level)
    smaller = discriminator(halved(x), level=level - 1)
    np.testing.assert_allclose(discriminator(x, level=level, share=tf.constant(0.0)), smaller, atol=1e-5)
    new = discriminator(x, level=level)
    np.testing.assert_allclose(discriminator(x, level=level, share=tf.constant(1.0)), new, atol=1e-5)
    assert np.abs(new - smaller).max() > 1e-2


def test_nothing_jumps_where_a_phase_ends():
    model = grower()
    x = tf.random.stateless_uniform((ROWS, 16, 16, 2), (1, 2))
    for phase, step in enumerate(model.first_steps[1:]):
        seen = []
        for each in (phase, phase + 1):
            go(model, step, each)
            real, fake = model.real(x), model.generator(codes(), level=model.level, share=model.share)
            pictures = real, fake
            scores = [model.discriminator(each, level=model.level, share=model.share) for each in pictures]
            sized = [doubled(each, 16 // each.shape[1]) for each in pictures]
            seen.append([*sized, *scores, model.decode(codes())])
        for before, after in zip(*seen, strict=True):
            np.testing.assert_allclose(before, after, atol=1e-5, err_msg=f"phase {phase}")


def test_the_share_of_new_layers_rises_with_the_step_variable():
    model = grower()
    shares = []
    for step in range(15):
        go(model, step)
        shares.append(None if model.share is None else float(model.share))
    rise = [0.0, 0.25, 0.5, 0.75]
    assert shares == [None] * 3 + rise + [None] * 3 + rise + [None]
    # One traced graph serves all steps of a phase.
    go(model, 4)
    traced = tf.function(lambda: model.share)
    assert float(traced()) == 0.25
    model.step.assign(6)
    assert float(traced()) == 0.75


def test_real_images_are_blended_with_their_own_half_size_while_new_layers_fade_in():
    model = grower()
    x = tf.random.stateless_uniform((ROWS, 16, 16, 2), (1, 2))
    go(model, 4)  # 8x8, a quarter of the way
    eight = 2.0 * x.numpy().reshape(ROWS, 8, 2, 8, 2, 2).mean((2, 4)) - 1.0
    four = eight.reshape(ROWS, 4, 2, 4, 2, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(model.real(x), 0.75 * four + 0.25 * eight, atol=1e-6)
    go(model, 8)
    np.testing.assert_allclose(model.real(x), eight, atol=1e-6)


def test_samples_of_all_phases_have_the_full_size():
    model = grower()
    noise = RowNoise(tf.range(3, dtype=tf.int64))
    for phase, side in enumerate([4, 8, 8, 16, 16]):
        go(model, model.first_steps[phase] + 2)
        found = model.sample(noise).numpy()
        assert found.shape == (3, 16, 16, 2)
        assert found.min() >= 0.0
        assert found.max() <= 1.0
        square = 16 // side
        np.testing.assert_array_equal(found, doubled(tf.constant(found[:, ::square, ::square]), square))


def test_the_schedule_follows_from_the_options():
    config = Config(image_shape=(32, 32, 3), stable_steps=(5, 6), fade_steps=(7,), batch_sizes=(16, 16, 8))
    phases = ProGAN.phases(config)
    assert [phase.name for phase in phases] == [
        "4x4", "8x8 fading in", "8x8", "16x16 fading in", "16x16", "32x32 fading in", "32x32",
    ]  # fmt: skip
    assert [phase.steps for phase in phases] == [5, 7, 6, 7, 6, 7, 6]
    assert [phase.batch_size for phase in phases] == [16, 16, 16, 8, 8, 8, 8]
    # The optimizers start anew with each level.
    assert [phase.fresh for phase in phases] == [False, True, False, True, False, True, False]


# -- the paper's networks ----------------------------------------------------------------------------------


def parameters(network: keras.layers.Layer) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_the_papers_networks_have_the_papers_sizes():
    config = Config(image_shape=(1024, 1024, 3))
    with keras.StatelessScope(initialize_variables=False):  # shapes alone, no memory
        generator, discriminator = Generator(config), Discriminator(config)
    assert (parameters(generator), parameters(discriminator)) == (23_079_115, 23_087_249)
    assert [config.filters(level) for level in range(9)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]


def test_the_papers_schedule_shows_nineteen_million_images():
    preset = registry.presets("progan")["paper"]
    config = configure(Config, {**preset["config"], "image_shape": [1024, 1024, 3]})
    phases = ProGAN.phases(config)
    shown = [phase.steps * phase.batch_size for phase in phases]
    assert len(phases) == 17
    assert all(each == pytest.approx(800_000, abs=16) for each in shown[:-1])
    assert sum(shown) == pytest.approx(19_000_000, rel=1e-5)


def test_pixels_are_normalised_in_the_generator_alone():
    x = 3.0 * images(4) + 1.0
    np.testing.assert_allclose(tf.reduce_mean(pixel_norm(x) ** 2, -1), np.ones((ROWS, 4, 4)), rtol=1e-4)
    model = grower()
    # A code counts by its direction only.
    np.testing.assert_allclose(
        model.generator(codes(), level=2), model.generator(9.0 * codes(), level=2), atol=1e-3
    )
    assert np.abs(model.discriminator(x, level=0) - model.discriminator(9.0 * x, level=0)).max() > 1e-2


def test_pixels_are_normalised_in_half_precision_too():
    x = np.float16([[300.0, 400.0], [0.0, 0.0], [1e-3, -1e-3], [60_000.0, 0.0]])  # 300^2 is beyond float16
    found = pixel_norm(tf.constant(x))
    assert found.dtype == tf.float16
    wide = pixel_norm(tf.constant(x, tf.float32)).numpy()
    np.testing.assert_allclose(found, wide, rtol=1e-3)
    np.testing.assert_allclose(wide[[0, 3]] ** 2, [[0.72, 1.28], [2.0, 0.0]], rtol=1e-5)


def test_the_last_layers_are_linear():
    model = grower()
    for index in range(3):
        layer = model.generator.to_image[index]
        layer.kernel.assign(100.0 * layer.kernel.value)
    assert np.abs(model.generator(codes(), level=2)).max() > 10.0  # no tanh
    assert model.decode(codes()).numpy().max() <= 1.0


def test_the_deviation_of_examples_that_are_alike_is_the_root_of_epsilon():
    x = tf.repeat(images(4, rows=1), ROWS, 0)
    np.testing.assert_allclose(deviation(x, 4), np.full(ROWS, 1e-4), rtol=1e-3)


def test_the_deviation_is_that_of_a_group_of_neighbours_of_one_kind():
    x = images(4, rows=12)
    found = deviation(x, 4).numpy()
    by_hand = np.sqrt(x.numpy().reshape(3, 4, -1).var(1) + 1e-8).mean(1).repeat(4)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    # Of two kinds of six, groups of four would mix them: three is the next number that divides six.
    np.testing.assert_allclose(
        deviation(x, 4, batches=2),
        np.sqrt(x.numpy().reshape(4, 3, -1).var(1) + 1e-8).mean(1).repeat(3),
        rtol=1e-5,
    )
    # A batch that is smaller than a group is one.
    np.testing.assert_allclose(deviation(x, 16), deviation(x, 12), rtol=1e-6)


@pytest.mark.parametrize("level", [0, 2])
def test_real_and_generated_images_are_judged_together_as_they_are_apart(level):
    discriminator = grower().discriminator
    kinds = images(4 << level, seed=1), 3.0 * images(4 << level, seed=5)
    together = discriminator(tf.concat(kinds, 0), level=level, batches=2)
    apart = tf.concat([discriminator(each, level=level) for each in kinds], 0)
    np.testing.assert_allclose(together, apart, atol=1e-5)


# -- the game ----------------------------------------------------------------------------------------------


def test_the_critic_minimises_the_distance_the_penalty_and_the_drift():
    model = grower(penalty=7.0, drift=0.5)
    go(model, 5)
    noise = StepNoise(1, 5, ROWS)
    batch = {"image": tf.random.stateless_uniform((ROWS, 16, 16, 2), (1, 2))}
    fake = model.shared(batch, noise)["fake"]
    loss, terms = model.discriminator_objective(batch, {"fake": fake}, noise)
    real = model.real(batch["image"])
    judge = lambda x: model.discriminator(x, level=1, share=model.share)  # noqa: E731
    between = real + noise.uniform("between", ())[:, None, None, None] * (fake - real)
    with tf.GradientTape() as tape:
        tape.watch(between)
        score = judge(between)
    norm = np.sqrt((tape.gradient(score, between).numpy() ** 2).sum((1, 2, 3)))
    drift = 0.5 * (judge(real).numpy() ** 2).mean()
    by_hand = judge(fake).numpy().mean() - judge(real).numpy().mean() + 7.0 * ((norm - 1) ** 2).mean() + drift
    assert float(loss) == pytest.approx(by_hand, rel=1e-4)
    assert float(terms["discriminator_loss"]) == float(loss)
    assert float(terms["new_layers"]) == 0.5
    alone, _ = model.generator_objective(batch, {"fake": fake}, noise)
    assert float(alone) == pytest.approx(-judge(fake).numpy().mean(), rel=1e-4)


def test_two_devices_fade_as_one_does():
    strategies = [
        tf.distribute.get_strategy(),
        tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        ),
    ]
    image = tf.random.stateless_uniform((ROWS, 8, 8, 2), (1, 2))
    data = tf.data.Dataset.from_tensors({"image": image}).unbatch().batch(ROWS).repeat(3)
    first, ends = 2, []  # the last step of 4x4, and two while 8x8 fades in
    for strategy in strategies:
        with strategy.scope():
            model = grower(8)
            model.compile(
                {turn: keras.optimizers.SGD(0.1) for turn in ("discriminator", "generator")}, seed=1
            )
            start = checkpoints.values(model.state())
            model.step.assign(first)
        host = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs, model=model: model.choose_turns(first + batch)
        )
        model.fit(data, epochs=1, steps_per_epoch=3, shuffle=False, verbose=0, callbacks=[host])
        assert model.turn_optimizers["generator"].iterations.numpy() == 2  # it has started anew
        ends.append(checkpoints.values(model.state()))
    one, two = ends
    moved = [name for name in one if not np.array_equal(one[name], start[name])]
    assert len([name for name in moved if name.startswith("weights")]) == len(model.trainable_variables) + 1
    for name in moved:
        apart = np.linalg.norm((two[name] - one[name]).astype(float))
        assert apart <= 1e-3 * np.linalg.norm((one[name] - start[name]).astype(float)), name


# -- runs --------------------------------------------------------------------------------------------------


class StopAt(training.Quiet):
    """Sends this process a signal after some steps."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step, logs):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.usefixtures("no_curves")
def test_a_run_that_is_stopped_before_and_within_a_fade_ends_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "watches", lambda *_: [])  # what diagnostics see is tested elsewhere
    monkeypatch.setattr(training, "export", lambda *_: None)  # what follows the last step is not resumed
    preset = registry.presets("progan")["tiny"]
    config = configure(Config, {**preset["config"], "image_shape": [8, 8, 1]})
    table = Timetable(ProGAN.phases(config), 1437, preset["batch_size"])
    places = [table.at(step) for step in range(4)]
    assert [place.stretch.name for place in places] == ["4x4", "8x8 fading in", "8x8 fading in", "8x8"]
    assert [place.stretch.batch_size for place in places] == [8, 16, 16, 16]
    unbroken = zoo.train("progan", preset="tiny", run_dir=tmp_path / "unbroken")
    for step in (1, 2):
        with pytest.raises(callbacks.Stopped):
            zoo.train("progan", preset="tiny", run_dir=tmp_path / "stopped", progress=StopAt(step))
    stopped = zoo.train("progan", preset="tiny", run_dir=tmp_path / "stopped")
    ours, theirs = (checkpoints.newest(run.checkpoints, "progan")[0] for run in (unbroken, stopped))
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    # A picture of each phase, all of one size, and a film of them.
    paths = [sorted(run.path.glob("samples/epoch-*.png")) for run in (unbroken, stopped)]
    pictures = [[np.asarray(Image.open(io.BytesIO(path.read_bytes()))) for path in each] for each in paths]
    assert len(pictures[0]) == 3
    assert len({picture.shape for picture in pictures[0]}) == 1
    np.testing.assert_array_equal(*pictures)
    with Image.open(unbroken.path / "samples/progress.gif") as film:
        assert film.n_frames == 3


def test_a_rate_over_the_length_of_the_run_is_refused_where_optimizers_start_anew():
    cosine = {"schedule": "cosine", "start": 1e-3}
    with pytest.raises(
        UsageError, match="turn 'generator' depends on the length.*with the phase '8x8 fading in'"
    ):
        training.plan("progan", preset="tiny", settings={"generator.learning_rate": cosine})
    for rate in (1e-4, {"schedule": "constant", "start": 1e-3, "warmup": 2}, {**cosine, "steps": 2}):
        assert not training.plan("progan", preset="tiny", settings={"learning_rate": rate}).scheduled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (28, 28, 1)}, "cannot draw 28x28.*--image-size"),
        ({"image_shape": (32, 16, 1)}, "cannot draw 32x16"),
        ({"image_shape": (4, 4, 1)}, "cannot draw 4x4"),
        ({"image_shape": (2048, 2048, 3)}, "cannot draw 2048x2048"),
        ({"group": 0}, "must be at least 1"),
        ({"stable_steps": ()}, "stable_steps must be numbers of at least 1"),
        ({"fade_steps": (5, 0)}, "fade_steps must be numbers of at least 1"),
        ({"batch_sizes": (0,)}, "batch_sizes must be numbers of at least 1"),
        ({"penalty": -1.0}, "must not be negative"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Config(**options)


def test_the_last_number_goes_for_all_levels_above():
    assert [of_level((3, 4), level) for level in range(4)] == [3, 4, 4, 4]
