"""`gmzoo encode`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from zoo.data import Data

log = logging.getLogger("gmzoo")


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

    Writes an .npz that holds `code` [N, d], a .csv with one line an example, or with --out NAME.png a map:
    each example a point, in the colour of its class. Codes of more than two units are shown by their two
    principal components, and the axes say how much of the variance these explain.

        gmzoo encode --model vae --data glyphs --out codes.npz
        gmzoo encode --model vae --data glyphs --limit 2000 --out map.png
        gmzoo encode --model vae --data folder:scans --draw --seed 1 --out codes.csv
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.cli.progress import follow

    if seed is not None and not draw:
        raise UsageError("The mean of a code has no seed: use --draw with --seed.")
    path = output.check_out(out, force, (".npz", ".csv", ".png"))
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("encode_draw" if draw else "encode")
    if loaded.tokens and output.ending(path or "codes.npz") == ".png":
        raise UsageError(
            f"The codes of {loaded.name} are tokens, which have no place on a map: use .npz or .csv."
        )
    data = inputs.load_data(loaded, "encode", **source)
    path = path or output.free_name(f"{loaded.name}-codes", ".npz")

    def codes() -> Iterator[np.ndarray]:
        first = seed or 0
        for x in inputs.in_chunks(loaded, data):
            yield loaded.encode(x, range(first, first + len(x)) if draw else None)
            first += len(x)

    followed = follow(codes(), len(data), "encoding")
    ending = output.ending(path)
    if ending == ".png":
        _draw(data, np.concatenate([*followed]), path)
    elif ending == ".npz":
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


def _draw(data: Data, codes: np.ndarray, path: Path) -> None:
    """A map of codes [N, d]; says how much of them it shows."""
    import numpy as np

    from zoo.reports.latent_map import MOST, latent_map

    label = data.fields.get("label")
    if label is not None and len(np.unique(label)) > MOST:
        log.info("more than %d classes: colours could not be told apart, and all points have one", MOST)
    explained = latent_map(codes, path, label, data.info.class_names)
    if explained is None:
        click.echo("the two units of the code, as they are")
    else:
        click.echo(
            f"two principal components of {codes.shape[1]} units: {explained.sum():.1%} of the variance"
        )
