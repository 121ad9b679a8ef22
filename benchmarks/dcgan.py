"""How fast does DCGAN train, beside the machine's own matrix product and beside PyTorch?

    python benchmarks/dcgan.py
    python benchmarks/dcgan.py --torch /path/to/python    an interpreter that has PyTorch

The networks are the paper's, at 28x28 with 64 and 128 filters or at --image-size 64 with 128 to 1024; batch
128, Adam; one step of the discriminator and one of the generator, which learns from the same fakes. Matrix
products of 2048 x 2048, training steps and the peer take short turns, so that all see the same machine, whose
clock changes within seconds; medians are printed as one JSON document.

Operations are counted as usual, a multiply-add as two: each tap of a kernel at each position of the smaller
image, those over the padding too. Normalisation, activations, the optimizer and the noise count as nothing.
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


def multiply_adds(network: keras.Sequential) -> list[int]:
    """Of one forward pass of one image: one number for each layer with a kernel."""
    counts = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            counts.append(math.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            positions = min(math.prod(side.shape[1:3]) for side in (layer.input, layer.output))
            counts.append(positions * math.prod(layer.kernel.shape))
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


class Trainer(keras.callbacks.Callback):
    """A DCGAN that is trained as `gmzoo train` trains it, on random images in memory."""

    def __init__(self, side: int, width: int, batch: int, jit: bool) -> None:
        super().__init__()
        keras.utils.set_random_seed(0)
        self.network = DCGAN(Config(image_shape=(side, side, 3 if side == 64 else 1), width=width))
        adam = {turn.name: keras.optimizers.Adam(2e-4, beta_1=0.5) for turn in self.network.turns()}
        self.network.compile(adam, jit_compile=jit)
        self.batch = batch
        shape = (4 * batch, *self.network.config.image_shape)
        data = tf.data.Dataset.from_tensor_slices(
            {"image": np.random.default_rng(0).random(shape, np.float32)}
        )
        self.data = data.batch(batch, drop_remainder=True).cache().repeat().prefetch(2)
        self.moments: list[float] = []
        self.rates(3)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.moments.append(time.perf_counter())

    def rates(self, steps: int) -> list[float]:
        """Images a second, one figure for each step but the first."""
        self.moments = []
        self.network.fit(self.data.take(steps), shuffle=False, verbose=0, callbacks=[self])
        return [self.batch / seconds for seconds in np.diff(self.moments)]


def peer_rates(
    python: str, side: int, width: int, batch: int, steps: int
) -> tuple[str, dict[str, list[float]]]:
    """PyTorch's version, and in each memory layout its images a second, one figure for each step."""
    options = {"--image-size": side, "--width": width, "--batch-size": batch, "--steps": steps}
    arguments = [str(item) for pair in options.items() for item in pair]
    done = subprocess.run([python, str(PEER), *arguments], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["version"], found["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=28, choices=(28, 64))
    parser.add_argument("--width", type=int, help="filters next to the image (64 at 28, 128 at 64)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    options = parser.parse_args()
    python = options.torch or (sys.executable if find_spec("torch") else None)
    side, width = options.image_size, options.width or {28: 64, 64: 128}[options.image_size]
    trainer, product = Trainer(side, width, options.batch_size, options.jit), Product()
    products, rates, peers, version = product.rates(10), [], [], ""
    for _ in range(options.rounds):
        rates += trainer.rates(options.steps)
        products += product.rates(10)
        if python:
            version, found = peer_rates(python, side, width, options.batch_size, options.steps)
            peers += max(found.values(), key=statistics.median)  # the better of its layouts
    rate, gemm = statistics.median(rates), statistics.median(products)
    each = operations(trainer.network)
    report = {
        "images_per_second": round(rate, 1),
        "operations_per_image": each,
        "gigaflops": round(rate * each / 1e9, 1),
        "matrix_product_gigaflops": round(gemm / 1e9, 1),
        "share_of_matrix_product": round(rate * each / gemm, 3),
    }
    if peers:
        peer = statistics.median(peers)
        report["pytorch"] = {"version": version, "images_per_second": round(peer, 1)}
        report["times_pytorch"] = round(rate / peer, 3)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
