"""How much of a codebook is in use."""

from __future__ import annotations

import types

import numpy as np
import pytest

from zoo.data import Data, Info
from zoo.evaluation import codebook
from zoo.evaluation.evaluate import MEASURES
from zoo.evaluation.subject import Options, Subject


def test_the_use_of_equal_tokens_is_their_number():
    assert codebook.use(np.array([5, 5, 0, 5])) == (0.75, pytest.approx(3.0))
    assert codebook.use(np.array([0, 9])) == (0.5, pytest.approx(1.0))
    share, perplexity = codebook.use(np.array([1, 3]))
    assert share == 1.0
    assert perplexity == pytest.approx(np.exp(0.25 * np.log(4) + 0.75 * np.log(4 / 3)))


class Tokeniser:
    """Writes each image as two tokens: its level, and always the token 4 of five."""

    name, modality, takes = "tokeniser", "image", "image"
    card = types.MappingProxyType({"tokens": {"grid": [1, 2], "values": 5}})
    tokens = card["tokens"]

    def encode(self, x: np.ndarray) -> np.ndarray:
        level = np.round(x[:, 0, 0, 0] * 3).astype(np.int32)
        return np.stack([level, np.full_like(level, 4)], 1)


def test_it_is_counted_over_the_data():
    image = np.repeat(np.arange(2, dtype=np.uint8), 65).reshape(130, 1, 1, 1)
    data = Data("made", "test", {"image": image}, Info(fingerprint="x", levels=4))
    subject = Subject(Tokeniser(), data, Options(), {})
    assert MEASURES["codebook"].applies(subject)
    found = codebook.measure(subject)
    assert set(found) == set(MEASURES["codebook"].gives)
    assert found["codebook_used"]["value"] == pytest.approx(3 / 5)
    expected = np.exp(0.5 * np.log(2) + 0.5 * np.log(4))
    assert found["codebook_perplexity"]["value"] == pytest.approx(expected)
    assert found["codebook_perplexity"]["receipt"]["n"] == 130
