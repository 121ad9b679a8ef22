"""distinct-n of known texts."""

from __future__ import annotations

import types

import numpy as np

from zoo.data import Data, Info
from zoo.evaluation.texts import distinct
from zoo.evaluation.variety import runs_of_words
from zoo.reports.measures import Receipts, measures_tables


def test_distinct():
    texts = ["a b a b", "a  b\nc"]
    assert distinct(texts, 1) == 3 / 7
    assert distinct(texts, 2) == 3 / 5  # ab, ba, bc among ab, ba, ab, ab, bc
    assert distinct(texts, 3) == 3 / 3
    assert distinct(texts, 5) is None
    assert distinct([], 1) is None
    assert distinct(iter(["x y"]), 2) == 1.0


def test_how_much_two_models_wrote_does_not_part_them():
    data = Data("made", "test", {"text": np.array(["a b c", "d e f g"])}, Info(fingerprint="f00d"))

    def measured(*texts):
        pieces = np.array([text.encode() for text in texts], object)
        subject = types.SimpleNamespace(
            options=types.SimpleNamespace(samples=len(texts)),
            of_temperature={},
            samples=lambda count: [pieces],
            data=data,
            receipt={"dataset": "made", "split": "test", "n": 2, "fingerprint": "f00d", "seed": 0},
        )
        return runs_of_words(subject)

    short, long = measured("a a a", "b"), measured("a b c d e", "f g h i")
    assert (short["distinct_1"]["value"], long["distinct_1"]["value"]) == (0.5, 1.0)
    assert short["distinct_1"]["receipt"]["found"]["characters"] == 6
    (table,) = measures_tables([("a", short), ("b", long)], Receipts())
    assert [head for head, _, _ in table.rows] == ["distinct 1", "distinct 2", "distinct 3"]
    assert all(cells[1] is not None for _, _, cells in table.rows)
