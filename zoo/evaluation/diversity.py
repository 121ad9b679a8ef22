"""How varied samples are beside the data, cheaply: what can be looked at after each epoch of a training.

    spread   the mean distance between two samples over that between two examples of the data, in pixels: it
             needs nothing but the data. Near 0 where all samples are alike, 1 where they vary as the data do
    recall   the share of the data that lie among the samples, in the features of a classifier of these data
    classes  how many classes the samples cover, and the entropy of their shares, by the same classifier
    distinct of texts: the share of different n-grams, over that in as many texts of the data

References:
    Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991, equation 2, as
    `neighbours` has it.
    Li et al., A Diversity-Promoting Objective Function for Neural Conversation Models, arXiv 1510.03055,
    section 5.1: distinct-n, here of characters.

Shapes: N real examples, M samples, H x W x C each, d features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.evaluation.classes import Tally, covered
from zoo.evaluation.extractors import Extractor
from zoo.evaluation.neighbours import NEIGHBOUR, neighbourhoods, squared_distances
from zoo.evaluation.texts import distinct_runs

GRAM = 4


class Reference:
    """Real examples that samples are measured against.

    Attributes:
        classes: how many classes they cover; 0 where nobody knows.
    """

    def __init__(self, real: np.ndarray, extractor: Extractor | None = None, classes: bool = False) -> None:
        """
        Args:
            real: float32 [N, H, W, C] in [0, 1].
            extractor: makes features; None: nothing but pixels is compared.
            classes: whether its classes are those of the data.
        """
        self.distance = mean_distance(real)
        self.extractor, self.classes = extractor, 0
        self.tally: Tally | None = None
        if extractor is not None:
            seen = extractor.see(real, classes)
            self.features = seen.features
            if seen.probabilities is not None:
                self.tally = _tally(seen.probabilities)
                self.classes = int(covered(self.tally, self.tally).sum())

    def compare(self, samples: np.ndarray) -> dict[str, float]:
        """`sample_spread`; with features `sample_recall`; with classes `classes_covered`, `class_entropy`.

        Recall needs more than `NEIGHBOUR` of each.

        Args:
            samples: float32 [M, H, W, C] in [0, 1].
        """
        # Data that are all alike cannot be varied less.
        found = {"sample_spread": mean_distance(samples) / self.distance if self.distance else 1.0}
        if self.extractor is not None:
            seen = self.extractor.see(samples, self.tally is not None)
            if min(len(self.features), len(samples)) > NEIGHBOUR:
                found["sample_recall"] = neighbourhoods(self.features, seen.features).recall[0]
            if self.tally is not None and seen.probabilities is not None:
                tally = _tally(seen.probabilities)
                found["classes_covered"] = int(covered(tally, self.tally).sum())
                found["class_entropy"] = tally.entropy()[0]
        return found


def mean_distance(images: np.ndarray) -> float:
    """The mean Euclidean distance between two different ones of images [N, ...]."""
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    flat = flat - flat.mean(0)  # distances of what is far from 0 would lose digits
    total = np.sqrt(squared_distances(flat, flat))
    np.fill_diagonal(total, 0.0)
    return float(total.sum() / max(1, len(flat) * (len(flat) - 1)))


def distinct(texts: Sequence[str], n: int = GRAM) -> float | None:
    """The share of different ones among all runs of n characters in texts; None where there is no run."""
    return distinct_runs(texts, n)


def distinct_beside(texts: Sequence[str], real: Sequence[str]) -> float | None:
    """How distinct texts are, over how distinct as many texts of the data are, on average.

    Args:
        texts: at least one.
        real: texts of the data, taken in groups of as many.

    Returns:
        None where the data have too little text; 0 where the samples have.
    """
    count = len(texts)
    groups = [distinct(real[start : start + count]) for start in range(0, len(real) - count + 1, count)]
    known = [share for share in groups if share is not None]
    if not known:
        return None
    return (distinct(texts) or 0.0) / (sum(known) / len(known))


def _tally(probabilities: np.ndarray) -> Tally:
    tally = Tally.empty(*probabilities.shape)
    tally.add(probabilities)
    return tally
