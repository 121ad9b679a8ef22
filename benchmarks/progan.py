"""How fast does ProGAN train, beside the machine's own matrix product and beside PyTorch?

    python benchmarks/progan.py
    python benchmarks/progan.py --torch /path/to/python    an interpreter that has PyTorch

Images of 32x32 in colour, at the last level, whose layers stand alone or (--fading) are half faded in; the
filters of the preset `shapes`, batches of 16, Adam, averages of the generator; one step of the discriminator
with its gradient penalty and one of the generator, which learns from the same fakes. How it is measured:
`benchmarks/peers.py`.

Each tap of a kernel counts at each position, those over the padding too, and of a layer that doubles the 9
taps at each position of the larger image, although it is computed with fewer.
"""

from __future__ import annotations

import argparse
import math

import keras
from peers import Trainer, add_options, compare, random_images

from zoo import memory
from zoo.models.progan import FIRST_SIDE, Config, ProGAN

FADE = 10**9


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


def make_model(options: argparse.Namespace) -> ProGAN:
    """At its last level, in the middle of its fade or after it."""
    keras.utils.set_random_seed(0)
    side = options.image_size
    config = Config(
        image_shape=(side, side, 3), code_size=64, channels=options.channels,
        most_channels=options.most_channels, stable_steps=(1,), fade_steps=(FADE,),
    )  # fmt: skip
    model = ProGAN(config)
    adam = {
        turn: keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)
        for turn in ("discriminator", "generator")
    }
    model.compile(adam, averages={"generator": 0.999}, jit_compile=options.jit)
    model.choose_turns(first_step(model, options.fading))
    return model


def first_step(model: ProGAN, fading: bool) -> int:
    return model.first_steps[-2] + FADE // 2 if fading else model.first_steps[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--most-channels", type=int, default=32)
    parser.add_argument("--fading", action="store_true", help="the last level is half faded in")
    add_options(parser, batch_size=16)
    options = parser.parse_args()
    memory.keep_freed()  # as the commands do
    model = make_model(options)
    batches = random_images(model.example_shape(), options.batch_size)
    trainer = Trainer(model, batches, options.batch_size, first_step(model, options.fading))
    arguments = {
        "--image-size": options.image_size,
        "--channels": options.channels,
        "--most-channels": options.most_channels,
        "--fading": options.fading,
    }
    compare(trainer, operations(model), options, __file__, arguments)


if __name__ == "__main__":
    main()
