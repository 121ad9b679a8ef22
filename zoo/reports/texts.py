"""Many texts in one that people read: each as it is, under the seed that gives it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def pages(texts: Iterable[str], seeds: Iterable[int], headed: bool) -> Iterator[str]:
    """The pieces of a text that holds others, line breaks and all.

    Args:
        texts: what it holds.
        seeds: the seed of each.
        headed: whether a line with the seed stands above each; one alone needs none.
    """
    for index, (text, seed) in enumerate(zip(texts, seeds, strict=True)):
        if headed:
            yield f"{'' if index == 0 else chr(10)}== seed {seed} ==\n"
        yield f"{text}\n"
