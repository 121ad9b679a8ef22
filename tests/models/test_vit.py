"""ViT is the paper's network; what has no label teaches nothing; classes and features are one another's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import registry, training
from zoo.base import configure
from zoo.errors import UsageError
from zoo.exporting import classifies
from zoo.models.vit import Config, ViT
from zoo.noise import StepNoise

SHAPE = (6, 4, 2)


def vit(**options) -> ViT:
    keras.utils.set_random_seed(3)
    values = {"image_shape": SHAPE, "patch": 2, "width": 8, "depth": 2, "heads": 2, "classes": 3}
    return ViT(Config(**{**values, **options}))


def images(rows: int = 5) -> np.ndarray:
    return np.random.default_rng(4).random((rows, *SHAPE)).astype(np.float32)


def batch(rows: int = 5) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(5)
    return {
        "image": tf.constant(images(rows)),
        "label": tf.constant(random.integers(0, 3, rows), tf.int32),
        "attributes": tf.constant(random.integers(0, 2, (rows, 2)), tf.int32),
    }


def parameters(config: Config) -> int:
    """How many the paper's network has: patches, [class] and places, blocks, the last norm, the head."""
    width, hidden = config.width, config.expansion * config.width
    patches = (config.patch**2 * config.image_shape[2] + 1) * width
    attention, network = 4 * width * (width + 1), hidden * (width + 1) + width * (hidden + 1)
    block = attention + network + 4 * width
    return (
        patches
        + width * (2 + config.patches)
        + config.depth * block
        + 2 * width
        + (width + 1) * (config.classes + sum(config.attributes))
    )


@pytest.mark.parametrize("options", [{}, {"depth": 3, "expansion": 2, "patch": 1}, {"attributes": (4, 2)}])
def test_it_has_the_parameters_of_its_size(options):
    model = vit(**options)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == parameters(model.config)


def test_the_papers_preset_is_b16():
    preset = registry.presets("vit")["paper"]
    config = configure(Config, {**preset["config"], "image_shape": (224, 224, 3)})
    assert preset["image_size"] == 224
    assert parameters(config) == 86_567_656


def test_patches_are_squares_in_reading_order():
    x = images(2)
    patches = vit().cut(tf.constant(x)).numpy()
    assert patches.shape == (2, 6, 8)
    for row in range(3):
        for column in range(2):
            square = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_allclose(patches[:, 2 * row + column], 2 * square.reshape(2, -1) - 1, rtol=1e-6)


def test_the_class_is_a_linear_map_of_the_features():
    model = vit(attributes=(2, 2))
    x = images()
    features = model.encode(x).mean().numpy()
    assert features.shape == (5, 8)
    np.testing.assert_allclose(features.mean(-1), 0.0, atol=1e-5)  # the last norm
    kernel, bias = (v.numpy() for v in model.head.trainable_variables)
    np.testing.assert_allclose(model.classify(x), (features @ kernel + bias)[:, :3], rtol=1e-4, atol=1e-5)
    found = np.concatenate(model.describe(x), -1)
    np.testing.assert_allclose(found, features @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_every_patch_counts_and_so_does_its_place():
    model = vit()
    x = images(1)
    before = model.classify(x).numpy()
    for row in range(0, 6, 2):
        for column in range(0, 4, 2):
            changed = x.copy()
            changed[:, row, column, 0] = 1 - changed[:, row, column, 0]
            assert np.abs(model.classify(changed).numpy() - before).max() > 1e-5
    moved = x[:, [2, 3, 0, 1, 4, 5]]
    assert np.abs(model.classify(moved).numpy() - before).max() > 1e-5
    model.positions.assign(tf.zeros_like(model.positions))
    np.testing.assert_allclose(model.classify(moved), model.classify(x), rtol=1e-4, atol=1e-6)


def test_rows_without_a_label_teach_nothing():
    model = vit(attributes=(2, 2))
    whole = batch(5)
    some = {**whole, "label": tf.where([True, True, False, True, False], whole["label"], -1)}
    some["attributes"] = tf.where(some["label"][:, None] < 0, -1, whole["attributes"])
    kept = {name: tf.gather(value, [0, 1, 3]) for name, value in whole.items()}
    found = []
    for data, rows in ((some, 5), (kept, 3)):
        with tf.GradientTape() as tape:
            loss, terms = model.objective(data, {}, StepNoise(0, 0, rows))
        found.append(
            [loss, *terms.values(), *tape.gradient(loss, [v.value for v in model.trainable_variables])]
        )
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    none = {**whole, "label": -tf.ones_like(whole["label"]), "attributes": -tf.ones_like(whole["attributes"])}
    with tf.GradientTape() as tape:
        loss, terms = model.objective(none, {}, StepNoise(0, 0, 5))
    assert loss.numpy() == 0.0
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert all((np.asarray(gradient) == 0).all() for gradient in gradients)


def test_attributes_are_scored_one_by_one():
    model = vit(attributes=(2, 2))
    data = batch()
    loss, _ = model.objective(data, {}, StepNoise(0, 0, 5))
    logits = model.describe(data["image"])
    values = [data["label"], *tf.unstack(data["attributes"], axis=1)]
    expected = 0.0
    for each, value in zip(logits, values, strict=True):
        log_p = np.log(tf.nn.softmax(each))
        expected -= log_p[np.arange(5), value].mean()
    assert loss.numpy() == pytest.approx(expected, rel=1e-4)


def test_images_are_moved_by_whole_pixels():
    model = vit(shift=1)
    x = images(200)
    moved = model.shifted(tf.constant(x), StepNoise(0, 0, 200)).numpy()
    edged = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge")
    places = [(down, right) for down in range(3) for right in range(3)]
    all_moves = np.stack([edged[:, down : down + 6, right : right + 4] for down, right in places])
    same = (all_moves == moved).all((2, 3, 4))  # [moves, rows]
    assert same.any(0).all()
    assert same.any(1).all(), "not every move was made"
    assert vit().shifted(x, StepNoise(0, 0, 200)) is x


def test_attributes_are_an_output_where_there_are_any():
    x = tf.constant(images())
    outputs = dict(classifies(vit(attributes=(2, 4))))["classify"].run(x)
    assert outputs["attribute_index"].shape == (5, 2)
    best = [np.argmax(each, -1) for each in vit(attributes=(2, 4)).describe(x)[1:]]
    np.testing.assert_array_equal(outputs["attribute_index"], np.stack(best, -1))
    assert "attribute_index" not in dict(classifies(vit()))["classify"].run(x)


def test_the_data_decide_classes_and_attributes():
    plan = training.plan("vit", preset="shapes", image_size=8, settings={"patch": 4})
    assert (plan.config.classes, plan.config.attributes) == (8, (8, 8, 3, 5, 2))
    assert plan.validation is not None
    plan = training.plan("vit", preset="tiny")
    assert (plan.config.classes, plan.config.attributes, plan.config.image_shape) == (10, (), (8, 8, 1))
    with pytest.raises(UsageError, match="has no attributes"):
        training.plan("vit", preset="tiny", settings={"attributes": [2]})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"patch": 3}, "do not fill 6x4"),
        ({"width": 9}, "multiple of heads"),
        ({"depth": 0}, "at least 1"),
        ({"attributes": (2, 0)}, "at least 1"),
        ({"dropout": 1.0}, "dropout and smoothing"),
        ({"smoothing": -0.1}, "dropout and smoothing"),
    ],
)
def test_impossible_options_are_refused(options, why):
    with pytest.raises(UsageError, match=why):
        vit(**options)
