"""`patches`: small pieces of two photographs, gray or RGB: natural images that need no download.

The photographs are cut into tiles, and each tile belongs to one split: no pixel of a test patch was seen in
training.

References:
    Patches as a test of density models: Uria, Murray, Larochelle (2013), RNADE, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data.convert import recolour
from zoo.data.dataset import Info

VERSION = "1.0.0"
SEED = 20_130_605
TILE = 64
# Half of all patches show blurred background or sky: those that vary less than this are left out.
FLAT = 6.0
# Of every ten tiles one is for validation and one for test.
SHARES = {"validation": 0, "test": 1}
COUNTS = {"train": 40_000, "validation": 4_000, "test": 4_000}
COMMON: dict[str, Any] = {
    "fields": ("image",),
    "levels": 256,
    "classes": 0,
    "counts": COUNTS,
    "embedded": True,
    "source": "scikit-learn load_sample_images: a temple in China, a flower",
    "licence": "CC BY 2.0 (photographs by danielbuechele and vultilion on Flickr)",
}
CATALOGUE: dict[str, dict[str, Any]] = {
    "patches": {"summary": "natural image patches, gray", "image_shape": (8, 8, 1), **COMMON},
    "patches/rgb": {"summary": "natural image patches, RGB", "image_shape": (16, 16, 3), **COMMON},
}


def describe(name: str) -> Info:
    """The description of a set."""
    return Info(levels=256)


def tiles(split: str) -> list[np.ndarray]:
    """The tiles of a split: uint8 [64 or so, 64, 3] each."""
    from sklearn.datasets import load_sample_images

    found = []
    for photograph in load_sample_images().images:
        height, width, _ = photograph.shape
        for top in range(0, height - TILE + 1, TILE):
            for left in range(0, width - TILE + 1, TILE):
                found.append(photograph[top : top + TILE, left : left + TILE])
    order = np.random.Generator(np.random.Philox(SEED)).permutation(len(found))
    share = {number: name for name, number in SHARES.items()}
    return [found[tile] for place, tile in enumerate(order) if share.get(place % 10, "train") == split]


def blocks(name: str, split: str) -> Iterator[dict[str, np.ndarray]]:
    """The examples of a split.

    Yields:
        image uint8 [B, S, S, C].
    """
    size, _, channels = CATALOGUE[name]["image_shape"]
    pieces = np.stack(tiles(split))
    random = np.random.Generator(
        np.random.Philox([SEED, list(CATALOGUE).index(name), list(COUNTS).index(split)])
    )
    windows = np.lib.stride_tricks.sliding_window_view(pieces, (size, size), axis=(1, 2))
    left = COUNTS[split]
    while left:
        tile = random.integers(len(pieces), size=2000)
        row, column = random.integers(TILE - size + 1, size=(2, 2000))
        image = np.ascontiguousarray(windows[tile, row, column].transpose(0, 2, 3, 1))
        image = image[recolour(image, 1).std((1, 2, 3)) > FLAT][:left]
        left -= len(image)
        yield {"image": recolour(image, channels)}
