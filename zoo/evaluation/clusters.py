"""Categories of a code that were found without labels, matched with the classes of the data.

    matched    each category stands for one class at most, and so that most examples are right (the assignment
               problem; the Hungarian method solves it): what InfoGAN's paper reports
    majority   each category stands for the class that most of its examples have, so that several can stand
               for one: what the adversarial autoencoder's paper reports of clusters
    category   category k stands for class k: of a model that was given labels

The categories are matched on the very examples that are counted. With a few categories and thousands of
examples that flatters by little; with as many categories as examples, `majority` would be 1.

References:
    Chen et al., InfoGAN, arXiv 1606.03657, section 7.2.
    Makhzani et al., Adversarial Autoencoders, arXiv 1511.05644, section 6.
    Kuhn, The Hungarian Method for the Assignment Problem, Naval Research Logistics Quarterly 2, 1955.

Shapes: N examples, K categories, C classes.
"""

from __future__ import annotations

import numpy as np

from zoo.evaluation.metrics import Metrics, mean_of
from zoo.evaluation.probing import encoded, labelled
from zoo.evaluation.subject import Subject
from zoo.latents import placed
from zoo.sampling import LoadedModel


def categories(model: LoadedModel) -> list[slice]:
    """Where in its codes a model has categories."""
    return [units for part, units in placed(model.encoded_parts) if part.family == "one_hot"]


def counts(category: np.ndarray, label: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How many examples there are of each category and class: int64 [K, C]."""
    found = np.zeros(shape, np.int64)
    np.add.at(found, (category, label), 1)
    return found


def matched(table: np.ndarray) -> np.ndarray:
    """The class of each category, int64 [K], none for two of them; -1 for those that no class is left for."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    found = np.full(len(table), -1)
    found[rows] = columns
    return found


def agreement(subject: Subject) -> Metrics:
    """How the categories of the code agree with the classes; of several kinds of category the best one."""
    model, info = subject.model, subject.data.info
    codes, label = encoded(subject, labelled(subject.data), "encoding")
    classes = len(info.class_names)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray, slice]] = []
    for units in categories(model):
        category = codes[:, units].argmax(1)
        table = counts(category, label, (units.stop - units.start, classes))
        found.append((category, matched(table)[category] == label, table.argmax(1)[category] == label, units))
    category, one_to_one, many_to_one, units = max(found, key=lambda each: each[1].mean())
    receipt = {**subject.receipt, "units": [units.start, units.stop - 1], "matched_on": "the same examples"}
    metrics = {
        "matched_accuracy": mean_of(one_to_one, "share", "higher", receipt, "estimate"),
        "majority_accuracy": mean_of(many_to_one, "share", "higher", receipt, "estimate"),
    }
    if told_classes(model, units) and model.class_names == info.class_names:
        own = {key: value for key, value in receipt.items() if key != "matched_on"}
        metrics["category_accuracy"] = mean_of(category == label, "share", "higher", own)
    return metrics


def told_classes(model: LoadedModel, units: slice) -> bool:
    """Whether the model was told by labels what its categories are."""
    return bool(model.card.get("config", {}).get("classes")) and units.stop - units.start == len(
        model.class_names
    )
