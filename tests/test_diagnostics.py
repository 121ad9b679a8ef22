"""Each warning is made to happen, is told once, stands where it is looked for, and a healthy run has none."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import shutil
import signal
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import callbacks, data, diagnostics, training
from zoo.callbacks import State
from zoo.data.order import rows
from zoo.evaluation import alarms, codes, diversity, extractors, neighbours
from zoo.evaluation.posteriors import code_use
from zoo.latents import Part
from zoo.models.gan import GAN
from zoo.models.vae import VAE
from zoo.runs import Run, all_runs
from zoo.stages import WEIGHTS_FILE

pytestmark = pytest.mark.usefixtures("no_curves")

EPOCH = 89  # steps of 16 examples of digits


# -- the lines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alarm", "well", "crossed", "said"),
    [
        (alarms.classes, (8, 10, 64), (3, 10, 64), "the generator covers 3 of 10 classes (the line is 75 %)"),
        (alarms.classes, (3, 10, 49), (1, 2, 10), "the generator covers 1 of 2 classes"),
        (alarms.spread, (0.25,), (0.049,), "differ 0.049 times as much as two examples of the data"),
        (alarms.recall, (0.1,), (0.02,), "2 % of the data lie among the samples (the line is 10 %)"),
        (
            alarms.discriminator,
            (0.99, 0.0),
            (0.9961, 0.0),
            "told 99.61 % of the images right (the line is 99 %)",
        ),
        (alarms.vanished, ("elbo", 1e-3, 1.0), ("elbo", 9e-5, 1.0), "'elbo' has vanished: 9e-05, after 1 in"),
        (alarms.vanished, ("elbo", 1.0, 0.0), ("elbo", 0.0, 0.0), "'elbo' has vanished: 0, after 0 in"),
        (alarms.exploded, ("elbo", 99.0, 0.1), ("elbo", 200.0, 0.1), "rose to 2e+02, where 0.1 is usual"),
        (alarms.exploded, ("elbo", 0.0, 0.0), ("elbo", 1.0, 0.0), "rose to 1, where 0 is usual"),
        (alarms.units, (5, 20), (2, 20), "the code is hardly used: 2 of 20 units carry information"),
        (alarms.units, (1, 2), (0, 2), "the code is ignored: none of 2 units carry information (the line is"),
        (alarms.texts, (0.5,), (0.1,), "0.1 times as many different runs of characters as the data"),
    ],
)
def test_a_line_is_named_where_it_is_crossed_and_only_there(alarm, well, crossed, said):
    assert alarm(*well) is None
    assert said in alarm(*crossed)
    assert "Try " in alarm(*crossed)


def test_no_advice_stops_training_or_is_followed_already():
    assert "global_clipnorm=0.1" in alarms.exploded("elbo", 200.0, 0.1)
    assert "clipnorm" not in alarms.exploded("elbo", 1.0, 0.0)
    assert "--set smoothing=0.1" in alarms.discriminator(1.0, 0.0)
    for smoothing in (0.1, None):
        assert "smoothing" not in alarms.discriminator(1.0, smoothing)


# -- the measures ------------------------------------------------------------------------------------------


def test_mean_distance_is_that_of_all_pairs():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]]) + 1000.0
    assert diversity.mean_distance(points) == pytest.approx((5 + 5 + 8) / 3)
    assert diversity.mean_distance(points[:1]) == 0.0


def test_spread_is_a_share_of_the_data_s():
    real = np.random.default_rng(0).random((40, 4, 4, 1)).astype(np.float32)
    reference = diversity.Reference(real)
    assert reference.compare(real) == {"sample_spread": pytest.approx(1.0)}
    assert reference.compare(0.5 + 0.1 * real)["sample_spread"] == pytest.approx(0.1, rel=1e-4)
    assert diversity.Reference(real[:1].repeat(5, 0)).compare(real) == {"sample_spread": 1.0}


def test_recall_counts_what_lies_among_the_samples():
    class Plain:
        """Its features are the pixels."""

        def see(self, images, classes):
            return extractors.Seen(images.reshape(len(images), -1))

    def images(*values):
        return np.array(values, np.float32).reshape(-1, 1, 1, 1)

    samples = images(*range(10))  # a ball to the fifth other one reaches 5 at the ends
    reference = diversity.Reference(images(-5.1, -4.9, 4.5, 13.9, 14.1, 20.0), Plain())
    assert reference.compare(samples)["sample_recall"] == pytest.approx(3 / 6)
    assert reference.compare(images(*[4.5] * 10))["sample_recall"] == pytest.approx(1 / 6)
    found = neighbours.neighbourhoods(reference.features, samples.reshape(10, 1))
    assert reference.compare(samples)["sample_recall"] == found.recall[0]
    assert "sample_recall" not in reference.compare(samples[:5])


def test_the_line_of_recall_is_between_one_image_and_three_classes():
    """With the neighbour that recall is taken to: data are well clear of it, and so are three classes."""
    digits = data.load("digits", "train")
    judge = extractors.own("digits", digits.info, (8, 8, 1))
    found = rows(digits, slice(None))
    image, label = found["image"], found["label"]
    reference = diversity.Reference(image[:256], judge)
    rest, kind = image[256:], label[256:]
    noisy = rest[:1] + 0.02 * np.random.default_rng(0).normal(size=(64, 8, 8, 1))
    recall = {
        name: reference.compare(samples.astype(np.float32))["sample_recall"]
        for name, samples in (("data", rest[:64]), ("three", rest[kind < 3][:64]), ("noisy", noisy))
    }
    assert recall["noisy"] < alarms.RECALL / 2
    assert alarms.RECALL < recall["three"] < recall["data"]
    assert recall["data"] > 0.8


def test_distinct_text_is_beside_that_of_the_data():
    assert diversity.distinct(["abcd", "abcde"]) == pytest.approx(2 / 3)
    assert diversity.distinct(["abc", ""]) is None
    real = ["the cat", "sat on ", "a mat, ", "so did "]
    assert diversity.distinct_beside(["the cat", "sat on "], real) == pytest.approx(1.0)
    assert diversity.distinct_beside(["eeeeeee", "eeeeeee"], real) == pytest.approx(1 / 8)
    assert diversity.distinct_beside(["", ""], real) == 0.0
    assert diversity.distinct_beside(["abcd"], ["a"]) is None


class Coded(zoo.base.Decodes):
    """A model whose posterior is what its example says: means, then the logarithms of scales."""

    def prior_parts(self):
        return (Part("one_hot", 2), Part("gaussian", 3))

    def prior(self, noise):
        raise NotImplementedError

    def decode(self, code):
        raise NotImplementedError

    def encode(self, x):
        import tensorflow_probability as tfp

        mean, raw = tf.split(x, 2, -1)
        return tfp.distributions.Independent(tfp.distributions.Normal(mean, tf.exp(raw)), 1)


def test_the_kl_of_each_gaussian_unit_and_which_are_active():
    random = np.random.default_rng(0)
    mean = random.normal(size=(600, 5)).astype(np.float32) * [1.0, 1.0, 1.0, 0.05, 0.0]
    scale = np.array([0.5, 0.5, 0.5, 0.9, 1.0])
    x = np.concatenate([mean, np.tile(np.log(scale), (600, 1))], 1).astype(np.float32)
    found = code_use(map(codes.looker(Coded()), [x[:500], x[500:]]), 3)
    expected = (0.5 * (mean**2 + scale**2 - 1.0) - np.log(scale)).mean(0)[2:]
    np.testing.assert_allclose(found.unit_kl, expected, rtol=1e-4, atol=1e-6)
    assert found.active.tolist() == [True, False, False]


def test_more_is_drawn_where_it_is_cheap_and_epochs_are_long():
    gan, nade = (training.build(training.plan(name, preset="tiny")) for name in ("gan", "nade"))
    counts = [diagnostics.samples_to_watch(gan, examples) for examples in (10, 1438, 2100, 60_000)]
    assert counts == [64, 64, 128, 256]
    assert diagnostics.samples_to_watch(nade, 60_000) == 64


# -- warnings of real runs ---------------------------------------------------------------------------------


def lines(run: Run) -> list[dict]:
    found = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == "diagnostics"]


def names(run: Run) -> set[str]:
    return {each["name"] for each in run.record["warnings"]}


def told(caplog) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "gmzoo" and record.levelno == logging.WARNING
    ]


@pytest.fixture(autouse=True, scope="module")
def nothing_is_exported():
    """A run ends with its last step: what is looked at happens before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_finish", lambda *_: {})
        patch.setattr(training, "write_page", lambda run: None)
        yield


