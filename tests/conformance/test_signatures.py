"""What a SavedModel must hold for every model."""

from __future__ import annotations

import io
import json

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from zoo import registry, sampling
from zoo.exporting import DEFAULTS, SIGNATURES, signatures


def call(subject, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The signature's outputs, without the fixed chunks of `zoo.sampling`."""
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in subject.raw.signatures[signature](**tensors).items()}


def assert_close(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], where: str) -> None:
    assert ours.keys() == theirs.keys(), where
    for name, value in theirs.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-5, err_msg=f"{where} {name}")
        else:
            np.testing.assert_array_equal(ours[name], value, err_msg=f"{where} {name}")


def test_every_capability_has_signatures(subject):
    found = set(signatures(subject.model))
    assert set(subject.loaded.signatures) == {*found, "serving_default"}
    default = next(name for name in DEFAULTS if name in found)
    assert subject.loaded.signatures["serving_default"] == subject.loaded.signatures[default]
    given = [capability for capability in SIGNATURES if isinstance(subject.model, capability)]
    assert given, "no capability gives a signature"


def test_inputs_and_outputs_are_batch_major_and_never_share_a_name(subject):
    for name, table in subject.loaded.signatures.items():
        for spec in [*table["inputs"].values(), *table["outputs"].values()]:
            assert spec["shape"][0] is None, name
            # Images to be translated may be of any size.
            any_size = "translated" in table["outputs"] and len(spec["shape"]) == 4
            rest = spec["shape"][3 if any_size else 1 :]
            assert None not in rest, name
        assert not table["inputs"].keys() & table["outputs"].keys(), name


def test_results_are_those_of_the_python_model(subject):
    for name, signature in signatures(subject.model).items():
        inputs = subject.requests[name]
        outputs = signature.run(*(tf.constant(inputs[tensor]) for tensor in signature.inputs))
        python = {key: value.numpy() for key, value in outputs.items()}
        assert_close(subject.loaded.run(name, **inputs), python, name)


def test_a_row_is_the_same_alone_and_in_a_batch(subject):
    for name, inputs in subject.requests.items():
        together = call(subject, name, inputs)
        for row in range(len(next(iter(inputs.values())))):
            alone = call(subject, name, {key: value[[row]] for key, value in inputs.items()})
            assert_close(alone, {key: value[[row]] for key, value in together.items()}, f"{name} row {row}")


def test_a_seed_gives_the_same_bytes_whatever_is_asked_for_beside_it(subject):
    if "sample" not in subject.loaded.signatures:
        return
    many = subject.loaded.sample(range(sampling.CHUNK + 6))
    np.testing.assert_array_equal(subject.loaded.sample(range(60, sampling.CHUNK + 6)), many[60:])
    np.testing.assert_array_equal(subject.loaded.sample([65, 3, 65]), many[[65, 3, 65]])


def test_samples_have_shape_range_and_dtype(subject):
    if "sample" not in subject.loaded.signatures:
        return
    samples = subject.loaded.sample(range(32))
    assert len({row if isinstance(row, bytes) else row.tobytes() for row in samples}) > 1, "all seeds alike"
    if subject.loaded.modality == "text":
        assert samples.shape == (32,)
        return
    assert samples.shape == (32, *subject.model.example_shape())
    if subject.loaded.modality == "image":
        assert samples.dtype == np.float32
        assert samples.min() >= 0.0
        assert samples.max() <= 1.0


