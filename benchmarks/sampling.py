"""How fast do the models sample that draw one value after another?

    python benchmarks/sampling.py
    python benchmarks/sampling.py --passes 784      times the naive sampler in full

Beside each sampler stands the naive one, which runs the whole network again for every value: its time is that
of chained passes over the batch, some of which are timed (`--passes`) and all counted. Then each sampler is
timed at three sizes: the exponent is the slope of log(seconds) over log(values). Weights are random; what is
timed does not depend on them, but for nade's, which are faster on dark images.

A model is added by a line in `MODELS`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from zoo.base import GenerativeModel
from zoo.models import imagegpt, nade, pixelcnn, pixelrnn
from zoo.noise import RowNoise


def make_nade(side: int) -> GenerativeModel:
    model = nade.NADE(nade.Config(image_shape=(side, side, 1), hidden_units=500))
    model.output_bias.assign(tf.fill(model.output_bias.shape, -1.9))  # a sixth or so of the pixels are 1
    return model


#: Name -> a model for images of a side.
MODELS: dict[str, Callable[[int], GenerativeModel]] = {
    "pixelcnn": lambda side: pixelcnn.PixelCNN(
        pixelcnn.Config(image_shape=(side, side, 1), layers=7, hidden_features=32)
    ),
    "pixelcnn, gated": lambda side: pixelcnn.PixelCNN(
        pixelcnn.Config(image_shape=(side, side, 1), layers=7, hidden_features=32, gated=True)
    ),
    "pixelrnn, diagonal_bilstm": lambda side: pixelrnn.PixelRNN(
        pixelrnn.Config(image_shape=(side, side, 1), layers=7, hidden_features=16)
    ),
    "pixelrnn, row_lstm": lambda side: pixelrnn.PixelRNN(
        pixelrnn.Config(image_shape=(side, side, 1), layers=7, hidden_features=16, layer="row_lstm")
    ),
    "imagegpt": lambda side: imagegpt.ImageGPT(
        imagegpt.Config(image_shape=(side, side, 1), width=64, depth=2, heads=4)
    ),
    "nade": make_nade,
}


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The median time of one call, after one that is not timed."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sampling(model: GenerativeModel, rows: int) -> Callable[[], object]:
    """Draws `rows` images."""
    graph = tf.function(lambda seeds: model.sample(RowNoise(seeds)), autograph=False)
    seeds = tf.range(rows, dtype=tf.int64)
    return lambda: graph(seeds).numpy()


def passing(model: GenerativeModel, rows: int, passes: int) -> Callable[[], object]:
    """Runs the whole network `passes` times, each on what the one before has left."""

    def again(index: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # No probability is above 1, but the graph must wait for it.
        impossible = model.log_prob(x)[:, None, None, None] > 1.0
        return index + 1, tf.where(impossible, 1.0 - x, x)

    @tf.function(autograph=False)
    def graph(x: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(lambda index, _: index < passes, again, (0, x))[1]

    x = tf.constant(np.random.default_rng(0).random((rows, *model.example_shape())) < 0.2, tf.float32)
    return lambda: graph(x).numpy()


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of log(time) over log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=64, help="images drawn at a time")
    parser.add_argument("--side", type=int, default=28, help="of the images that the naive sampler draws")
    parser.add_argument("--sides", type=int, nargs="+", default=[14, 28, 56], help="for the exponent")
    parser.add_argument("--passes", type=int, default=28, help="of the naive sampler that are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    rows, sides = options.rows, sorted({*options.sides, options.side})
    print(f"{rows} images, {os.cpu_count()} cores; seconds. Naive: {options.passes} passes are timed.\n")
    print("| model |", *(f"{side}x{side} |" for side in sides), "exponent |", end=" ")
    print(f"naive {options.side}x{options.side} | times faster |")
    print("|---|", "---:|" * (len(sides) + 3), sep="")
    for name in options.models:
        times = {}
        for side in sides:
            model = MODELS[name](side)
            times[side] = seconds(sampling(model, rows), options.repeats)
            if side == options.side:
                passes = min(options.passes, model.dimensions)
                one = seconds(passing(model, rows, passes), options.repeats) / passes
                naive = one * model.dimensions
        slope = exponent([side**2 for side in times], [*times.values()])
        cells = [*(f"{each:.2f}" for each in times.values()), f"{slope:.2f}", f"{naive:.1f}"]
        print(f"| {name} | {' | '.join(cells)} | {naive / times[options.side]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
