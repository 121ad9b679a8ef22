"""A pool of generated images of earlier steps, which a discriminator sees beside those of the present one.

Shapes: B rows of a replica, R replicas, H x W x C image, S the size of the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import keras
import tensorflow as tf


@final
class ImagePool(keras.layers.Layer):
    """Keeps S images. Of those that come, about half are exchanged for one that it keeps.

    Until it is full it keeps each image and gives it back; then it gives back an image as it came, or, as
    often, one at a place that is drawn, and keeps the new one there. Its images are variables, so that a
    checkpoint holds them. All replicas keep the same pool, which sees the images of all of them one after the
    other: several devices train as one does, and nothing is ever averaged.

    References:
        Shrivastava et al.: Learning from Simulated and Unsupervised Images through Adversarial Training,
        arXiv 1612.07828, section 2.3. This variant is that of CycleGAN's code.
    """

    def __init__(self, size: int, image_shape: Sequence[int], **kwargs: Any) -> None:
        """
        Args:
            size: S; with 0 every image is given back as it came.
            image_shape: (H, W, C).
        """
        super().__init__(**kwargs, autocast=False, dtype="float32")
        self.size, self.image_shape = size, tuple(image_shape)
        if size:
            # Every replica assigns the same values: any of them will do.
            same: dict[str, Any] = {"trainable": False, "aggregation": "only_first_replica"}
            self.images = self.add_weight((size, *image_shape), "zeros", name="images", **same)
            self.filled = self.add_weight((), "zeros", dtype="int32", name="filled", **same)

    def call(self, images: tf.Tensor, swap: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        """Exchanges images.

        Args:
            images: float32 [B, H, W, C].
            swap, place: U[0, 1) a row, [B]: whether to exchange it, and where.

        Returns:
            float32 [B, H, W, C].
        """
        if not self.size:
            return images
        everywhere = [of_all_replicas(each) for each in (images, swap, place)]
        incoming, swaps, places = everywhere[0], everywhere[1] < 0.5, everywhere[2]
        places = tf.minimum(tf.cast(places * self.size, tf.int32), self.size - 1)
        total = tf.shape(incoming)[0]

        def exchange(
            row: tf.Tensor, kept: tf.Tensor, filled: tf.Tensor, given: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
            full = filled >= self.size
            at = tf.where(full, places[row], filled)
            old, new = kept[at], incoming[row]
            given = given.write(row, tf.where(full & swaps[row], old, new))
            stored = tf.where(full & ~swaps[row], old, new)
            kept = tf.tensor_scatter_nd_update(kept, at[None, None], stored[None])
            return row + 1, kept, tf.minimum(filled + 1, self.size), given

        given = tf.TensorArray(tf.float32, total, element_shape=self.image_shape)
        start = (tf.constant(0), tf.convert_to_tensor(self.images), tf.convert_to_tensor(self.filled), given)
        _, kept, filled, given = tf.while_loop(lambda row, *_: row < total, exchange, start)
        self.images.assign(kept)
        self.filled.assign(filled)
        rows, context = tf.shape(images)[0], tf.distribute.get_replica_context()
        first = rows * (context.replica_id_in_sync_group if context else 0)
        return tf.ensure_shape(given.stack()[first : first + rows], images.shape)


def of_all_replicas(x: tf.Tensor) -> tf.Tensor:
    """[B, ...] of each replica -> [R * B, ...], the same on all of them, in their order."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    rows = tf.shape(x)[0]
    before = rows * context.replica_id_in_sync_group
    behind = rows * (context.num_replicas_in_sync - 1) - before
    rest = [[0, 0]] * (x.shape.rank - 1)
    # A sum of rows that are 0 everywhere else: it is exact.
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.pad(x, [[before, behind], *rest]))