def test_what_is_known_stays_and_the_rest_is_drawn(subject):
    if "complete" not in subject.loaded.signatures:
        return
    x = next(iter(subject.batches(1)))[subject.loaded.takes][:1].numpy().repeat(32, 0)
    shape = subject.loaded.signatures["complete"]["inputs"]["known"]["shape"][1:]
    known = np.random.default_rng(0).random([1, *shape]).repeat(32, 0) < 0.5
    completed = subject.loaded.complete(x, known)
    assert (completed.shape, completed.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(completed[known], x[known])
    assert np.unique(completed.reshape(32, -1), axis=0).shape[0] > 1, "all seeds complete alike"
    # What stands where nothing is known does not count.
    wide = known.reshape(known.shape + (1,) * (x.ndim - known.ndim))
    np.testing.assert_array_equal(subject.loaded.complete(np.where(wide, x, 0), known), completed)


def test_patches_have_no_order_and_what_is_not_given_does_not_count(subject):
    if "assemble" not in subject.loaded.signatures:
        return
    x = subject.requests["key_patches"]["image"]
    patches = subject.loaded.key_patches(x)
    assert patches.shape[1:] == subject.loaded.patches_shape
    given = subject.requests["assemble"]["given"]
    made = subject.loaded.assemble(patches, given)
    assert made["image"].shape == x.shape
    assert made["places"].shape == x.shape[:3]
    for found in made.values():
        assert (found.min() >= 0.0, found.max() <= 1.0) == (True, True)
    turned = subject.loaded.assemble(patches[:, ::-1], given[:, ::-1])
    assert_close(turned, made, "in another order")
    there = given.reshape(given.shape + (1,) * (patches.ndim - 2))
    without = subject.loaded.assemble(np.where(there, patches, 0.5), given)
    assert_close(without, made, "with other patches that are not given")


def test_neutral_conditions_change_nothing(subject):
    own = {"temperature", "top_k", "prompt"} & set(subject.loaded.conditions)
    if not own or "sample" not in subject.loaded.signatures or "label" in subject.loaded.conditions:
        return
    neutral = {name: sampling.NEUTRAL[name] for name in own}
    np.testing.assert_array_equal(subject.loaded.sample([3, 4], **neutral), subject.loaded.sample([3, 4]))


def test_probabilities_of_classes_sum_to_one_and_the_likeliest_is_named(subject):
    if "classify" not in subject.loaded.signatures:
        return
    found = subject.loaded.classify(subject.requests["classify"][subject.loaded.takes])
    np.testing.assert_allclose(found["probabilities"].sum(1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(found["class_index"], found["probabilities"].argmax(1))
    assert found["probabilities"].shape[1] == len(subject.loaded.class_names)


def test_translations_are_images_of_the_same_size_whichever_it_is(subject):
    if "translate" not in subject.loaded.signatures:
        return
    channels = subject.model.example_shape()[-1]
    targets = subject.requests["translate"][subject.loaded.asks]
    for height, width in ((8, 8), (9, 14)):
        x = np.random.default_rng(0).random((len(targets), height, width, channels), np.float32)
        made = subject.loaded.translate(x, targets)
        assert (made.shape, made.dtype) == (x.shape, np.float32)
        assert 0.0 <= made.min() < made.max() <= 1.0
        assert np.abs(made - x).max() > 0.01
    # What is filled up by reflection is cut off again.
    filled = np.pad(x, [[0, 0], [0, 3], [0, 2], [0, 0]], "reflect")
    np.testing.assert_allclose(subject.loaded.translate(filled, targets)[:, :9, :14], made, atol=1e-5)


def test_png_files_hold_the_samples(subject):
    if "sample_png" not in subject.loaded.signatures:
        return
    inputs = subject.requests["sample_png"]
    files = subject.loaded.run("sample_png", **inputs)["png_bytes"]
    for file, image in zip(files, subject.loaded.sample(inputs["seed"]), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(file))).reshape(image.shape)
        assert np.abs(pixels / 255.0 - image).max() <= 0.5001 / 255.0


def test_prior_and_decode_are_the_sampler_in_two_pieces(subject):
    if "prior" not in subject.loaded.signatures:
        return
    seeds = subject.requests["prior"]["seed"]
    samples = subject.loaded.decode(subject.loaded.prior(seeds))
    np.testing.assert_allclose(samples, subject.loaded.sample(seeds), rtol=1e-5, atol=1e-5)


def test_bits_per_dim_are_the_nats_in_other_units(subject):
    if "log_prob" not in subject.loaded.signatures:
        return
    outputs = subject.loaded.run("log_prob", **subject.requests["log_prob"])
    suffix = subject.loaded.suffix
    kind = registry.card(subject.name)["likelihood"]
    scored = f"_{subject.model.scored.what}" if subject.model.scored else ""
    assert suffix == {"exact": scored, "bound": "_bound"}[kind]
    nats = outputs[f"log_prob{suffix}"]
    assert np.isfinite(nats).all()
    bits = -nats / (subject.model.dimensions * np.log(2.0))
    np.testing.assert_allclose(outputs[f"bits_per_dim{suffix}"], bits, rtol=1e-5)


def test_warm_up_asks_each_signature_once(subject):
    path = subject.saved / "assets.extra/tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        assert {len(value) for value in inputs.values()} == {1}
        call(subject, request.model_spec.signature_name, inputs)
        asked.append(request.model_spec.signature_name)
    assert sorted([*asked, "serving_default"]) == sorted(subject.loaded.signatures)


def test_model_card_is_complete(subject):
    folder = subject.saved / "assets.extra"
    card = json.loads((folder / "model_card.json").read_text())
    assert card.keys() >= {"schema", "model", "preset", "config", "dataset", "command", "metrics", "versions"}
    assert card["model"] == subject.name
    tables = {name: table for name, table in subject.loaded.signatures.items() if name != "serving_default"}
    assert card["signatures"] == tables
    text = (folder / "model_card.md").read_text()
    assert all(f"`{name}`" in text for name in tables)
