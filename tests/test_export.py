"""What `zoo.exporting` does with versions, weights, cards, precision and replicas."""

from __future__ import annotations

import json
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import registry, sampling
from zoo.base import Classifies, Completes, GenerativeModel, configure
from zoo.errors import UsageError
from zoo.exporting import export, markdown, next_version, publish, saved_weights, trace
from zoo.noise import RowNoise
from zoo.plain import plain

pytestmark = pytest.mark.xdist_group("export")

SEEDS = np.arange(5)


def make(name: str, **config) -> GenerativeModel:
    """A small model with fresh weights."""
    keras.utils.set_random_seed(0)
    values = {**registry.presets(name)["tiny"]["config"], "image_shape": [8, 8, 1], **config}
    return registry.model_class(name)(configure(registry.model_class(name).config_class(), values))


@pytest.fixture
def policy() -> Iterator[None]:
    """Puts the global precision back."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory):
    """A GAN and the folder of its version."""
    model = make("gan")
    return model, export(model, tmp_path_factory.mktemp("base") / "1", {"model": "gan"})


def test_only_the_weights_that_are_read_are_stored_under_the_model_s_names(saved):
    model, path = saved
    stored, all_weights = saved_weights(path), model.weights_by_name()
    reading = [model.generator, *model.maxouts]  # a discriminator's last layer tells nothing of an image
    read = {id(variable) for layer in reading for variable in layer.variables}
    assert stored.keys() == {name for name, variable in all_weights.items() if id(variable) in read}
    assert len(stored) < len(all_weights)
    for name, value in stored.items():
        np.testing.assert_array_equal(value, all_weights[name].numpy())
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    assert card["stored_parameters"] == sum(value.size for value in stored.values())


def test_a_version_is_never_replaced(saved):
    model, path = saved
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(UsageError, match="never replaced"):
        export(model, path, {"model": "gan"})
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert [each.name for each in path.parent.iterdir()] == ["1"], "something temporary is left"


def test_versions_count_on_from_the_highest(tmp_path):
    assert next_version(tmp_path / "new") == tmp_path / "new/1"
    for name in ("2", "10", "notes", "3.tmp"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / "11"


def test_publish_copies_to_the_next_version(saved, tmp_path):
    _, path = saved
    assert [publish(path, tmp_path / "base").name for _ in range(2)] == ["1", "2"]
    copy = sampling.load(tmp_path / "base/2")
    np.testing.assert_array_equal(copy.sample(SEEDS), sampling.load(path).sample(SEEDS))
    assert copy.card == json.loads((path / "assets.extra/model_card.json").read_text())


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.exporting.write_card", fail)
    with pytest.raises(OSError, match="No space"):
        export(make("gan"), tmp_path / "base/1", {"model": "gan"})
    assert list((tmp_path / "base").iterdir()) == []


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_in_half_precision_serves_in_full(precision, tmp_path, policy):
    keras.config.set_dtype_policy(precision)
    half = make("dcgan")
    keras.config.set_dtype_policy("float32")
    full = make("dcgan")
    for ours, theirs in zip(full.variables, half.variables, strict=True):
        ours.assign(theirs)
    served = sampling.load(export(half, tmp_path / "1", {"model": "dcgan"})).sample(SEEDS)
    np.testing.assert_allclose(served, full.sample(RowNoise(SEEDS)), atol=1e-5)
    assert half.compute_dtype != "float32", "the model itself is changed"


def test_no_signature_needs_a_gpu(monkeypatch):
    model = make("rnn")
    layers, seen = model.recurrent, []
    computed = model.logits
    monkeypatch.setattr(model, "logits", lambda *x: seen.append(layers[0].use_cudnn) or computed(*x))
    trace(model)
    assert set(seen) == {False}
    assert layers[0].use_cudnn == "auto"


def test_a_model_on_several_devices_serves_on_one(tmp_path):
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = make("dcgan")
        path = export(model, tmp_path / "1", {"model": "dcgan"})
    np.testing.assert_allclose(sampling.load(path).sample(SEEDS), model.sample(RowNoise(SEEDS)), atol=1e-5)
    assert b"CPU:1" not in (path / "saved_model.pb").read_bytes()


def test_a_conditional_model_has_both_samplers(tmp_path):
    model = make("dcgan", classes=3)
    loaded = sampling.load(export(model, tmp_path / "1", {"model": "dcgan"}))
    assert list(loaded.signatures["sample_with"]["inputs"]) == ["label", "seed"]
    labels = np.array([0, 1, 2, 2, 0])
    drawn = model.sample_with(RowNoise(SEEDS), label=tf.constant(labels))
    np.testing.assert_allclose(loaded.sample(SEEDS, label=labels), drawn, atol=1e-5)


class Spotter(GenerativeModel, Completes, Classifies):
    """Fills in uniform noise, and tells dark images from bright ones."""

    def __init__(self) -> None:
        super().__init__(None)
        self.bias = self.add_weight(shape=(), initializer="zeros")

    def example_shape(self):
        return (2, 3, 1)

    def turns(self):
        return []

    def complete(self, x, known, noise):
        return tf.where(known[..., None], x, noise.uniform("rest", (2, 3, 1)) + self.bias.value)

    def classify(self, x):
        bright = tf.reduce_mean(x, [1, 2, 3]) + self.bias.value
        return tf.stack([-bright, bright], -1)


@pytest.fixture(scope="module")
def spotter(tmp_path_factory: pytest.TempPathFactory) -> sampling.LoadedModel:
    card = {"model": "spotter", "dataset": {"class_names": ["dark", "bright"]}}
    return sampling.load(export(Spotter(), tmp_path_factory.mktemp("spotter") / "1", card))


def test_completing_keeps_what_is_known_and_draws_the_rest_by_seed(spotter):
    x = np.random.default_rng(0).random((3, 2, 3, 1)).astype(np.float32)
    known = np.zeros((3, 2, 3), np.uint8)
    known[:, 0] = 255  # as a mask comes from a picture
    completed = spotter.complete(x, known, seeds=[5, 6, 5])
    np.testing.assert_array_equal(completed[:, 0], x[:, 0])
    noise = RowNoise(tf.constant([5, 6, 5], tf.int64)).uniform("rest", (2, 3, 1))
    np.testing.assert_array_equal(completed[:, 1], noise[:, 1])
    np.testing.assert_array_equal(spotter.complete(x, known), spotter.complete(x, known, range(3)))
    assert spotter.signatures["complete"]["inputs"]["known"] == {"dtype": "bool", "shape": [None, 2, 3]}
    with pytest.raises(UsageError, match="known rows of shape 2 x 3"):
        spotter.complete(x, known[..., None])


def test_classes_have_probabilities_and_names(spotter):
    x = np.array([-1.0, 0.25, 2.0], np.float32).reshape(3, 1, 1, 1) * np.ones((1, 2, 3, 1), np.float32)
    found = spotter.classify(x)
    np.testing.assert_allclose(found["probabilities"][:, 1], 1 / (1 + np.exp([2, -0.5, -4])), rtol=1e-5)
    assert [spotter.class_names[index] for index in found["class_index"]] == ["dark", "bright", "bright"]
    assert spotter.signatures["serving_default"] == spotter.signatures["classify"]
    assert (spotter.modality, spotter.takes) == ("image", "image")


def test_cards_hold_what_json_can_hold():
    card = {"mean": np.float32(0.5), "deep": {"a": (1, np.array([2]))}, "bad": [np.nan, np.float64("inf")]}
    assert plain(card) == {"mean": 0.5, "deep": {"a": [1, [2]]}, "bad": [None, None]}


def test_a_card_reads_well():
    card = {
        "schema": 1,
        "model": "vae",
        "preset": "glyphs",
        "command": "gmzoo train vae",
        "metrics": {"elbo": {"value": -88.123456789, "standard_error": None, "unit": "nats"}},
        "signatures": {
            "sample": {
                "inputs": {"seed": {"dtype": "int64", "shape": [None]}},
                "outputs": {"image": {"dtype": "float32", "shape": [None, 8, 8, 1]}},
            }
        },
    }
    assert markdown(card).splitlines() == [
        "# vae, preset glyphs",
        "",
        "**Command**: gmzoo train vae",
        "",
        "## Metrics",
        "",
        "- elbo: value -88.1235, unit nats",
        "",
        "## Signatures",
        "",
        "| name | inputs | outputs |",
        "|---|---|---|",
        "| `sample` | `seed int64[N]` | `image float32[N, 8, 8, 1]` |",
    ]
