"""The one train_step, averages, configuration and the importance-weighted bound, on models made for it."""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.base import Averages, GenerativeModel, Phase, Turn, configure
from zoo.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = 3
    rate: float = 0.5
    fast: bool = False
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None


class Triangle(GenerativeModel):
    """Three turns whose variables overlap: u in the first and the last, v in the second, w in the last."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.u, self.v, self.w = (
            keras.Variable(np.full(config.width, value, "float32"), name=name)
            for name, value in (("u", 1.0), ("v", 2.0), ("w", 3.0))
        )

    @classmethod
    def config_class(cls) -> type:
        return Config

    def example_shape(self):
        return (self.config.width,)

    def turns(self):
        return [
            Turn("first", [self.u], self.first),
            Turn("second", [self.v], self.second, every=2),
            Turn("third", [self.u, self.w], self.third, through_shared=True),
        ]

    def shared(self, batch, noise):
        return {"product": batch["image"] * self.u * self.w, "index": tf.range(3)}

    def first(self, batch, shared, noise):
        loss = tf.reduce_mean(tf.reduce_sum(self.u * self.v + 0.0 * shared["product"], -1))
        return loss, {"first": loss}

    def second(self, batch, shared, noise):
        loss = tf.reduce_mean(tf.reduce_sum(self.v * shared["product"], -1))
        return loss, {"second": loss}

    def third(self, batch, shared, noise):
        # u enters twice: here and through `shared`.
        loss = tf.reduce_mean(tf.reduce_sum(shared["product"] * self.v + self.u**2, -1))
        return loss, {"third": loss}


def triangle(**options) -> Triangle:
    model = Triangle(Config())
    model.compile({name: keras.optimizers.SGD(0.1) for name in ("first", "second", "third")}, **options)
    return model


def step(model, batch):
    model.choose_turns(int(model.step.numpy()))
    model.fit(tf.data.Dataset.from_tensors({"image": batch}), shuffle=False, verbose=0)


def test_turns_are_played_in_order_each_on_its_own_variables_with_one_shared_value():
    model = triangle()
    x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
    mean = x.mean(0)
    step(model, x)
    u, v, w = 1.0, 2.0, 3.0
    product = mean * u * w  # computed once, before any turn
    u1 = u - 0.1 * v
    v1 = v - 0.1 * product
    # Through `shared`, whose values are those of the step's start; the direct part sees today's u.
    u2 = u1 - 0.1 * (mean * w * v1 + 2 * u1)
    w2 = w - 0.1 * (mean * u * v1)
    np.testing.assert_allclose(model.v.numpy(), v1, rtol=1e-6)
    np.testing.assert_allclose(model.u.numpy(), u2, rtol=1e-6)
    np.testing.assert_allclose(model.w.numpy(), w2, rtol=1e-6)
    assert int(model.step.numpy()) == 1


def test_the_norm_of_each_turn_s_gradient_is_a_term():
    model = triangle()
    x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
    logs = model.train_step({"image": tf.constant(x)})
    mean, u1, v1 = x.mean(0), 1.0 - 0.1 * 2.0, 2.0 - 0.1 * 3.0 * x.mean(0)
    third = np.concatenate([mean * 3.0 * v1 + 2 * u1, mean * 1.0 * v1])
    for turn, gradient in (("first", np.full(3, 2.0)), ("second", mean * 3.0), ("third", third)):
        assert float(logs[f"{turn}_gradient_norm"]) == pytest.approx(np.linalg.norm(gradient), rel=1e-6)


def test_the_norm_of_replicas_is_the_mean_of_their_own():
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = triangle()
    x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)  # a row each
    data = tf.data.Dataset.from_tensors({"image": x}).unbatch().batch(2)
    logs = model.fit(data, shuffle=False, verbose=0).history
    assert logs["first_gradient_norm"][0] == pytest.approx(2.0 * np.sqrt(3.0), rel=1e-6)
    assert logs["second_gradient_norm"][0] == pytest.approx(3.0 * np.sqrt(14.0), rel=1e-6)


def test_a_turn_is_due_at_its_own_steps():
    model = triangle()
    assert model.due(0) == ("first", "second", "third")
    assert model.due(1) == ("first", "third")
    seen = []
    for _ in range(4):
        step(model, np.ones((2, 3), np.float32))
        seen.append(float(model.v.numpy()[0]))
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert len(model.traces) == 2  # each choice is traced once


def test_a_turn_that_cannot_reach_its_variable_is_an_error_that_names_it():
    model = triangle()
    model.first = lambda batch, shared, noise: (tf.constant(1.0), {})
    with pytest.raises(ValueError, match="turn 'first'.* gives no gradient to"):
        step(model, np.ones((2, 3), np.float32))


def test_compile_names_turns_without_optimizers_and_the_reverse():
    model = Triangle(Config())
    with pytest.raises(UsageError, match="needs an optimizer for the turn 'second'"):
        model.compile({"first": "sgd", "third": "sgd"})
    with pytest.raises(UsageError, match="no turn 'frist'; it has first, second, third"):
        model.compile({"frist": "sgd"})


def test_averages_warm_up_and_are_exchanged_for_evaluation_only():
    model = triangle(averages={"third": 0.9})
    x = np.ones((2, 3), np.float32)
    weights, expected = [], model.w.numpy()
    for t in range(1, 4):
        step(model, x)
        weights.append(model.w.numpy())
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weights[-1]
    with model.evaluation_weights():
        np.testing.assert_allclose(model.w.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.w.numpy(), weights[-1])


def test_averages_start_where_the_weights_do():
    model = triangle(averages={"third": 0.5})
    model.w.assign(model.w + 1.0)
    start = model.w.numpy()
    model.averages.restart()
    with model.evaluation_weights():
        np.testing.assert_array_equal(model.w.numpy(), start)


def test_averages_of_constant_weights_stay():
    model = triangle(averages={"third": 0.5})
    before = model.w.numpy()
    for _ in range(5):
        model.averages.update(model.step, {"third": 1})
    with model.evaluation_weights():
        np.testing.assert_array_equal(model.w.numpy(), before)


def test_an_average_rests_and_ages_with_its_weight():
    w = keras.Variable(0.0)
    averages = Averages({"rare": ([(w, 0)], 0.9)})
    w.assign(1.0)
    step = keras.Variable(6, dtype="int64")
    averages.update(step, {"other": 1})
    (_, average, _) = averages.pairs[0]
    assert float(average) == 0.0
    averages.update(step, {"rare": 5})
    assert float(average) == pytest.approx(1.0 - 2.0 / 11.0)  # its first move: t = 1


class Normalised(GenerativeModel):
    """One weight on normalised data."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.norm = keras.layers.BatchNormalization(momentum=0.9, center=False, scale=False)
        self.norm.build((None, 1))
        self.w = keras.Variable(1.0, name="w")

    def example_shape(self):
        return (1,)

    def turns(self):
        return [Turn("only", [self.w], self.objective)]

    def shared(self, batch, noise):
        return {"normalised": self.norm(batch["image"], training=True)}

    def objective(self, batch, shared, noise):
        loss = tf.reduce_mean((self.w * shared["normalised"] - 1.0) ** 2)
        return loss, {"loss": loss}


