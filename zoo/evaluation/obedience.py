"""Whether samples show what was asked for, as the extractor's classifier sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from zoo.evaluation.likeness import oracle
from zoo.evaluation.metrics import Metrics, mean_of
from zoo.evaluation.subject import Subject, in_pieces

#: Samples that are drawn with a label.
ASKED = 1000
#: A caption tells an attribute where its value stands in this share of them.
TOLD = 0.95


def labels(subject: Subject) -> Metrics:
    """How often a sample is of the class that it was drawn with; the labels take turns."""
    count = min(subject.options.samples, ASKED)
    label = np.arange(count) % len(subject.extractor.class_names)
    found = []
    for piece in in_pieces(subject.samples(count, label=label)):
        probabilities = subject.extractor.see(piece).probabilities
        assert probabilities is not None
        found.append(probabilities.argmax(1))
    receipt = subject.image_receipt(samples=count, **oracle(subject))
    right = np.concatenate(found) == label
    return {"label_accuracy": {**mean_of(right, "share", "higher", receipt, "estimate"), "receipt": receipt}}


def captions(subject: Subject) -> Metrics:
    """How often a sample has the class, and each attribute, that its caption tells."""
    receipt = subject.image_receipt(**oracle(subject))
    found: Metrics = {}
    for name, guess, truth in _truths(subject):
        right = guess == truth
        metric = mean_of(right, "share", "higher", receipt, "estimate")
        found[f"caption_{name}_accuracy"] = {**metric, "receipt": {**receipt, "samples": len(right)}}
    return found


def _truths(subject: Subject) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """What captions tell: its name, what was seen in each sample of which it is told, and what its caption
    says.
    """
    drawn, fields, info = subject.drawn, subject.data.fields, subject.data.info
    rows = drawn.rows % len(subject.data)
    texts = [str(text) for text in fields["caption"][rows]]
    columns: list[tuple[str, np.ndarray, np.ndarray, list[str]]] = []
    if drawn.classes is not None and "label" in fields:
        columns.append(("class", drawn.classes, fields["label"][rows], list(info.class_names)))
    known = dict(zip(info.attribute_names, map(list, info.attribute_values), strict=True))
    for index, (name, values) in enumerate(subject.extractor.attributes.items()):
        if drawn.attributes is not None and known.get(name) == values:
            column = info.attribute_names.index(name)
            columns.append((name, drawn.attributes[:, index], fields["attributes"][rows, column], values))
    for name, guess, truth, values in columns:
        told = np.array(
            [value >= 0 and says(text, values[value]) for value, text in zip(truth, texts, strict=True)]
        )
        if np.mean(told) >= TOLD:
            # What a caption leaves open cannot be got wrong.
            yield name, guess[told], truth[told]


def says(text: str, value: str) -> bool:
    """Whether a value stands in a text as whole words, whatever the case."""
    return re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", text.lower()) is not None
