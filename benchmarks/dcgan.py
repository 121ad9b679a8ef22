"""How fast does DCGAN train, beside the machine's own matrix product and beside PyTorch?

    python benchmarks/dcgan.py
    python benchmarks/dcgan.py --torch /path/to/python    an interpreter that has PyTorch

The networks are those of the paper at 28x28 with 128 and 64 filters, batch 128, Adam; one step of the
discriminator and one of the generator, which learns from the same fakes. Rounds of a 2048 x 2048 matrix
product, of training, and of the peer take turns, so that all see the same machine; the medians are printed as
one JSON document.

Operations are counted, a multiply-add as two, and only where a kernel meets the image: what a kernel does
with the zeros around it is not counted. Normalisation, activations, the optimizer and the noise count as
nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.models.dcgan import DCGAN, Config

SIZE = 2048
PEER = Path(__file__).with_name("dcgan_torch.py")


def matrix_product_rate(repeats: int = 12) -> float:
    """Operations a second of a float32 product of two 2048 x 2048 matrices, the best of several."""
    a = tf.random.stateless_normal((SIZE, SIZE), (1, 2))
    product = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, a)))
    product()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(seconds)


def pairs(large: int, small: int, kernel: int, stride: int) -> int:
    """How many pairs (position, tap) of a one-dimensional "same" convolution meet the image."""
    padding = max(0, (small - 1) * stride + kernel - large) // 2
    return sum(
        0 <= stride * position - padding + tap < large for position in range(small) for tap in range(kernel)
    )


def multiply_adds(network: keras.Sequential) -> list[int]:
    """Of one forward pass of one image: one number for each layer with a kernel."""
    counts = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            counts.append(math.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            kernel, stride = layer.kernel_size[0], layer.strides[0]
            sides = zip(layer.input.shape[1:3], layer.output.shape[1:3], strict=True)
            met = [pairs(max(side), min(side), kernel, stride) for side in sides]
            counts.append(math.prod(met) * math.prod(layer.kernel.shape[2:]))
    return counts


def operations(model: DCGAN) -> int:
    """Of one step, for each image of the batch."""
    make, judge = multiply_adds(model.generator), multiply_adds(model.discriminator)
    fakes = sum(make)
    # Real and fake images: forward, gradient of the kernels, gradient of all inputs but the images.
    discriminator = 2 * (sum(judge) + sum(judge) + sum(judge[1:]))
    # Forward and gradient of the inputs of D, down to the image; then of G's kernels and inputs.
    generator = sum(judge) + sum(judge) + sum(make) + sum(make[1:])
    return 2 * (fakes + discriminator + generator)


class Trainer:
    """A DCGAN that is trained as `gmzoo train` trains it, on random images in memory."""

    def __init__(self, width: int, batch: int, jit: bool) -> None:
        keras.utils.set_random_seed(0)
        self.model = DCGAN(Config(width=width))
        adam = {turn.name: keras.optimizers.Adam(2e-4, beta_1=0.5) for turn in self.model.turns()}
        self.model.compile(adam, jit_compile=jit)
        self.batch = batch
        images = np.random.default_rng(0).random((16 * batch, *self.model.config.image_shape), np.float32)
        data = tf.data.Dataset.from_tensor_slices({"image": images})
        self.data = data.batch(batch, drop_remainder=True).cache().repeat().prefetch(2)
        self.fit(5)

    def fit(self, steps: int) -> float:
        """Images a second."""
        start = time.perf_counter()
        self.model.fit(self.data.take(steps), shuffle=False, verbose=0)
        return self.batch * steps / (time.perf_counter() - start)


def peer_rate(python: str, width: int, batch: int, steps: int) -> tuple[str, dict[str, float]]:
    """PyTorch's version, and its images a second in each memory layout."""
    options = {"--width": width, "--batch-size": batch, "--steps": steps}
    arguments = [str(item) for pair in options.items() for item in pair]
    done = subprocess.run([python, str(PEER), *arguments], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["version"], found["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="filters next to the image")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    options = parser.parse_args()
    python = options.torch or (sys.executable if find_spec("torch") else None)
    trainer = Trainer(options.width, options.batch_size, options.jit)
    products, rates, peers, version = [matrix_product_rate()], [], [], ""
    for _ in range(options.rounds):
        rates.append(trainer.fit(options.steps))
        products.append(matrix_product_rate())
        if python:
            version, found = peer_rate(python, options.width, options.batch_size, options.steps)
            peers.append(max(found.values()))  # the better of its layouts
    rate, product = statistics.median(rates), statistics.median(products)
    each = operations(trainer.model)
    report = {
        "images_per_second": round(rate, 1),
        "rounds": [round(value, 1) for value in rates],
        "operations_per_image": each,
        "gigaflops": round(rate * each / 1e9, 1),
        "matrix_product_gigaflops": round(product / 1e9, 1),
        "share_of_matrix_product": round(rate * each / product, 3),
    }
    if peers:
        peer = statistics.median(peers)
        report["pytorch"] = {"version": version, "images_per_second": round(peer, 1), "rounds": peers}
        report["times_pytorch"] = round(rate / peer, 3)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
