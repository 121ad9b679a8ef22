"""The peer of `benchmarks/vae.py`: the same networks, batch, optimizer and bound in PyTorch.

    python benchmarks/vae_torch.py --width 16 --batch-size 100 --steps 60

Prints one JSON document. It imports nothing of gmzoo, so that any interpreter with PyTorch runs it.
"""

from __future__ import annotations

import argparse

import torch
from peers_torch import add_options, rates_of, report
from torch import nn
from torch.nn import functional

SIDE, FIRST, SLOPE = 28, 7, 0.2
SMALLEST_SCALE = 1e-3


def encoder(width: int, hidden: int, code: int) -> nn.Module:
    """Image [B, 1, 28, 28] -> mean and raw scale of the code [B, 2 d]."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, 2, padding=2),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(width, 2 * width, 5, 2, padding=2),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Flatten(),
        nn.Linear(FIRST**2 * 2 * width, hidden),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Linear(hidden, 2 * code),
    )


def decoder(width: int, hidden: int, code: int) -> nn.Module:
    """Code [B, d] -> logits [B, 1, 28, 28]."""
    return nn.Sequential(
        nn.Linear(code, hidden),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Linear(hidden, FIRST**2 * 2 * width),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Unflatten(1, (2 * width, FIRST, FIRST)),
        nn.ConvTranspose2d(2 * width, width, 5, 2, padding=2, output_padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.ConvTranspose2d(width, 1, 5, 2, padding=2, output_padding=1),
    )


def measure(options: argparse.Namespace, channels_last: bool) -> list[float]:
    """Images a second, one figure for each step."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    shape = options.width, options.hidden, options.code_size
    encode, decode = (net(*shape).to(memory_format=layout) for net in (encoder, decoder))
    adam = torch.optim.Adam([*encode.parameters(), *decode.parameters()], lr=2e-3, eps=1e-7)
    batch = options.batch_size
    images = torch.rand(4 * batch, 1, SIDE, SIDE).to(memory_format=layout)

    def step(index: int) -> None:
        image = (images[index % 4 * batch :][:batch] >= 0.5).float()
        mean, raw_scale = encode(image).chunk(2, 1)
        scale = functional.softplus(raw_scale) + SMALLEST_SCALE
        logits = decode(mean + scale * torch.randn(batch, options.code_size))
        reconstruction = functional.binary_cross_entropy_with_logits(logits, image, reduction="sum") / batch
        divergence = 0.5 * (mean.square() + scale.square() - 1.0 - 2.0 * scale.log()).sum(1).mean()
        adam.zero_grad(set_to_none=True)
        (reconstruction + divergence).backward()
        adam.step()

    return rates_of(step, batch, options.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--code-size", type=int, default=16)
    add_options(parser, batch_size=100)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layouts = {"contiguous": False, "channels_last": True}
    rates = {layout: measure(options, last) for layout, last in layouts.items()}
    report(rates)


if __name__ == "__main__":
    main()
