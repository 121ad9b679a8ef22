"""A set of images as an extractor sees it: what measures need of it, in memory that does not grow with it.

Shapes: N images, H x W x C each, d features, K classes, A attributes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from zoo.evaluation.classes import Tally
from zoo.evaluation.examples import chosen_rows
from zoo.evaluation.extractors import Extractor
from zoo.evaluation.frechet import Moments

#: Rows of which features, and images, are kept.
KEPT = 10_000
#: Images are kept where they have no more values than this.
LARGEST_KEPT = 4096


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is known of N images.

    Attributes:
        count: N.
        parts: mean and covariance of the features of a random part of the images, and of the others.
        rows: the rows of which more is kept, in order, int64 [<= KEPT]: a random choice where there are more.
        kept: their features, float32 [.., d].
        tally: what the classifier says; None if it was not asked.
        attributes: what it says of the kept rows, int32 [.., A]; None where it knows none.
        classes: the likeliest class of the kept rows, int64; None if it was not asked.
        images: the kept rows as vectors, float32 [.., H * W * C]; None if they were not wanted.
    """

    count: int
    parts: tuple[Moments, Moments]
    rows: np.ndarray
    kept: np.ndarray
    tally: Tally | None = None
    attributes: np.ndarray | None = None
    classes: np.ndarray | None = None
    images: np.ndarray | None = None

    @property
    def moments(self) -> Moments:
        """Mean and covariance of the features of all images."""
        return self.parts[0] + self.parts[1]


def summarise(
    extractor: Extractor,
    pieces: Iterable[np.ndarray],
    total: int,
    *,
    seed: int = 0,
    part: int | None = None,
    classes: bool = True,
    images: bool = False,
) -> Summary:
    """Looks at images once, as they come.

    Args:
        extractor: what looks.
        pieces: images float32 [.., H, W, C] in [0, 1], `total` of them in all.
        total: N.
        seed: of the choice of rows, and of the parts.
        part: how many images the first part has; at most, and without it, half of them.
        classes: whether the classifier is asked too.
        images: whether images are kept.
    """
    rows = chosen_rows(total, KEPT, seed)
    is_kept = np.zeros(total, bool)
    is_kept[rows] = True
    part = total // 2 if part is None else min(part, total // 2)
    is_first = np.random.Generator(np.random.Philox([seed, 1])).permutation(total) < part
    parts = Moments(extractor.size), Moments(extractor.size)
    tally = Tally.empty(total, len(extractor.class_names), seed) if classes else None
    kept: dict[str, list[np.ndarray]] = {"features": [], "classes": [], "attributes": [], "images": []}
    start = 0
    for piece in pieces:
        place = slice(start, start + len(piece))
        start += len(piece)
        seen = extractor.see(piece, classes)
        for moments, chosen in zip(parts, (is_first[place], ~is_first[place]), strict=True):
            moments.add(seen.features[chosen])
        keep = is_kept[place]
        kept["features"].append(seen.features[keep])
        if tally is not None and seen.probabilities is not None:
            tally.add(seen.probabilities)
            kept["classes"].append(seen.probabilities[keep].argmax(1))
        if classes and seen.attributes is not None:
            kept["attributes"].append(seen.attributes[keep])
        if images:
            kept["images"].append(piece[keep].reshape(keep.sum(), piece[0].size))
    found = {name: np.concatenate(each) if each else None for name, each in kept.items()}
    features = found.pop("features")
    assert features is not None
    return Summary(total, parts, rows, features, tally, **found)
