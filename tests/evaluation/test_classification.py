"""Accuracy and cross-entropy are those of the labelled examples, of the label and of each attribute."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from zoo.data import Data, Info
from zoo.evaluation import classification
from zoo.evaluation.judging import judged, losses, scorer
from zoo.evaluation.likelihood import log_probs
from zoo.models.gan import GAN
from zoo.models.nade import NADE
from zoo.models.vit import Config, ViT

ROWS = 7
INFO = Info(
    levels=256,
    class_names=("a", "b", "c"),
    attribute_names=("colour", "size"),
    attribute_values=(("red", "blue"), ("small", "medium", "large", "huge")),
    fingerprint="f00",
)


@pytest.fixture
def data() -> Data:
    random = np.random.default_rng(1)
    fields = {
        "image": random.integers(0, 256, (ROWS, 4, 4, 1)).astype(np.uint8),
        "label": np.array([0, 1, -1, 2, 2, -1, 0], np.int32),
        "attributes": np.stack([random.integers(0, 2, ROWS), random.integers(-1, 4, ROWS)], -1).astype("i"),
    }
    return Data("made", "test", fields, INFO)


@pytest.mark.parametrize("attributes", [(), (2, 4)])
def test_metrics_are_means_over_what_is_labelled(data, attributes):
    keras.utils.set_random_seed(2)
    model = ViT(
        Config(image_shape=(4, 4, 1), patch=2, width=8, depth=1, heads=2, classes=3, attributes=attributes)
    )
    x = data.fields["image"] / np.float32(255)
    logits = [np.asarray(each, np.float64) for each in model.describe(x)]
    truths = [data.fields["label"], *data.fields["attributes"].T][: len(logits)]
    nats, right = [], []
    for each, truth in zip(logits, truths, strict=True):
        rows = truth >= 0
        log_p = each - np.logaddexp.reduce(each, -1, keepdims=True)
        nats.append(-log_p[rows, truth[rows]])
        right.append(each.argmax(-1)[rows] == truth[rows])

    names = ["accuracy", "colour_accuracy", "size_accuracy"][: len(logits)]
    found = losses(scorer(model), model, data, batch_size=3)
    assert list(found) == ["cross_entropy", *names]
    assert found["cross_entropy"] == pytest.approx(sum(each.mean() for each in nats), rel=1e-5)
    assert [found[name] for name in names] == pytest.approx([each.mean() for each in right])

    scores = log_probs(classification.scorer(model), model, data, 3)
    metrics = classification.summary(scores, model, data)
    assert set(metrics) == {"cross_entropy", *names}
    assert metrics["cross_entropy"]["value"] == pytest.approx(nats[0].mean(), rel=1e-5)
    share, n = right[0].mean(), len(right[0])
    assert n == 5
    assert metrics["accuracy"]["value"] == pytest.approx(share)
    assert metrics["accuracy"]["standard_error"] == pytest.approx(math.sqrt(share * (1 - share) / (n - 1)))
    assert metrics["accuracy"]["receipt"]["n"] == n
    assert metrics["accuracy"]["better"] == "higher"


def test_without_a_label_there_is_no_number(data):
    fields = {**data.fields, "label": np.full(ROWS, -1, np.int32)}
    model = ViT(Config(image_shape=(4, 4, 1), patch=2, width=8, depth=1, heads=2, classes=3))
    unlabelled = Data("made", "test", fields, INFO)
    scores = log_probs(classification.scorer(model), model, unlabelled, ROWS)
    assert classification.losses(scores, unlabelled) == {"cross_entropy": 0.0}
    assert classification.summary(scores, model, unlabelled)["accuracy"]["value"] is None


def test_numbers_judge_likelihoods_and_classifiers():
    assert [judged(model) for model in (NADE, ViT, GAN)] == [True, True, False]
