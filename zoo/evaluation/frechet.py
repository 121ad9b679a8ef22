"""The Frechet distance between two sets of features, as if each were a Gaussian.

    FID = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

with the mean m and the covariance S of each set. It is biased: with few examples it is too large, by an
amount that depends on the features and on how many there are. So figures are compared at equal numbers, and
beside a floor: the distance of two parts of the real data, which a perfect generator would get at the numbers
of these. Together they are no more than the whole; one has as many rows as there are samples, or half of all
where these are more.

Reference: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, arXiv 1706.08500, equation 6.

Shapes: N rows, d features.
"""

from __future__ import annotations

import numpy as np


class Moments:
    """Mean and covariance of features that come in pieces: memory d^2, however many there are.

    Attributes:
        count: N, the rows so far.
        mean: float64 [d].
        scatter: the sum of outer products of what is left without the mean, float64 [d, d].
    """

    def __init__(self, size: int) -> None:
        """
        Args:
            size: d.
        """
        self.count = 0
        self.mean = np.zeros(size)
        self.scatter = np.zeros((size, size))

    def add(self, features: np.ndarray) -> None:
        """Takes in a piece [.., d]."""
        if len(features):
            features = np.asarray(features, np.float64)
            mean = features.mean(0)
            centred = features - mean
            self._combine(len(features), mean, centred.T @ centred)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        both = Moments(len(self.mean))
        for each in (self, other):
            if each.count:
                both._combine(each.count, each.mean, each.scatter)
        return both

    def _combine(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        # Chan, Golub, LeVeque 1983: stable, whatever the size of the mean.
        total = self.count + count
        step = mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(step, step) * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased, float64 [d, d]."""
        return self.scatter / max(self.count - 1, 1)


def square_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric matrix [d, d]; rounding below 0 counts as 0."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Frechet distance between the Gaussians of two sets; not negative.

    tr (S1 S2)^(1/2) is the sum of the square roots of the eigenvalues of S1^(1/2) S2 S1^(1/2), which is
    symmetric: no complex numbers, and no trouble where a covariance is singular.
    """
    root = square_root(a.covariance)
    values = np.linalg.eigvalsh(root @ b.covariance @ root)
    trace = float(np.sqrt(np.maximum(values, 0.0)).sum())
    spread = float(np.trace(a.covariance) + np.trace(b.covariance))
    return max(0.0, float(np.square(a.mean - b.mean).sum()) + spread - 2.0 * trace)
