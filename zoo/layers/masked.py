"""Convolutions that see no later value of an image.

Values come in raster order: rows from the top, pixels from the left, and at a pixel its channels, R before G
before B. A map of F features is split into as many groups as the image has channels, the first F / C features
being those of R; group g stands where channel g stands in that order. This one split holds in every layer.

Masks are multiplied into the weights whenever these are used: no optimizer can fill them again. Rows below a
pixel's own are no part of a kernel.

Shapes: B rows of a batch, H x W x F map, C channels; M x K kernel, whose last row is the pixel's own.

References:
    van den Oord, Kalchbrenner, Kavukcuoglu: Pixel Recurrent Neural Networks, arXiv 1601.06759, section 3.4.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, NamedTuple, final

import keras
import numpy as np
import tensorflow as tf

#: What a feature sees of its pixel's own row, besides all that stands in the kernel's rows above.
#: A: the pixels to the left, and of its own pixel the groups before its own.
#: B: the pixels to the left, and of its own pixel the groups up to its own.
#: above: nothing. row: everything; for maps that have not seen their own row of the image.
Sight = Literal["A", "B", "above", "row"]


def groups_of(features: int, channels: int) -> np.ndarray:
    """The group, 0 .. channels - 1, of each of the features; int [features]."""
    return np.arange(features) * channels // features


def centre_mask(inputs: int, outputs: int, sight: Literal["A", "B"], channels: int, copies: int = 1):
    """Which inputs at a pixel an output at the same pixel may see.

    Args:
        inputs: features that are read.
        outputs: features that are computed.
        sight: of the outputs.
        channels: C, into how many groups both are split.
        copies: the outputs are so many maps in a row, each split by itself: the gates of an LSTM.

    Returns:
        float32 [inputs, outputs] of 0 and 1.
    """
    source = groups_of(inputs, channels)[:, None]
    target = np.tile(groups_of(outputs // copies, channels), copies)
    return (source < target if sight == "A" else source <= target).astype(np.float32)


def neighbours(maps: tf.Tensor, left: int, right: int, outside: tf.Tensor | float = 0.0) -> tf.Tensor:
    """Beside each pixel's features those of the pixels around it in the row.

    Args:
        maps: [..., W, B, F].
        left, right: how many pixels on each side.
        outside: what stands outside the image, a number or [F].

    Returns:
        [..., W, B, (left + 1 + right) F], from the left to the right.
    """
    if left == right == 0:
        return maps
    width = maps.shape[-3]
    edge = tf.broadcast_to(tf.cast(outside, maps.dtype), tf.shape(maps[..., :1, :, :]))
    wide = tf.concat([*[edge] * left, maps, *[edge] * right], -3)
    return tf.concat([wide[..., at : at + width, :, :] for at in range(left + 1 + right)], -1)


def dense(x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """[..., F] by [F, G] -> [..., G], as one product of matrices."""
    return tf.tensordot(x, weights, 1) if x.shape.rank != 2 else tf.matmul(x, weights)


class Weights(NamedTuple):
    """A convolution's masked weights, for maps that come a row or a pixel at a time.

    Attributes:
        above: [rows K F, G], of rows that are known as a whole: the row farthest above first.
        own: [(K // 2 + 1) F, G], of the pixels to the left, and last of the pixel itself.
        bias: [G].
    """

    above: tf.Tensor
    own: tf.Tensor
    bias: tf.Tensor

    def of_rows(self, rows: list[tf.Tensor]) -> tf.Tensor:
        """What rows [W, B, F] that are known as a whole give, with the bias: [W, B, G]."""
        side = self.above.shape[0] // (len(rows) * rows[0].shape[-1]) // 2
        seen = tf.concat([neighbours(row, side, side) for row in rows], -1)
        return dense(seen, self.above) + self.bias

    def of_pixel(self, left: tf.Tensor, pixel: tf.Tensor) -> tf.Tensor:
        """What a pixel [B, F] and those to its left [B, (K // 2) F] give, without the bias: [B, G]."""
        return tf.matmul(tf.concat([left, pixel], -1), self.own)

    def at(self, pixel: tf.Tensor) -> tf.Tensor:
        """A 1x1 convolution of a pixel [..., F], with the bias: [..., G]."""
        return dense(pixel, self.own) + self.bias


@final
@keras.saving.register_keras_serializable("zoo")
class MaskedConv(keras.layers.Layer):
    """A convolution with stride 1 whose outputs see no later value; the map keeps its size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rows: int = 1,
        columns: int = 1,
        sight: Sight = "B",
        channels: int = 1,
        copies: int = 1,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            inputs: F, the features that are read.
            outputs: G, the features that are computed.
            rows: M, the pixel's own and M - 1 above it.
            columns: K, odd.
            sight: what is seen of the pixel's own row.
            channels: C, of the image.
            copies: the outputs are so many maps in a row, each split into groups by itself.
        """
        super().__init__(**kwargs)
        self.sight, self.side = sight, columns // 2
        mask = np.ones((rows, columns, inputs, outputs), np.float32)
        if sight != "row":
            mask[-1, self.side :] = 0.0
        if sight == "above":
            mask[-1] = 0.0
        elif sight != "row":
            mask[-1, self.side] = centre_mask(inputs, outputs, sight, channels, copies)
        self.mask = mask
        # Half of the weights of a kernel may be masked: the variance is that of the others.
        seen = mask.sum() / outputs
        limit = float(np.sqrt(3.0 / max(seen, 1.0)))
        self.kernel = self.add_weight(
            shape=mask.shape, initializer=keras.initializers.RandomUniform(-limit, limit), name="kernel"
        )
        self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias")

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, H, W, F] -> [B, H, W, G]; a 1x1 convolution takes [..., F]."""
        rows, columns = self.mask.shape[:2]
        kernel = self.masked(x.dtype)
        if rows == columns == 1:
            return dense(x, kernel[0, 0]) + self.bias
        # Padding of its own is twice as fast as the convolution's explicit one (measured on a CPU).
        padded = tf.pad(x, [(0, 0), (rows - 1, 0), (self.side, self.side), (0, 0)])
        return tf.nn.conv2d(padded, kernel, 1, "VALID") + self.bias

    def masked(self, dtype: tf.DType) -> tf.Tensor:
        """The kernel, 0 where it is masked."""
        return tf.cast(self.kernel, dtype) * tf.cast(self.mask, dtype)

    def along(self, x: tf.Tensor) -> tf.Tensor:
        """A kernel of one row, over maps of which the columns stand before the batch.

        Args:
            x: [..., W, B, F].

        Returns:
            [..., W, B, G].
        """
        own = tf.reshape(self.masked(x.dtype)[0, : self.side + 1], (-1, self.mask.shape[-1]))
        return dense(neighbours(x, self.side, 0), own) + tf.cast(self.bias, x.dtype)

    def weights_in_rows(self) -> Weights:
        """The masked weights as they are now, for loops over rows and pixels; float32."""
        kernel = self.masked(tf.float32)
        rows, columns, inputs, outputs = self.mask.shape
        whole = rows if self.sight == "row" else rows - 1
        return Weights(
            tf.reshape(kernel[:whole], (whole * columns * inputs, outputs)),
            tf.reshape(kernel[-1, : self.side + 1], ((self.side + 1) * inputs, outputs)),
            tf.convert_to_tensor(self.bias.value),
        )


@final
@keras.saving.register_keras_serializable("zoo")
class MaskedHead(keras.layers.Layer):
    """From features to logits: two 1x1 convolutions, and a third whose outputs are the logits.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu: Pixel Recurrent Neural Networks, arXiv 1601.06759, table 1.
    """

    def __init__(self, inputs: int, features: int, channels: int, outputs: int, **kwargs: Any) -> None:
        """
        Args:
            inputs: F, the features that are read.
            features: of the two layers between.
            channels: C, of the image.
            outputs: O, logits of each of the C values of a pixel.
        """
        super().__init__(**kwargs)
        sizes = [inputs, features, features, channels * outputs]
        self.channels, self.outputs = channels, outputs
        self.layers = [
            MaskedConv(before, after, channels=channels) for before, after in itertools.pairwise(sizes)
        ]

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[..., F] -> logits float32 [..., C, O]."""
        for layer in self.layers:
            x = layer(tf.nn.relu(x))
        return self.split(tf.cast(x, tf.float32))

    def weights_in_rows(self) -> list[Weights]:
        """The weights of the three layers, for `at`."""
        return [layer.weights_in_rows() for layer in self.layers]

    def at(self, x: tf.Tensor, weights: list[Weights]) -> tf.Tensor:
        """A pixel [B, F] -> logits float32 [B, C, O]."""
        for each in weights:
            x = each.at(tf.nn.relu(x))
        return self.split(x)

    def split(self, x: tf.Tensor) -> tf.Tensor:
        """[..., C O] -> [..., C, O]."""
        shape = tf.concat([tf.shape(x)[:-1], [self.channels, self.outputs]], 0)
        return tf.ensure_shape(tf.reshape(x, shape), [*x.shape[:-1], self.channels, self.outputs])
