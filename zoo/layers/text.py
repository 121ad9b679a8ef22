"""Text inside the graph: from strings to the tokens of a vocabulary, and back.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

#: Stands where a row has no token: behind the end of the shorter ones.
NOTHING = -1


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
