"""Captions that do not fit: for each example the caption of another one, that says something else.

What two captions mean is the same where they are the same words, or where their images agree in all
attributes. Where there are classes and no attributes, captions of one class count as the same too: each may
well be true of the other's image.
"""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np

from zoo.data.dataset import Data
from zoo.errors import UsageError

#: Draws for one caption, of which all mean the same as it, before it is given up.
TRIES = 1000
NOTHING = -1


class Mismatched:
    """Draws a wrong caption for each example of a batch."""

    def __init__(self, data: Data, candidates: int, seed: int) -> None:
        """
        Args:
            data: with captions.
            candidates: so many captions are drawn for an example, of which the one is taken that shares most
                words with its own: it is wrong in few words. 1: whatever comes.
            seed: the run's seed.

        Raises:
            UsageError: the data has no captions, or all mean the same.
        """
        data.require("caption")
        self.data, self.candidates, self.seed = data, candidates, seed
        self.captions = np.asarray(data.fields["caption"])
        self.meanings = meanings(data)
        if (self.meanings[:, 0] == self.meanings[0, 0]).all():
            raise UsageError(f"All captions of {data.spec} mean the same: there is no wrong one.")

    @cached_property
    def words(self) -> np.ndarray:
        """The words of each caption, each once, as numbers in rows that end with `NOTHING`: int32 [N, S]."""
        number: dict[str, int] = {}
        texts, place = np.unique(self.captions, return_inverse=True)
        rows = [
            [number.setdefault(word, len(number)) for word in dict.fromkeys(spelled(text))] for text in texts
        ]
        found = np.full((len(rows), max(map(len, rows))), NOTHING, np.int32)
        for row, numbers in zip(found, rows, strict=True):
            row[: len(numbers)] = numbers
        return found[place]

    def same(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether the captions of rows a and b mean the same, bool of the shape of both."""
        first, second = self.meanings[a], self.meanings[b]
        return ((first == second) & (first != NOTHING)).any(-1)

    def shared(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How many words the captions of rows a and b share, int of the shape of both."""
        first, second = self.words[a], self.words[b]
        equal = first[..., :, None] == second[..., None, :]
        return (equal & (first != NOTHING)[..., :, None]).sum((-2, -1))

    def rows(self, index: np.ndarray, step: int) -> np.ndarray:
        """The rows of wrong captions.

        Args:
            index: the rows of a batch, int [B].
            step: that the batch is of: the draws are a function of it and the seed.

        Returns:
            int64 [B].

        Raises:
            UsageError: nothing but captions of the same meaning was found for one of them.
        """
        random = np.random.Generator(np.random.Philox([self.seed, PURPOSE, step]))
        wrong = np.full(len(index), NOTHING, np.int64)
        for _ in range(TRIES):
            open_rows = np.flatnonzero(wrong == NOTHING)
            if not len(open_rows):
                return wrong
            own = index[open_rows, None]
            drawn = random.integers(len(self.captions), size=(len(open_rows), self.candidates))
            score = self.shared(own, drawn) if self.candidates > 1 else np.zeros(drawn.shape, int)
            score = np.where(self.same(own, drawn), NOTHING, score)
            best = score.argmax(1)[:, None]
            found = np.take_along_axis(drawn, best, 1)[:, 0]
            fits = np.take_along_axis(score, best, 1)[:, 0] != NOTHING
            wrong[open_rows[fits]] = found[fits]
        caption = str(self.captions[index[open_rows[0]]])
        raise UsageError(f"No caption of {self.data.spec} was found that means other than {caption!r}.")

    def __call__(self, index: np.ndarray, step: int) -> np.ndarray:
        """The wrong captions, str [B]: see `rows`."""
        found: np.ndarray = self.captions[self.rows(index, step)]
        return found


# Keeps these draws apart from those of the order.
PURPOSE = 0x3C


def spelled(text: str) -> list[str]:
    """The words of a text, in small letters, and its signs."""
    return re.findall(r"[\w'-]+|[^\w\s]", str(text).lower())


def meanings(data: Data) -> np.ndarray:
    """Numbers of which two examples share one where their captions mean the same: int64 [N, 2].

    They are that of the words, and that of all attributes, or of the class; `NOTHING` where that is not
    known, or the same of all examples.
    """
    texts = [" ".join(spelled(text)) for text in data.fields["caption"]]
    of_words = np.unique(texts, return_inverse=True)[1]
    of_image = np.full(len(texts), NOTHING)
    known = None
    if "attributes" in data.fields:
        values = np.asarray(data.fields["attributes"])
        known, of_image = (values >= 0).all(1), np.unique(values, axis=0, return_inverse=True)[1]
    elif "label" in data.fields:
        of_image = np.asarray(data.fields["label"])
        known = of_image >= 0
    if known is not None:
        apart = len(np.unique(of_image[known])) > 1
        of_image = np.where(known & apart, of_image, NOTHING)
    return np.stack([of_words, of_image], 1).astype(np.int64)
