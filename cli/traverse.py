"""`gmzoo traverse`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, model_options, out_options, split_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

#: Units without --unit; frames of a row, and on each side of a grid; examples in a picture.
UNITS, FRAMES, SIDE, MOST = 16, 9, 20, 4096


@click.command("traverse", cls=Command)
@model_options
@click.option("--unit", metavar="LIST", help="These units of the code, as in 3 or 0,4-7.")
@click.option("--seed", type=click.IntRange(min=0), help="From the code of this seed.  [default: 0]")
@click.option("--seeds", metavar="LIST", help="From the codes of these seeds, as in 0-7.")
@data_options
@split_option
@click.option("--index", metavar="LIST", help="From the codes of these examples of the data, as in 0 or 2,5.")
@click.option(
    "--range",
    "ends",
    metavar="LOW,HIGH",
    help="Values of the unit.  [default: -3,3 of a Gaussian prior, -1,1 of a uniform one]",
)
@click.option(
    "--frames",
    type=click.IntRange(2, 256),
    help=f"How many values, with both ends.  [default: {FRAMES}; {SIDE} on each side of a grid]",
)
@click.option("--grid", is_flag=True, help="Two units at once, one across and one down.")
@out_options
def command(
    model: str,
    runs_dir: str | None,
    unit: str | None,
    seed: int | None,
    seeds: str | None,
    index: str | None,
    ends: str | None,
    frames: int | None,
    grid: bool,
    out: str | None,
    force: bool,
    **source: Any,
) -> None:
    """Change one unit of a code.

    The unit takes one value after another and the rest of the code stays: one row for each unit and each
    seed. Units stand in the order given; without --unit they are sorted by how much they change the picture,
    and the first 16 are shown. A unit that changes nothing is not used by the model.

    The unit of a class goes from the seed's own class to that one.

    --grid shows what two units make together, at values with equal shares of their prior between them: all
    that a model with a code of two units can draw.

    Writes a .png, or a .gif that shows one value after another.

        gmzoo traverse --model vae
        gmzoo traverse --model dcgan --unit 3 --seeds 0-7
        gmzoo traverse --model vae --data glyphs --index 5 --range -2,2 --out five.gif
        gmzoo traverse --model vae --grid --unit 0,1
    """
    from zoo.cli import inputs, output

    if index is not None and (seeds is not None or seed is not None):
        raise UsageError("From codes of seeds, or of examples? Use --seeds, or --data SPEC with --index.")
    if index is None and any(source.values()):
        raise UsageError("Which examples of the data? Use --data SPEC with --index LIST.")
    path = output.check_out(out, force, (".png",) if grid else (".png", ".gif"))
    span = None if ends is None else inputs.parse_span(ends)
    units = None if unit is None else inputs.parse_indices(unit, "--unit")
    chosen = inputs.parse_seeds(seeds, 1 if seeds is None else None, seed)
    places = None if index is None else inputs.parse_indices(index)
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("decode")
    if loaded.modality != "image":
        raise UsageError(f"{loaded.name} decodes {loaded.modality}: only images can be drawn.")
    codes = loaded.prior(chosen) if places is None else _encoded(loaded, places, source)
    if units is not None and units.max() >= codes.shape[1]:
        last = codes.shape[1] - 1
        raise UsageError(f"--unit: the code of {loaded.name} has the units 0 to {last}, not {units.max()}.")
    path = path or output.free_name(f"{loaded.name}-traversal", ".png")
    if grid:
        _draw_grid(loaded, codes, units, span, frames or SIDE, path)
    else:
        origins = chosen if places is None else places
        words = [f"{'seed' if places is None else 'example'} {each}" for each in origins]
        _draw_rows(loaded, codes, words, units, span, frames or FRAMES, path)
    click.echo(path)


def _encoded(model: LoadedModel, places: np.ndarray, source: dict[str, Any]) -> np.ndarray:
    """The codes of some examples of the data, [N, d]."""
    from zoo.cli import inputs
    from zoo.data.order import rows

    model.require("reconstruct")  # what is encoded must be a code to decode
    data = inputs.only(inputs.load_data(model, "encode", **source), places)
    return model.encode(rows(data, slice(None))[model.takes])


def _draw_rows(
    model: LoadedModel,
    codes: np.ndarray,
    words: list[str],
    units: np.ndarray | None,
    span: tuple[float, float] | None,
    frames: int,
    path: Path,
) -> None:
    """A row for each unit and each code, and a table of the units.

    Args:
        model: that decodes.
        codes: [N, d].
        words: what each code is of.
        units: those to move, in this order; None: those that change most.
        span: their values, from where to where; None: what holds nearly all of the prior.
        frames: how many values.
        path: the .png or .gif.
    """
    import numpy as np

    from zoo.cli import output
    from zoo.evaluation.effects import CODES, effects, spans
    from zoo.latents import part_of
    from zoo.reports import captions, pictures

    shown = min(UNITS, codes.shape[1]) if units is None else len(units)
    if frames * shown * len(codes) > MOST:
        raise UsageError(f"A picture holds at most {MOST:,} images: use fewer units, seeds or frames.")
    change = effects(model, model.prior(range(CODES)))
    if units is None:
        units = np.argsort(-change, kind="stable")[:UNITS]
        if len(change) > len(units):
            log.info(
                "the %d units of %d that change the picture most; --unit shows others", UNITS, len(change)
            )
    usual = spans(model)
    images, labels, table = [], [], []
    for unit in units.tolist():
        low, high = span or usual[unit]
        values = np.linspace(low, high, frames)
        images += [model.traverse(code, unit, values) for code in codes]
        part, of = part_of(unit, model.prior_parts)
        name = f"class {unit - of.start}" if part.family == "one_hot" else f"unit {unit}"
        labels += [name if len(codes) == 1 else f"{name}, {word}" for word in words]
        table.append([unit, part.family, f"{low:g} to {high:g}", f"{change[unit]:.4f}"])
    output.write_table(["unit", "prior", "values", "change"], table)
    rows = np.stack(images)  # [rows, frames, H, W, C]
    if path.suffix.lower() == ".png":
        picture = pictures.grid(rows.reshape(-1, *rows.shape[2:]), columns=frames)
        pictures.write_picture(captions.beside(picture, labels), path)
        return
    there_and_back = [*range(frames), *range(frames - 2, 0, -1)]
    pictures.gif((pictures.grid(rows[:, frame]) for frame in there_and_back), path)


def _draw_grid(
    model: LoadedModel,
    codes: np.ndarray,
    units: np.ndarray | None,
    span: tuple[float, float] | None,
    side: int,
    path: Path,
) -> None:
    """What two units make together: the first goes across, the second down."""
    import numpy as np

    from zoo.evaluation.effects import DRAWS
    from zoo.latents import moved, part_of, quantiles
    from zoo.reports import pictures

    if units is None and codes.shape[1] == 2:
        units = np.arange(2)
    if units is None or len(units) != 2 or units[0] == units[1]:
        raise UsageError(f"A grid takes two of the {codes.shape[1]} units: --grid --unit 0,1.")
    if len(codes) != 1:
        raise UsageError("A grid is of one code: give one seed, or one example.")
    if side * side > MOST:
        raise UsageError(f"A picture holds at most {MOST:,} images: use fewer --frames.")
    parts = model.prior_parts
    draws = model.prior(range(DRAWS))
    across, down = (
        np.linspace(*span, side) if span else quantiles(part_of(unit, parts)[0], side, draws[:, unit])
        for unit in units.tolist()
    )
    columns = moved(codes[0], int(units[0]), across, parts)
    # The second unit grows upwards, as in a plot.
    grid = np.stack([moved(column, int(units[1]), down[::-1], parts) for column in columns], axis=1)
    images = model.decode(grid.reshape(side * side, -1))
    pictures.write_picture(pictures.grid(images, columns=side), path)
