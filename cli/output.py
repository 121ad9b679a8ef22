"""Results: tables for people, JSON for programs, and files by their ending, written in pieces."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.errors import UsageError, nearest
from zoo.files import replacing
from zoo.plain import figures, plain

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("gmzoo")

#: An ending that stands for a folder with one file each.
FOLDER = ""


def write_json(document: Any) -> None:
    """Prints exactly one JSON document; what is not finite is null."""
    click.echo(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False))


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
    table.columns[0].no_wrap = True  # a name, which has to be read whole
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


def write_measures(metrics: Mapping[str, Mapping[str, Any]], spread: str = "standard error") -> None:
    """Writes measured values as a table.

    Args:
        metrics: name -> what was measured.
        spread: what stands beside the values.
    """
    values, errors = zip(*(figures(each) for each in metrics.values()), strict=True)
    width = max(map(len, values))
    rows = [
        (name, value.rjust(width), f"+- {error}" if error else "", each["unit"], each["kind"], each["better"])
        for (name, each), value, error in zip(metrics.items(), values, errors, strict=True)
    ]
    write_table(("metric", "value", spread, "unit", "kind", "better"), rows)


def measure(metric: Mapping[str, Any]) -> str:
    """`-88.30 +- 0.22 nats`."""
    return f"{' +- '.join(filter(None, figures(metric)))} {metric['unit']}"


# -- where to ----------------------------------------------------------------------------------------------


def check_out(out: str | None, force: bool, endings: Sequence[str]) -> Path | None:
    """The path of `--out`, before any work is done.

    Args:
        out: as typed; a trailing slash or no ending means a folder.
        force: whether it may exist.
        endings: those that the command writes; `FOLDER` for a folder.

    Raises:
        UsageError: it exists, its ending is none of these, or nothing can be written there.
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
    check_writable(path)
    return path


def check_writable(path: Path) -> None:
    """Looks whether a file or folder can be made, before any work is done.

    Args:
        path: where; folders above it that are missing will be made.

    Raises:
        UsageError: what is there of the way to it is a file, or may not be written to.
    """
    above = path if path.is_dir() else path.absolute().parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise UsageError(f"Cannot write {path}: {above} is a file. Choose another --out.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"Cannot write {path}: no permission to write in {above}. Choose another --out.")


def ending(out: str | os.PathLike[str]) -> str:
    """What the name says is to be written: `.png`, `.npz`, ... or `FOLDER`."""
    text = os.fspath(out)
    return FOLDER if text.endswith(("/", os.sep)) else Path(text).suffix.lower()


def free_name(stem: str, *suffixes: str) -> Path:
    """The first of `stem.png`, `stem-2.png`, ... in the present folder that is not there.

    Args:
        stem: how the name begins.
        suffixes: the ending; further ones that must not be there either, since they are written beside it.

    Raises:
        UsageError: nothing can be written there.
    """
    path, number = Path(stem + suffixes[0]), 2
    while any(path.with_suffix(suffix).exists() for suffix in suffixes):
        path, number = Path(f"{stem}-{number}{suffixes[0]}"), number + 1
    check_writable(path)
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


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """Writes a text piece by piece."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


def write_folder(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes files into a new folder, which appears when all are there; into one that exists, each by itself.

    Args:
        path: the folder; other files in it stay, and are told of.
        files: names and contents; a name may lead into a folder inside.
    """
    if path.exists():
        others = {each.relative_to(path).as_posix() for each in path.rglob("*") if not each.is_dir()}
        for name, content in files:
            others.discard(name)
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            with replacing(path / name) as temporary:
                temporary.write_bytes(content)
        if others:
            log.warning("%s: other files, from before, stay there (%d)", path, len(others))
        return
    with replacing(path) as folder:
        folder.mkdir()
        for name, content in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
