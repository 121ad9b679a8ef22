"""How well a classifier names classes, and attributes where it knows any, over a data set.

Shapes: N examples, B rows, K classes, A attributes.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.base import Classifies, Describes, GenerativeModel
from zoo.data import Data
from zoo.evaluation.likelihood import Score
from zoo.evaluation.metrics import Metrics, mean_of, metric
from zoo.evaluation.receipts import of_data


def scorer(model: GenerativeModel) -> Score:
    """A compiled function from (examples [B, ...], index of the batch) to log-probabilities [B, ...].

    Those of the classes stand first, those of each attribute's values behind them.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def score(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        assert isinstance(model, Classifies)
        logits = model.describe(x) if isinstance(model, Describes) else [model.classify(x)]
        return tf.concat([tf.nn.log_softmax(each) for each in logits], -1)

    return score


def results(scores: np.ndarray, data: Data) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For the label, and for each attribute that was scored, what each example that has it got.

    Args:
        scores: log-probabilities [N, K + values of the attributes], as `scorer` gives them.
        data: the N examples.

    Returns:
        Name -> nats that the truth cost, float [n], and whether it was likeliest, bool [n].
    """
    columns = [("label", data.fields["label"], len(data.info.class_names))]
    if scores.shape[1] > columns[0][2]:
        for index, name in enumerate(data.info.attribute_names):
            values = data.fields["attributes"][:, index]
            columns.append((name, values, len(data.info.attribute_values[index])))
    found, start = {}, 0
    for name, truth, count in columns:
        part, start = scores[:, start : start + count], start + count
        rows = np.flatnonzero(np.asarray(truth) >= 0)
        of_truth = part[rows, truth[rows]]
        found[name] = -of_truth, part[rows].argmax(-1) == truth[rows]
    return found


def losses(scores: np.ndarray, data: Data) -> dict[str, float]:
    """The cross-entropy of labels and attributes together, nats an example, and the accuracy of each."""
    found = results(scores, data)
    total = sum(float(nats.mean(dtype=np.float64)) for nats, _ in found.values() if len(nats))
    accuracies = {_accuracy(name): float(right.mean()) for name, (_, right) in found.items() if len(right)}
    return {"cross_entropy": total, **accuracies}


def summary(scores: np.ndarray, model: GenerativeModel, data: Data) -> Metrics:
    """Cross-entropy and accuracy of the label, and the accuracy of each attribute, with receipts."""
    metrics: Metrics = {}
    receipt = {**of_data(data, model.modality), "seed": model.run_seed}
    for name, (nats, right) in results(scores, data).items():
        kinds = [(_accuracy(name), right, "share", "higher")]
        if name == "label":
            kinds.append(("cross_entropy", nats, "nats", "lower"))
        for measure, values, unit, better in kinds:
            none = metric(None, None, unit, better, {**receipt, "n": 0}, "exact")
            metrics[measure] = mean_of(values, unit, better, receipt) if len(values) else none
    return metrics


def _accuracy(name: str) -> str:
    return "accuracy" if name == "label" else f"{name}_accuracy"
