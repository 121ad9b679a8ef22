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
@click.option("--prompts", nargs=2, metavar="A B", help="From what text A asks for to what text B does.")
@click.option("--seed", type=click.IntRange(min=0), help="Of what the texts leave open.  [default: 0]")
@click.option(
    "--frames", type=click.IntRange(2, 512), default=16, show_default=True, help="How many, with both ends."
)
@out_options
def command(
    model: str,
    runs_dir: str | None,
    seeds: str | None,
    index: str | None,
    prompts: tuple[str, str] | None,
    seed: int | None,
    frames: int,
    out: str | None,
    force: bool,
    **source: Any,
) -> None:
    """Walk from one example to another.

    The way leads through the space of codes; between two texts, through that of what they mean to the model.

    Writes a .png with the frames in rows, or a .gif that shows them one after another.

        gmzoo interpolate --model dcgan --seeds 1,2
        gmzoo interpolate --model vae --seeds 3,8 --frames 32 --out walk.gif
        gmzoo interpolate --model vae --data glyphs --index 0,5
        gmzoo interpolate --model text2image --prompts "a small red ring" "a large blue heart"
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.reports import pictures

    given = {"--seeds": seeds, "--index": index, "--prompts": prompts}
    if sum(value is not None for value in given.values()) != 1:
        raise UsageError(
            "From where to where? Use --seeds A,B, or --data SPEC with --index I,J, or --prompts A B."
        )
    path = output.check_out(out, force, (".png", ".gif"))
    option = next(option for option, value in given.items() if value is not None)
    ends = None if prompts else inputs.parse_pair(str(given[option]), option)
    if index is None and any(source.values()):
        raise UsageError(f"{option} needs no data: leave out --data, or use --index.")
    if seed is not None and not prompts:
        raise UsageError(f"{option} says all: leave out --seed, which goes with --prompts.")
    loaded = inputs.load_model(model, runs_dir, source)
    if prompts:
        images = loaded.interpolate_prompts(*prompts, frames, seed or 0)
    else:
        assert ends is not None
        loaded.require("decode")
        if index is not None:
            loaded.require("reconstruct")  # what is encoded must be a code to decode
        a, b = loaded.prior(ends) if index is None else loaded.encode(_examples(loaded, ends, source))
        images = loaded.interpolate(a, b, frames)
    path = path or output.free_name(f"{loaded.name}-interpolation", ".png")
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
