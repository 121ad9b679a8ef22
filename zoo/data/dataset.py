"""What `load` returns: arrays with their description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from zoo.errors import UsageError


@dataclass(frozen=True)
class Info:
    """What is known about a dataset, the same for all its splits except `files`.

    Attributes:
        levels: how many values a pixel can take (0 .. levels-1); None where there are no images.
        class_names: the name of each label.
        attribute_names: the name of each column of `attributes`.
        attribute_values: for each of those columns the name of each of its values.
        domain_names: the name of each domain.
        feature_names: the name of each column of `features`.
        dequantised: (H, W, C) of the images that `features` are, with noise added; () of other features.
        vocabulary: the symbol of each token id.
        files: the file that each row of this split came from, or nothing.
        splits: how many rows each split has.
        fingerprint: short hash of the content, before any conversion.
        local: whether these are the user's own files.
        notes: what was converted, one line each.
    """

    levels: int | None = None
    class_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    attribute_values: tuple[tuple[str, ...], ...] = ()
    domain_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    dequantised: tuple[int, ...] = ()
    vocabulary: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    local: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Data:
    """One split of a dataset.

    Attributes:
        spec: as it was asked for, e.g. `glyphs` or `npz:mine.npz`.
        split: `train`, `validation`, `test` or `all`.
        fields: arrays with one row an example, memory-mapped where they are large: `image` uint8 [N, H, W, C]
            with values 0 .. levels-1, `label` int32 [N] (-1: unlabelled), `attributes` int32 [N, A],
            `domain` int32 [N], `caption` str [N], `features` float32 [N, d], `tokens` int32 [N, T].
        info: its description.
    """

    spec: str
    split: str
    fields: Mapping[str, np.ndarray]
    info: Info

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def coarsened(self, levels: int | None) -> str | None:
        """What to tell where a model scores values of fewer levels than the data has; None where it does not.

        Args:
            levels: of the scored values; None: they are not quantised.
        """
        if levels is None or self.info.levels is None or levels >= self.info.levels:
            return None
        to_two = "a pixel of half or more is 1: the likelihood is that of binary images"
        to_more = f"they are rounded: the likelihood is that of values of {levels} levels"
        told = to_two if levels == 2 else to_more
        return f"{self.spec} has values of {self.info.levels} levels, the model {levels}; {told}."

    def require(self, *fields: str) -> None:
        """Checks that the data has all these fields.

        Raises:
            UsageError: naming what is missing and which named datasets have it.
        """
        missing = [name for name in fields if name not in self.fields]
        if not missing:
            return
        from zoo.data.catalogue import CATALOGUE

        having = [name for name, entry in CATALOGUE.items() if set(fields) <= set(entry["fields"])]
        where = f"Datasets that have it: {', '.join(having)}." if having else "No named dataset has it."
        raise UsageError(
            f"{self.spec} has no {' and no '.join(missing)} (it has {', '.join(self.fields)}).\n{where}"
        )


def rounded(images: np.ndarray, levels: int) -> np.ndarray:
    """Images [..., H, W, C] in [0, 1] of so many levels: each value the nearest one, halves upward."""
    last = np.float32(levels - 1)
    found: np.ndarray = np.floor(images * last + np.float32(0.5)) / last
    return found
