"""What training must hold for every model."""

from __future__ import annotations

import json
import math
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import checkpoints, training
from zoo.base import CountingTurn
from zoo.callbacks import Stopped


def values(model) -> dict[str, np.ndarray]:
    return checkpoints.values(model.state())


def assert_same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if a[name].tobytes() != b[name].tobytes()] == []


def test_a_run_ends_with_finite_losses(subject):
    assert subject.run.status == "finished"
    lines = [json.loads(line) for line in (subject.run.path / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    assert trained[-1]["step"] >= 2
    terms = [(key, value) for line in trained for key, value in line.items() if key not in ("kind", "epoch")]
    assert {key for key, _ in terms} > {"step"}
    assert all(value is not None and math.isfinite(value) for _, value in terms), terms


def turns_of(model, phase: int) -> list:
    model.enter(model.first_steps[phase])
    return list(model.turns())


def test_each_turn_moves_its_own_variables_and_no_others(subject):
    model = subject.fresh_model()
    batch = next(iter(subject.batches(1)))
    counted = [each for turn in model.turns() if isinstance(turn, CountingTurn) for each in turn.variables]
    turns = [(phase, turn) for phase in range(len(model.first_steps)) for turn in turns_of(model, phase)]
    for phase, turn in turns:
        step = model.first_steps[phase]
        model.enter(step)
        model.step.assign(
            step + (phase > 0)
        )  # what is new in a phase may count for nothing at its first step
        model.playing = (turn.name,)
        variables = [*model.trainable_variables, *counted]
        before = [variable.numpy() for variable in variables]
        model.train_step(batch)
        moved = {
            variable.path
            for variable, old in zip(variables, before, strict=True)
            if not np.array_equal(variable.numpy(), old)
        }
        assert moved == {variable.path for variable in turn.variables}, (phase, turn.name)


def test_turns_train_every_trainable_variable(subject):
    model = subject.fresh_model()
    trained = model.trained()
    played = {variable.path for turn in trained.values() for variable, _ in turn}
    assert played == {variable.path for variable in model.trainable_variables}
    assert set(trained) == set(model.turn_optimizers)


class StopAt:
    """Progress that sends this process a signal after some steps."""

    def __init__(self, step: int) -> None:
        self.at = step

    def start(self, *_) -> None: ...
    def step(self, step: int, logs) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch(self, *_) -> None: ...
    def message(self, text: str) -> None: ...
    def finish(self, summary) -> None: ...


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_bits(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_finish", lambda *_: {})  # what follows the last step is not resumed
    options = {"preset": subject.preset, "run_dir": tmp_path / "run", "runs": subject.runs}
    with pytest.raises(Stopped) as stopped:
        training.train(subject.name, progress=StopAt(2), **options)
    assert stopped.value.step == 2
    resumed = training.train(subject.name, **options)
    (ours, our_state), (unbroken, state) = (
        checkpoints.newest(run.checkpoints, subject.name) for run in (resumed, subject.run)
    )
    assert our_state["step"] == state["step"]
    assert_same_bits(ours, unbroken)
    assert (resumed.path / "metrics.jsonl").read_text() == (subject.run.path / "metrics.jsonl").read_text()


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras, of its own variables
def test_keras_file_keeps_weights_and_optimizers(subject, tmp_path):
    model = subject.fresh_model()
    for step, batch in enumerate(subject.batches(2)):
        model.choose_turns(step)
        model.train_step(batch)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.config == model.config
    assert_same_bits(values(again), values(model))
    # It goes on as the first one does.
    batch = next(iter(subject.batches(1)))
    for each in (model, again):
        each.choose_turns(2)
        each.train_step(batch)
    assert_same_bits(values(again), values(model))


def test_two_replicas_train_as_one_does(subject):
    strategies = [
        tf.distribute.get_strategy(),
        # The default collectives of several CPU devices mix up with those of synchronised BatchNorm.
        tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        ),
    ]
    (start, one), (_, two) = (subject.first_step(strategy) for strategy in strategies)
    subject.assert_trained_alike(start, one, two)
