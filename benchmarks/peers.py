"""What benchmarks of training share: a clock, the machine's own matrix product, and the same in PyTorch.

Matrix products of 2048 x 2048, training steps and the peer take short turns, so that all see the same
machine, whose clock changes within seconds; medians are printed as one JSON document.

Operations are counted as usual, a multiply-add as two; normalisation, activations, the optimizer and the
noise count as nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.base import GenerativeModel

SIZE = 2048


class Product:
    """A float32 product of two 2048 x 2048 matrices."""

    def __init__(self) -> None:
        a = tf.random.stateless_normal((SIZE, SIZE), (1, 2))
        self.product = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, a)))
        self.rates(2)

    def rates(self, repeats: int) -> list[float]:
        """Operations a second, one figure for each repetition."""
        found = []
        for _ in range(repeats):
            start = time.perf_counter()
            self.product().numpy()
            found.append(2 * SIZE**3 / (time.perf_counter() - start))
        return found


class Trainer(keras.callbacks.Callback):
    """A model that is trained as `gmzoo train` trains it, with a clock at each step."""

    def __init__(
        self,
        network: GenerativeModel,
        batches: Callable[[int, int], tf.data.Dataset],
        rows: int,
        step: int = 0,
    ) -> None:
        """
        Args:
            network: compiled.
            batches: gives so many batches, from a step on.
            rows: examples of a batch.
            step: where the training begins.
        """
        super().__init__()
        self.network, self.batches, self.rows, self.step = network, batches, rows, step
        network.step.assign(step)
        self.moments: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        self.network.choose_turns(self.step)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.step += 1
        self.moments.append(time.perf_counter())

    def seconds(self, steps: int) -> list[float]:
        """Of each of so many steps, after one that is not timed, as it waits for the first batch."""
        self.moments = []
        self.network.fit(
            self.batches(steps + 1, self.step),
            steps_per_epoch=steps + 1,
            shuffle=False,
            verbose=0,
            callbacks=[self],
        )
        return np.diff(self.moments).tolist()

    def rates(self, steps: int) -> list[float]:
        """Examples a second, one figure for each step."""
        return [self.rows / each for each in self.seconds(steps)]


def random_images(shape: Sequence[int], rows: int) -> Callable[[int, int], tf.data.Dataset]:
    """Batches of images of noise, kept in memory."""
    images = np.random.default_rng(0).random((4 * rows, *shape), np.float32)
    data = tf.data.Dataset.from_tensor_slices({"image": images})
    data = data.batch(rows, drop_remainder=True).cache().repeat().prefetch(2)
    return lambda steps, start: data.take(steps)


def multiply_adds(network: keras.Sequential) -> list[int]:
    """Of one forward pass of one example: one number for each layer with a kernel.

    Each tap of a kernel at each position of the smaller image counts, those over the padding too.
    """
    counts = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            counts.append(math.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            positions = min(math.prod(side.shape[1:3]) for side in (layer.input, layer.output))
            counts.append(positions * math.prod(layer.kernel.shape))
    return counts


def add_options(parser: argparse.ArgumentParser, batch_size: int) -> None:
    """The options that all these benchmarks have."""
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--steps", type=int, default=30, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    add_torch(parser)


def add_torch(parser: argparse.ArgumentParser) -> None:
    """The option `torch`; without it the present interpreter is taken where it has PyTorch, else None."""
    here = sys.executable if find_spec("torch") else None
    parser.add_argument("--torch", metavar="PYTHON", default=here, help="an interpreter that has PyTorch")


def ask_peer(python: str, benchmark: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """What the peer of a benchmark prints: `dcgan_torch.py` is that of `dcgan.py`.

    Args:
        python: an interpreter that has PyTorch.
        benchmark: the file of the benchmark.
        arguments: option -> value; true stands alone, and false is left out.
    """
    path = Path(benchmark)
    words = [python, str(path.with_stem(f"{path.stem}_torch"))]
    for option, value in arguments.items():
        words += [option] * (value is not False) + [str(value)] * (not isinstance(value, bool))
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(
    trainer: Trainer,
    operations: int,
    options: argparse.Namespace,
    benchmark: str,
    arguments: Mapping[str, object],
) -> None:
    """Prints how fast a model trains, beside a matrix product and its peer.

    Args:
        trainer: of the model.
        operations: of one step, for each example of the batch.
        options: those of `add_options`.
        benchmark: the file of the benchmark.
        arguments: what the peer is asked for, beside the batch and the steps.
    """
    product = Product()
    trainer.rates(3)
    products, rates, peers, version = product.rates(10), [], [], ""
    for _ in range(options.rounds):
        rates += trainer.rates(options.steps)
        products += product.rates(10)
        if options.torch:
            own = {"--batch-size": options.batch_size, "--steps": options.steps}
            found = ask_peer(options.torch, benchmark, {**arguments, **own})
            version = found["version"]
            peers += max(found["images_per_second"].values(), key=statistics.median)  # its better form
    rate, gemm = statistics.median(rates), statistics.median(products)
    report: dict[str, Any] = {
        "images_per_second": round(rate, 1),
        "operations_per_image": operations,
        "gigaflops": round(rate * operations / 1e9, 1),
        "matrix_product_gigaflops": round(gemm / 1e9, 1),
        "share_of_matrix_product": round(rate * operations / gemm, 3),
    }
    if peers:
        peer = statistics.median(peers)
        report["pytorch"] = {"version": version, "images_per_second": round(peer, 1)}
        report["times_pytorch"] = round(rate / peer, 3)
    print(json.dumps(report, indent=1))
