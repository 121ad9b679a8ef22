"""What a linear classifier makes of codes: how much of the class can be read off them in the simplest way.

The classifier is multinomial logistic regression on codes of training examples, each unit scaled to variance
1. How strongly its weights are held back is chosen by a quarter of these examples that it has not seen.

Reference: Radford, Metz, Chintala, arXiv 1511.06434, section 5.1: features of a discriminator under a linear
classifier (theirs was a support vector machine).

Shapes: N examples, d numbers of a code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from zoo.data import Data, in_order
from zoo.evaluation import examples
from zoo.evaluation.metrics import Metrics, mean_of
from zoo.evaluation.subject import Subject
from zoo.sampling import CHUNK

#: Training examples of the classifier, and examples that it is measured with, at most.
TRAINED, MEASURED = 5000, 10_000
#: Numbers in the codes of all training examples, at most: long codes get fewer examples.
LARGEST = 2**25
#: The inverse strengths that are tried.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
#: Steps of the classifier. One that has not quite arrived is a classifier all the same.
STEPS = 300


def linear(subject: Subject) -> Metrics:
    """The share of examples whose class the classifier names right."""
    size = subject.model.signatures["encode"]["outputs"]["code"]["shape"][1]
    train = subject.other_split("train")
    train.require("label")
    count = max(2, min(TRAINED, LARGEST // size))
    (x, label), (unseen, truth) = (
        encoded(subject, examples.some(labelled(data), most, subject.options.seed), doing)
        for data, most, doing in (
            (train, count, "encoding the training data"),
            (subject.data, MEASURED, "encoding"),
        )
    )
    right, strength = fitted(x, label, unseen, truth)
    receipt = {**subject.receipt, "trained_on": len(x), "units": size, "found": {"strength": strength}}
    return {"linear_probe": mean_of(right, "share", "higher", receipt, "estimate")}


def labelled(data: Data) -> Data:
    """The examples that have a label."""
    index = np.flatnonzero(np.asarray(data.fields["label"]) >= 0)
    return data if len(index) == len(data) else examples.taken(data, index)


def encoded(subject: Subject, data: Data, doing: str) -> tuple[np.ndarray, np.ndarray]:
    """The codes float32 [N, d] and the labels int [N] of the data."""
    model = subject.model

    def pieces() -> Iterator[np.ndarray]:
        for batch in in_order(data, CHUNK):
            yield model.encode(batch[model.takes])

    codes = np.concatenate([*subject.options.follow(pieces(), len(data), doing)])
    return codes, np.asarray(data.fields["label"])


def fitted(
    x: np.ndarray, label: np.ndarray, unseen: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, float]:
    """Which of other examples a linear classifier names right.

    Args:
        x, label: [N, d] and int [N], to learn from.
        unseen, truth: [M, d] and int [M], to be measured with.

    Returns:
        bool [M], and the inverse strength that was chosen.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1.0).astype(x.dtype)  # a unit that never changes says nothing
    x, unseen = (x - mean) / scale, (unseen - mean) / scale

    def learned(rows: slice, strength: float) -> LogisticRegression:
        # Of so small products threads cost more than they save: they wait for one another, spinning.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            return LogisticRegression(C=strength, max_iter=STEPS).fit(x[rows], label[rows])

    cut = -(-3 * len(x) // 4)
    own, other = slice(0, cut), slice(cut, None)
    scores = [float(learned(own, each).score(x[other], label[other])) for each in STRENGTHS]
    best = STRENGTHS[int(np.argmax(scores))]
    found: np.ndarray = learned(slice(None), best).predict(unseen) == truth
    return found, best
