"""Which patches of an image tell most of it: squares that hold many edges, and cut few.

The score is that of EdgeBoxes without its groups of edges. There a group counts in a box if it lies wholly
inside; here an edge counts if it lies inside, and not on the frame of one pixel where a box would cut it:

    score(b) = sum_{p in b, not on its frame} m_p / (2 (w + h))^1.5

with m_p how steep the image is at pixel p. The power keeps a larger box from winning by its size alone. The
sums of all boxes come from one integral image. Patches are chosen one after another: the best, then the best
of those that overlap with none before it by more than `OVERLAP`.

Reference: Zitnick, Dollar: Edge Boxes: Locating Object Proposals from Edges, ECCV 2014, equation 3.

Shapes: B rows, H x W x C image, K boxes, N chosen ones. A box is a square: its top, its left, its side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

#: The power of a box's perimeter, kappa in the paper.
POWER = 1.5
#: Of two chosen patches at most this share of what they cover together lies in both.
OVERLAP = 0.25


def steepness(x: tf.Tensor) -> tf.Tensor:
    """How steep images [B, H, W, C] are at each pixel, in the channel where they are steepest: [B, H, W]."""
    return tf.reduce_max(tf.norm(tf.image.sobel_edges(tf.convert_to_tensor(x)), axis=-1), -1)


def all_squares(height: int, width: int, sides: Sequence[int]) -> np.ndarray:
    """Every square of these sides in a map, int32 [K, 3]: top, left, side; from the top left, row by row."""
    found = [
        [top, left, side]
        for side in sides
        for top in range(height - side + 1)
        for left in range(width - side + 1)
    ]
    return np.array(found, np.int32)


def square_sums(values: tf.Tensor, sides: Sequence[int], margin: int = 0) -> tf.Tensor:
    """What lies in each square of `all_squares`, less a margin on all its sides, added up.

    Args:
        values: [B, H, W].
        sides: of the squares, each more than twice the margin.
        margin: pixels.

    Returns:
        [B, K].
    """
    integral = tf.pad(tf.cumsum(tf.cumsum(values, 1), 2), [[0, 0], [1, 0], [1, 0]])
    height, width = values.shape[1:]
    sums = []
    for side in sides:
        down, across = height - side + 1, width - side + 1
        near, far = margin, side - margin
        inside = (
            integral[:, far : far + down, far : far + across]
            - integral[:, near : near + down, far : far + across]
            - integral[:, far : far + down, near : near + across]
            + integral[:, near : near + down, near : near + across]
        )
        sums.append(tf.reshape(inside, (-1, down * across)))
    return tf.concat(sums, 1)


def objectness(x: tf.Tensor, sides: Sequence[int]) -> tf.Tensor:
    """The score of each square of `all_squares` in images [B, H, W, C]: [B, K]."""
    _, height, width, _ = x.shape
    perimeters = 4.0 * all_squares(height, width, sides)[:, 2].astype(np.float32)
    return square_sums(steepness(x), sides, margin=1) / perimeters**POWER


def overlap(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """What two squares [..., 3] have in common, as a share of what they cover together: float32 [...]."""
    a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    ends = tf.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = tf.reduce_prod(tf.nn.relu(ends - tf.maximum(a[..., :2], b[..., :2])), -1)
    return common / (a[..., 2] ** 2 + b[..., 2] ** 2 - common)


def key_squares(x: tf.Tensor, sides: Sequence[int], count: int) -> tf.Tensor:
    """The patches of images [B, H, W, C] that tell most, the best first: int32 [B, N, 3].

    Args:
        x: images; the squares of these sides must be more than `count`.
        sides: of the squares, in pixels, at least 3.
        count: N.
    """
    _, height, width, _ = x.shape
    squares = tf.constant(all_squares(height, width, sides))
    scores = objectness(x, sides)
    found = []
    for _ in range(count):
        best = tf.gather(squares, tf.argmax(scores, 1))  # [B, 3]; of equal ones the first
        found.append(best)
        # Where all overlap, the one that does least; a chosen one only if nothing else is left.
        taken = overlap(best[:, None], squares)  # [B, K]
        scores = tf.where(taken > OVERLAP, tf.minimum(scores, -1.0 - taken), scores)
    return tf.stack(found, 1)


def cut(x: tf.Tensor, squares: tf.Tensor, side: int) -> tf.Tensor:
    """Patches of images, all brought to one size by linear interpolation along both axes.

    Args:
        x: [B, H, W, C].
        squares: int [B, N, 3].
        side: of the result, at least 2: from the middle of a patch's first pixel to that of its last.

    Returns:
        [B, N, side, side, C].
    """
    top, left, length = (tf.cast(part[..., None], tf.float32) for part in tf.unstack(squares, axis=-1))
    way = tf.linspace(0.0, 1.0, side) * (length - 1.0)  # [B, N, side]

    def weights(places: tf.Tensor, count: int) -> tf.Tensor:
        away = places[..., None] - tf.range(count, dtype=tf.float32)
        return tf.nn.relu(1.0 - tf.abs(away))  # [B, N, side, count]

    rows = tf.einsum("bnsh,bhwc->bnswc", weights(top + way, x.shape[1]), x)
    return tf.einsum("bntw,bnswc->bnstc", weights(left + way, x.shape[2]), rows)


def covered(squares: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Where squares int [B, N, 3] lie: bool [B, N, H, W]."""
    top, left, side = (part[..., None] for part in tf.unstack(squares, axis=-1))

    def within(first: tf.Tensor, length: int) -> tf.Tensor:
        place = tf.range(length)
        return tf.logical_and(place >= first, place < first + side)  # [B, N, length]

    return tf.logical_and(within(top, height)[..., None], within(left, width)[..., None, :])
