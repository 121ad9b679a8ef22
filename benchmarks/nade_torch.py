"""NADE in PyTorch as one would write it first: a loop over the dimensions, all hidden states kept.

`benchmarks/nade.py` runs this file, with the interpreter that it is given; it prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch.nn.functional import binary_cross_entropy_with_logits


def logits(x: torch.Tensor, W, c, V, b) -> torch.Tensor:
    """Log-odds [B, D] of each dimension given those before it."""
    a, outputs = c.expand(len(x), -1), []
    for d in range(x.shape[1]):
        outputs.append(torch.sigmoid(a) @ V[d])
        a = a + x[:, d : d + 1] * W[d]
    return torch.stack(outputs, 1) + b


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("dimensions", "hidden-units", "batch-size", "steps", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--density", type=float, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    D, H = options.dimensions, options.hidden_units
    parameters = [torch.randn(D, H) * 0.05, torch.zeros(H), torch.randn(D, H) * 0.05, torch.zeros(D)]
    for parameter in parameters:
        parameter.requires_grad_()
    x = (torch.rand(options.batch_size, D) < options.density).float()
    seconds = []
    for _ in range(2 + options.steps):
        start = time.perf_counter()
        for parameter in parameters:
            parameter.grad = None
        loss = binary_cross_entropy_with_logits(logits(x, *parameters), x, reduction="sum") / len(x)
        loss.backward()
        seconds.append(time.perf_counter() - start)
    rate = options.batch_size / statistics.median(seconds[2:])
    print(json.dumps({"version": torch.__version__, "examples_per_second": rate}))


if __name__ == "__main__":
    main()