def draw_images_of(monkeypatch, labels, until: int = 10**9) -> None:
    """The GAN draws images of the training data: of these labels until a step, of all from then on."""
    digits = data.load("digits", "train")
    image, label = (tf.constant(rows(digits, slice(None))[name]) for name in ("image", "label"))
    few = tf.where(tf.reduce_any(label[:, None] == tf.constant(labels), 1))[:, 0]

    def decode(self, code):
        share = 0.5 * code[:, 0] + 0.5
        some = tf.gather(few, tf.cast(share * float(len(few)), tf.int32))
        every = tf.cast(share * float(len(image)), tf.int64)
        return tf.gather(image, tf.where(self.step.value <= until, some, every))

    monkeypatch.setattr(GAN, "decode", decode)


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory) -> tuple[Run, list[logging.LogRecord]]:
    """A run of a generator of three classes, which draws all from its third epoch on; and what it said."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("gmzoo")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnostics, "LEARNING", {})
        draw_images_of(patch, [0, 1, 2], until=2 * EPOCH)
        run = zoo.train("gan", preset="tiny", epochs=3, runs=tmp_path_factory.mktemp("whole"))
    logger.removeHandler(handler)
    logger.setLevel(before)
    return run, records


def test_a_generator_of_three_classes_is_told_once_and_when_it_is_over(three_classes):
    run, records = three_classes
    assert names(run) == {"classes"}
    (warning,) = run.record["warnings"]
    assert (warning["step"], warning["epoch"], warning["over"]) == (EPOCH, 1, 3)
    (message,) = [each.getMessage() for each in records if each.levelno == logging.WARNING]
    assert message.startswith("epoch 1: the generator covers 3 of 10 classes (the line is 75 %)")
    said = "\n".join(each.getMessage() for each in records)
    assert "epoch 3: over, the warning of epoch 1: the generator covers 3 of 10 classes" in said
    compared = run.record["compared"]
    assert (compared["coarse"], compared["judge"]["name"]) == (False, "vit trained on digits")
    found = lines(run)
    assert [line["classes_covered"] for line in found] == [3, 3, 10]
    assert [line.get("warnings") for line in found] == [[warning["text"]]] * 2 + [None]
    assert found[0]["sample_recall"] < 0.6 < found[2]["sample_recall"]
    assert found[0]["class_entropy"] < math.log(3) + 1e-6 < 2.0 < found[2]["class_entropy"]
    events = [
        (event.step, value)
        for path in (run.path / "tensorboard").glob("events*")
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for event in [tf.compat.v1.Event.FromString(record)]
        for value in event.summary.value
    ]
    texts = [(step, value.tensor.string_val[0].decode()) for step, value in events if value.tag == "warnings"]
    assert texts == [(EPOCH, warning["text"])]
    assert "diagnostics/sample_recall" in {value.tag for _, value in events}


def test_a_generator_of_one_image_is_told_in_its_first_epoch(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(diagnostics, "LEARNING", {})
    original = GAN.prior
    monkeypatch.setattr(GAN, "prior", lambda self, noise: 0.0 * original(self, noise))
    run = zoo.train("gan", preset="tiny", epochs=1, runs=tmp_path)
    assert names(run) == {"spread", "recall", "classes"}
    (line,) = lines(run)
    assert line["sample_recall"] < 0.1
    assert line["sample_spread"] < 0.01
    assert any("epoch 1: two samples differ" in message for message in told(caplog))


def test_what_takes_long_to_learn_is_not_warned_of_before_it_was_well_or_should_be(monkeypatch):
    """A model has 2,000 steps to get recall; but who had it is told at once of its loss."""

    class Says(diagnostics.Watch):
        text: str | None = "it is bad (the line is 1)"

        def look(self, model, state):
            return diagnostics.Found({}, {"recall": self.text}, "")

    class Nothing:
        def write(self, *_): ...
        def text(self, *_): ...

    watch, state = Says(), State()
    callback = diagnostics.Diagnostics(state, Nothing(), training.Quiet(), [watch])

    def warned(step: int, text: str | None) -> bool:
        state.step, watch.text = step, text
        before = len(state.warnings)
        callback.on_epoch_end(step // 100)
        return len(state.warnings) > before

    bad = Says.text
    assert not warned(1900, bad)
    assert warned(2000, bad)
    assert not warned(2100, None)
    assert state.warnings[0]["over"] == 22
    state.warnings, state.well = [], {}
    for step, text in ((100, None), (200, bad), (300, None), (400, None), (500, bad)):
        assert not warned(step, text), "one look of a model that is learning may be lucky"
    for step in (600, 700, 800):
        assert not warned(step, None)
    assert warned(900, bad)


def test_a_discriminator_that_is_always_right_is_told(tmp_path, caplog):
    settings = {"generator.learning_rate": 1e-9, "discriminator.learning_rate": 3e-3, "width": 16}
    run = zoo.train("dcgan", preset="tiny", settings=settings, epochs=2, runs=tmp_path)
    assert "discriminator" in names(run)
    assert any("of the images right (the line is 99 %)" in message for message in told(caplog))


@pytest.mark.parametrize(
    ("step", "factor", "name"),
    [(EPOCH, 1e-8, "elbo gradient vanished"), (EPOCH + 10, 1e6, "elbo gradient exploded")],
)
def test_a_gradient_that_vanishes_or_explodes_is_told(tmp_path, monkeypatch, caplog, step, factor, name):
    original = VAE.objective

    def objective(self, batch, shared, noise):
        loss, terms = original(self, batch, shared, noise)
        now = self.step.value
        struck = now >= step if factor < 1 else now == step
        return loss * tf.where(struck, factor, 1.0), terms

    monkeypatch.setattr(VAE, "objective", objective)
    run = zoo.train("vae", preset="tiny", epochs=2, runs=tmp_path)
    assert {each for each in names(run) if "gradient" in each} == {name}
    assert any("epoch 2: the gradient of the turn 'elbo'" in message for message in told(caplog))


def test_a_collapsed_posterior_is_told(tmp_path, monkeypatch, caplog):
    original = VAE.elbo_terms

    def objective(self, batch, shared, noise):
        reconstruction, divergence = (tf.reduce_mean(term) for term in original(self, batch["image"], noise))
        return 1000.0 * divergence - reconstruction, {"kl": divergence}

    monkeypatch.setattr(VAE, "objective", objective)
    run = zoo.train("vae", preset="tiny", epochs=2, settings={"learning_rate": 1e-2}, runs=tmp_path)
    assert "code" in names(run)
    assert any("none of 2 units carry information" in message for message in told(caplog))
    last = lines(run)[-1]
    assert last["active_units"] == 0
    assert len(last["kl_per_unit"]) == 2
    assert max(last["kl_per_unit"]) < 0.05


def test_texts_that_repeat_themselves_are_told(tmp_path, monkeypatch, caplog):
    from zoo.models.rnn import RNN

    monkeypatch.setattr(diagnostics, "WARM_UP", 0)
    original = RNN.sample
    monkeypatch.setattr(RNN, "sample", lambda self, noise: 0 * original(self, noise))
    run = zoo.train("rnn", preset="tiny_text", steps=1, limit=400, runs=tmp_path)
    assert "texts" in names(run)
    assert lines(run)[-1]["distinct_text"] < 0.1
    assert any("they repeat themselves" in message for message in told(caplog))


def test_a_healthy_run_has_no_warnings(tmp_path, caplog):
    healthy = {"code_size": 8, "encoder_units": [128], "decoder_units": [128], "learning_rate": 3e-3}
    run = zoo.train("vae", preset="tiny", settings=healthy, epochs=4, runs=tmp_path)
    assert run.record["warnings"] == []
    assert told(caplog) == []
    last = lines(run)[-1]
    assert last["classes_covered"] >= 8
    assert last["sample_recall"] > 0.1
    assert last["active_units"] >= 4
    assert "warnings" not in last


class StopAt(training.Quiet):
    """Sends a signal to this process at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step, logs):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_resumed_run_warns_as_an_unbroken_one(three_classes, tmp_path, monkeypatch, caplog):
    whole, records = three_classes
    first = [each.getMessage() for each in records if each.levelno == logging.WARNING]
    monkeypatch.setattr(diagnostics, "LEARNING", {})
    draw_images_of(monkeypatch, [0, 1, 2], until=2 * EPOCH)
    options = {"preset": "tiny", "epochs": 3, "runs": tmp_path / "stopped"}
    with pytest.raises(callbacks.Stopped):
        zoo.train("gan", progress=StopAt(EPOCH + 5), **options)
    (run,) = all_runs(tmp_path / "stopped")
    assert [each["over"] for each in run.record["warnings"]] == [None] * len(first)
    zoo.train("gan", **options)
    assert told(caplog) == first
    assert run.record["warnings"] == whole.record["warnings"]
    assert [each["over"] for each in run.record["warnings"]] == [3] * len(first) != []
    assert (run.path / "metrics.jsonl").read_text() == (whole.path / "metrics.jsonl").read_text()


