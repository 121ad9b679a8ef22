"""What nearest neighbours among features say: how good, how varied, and how much is copied.

Precision is the share of samples that lie among the real examples: inside the ball around one of them that
reaches to its k-th nearest real neighbour. Recall is the share of real examples that lie among the samples,
in the same sense. Density counts in how many real balls a sample lies, and coverage is the share of real
balls that hold a sample: one odd example with a large ball spoils the first two more than these. All four are
taken with k = 5, the default of Naeem et al.; Kynkaanniemi et al. take 3, with which fewer examples of one
distribution are found among others of it.

Copying: the nearest training example of a sample should be about as far as that of a held-out example. The
share of pairs (sample, held-out example) in which the sample is nearer is 1/2 then, near 1 for a generator
that repeats its training data, and near 0 for one whose samples are unlike any data.

References:
    Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991, equations 1 and 2.
    Naeem et al., Reliable Fidelity and Diversity Metrics, arXiv 2002.09797, equations 5 and 6.
    Meehan, Chaudhuri, Dasgupta, A Non-Parametric Test to Detect Data-Copying, arXiv 2004.05675, section 3:
    the U statistic, over the whole space.

Shapes: N real rows, M samples, d features.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

#: Rows of which all distances are held at a time.
ROWS = 512
#: The neighbour to which a ball reaches.
NEIGHBOUR = 5


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of all pairs of [N, d] and [M, d]: [N, M], not negative, in the precision of the inputs."""
    found = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None, :] - 2.0 * (x @ y.T)
    return np.maximum(found, 0.0)


def radii(x: np.ndarray, k: tuple[int, ...]) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other row: [N, d] -> [len(k), N].

    Args:
        x: float64 [N, d].
        k: each below N.
    """
    found = np.empty((len(k), len(x)))
    for start in range(0, len(x), ROWS):
        distances = squared_distances(x[start : start + ROWS], x)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = -1.0  # itself, before all others
        found[:, start : start + ROWS] = np.partition(distances, k, axis=1)[:, k].T
    return found


@dataclasses.dataclass(frozen=True)
class Neighbourhoods:
    """Precision, recall, density and coverage with their standard errors.

    The errors are those of a mean over samples, or over real examples, with the balls as they are.
    """

    precision: tuple[float, float]
    recall: tuple[float, float]
    density: tuple[float, float]
    coverage: tuple[float, float]


def neighbourhoods(real: np.ndarray, samples: np.ndarray, k: int = NEIGHBOUR) -> Neighbourhoods:
    """Measures samples against real examples by balls of nearest neighbours.

    Args:
        real: features [N, d].
        samples: features [M, d].
        k: the neighbour to which balls reach, below N and M.
    """
    real, samples = np.asarray(real, np.float64), np.asarray(samples, np.float64)
    centre = real.mean(0)  # distances of what is far from 0 would lose digits
    real, samples = real - centre, samples - centre
    (reach,), (sampled_reach,) = radii(real, (k,)), radii(samples, (k,))
    balls = np.zeros(len(samples))  # how many real ones each sample lies in
    reached = np.zeros(len(real), bool)  # by the ball of a sample
    covered = np.zeros(len(real), bool)  # whose ball holds a sample
    for start in range(0, len(real), ROWS):
        rows = slice(start, start + ROWS)
        distances = squared_distances(real[rows], samples)  # [.., M]
        within = distances <= reach[rows, None]
        balls += within.sum(0)
        covered[rows] = within.any(1)
        reached[rows] = (distances <= sampled_reach[None, :]).any(1)
    return Neighbourhoods(*map(_mean, (balls > 0, reached, balls / k, covered)))


def _mean(values: np.ndarray) -> tuple[float, float]:
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


class Nearest:
    """The nearest of many rows, which come in pieces, to each of some.

    Attributes:
        distance: of the nearest so far, float64 [M]; infinite before the first piece.
        index: which row that was, by its place among all that came, int64 [M].
    """

    def __init__(self, features: np.ndarray) -> None:
        """
        Args:
            features: [M, d], whose nearest are looked for.
        """
        self.features = np.asarray(features, np.float32)
        self.distance = np.full(len(features), np.inf)
        self.index = np.zeros(len(features), np.int64)
        self.seen = 0

    def add(self, rows: np.ndarray) -> None:
        """Looks at a piece [.., d]."""
        rows = np.asarray(rows, np.float32)
        centre = rows.mean(0)
        for start in range(0, len(self.features), ROWS):
            part = slice(start, start + ROWS)
            near = squared_distances(self.features[part] - centre, rows - centre).argmin(1)
            # The difference itself is exact where the sum above rounds: a copy has distance 0.
            gap = np.asarray(self.features[part], np.float64) - rows[near]
            distance = np.sqrt(np.square(gap).sum(1))
            closer = distance < self.distance[part]
            self.distance[part] = np.where(closer, distance, self.distance[part])
            self.index[part] = np.where(closer, self.seen + near, self.index[part])
        self.seen += len(rows)


def copying(samples: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """The share of pairs in which a sample is nearer to the training data than a held-out example is.

    The Mann-Whitney statistic, ties counting half, as a share of all pairs.

    Args:
        samples: distance of each sample to its nearest training example, [M].
        held_out: that of each held-out example, [N].

    Returns:
        The share, and its standard error where both have the same distribution, so that (share - 1/2) / error
        is about normal then.
    """
    order = np.sort(held_out)
    beyond = len(order) - np.searchsorted(order, samples, "right")
    equal = np.searchsorted(order, samples, "right") - np.searchsorted(order, samples, "left")
    pairs = len(samples) * len(held_out)
    share = float((beyond + 0.5 * equal).sum()) / pairs
    return share, math.sqrt((len(samples) + len(held_out) + 1) / (12.0 * pairs))