def test_batch_statistics_for_averages_are_means_over_different_batches():
    model = Normalised(Config())
    model.compile({"only": "sgd"}, averages={"only": 0.9})
    before = model.norm.moving_mean.numpy()
    batches = [{"image": np.full((2, 1), value, np.float32)} for value in (1.0, 2.0, 6.0)]
    with model.evaluation_weights(batches):
        np.testing.assert_allclose(model.norm.moving_mean.numpy(), [3.0], rtol=1e-6)
        model.norm(np.zeros((1, 1), np.float32), training=False)
    np.testing.assert_array_equal(model.norm.moving_mean.numpy(), before)
    assert model.norm.momentum == 0.9


def test_state_holds_weights_optimizers_and_averages_under_stable_names():
    names = [list(triangle(averages={"third": 0.5}).state()) for _ in range(2)]
    assert names[0] == names[1]
    assert {name.split("/")[0] for name in names[0]} == {"weights", "optimizer", "average"}


def test_configure_takes_typed_values():
    config = configure(Config, {"width": 4, "rate": 1, "fast": True, "kind": "b", "sizes": [3], "limit": 7})
    assert config == Config(4, 1.0, True, "b", (3,), 7)
    assert isinstance(config.rate, float)
    assert configure(Config, {"limit": None}).limit is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 3}, r"no option 'widht'.*Did you mean width\?"),
        ({"width": 3.5}, "width=3.5: must be a whole number"),
        ({"width": True}, "must be a whole number"),
        ({"rate": "fast"}, "rate='fast': must be a number"),
        ({"fast": 1}, "fast=1: must be true or false"),
        ({"kind": "c"}, "kind='c': must be one of a, b"),
        ({"sizes": 3}, "sizes=3: must be a list"),
        ({"sizes": ["x"]}, "sizes='x': must be a whole number"),
        ({"limit": "no"}, "limit='no': must be a whole number"),
    ],
)
def test_configure_names_what_is_wrong(values, message):
    with pytest.raises(UsageError, match=message):
        configure(Config, values)