@pytest.fixture
def pictures(tmp_path) -> Callable[[], diagnostics.Pictures]:
    """Makes the watch of a sitting, before which samples were drawn."""
    found = data.load("digits", "train")
    painter = callbacks.Painter(State(), None, Run(tmp_path), [])
    painter.shown = rows(found, slice(0, 64))["image"]
    return lambda: diagnostics.Pictures(painter, found, 0, tmp_path)


class TwoLevels:
    levels = 2
    phase, first_steps = 0, (0,)


def restored(state: State) -> State:
    """As a checkpoint holds it."""
    return State(**json.loads(json.dumps(dataclasses.asdict(state))))


def test_after_a_stop_samples_are_compared_as_before(pictures, monkeypatch, tmp_path):
    """With the judge of the first look though another would be chosen, and with data as coarse as then."""
    mine = shutil.copytree(zoo.load("shipped:vit").path, tmp_path / "vit/1")
    monkeypatch.setattr(extractors, "own", lambda *_: extractors.SavedModelExtractor(zoo.load(str(mine))))
    state, first = State(), pictures()
    shades = first.painter.shown
    first.painter.shown = shades.round()
    before = first.look(TwoLevels, state).values
    assert state.compared["judge"]["path"] == str(mine)
    monkeypatch.setattr(extractors, "own", lambda *_: None)
    second = pictures()
    second.painter.shown = shades
    again = second.look(TwoLevels, restored(state)).values
    assert again == first.look(TwoLevels, state).values != before
    assert "sample_recall" in again


