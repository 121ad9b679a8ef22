"""Drawing one value after another, in one loop that exports, from blocks that remember.

Shapes: B rows, N values, h heads, s numbers a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from zoo.layers.attention import Memory

#: (place, the value before, memories, the values so far) -> (the next value, memories with it behind them).
Choose = Callable[[tf.Tensor, tf.Tensor, list[Memory], tf.TensorArray], tuple[tf.Tensor, list[Memory]]]


def in_turn(
    choose: Choose,
    first: tf.Tensor,
    memories: Sequence[Memory],
    length: tf.Tensor | int,
    end: int | None = None,
) -> tf.Tensor:
    """Values that are chosen one after another.

    Args:
        choose: gives the next value of each row, int32 [B].
        first: int32 [B], what stands before the first value.
        memories: of each block, before the first value.
        length: N, how many values there are at most.
        end: a value behind which nothing follows: the loop ends when every row has it; None: there is none.

    Returns:
        int32 [B, N], or fewer where `end` came sooner; what stands behind the end of a row means nothing.
    """
    rows = first.shape[0]

    def more(t: tf.Tensor, previous: tf.Tensor, done: tf.Tensor, *_: object) -> tf.Tensor:
        return tf.logical_and(t < length, ~tf.reduce_all(done))

    def body(t, previous, done, memories, written):
        value, memories = choose(t, previous, memories, written)
        if end is not None:
            done = tf.logical_or(done, value == end)
        return t + 1, value, done, memories, written.write(t, value)

    def grown(tensor: tf.Tensor) -> tf.TensorShape:
        """Memories grow from step to step."""
        _, heads, _, size = tensor.shape
        return tf.TensorShape((rows, heads, None, size))

    count, _, _, _, written = tf.while_loop(
        more,
        body,
        (
            tf.constant(0),
            first,
            tf.zeros_like(first, tf.bool),
            list(memories),
            tf.TensorArray(tf.int32, length, element_shape=(rows,), clear_after_read=False),
        ),
        shape_invariants=(
            tf.TensorShape(()),
            tf.TensorShape((rows,)),
            tf.TensorShape((rows,)),
            tf.nest.map_structure(grown, list(memories)),
            tf.TensorShape(None),
        ),
    )
    return tf.transpose(written.gather(tf.range(count)))
