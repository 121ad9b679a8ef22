"""Learning rates in closed form, and optimizers that name what is wrong with their values."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from zoo.base import configure
from zoo.errors import UsageError
from zoo.schedules import Schedule, depends_on_length, make_optimizer

STEPS, WARMUP = 100, 20


def rates(steps: int = STEPS, **values) -> np.ndarray:
    schedule = configure(Schedule, values)
    return np.array([float(schedule.rate(np.int64(step), steps)) for step in range(steps + 1)])


@pytest.mark.parametrize(
    ("values", "middle", "last"),
    [
        ({"schedule": "constant"}, 0.5, 0.5),
        ({"schedule": "linear", "end": 0.1}, 0.3, 0.1),
        ({"schedule": "cosine", "end": 0.1}, 0.3, 0.1),
        ({"schedule": "cosine"}, 0.25, 0.0),
        ({"schedule": "exponential", "end": 0.005}, 0.05, 0.005),
    ],
)
def test_a_rate_rises_and_falls_to_its_end(values, middle, last):
    found = rates(start=0.5, warmup=WARMUP, **values)
    np.testing.assert_allclose(found[: WARMUP + 1], 0.5 * np.arange(WARMUP + 1) / WARMUP, rtol=1e-6)
    np.testing.assert_allclose(found[[60, STEPS]], [middle, last], rtol=1e-5, atol=1e-7)
    assert (np.diff(found[WARMUP:]) <= 1e-9).all()


def test_the_cosine_is_that_of_keras():
    keras_rate = keras.optimizers.schedules.CosineDecay(
        0.0, STEPS - WARMUP, alpha=0.2, warmup_target=0.5, warmup_steps=WARMUP
    )
    found = rates(schedule="cosine", start=0.5, end=0.1, warmup=WARMUP)
    np.testing.assert_array_equal(found, [float(keras_rate(step)) for step in range(STEPS + 1)])


def test_a_rate_stays_for_a_share_of_the_steps_before_it_falls():
    """Half of the steps at one rate, half of them down to 0, as CycleGAN and StarGAN have it."""
    found = rates(schedule="linear", start=0.5, flat=0.5)
    np.testing.assert_allclose(found[:51], 0.5)
    np.testing.assert_allclose(found[50:], 0.5 * np.arange(50, -1, -1) / 50, atol=1e-7)
    late = rates(schedule="linear", start=0.5, warmup=WARMUP, flat=0.25)
    np.testing.assert_allclose(late[WARMUP : WARMUP + 21], 0.5)
    np.testing.assert_allclose(late[[70, STEPS]], [0.25, 0.0], atol=1e-7)


def test_the_transformer_s_rate():
    found = rates(schedule="inverse_sqrt", width=512, warmup=WARMUP, scale=2.0)
    s = np.arange(1, STEPS + 2)
    np.testing.assert_allclose(found, 2 * 512**-0.5 * np.minimum(s**-0.5, s * WARMUP**-1.5), rtol=1e-5)
    assert found.argmax() == WARMUP - 1


def test_a_rate_that_ends_before_the_run_keeps_its_end():
    found = rates(schedule="cosine", start=0.5, end=0.1, warmup=WARMUP, steps=60)
    np.testing.assert_allclose(found[:61], rates(60, schedule="cosine", start=0.5, end=0.1, warmup=WARMUP))
    np.testing.assert_allclose(found[60:], 0.1, rtol=1e-6)


def test_which_rates_depend_on_the_length():
    cosine = {"schedule": "cosine", "start": 1e-3}
    constant = {"schedule": "constant", "start": 1e-3, "warmup": 5}
    assert depends_on_length({"name": "adam", "learning_rate": cosine})
    assert not depends_on_length({"name": "adam", "learning_rate": constant})
    assert not depends_on_length({"name": "adam", "learning_rate": {**cosine, "steps": 50}})
    assert not depends_on_length({"name": "adam", "learning_rate": 1e-3})
    np.testing.assert_array_equal(rates(50, **constant), rates(**constant)[:51])


def test_an_optimizer_takes_its_schedule_with_it():
    values = {"name": "adam", "learning_rate": {"schedule": "linear", "start": 0.5}, "beta_1": 0.5}
    optimizer = make_optimizer("only", values, 10)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    again.build([])
    again.iterations.assign(5)
    assert math.isclose(float(again.learning_rate), 0.25, rel_tol=1e-6)
    assert again.beta_1 == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": {"schedule": "cosine"}}, "the schedule cosine needs start, above 0"),
        ({"learning_rate": {"schedule": "cosine", "start": 0.0}}, "needs start, above 0"),
        ({"learning_rate": {"schedule": "cosin", "start": 1.0}}, r"schedule='cosin'.*Did you mean cosine\?"),
        ({"learning_rate": {"schedule": "linear", "start": 1.0, "wamup": 1}}, r"'wamup'.*mean warmup\?"),
        ({"learning_rate": {"schedule": "linear", "start": "big"}}, "start='big': must be a number"),
        ({"learning_rate": {"schedule": "linear", "start": 1.0, "end": -1.0}}, "not below 0"),
        ({"learning_rate": {"schedule": "exponential", "start": 1.0}}, "needs end, above 0"),
        ({"learning_rate": {"schedule": "constant", "start": 1.0, "end": 0.1}}, "has no end"),
        ({"learning_rate": {"schedule": "inverse_sqrt", "warmup": 9}}, "needs width"),
        ({"learning_rate": {"schedule": "linear", "start": 1.0, "flat": 1.0}}, "flat is a share"),
        ({"learning_rate": {"schedule": "constant", "start": 1.0, "flat": 0.5}}, "flat is a share"),
        ({"learning_rate": {"start": 1.0}}, "needs schedule"),
        ({"learning_rate": "fast"}, "learning_rate='fast': must be a number"),
        ({"learning_rate": -1e-3}, "must be a number, not below 0"),
        ({"beta_1": "half"}, "beta_1='half': must be a number"),
        ({"beta_1": True}, "beta_1=True: must be a number"),
        ({"amsgrad": 1}, "amsgrad=1: must be true or false"),
        ({"beta1": 0.5}, r"the optimizer adam of turn 'only' has no 'beta1'.*Did you mean beta_1"),
        ({"name": "adamm"}, "the optimizer of turn 'only' cannot be made: Keras has no 'adamm'"),
        ({"name": 3}, "Keras has no 3"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(UsageError, match=message):
        make_optimizer("only", {"name": "adam", **values}, 10)
