"""`gmzoo interpolate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


@click.command("interpolate", cls=Command)
@model_options
@click.option("--seeds", metavar="A,B", help="From the example of seed A to that of seed B.")
@data_options
@split_option
@click.option("--index", metavar="I,J", help="From example I of the data to example J, counted from 0.")
@click.option(
    "--frames", type=click.IntRange(2, 512), default=16, show_default=True, help="How many, with both ends."
)
@out_options
def command(
    model: str,
    runs_dir: str | None,
    seeds: str | None,
    index: str | None,
    frames: int,
    out: str | None,
    force: bool,
    **source: Any,
) -> None:
    """Walk from one example to another.

    The way leads through the space of codes.

    Writes a .png with the frames in rows, or a .gif that shows them one after another.

        gmzoo interpolate --model dcgan --seeds 1,2
        gmzoo interpolate --model vae --seeds 3,8 --frames 32 --out walk.gif
        gmzoo interpolate --model vae --data glyphs --index 0,5
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.reports import pictures

    if (seeds is None) == (index is None):
        raise UsageError("From where to where? Use --seeds A,B, or --data SPEC with --index I,J.")
    path = output.check_out(out, force, (".png", ".gif"))
    option, text = ("--seeds", seeds) if seeds is not None else ("--index", index)
    ends = inputs.parse_pair(str(text), option)
    if seeds is not None and any(source.values()):
        raise UsageError("--seeds needs no data: leave out --data, or use --index.")
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("decode")
    if seeds is not None:
        a, b = loaded.prior(ends)
    else:
        loaded.require("reconstruct")  # what is encoded must be a code to decode
        a, b = loaded.encode(_examples(loaded, ends, source))
    path = path or output.free_name(f"{loaded.name}-interpolation", ".png")
    images = loaded.interpolate(a, b, frames)
    if path.suffix.lower() == ".png":
        pictures.write_picture(pictures.grid(images, columns=min(frames, 16)), path)
    else:
        there_and_back = np.concatenate([images, images[-2:0:-1]])
        pictures.gif((pictures.grid(image[None], scale=8, gap=0) for image in there_and_back), path, ms=80)
    click.echo(path)


def _examples(model: Any, ends: tuple[int, int], source: dict[str, Any]) -> np.ndarray:
    """The two examples of the data, [2, ...]."""
    import numpy as np

    from zoo.cli import inputs
    from zoo.data.order import rows

    data = inputs.only(inputs.load_data(model, "encode", **source), np.array(ends))
    found: np.ndarray = rows(data, slice(None))[model.takes]
    return found
