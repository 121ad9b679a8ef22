"""Extractors: images are brought to their size and colours, the vit of the data is chosen, Inception runs."""

from __future__ import annotations

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

import zoo
from zoo import registry
from zoo.data import Info
from zoo.errors import UsageError
from zoo.evaluation import extractors
from zoo.evaluation.extractors import Inception, SavedModelExtractor, choose, trained_on
from zoo.files import replacing


@pytest.fixture(scope="module")
def vit() -> SavedModelExtractor:
    return SavedModelExtractor(zoo.load("shipped:vit"))


def test_what_it_sees_is_what_the_signatures_say(vit):
    images = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    seen = vit.see(images)
    model = zoo.load("shipped:vit")
    np.testing.assert_array_equal(seen.features, model.encode(images))
    np.testing.assert_array_equal(seen.probabilities, model.classify(images)["probabilities"])
    np.testing.assert_array_equal(vit.features(images), seen.features)
    assert vit.see(images, classes=False).probabilities is None
    assert seen.features.shape == (5, vit.size)
    assert len(vit.weights_hash) == 16


def test_images_are_fitted(vit):
    random = np.random.default_rng(1)
    same = random.random((2, 8, 8, 1), np.float32)
    assert vit.fitted(same) is same
    flat = np.full((1, 28, 28, 3), [0.2, 0.4, 0.6], np.float32)
    fitted = vit.fitted(flat)
    assert fitted.shape == (1, 8, 8, 1)
    np.testing.assert_allclose(fitted, 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6, atol=1e-6)
    # Antialiased: stripes of one pixel become gray, and are not sampled.
    stripes = np.tile(np.arange(64, dtype=np.float32) % 2, (1, 64, 1))[..., None]
    np.testing.assert_allclose(vit.fitted(stripes)[:, 1:-1, 1:-1], 0.5, atol=0.05)
    sharp = vit.fitted((random.random((1, 4, 4, 1)) > 0.5).astype(np.float32))
    assert sharp.min() >= 0 and sharp.max() <= 1  # a bicubic curve shoots over
    assert vit.resizer((8, 8, 3)) == "none"
    assert vit.resizer((28, 28, 1)) == "bicubic, antialiased, to 8x8"


@pytest.fixture
def shop(monkeypatch, tmp_path):
    """Shipped `vit`s with cards of our own; the weights are those of the real one."""
    base = registry.SHIPPED / "vit/1"

    def put(name: str, **dataset: object) -> None:
        path = shutil.copytree(base, tmp_path / name / "1")
        card_path = path / "assets.extra/model_card.json"
        card = json.loads(card_path.read_text())
        shape = dataset.pop("image_shape", [8, 8, 1])
        card["config"]["image_shape"], card["dataset"] = shape, {**card["dataset"], **dataset}
        with replacing(card_path) as temporary:
            temporary.write_text(json.dumps(card))

    put("vit")
    put("vit-glyphs", spec="glyphs", fingerprint="g", image_shape=[28, 28, 1])
    put("vit-shapes", spec="shapes", fingerprint="s", image_shape=[32, 32, 3], class_names=["circle", "star"])
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    return tmp_path


DIGITS = tuple("0123456789")


@pytest.mark.parametrize(
    ("spec", "info", "shape", "expected"),
    [
        ("digits", Info(class_names=DIGITS, fingerprint="d"), (4, 4, 1), "digits"),  # in another size
        ("glyphs", Info(class_names=DIGITS, fingerprint="other"), (28, 28, 1), "glyphs"),
        ("glyphs/heldout_fonts", Info(class_names=DIGITS), (28, 28, 1), "glyphs"),
        ("npz:x", Info(fingerprint="g", local=True), (8, 8, 1), "glyphs"),  # the same content
        ("shapes/16", Info(class_names=("circle", "star")), (16, 16, 3), "shapes"),
    ],
)
def test_the_vit_of_the_data(shop, tmp_path, spec, info, shape, expected, caplog):
    found = choose(None, spec, info, shape, tmp_path / "runs")
    assert found.name == f"vit trained on {expected}"
    assert found.fits
    assert "no vit was trained" not in caplog.text


@pytest.mark.parametrize("size", [8, 30])
def test_a_training_is_watched_by_the_same_vit(shop, tmp_path, size):
    """Of two that were trained on the data, the one of the nearest size."""
    card_path = shop / "vit-glyphs/1/assets.extra/model_card.json"
    card = json.loads(card_path.read_text())
    card["dataset"] |= {"spec": "digits", "fingerprint": "d"}
    card_path.write_text(json.dumps(card))
    asked = "digits", Info(class_names=DIGITS, fingerprint="d"), (size, size, 1)
    found = extractors.own(*asked, tmp_path / "runs")
    assert found.model.path == choose(None, *asked, tmp_path / "runs").model.path
    assert found.model.path.parent.name == ("vit" if size == 8 else "vit-glyphs")


@pytest.mark.parametrize(
    ("shape", "expected"), [((9, 9, 1), "digits"), ((30, 30, 1), "glyphs"), ((64, 64, 3), "shapes")]
)
def test_else_the_nearest_in_size_and_colour(shop, tmp_path, shape, expected, caplog):
    found = choose(None, "folder:mine", Info(class_names=DIGITS, local=True), shape, tmp_path / "runs")
    assert found.name == f"vit trained on {expected}"
    assert not found.fits
    assert "no vit was trained on folder:mine here" in caplog.text


def test_a_folder_of_the_same_name_is_other_data():
    card = {"dataset": {"spec": "digits", "fingerprint": "d", "class_names": list(DIGITS)}}
    info = Info(class_names=DIGITS, fingerprint="x")
    assert trained_on(card, "digits", info)
    assert not trained_on(card, "digits", dataclasses.replace(info, local=True))
    assert not trained_on(card, "digits", dataclasses.replace(info, class_names=("a", "b")))


def test_without_any_vit_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    with pytest.raises(UsageError, match="gmzoo train vit"):
        choose(None, "digits", Info(), (8, 8, 1), tmp_path)


@pytest.mark.slow
def test_inception_with_weights_of_its_shape(monkeypatch, tmp_path):
    """The network is Keras', the weights are drawn: their file looks like the one that is downloaded."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    keras.utils.set_random_seed(0)
    network = keras.applications.InceptionV3(weights=None)
    path = tmp_path / "models" / extractors.INCEPTION_FILE
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    found = Inception()
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    seen = found.see(images)
    assert seen.features.shape == (3, 2048)
    np.testing.assert_allclose(seen.probabilities.sum(1), 1.0, atol=1e-5)
    resized = keras.ops.image.resize(np.repeat(images, 3, -1), (299, 299), "bilinear", antialias=True)
    whole = keras.applications.inception_v3.preprocess_input(255.0 * np.asarray(resized))
    np.testing.assert_allclose(seen.probabilities, network(whole, training=False), atol=1e-5)
    assert found.resizer((8, 8, 1)) == "bilinear, antialiased, to 299x299"
