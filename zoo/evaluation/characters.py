"""The likelihood of a running text, each character once and given what stands before it.

A text comes as windows one after another. Scored by itself, a window begins without any context, which its
first characters pay for. So the text is read a second time in windows that begin in the middle of the first
ones, and each character counts where more stands before it: at least half a window, save in the first one.

Shapes: N windows of T characters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def in_context(log_conditionals: Callable[[np.ndarray], np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """log p of each character given at least half a window before it.

    Args:
        log_conditionals: tokens [.., T] -> log p of each given those before it in the window, nats [.., T].
        tokens: the windows of a text in order, int32 [N, T].

    Returns:
        Nats, float [N, T].
    """
    count, length = tokens.shape
    half = length // 2
    nats = np.array(log_conditionals(tokens))
    if count > 1 and half:
        between = tokens.reshape(-1)[half : half + (count - 1) * length].reshape(count - 1, length)
        nats[1:, :half] = log_conditionals(between)[:, length - half :]
    return nats


def per_character(nats: np.ndarray) -> dict[str, dict[str, Any]]:
    """The mean over a text in nats and in bits a character, with its standard error over the windows.

    Args:
        nats: log p of each character, [N, T].
    """
    windows = -nats.mean(axis=1, dtype=np.float64)  # [N]
    error = float(np.std(windows, ddof=1) / math.sqrt(len(windows))) if len(windows) > 1 else None
    mean, bit = float(windows.mean()), math.log(2.0)
    return {
        "nats_per_character": {"value": mean, "standard_error": error, "unit": "nats/character"},
        "bits_per_character": {
            "value": mean / bit,
            "standard_error": error and error / bit,
            "unit": "bits/character",
        },
    }
