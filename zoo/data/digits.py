"""`digits`: the UCI handwritten digits, 8x8, 16 gray levels. Real handwriting that needs no download.

References:
    Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data.dataset import Info

VERSION = "1.0.0"
CATALOGUE: dict[str, dict[str, Any]] = {
    "digits": {
        "summary": "real handwritten digits, small enough for every density model in minutes",
        "fields": ("image", "label"),
        "image_shape": (8, 8, 1),
        "levels": 16,
        "classes": 10,
        "counts": {"train": 1438, "validation": 179, "test": 180},
        "embedded": True,
        "source": "scikit-learn load_digits (UCI, the test part of optdigits)",
        "licence": "CC BY 4.0",
    },
}


def describe(name: str) -> Info:
    """The description of `digits`."""
    return Info(levels=16, class_names=tuple("0123456789"))


def blocks(name: str, split: str) -> Iterator[dict[str, np.ndarray]]:
    """All examples of a split.

    Yields:
        image uint8 [N, 8, 8, 1] (0..15), label int32 [N].
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    # The counts go up to 16, which only 16 of 4 x 4 set bits reach: the last two become one level.
    image = np.minimum(digits.images, 15).astype(np.uint8)[..., None]
    order = np.random.Generator(np.random.Philox(len(image))).permutation(len(image))
    counts = CATALOGUE["digits"]["counts"]
    start = sum(counts[earlier] for earlier in list(counts)[: list(counts).index(split)])
    rows = order[start : start + counts[split]]
    yield {"image": image[rows], "label": digits.target[rows].astype(np.int32)}
