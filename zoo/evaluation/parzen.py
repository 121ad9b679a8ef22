"""The Parzen-window estimate of log-likelihoods, which papers on GANs gave before there was anything better.

    log p(x) = log 1/M sum_i N(x; y_i, sigma^2 I),  over samples y_1 .. y_M

with the sigma that is best on validation data. It is here to be compared with those papers, and for nothing
else: in many dimensions it is far from the likelihood even with very many samples, it ranks models wrongly,
and the centres of k-means score higher than the data itself (Theis et al., section 3.2). It depends on M.

References:
    Breuleux, Bengio, Vincent, Quickly Generating Representative Samples from an RBM-Derived Process, 2011.
    Goodfellow et al., arXiv 1406.2661, section 5: 10,000 samples, sigma by cross-validation.
    Theis, van den Oord, Bethge, A Note on the Evaluation of Generative Models, arXiv 1511.01844.

Shapes: N examples and M samples of D values in [0, 1].
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from zoo.evaluation.neighbours import ROWS, squared_distances

#: The widths among which validation chooses.
SIGMAS = np.logspace(-1.0, 0.0, 10)


def log_densities(x: np.ndarray, samples: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """log p of each example for each width.

    Args:
        x: [N, D].
        samples: [M, D].
        sigmas: [S].

    Returns:
        Nats, float64 [S, N].
    """
    count, size = samples.shape
    found = np.empty((len(sigmas), len(x)))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        distances = squared_distances(x[rows], samples).astype(np.float64)
        for index, sigma in enumerate(sigmas):
            found[index, rows] = logsumexp(-distances / (2.0 * sigma**2), axis=1)
    constants = math.log(count) + 0.5 * size * np.log(2.0 * math.pi * np.square(sigmas))
    return found - constants[:, None]


def parzen(x: np.ndarray, validation: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, float]:
    """log p of each example [N, D], and the width that the validation examples chose."""
    means = log_densities(validation, samples, SIGMAS).mean(1)
    sigma = SIGMAS[means.argmax()]
    return log_densities(x, samples, np.array([sigma]))[0], float(sigma)
