"""A linear classifier on codes finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from zoo.data import Data, Info
from zoo.evaluation.evaluate import MEASURES
from zoo.evaluation.probing import fitted, labelled
from zoo.evaluation.subject import Options, Subject


def examples(count: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes float32 [N, 5] around one of three points, in very different units, and which it is."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, count)
    centres = np.eye(3, 5)
    codes = centres[label] + spread * random.normal(size=(count, 5))
    return (codes * [1e3, 1.0, 1e-3, 1.0, 0.0]).astype(np.float32), label


def test_classes_that_lie_apart_are_told_apart_in_whatever_units():
    right, strength = fitted(*examples(400, 0.1, 0), *examples(300, 0.1, 1))
    assert right.mean() == 1.0
    assert strength > 0


def test_classes_that_overlap_are_told_as_well_as_they_can_be():
    # The best classifier of all names the nearest centre.
    unseen, truth = examples(2000, 0.6, 1)
    right, _ = fitted(*examples(1000, 0.6, 0), unseen, truth)
    scaled = unseen / [1e3, 1.0, 1e-3, 1.0, 1.0]
    best = np.square(scaled[:, None] - np.eye(3, 5)).sum(-1).argmin(1) == truth
    assert abs(right.mean() - best.mean()) < 0.03


def test_noise_tells_nothing():
    x, unseen = np.random.default_rng(0).normal(size=(2, 600, 4)).astype(np.float32)
    label, truth = np.random.default_rng(1).integers(0, 3, (2, 600))
    right, _ = fitted(x, label, unseen, truth)
    assert abs(right.mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 600)


def test_a_classifier_runs_on_one_thread(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    fit, threads = LogisticRegression.fit, set()

    def watched(self, x, label):
        threads.update(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return fit(self, x, label)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    with threadpool_limits(2):
        fitted(*examples(40, 0.1, 0), *examples(30, 0.1, 1))
    assert threads == {1}


def test_what_has_no_label_is_left_out():
    fields = {"image": np.arange(5).reshape(5, 1, 1, 1), "label": np.array([0, -1, 1, -1, 0])}
    kept = labelled(Data("made", "train", fields, Info()))
    assert kept.fields["image"].ravel().tolist() == [0, 2, 4]
    assert labelled(kept) is kept


class Coder:
    """What `linear_probe` needs of a model: codes that are the mean colours of images."""

    signatures = {"encode": {"outputs": {"code": {"shape": [None, 3]}}}}  # noqa: RUF012
    takes = "image"
    name = "coder"
    card = {}  # noqa: RUF012

    def encode(self, x: np.ndarray) -> np.ndarray:
        return x.mean((1, 2))


@pytest.fixture
def subject(monkeypatch) -> Subject:
    def made(split: str, count: int) -> Data:
        random = np.random.default_rng(count)
        label = random.integers(0, 3, count).astype(np.int32)
        image = np.clip(
            200 * np.eye(3)[label][:, None, None] + random.normal(20, 9, (count, 4, 4, 3)), 0, 255
        )
        info = Info(levels=256, class_names=("r", "g", "b"), splits={"train": 300, "test": 200})
        return Data("made", split, {"image": image.astype(np.uint8), "label": label}, info)

    monkeypatch.setattr(Subject, "other_split", lambda self, split: made(split, 300))
    return Subject(Coder(), made("test", 200), Options(), {})


def test_the_measure_learns_from_the_training_part(subject):
    measure = MEASURES["linear_probe"]
    assert measure.applies(subject)
    found = measure.run(subject)["linear_probe"]
    assert found["value"] == 1.0
    assert found["receipt"]["trained_on"] == 300
    assert found["receipt"]["n"] == 200
    assert found["better"] == "higher"


def test_a_classifier_and_what_was_learnt_from_are_not_probed(subject, monkeypatch):
    applies = MEASURES["linear_probe"].applies
    monkeypatch.setattr(Coder, "signatures", {**Coder.signatures, "classify": {}})
    assert not applies(subject)
    monkeypatch.undo()
    object.__setattr__(subject.data, "split", "train")
    assert not applies(subject)
