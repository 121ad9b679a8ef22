"""Drawing an image pixel by pixel, where each pixel costs what it touches and no more.

A network that sees only what stands before a pixel can be run in two rhythms. When a row is finished, all
that it means to the pixels of the row below is computed at once, in large products of matrices. Then a pixel
adds what its left neighbours and itself give, for one place in each map. So an image costs about as much as
one pass over it, and the cost grows linearly with the number of pixels.

Shapes: B rows of a batch, H x W x C image, F features.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.distributions import bernoulli, categorical, draw_bernoulli, draw_categorical
from zoo.layers.levels import quantise, to_image

# A temperature of 0 is one so low that each draw is the likeliest value.
LOWEST_TEMPERATURE = 1e-6

Maps = list[tf.Tensor]


class Kept(NamedTuple):
    """A map that is kept while an image is drawn.

    Attributes:
        features: F.
        reach: how many pixels to its left a pixel reads of it.
    """

    features: int
    reach: int


class PixelByPixel(abc.ABC):
    """A network in the two rhythms, with its weights as they are when it is made.

    Attributes:
        kept: the maps of the image that are kept; the first of them is always the image as the network reads
            it.
    """

    kept: Sequence[Kept]

    @abc.abstractmethod
    def first_row(self, rows: tf.Tensor) -> tuple[Any, Maps]:
        """Before any pixel is drawn.

        Args:
            rows: B.

        Returns:
            A memory (tensors, nested as it likes), and what stands above each pixel of the first row: maps
            [W, B, any].
        """

    @abc.abstractmethod
    def next_row(self, memory: Any, maps: Maps) -> tuple[Any, Maps]:
        """After a row.

        Args:
            memory: what the last call gave.
            maps: the row's, each [W, B, F].

        Returns:
            As `first_row`, for the row below; of the same shapes.
        """

    @abc.abstractmethod
    def edge(self, rows: tf.Tensor) -> Maps:
        """What stands left of the first pixel of any row: for each map [B, reach F]."""

    @abc.abstractmethod
    def pixel(self, above: Maps, left: Maps, x: tf.Tensor) -> tuple[tf.Tensor, Maps]:
        """One pixel.

        Args:
            above: what stands above it, each [B, any].
            left: for each map, the `reach` pixels to its left, [B, reach F].
            x: the pixel [B, C] as the network reads it; a channel that is not drawn yet may hold anything.

        Returns:
            Logits [B, C, O], those of a channel right if all channels before it are drawn; and the pixel's
            place in each map but the first, [B, F], right if all channels but the last are drawn.
        """


def nothing_left(kept: Sequence[Kept], rows: tf.Tensor) -> Maps:
    """Zeros to the left of a row, for each map [B, reach F]."""
    return [tf.zeros((rows, each.reach * each.features)) for each in kept]


def nothing_above(kept: Sequence[Kept], rows: tf.Tensor, width: int) -> list[Maps]:
    """Rows of zeros above the image, for each map as many [W, B, F] as its reach to the left."""
    return [[tf.zeros((width, rows, each.features)) for _ in range(each.reach)] for each in kept]


def centred(level: tf.Tensor, levels: int) -> tf.Tensor:
    """Levels as networks read them: float32 in [-1, 1], so that 0 stands only outside the image."""
    return 2.0 * to_image(level, levels) - 1.0


def log_prob_of(level: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The log-probability of each value in nats.

    Args:
        level: int32 [...].
        logits: [..., O], one for two levels, else one a level.

    Returns:
        float32 [...].
    """
    if logits.shape[-1] == 1:
        return bernoulli(logits[..., 0]).log_prob(tf.cast(level, tf.float32))
    return categorical(logits).log_prob(level)


def draw_images(
    network: PixelByPixel,
    uniform: tf.Tensor,
    temperature: tf.Tensor,
    levels: int,
    image: tf.Tensor | None = None,
    known: tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws images, one scalar after another in raster order.

    Args:
        network: gives one logit a scalar for two levels, else one a level.
        uniform: [B, H, W, C] in [0, 1): what decides each draw.
        temperature: [B]; all logits are divided by it.
        levels: how many values a scalar takes.
        image: [B, H, W, C] in [0, 1], of which the pixels that are `known` are taken as they are.
        known: bool [B, H, W].

    Returns:
        float32 [B, H, W, C] in [0, 1].
    """
    height, width, channels = uniform.shape[1:]
    rows = tf.shape(uniform)[0]
    uniform = tf.transpose(uniform, (1, 2, 0, 3))  # [H, W, B, C]
    sharpness = 1.0 / tf.maximum(temperature, LOWEST_TEMPERATURE)  # [B]
    if known is not None:
        given = tf.transpose(quantise(image, levels), (1, 2, 0, 3))
        fixed = tf.transpose(known, (1, 2, 0))[..., None]

    def draw_pixel(row: tf.Tensor, column: tf.Tensor, above: Maps, left: Maps) -> tuple[tf.Tensor, Maps]:
        """The levels int32 [B, C] of one pixel, and its place in each map."""
        level = tf.zeros((rows, channels), tf.int32)
        for channel in range(channels):
            logits, maps = network.pixel(above, left, centred(level, levels))
            logits = logits[:, channel] * sharpness[:, None]  # [B, O]
            u = uniform[row, column, :, channel]
            if levels == 2:
                drawn = tf.cast(draw_bernoulli(logits[:, 0], u), tf.int32)
            else:
                drawn = draw_categorical(logits, u)
            if known is not None:
                drawn = tf.where(fixed[row, column, :, 0], given[row, column, :, channel], drawn)
            level = tf.concat([level[:, :channel], drawn[:, None], level[:, channel + 1 :]], 1)
        return level, [centred(level, levels), *maps]

    def draw_row(row: tf.Tensor, above: Maps) -> tuple[tf.Tensor, Maps]:
        """The levels int32 [W, B, C] of one row, and its maps [W, B, F]."""

        def body(column, left, drawn, arrays):
            level, maps = draw_pixel(row, column, [each[column] for each in above], left)
            arrays = [array.write(column, each) for array, each in zip(arrays, maps, strict=True)]
            moved = [
                tf.concat([before, each], -1)[:, kept.features :] if kept.reach else before
                for before, each, kept in zip(left, maps, network.kept, strict=True)
            ]
            return column + 1, moved, drawn.write(column, level), arrays

        drawn = tf.TensorArray(tf.int32, width, element_shape=(None, channels))
        arrays = [
            tf.TensorArray(tf.float32, width, element_shape=(None, each.features)) for each in network.kept
        ]
        start = (0, network.edge(rows), drawn, arrays)
        _, _, drawn, arrays = tf.while_loop(lambda column, *_: column < width, body, start)
        return drawn.stack(), [array.stack() for array in arrays]

    def body(row, memory, above, drawn):
        level, maps = draw_row(row, above)
        memory, above = network.next_row(memory, maps)
        return row + 1, memory, above, drawn.write(row, level)

    drawn = tf.TensorArray(tf.int32, height, element_shape=(width, None, channels))
    start = (0, *network.first_row(rows), drawn)
    *_, drawn = tf.while_loop(lambda row, *_: row < height, body, start)
    drawn = to_image(tf.transpose(drawn.stack(), (2, 0, 1, 3)), levels)
    return drawn if known is None else tf.where(known[..., None], image, drawn)
