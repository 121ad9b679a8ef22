"""How well a classifier names classes and attributes, from the signature `classify` of its SavedModel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.data import in_order
from zoo.evaluation.calibration import BINS, calibration_error
from zoo.evaluation.metrics import Metrics, mean_of, metric
from zoo.evaluation.subject import Subject
from zoo.sampling import CHUNK

#: Fewer examples than this leave bins nearly empty.
FEW = 100 * BINS


def names(subject: Subject) -> Metrics:
    """Accuracy, cross-entropy and calibration error of the label, and the accuracy of each attribute."""
    model, data, info = subject.model, subject.data, subject.data.info

    def pieces() -> Iterator[np.ndarray]:
        for batch in in_order(data, CHUNK):
            said = model.classify(batch[model.takes])
            values = said.get("attribute_index", np.empty((len(said["class_index"]), 0)))
            yield np.concatenate([said["probabilities"], values], -1)

    table = np.concatenate([*subject.options.follow(pieces(), len(data), "classifying")])  # [N, K + A]
    count = model.signatures["classify"]["outputs"]["probabilities"]["shape"][1]
    label = _own(np.asarray(data.fields["label"]), info.class_names, model.class_names)
    rows = np.flatnonzero((label >= 0) & (label < count))
    receipt = {**subject.receipt, "n": len(rows)}
    found: Metrics = {}
    if len(rows):
        probabilities, truth = table[rows, :count], label[rows]
        of_truth = np.maximum(probabilities[np.arange(len(rows)), truth], np.finfo(np.float32).tiny)
        few = {"warning": f"{len(rows)} examples are few for {BINS} bins: it is too large"}
        bins = {**receipt, "bins": BINS, **(few if len(rows) < FEW else {})}
        right = probabilities.argmax(1) == truth
        found["accuracy"] = mean_of(right, "share", "higher", receipt)
        found["cross_entropy"] = mean_of(-np.log(of_truth), "nats", "lower", receipt)
        error = calibration_error(probabilities, truth)
        found["calibration_error"] = metric(error, None, "share", "lower", bins)
    for index, (name, values) in enumerate(model.attributes.items()):
        if name in info.attribute_names and table.shape[1] > count:
            column = info.attribute_names.index(name)
            truth = _own(data.fields["attributes"][:, column], info.attribute_values[column], tuple(values))
            known = truth >= 0
            right = table[known, count + index] == truth[known]
            if len(right):
                found[f"{name}_accuracy"] = mean_of(right, "share", "higher", subject.receipt)
    return found


def _own(index: np.ndarray, names: tuple[str, ...], own: tuple[str, ...]) -> np.ndarray:
    """Values of the data as the model numbers them, by name where both have names; -1: it has no such."""
    if not names or not own:
        return np.asarray(index)
    places = np.array([own.index(name) if name in own else -1 for name in names])
    return np.where(index >= 0, places[index], -1)
