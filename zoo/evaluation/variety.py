"""How varied the texts are that a model draws."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zoo.evaluation.metrics import Metrics, metric
from zoo.evaluation.subject import Subject
from zoo.evaluation.texts import distinct


def runs_of_words(subject: Subject) -> Metrics:
    """distinct-1, -2 and -3 of the samples, and in the receipts that of as much real text."""
    count = subject.options.samples
    texts = [row.decode("utf-8", "replace") for piece in subject.samples(count) for row in piece.tolist()]
    length = sum(map(len, texts))
    real = _real_texts(subject, length)
    receipt = {**subject.receipt, "samples": count, "characters": length}
    return {
        f"distinct_{n}": metric(
            distinct(texts, n), None, "share", None, {**receipt, "real": distinct(real, n)}
        )
        for n in (1, 2, 3)
    }


def _real_texts(subject: Subject, characters: int) -> list[str]:
    """Texts of the data, with about so many characters in all."""
    fields = subject.data.fields
    if "tokens" in fields:
        symbols = np.array(subject.data.info.vocabulary, object)
        rows: Iterable[str] = ("".join(symbols[row]) for row in np.asarray(fields["tokens"]))
    else:
        rows = map(str, fields["text"])
    found, total = [], 0
    for text in rows:
        if total >= characters:
            break
        found.append(text)
        total += len(text)
    return found
