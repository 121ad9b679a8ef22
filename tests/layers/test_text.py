"""Strings become tokens and tokens strings, in the graph as in Python."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.layers.text import (
    NOTHING,
    UNKNOWN,
    decode_text,
    decode_words,
    encode,
    encode_text,
    encode_words,
    fitted,
    survey,
)

# Not in the order of the code points, one of them beyond 16 bits.
VOCABULARY = ("z", "a", "\n", "é", "𝄞", " ")


def encoded(*texts: str) -> np.ndarray:
    graph = tf.function(lambda text: encode_text(text, VOCABULARY), autograph=False)
    return graph(tf.constant([*texts])).numpy()


def test_each_character_becomes_its_place_in_the_vocabulary():
    text = "z a\né𝄞"
    np.testing.assert_array_equal(encoded(text), [[VOCABULARY.index(each) for each in text]])


def test_shorter_rows_end_with_nothing():
    np.testing.assert_array_equal(encoded("az", "", "a"), [[1, 0], [NOTHING, NOTHING], [1, NOTHING]])
    assert encoded("", "").shape == (2, 0)


def test_characters_without_a_token_are_left_out():
    np.testing.assert_array_equal(encoded("\x00axéb~\U0010ffff"), [[1, 3]])


def test_text_comes_back():
    texts = ["z a\né𝄞", "", "zz", "é"]
    found = decode_text(encoded(*texts), VOCABULARY)
    assert [text.decode() for text in found.numpy()] == texts


def test_words_are_found_by_their_frequency():
    words = (UNKNOWN, "a", "dog", "!", ",", "cat", "dog's", "the")
    assert survey(["A dog, a cat!", "the dog's a DOG", ""], "words") == (words, 6)
    assert survey(["ba", "", "céb"], "characters") == (("a", "b", "c", "é"), 3)


def test_words_become_tokens_and_words_again():
    vocabulary, _ = survey(["Grüße, said the re-made cat (twice)."], "words")
    graph = tf.function(lambda text: encode_words(text, vocabulary), autograph=False)
    texts = ["the cat said grüße.", "The  cat, the CAT", "", "the dog", "(twice)"]
    tokens = graph(tf.constant(texts)).numpy()
    assert (tokens[2] == NOTHING).all()
    assert [vocabulary[token] for token in tokens[1] if token >= 0] == ["the", "cat", ",", "the", "cat"]
    assert tokens[3].tolist() == [vocabulary.index("the"), 0, *[NOTHING] * (tokens.shape[1] - 2)]
    decoded = [text.decode() for text in decode_words(tf.constant(tokens), vocabulary).numpy()]
    assert decoded == ["the cat said grüße.", "the cat, the cat", "", f"the {UNKNOWN}", "(twice)"]


def test_a_large_vocabulary_keeps_its_words_apart():
    vocabulary = (UNKNOWN, *(f"w{number}" for number in range(8000)))
    texts = tf.constant([" ".join(vocabulary[start : start + 100]) for start in range(1, 8001, 100)])
    np.testing.assert_array_equal(encode_words(texts, vocabulary), np.arange(1, 8001).reshape(-1, 100))


def test_tokens_fit_a_length():
    tokens = encode(tf.constant(["a é", "", "z"]), VOCABULARY, "characters")
    np.testing.assert_array_equal(fitted(tokens, 2), [[1, 5], [NOTHING] * 2, [0, NOTHING]])
    longer = fitted(encode(tf.constant(["a dog", "dog"]), (UNKNOWN, "dog"), "words"), 4)
    np.testing.assert_array_equal(longer, [[0, 1, NOTHING, NOTHING], [1, NOTHING, NOTHING, NOTHING]])
    assert longer.shape == (2, 4)
