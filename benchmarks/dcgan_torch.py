"""The peer of `benchmarks/dcgan.py`: the same networks, batch, optimizer and order of updates in PyTorch.

    python benchmarks/dcgan_torch.py --width 64 --batch-size 128 --steps 60

Prints one JSON document. It imports nothing of gmzoo, so that any interpreter with PyTorch runs it.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional

CODE = 100
SIDE = 28


def generator(width: int) -> nn.Module:
    """Code [B, 100] -> image [B, 1, 28, 28] in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(CODE, 7 * 7 * 2 * width, bias=False),
        nn.BatchNorm1d(7 * 7 * 2 * width),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (2 * width, 7, 7)),
        nn.ConvTranspose2d(2 * width, width, 5, 2, padding=2, output_padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(width, 1, 5, 2, padding=2, output_padding=1, bias=False),
        nn.Tanh(),
    )


def discriminator(width: int) -> nn.Module:
    """Image [B, 1, 28, 28] -> logit [B, 1]."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, 2, padding=2, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(width, 2 * width, 5, 2, padding=2, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Flatten(),
        nn.Linear(7 * 7 * 2 * width, 1, bias=False),
    )


def measure(width: int, batch: int, steps: int, channels_last: bool) -> float:
    """Images a second."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    make, judge = (net(width).to(memory_format=layout) for net in (generator, discriminator))
    for module in [*make.modules(), *judge.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
    options = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-7}
    maker, judger = (torch.optim.Adam(net.parameters(), **options) for net in (make, judge))
    real = (torch.rand(16 * batch, 1, SIDE, SIDE) * 2 - 1).to(memory_format=layout)
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)
    loss = functional.binary_cross_entropy_with_logits

    def step(index: int) -> None:
        start = index % 16 * batch
        fake = make(torch.rand(batch, CODE) * 2 - 1)
        judger.zero_grad(set_to_none=True)
        (loss(judge(real[start : start + batch]), ones) + loss(judge(fake.detach()), zeros)).backward()
        judger.step()
        maker.zero_grad(set_to_none=True)
        judge.requires_grad_(False)  # its gradients are not wanted now
        loss(judge(fake), ones).backward()
        judge.requires_grad_(True)
        maker.step()

    for index in range(5):
        step(index)
    start = time.perf_counter()
    for index in range(steps):
        step(index)
    return batch * steps / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rates = {
        layout: round(measure(options.width, options.batch_size, options.steps, layout == "channels_last"), 1)
        for layout in ("contiguous", "channels_last")
    }
    print(json.dumps({"version": torch.__version__, "images_per_second": rates}))


if __name__ == "__main__":
    main()