class Gathered(GenerativeModel):
    """One turn whose loss reads rows of a table, one of them three times."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.table = keras.Variable(np.ones((4, 2), "float32"), name="table")

    @classmethod
    def config_class(cls) -> type:
        return Config

    def example_shape(self):
        return (4,)

    def turns(self):
        return [Turn("only", [self.table], self.objective)]

    def objective(self, batch, shared, noise):
        loss = tf.reduce_sum(tf.gather(self.table.value, [1, 1, 3, 1]))
        return loss, {"loss": loss}


def test_the_norm_of_a_gradient_adds_up_what_repeated_rows_give():
    model = Gathered(Config())
    model.compile({"only": keras.optimizers.SGD(0.1)})
    logs = model.train_step({"image": tf.zeros((2, 4))})
    assert float(logs["only_gradient_norm"]) == pytest.approx(np.sqrt(2 * 3.0**2 + 2 * 1.0**2), rel=1e-6)
    np.testing.assert_allclose(model.table.numpy()[:, 0], [1.0, 0.7, 1.0, 0.9], rtol=1e-6)


class Growing(GenerativeModel):
    """u is trained in the first phase, u and v in the second, v alone in the third."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.u, self.v = (keras.Variable(np.zeros(2, "float32"), name=name) for name in ("u", "v"))

    @classmethod
    def config_class(cls) -> type:
        return Config

    @classmethod
    def phases(cls, config):
        return (Phase("u", 2), Phase("both", 3, fresh=True), Phase("v", 4))

    def example_shape(self):
        return (2,)

    def turns(self):
        return [Turn("only", [[self.u], [self.u, self.v], [self.v]][self.phase], self.objective)]

    def objective(self, batch, shared, noise):
        loss = tf.reduce_sum((self.u - 1.0) ** 2 + (self.v + 2.0) ** 2)
        return loss, {"loss": loss}


def growing(**options) -> Growing:
    model = Growing(Config())
    model.compile({"only": keras.optimizers.Adam(0.1)}, **options)
    return model


def test_each_phase_trains_its_own_variables_by_its_own_trace():
    model = growing()
    assert [(v.name, start) for v, start in model.trained()["only"]] == [("u", 0), ("v", 2)]
    moved = []
    for _ in range(7):
        before = model.u.numpy(), model.v.numpy()
        step(model, np.ones((1, 2), np.float32))
        moved.append(tuple(not np.array_equal(a, b) for a, b in zip(before, (model.u, model.v), strict=True)))
    assert moved == [(True, False)] * 2 + [(True, True)] * 3 + [(False, True)] * 2
    assert (model.phase, len(model.traces)) == (2, 3)  # each phase is traced once


def test_optimizers_start_anew_where_a_phase_says_so_and_only_at_its_first_step():
    model = growing()
    optimizer = model.turn_optimizers["only"]
    for expected in (1, 2, 1, 2, 3, 4):  # the third phase goes on with the optimizers of the second
        before = model.u.numpy()
        step(model, np.ones((1, 2), np.float32))
        assert int(optimizer.iterations) == expected
        if expected == 1:  # the first step of Adam goes as far as the rate, whatever the gradient is
            np.testing.assert_allclose(model.u.numpy() - before, 0.1, rtol=1e-4)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)


def test_a_model_that_is_resumed_inside_a_phase_keeps_its_optimizers():
    one, two = growing(), growing()
    for _ in range(4):
        step(one, np.ones((1, 2), np.float32))
    for name, variable in two.state().items():
        variable.assign(one.state()[name].numpy())
    for model in (one, two):
        step(model, np.ones((1, 2), np.float32))
    for name, variable in one.state().items():
        np.testing.assert_array_equal(two.state()[name].numpy(), variable.numpy(), err_msg=name)


def test_a_model_that_enters_a_phase_takes_the_trace_of_that_phase():
    model = growing()
    first = model.train_function
    model.enter(3)  # as a run that is resumed does
    model.choose_turns(3)
    assert model.train_function is model.traces[1, ("only",)] is not first
    model.choose_turns(0)
    assert model.train_function is first


def test_the_average_of_a_weight_that_is_new_in_a_phase_warms_up_with_it():
    model = growing(averages={"only": 0.9})
    expected = [model.u.numpy(), model.v.numpy()]
    for t in range(1, 6):
        step(model, np.ones((1, 2), np.float32))
        for index, (variable, start) in enumerate(((model.u, 0), (model.v, 2))):
            decay = min(0.9, (1 + t - start) / (10 + t - start))
            expected[index] = decay * expected[index] + (1 - decay) * variable.numpy()
    assert np.all(expected[1] != 0.0)
    with model.evaluation_weights():
        np.testing.assert_allclose(model.u.numpy(), expected[0], rtol=1e-5)
        np.testing.assert_allclose(model.v.numpy(), expected[1], rtol=1e-5)


def test_a_loaded_model_is_in_the_phase_of_its_last_step(tmp_path):
    model = growing()
    for _ in range(3):
        step(model, np.ones((1, 2), np.float32))
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").phase == model.phase == 1
