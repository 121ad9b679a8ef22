"""A network that predicts any dimension from any others, and so is a NADE for every ordering at once.

It is told which dimensions are known: its input is x with the unknown ones set to 0, and that mask itself. In
training the known ones are a random subset. Along any one ordering it then gives every conditional, and each
known dimension changes the activation of the first hidden layer by its own two rows of weights:

    a = c + sum_{j known} (x_j W_j + M_j)      h = act(... act(a))      logit_d = b_d + V_d h

Shapes: B rows, D dimensions, U units a hidden layer.

References:
    Uria, Murray, Larochelle: A Deep and Tractable Density Estimator, arXiv 1310.1757, sections 3 and 4.
"""

from __future__ import annotations

from typing import final

import keras
import tensorflow as tf

from zoo.layers.initializers import normal
from zoo.layers.nade import ACTIVATIONS, Activation


@final
class Orderless(keras.layers.Layer):
    """The log-odds of each binary dimension, given those that are known."""

    def __init__(self, size: int, units: int, layers: int, activation: Activation) -> None:
        """
        Args:
            size: D.
            units: U.
            layers: how many hidden layers, at least 1.
            activation: of the hidden layers.
        """
        super().__init__(name="orderless")
        self.act, _ = ACTIVATIONS[activation]
        self.input_weights = self.add_weight(
            shape=(size, units), initializer="glorot_uniform", name="input_weights"
        )
        self.mask_weights = self.add_weight(
            shape=(size, units), initializer="glorot_uniform", name="mask_weights"
        )
        self.hidden_bias = self.add_weight(shape=(units,), initializer="zeros", name="hidden_bias")
        self.deeper = [keras.layers.Dense(units, activation) for _ in range(layers - 1)]
        for layer in self.deeper:
            layer.build((None, units))
        self.output_weights = self.add_weight(
            shape=(size, units), initializer=normal(0.01), name="output_weights"
        )
        self.output_bias = self.add_weight(shape=(size,), initializer="zeros", name="output_bias")

    def hidden(self, activation: tf.Tensor) -> tf.Tensor:
        """The last hidden layer float32 [B, U], from the activation of the first [B, U]."""
        h = self.act(activation)
        for layer in self.deeper:
            h = layer(h)
        return tf.cast(h, tf.float32)

    def logits(self, x: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """The log-odds of every dimension at once.

        Args:
            x: float32 [B, D] of 0. and 1.
            known: bool [B, D].

        Returns:
            float32 [B, D]; unknown values of `x` have no influence.
        """
        mask = tf.cast(known, tf.float32)
        a = (x * mask) @ self.input_weights.value + mask @ self.mask_weights.value + self.hidden_bias.value
        return tf.matmul(self.hidden(a), self.output_weights.value, transpose_b=True) + self.output_bias.value

    def walk(
        self, x: tf.Tensor, given: tf.Tensor, order: tf.Tensor, thresholds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes the dimensions of each row one after another: the given ones as they are, the others drawn.

        Args:
            x: float32 [B, D] of 0. and 1.; what is not given does not count.
            given: bool [B, D].
            order: int32 [B, D], a permutation a row.
            thresholds: float32 [B, D]; a dimension is drawn as 1 where its log-odds are larger.

        Returns:
            The rows, float32 [B, D], and log p of each in nats [B]: the sum over all dimensions of the log
            probability of a value given those before it.
        """
        W, M, V, b = (
            each.value
            for each in (self.input_weights, self.mask_weights, self.output_weights, self.output_bias)
        )
        places = tf.transpose(order)  # [D, B]
        x_in_order, given_in_order, threshold_in_order = (
            tf.transpose(tf.gather(each, order, batch_dims=1)) for each in (x, given, thresholds)
        )

        def step(t, a, values, log_prob):
            d = places[t]  # [B]
            logit = tf.reduce_sum(self.hidden(a) * tf.gather(V, d), -1) + tf.gather(b, d)
            drawn = tf.cast(logit > threshold_in_order[t], tf.float32)
            value = tf.where(given_in_order[t], x_in_order[t], drawn)
            log_prob += value * logit - tf.math.softplus(logit)
            a += value[:, None] * tf.gather(W, d) + tf.gather(M, d)
            return t + 1, a, values.write(t, value), log_prob

        rows, size = tf.shape(x)[0], order.shape[1]
        start = tf.broadcast_to(self.hidden_bias.value, (rows, self.hidden_bias.shape[0]))
        values = tf.TensorArray(tf.float32, size, element_shape=(None,))
        *_, values, log_prob = tf.while_loop(
            lambda t, *_: t < size, step, (0, start, values, tf.zeros([rows]))
        )
        place = tf.argsort(order)  # where each dimension stands in its row's order
        return tf.gather(tf.transpose(values.stack()), place, batch_dims=1), log_prob
