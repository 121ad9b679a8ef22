"""`gmzoo complete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

#: Examples in a picture: without --limit or --index, and at most; and in a row of it.
SHOWN, MOST, COLUMNS = 8, 256, 8


@click.command("complete", cls=Command)
@model_options
@data_options
@split_option
@click.option("--index", metavar="I,J-K", help="These examples of the data, counted from 0.")
@click.option(
    "--mask",
    metavar="PART",
    help="What is known: top, bottom, left, right, center, random:SHARE, or FILE.png, where white is known.  "
    "[default: top; left of what is no image]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Example i has seed SEED + i."
)
@out_options
def command(
    model: str,
    runs_dir: str | None,
    index: str | None,
    mask: str | None,
    seed: int,
    out: str | None,
    force: bool,
    **source: Any,
) -> None:
    """Draw the missing part of examples.

    What --mask names is kept; the model draws the rest.

    Writes a .png with three rows, the examples, what was kept of them, and the completions; or an .npz that
    holds all three (image, known, completed), of every example unless --limit or --index say which.

    A model of patches (puzzlegan) finds their places itself: a folder: holds those of one image, or in each
    subfolder those of one; of other data it takes the patches that tell most. Its .png has the patches, their
    places, and below these the images; a folder as --out gets the images alone.

        gmzoo complete --model nade --data digits --mask top
        gmzoo complete --model nade --data digits --index 3,5-8 --mask random:0.3 --seed 1
        gmzoo complete --model nade --data folder:scans --mask hole.png --out completed.npz
        gmzoo complete --model puzzlegan --data folder:patches --out made.png
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.cli.masks import parse_mask
    from zoo.cli.progress import follow

    if index is not None and source["limit"] is not None:
        raise UsageError("--index says which examples: leave out --limit.")
    chosen = None if index is None else inputs.parse_indices(index)
    path = output.check_out(out, force, (".png", ".npz", ".csv", output.FOLDER))
    loaded = inputs.load_model(model, runs_dir, source)
    if "assemble" in loaded.signatures:
        from zoo.cli import puzzles

        if mask is not None:
            raise UsageError(f"{loaded.name} finds the places of patches itself: leave out --mask.")
        output.check_out(out, True, puzzles.ENDINGS)
        click.echo(puzzles.solve(loaded, chosen, seed, path, **source))
        return
    loaded.require("complete")
    endings = (".png", ".npz") if loaded.takes == "image" else (".csv", ".npz")
    output.check_out(out, True, endings)
    kind = endings[0] if path is None else path.suffix.lower()
    mask = mask or ("top" if loaded.takes == "image" else "left")
    known_of = parse_mask(mask, tuple(loaded.signatures["complete"]["inputs"][loaded.takes]["shape"][1:]))
    data = inputs.load_data(loaded, "complete", **source)
    if chosen is None:
        chosen = np.arange(len(data))
        if kind == ".png":
            chosen = chosen[: min(source["limit"] or SHOWN, MOST)]
    data = inputs.only(data, chosen)
    if kind == ".png" and len(data) > MOST:
        raise UsageError(f"A picture shows at most {MOST} examples: use --out NAME.npz.")
    path = path or output.free_name(f"{loaded.name}-completions", kind)
    from zoo.sampling import CHUNK

    seeds = seed + chosen

    def known() -> Iterator[np.ndarray]:
        for start in range(0, len(seeds), CHUNK):
            yield known_of(seeds[start : start + CHUNK])

    def completed() -> Iterator[np.ndarray]:
        start = 0
        for x, part in zip(inputs.in_chunks(loaded, data), known(), strict=True):
            yield loaded.complete(x, part, seeds[start : start + len(x)])
            start += len(x)

    followed = follow(completed(), len(data), "completing")
    if kind == ".npz":
        output.write_npz(
            path,
            {
                loaded.takes: (len(data), inputs.in_chunks(loaded, data)),
                "known": (len(data), known()),
                "completed": (len(data), followed),
            },
        )
    elif kind == ".csv":
        names = data.info.feature_names or tuple(
            f"{loaded.takes}{place}" for place in range(data.fields[loaded.takes].shape[1])
        )
        files = data.info.files or [""] * len(data)
        rows = (row for piece in followed for row in piece.tolist())
        output.write_csv(
            path,
            ["index", "file", *names],
            ([i, file, *row] for i, file, row in zip(chosen.tolist(), files, rows, strict=True)),
        )
    else:
        _draw(
            np.concatenate([*inputs.in_chunks(loaded, data)]),
            np.concatenate([*known()]),
            np.concatenate([*followed]),
            path,
        )
    click.echo(path)


def _draw(examples: np.ndarray, known: np.ndarray, completed: np.ndarray, path: Any) -> None:
    """Examples [N, H, W, C], what is known of them [N, H, W], and the completions, one below the other."""
    import numpy as np

    from zoo.reports import pictures

    masked = np.where(known[..., None], examples, pictures.BACKGROUND / 255)
    pictures.write_picture(pictures.stacks(examples, masked, completed, columns=COLUMNS), path)
