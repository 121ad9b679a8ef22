"""Text inside the graph: from strings to the tokens of a vocabulary, and back.

A token is a character, or a word of small letters; a sign between words is a word of its own.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

#: Stands where a row has no token: behind the end of the shorter ones.
NOTHING = -1
Unit = Literal["words", "characters"]
#: Token 0 of a vocabulary of words: a word that is not in it.
UNKNOWN = "\ufffd"
#: No more words than this, the most frequent ones.
MOST_WORDS = 8000


def encode_text(text: tf.Tensor, vocabulary: Sequence[str]) -> tf.Tensor:
    """The tokens of the characters of a text; characters without one are left out.

    Args:
        text: UTF-8, string [B].
        vocabulary: the symbol of each token, a character each.

    Returns:
        int32 [B, T], T the most that a row has; shorter rows end with `NOTHING`.
    """
    points = np.array([ord(symbol) for symbol in vocabulary], np.int32)
    order = np.argsort(points)
    found = tf.strings.unicode_decode(text, "UTF-8")  # ragged [B, (T)]
    flat = found.flat_values
    place = tf.minimum(tf.searchsorted(points[order], flat), len(points) - 1)
    known = tf.equal(tf.gather(points[order], place), flat)
    tokens = found.with_flat_values(tf.gather(order.astype(np.int32), place))
    return tf.ragged.boolean_mask(tokens, found.with_flat_values(known)).to_tensor(NOTHING)


def encode(text: tf.Tensor, vocabulary: Sequence[str], unit: Unit) -> tf.Tensor:
    """The tokens of texts, as `encode_words` or `encode_text` has them."""
    return (encode_words if unit == "words" else encode_text)(text, vocabulary)


def fitted(tokens: tf.Tensor, length: int) -> tf.Tensor:
    """Tokens int32 [B, T] -> [B, length]: cut, or filled up with `NOTHING`."""
    padded = tf.pad(tokens[:, :length], [[0, 0], [0, length]], constant_values=NOTHING)
    return tf.ensure_shape(padded[:, :length], (None, length))


def behind_prompts(
    prompt: tf.Tensor, vocabulary: Sequence[str], uniform: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Prompts with room behind them, and the draws for each place.

    The draw of a character depends on how far it is behind its prompt, not on the other prompts of the batch.

    Args:
        prompt: UTF-8, string [B].
        vocabulary: the symbol of each token, a character each.
        uniform: [B, N], for the N characters behind a prompt.

    Returns:
        Three of [B, P + N], P the most that a prompt has: its tokens, int32, `NOTHING` behind them; how far
        each place is behind the prompt, int32, below 0 inside it; and the draw of each place.
    """
    tokens = encode_text(prompt, vocabulary)  # [B, P]
    size = tf.shape(uniform)[1]
    values = tf.pad(tokens, [[0, 0], [0, size]], constant_values=NOTHING)
    prompted = tf.reduce_sum(tf.cast(tokens != NOTHING, tf.int32), 1)
    behind = tf.range(tf.shape(values)[1]) - prompted[:, None]
    return values, behind, tf.gather(uniform, tf.clip_by_value(behind, 0, size - 1), batch_dims=1)


def decode_text(tokens: tf.Tensor, vocabulary: Sequence[str]) -> tf.Tensor:
    """The text of tokens.

    Args:
        tokens: int32 [B, T]; `NOTHING` gives nothing.
        vocabulary: the symbol of each token.

    Returns:
        UTF-8, string [B].
    """
    symbols = tf.constant([*vocabulary, ""])
    return tf.strings.reduce_join(
        tf.gather(symbols, tf.where(tokens == NOTHING, len(vocabulary), tokens)), -1
    )


def split_words(text: tf.Tensor) -> tf.RaggedTensor:
    """Texts, string [B], as words of small letters, ragged string [B, (T)]."""
    small = tf.strings.lower(text, encoding="utf-8")
    return tf.strings.split(tf.strings.regex_replace(small, r"([^\pL\pM\pN\s'\-])", r" \1 "))


def survey(texts: Iterable[str], unit: Unit) -> tuple[tuple[str, ...], int]:
    """What a model of texts must know of them.

    Args:
        texts: UTF-8.
        unit: what a token is.

    Returns:
        The vocabulary: all characters, or `UNKNOWN` and the words, the most frequent ones first; and the most
        tokens that a text has.
    """
    text = tf.constant([*texts])
    found = split_words(text) if unit == "words" else tf.strings.unicode_split(text, "UTF-8")
    counts = Counter(symbol.decode() for symbol in found.flat_values.numpy())
    longest = int(tf.reduce_max(found.row_lengths()))
    if unit == "characters":
        return tuple(sorted(counts)), longest
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]
    return (UNKNOWN, *frequent), longest


def encode_words(text: tf.Tensor, vocabulary: Sequence[str]) -> tf.Tensor:
    """The tokens of the words of a text; 0 for a word that the vocabulary lacks.

    Args:
        text: UTF-8, string [B].
        vocabulary: `UNKNOWN`, then words of small letters.

    Returns:
        int32 [B, T], T the most that a row has; shorter rows end with `NOTHING`.
    """

    def number(words: tf.Tensor) -> tf.Tensor:
        """Strings have no order in TensorFlow, their 62-bit hashes have."""
        return tf.strings.to_hash_bucket_fast(words, 2**62)

    words = split_words(text)
    numbers = number(tf.constant([*vocabulary]))
    order = tf.argsort(numbers)
    place = tf.searchsorted(tf.gather(numbers, order), number(words.flat_values))
    token = tf.gather(order, tf.minimum(place, len(vocabulary) - 1))
    known = tf.gather(numbers, token) == number(words.flat_values)
    return words.with_flat_values(tf.where(known, token, 0)).to_tensor(NOTHING)


def decode_words(tokens: tf.Tensor, vocabulary: Sequence[str]) -> tf.Tensor:
    """The text of words, with spaces between them, none before a sign that closes or behind one that opens.

    Args:
        tokens: int32 [B, T]; `NOTHING` gives nothing.
        vocabulary: the symbol of each token.

    Returns:
        UTF-8, string [B].
    """
    symbols = tf.constant([*vocabulary, ""])
    words = tf.gather(symbols, tf.where(tokens == NOTHING, len(vocabulary), tokens))
    joined = tf.strings.strip(tf.strings.reduce_join(words, -1, separator=" "))
    return tf.strings.regex_replace(joined, r" ([.,;:!?)\]}%])|([(\[{]) ", r"\1\2")