def test_a_judge_that_is_gone_after_a_stop_is_told_of_once(pictures, monkeypatch, tmp_path, caplog):
    mine = shutil.copytree(zoo.load("shipped:vit").path, tmp_path / "vit/1")
    monkeypatch.setattr(extractors, "own", lambda *_: extractors.SavedModelExtractor(zoo.load(str(mine))))
    state = State()
    assert "sample_recall" in pictures().look(TwoLevels, state).values
    with (mine / WEIGHTS_FILE).open("ab") as file:
        file.write(b"other")
    state = restored(state)
    assert set(pictures().look(TwoLevels, state).values) == {"sample_spread"}
    (message,) = told(caplog)
    assert "has other weights. From here on" in message
    shutil.rmtree(mine)
    assert set(pictures().look(TwoLevels, restored(state)).values) == {"sample_spread"}
    assert told(caplog) == [message]


def test_a_log_that_is_cut_back_loses_what_was_said_later(tmp_path):
    run = Run(tmp_path)
    log = callbacks.Log(run, 0)
    for step in (10, 20):
        log.write("diagnostics", step, step // 10, {"kl_per_unit": [0.5, math.inf]}, ["it is bad"])
    log.close()
    callbacks.Log(run, 10).close()
    (line,) = lines(run)
    assert line == {
        "kind": "diagnostics", "step": 10, "epoch": 1, "kl_per_unit": [0.5, None], "warnings": ["it is bad"],
    }  # fmt: skip


def test_without_a_classifier_of_the_data_pixels_are_compared(pictures, monkeypatch):
    monkeypatch.setattr(diagnostics.extractors, "own", lambda *_: None)
    assert set(pictures().look(TwoLevels, State()).values) == {"sample_spread"}


def test_a_classifier_that_cannot_be_read_does_not_stop_a_run(pictures, monkeypatch, caplog):
    def broken(*_):
        raise zoo.errors.ZooError("runs/vit-001 is damaged.")

    monkeypatch.setattr(diagnostics.extractors, "own", broken)
    state = State()
    assert set(pictures().look(TwoLevels, state).values) == {"sample_spread"}
    assert state.compared["judge"] is None
    assert "runs/vit-001 is damaged. Samples are compared with the data by their pixels alone." in caplog.text


@pytest.mark.parametrize("drawn", ["black and white", "shades"])
def test_black_and_white_samples_are_compared_with_black_and_white_data(monkeypatch, tmp_path, drawn):
    """Of two models of two levels, one that draws them, and one that draws their probabilities."""
    monkeypatch.setattr(diagnostics.extractors, "own", lambda *_: None)
    found = []
    monkeypatch.setattr(diagnostics.diversity, "Reference", lambda real, *_: found.append(np.unique(real)))
    plan = training.plan("vae", preset="tiny")
    samples = np.random.default_rng(0).random((64, 8, 8, 1)).astype(np.float32)
    watch = diagnostics.Pictures(None, plan.train, 0, tmp_path)
    watch.compared(training.build(plan), samples.round() if drawn == "black and white" else samples, State())
    assert [len(values) for values in found] == [2 if drawn == "black and white" else 16]


def test_the_norm_of_a_gradient_is_that_of_the_unscaled_loss():
    norms = []
    for precision in ("float32", "mixed_float16"):
        plan = training.plan("vae", preset="tiny", precision=precision)
        with training.policy(precision):
            model = training.build(plan)
            norms.append(float(model.train_step(next(iter(plan.batches(1))))["elbo_gradient_norm"]))
    assert norms[1] == pytest.approx(norms[0], rel=0.02)


def test_a_step_that_half_precision_leaves_out_is_no_divergence(tmp_path, monkeypatch):
    """The first scale is far too large for the gradient: it is not finite, and the next scale is smaller."""

    class Large(keras.optimizers.LossScaleOptimizer):
        def __init__(self, inner):
            super().__init__(inner, initial_scale=2.0**120)

    monkeypatch.setattr(keras.optimizers, "LossScaleOptimizer", Large)
    run = zoo.train("vae", preset="tiny", steps=3, precision="mixed_float16", runs=tmp_path)
    assert run.status == "finished"
    trained = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])
    assert math.isfinite(trained["negative_elbo"])
    assert "elbo_gradient_norm" not in trained
