"""Results: tables for people, JSON for programs, and files by their ending, written in pieces."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.errors import UsageError, nearest
from zoo.files import replacing

if TYPE_CHECKING:
    import numpy as np

#: An ending that stands for a folder with one file each.
FOLDER = ""


def write_json(document: Any) -> None:
    """Prints exactly one JSON document; what is not finite is null."""
    click.echo(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # a NumPy array or number
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table whose columns line up; numbers stand at the right.

    In a terminal it fits the width; elsewhere it is plain text of one line a row.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [["" if cell is None else cell for cell in row] for row in rows]
    console = Console(highlight=False)
    table = Table(
        *columns, box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, show_edge=False
    )
    for index, column in enumerate(table.columns):
        if rows and all(isinstance(row[index], int | float) or row[index] == "" for row in rows):
            column.justify = "right"
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    if console.is_terminal:
        console.print(table)
    else:
        buffer = io.StringIO()
        Console(file=buffer, width=1000, no_color=True, highlight=False).print(table)
        click.echo("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))


# -- where to ----------------------------------------------------------------------------------------------


def check_out(out: str | None, force: bool, endings: Sequence[str]) -> Path | None:
    """The path of `--out`, before any work is done.

    Args:
        out: as typed; a trailing slash or no ending means a folder.
        force: whether it may exist.
        endings: those that the command writes; `FOLDER` for a folder.

    Raises:
        UsageError: it exists, or its ending is none of these.
    """
    if out is None:
        return None
    path = Path(out)
    kind = ending(out)
    if kind not in endings:
        valid = [each or "a folder" for each in endings]
        given = f"the ending {kind}" if kind else "a folder"
        raise UsageError(
            f"--out {out}: cannot write {given}; use {', '.join(valid)}.{nearest(kind, endings)}"
        )
    if path.exists() and not force:
        raise UsageError(f"{out} exists. Choose another --out, or replace it with --force.")
    if path.exists() and path.is_dir() != (kind == FOLDER):
        raise UsageError(f"{out} is {'a folder' if path.is_dir() else 'a file'}. Choose another --out.")
    return path


def ending(out: str | os.PathLike[str]) -> str:
    """What the name says is to be written: `.png`, `.npz`, ... or `FOLDER`."""
    text = os.fspath(out)
    return FOLDER if text.endswith(("/", os.sep)) else Path(text).suffix.lower()


def free_name(stem: str, suffix: str) -> Path:
    """The first of `stem.png`, `stem-2.png`, ... in the present folder that is not there."""
    path, number = Path(stem + suffix), 2
    while path.exists():
        path, number = Path(f"{stem}-{number}{suffix}"), number + 1
    return path


# -- files in pieces ---------------------------------------------------------------------------------------


def write_npz(path: Path, arrays: Mapping[str, tuple[int, Iterable[np.ndarray]]]) -> None:
    """Writes arrays that need not fit into memory.

    Args:
        path: the `.npz`.
        arrays: name -> (number of rows, pieces [.., ...] with as many rows in all).
    """
    import numpy as np

    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, (rows, pieces) in arrays.items():
            # A fixed date: the same result gives the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                for index, piece in enumerate(pieces):
                    if index == 0:
                        header = {
                            "descr": np.lib.format.dtype_to_descr(piece.dtype),
                            "fortran_order": False,
                            "shape": (rows, *piece.shape[1:]),
                        }
                        np.lib.format.write_array_header_1_0(file, header)
                    file.write(np.ascontiguousarray(piece).tobytes())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows as they come."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes one text a line; line breaks inside a text become spaces."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(" ".join(line.splitlines()) + "\n" for line in lines)


def write_folder(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes files into a new folder, which appears when all are there; into one that exists, each by itself.

    Args:
        path: the folder; other files in it stay.
        files: names and contents.
    """
    if path.exists():
        for name, content in files:
            with replacing(path / name) as temporary:
                temporary.write_bytes(content)
        return
    with replacing(path) as folder:
        folder.mkdir()
        for name, content in files:
            (folder / name).write_bytes(content)
