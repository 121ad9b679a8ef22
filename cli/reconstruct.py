"""`gmzoo reconstruct`."""

from __future__ import annotations

import logging
from typing import Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

log = logging.getLogger("gmzoo")

#: Pairs in a picture: without --limit, and at most.
SHOWN, MOST = 32, 1024


@click.command("reconstruct", cls=Command)
@model_options
@data_options
@split_option
@out_options
def command(model: str, runs_dir: str | None, out: str | None, force: bool, **source: Any) -> None:
    """Encode examples and decode them again.

    It shows how much the code keeps.

    Writes a .png that shows each example with its reconstruction below (the first 32 without --limit), or an
    .npz that holds `image` and `reconstruction`, each [N, H, W, C], of all.

        gmzoo reconstruct --model vae --data glyphs
        gmzoo reconstruct --model vae --data folder:scans --limit 16 --out pairs.png
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.cli.progress import follow
    from zoo.data.order import rows
    from zoo.reports import pictures

    path = output.check_out(out, force, (".png", ".npz"))
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("reconstruct")
    images = loaded.takes == "image"
    picture = images if path is None else path.suffix.lower() == ".png"
    if picture and not images:
        raise UsageError(f"{loaded.name} reconstructs {loaded.takes}: only images can be drawn. Use .npz.")
    data = inputs.load_data(loaded, "reconstruct", **source)
    if picture:
        most = min(source["limit"] or SHOWN, MOST)
        if source["limit"] and source["limit"] > MOST:
            log.warning("a picture shows at most %d pairs (--out NAME.npz takes all)", MOST)
        data = inputs.only(data, np.arange(min(most, len(data))))
    path = path or output.free_name(f"{loaded.name}-reconstructions", ".png" if picture else ".npz")
    count = len(data)
    again = follow((loaded.reconstruct(x) for x in inputs.in_chunks(loaded, data)), count, "reconstructing")
    if picture:
        examples = rows(data, slice(None))[loaded.takes]
        pictures.write_picture(pictures.stacks(examples, np.concatenate([*again])), path)
    else:
        output.write_npz(
            path, {loaded.takes: (count, inputs.in_chunks(loaded, data)), "reconstruction": (count, again)}
        )
    click.echo(path)
