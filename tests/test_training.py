"""Runs: they resume to the bit, survive faults, and refuse what does not fit."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import signal
import sys
import tokenize
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from equal_runs import assert_equal_runs, weights
from PIL import Image

import zoo
from zoo import callbacks, checkpoints, registry, training
from zoo.base import Phase
from zoo.errors import UsageError, ZooError
from zoo.runs import Run, all_runs
from zoo.timetable import Timetable

# But for `finished`, which lives longer than that.
pytestmark = pytest.mark.usefixtures("no_curves")


class StopAt(training.Quiet):
    """Sends a signal to this process at a step."""

    def __init__(self, step: int, signum: int) -> None:
        self.at, self.signum = step, signum

    def step(self, step, logs):
        if step == self.at:
            os.kill(os.getpid(), self.signum)


@pytest.fixture
def only_fits(monkeypatch):
    """Runs end with their last step: nothing is measured nor exported, where a test is of the steps alone."""
    monkeypatch.setattr(training, "_finish", lambda *_: {})


@pytest.fixture
def only_steps(only_fits, monkeypatch):
    """Nothing is drawn on the way either."""
    monkeypatch.setattr(training, "sampled", lambda _: False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    """A run of two epochs that nothing disturbed."""
    return zoo.train("vae", preset="tiny", steps=24, batch_size=128, runs=tmp_path_factory.mktemp("runs"))


def test_a_run_describes_itself(finished):
    record = finished.record
    assert record["schema"] == 1
    assert (record["model"], record["preset"], record["status"], record["step"]) == (
        "vae",
        "tiny",
        "finished",
        24,
    )
    assert record["dataset"]["spec"] == "digits"
    assert record["versions"]["tensorflow"] == tf.__version__
    for name in (
        "metrics.jsonl",
        "curves.png",
        "report.html",
        "samples/epoch-0001.png",
        "samples/progress.gif",
    ):
        assert (finished.path / name).stat().st_size > 0, name
    assert finished.saved_model == finished.path / "saved_model/1"
    assert list((finished.path / "tensorboard").glob("events*"))
    elbo, bound = (record["result"][name] for name in ("elbo", "iwae_50"))
    assert elbo["kind"] == bound["kind"] == "bound"
    assert elbo["receipt"]["split"] == "test"
    assert elbo["value"] < bound["value"] < 0
    lines = [json.loads(line) for line in (finished.path / "metrics.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"train", "validation", "diagnostics"}
    validation = [line["negative_elbo"] for line in lines if line["kind"] == "validation"]
    assert validation[-1] < validation[0]


def test_the_command_on_record_goes_on_with_the_run(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/gmzoo", "train", "vae", "--new", "--note", "a b"])
    assert training.command_line() == "gmzoo train vae --note 'a b'"


@pytest.mark.usefixtures("only_fits")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_first_and_the_run_resumes_to_the_bit(finished, tmp_path, signum, code):
    options = {"preset": "tiny", "steps": 24, "batch_size": 128, "runs": tmp_path}
    with pytest.raises(callbacks.Stopped) as stopped:
        zoo.train("vae", progress=StopAt(7, signum), **options)
    assert (stopped.value.code, stopped.value.step) == (code, 7)
    (run,) = all_runs(tmp_path)
    assert run.status == "stopped"
    resumed = zoo.train("vae", **options)
    assert resumed.path == run.path
    assert_equal_runs(finished, resumed)


@pytest.mark.parametrize("step", [11, 24])
def test_a_signal_on_the_last_step_of_an_epoch_or_run_loses_no_validation(finished, tmp_path, step):
    """24 steps of 11 an epoch: the end of an epoch, and the end of the run."""
    options = {"preset": "tiny", "steps": 24, "batch_size": 128, "runs": tmp_path}
    with pytest.raises(callbacks.Stopped) as stopped:
        zoo.train("vae", progress=StopAt(step, signal.SIGTERM), **options)
    assert (stopped.value.code, stopped.value.step) == (143, step)
    resumed = zoo.train("vae", **options)
    assert_equal_runs(finished, resumed)
    pictures = [sorted(path.name for path in run.path.glob("samples/*")) for run in (finished, resumed)]
    assert pictures[0] == pictures[1]
    assert resumed.record["result"] == finished.record["result"]


def test_a_signal_while_an_epoch_is_validated_is_obeyed_when_it_is_saved(tmp_path, monkeypatch):
    options = {"preset": "tiny", "steps": 3, "runs": tmp_path}
    original = callbacks.Validator.on_epoch_end

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(callbacks.Validator, "on_epoch_end", interrupted)
    with pytest.raises(callbacks.Stopped) as stopped:
        zoo.train("vae", **options)
    assert (stopped.value.code, stopped.value.step) == (130, 3)
    monkeypatch.undo()
    assert zoo.train("vae", **options).status == "finished"


def test_a_signal_while_the_result_is_measured_stops_at_once_and_the_run_can_be_finished(
    tmp_path, monkeypatch
):
    options = {"preset": "tiny", "steps": 3, "runs": tmp_path}
    original = training.measure
    monkeypatch.setattr(training, "measure", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(callbacks.Stopped) as stopped:
        zoo.train("vae", **options)
    assert stopped.value.code == 143
    monkeypatch.setattr(training, "measure", original)
    run = zoo.train("vae", **options)
    assert run.saved_model.name == "1"


def test_a_run_whose_best_weights_are_lost_can_be_finished(tmp_path, caplog):
    options = {"preset": "tiny", "steps": 3, "runs": tmp_path}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_finish", lambda *_: {})
        run = zoo.train("vae", **options)
    callbacks.best_weights(run).write_bytes(b"nothing")
    run.update(status="stopped")
    assert zoo.train("vae", **options).status == "finished"
    assert "best.npz is damaged" in caplog.text
    assert "The weights of the last step are taken" in caplog.text


def test_a_page_that_cannot_be_written_is_told_and_the_run_is_finished_all_the_same(
    tmp_path, monkeypatch, caplog
):
    def full(run):
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(training, "write_run_page", full)
        run = zoo.train("vae", preset="tiny", runs=tmp_path)
    assert run.status == "finished"
    assert "report.html could not be written: No space left on device" in caplog.text
    assert not (run.path / "report.html").exists()
    zoo.train("vae", preset="tiny", runs=tmp_path)  # the same line makes it
    assert (run.path / "report.html").exists()
    assert run.record["machine"]


def test_a_finished_run_is_told_and_may_grow(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gmzoo")
    options = {"preset": "tiny", "batch_size": 128, "runs": tmp_path}
    short = zoo.train("vae", steps=5, **options)
    again = zoo.train("vae", steps=5, **options)
    assert again.path == short.path
    assert "is finished" in caplog.text
    longer = zoo.train("vae", steps=9, **options)
    assert (longer.path, longer.record["step"]) == (short.path, 9)
    with pytest.raises(UsageError, match="has done 9 steps already, and 5 were asked for"):
        zoo.train("vae", steps=5, **options)
    assert longer.saved_model.name == "2"  # a version is never replaced


def own_images(folder: Path, splits: tuple[str, ...]) -> str:
    """A folder of random images in folders for these splits."""
    for split in splits:
        (folder / split).mkdir(parents=True)
        for index in range(12):
            pixels = np.random.default_rng([len(split), index]).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{index}.png")
    return f"folder:{folder}"


def test_the_test_split_is_read_as_the_training_data_was(tmp_path):
    spec = own_images(tmp_path / "images", ("train", "test"))
    (tmp_path / "images/test/broken.png").write_bytes(b"no picture")
    options = {
        "preset": "tiny", "dataset": spec, "image_size": 8, "batch_size": 4, "steps": 3, "skip_bad": True,
        "data_dir": str(tmp_path / "prepared"), "runs": tmp_path / "runs",
    }  # fmt: skip
    with pytest.raises(callbacks.Stopped):
        zoo.train("vae", progress=StopAt(2, signal.SIGTERM), **options)
    (run,) = all_runs(tmp_path / "runs")
    assert zoo.load(run.path).sample([0]).shape == (1, 8, 8, 1)
    run = zoo.train("vae", **options)
    assert run.record["result"]["elbo"]["receipt"]["n"] == 12


def test_a_validation_split_without_a_test_split_is_taken_for_it(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gmzoo")
    spec = own_images(tmp_path / "images", ("train", "val"))
    run = zoo.train(
        "vae", preset="tiny", dataset=spec, image_size=8, batch_size=4, steps=2, runs=tmp_path / "runs",
        data_dir=str(tmp_path / "prepared"),
    )  # fmt: skip
    assert run.record["result"]["elbo"]["receipt"]["n"] == 12
    assert "there is no test split: the validation split is taken for it" in caplog.text


def test_an_unfinished_run_in_half_precision_can_be_used(tmp_path):
    options = {"preset": "tiny", "steps": 6, "precision": "mixed_float16", "runs": tmp_path}
    with pytest.raises(callbacks.Stopped):
        zoo.train("vae", progress=StopAt(3, signal.SIGINT), **options)
    (run,) = all_runs(tmp_path)
    loaded = zoo.load(run.path)
    assert loaded.sample([0]).shape == (1, 8, 8, 1)
    assert (loaded.card["step"], loaded.card["steps"], loaded.card["unfinished"]) == (3, 6, True)
    assert loaded.card["precision"] == "mixed_float16"


def test_what_is_measured_is_what_is_exported(tmp_path):
    """In full precision, whatever the training computes in."""
    run = zoo.train("vae", preset="tiny", steps=3, precision="mixed_bfloat16", runs=tmp_path)
    plan = training.plan("vae", preset="tiny", steps=3)
    model = training.build(plan)
    checkpoints.assign(model.weights_by_name(), checkpoints.read(callbacks.best_weights(run))[0])
    measured = training.measure(model, plan.test)
    np.testing.assert_allclose(measured["elbo"]["value"], run.record["result"]["elbo"]["value"], rtol=1e-6)


@pytest.mark.usefixtures("only_steps")
def test_a_first_batch_is_read_where_a_model_asks_for_it_and_only_then(tmp_path, monkeypatch):
    sizes = []
    original = training.datasets.batches

    def counted(data, batch_size, **options):
        sizes.append((batch_size, options.get("steps")))
        return original(data, batch_size, **options)

    monkeypatch.setattr(training.datasets, "batches", counted)
    zoo.train("vae", preset="tiny", steps=1, runs=tmp_path)
    assert all(size == 16 for size, _ in sizes)
    sizes.clear()
    zoo.train("nade", preset="tiny", steps=1, runs=tmp_path)
    assert sizes.count((1438, 1)) == 1
    sizes.clear()
    zoo.train("nade", preset="tiny", steps=2, runs=tmp_path)
    assert all(size == 16 for size, _ in sizes), "a resumed run has begun"


def test_levels_that_the_model_does_not_know_are_told(finished, tmp_path, caplog):
    caplog.set_level(logging.INFO, "gmzoo")
    run = zoo.train("nade", preset="tiny", steps=1, runs=tmp_path)
    assert (
        "digits has values of 16 levels, the model 2; a pixel of half or more is 1: the likelihood is "
        in (caplog.text)
    )
    assert run.record["result"]["log_prob"]["receipt"]["levels"] == 2
    card = zoo.load(run.path).card
    assert (card["levels"], card["dataset"]["levels"]) == (2, 16)
    assert finished.record["result"]["elbo"]["receipt"]["levels"] == 2


@pytest.mark.usefixtures("only_steps")
def test_other_settings_start_another_run_and_say_what_differs(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gmzoo")
    options = {"preset": "tiny", "steps": 1, "runs": tmp_path}
    first = zoo.train("vae", **options)
    other = zoo.train("vae", seed=1, **options)
    assert other.path != first.path
    assert "seed: 0 -> 1" in caplog.text
    with pytest.raises(UsageError, match=r"other settings: seed: 0 -> 2"):
        zoo.train("vae", seed=2, run_dir=first.path, preset="tiny", steps=1)
    fresh = zoo.train("vae", new=True, **options)
    assert fresh.path.name == "vae-003"


@pytest.mark.usefixtures("only_steps")
def test_a_length_that_a_schedule_depends_on_may_not_change(tmp_path):
    options = {
        "preset": "tiny",
        "settings": {"learning_rate": {"schedule": "cosine", "start": 1e-3, "warmup": 1}},
        "run_dir": tmp_path / "run",
    }
    zoo.train("vae", steps=2, **options)
    with pytest.raises(UsageError, match="steps, on which the learning rate depends: 2 -> 4"):
        zoo.train("vae", steps=4, **options)


@pytest.mark.usefixtures("only_fits")
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(finished, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    options = {"preset": "tiny", "steps": 24, "batch_size": 128, "runs": tmp_path}
    with pytest.raises(callbacks.Stopped):
        zoo.train("vae", progress=StopAt(6, signal.SIGINT), **options)
    (run,) = all_runs(tmp_path)
    last = checkpoints.steps(run.checkpoints)[-1]
    last.write_bytes(last.read_bytes()[:-2000])
    resumed = zoo.train("vae", **options)
    assert f"{last} is damaged" in caplog.text
    assert_equal_runs(finished, resumed)


@pytest.mark.parametrize("error", [tokenize.TokenError("broken"), zlib.error("broken"), RuntimeError("?")])
def test_whatever_a_damaged_file_raises_it_is_damaged(tmp_path, monkeypatch, error):
    def load(*_, **__):
        raise error

    checkpoints.save(tmp_path, 1, {"a": np.zeros(3)}, {"model": "vae", "step": 1})
    monkeypatch.setattr(np, "load", load)
    with pytest.raises(checkpoints.DamagedError, match="is damaged"):
        checkpoints.read(checkpoints.steps(tmp_path)[0])


@pytest.mark.parametrize("harm", ["cut", "zeroed", "empty", "swapped"])
def test_no_damage_goes_unnoticed(tmp_path, harm):
    for step in (1, 2):
        checkpoints.save(tmp_path, step, {"a/b": np.arange(1000.0)}, {"model": "vae", "step": step})
    older, newer = checkpoints.steps(tmp_path)
    content = newer.read_bytes()
    if harm == "swapped":
        newer.write_bytes(older.read_bytes())
    else:
        damaged = {"cut": content[:-500], "zeroed": content[:3000] + bytes(len(content) - 3000), "empty": b""}
        newer.write_bytes(damaged[harm])
    arrays, meta = checkpoints.newest(tmp_path, "vae")
    assert meta["step"] == 1
    np.testing.assert_array_equal(arrays["a/b"], np.arange(1000.0))
    older.write_bytes(b"")
    with pytest.raises(ZooError, match="No checkpoint in .* can be read"):
        checkpoints.newest(tmp_path, "vae")


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 1, {"a": np.zeros(3)}, {"model": "vae", "step": 1})

    def full(file, **arrays):
        file.write(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ZooError, match=r"(?s)The disk is full.*Free some space"):
        checkpoints.save(tmp_path, 2, {"a": np.ones(3)}, {"model": "vae", "step": 2})
    monkeypatch.undo()
    assert checkpoints.newest(tmp_path, "vae")[1]["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.npz"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(ZooError, match=r"Training diverged: .* is not finite"):
        zoo.train(
            "vae", preset="tiny", steps=40, runs=tmp_path,
            settings={"elbo.name": "sgd", "learning_rate": 3e4},
        )  # fmt: skip
    (run,) = all_runs(tmp_path)
    assert run.status == "stopped"
    for path in checkpoints.steps(run.checkpoints):
        arrays, _ = checkpoints.read(path)
        assert all(np.isfinite(value).all() for value in arrays.values())


@pytest.mark.usefixtures("only_steps")
def test_early_stopping_ends_the_run_with_the_best_weights(tmp_path):
    settings = registry.presets("vae")["tiny"]
    patched = {**settings, "patience": 1, "optimizers": {"elbo": {"name": "sgd", "learning_rate": 0.0}}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.presets("vae"), "tiny", patched)
        run = zoo.train("vae", preset="tiny", epochs=9, runs=tmp_path)
    _, meta = checkpoints.newest(run.checkpoints, "vae")
    assert meta["ended"]
    assert meta["step"] < run.record["steps"]
    assert meta["best_step"] < meta["step"]


def test_out_of_memory_names_a_batch_that_fits(tmp_path, monkeypatch):
    from zoo.models.vae import VAE

    original = VAE.objective

    def objective(self, batch, shared, noise):
        if batch["image"].shape[0] > 20:
            raise tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory")
        return original(self, batch, shared, noise)

    monkeypatch.setattr(VAE, "objective", objective)
    with pytest.raises(ZooError, match="Out of memory with --batch-size 100; --batch-size 12 fits"):
        zoo.train("vae", preset="tiny", steps=2, batch_size=100, runs=tmp_path)


def test_weights_come_from_another_model(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "gmzoo")
    source = zoo.train("vae", preset="tiny", steps=1, runs=tmp_path)
    # By name: the newest finished run where runs live, wherever this run's own folder is.
    options = {"preset": "tiny", "steps": 1, "seed": 5, "runs": tmp_path, "run_dir": tmp_path / "other/run"}
    monkeypatch.setattr(training, "_finish", lambda *_: {})
    run = zoo.train("vae", init_from="vae", **options)
    assert f"weights taken from {source.saved_model}" in caplog.text
    assert run.record["init_from_path"] == str(source.saved_model)
    first, second = weights(source), weights(run)
    key = next(key for key in first if key.endswith("_kernel"))
    # One step of Adam moves a weight by at most its learning rate, 1e-3.
    assert np.abs(first[key] - second[key]).max() < 2.1e-3
    assert second["weights/0000_step"] == 1


def test_weights_come_from_an_unfinished_model_and_a_model_begins_before(tmp_path, monkeypatch):
    options = {"preset": "tiny", "steps": 9, "runs": tmp_path}
    with pytest.raises(callbacks.Stopped):
        zoo.train("nade", progress=StopAt(3, signal.SIGTERM), **options)
    (source,) = all_runs(tmp_path)
    began = []
    NADE = registry.model_class("nade")
    monkeypatch.setattr(NADE, "begin", lambda model, batch: began.append(batch["image"].shape[0]))
    monkeypatch.setattr(training, "_finish", lambda *_: {})
    run = zoo.train("nade", seed=1, init_from=str(source.path), **options)
    assert began == [1438]
    assert run.record["init_from_path"] == str(source.path / "unfinished/3")


@pytest.mark.parametrize("wrong", ["./nothing", "vea", "nade"])
def test_a_wrong_source_of_weights_leaves_no_run(tmp_path, wrong):
    if wrong == "nade":
        zoo.train("nade", preset="tiny", steps=1, runs=tmp_path)
    with pytest.raises(UsageError, match="No such file|no model 'vea'|no weight of .* fits"):
        zoo.train("vae", preset="tiny", steps=1, init_from=wrong, runs=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["nade-001"] * (wrong == "nade")


def test_training_leaves_the_generators_of_the_program_alone(tmp_path):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    tf.random.set_seed(1)
    drawn = tf.random.uniform([])
    tf.random.set_seed(1)
    plan = training.plan("vae", preset="tiny")
    first, second = (checkpoints.values(training.build(plan).state()) for _ in range(2))
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert tf.random.uniform([]) == drawn
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


@pytest.mark.usefixtures("only_fits")
def test_layers_have_the_same_names_whatever_was_trained_before(tmp_path, monkeypatch):
    """By names TensorFlow orders sums: with other ones the same run would end with other bits."""
    built = []
    monkeypatch.setattr(training, "_fit", lambda plan, run, model, *_: built.append(model))
    for index, name in enumerate(("vae", "gan", "vae")):
        zoo.train(name, preset="tiny", steps=1, run_dir=tmp_path / str(index))
    first, _, again = ([layer.name for layer in model._flatten_layers()] for model in built)
    assert first == again
    assert len(first) > 5
    first, _, again = ([variable.path for variable in model.variables] for model in built)
    assert first == again


def test_terms_of_a_turn_are_means_over_the_steps_at_which_it_was_due(tmp_path):
    timetable = Timetable([Phase()], 1000, 1)
    recorder = callbacks.Recorder(
        callbacks.State(), callbacks.Log(Run(tmp_path), 0), training.Quiet(), timetable, tells_epochs=False
    )
    recorder.set_model(types.SimpleNamespace(turn_optimizers={}))
    for step in range(4):
        recorder.on_train_batch_end(step, {"always": 1.0, **({"second": 6.0} if step % 2 == 0 else {})})
    recorder.flush()
    (line,) = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert (line["always"], line["second"]) == (1.0, 6.0)


def events_of(run: Run) -> list[tuple[str, int]]:
    """Tag and step of every TensorBoard event."""
    found = []
    for path in sorted((run.path / "tensorboard").glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [(value.tag, event.step) for value in event.summary.value]
    return sorted(found)


@pytest.mark.usefixtures("only_fits")
def test_events_are_cut_back_to_the_checkpoint(finished, tmp_path):
    options = {"preset": "tiny", "steps": 24, "batch_size": 128, "runs": tmp_path}
    with pytest.raises(callbacks.Stopped):
        zoo.train("vae", progress=StopAt(20, signal.SIGTERM), **options)
    (run,) = all_runs(tmp_path)
    checkpoints.steps(run.checkpoints)[-1].unlink()  # as if it had been killed before it was saved
    assert checkpoints.newest(run.checkpoints, "vae")[1]["step"] == 11
    resumed = zoo.train("vae", **options)
    assert events_of(resumed) == events_of(finished)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    run = Run(tmp_path / "run")
    left = run.checkpoints / ".step-0000000001.1a2b3c4d.tmp.npz"
    folder = run.path / "saved_model/.1.1a2b3c4d.tmp"
    own = run.path / "samples/.note.tmp"
    for path in (left, folder / "saved_model.pb", own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with run.held():
        assert not left.exists()
        assert not folder.exists()
        assert own.exists()


def test_a_full_disk_is_told_and_nothing_else(tmp_path, monkeypatch):
    original = Run.update

    def update(run, **fields):
        if fields.get("status") == "stopped":
            raise OSError(errno.ENOSPC, "No space left on device")
        original(run, **fields)

    def full(*_, **__):
        raise ZooError("The disk is full")

    monkeypatch.setattr(Run, "update", update)
    monkeypatch.setattr(checkpoints, "save", full)
    with pytest.raises(ZooError, match="The disk is full"):
        zoo.train("vae", preset="tiny", steps=2, runs=tmp_path)


@pytest.mark.usefixtures("only_steps")
def test_a_folder_that_holds_a_lock_alone_is_empty(tmp_path):
    (tmp_path / ".lock").touch()
    assert zoo.train("vae", preset="tiny", steps=1, run_dir=tmp_path).path == tmp_path


@pytest.mark.parametrize("content", ["{}", "[1]", '{"model": "vae"}'])
def test_a_foreign_record_is_passed_over(tmp_path, caplog, content):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/run.json").write_text(content)
    assert all_runs(tmp_path, "vae") == []
    assert "other is no run that can be read" in caplog.text


@pytest.mark.usefixtures("only_steps")
def test_a_run_says_where_it_is_while_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    seen = []

    class Looking(training.Quiet):
        def step(self, step, logs):
            seen.append(all_runs(tmp_path)[0].record["step"])

    zoo.train("vae", preset="tiny", steps=4, progress=Looking(), runs=tmp_path)
    assert seen == [0, 1, 2, 3]


@pytest.mark.usefixtures("only_steps")
def test_each_epoch_is_told_of_a_model_without_a_likelihood_too(tmp_path):
    told = []

    class Told(training.Quiet):
        def epoch(self, epoch, summary):
            told.append((epoch, set(summary)))

    zoo.train("gan", preset="tiny", steps=2, batch_size=1438, progress=Told(), runs=tmp_path)
    zoo.train("vae", preset="tiny", steps=1, batch_size=1438, progress=Told(), runs=tmp_path)
    assert told == [
        (1, set()),
        (2, set()),
        (1, {f"validation_{each}" for each in ("negative_elbo", "reconstruction", "kl")}),
    ]


def test_an_unfinished_run_gives_what_it_has_and_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gmzoo")
    with pytest.raises(callbacks.Stopped):
        zoo.train("vae", preset="tiny", steps=24, progress=StopAt(3, signal.SIGINT), runs=tmp_path)
    (run,) = all_runs(tmp_path)
    images = zoo.load(run.path).sample([0, 1])
    assert images.shape == (2, 8, 8, 1)
    assert "is unfinished: using what it had reached at step 3 of 24" in caplog.text


def test_a_run_without_a_checkpoint_says_how_to_go_on_where_it_knows(tmp_path):
    run = Run(tmp_path / "run")
    run.update(model="vae", preset="tiny", status="stopped", started="2026", command=None)
    with pytest.raises(ZooError, match=r"has no checkpoint yet\.$"):
        training.export_unfinished(run)
    run.update(command="gmzoo train vae")
    with pytest.raises(ZooError, match=r"yet\. Go on with it: gmzoo train vae$"):
        training.export_unfinished(run)


def test_a_preset_s_image_size_holds_for_every_source():
    patched = {**registry.presets("vae")["tiny"], "image_size": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.presets("vae"), "tiny", patched)
        assert training.plan("vae", preset="tiny").config.image_shape == (16, 16, 1)
        assert training.plan("vae", preset="tiny", image_size=8).config.image_shape == (8, 8, 1)


def test_classes_are_those_of_the_data():
    assert training.plan("dcgan", preset="tiny", settings={"classes": 10}).config.classes == 10
    with pytest.raises(UsageError, match="classes=7: the data decides it, and digits has 10"):
        training.plan("dcgan", preset="tiny", settings={"classes": 7})


@pytest.mark.usefixtures("only_steps")
def test_two_replicas_train_as_one(finished, tmp_path):
    mirrored = zoo.train("vae", preset="tiny", steps=24, batch_size=128, strategy="mirrored", runs=tmp_path)
    first, second = weights(finished), weights(mirrored)
    for key, value in first.items():
        np.testing.assert_allclose(value, second[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_a_run_is_one_process_at_a_time(tmp_path):
    run = Run(tmp_path / "run")
    with run.held(), pytest.raises(UsageError, match="Another process trains in"), Run(run.path).held():
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 1, "steps": 1}, "--epochs or --steps, not both"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"seed": -1}, "--seed must not be negative"),
        ({"seed": 2**32}, "--seed must be at most 4294967295"),
        ({"settings": {"image_shape": [16, 16, 1]}}, r"digits has \[8, 8, 1\]. Another size: --image-size"),
        ({"settings": {"elbo.beta_1": "half"}}, "beta_1='half': must be a number"),
        ({"settings": {"learning_rate": {"schedule": "cosine"}}}, "needs start"),
        ({"preset": "tinny"}, r"no preset 'tinny'.*Did you mean tiny\?"),
        ({"settings": {"code_sise": 3}}, r"no option 'code_sise'.*Did you mean code_size"),
        ({"settings": {"code_size": "big"}}, "code_size='big': must be a whole number"),
        ({"settings": {"elbow.learning_rate": 1}}, r"no turn 'elbow'.*Did you mean elbo\?"),
        ({"settings": {"learning_rate": "fast"}}, "learning_rate='fast': must be a number"),
        ({"settings": {"elbo.name": "adamm"}}, "the optimizer of turn 'elbo' cannot be made"),
        ({"dataset": "digitz"}, r"Did you mean .*digits"),
        ({"dataset": "wine"}, "image"),
        ({"strategy": "many"}, "no strategy 'many'"),
    ],
)
def test_wrong_use_is_told_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        zoo.train("vae", **{"preset": "tiny", **options}, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_schedule_counts_the_moves_of_its_own_turn():
    """The generator moves at every second step: three times in five."""
    falling = {"schedule": "linear", "start": 1e-3}
    made = training.plan("dcgan", preset="tiny_wgan", steps=5, settings={"learning_rate": falling})
    model = training.build(made)
    for turn, moves in (("discriminator", 5), ("generator", 3)):
        optimizer = model.turn_optimizers[turn]
        rates = []
        for move in range(moves + 1):
            optimizer.iterations.assign(move)
            rates.append(float(optimizer.learning_rate))
        np.testing.assert_allclose(rates, np.linspace(1e-3, 0, moves + 1), rtol=1e-5)
