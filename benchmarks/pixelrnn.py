"""How fast does a Diagonal BiLSTM train, beside one that is written as it is told?

    python benchmarks/pixelrnn.py

Both have the same weights and give the same loss and the same gradients, which is looked at first. The plain
one skews the image to width W + H - 1 with blanks and runs `tf.scan` over its columns, a scan for each
direction; the gradient is TensorFlow's own. Timed is the loss and its gradient for all weights, for one batch
of random binary images. Rounds take turns, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from zoo.layers.pixel_lstm import Stream
from zoo.layers.raster import centred, log_prob_of
from zoo.models.pixelrnn import Config, PixelRNN


def skewed(x: tf.Tensor) -> tf.Tensor:
    """[B, H, W, F] -> [B, H, W + H - 1, F]: row i is moved right by i, and zeros fill up."""
    height = x.shape[1]
    rows = [tf.pad(x[:, row], [(0, 0), (row, height - 1 - row), (0, 0)]) for row in range(height)]
    return tf.stack(rows, 1)


def unskewed(x: tf.Tensor) -> tf.Tensor:
    """[B, H, W + H - 1, F] -> [B, H, W, F]."""
    height = x.shape[1]
    width = x.shape[2] - height + 1
    return tf.stack([x[:, row, row : row + width] for row in range(height)], 1)


def scanned(stream: Stream, x: tf.Tensor) -> tf.Tensor:
    """The states [B, H, W, h] of a stream over maps [B, H, W, F], by `tf.scan`."""
    height, width = x.shape[1:3]
    units = stream.state.shape[0]
    columns = tf.transpose(skewed(stream.inputs(x)), (2, 0, 1, 3))  # [W + H - 1, B, H, 4 h]
    beside, above = tf.split(stream.kernel.value, 2)
    kernel = tf.stack([above, beside])  # 2 x 1, down the column
    began = tf.range(width + height - 1)[:, None, None] >= tf.range(height)[:, None]  # [W + H - 1, H, 1]
    shape = (tf.shape(x)[0], height, units)
    first = tuple(tf.broadcast_to(each.value, shape) for each in (stream.state, stream.cell))
    top = tf.broadcast_to(stream.state.value, (tf.shape(x)[0], 1, units))

    def step(before, now):
        gates, live = now
        state, cell = before
        gates += tf.nn.conv1d(tf.concat([top, state], 1), kernel, 1, "VALID")
        i, f, o, g = tf.split(gates, 4, -1)
        new_cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        new_state = tf.sigmoid(o) * tf.tanh(new_cell)
        # A row that has not begun keeps its first state.
        return tf.where(live, new_state, state), tf.where(live, new_cell, cell)

    states, _ = tf.scan(step, (columns, began), first)
    return unskewed(tf.transpose(states, (1, 2, 0, 3)))


def plain_loss(model: PixelRNN, level: tf.Tensor) -> tf.Tensor:
    """The mean negative log-likelihood in nats of levels [B, H, W, C]."""
    image = centred(level, model.config.levels)
    x = model.first(image)
    for block in model.blocks:
        left = scanned(block.lstm.from_left, x)
        right = scanned(block.lstm.from_right, tf.concat([x, image], -1)[:, :, ::-1])[:, :, ::-1]
        x += block.expand(left + tf.pad(right, [(0, 0), (1, 0), (0, 0), (0, 0)])[:, :-1])
    return -tf.reduce_mean(tf.reduce_sum(log_prob_of(level, model.head(x)), (1, 2, 3)))


def graph_of(loss: Callable[[tf.Tensor], tf.Tensor], model: PixelRNN) -> Callable:
    """The loss and its gradients, of a batch."""
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(autograph=False)
    def run(batch: tf.Tensor):
        with tf.GradientTape() as tape:
            value = loss(batch)
        return value, tape.gradient(value, variables)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=28, help="height and width of the images")
    parser.add_argument("--layers", type=int, default=7)
    parser.add_argument("--hidden-features", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    shape = (options.side, options.side, 1)
    model = PixelRNN(
        Config(image_shape=shape, layers=options.layers, hidden_features=options.hidden_features)
    )
    x = tf.constant(np.random.default_rng(0).random((options.batch_size, *shape)) < 0.2, tf.float32)
    level = tf.cast(x, tf.int32)
    runs = {
        "tf.scan": (graph_of(lambda batch: plain_loss(model, batch), model), level),
        "zoo": (graph_of(lambda batch: -tf.reduce_mean(model.log_prob(batch)), model), x),
    }
    (scan_loss, scan_gradients), (loss, gradients) = (run(batch) for run, batch in runs.values())
    np.testing.assert_allclose(scan_loss, loss, rtol=1e-4)
    for theirs, ours in zip(scan_gradients, gradients, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-2, atol=1e-3 * np.abs(theirs).max() + 1e-7)

    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, (run, batch) in runs.items():
            start = time.perf_counter()
            for _ in range(options.steps):
                run(batch)[0].numpy()
            rates[name].append(options.steps * options.batch_size / (time.perf_counter() - start))
    found = {name: statistics.median(each) for name, each in rates.items()}
    print(f"Diagonal BiLSTM, {options.layers} layers, h = {options.hidden_features}, {options.side}x", end="")
    print(f"{options.side}, batch {options.batch_size}, {os.cpu_count()} cores: loss and gradients\n")
    print("| | images/s | times tf.scan |\n|---|---:|---:|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.0f} | {rate / found['tf.scan']:.1f} |")


if __name__ == "__main__":
    main()
