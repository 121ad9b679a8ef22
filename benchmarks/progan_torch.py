"""The peer of `benchmarks/progan.py`: the same networks, batch, optimizer and order of updates in PyTorch.

    python benchmarks/progan_torch.py --image-size 32 --channels 256 --most-channels 32 --steps 60

Layers that double are computed as they are written, and as one transposed convolution; in both memory
layouts. Prints one JSON document. It imports nothing of gmzoo, so that any interpreter with PyTorch runs it.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math

import torch
from peers_torch import add_options, rates_of, report
from torch import Tensor, nn
from torch.nn import functional

CODE, GROUP, SLOPE, EPSILON = 64, 16, 0.2, 1e-8
HE = math.sqrt(2.0)


class Conv(nn.Module):
    """A convolution with weights of N(0, 1) that are scaled when they are used; it may double first."""

    def __init__(
        self, before: int, filters: int, size: int = 3, gain: float = HE, doubling: str = ""
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(filters, before, size, size))
        self.bias = nn.Parameter(torch.zeros(filters))
        self.scale, self.doubling = gain / math.sqrt(size**2 * before), doubling

    def forward(self, x: Tensor) -> Tensor:
        weight = self.scale * self.weight
        if self.doubling == "fused":
            flipped = functional.pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
            summed = (
                flipped[..., 1:, 1:] + flipped[..., :-1, 1:] + flipped[..., 1:, :-1] + flipped[..., :-1, :-1]
            )
            return functional.conv_transpose2d(x, summed, self.bias, stride=2, padding=1)
        x = doubled(x) if self.doubling else x
        return functional.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class Dense(nn.Module):
    """A dense layer of the same kind; it has one bias for each of `channels`."""

    def __init__(self, before: int, units: int, channels: int, gain: float = HE) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, before))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale, self.channels = gain / math.sqrt(before), channels

    def forward(self, x: Tensor) -> Tensor:
        y = functional.linear(x, self.scale * self.weight)
        return (y.view(len(x), self.channels, -1) + self.bias[:, None]).squeeze(-1)


def doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def halved(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 2)


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


def pixel_norm(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class Generator(nn.Module):
    """Codes [B, 64] -> images [B, 3, S, S]."""

    def __init__(self, filters: list[int], doubling: str) -> None:
        super().__init__()
        self.first = Dense(CODE, 16 * filters[0], filters[0], HE / 4)
        self.convs = nn.ModuleList(Conv(wide, wide) for wide in filters)
        self.doubling = nn.ModuleList(
            Conv(before, wide, doubling=doubling) for before, wide in itertools.pairwise(filters)
        )
        self.to_image = nn.ModuleList(Conv(wide, 3, 1, gain=1.0) for wide in filters)

    def forward(self, code: Tensor, share: float | None) -> Tensor:
        x = pixel_norm(leaky(self.first(pixel_norm(code)).view(len(code), -1, 4, 4)))
        x = before = pixel_norm(leaky(self.convs[0](x)))
        for double, conv in zip(self.doubling, self.convs[1:], strict=True):
            before = x
            x = pixel_norm(leaky(conv(pixel_norm(leaky(double(x))))))
        image = self.to_image[-1](x)
        if share is None:
            return image
        return (1.0 - share) * doubled(self.to_image[-2](before)) + share * image


class Discriminator(nn.Module):
    """Images [B, 3, S, S] -> scores [B]."""

    def __init__(self, filters: list[int], hidden: int) -> None:
        super().__init__()
        self.from_image = nn.ModuleList(Conv(3, wide, 1) for wide in filters)
        self.convs = nn.ModuleList(Conv(wide, wide) for wide in filters[1:])
        self.halving = nn.ModuleList(Conv(wide, below) for below, wide in itertools.pairwise(filters))
        self.last_conv = Conv(filters[0] + 1, filters[0])
        self.hidden = Dense(16 * filters[0], hidden, hidden)
        self.output_layer = Dense(hidden, 1, 1, gain=1.0)

    def forward(self, image: Tensor, share: float | None) -> Tensor:
        x = leaky(self.from_image[-1](image))
        for index in reversed(range(len(self.convs))):
            x = halved(leaky(self.halving[index](leaky(self.convs[index](x)))))
            if index == len(self.convs) - 1 and share is not None:
                x = (1.0 - share) * leaky(self.from_image[index](halved(image))) + share * x
        group = min(GROUP, len(x))
        spread = (x.reshape(-1, group, x[0].numel()).var(1, unbiased=False) + EPSILON).sqrt().mean(1)
        spread = spread.repeat_interleave(group)[:, None, None, None].expand(-1, 1, 4, 4)
        x = leaky(self.last_conv(torch.cat([x, spread], 1)))
        return self.output_layer(leaky(self.hidden(x.flatten(1))))[:, 0]


def measure(options: argparse.Namespace, doubling: str, channels_last: bool) -> list[float]:
    """Images a second, one figure for each step."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    levels = (options.image_size // 4).bit_length()
    filters = [min(options.channels >> (level + 1), options.most_channels) for level in range(levels)]
    hidden = min(options.channels, options.most_channels)
    make = Generator(filters, doubling).to(memory_format=layout)
    judge = Discriminator(filters, hidden).to(memory_format=layout)
    share = 0.5 if options.fading else None
    average = copy.deepcopy(make)
    used = [
        [value for name, value in net.named_parameters() if not _unused(name, levels, options.fading)]
        for net in (make, judge)
    ]
    adam = {"lr": 1e-3, "betas": (0.0, 0.99), "eps": 1e-8}
    maker, judger = (torch.optim.Adam(values, **adam) for values in used)
    batch = options.batch_size
    side = options.image_size
    images = (torch.rand(4 * batch, 3, side, side) * 2 - 1).to(memory_format=layout)

    def step(index: int) -> None:
        real = images[index % 4 * batch :][:batch]
        if share is not None:
            real = (1.0 - share) * doubled(halved(real)) + share * real
        fake = make(torch.randn(batch, CODE), share)
        judger.zero_grad(set_to_none=True)
        on_real, on_fake = judge(torch.cat([real, fake.detach()]), share).chunk(2)
        between = torch.lerp(real, fake.detach(), torch.rand(batch, 1, 1, 1)).requires_grad_()
        (gradient,) = torch.autograd.grad(judge(between, share).sum(), between, create_graph=True)
        penalty = ((gradient.square().sum((1, 2, 3)) + 1e-12).sqrt() - 1.0).square().mean()
        (on_fake.mean() - on_real.mean() + 10.0 * penalty + 0.001 * on_real.square().mean()).backward()
        judger.step()
        maker.zero_grad(set_to_none=True)
        judge.requires_grad_(False)  # its gradients are not wanted now
        (-judge(fake, share).mean()).backward()
        judge.requires_grad_(True)
        maker.step()
        with torch.no_grad():
            torch._foreach_lerp_([*average.parameters()], [*make.parameters()], 0.001)

    return rates_of(step, batch, options.steps)


def _unused(name: str, levels: int, fading: bool) -> bool:
    """Whether a parameter belongs to a layer from or to an image of a smaller level."""
    kind, _, rest = name.partition(".")
    return kind in ("from_image", "to_image") and int(rest.partition(".")[0]) < levels - 1 - fading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--most-channels", type=int, default=32)
    parser.add_argument("--fading", action="store_true")
    add_options(parser, batch_size=16)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rates = {
        f"{doubling}, {'channels last' if last else 'contiguous'}": measure(options, doubling, last)
        for doubling in ("plain", "fused")
        for last in (False, True)
    }
    report(rates)


if __name__ == "__main__":
    main()
