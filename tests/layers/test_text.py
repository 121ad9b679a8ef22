"""Strings become tokens and tokens strings, in the graph as in Python."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.layers.text import NOTHING, decode_text, encode_text

# Not in the order of the code points, one of them beyond 16 bits.
VOCABULARY = ("z", "a", "\n", "é", "𝄞", " ")


def encode(*texts: str) -> np.ndarray:
    graph = tf.function(lambda text: encode_text(text, VOCABULARY), autograph=False)
    return graph(tf.constant([*texts])).numpy()


def test_each_character_becomes_its_place_in_the_vocabulary():
    text = "z a\né𝄞"
    np.testing.assert_array_equal(encode(text), [[VOCABULARY.index(each) for each in text]])


def test_shorter_rows_end_with_nothing():
    np.testing.assert_array_equal(encode("az", "", "a"), [[1, 0], [NOTHING, NOTHING], [1, NOTHING]])
    assert encode("", "").shape == (2, 0)


def test_characters_without_a_token_are_left_out():
    np.testing.assert_array_equal(encode("\x00axéb~\U0010ffff"), [[1, 3]])


def test_text_comes_back():
    texts = ["z a\né𝄞", "", "zz", "é"]
    found = decode_text(encode(*texts), VOCABULARY)
    assert [text.decode() for text in found.numpy()] == texts
