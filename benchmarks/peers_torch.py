"""What the peers in PyTorch share: options, a clock, and the document that they print.

It imports nothing of gmzoo, so that any interpreter with PyTorch runs it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping

import torch


def add_options(parser: argparse.ArgumentParser, batch_size: int) -> None:
    """The options that all of them have."""
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())


def rates_of(step: Callable[[int], None], rows: int, steps: int) -> list[float]:
    """Examples a second, one figure for each step but the first three, which warm up."""
    rates = []
    for index in range(steps + 3):
        start = time.perf_counter()
        step(index)
        rates.append(rows / (time.perf_counter() - start))
    return rates[3:]


def report(rates: Mapping[str, list[float]]) -> None:
    """Prints the images a second of each form of the network."""
    print(json.dumps({"version": torch.__version__, "images_per_second": rates}))
