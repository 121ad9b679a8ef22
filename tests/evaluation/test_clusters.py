"""Categories are matched with classes whatever their order, and never better than they are."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from zoo.data import Data, Info
from zoo.evaluation.clusters import agreement, categories, counts, matched
from zoo.evaluation.evaluate import MEASURES
from zoo.evaluation.subject import Options, Subject
from zoo.latents import Part

CLASSES = 4


class Sorter:
    """A model whose code is some numbers and a category, which it reads off an image of one pixel."""

    takes, name = "image", "sorter"
    signatures = {"encode": {}}  # noqa: RUF012

    def __init__(self, order: list[int], encoded: tuple[Part, ...], **config: Any) -> None:
        """`order`: the category of each value of a pixel."""
        self.order, self.encoded_parts = np.array(order), encoded
        self.card = {"config": config}
        self.class_names = tuple("abcd")

    def encode(self, x: np.ndarray) -> np.ndarray:
        pixel = np.round(x[:, 0, 0, 0] * 15).astype(int)
        size = next(part.size for part in self.encoded_parts if part.family == "one_hot")
        return np.concatenate([np.ones((len(x), 2)), 0.1 + np.eye(size)[self.order[pixel]]], 1)


def subject(order: list[int], size: int = CLASSES, label: np.ndarray | None = None, **config) -> Subject:
    """Four examples of each value 0 to 3 of a pixel, which is the class, unless labels are given."""
    pixel = np.repeat(np.arange(len(order)), 4)
    label = pixel if label is None else label
    info = Info(levels=16, class_names=tuple("abcd"))
    fields = {"image": pixel.astype(np.uint8).reshape(-1, 1, 1, 1), "label": label.astype(np.int32)}
    model = Sorter(order, (Part("gaussian", 2), Part("one_hot", size)), **config)
    return Subject(model, Data("made", "test", fields, info), Options(), {})


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))][::5])
def test_the_numbers_of_categories_do_not_matter(order):
    found = agreement(subject(list(order)))
    assert found["matched_accuracy"]["value"] == found["majority_accuracy"]["value"] == 1.0
    assert "category_accuracy" not in found  # no labels told the model what its categories are
    told = agreement(subject(list(order), classes=4))
    assert told["category_accuracy"]["value"] == np.mean(np.array(order) == np.arange(4))


def test_two_categories_of_one_class_can_both_be_right_only_by_majority():
    # Six values of a pixel in six categories; the classes a and b have two values each.
    label = np.repeat([0, 0, 1, 1, 2, 3], 4)
    found = agreement(subject([0, 1, 2, 3, 4, 5], 6, label))
    assert found["majority_accuracy"]["value"] == 1.0
    assert found["matched_accuracy"]["value"] == pytest.approx(4 / 6)


def test_the_match_is_the_best_one():
    table = np.random.default_rng(0).integers(0, 50, (4, 4))
    best = max(sum(table[i, each[i]] for i in range(4)) for each in itertools.permutations(range(4)))
    assert sum(table[i, column] for i, column in enumerate(matched(table))) == best
    assert matched(np.array([[5, 0], [4, 0], [0, 3]])).tolist() == [0, -1, 1]


def test_counts():
    assert counts(np.array([0, 2, 2]), np.array([1, 0, 0]), (3, 2)).tolist() == [[0, 1], [0, 0], [2, 0]]


def test_the_measure_needs_categories_and_labels():
    applies = MEASURES["categories"].applies
    found = subject([0, 1, 2, 3])
    assert applies(found)
    assert categories(found.model) == [slice(2, 6)]
    found.model.encoded_parts = (Part("gaussian", 6),)
    assert not applies(found)
