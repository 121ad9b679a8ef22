"""Whether a classifier is as often right as it says.

    ECE = sum over bins of (share of examples in the bin) * | accuracy - mean confidence | in it

with the confidence, the probability of the likeliest class, in 15 bins of equal width. It is too large where
bins hold few examples, and a classifier that says the shares of the classes whatever it sees has an ECE of 0.

Reference: Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import numpy as np

BINS = 15


def calibration_error(probabilities: np.ndarray, label: np.ndarray) -> float:
    """The expected calibration error, from 0 to 1.

    Args:
        probabilities: float [N, K].
        label: int [N].
    """
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == label
    # Bins are open below: a confidence of 1 belongs to the last.
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(place, right - confidence, BINS)
    return float(np.abs(gaps).sum() / len(label))
