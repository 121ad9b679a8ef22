"""`prose`: the English text of Python's own documentation of its language, which every Python carries.

Paragraphs in the order of the topics, one a line, each once; split by position. The text is that of the
Python that prepares it: later versions say a little more.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data.dataset import Info

VERSION = "1.0.0"
LENGTH = 128  # characters of an example
#: Line feed and printable ASCII, the same in every version of the text.
VOCABULARY = ("\n", *map(chr, range(32, 127)))
PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "—": "-", "–": "-", "ß": "ss"})
CATALOGUE: dict[str, dict[str, Any]] = {
    "prose": {
        "summary": "English prose about the Python language, windows of 128 characters",
        "fields": ("tokens",),
        "image_shape": None,
        "levels": None,
        "classes": 0,
        "counts": {"train": 2_250, "validation": 150, "test": 150},
        "embedded": True,
        "source": "pydoc_data.topics of the Python that runs",
        "licence": "PSF-2.0",
    },
}


def describe(name: str) -> Info:
    """The description of `prose`."""
    return Info(vocabulary=VOCABULARY)


@functools.cache
def text() -> str:
    """The whole text: paragraphs of at least a word, unwrapped, each once."""
    from pydoc_data.topics import topics

    paragraphs = []
    for topic in sorted(topics):
        for block in re.split(r"\n\s*\n", topics[topic].translate(PLAIN)):
            lines = [line for line in block.split("\n") if re.search("[A-Za-z]", line)]
            plain = " ".join(" ".join(lines).split())
            paragraphs.append(re.sub("[^ -~]", "", plain))
    return "\n".join(dict.fromkeys(filter(None, paragraphs)))


def blocks(name: str, split: str) -> Iterator[dict[str, np.ndarray]]:
    """All examples of a split, one window after another.

    Yields:
        tokens int32 [N, 128].
    """
    counts = CATALOGUE["prose"]["counts"]
    code = {letter: number for number, letter in enumerate(VOCABULARY)}
    tokens = np.array([code[letter] for letter in text()[: sum(counts.values()) * LENGTH]], np.int32)
    start = sum(counts[earlier] for earlier in list(counts)[: list(counts).index(split)])
    yield {"tokens": tokens.reshape(-1, LENGTH)[start : start + counts[split]]}
