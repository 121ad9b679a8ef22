"""The kernel distance between two sets of features: their squared maximum mean discrepancy, unbiased.

    k(x, y) = (x . y / d + 1)^3
    KID = mean over i /= j of k(x_i, x_j) + mean over i /= j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j)

Unlike the Frechet distance its expectation does not depend on how many examples there are, and is 0 for equal
distributions; so it may come out a little below 0. It is averaged over disjoint blocks of both sets, whose
spread gives an honest standard error: blocks that share examples, which others draw, would not.

Reference: Binkowski et al., Demystifying MMD GANs, arXiv 1801.01401, section 3 and equation 4.

Shapes: N and M rows, d features.
"""

from __future__ import annotations

import math

import numpy as np

#: Blocks at least, and rows of one at most, as in the paper.
BLOCKS, BLOCK_ROWS = 10, 1000


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x . y / d + 1)^3 of all pairs: [N, d] and [M, d] -> float64 [N, M]."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate from two sets [N, d] and [M, d] of at least two rows each."""
    n, m = len(x), len(y)
    within_x, within_y = polynomial_kernel(x, x), polynomial_kernel(y, y)
    same = (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
    same += (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return float(same - 2.0 * polynomial_kernel(x, y).mean())


def kernel_distance(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[float, float | None, int]:
    """The kernel distance between two sets, over disjoint blocks of equally many rows of each.

    Args:
        x: features [N, d].
        y: features [M, d].
        seed: of the order in which rows go into blocks; what is left over is not used.

    Returns:
        The distance, its standard error (None for a single block) and the rows of a block.
    """
    count = min(len(x), len(y))
    rows = min(BLOCK_ROWS, max(2, count // BLOCKS))
    random = np.random.Generator(np.random.Philox(seed))
    x, y = (each[random.permutation(len(each))] for each in (x, y))
    starts = range(0, count - rows + 1, rows)
    found = [squared_discrepancy(x[at : at + rows], y[at : at + rows]) for at in starts]
    error = float(np.std(found, ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else None
    return float(np.mean(found)), error, rows
