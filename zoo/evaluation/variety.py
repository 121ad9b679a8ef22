"""How varied the texts are that a model draws."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zoo.evaluation.metrics import Metrics, metric
from zoo.evaluation.subject import Subject
from zoo.evaluation.texts import distinct


def runs_of_words(subject: Subject) -> Metrics:
    """distinct-1, -2 and -3 of as many samples as there are texts, and in the receipts that of real text.

    Of real text as many characters are taken, rounded up to whole texts, if there are so many.
    """
    count = min(subject.options.samples, len(subject.data))
    texts = [row.decode("utf-8", "replace") for piece in subject.samples(count) for row in piece.tolist()]
    length = sum(map(len, texts))
    real = _real_texts(subject, length)
    receipt = {**subject.receipt, "samples": count, **subject.of_temperature}
    found: Metrics = {}
    for n in (1, 2, 3):
        beside = {
            "characters": length,
            "real_characters": sum(map(len, real)),
            "real": distinct(real, n),
        }
        found[f"distinct_{n}"] = metric(distinct(texts, n), None, "share", None, {**receipt, "found": beside})
    return found


def _real_texts(subject: Subject, characters: int) -> list[str]:
    """Texts of the data, with about so many characters in all."""
    fields = subject.data.fields
    if "tokens" in fields:
        symbols = np.array(subject.data.info.vocabulary, object)
        rows: Iterable[str] = ("".join(symbols[row[row >= 0]]) for row in np.asarray(fields["tokens"]))
    else:
        rows = map(str, fields["text"])
    found, total = [], 0
    for text in rows:
        if total >= characters:
            break
        found.append(text)
        total += len(text)
    return found
