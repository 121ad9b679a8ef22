"""Several levels of an image as one token: fewer, richer steps for a model that reads one after another.

A token stands for G levels that follow one another, in raster order with the channels of a pixel together; it
has L^G values. Runs of binary pixels, or the colour of a pixel, become one symbol, and the likelihood stays
that of the image: every image of levels is one sequence of tokens, and every sequence is one image.

Shapes: B rows, H x W x C image, T tokens, G levels a token, L values a level, K = L^G values a token.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.errors import UsageError
from zoo.layers.levels import quantise, to_image

#: More values than this make a table of logits that costs more than the steps it saves.
MOST_VALUES = 4096


class Tokens:
    """How images become tokens, and tokens images.

    Attributes:
        places: T.
        values: K.
        digits: int32 [K, G], the levels that each token stands for.
    """

    def __init__(self, image_shape: tuple[int, int, int], levels: int, group: int) -> None:
        """
        Args:
            image_shape: (H, W, C).
            levels: L.
            group: G, which divides H W C.

        Raises:
            UsageError: it does not, or there are too many values.
        """
        size = int(np.prod(image_shape))
        if size % group:
            raise UsageError(f"group={group} does not divide the {size} values of an image.")
        if levels**group > MOST_VALUES:
            raise UsageError(
                f"{group} values of {levels} levels are one of {levels**group} tokens: at most {MOST_VALUES}."
            )
        self.image_shape, self.levels, self.group = image_shape, levels, group
        self.places, self.values = size // group, levels**group
        self.weights = levels ** np.arange(group - 1, -1, -1, dtype=np.int32)
        self.digits = (np.arange(self.values)[:, None] // self.weights % levels).astype(np.int32)

    def read(self, image: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C] in [0, 1] -> tokens int32 [B, T]."""
        return tf.reduce_sum(self.apart(quantise(image, self.levels)) * self.weights, -1)

    def apart(self, values: tf.Tensor) -> tf.Tensor:
        """What has the shape of an image [B, H, W, C] -> [B, T, G]."""
        return tf.reshape(values, (-1, self.places, self.group))

    def draw(self, tokens: tf.Tensor) -> tf.Tensor:
        """Tokens int32 [B, T] -> images float32 [B, H, W, C] in [0, 1]."""
        return tf.reshape(to_image(tf.gather(self.digits, tokens), self.levels), (-1, *self.image_shape))
