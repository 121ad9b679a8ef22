"""Values that change with the step: where they begin, how they go, where they end, and how they are told."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from zoo.annealing import Ramp
from zoo.base import configure
from zoo.errors import UsageError
from zoo.training import _split_settings


@dataclasses.dataclass(frozen=True)
class Config:
    """Of a model with one ramp."""

    width: int = 3
    beta: Ramp = Ramp(0.0, 2.0, 10)


def values(ramp: Ramp, steps) -> np.ndarray:
    """From one graph, as a training step asks for them."""
    at = tf.function(ramp.at, autograph=False)
    return np.array([at(tf.constant(step, tf.int64)) for step in steps])


def test_a_linear_ramp_goes_straight_and_stays():
    ramp = Ramp(2.0, 5.0, steps=6, begin=10)
    np.testing.assert_allclose(values(ramp, [0, 10, 12, 13, 16, 99]), [2, 2, 3, 3.5, 5, 5], rtol=1e-6)
    assert ramp.at(3).dtype == tf.float32
    assert ramp.at(3).shape == ()


def test_a_cosine_ramp_is_slow_at_both_ends():
    ramp = Ramp(1.0, 1.0 / 16.0, steps=8, shape="cosine")
    expected = [1 / 16 + (1 - 1 / 16) * (1 + math.cos(math.pi * min(s, 8) / 8)) / 2 for s in range(10)]
    found = values(ramp, range(10))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    steps = -np.diff(found)[:8]
    np.testing.assert_allclose(steps, steps[::-1], rtol=1e-4)
    assert steps[0] < steps[3] / 2


def test_a_geometric_ramp_has_the_same_factor_at_each_step():
    found = values(Ramp(2.0, 0.02, steps=4, shape="geometric", begin=1), range(8))
    np.testing.assert_allclose(found, [2, 2, 2 / 10**0.5, 0.2, 0.2 / 10**0.5, 0.02, 0.02, 0.02], rtol=1e-5)


@pytest.mark.parametrize("shape", ["linear", "cosine", "geometric"])
def test_both_ends_are_exact(shape):
    ramp = Ramp(0.1, 1.0 / 3.0, steps=7, shape=shape)
    assert values(ramp, [0, 7]).tolist() == [np.float32(0.1), np.float32(1 / 3)]


def test_without_steps_it_is_a_step_or_a_constant():
    np.testing.assert_array_equal(values(Ramp(0.0, 3.0, begin=2), [0, 1, 2, 3]), [0, 0, 3, 3])
    assert Ramp(4.0, 4.0).constant
    np.testing.assert_array_equal(values(Ramp(4.0, 4.0, steps=5), [0, 2, 9]), [4, 4, 4])
    assert Ramp(3.0, 1.0).lowest == 1.0


def test_a_field_of_a_config_takes_plain_values():
    assert configure(Config, {}).beta == Ramp(0.0, 2.0, 10)
    assert configure(Config, {"beta": {"start": 1, "end": 0.5, "shape": "cosine"}}).beta == Ramp(
        1.0, 0.5, 0, "cosine"
    )
    assert configure(Config, {"beta": 4}).beta == Ramp(4.0, 4.0)
    assert isinstance(configure(Config, {"beta": 4}).beta.end, float)
    whole = configure(Config, {"beta": {"end": 3, "steps": 7}})
    assert configure(Config, json.loads(json.dumps(dataclasses.asdict(whole)))) == whole
    assert hash(whole) == hash(configure(Config, {"beta": whole.beta}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"stop": 1}, r"beta: no option 'stop'"),
        ({"steps": 2.5}, r"beta: steps=2.5: must be a whole number"),
        ({"shape": "cosin"}, r"beta: shape='cosin'.*Did you mean cosine"),
        ({"steps": -1}, "must not be negative"),
        ({"start": 0.0, "shape": "geometric"}, "must be above 0"),
        ({"end": math.inf}, "must be finite"),
        (True, "beta=True: must be a number, or values of beta.start, beta.end, beta.steps"),
        ("fast", "beta='fast': must be a number"),
    ],
)
def test_wrong_values_are_named(value, message):
    with pytest.raises(UsageError, match=message):
        configure(Config, {"beta": value})


def test_one_value_of_a_ramp_is_set_over_the_preset():
    preset = {
        "config": {"beta": {"start": 0.0, "end": 1.0, "steps": 100}},
        "optimizers": {"only": {"name": "sgd"}},
    }

    def changed(settings, preset=preset):
        options, optimizers = _split_settings(settings, preset, Config)
        assert optimizers == {"only": {"name": "sgd"}}
        return configure(Config, {**preset["config"], **options})

    assert changed({"beta.end": 4.0}).beta == Ramp(0.0, 4.0, 100)
    assert changed({"beta.end": 4.0, "beta.steps": 7}).beta == Ramp(0.0, 4.0, 7)
    assert changed({"beta": 2.0}).beta == Ramp(2.0, 2.0)
    assert changed({"width": 4}) == Config(4, Ramp(0.0, 1.0, 100))
    plain = {"config": {}, "optimizers": preset["optimizers"]}
    assert changed({"beta.begin": 5}, plain).beta == Ramp(0.0, 2.0, 10, begin=5)
    with pytest.raises(UsageError, match=r"no turn 'beat'.*beta has several values.*Did you mean beta"):
        changed({"beat.end": 1.0})
    with pytest.raises(UsageError, match=r"beta: no option 'ned'.*Did you mean end"):
        changed({"beta.ned": 1.0})
