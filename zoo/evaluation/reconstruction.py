"""How well a model restores images: the squared error of what it decodes from an image's own code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.base import Encodes, GenerativeModel, LikelihoodBound, Restores, Samples
from zoo.data import Data, in_order
from zoo.evaluation.metrics import Metrics, mean_of
from zoo.evaluation.receipts import of_data
from zoo.evaluation.subject import Subject
from zoo.sampling import CHUNK

#: What training makes small, and what is measured: the latter is the former a value.
LOSS, METRIC = "squared_error", "reconstruction_error"
UNIT = "squared error a value"


def only_restores(model_class: type) -> bool:
    """Whether restoring images is all that a model does, so that it can be judged by it."""
    other = Samples | LikelihoodBound
    return (
        issubclass(model_class, Encodes)
        and issubclass(model_class, Restores)
        and not issubclass(model_class, other)
    )


def scorer(model: Any) -> Any:
    """A compiled function from (images [B, ...], index of the batch) to their squared errors [B], sums."""

    @tf.function(reduce_retracing=True, autograph=False)
    def score(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        away = x - model.decode(model.encode(x).mean())
        return tf.reduce_sum(away**2, list(range(1, x.shape.rank)))

    return score


def summary(errors: np.ndarray, model: GenerativeModel, data: Data) -> Metrics:
    """The error a value, as a metric with its receipt, from those summed over values [N]."""
    receipt = {**of_data(data, model.modality), "seed": model.run_seed}
    return {METRIC: mean_of(errors / model.dimensions, UNIT, "lower", receipt)}


def measure(subject: Subject) -> Metrics:
    """The mean error over the data."""
    model, data = subject.model, subject.data

    def pieces() -> Iterator[np.ndarray]:
        for batch in in_order(data, CHUNK):
            x = batch[model.takes]
            away = model.reconstruct(x).astype(np.float64) - x
            yield np.square(away).reshape(len(x), -1).mean(1)

    errors = np.concatenate([*subject.options.follow(pieces(), len(data), "reconstructing")])
    return {METRIC: mean_of(errors, UNIT, "lower", subject.receipt)}
