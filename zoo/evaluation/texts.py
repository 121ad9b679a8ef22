"""How varied drawn texts are: the share of different ones among their runs of n words.

    distinct-n = different n-grams / all n-grams, over all samples together

It falls with the amount of text, whatever its quality, so it is compared with real text of the same amount.

Reference: Li et al., A Diversity-Promoting Objective Function, arXiv 1510.03055, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def distinct_runs(sequences: Iterable[Sequence[str]], n: int) -> float | None:
    """The share of different ones among all runs of n items of sequences; None where there is no run."""
    runs = [tuple(each[start : start + n]) for each in sequences for start in range(len(each) - n + 1)]
    return len(set(runs)) / len(runs) if runs else None


def distinct(texts: Iterable[str], n: int) -> float | None:
    """distinct-n of the words of texts, which white space parts; None where no text has n words."""
    return distinct_runs((text.split() for text in texts), n)
