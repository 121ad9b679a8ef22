"""`wine`: chemical measurements of Italian wines from three growers. Continuous features and a label.

References:
    Aeberhard, Forina (1991), Wine, UCI Machine Learning Repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data.dataset import Info

VERSION = "1.0.0"
CATALOGUE: dict[str, dict[str, Any]] = {
    "wine": {
        "summary": "13 chemical measurements of 178 wines from three growers",
        "fields": ("features", "label"),
        "image_shape": None,
        "levels": None,
        "classes": 3,
        "counts": {"train": 134, "validation": 22, "test": 22},
        "embedded": True,
        "source": "scikit-learn load_wine (UCI)",
        "licence": "CC BY 4.0",
    },
}
FEATURES = (
    "alcohol", "malic acid", "ash", "alcalinity of ash", "magnesium", "total phenols", "flavanoids",
    "nonflavanoid phenols", "proanthocyanins", "color intensity", "hue", "OD280/OD315 of diluted wines",
    "proline",
)  # fmt: skip


def describe(name: str) -> Info:
    """The description of `wine`."""
    return Info(class_names=("grower 1", "grower 2", "grower 3"), feature_names=FEATURES)


def blocks(name: str, split: str) -> Iterator[dict[str, np.ndarray]]:
    """All examples of a split, in the units of the laboratory.

    Yields:
        features float32 [N, 13], label int32 [N].
    """
    from sklearn.datasets import load_wine

    wine = load_wine()
    counts = CATALOGUE["wine"]["counts"]
    order = np.random.Generator(np.random.Philox(len(wine.data))).permutation(len(wine.data))
    start = sum(counts[earlier] for earlier in list(counts)[: list(counts).index(split)])
    rows = order[start : start + counts[split]]
    yield {"features": wine.data[rows].astype(np.float32), "label": wine.target[rows].astype(np.int32)}
