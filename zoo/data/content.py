"""The whole of a source, all splits together, on its way to `Data`."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from zoo.data.dataset import Data, Info
from zoo.errors import UsageError

LARGE = 256 * 2**20  # bytes
SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Content:
    """Everything that a source holds.

    Attributes:
        fields: arrays over all rows.
        info: the description, without `files` and `splits`.
        parts: the rows of each split that the source has itself: `{"train": (0, 900), "test": (900, 1000)}`.
        files: the file of each row, or nothing.
    """

    fields: Mapping[str, np.ndarray]
    info: Info = field(default_factory=Info)
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))


def with_all_splits(content: Content) -> Content:
    """Gives a source that has some splits of its own the one that it lacks.

    A test split that is missing is the validation split: a figure that is reported is one of examples that
    chose nothing. A validation split that is missing is carved from the end of train: a tenth, at most 5,000
    rows, so that MNIST gives 55,000 / 5,000 / 10,000 wherever it comes from. A train split alone is no split.
    """
    parts, info = dict(content.parts), content.info
    if set(parts) == {"train"}:
        return replace(content, parts={})
    if "test" not in parts and has_test(parts):
        parts["test"] = parts.pop("validation")
        note = "there is no test split: the validation split is taken for it"
        info = replace(info, notes=(*info.notes, note))
    if "train" in parts and "test" in parts and "validation" not in parts:
        start, stop = parts["train"]
        middle = stop - min((stop - start) // 10, 5000)
        if middle < stop:
            parts["train"], parts["validation"] = (start, middle), (middle, stop)
    return replace(content, info=info, parts={split: parts[split] for split in SPLITS if split in parts})


def has_test(splits: Collection[str]) -> bool:
    """Whether a source with these splits of its own has a test split, or one that is taken for it."""
    return "test" in splits or {"train", "validation"} <= set(splits)


def fixed_split(length: int, by_position: bool = False) -> dict[str, np.ndarray]:
    """90 % train, 5 % validation, 5 % test, by a permutation that depends on the length alone.

    Args:
        length: how many rows there are.
        by_position: cut in order instead, for text.

    Returns:
        The rows of each split. Each gets at least one row where there are three.
    """
    order = np.arange(length)
    if not by_position:
        order = np.random.Generator(np.random.Philox(length)).permutation(length)
    small = max(length // 20, 1) if length >= 3 else 0
    train = length - 2 * small
    return {
        "train": order[:train],
        "validation": order[train : train + small],
        "test": order[train + small :],
    }


def cut(content: Content, spec: str, split: str, limit: int | None = None) -> Data:
    """Takes one split.

    Args:
        content: the whole.
        spec: what the user asked for.
        split: `train`, `validation`, `test` or `all`.
        limit: at most this many rows.

    Raises:
        UsageError: if the source has no such split, or no row in it.
    """
    if split not in SPLITS:
        raise UsageError(f"There is no split {split!r}: use train, validation, test or all.")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}.")
    chosen: dict[str, slice | np.ndarray] = {"all": slice(0, len(content))}
    if content.parts:
        chosen |= {name: slice(*bounds) for name, bounds in content.parts.items()}
        sizes = {name: stop - start for name, (start, stop) in content.parts.items()}
    else:
        rows = fixed_split(len(content), by_position="tokens" in content.fields)
        chosen |= rows
        sizes = {name: len(index) for name, index in rows.items()}
    if split not in chosen:
        raise UsageError(f"{spec} has no {split} split: it has {', '.join(chosen)}.")
    index = chosen[split]
    if isinstance(index, slice):
        stop = index.stop if limit is None else min(index.stop, index.start + limit)
        index = slice(index.start, stop)
        files = content.files[index]
    else:
        index = index[:limit]
        files = tuple(content.files[i] for i in index) if content.files else ()
    fields = {name: take(array, index) for name, array in content.fields.items()}
    if not len(next(iter(fields.values()))):
        raise UsageError(f"The {split} split of {spec} is empty: it holds {len(content)} examples in all.")
    return Data(spec, split, fields, replace(content.info, files=files, splits=sizes))


def take(array: np.ndarray, index: slice | np.ndarray) -> np.ndarray:
    """Some rows of an array: a view, or a copy, which lies on disk where it is large and the array does."""
    if isinstance(index, slice) or not isinstance(array, np.memmap):
        return array[index]
    shape = (len(index), *array.shape[1:])
    if math.prod(shape) * array.itemsize < LARGE:
        return np.asarray(array[index])
    # Without a name: it goes when nobody maps it any more. Not in /tmp, which may be memory.
    with tempfile.TemporaryFile(dir=Path(str(array.filename)).parent) as file:
        copy = np.memmap(file, array.dtype, "w+", shape=shape)
    for start in range(0, len(index), 1024):
        copy[start : start + 1024] = array[index[start : start + 1024]]
    return copy


def digest_files(paths: Iterable[Path]) -> str:
    """Short sha256 of the bytes of files: 16 hex digits."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()[:16]


def digest_fields(fields: Mapping[str, np.ndarray]) -> str:
    """Short sha256 of arrays with their names, types and shapes: 16 hex digits."""
    found = hashlib.sha256()
    for name, array in sorted(fields.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        for start in range(0, len(array), 4096):
            found.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return found.hexdigest()[:16]
