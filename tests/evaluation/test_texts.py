"""distinct-n of known texts."""

from __future__ import annotations

from zoo.evaluation.texts import distinct


def test_distinct():
    texts = ["a b a b", "a  b\nc"]
    assert distinct(texts, 1) == 3 / 7
    assert distinct(texts, 2) == 3 / 5  # ab, ba, bc among ab, ba, ab, ab, bc
    assert distinct(texts, 3) == 3 / 3
    assert distinct(texts, 5) is None
    assert distinct([], 1) is None
    assert distinct(iter(["x y"]), 2) == 1.0
