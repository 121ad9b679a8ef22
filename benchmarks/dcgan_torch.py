"""The peer of `benchmarks/dcgan.py`: the same networks, batch, optimizer and order of updates in PyTorch.

    python benchmarks/dcgan_torch.py --width 64 --batch-size 128 --steps 60

Prints one JSON document. It imports nothing of gmzoo, so that any interpreter with PyTorch runs it.
"""

from __future__ import annotations

import argparse

import torch
from peers_torch import add_options, rates_of, report
from torch import nn
from torch.nn import functional

CODE = 100


def generator(side: int, width: int) -> nn.Module:
    """Code [B, 100] -> image [B, C, side, side] in [-1, 1]."""
    doublings = {28: 2, 64: 4}[side]
    filters, first = width << (doublings - 1), side >> doublings
    layers = [
        nn.Linear(CODE, first * first * filters, bias=False),
        nn.BatchNorm1d(first * first * filters),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (filters, first, first)),
    ]
    for _ in range(doublings - 1):
        layers += [
            nn.ConvTranspose2d(filters, filters // 2, 5, 2, padding=2, output_padding=1, bias=False),
            nn.BatchNorm2d(filters // 2),
            nn.ReLU(inplace=True),
        ]
        filters //= 2
    last = nn.ConvTranspose2d(filters, channels(side), 5, 2, padding=2, output_padding=1, bias=False)
    return nn.Sequential(*layers, last, nn.Tanh())


def discriminator(side: int, width: int) -> nn.Module:
    """Image [B, C, side, side] -> logit [B, 1]."""
    doublings = {28: 2, 64: 4}[side]
    layers = [nn.Conv2d(channels(side), width, 5, 2, padding=2, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for index in range(1, doublings):
        filters = width << index
        layers += [
            nn.Conv2d(filters // 2, filters, 5, 2, padding=2, bias=False),
            nn.BatchNorm2d(filters),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    features = (side >> doublings) ** 2 * (width << (doublings - 1))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 1, bias=False))


def channels(side: int) -> int:
    """Colours at 64x64, gray at 28x28."""
    return 3 if side == 64 else 1


def measure(side: int, width: int, batch: int, steps: int, channels_last: bool) -> list[float]:
    """Images a second, one figure for each step."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    make, judge = (net(side, width).to(memory_format=layout) for net in (generator, discriminator))
    for module in [*make.modules(), *judge.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
    options = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-7}
    maker, judger = (torch.optim.Adam(net.parameters(), **options) for net in (make, judge))
    real = (torch.rand(4 * batch, channels(side), side, side) * 2 - 1).to(memory_format=layout)
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)
    loss = functional.binary_cross_entropy_with_logits

    def step(index: int) -> None:
        start = index % 4 * batch
        fake = make(torch.rand(batch, CODE) * 2 - 1)
        judger.zero_grad(set_to_none=True)
        (loss(judge(real[start : start + batch]), ones) + loss(judge(fake.detach()), zeros)).backward()
        judger.step()
        maker.zero_grad(set_to_none=True)
        judge.requires_grad_(False)  # its gradients are not wanted now
        loss(judge(fake), ones).backward()
        judge.requires_grad_(True)
        maker.step()

    return rates_of(step, batch, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=28, choices=(28, 64))
    parser.add_argument("--width", type=int, default=64)
    add_options(parser, batch_size=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layouts = {"contiguous": False, "channels_last": True}
    rates = {
        layout: measure(options.image_size, options.width, options.batch_size, options.steps, last)
        for layout, last in layouts.items()
    }
    report(rates)


if __name__ == "__main__":
    main()
