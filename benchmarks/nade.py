"""How fast does NADE train and sample, beside a loop over the dimensions in PyTorch?

    python benchmarks/nade.py
    python benchmarks/nade.py --torch /path/to/python    an interpreter that has PyTorch

Training is the loss and its gradient for all parameters, for one batch of random binary images, in each
mode of the model: hidden states stored, recomputed, and compiled with XLA. Its speed depends on how many of
the pixels are 1, so that three densities are measured: that of binarized MNIST, a half, and the worst case.
Rounds of each mode and of the peer take turns, so that all see the same machine; the medians are printed as
Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from peers import add_torch, ask_peer

from zoo.models.nade import NADE, Config
from zoo.noise import RowNoise, StepNoise

DENSITIES = {"13 % ones, as binarized MNIST": 0.13, "half ones": 0.5, "all ones, the worst case": 2.0}
MODES = {
    "stored": {"memory": "stored"},
    "recomputed": {"memory": "recomputed"},
    "stored, XLA": {"memory": "stored", "jit_compile": True},
    "recomputed, XLA": {"memory": "recomputed", "jit_compile": True},
}
Run = Callable[[], object]


def model(side: int, hidden_units: int, memory: str = "stored", jit_compile: bool = False) -> NADE:
    """A NADE at which a sixth or so of the pixels are drawn as 1."""
    keras.utils.set_random_seed(0)
    made = NADE(Config(image_shape=(side, side, 1), hidden_units=hidden_units, memory=memory))
    made.compile({"likelihood": "adam"}, jit_compile=jit_compile)
    made.output_bias.assign(tf.fill(made.output_bias.shape, -1.9))
    return made


def training(nade: NADE, images: np.ndarray) -> Run:
    """The loss and its gradient, as a graph."""
    batch = {"image": tf.constant(images)}
    variables = [variable.value for variable in nade.trainable_variables]

    @tf.function(jit_compile=nade.jit_compile)
    def graph(image: tf.Tensor):
        with tf.GradientTape() as tape:
            loss, _ = nade.objective({"image": image}, {}, StepNoise(0, 0, len(images)))
        return loss, tape.gradient(loss, variables)

    return lambda: graph(batch["image"])[0].numpy()


def seconds(run: Run, repeats: int) -> float:
    """The median time of one call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def training_rates(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Examples a second of each mode at each density, and of the peer."""
    rows: list[dict[str, Any]] = []
    for name, density in DENSITIES.items():
        random = np.random.default_rng(0).random((options.batch_size, options.side, options.side, 1))
        images = (random < density).astype(np.float32)
        runs = {
            mode: training(model(options.side, options.hidden_units, **how), images)
            for mode, how in MODES.items()
        }
        for run in runs.values():
            run()
        rates: dict[str, list[float]] = {mode: [] for mode in runs}
        peers: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for mode, run in runs.items():
                rates[mode].append(options.batch_size / seconds(run, options.steps))
            if options.torch:
                arguments = {
                    "--dimensions": options.side**2,
                    "--hidden-units": options.hidden_units,
                    "--batch-size": options.batch_size,
                    "--steps": options.steps,
                    "--threads": os.cpu_count(),
                    "--density": density,
                }
                found = ask_peer(options.torch, __file__, arguments)
                loop = f"PyTorch {found['version']}, a loop"
                peers.setdefault(loop, []).append(found["examples_per_second"])
        peer = [statistics.median(each) for each in peers.values()]
        for mode, each in {**rates, **peers}.items():
            rate = statistics.median(each)
            times = rate / peer[0] if peer else None
            rows.append({"images": name, "mode": mode, "examples_per_second": rate, "times_pytorch": times})
    return rows


def train_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| images | mode | examples/s | times PyTorch |", "|---|---|---:|---:|"]
    for row in rows:
        times = "-" if row["times_pytorch"] is None else f"{row['times_pytorch']:.2f}"
        lines.append(f"| {row['images']} | {row['mode']} | {row['examples_per_second']:,.0f} | {times} |")
    return lines


def sample_table(options: argparse.Namespace) -> list[str]:
    """Milliseconds of one draw and of one score of what was drawn."""
    nade = model(options.side, options.hidden_units)
    seeds = tf.range(options.batch_size, dtype=tf.int64)
    sample = tf.function(lambda seeds: nade.sample(RowNoise(seeds)))
    score = tf.function(nade.log_prob)
    drawn = sample(seeds)
    runs = {"sample": lambda: sample(seeds).numpy(), "log_prob": lambda: score(drawn).numpy()}
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run, options.steps))
    found = {name: statistics.median(each) for name, each in times.items()}
    return [
        "| call | milliseconds | times log_prob |",
        "|---|---:|---:|",
        *(f"| {name} | {1e3 * each:.1f} | {each / found['log_prob']:.2f} |" for name, each in found.items()),
        "",
        f"{float(tf.reduce_mean(drawn)):.0%} of the pixels drawn are 1.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=28, help="height and width of the images")
    parser.add_argument("--hidden-units", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the first table alone, as JSON")
    add_torch(parser)
    options = parser.parse_args()
    if options.json:
        print(json.dumps(training_rates(options)))
        return
    print(f"{options.side**2} x {options.hidden_units}, batch {options.batch_size}, {os.cpu_count()} cores\n")
    print("\n".join([*train_table(training_rates(options)), "", *sample_table(options)]))
    if not options.torch:
        print("\nWithout PyTorch: it is not installed here; --torch names an interpreter that has it.")


if __name__ == "__main__":
    main()
