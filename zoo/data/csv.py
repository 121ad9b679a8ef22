"""`csv:PATH`: a table. Columns of numbers are features; columns of words a label, attributes or captions."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from zoo.data.content import Content, digest_files
from zoo.data.dataset import Info
from zoo.data.local import existing
from zoo.data.tables import numbers_first
from zoo.errors import UsageError

LABELS = ("label", "class", "target", "species")
PAIR_NAMES = ({"caption", "text"}, {"source", "target"})
MOST_VALUES = 50  # of a column of names; one with more holds captions


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: from the header, or `column 3`.
        cells: what stands in it.
    """

    name: str
    cells: list[str]

    @cached_property
    def numbers(self) -> list[float | None]:
        """The number in each cell that holds one."""
        return [number(cell) for cell in self.cells]

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The different cells, in order."""
        return tuple(sorted(set(self.cells), key=numbers_first))

    @property
    def codes(self) -> list[int]:
        """For each cell its position in `values`."""
        code = {value: position for position, value in enumerate(self.values)}
        return [code[cell] for cell in self.cells]

    @property
    def kind(self) -> str:
        """`label`, `features`, `attributes` or `caption`."""
        recurs = len(self.values) <= min(MOST_VALUES, max(len(self.cells) // 2, 1))
        if self.name.lower() in LABELS and recurs:
            return "label"
        if mostly_numbers(self.numbers):
            return "features"
        return "attributes" if recurs else "caption"


def read(path: Path) -> Content:
    """Reads the table.

    A header is found by its words over numbers. A column called label, class, target or species is the label,
    else the first column of words that recur; other columns of words that recur are attributes, and words
    that do not recur are captions. Two columns of captions, or two that are called source and target, are
    captions and the texts that they lead to.

    Raises:
        UsageError: naming the line and column that is wrong.
    """
    existing(path, "csv")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name one .csv file.")
    lines, columns = read_columns(path)
    named = {column.name.lower() for column in columns} in PAIR_NAMES
    if named or [column.kind for column in columns] == ["caption", "caption"]:
        return pairs(path, columns)
    kinds = defaultdict(list)
    for column in columns:
        kinds[column.kind].append(column)
    # One label; where no name says which, the first column of names.
    labels = (kinds["label"] + kinds["attributes"])[:1]
    attributes = [column for column in kinds["label"] + kinds["attributes"] if column not in labels]
    for column in labels + attributes:
        if "" in column.values:
            line = lines[column.cells.index("")]
            raise UsageError(f"{path}, line {line}: {column.name} is empty. Fill it in, or remove the line.")

    fields: dict[str, np.ndarray] = {}
    notes = []
    if kinds["features"]:
        fields["features"] = features(path, lines, kinds["features"])
    for column in labels:
        fields["label"] = np.array(column.codes, np.int32)
        notes.append(f"{column.name} is the label ({len(column.values)} classes)")
    if attributes:
        fields["attributes"] = np.array([column.codes for column in attributes], np.int32).T.copy()
        notes += [f"{column.name} is an attribute ({len(column.values)} values)" for column in attributes]
    if kinds["caption"]:
        texts = zip(*(column.cells for column in kinds["caption"]), strict=True)
        fields["caption"] = np.array([" ".join(text) for text in texts])
        notes.append(f"{' and '.join(column.name for column in kinds['caption'])} is the caption")
    info = Info(
        class_names=labels[0].values if labels else (),
        attribute_names=tuple(column.name for column in attributes),
        attribute_values=tuple(column.values for column in attributes),
        feature_names=tuple(column.name for column in kinds["features"]),
        fingerprint=digest_files([path]),
        local=True,
        notes=tuple(notes),
    )
    return Content(fields, info)


def pairs(path: Path, columns: list[Column]) -> Content:
    """A table of captions and the texts that they lead to."""
    first, second = sorted(columns, key=lambda column: column.name.lower() in ("text", "target"))
    fields = {"caption": np.array(first.cells), "text": np.array(second.cells)}
    notes = (f"{first.name} is the caption, {second.name} the text that it leads to",)
    return Content(fields, Info(fingerprint=digest_files([path]), local=True, notes=notes))


def read_columns(path: Path) -> tuple[list[int], list[Column]]:
    """The columns of a table, and the number of the line of each row.

    Raises:
        UsageError: if it is empty, no text, or its lines differ in length.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first.count))
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a table in UTF-8 text ({error}).") from error
    if not rows:
        raise UsageError(f"{path} is empty.")
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise UsageError(f"{path}, line {line} has {len(row)} columns, the first line has {width}.")
    lines = [line for line, _ in rows]
    columns = [
        Column(f"column {place}", list(cells))
        for place, cells in enumerate(zip(*(row for _, row in rows), strict=True), 1)
    ]
    # A header: words over a column of numbers, or the names of a pair.
    over_numbers = any(each.numbers[0] is None and mostly_numbers(each.numbers[1:]) for each in columns)
    if over_numbers or {each.cells[0].lower() for each in columns} in PAIR_NAMES:
        columns = [Column(column.cells[0] or column.name, column.cells[1:]) for column in columns]
        lines = lines[1:]
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise UsageError(f"{path}: two columns have the same name: {', '.join(names)}.")
    return lines, columns


def features(path: Path, lines: list[int], columns: list[Column]) -> np.ndarray:
    """The columns of numbers: float32 [N, d].

    Raises:
        UsageError: naming the first cell that is no finite number.
    """
    for column in columns:
        if None in column.numbers:
            row = column.numbers.index(None)
            raise UsageError(
                f"{path}, line {lines[row]}: {column.name} is {column.cells[row]!r}, not a number.\n"
                "Fill it in, or remove the line."
            )
    with np.errstate(over="ignore"):
        table = np.array([column.numbers for column in columns], np.float64).T.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, place = wrong[0]
        cell = columns[place].cells[row]
        raise UsageError(f"{path}, line {lines[row]}: {columns[place].name} is {cell}, which is not finite.")
    return np.ascontiguousarray(table)


def number(text: str) -> float | None:
    """The number that a cell holds, if it holds one."""
    try:
        return float(text)
    except ValueError:
        return None


def mostly_numbers(column: list[float | None]) -> bool:
    """Whether more than half of some cells hold numbers."""
    return sum(value is not None for value in column) * 2 > len(column)
