"""How fast does ProGAN train, beside the machine's own matrix product and beside PyTorch?

    python benchmarks/progan.py
    python benchmarks/progan.py --torch /path/to/python    an interpreter that has PyTorch

Images of 32x32 in colour, at the last level, whose layers stand alone or (--fading) are half faded in; the
filters of the preset `shapes`, batches of 16, Adam, averages of the generator; one step of the discriminator
with its gradient penalty and one of the generator, which learns from the same fakes. Matrix products of
2048 x 2048, training steps and the peer take short turns, so that all see the same machine, whose clock
changes within seconds; medians are printed as one JSON document.

Operations are counted as usual, a multiply-add as two: each tap of a kernel at each position, those over the
padding too, and of a layer that doubles the 9 taps at each position of the larger image, although it is
computed with fewer. Norms, activations, the optimizer and the noise count as nothing.
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

from zoo import memory
from zoo.models.progan import FIRST_SIDE, Config, ProGAN

SIZE = 2048
PEER = Path(__file__).with_name("progan_torch.py")


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


def multiply_adds(model: ProGAN) -> tuple[int, int, int]:
    """Of one forward pass of one image: of G, of D, and of D's layers that see an image."""

    def of(layer: keras.layers.Layer, side: int = 1) -> int:
        return side**2 * math.prod(layer.kernel.shape)

    level, make, judge = model.level, model.generator, model.discriminator
    sides = [FIRST_SIDE << each for each in range(level + 1)]
    faded = sides[-1 - model.fading :]
    made = of(make.first) + sum(map(of, make.convs, sides)) + sum(map(of, make.doubling, sides[1:]))
    made += sum(map(of, make.to_image[level - model.fading :], faded))
    seen = sum(map(of, judge.from_image[level - model.fading :], faded))
    judged = seen + sum(map(of, judge.convs, sides[1:])) + sum(map(of, judge.halving, sides[1:]))
    return made, judged + of(judge.last_conv, sides[0]) + of(judge.hidden) + of(judge.output_layer), seen


def operations(model: ProGAN) -> int:
    """Of one step, for each image of the batch."""
    make, judge, seen = multiply_adds(model)
    # Real and fake images: forward, gradient of the kernels, gradient of all inputs but the images.
    discriminator = 2 * (judge + judge + judge - seen)
    # Forward, the gradient of the image; and backward through these two: of each product two products.
    penalty = 2 * judge + 2 * judge + 2 * judge - seen
    # Forward and gradient of the inputs of D, down to the image; then of G's kernels and inputs.
    generator = judge + judge + make + make
    return 2 * (make + discriminator + penalty + generator)


class Trainer(keras.callbacks.Callback):
    """A ProGAN that is trained as `gmzoo train` trains it, on random images in memory."""

    def __init__(self, side: int, channels: int, most: int, batch: int, fading: bool, jit: bool) -> None:
        super().__init__()
        keras.utils.set_random_seed(0)
        config = Config(
            image_shape=(side, side, 3), code_size=64, channels=channels, most_channels=most,
            stable_steps=(1,), fade_steps=(10**9,),
        )  # fmt: skip
        self.network = ProGAN(config)
        adam = {
            turn: keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)
            for turn in ("discriminator", "generator")
        }
        self.network.compile(adam, averages={"generator": 0.999}, jit_compile=jit)
        first = self.network.first_steps[-2 if fading else -1] + fading * 5 * 10**8
        self.network.step.assign(first)
        self.network.choose_turns(first)
        self.batch = batch
        images = np.random.default_rng(0).random((4 * batch, side, side, 3), np.float32)
        data = tf.data.Dataset.from_tensor_slices({"image": images})
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


def peer_rates(python: str, arguments: list[str]) -> tuple[str, dict[str, list[float]]]:
    """PyTorch's version, and in each of its forms its images a second, one figure for each step."""
    done = subprocess.run([python, str(PEER), *arguments], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["version"], found["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--most-channels", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--fading", action="store_true", help="the last level is half faded in")
    parser.add_argument("--steps", type=int, default=30, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    options = parser.parse_args()
    memory.keep_freed()  # as the commands do
    python = options.torch or (sys.executable if find_spec("torch") else None)
    shape = (options.image_size, options.channels, options.most_channels, options.batch_size)
    trainer, product = Trainer(*shape, options.fading, options.jit), Product()
    names = ("--image-size", "--channels", "--most-channels", "--batch-size")
    arguments = [str(item) for pair in zip(names, shape, strict=True) for item in pair]
    arguments += ["--steps", str(options.steps), *(["--fading"] if options.fading else [])]
    products, rates, peers, version = product.rates(10), [], [], ""
    for _ in range(options.rounds):
        rates += trainer.rates(options.steps)
        products += product.rates(10)
        if python:
            version, found = peer_rates(python, arguments)
            peers += max(found.values(), key=statistics.median)  # the better of its forms
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
