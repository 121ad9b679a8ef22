"""What a classifier sees in samples: whether it is sure, and which classes there are.

    score    exp( E KL( p(y|x) || p(y) ) ), 1 to K: K where it is sure of each, and all are equally many
    entropy  -sum_c h_c log h_c, of the shares h_c of samples whose likeliest class is c, nats; log K at most
    distance 1/2 sum_c |h_c - r_c|, of those shares and the shares r_c of the real examples: 0 to 1
    modes    how many classes the samples cover: c is covered where the share of samples that the classifier
             calls c with a probability of at least 1/2 is at least a tenth of the share of real examples that
             it calls so

The classifier names one of its classes whatever it sees: a blend of two of them counts as one. The score does
not compare with real data, knows nothing of variety within a class, and grows with the number of samples.

Reference of the score: Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498, section 4.

Shapes: N rows, K classes.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

#: Parts of the samples, each with a score of its own, as in the paper; fewer where a part would be smaller
#: than this, since the score of a few images is too low.
SPLITS, SPLIT_ROWS = 10, 50
CONFIDENT = 0.5
LEAST_SHARE = 0.1


@dataclasses.dataclass
class Tally:
    """What a classifier said of N images, counted as it came: memory K, and a byte an image.

    Attributes:
        split: into which split each image goes, uint8 [N]: by chance, since data may be sorted by class.
        counts: images whose likeliest class is c, int64 [K].
        sure: those of them that have it with a probability of at least `CONFIDENT`, int64 [K].
        rows: images in each split, int64 [SPLITS].
        sums: of p(y|x) in each split, float64 [SPLITS, K].
        negentropy: of sum_y p(y|x) log p(y|x) in each split, float64 [SPLITS].
    """

    split: np.ndarray
    counts: np.ndarray
    sure: np.ndarray
    rows: np.ndarray
    sums: np.ndarray
    negentropy: np.ndarray

    @classmethod
    def empty(cls, total: int, classes: int, seed: int = 0) -> Tally:
        """Nothing yet of `total` images, whose splits the seed draws."""
        splits = min(SPLITS, max(1, total // SPLIT_ROWS))
        order = np.random.Generator(np.random.Philox([seed, 2])).permutation(total)
        return cls(
            (order * splits // max(total, 1)).astype(np.uint8),
            counts=np.zeros(classes, np.int64),
            sure=np.zeros(classes, np.int64),
            rows=np.zeros(splits, np.int64),
            sums=np.zeros((splits, classes)),
            negentropy=np.zeros(splits),
        )

    def add(self, probabilities: np.ndarray) -> None:
        """Takes in a piece [.., K], in order."""
        probabilities = np.asarray(probabilities, np.float64)
        likeliest, classes = probabilities.argmax(1), len(self.counts)
        sure = probabilities.max(1) >= CONFIDENT
        start = int(self.rows.sum())
        self.counts += np.bincount(likeliest, minlength=classes)
        self.sure += np.bincount(likeliest[sure], minlength=classes)
        split = self.split[start : start + len(probabilities)]
        logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        np.add.at(self.sums, split, probabilities)
        np.add.at(self.negentropy, split, (probabilities * logs).sum(1))
        self.rows += np.bincount(split, minlength=len(self.rows))

    def score(self) -> tuple[float, float | None]:
        """The mean over splits of exp(E KL(p(y|x) || p(y))), and its standard error."""
        marginal = self.sums / self.rows[:, None]  # [SPLITS, K]
        logs = np.log(np.maximum(marginal, np.finfo(np.float64).tiny))
        scores = np.exp(self.negentropy / self.rows - (marginal * logs).sum(1))
        error = float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else None
        return float(scores.mean()), error

    def shares(self) -> np.ndarray:
        """Of each class, float64 [K]; their sum is 1."""
        return self.counts / self.counts.sum()

    def entropy(self) -> tuple[float, float]:
        """Of the shares, in nats, with its standard error (of the mean of -log h_c over images)."""
        shares = self.shares()
        surprise = -np.log(shares, where=shares > 0, out=np.zeros(len(shares)))
        mean = float((shares * surprise).sum())
        variance = float((shares * np.square(surprise - mean)).sum())
        return mean, math.sqrt(variance / self.counts.sum())


def class_distance(a: Tally, b: Tally) -> float:
    """Half the sum of absolute differences of the shares: 0 where they agree, 1 where no class is shared."""
    return 0.5 * float(np.abs(a.shares() - b.shares()).sum())


def covered(samples: Tally, real: Tally) -> np.ndarray:
    """Which classes of the real examples the samples cover: bool [K]; never one that no example has."""
    shares = [each.sure / each.counts.sum() for each in (samples, real)]
    return (shares[1] > 0) & (shares[0] >= LEAST_SHARE * shares[1])
