"""`captions.tsv` and `attributes.csv`: what is said of the images of a folder."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from zoo.errors import UsageError

CAPTIONS, ATTRIBUTES = "captions.tsv", "attributes.csv"


@dataclass
class Tables:
    """What the tables of a folder say.

    Attributes:
        captions: of each image that has one.
        attributes: the cells of each image that has them.
        columns: the names of the attributes.
        notes: what of the tables was left out, one line each.
    """

    captions: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, list[str]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_tables(
    paths: Sequence[str], images: Sequence[str], read: Callable[[str], bytes], root: str
) -> Tables:
    """Reads all tables of a folder. Of several lines for one image the first one counts.

    Args:
        paths: where they lie. A table speaks of the images in its own folder and below, which it names by
            their path from there, their name, or their name without its ending.
        images: the paths of the images.
        read: gives the bytes of a file.
        root: named in errors.

    Raises:
        UsageError: naming the line that is wrong.
    """
    tables = Tables()
    for table in paths:
        exact: dict[str, str] = {}
        short: dict[str, set[str]] = {}
        for image in images:
            path, folder = PurePosixPath(image), PurePosixPath(table).parent
            if folder in path.parents:
                exact[str(path.relative_to(folder))] = image
                for name in (path.name, path.stem):
                    short.setdefault(name, set()).add(image)
        captions = PurePosixPath(table).name == CAPTIONS
        told: dict[str, Any] = tables.captions if captions else tables.attributes
        first, further, nowhere = True, 0, 0
        for number, line in read_lines(table, read, root, captions):
            where = f"{root}: {table}, line {number}"
            if len(line) < 2:
                raise UsageError(f"{where} has one column: expected a file and more.")
            # Attributes have a header, captions may have one: it names no image, and has no ending.
            header, first = first and not (captions and PurePosixPath(line[0]).suffix), False
            if header and not captions:
                if tables.columns not in ([], line[1:]):
                    raise UsageError(f"{root}: the {ATTRIBUTES} files differ in their columns.")
                tables.columns = line[1:]
                continue
            found = {exact[line[0]]} if line[0] in exact else short.get(line[0], set())
            if len(found) > 1:
                one, other, *_ = sorted(found)
                raise UsageError(f"{where}: {line[0]} may be {one} or {other}. Write the path.")
            if not captions and len(line) != len(tables.columns) + 1:
                raise UsageError(
                    f"{where} has {len(line)} columns, the header has {len(tables.columns) + 1}."
                )
            named = next(iter(found), None)
            if named is None:
                nowhere += not header
            elif named in told:
                further += 1
            else:
                told[named] = line[1].strip() if captions else [cell.strip() for cell in line[1:]]
        if not told:
            raise UsageError(f"{root}: {table} names none of the images.")
        if further:
            tables.notes.append(f"{table}: {further} further lines of the same images are left out")
        if nowhere:
            tables.notes.append(f"{table}: {nowhere} lines name no image")
    return tables


def read_lines(
    table: str, read: Callable[[str], bytes], root: str, tabs: bool
) -> Iterator[tuple[int, list[str]]]:
    """The lines of one table that are not empty: the number of each, and its cells.

    Args:
        table, read, root: as in `read_tables`.
        tabs: columns end with a tab and quotes mean nothing; else it is CSV.

    Raises:
        UsageError: it is no such text.
    """
    try:
        text = read(table).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{root}: {table} is not UTF-8 text (byte {error.start}).") from error
    stream = io.StringIO(text, newline="")
    lines = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(stream)
    try:
        for line in lines:
            if line:
                yield lines.line_num, line
    except csv.Error as error:
        raise UsageError(f"{root}: {table}, line {lines.line_num} cannot be read: {error}.") from error


def attribute_columns(
    tables: Tables, images: Sequence[str]
) -> tuple[np.ndarray, tuple[tuple[str, ...], ...]]:
    """The attributes as numbers.

    Returns:
        int32 [N, A], -1 where an image has none or its cell is empty, and the names of each attribute's
        values: numbers by size, then words.
    """
    columns = zip(*tables.attributes.values(), strict=True)
    values = tuple(tuple(sorted({*column} - {""}, key=numbers_first)) for column in columns)
    table = np.full((len(images), len(values)), -1, np.int32)
    for row, image in enumerate(images):
        for column, cell in enumerate(tables.attributes.get(image, ())):
            if cell:
                table[row, column] = values[column].index(cell)
    return table, values


def numbers_first(text: str) -> tuple[float, str]:
    """Sorts numbers by size, before words; "nan" is a word."""
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    return math.inf if math.isnan(value) else value, text
