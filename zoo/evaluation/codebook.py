"""How a model whose code is tokens uses them: those that no image has are dead, and could be left out.

    codebook_used         the share of the K tokens that occur
    codebook_perplexity   exp( entropy of their frequencies ), from 1 to K

Shapes: N examples of T tokens, K tokens to choose from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.data import in_order
from zoo.evaluation.metrics import Metrics, metric
from zoo.evaluation.subject import Subject
from zoo.sampling import CHUNK


def use(count: np.ndarray) -> tuple[float, float]:
    """The share of tokens that occur and the perplexity, of how often each does, [K]."""
    frequency = count[count > 0] / count.sum()
    return float((count > 0).mean()), float(np.exp(-(frequency * np.log(frequency)).sum()))


def measure(subject: Subject) -> Metrics:
    """Both over the data, of each image the likeliest tokens."""
    model, data = subject.model, subject.data
    values = model.tokens["values"]

    def pieces() -> Iterator[np.ndarray]:
        for batch in in_order(data, CHUNK):
            yield model.encode(batch[model.takes])

    count = np.zeros(values, np.int64)
    for piece in subject.options.follow(pieces(), len(data), "encoding"):
        count += np.bincount(piece.ravel(), minlength=values)
    share, perplexity = use(count)
    receipt = {**subject.receipt, "tokens": values, "grid": model.tokens["grid"]}
    return {
        "codebook_used": metric(share, None, "share", "higher", receipt),
        "codebook_perplexity": metric(perplexity, None, f"1 to {values}", "higher", receipt),
    }
