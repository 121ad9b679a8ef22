"""`gmzoo encode`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


@click.command("encode", cls=Command)
@model_options
@data_options
@split_option
@click.option("--draw", is_flag=True, help="A draw of each code, instead of its mean.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the draws: example i has seed SEED + i.  [default: 0]"
)
@out_options
def command(
    model: str,
    runs_dir: str | None,
    draw: bool,
    seed: int | None,
    out: str | None,
    force: bool,
    **source: Any,
) -> None:
    """Encode data.

    Writes an .npz that holds `code` [N, d], or a .csv with one line an example.

        gmzoo encode --model vae --data glyphs --out codes.npz
        gmzoo encode --model vae --data folder:scans --draw --seed 1 --out codes.csv
    """
    from zoo.cli import inputs, output
    from zoo.cli.progress import follow

    if seed is not None and not draw:
        raise UsageError("The mean of a code has no seed: use --draw with --seed.")
    path = output.check_out(out, force, (".npz", ".csv"))
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("encode_draw" if draw else "encode")
    data = inputs.load_data(loaded, "encode", **source)
    path = path or output.free_name(f"{loaded.name}-codes", ".npz")

    def codes() -> Iterator[np.ndarray]:
        first = seed or 0
        for x in inputs.in_chunks(loaded, data):
            yield loaded.encode(x, range(first, first + len(x)) if draw else None)
            first += len(x)

    followed = follow(codes(), len(data), "encoding")
    if path.suffix.lower() == ".npz":
        output.write_npz(path, {"code": (len(data), followed)})
    else:
        files = data.info.files or [""] * len(data)
        rows = (row for piece in followed for row in piece.tolist())
        size = loaded.signatures["encode"]["outputs"]["code"]["shape"][-1]
        header = ["index", "file", *(f"code{index}" for index in range(size))]
        output.write_csv(
            path, header, ([i, file, *row] for i, (file, row) in enumerate(zip(files, rows, strict=True)))
        )
    click.echo(path)
