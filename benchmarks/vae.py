"""How fast does the VAE train, beside the machine's own matrix product and beside PyTorch?

    python benchmarks/vae.py
    python benchmarks/vae.py --torch /path/to/python    an interpreter that has PyTorch

The convolutional networks of the preset `glyphs`, 28x28, a Bernoulli for each pixel; batch 100, Adam. How it
is measured and counted: `benchmarks/peers.py`.
"""

from __future__ import annotations

import argparse

import keras
from peers import Trainer, add_options, compare, multiply_adds, random_images

from zoo import memory
from zoo.models.vae import VAE, Config


def operations(model: VAE) -> int:
    """Of one step, for each image of the batch."""
    encode, decode = multiply_adds(model.encoder), multiply_adds(model.decoder)
    # Forward, gradient of the kernels, gradient of all inputs but the image; that of the code is wanted.
    return 2 * (sum(encode) + sum(encode) + sum(encode[1:]) + 3 * sum(decode))


def make_model(width: int, hidden: int, code: int, jit: bool) -> VAE:
    keras.utils.set_random_seed(0)
    config = Config(
        network="convolutional", width=width, encoder_units=(hidden,), decoder_units=(hidden,),
        code_size=code, activation="leaky_relu",
    )  # fmt: skip
    model = VAE(config)
    model.compile({"elbo": keras.optimizers.Adam(2e-3)}, jit_compile=jit)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16, help="filters next to the image")
    parser.add_argument("--hidden", type=int, default=128, help="units of the dense layers")
    parser.add_argument("--code-size", type=int, default=16)
    add_options(parser, batch_size=100)
    options = parser.parse_args()
    memory.keep_freed()  # as the commands do
    model = make_model(options.width, options.hidden, options.code_size, options.jit)
    batches = random_images(model.example_shape(), options.batch_size)
    arguments = {"--width": options.width, "--hidden": options.hidden, "--code-size": options.code_size}
    trainer = Trainer(model, batches, options.batch_size)
    compare(trainer, operations(model), options, __file__, arguments)


if __name__ == "__main__":
    main()
