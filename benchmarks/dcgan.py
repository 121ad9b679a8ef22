"""How fast does DCGAN train, beside the machine's own matrix product and beside PyTorch?

    python benchmarks/dcgan.py
    python benchmarks/dcgan.py --torch /path/to/python    an interpreter that has PyTorch

The networks are the paper's, at 28x28 with 64 and 128 filters or at --image-size 64 with 128 to 1024; batch
128, Adam; one step of the discriminator and one of the generator, which learns from the same fakes. How it is
measured and counted: `benchmarks/peers.py`.
"""

from __future__ import annotations

import argparse

import keras
from peers import Trainer, add_options, compare, multiply_adds, random_images

from zoo import memory
from zoo.models.dcgan import DCGAN, Config


def operations(model: DCGAN) -> int:
    """Of one step, for each image of the batch."""
    make, judge = multiply_adds(model.generator), multiply_adds(model.discriminator)
    fakes = sum(make)
    # Real and fake images: forward, gradient of the kernels, gradient of all inputs but the images.
    discriminator = 2 * (sum(judge) + sum(judge) + sum(judge[1:]))
    # Forward and gradient of the inputs of D, down to the image; then of G's kernels and inputs.
    generator = sum(judge) + sum(judge) + sum(make) + sum(make[1:])
    return 2 * (fakes + discriminator + generator)


def make_model(side: int, width: int, jit: bool) -> DCGAN:
    keras.utils.set_random_seed(0)
    model = DCGAN(Config(image_shape=(side, side, 3 if side == 64 else 1), width=width))
    adam = {turn.name: keras.optimizers.Adam(2e-4, beta_1=0.5) for turn in model.turns()}
    model.compile(adam, jit_compile=jit)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=28, choices=(28, 64))
    parser.add_argument("--width", type=int, help="filters next to the image (64 at 28, 128 at 64)")
    add_options(parser, batch_size=128)
    options = parser.parse_args()
    memory.keep_freed()  # as the commands do
    side, width = options.image_size, options.width or {28: 64, 64: 128}[options.image_size]
    model = make_model(side, width, options.jit)
    batches = random_images(model.example_shape(), options.batch_size)
    trainer = Trainer(model, batches, options.batch_size)
    compare(trainer, operations(model), options, __file__, {"--image-size": side, "--width": width})


if __name__ == "__main__":
    main()
