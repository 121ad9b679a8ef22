"""`gmzoo sample`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, codes_option, model_options, out_options
from zoo.cli.shards import KEPT, Wanted, make, shard_options
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.evaluation.supposed import Codes


@click.command("sample", cls=Command)
@model_options
@click.option(
    "-n", "count", type=click.IntRange(min=1), help="How many.  [default: 64, or one a line of --prompt-file]"
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="The first seed; the others follow it.  [default: 0]"
)
@click.option("--seeds", metavar="LIST", help="These seeds, as in 0-63,70, instead of -n and --seed.")
@click.option("--label", help="A class: its number, its name, or several to take turns, as in 0-9.")
@click.option("--prompt", help="A text that the sample begins with, or that says what to draw.")
@click.option("--prompt-file", type=click.Path(dir_okay=False), help="Texts to take turns, one a line.")
@click.option(
    "--code",
    metavar="INDEX=VALUE,...",
    help="Values of the code, or several to take turns, as in 0=0-9; the rest of it comes from the seed.",
)
@click.option(
    "--temperature", type=click.FloatRange(min=0, min_open=True), help="Below 1: likelier, less varied."
)
@click.option("--top-k", type=click.IntRange(min=1), help="Draw among the K likeliest values only.")
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    help="Of a model that ranks, as dalle: draw so many for each and keep the one that fits its prompt best.",
)
@codes_option
@shard_options("tfrecord", "parquet", "png")
@out_options
def command(
    model: str,
    runs_dir: str | None,
    codes: Codes | None,
    count: int | None,
    seed: int | None,
    seeds: str | None,
    out: str | None,
    force: bool,
    engine: str,
    actors: int | None,
    shard: str | None,
    shard_format: str | None,
    shard_size: int | None,
    **wanted: Any,
) -> None:
    """Draw examples.

    A seed gives one example, the same whenever it is drawn.

    --code counts the units of a code from 0; of infogan it counts the parts of its code instead: first the
    categories, whose value is a category's number, then the numbers, then those that are 0 or 1.

    The ending of --out says what is written: .png a grid (of features a cloud of points for each pair), .gif
    a film, .npz arrays (image, seed, prompt), .csv lines, .txt texts, a folder one file each.

    With --engine ray, --shard, --shard-format or --shard-size the folder --out gets shards and a manifest;
    the same command goes on where it was stopped.

        gmzoo sample --model vae
        gmzoo sample --model dcgan -n 16 --seed 100 --out sixteen.png
        gmzoo sample --model dcgan --seeds 0-63,70 --out samples.npz
        gmzoo sample --model runs/dcgan-003 --label 0-9 -n 100 --out digits/
        gmzoo sample --model infogan --code "0=3,1=-1.5"
        gmzoo sample --model autoencoder --codes fitted
        gmzoo sample --model rnn --prompt "The " --temperature 0.8 -n 4 --out four.txt
        gmzoo sample --model dalle --prompt "a small red circle in the centre" --candidates 8
        gmzoo sample --model dcgan -n 1000000 --engine ray --out million/
        gmzoo sample --model dcgan -n 1000000 --shard 3/16 --out million/
    """
    from zoo.cli import inputs, output, samples

    file = wanted.pop("prompt_file")
    texts = samples.read_prompts(wanted.pop("prompt"), file)
    if file is not None and texts and seeds is None:
        count = count or len(texts)
    chosen = inputs.parse_seeds(seeds, count, seed)
    shards = Wanted(engine, actors, shard, shard_format, shard_size)
    if shards.sharded:
        if force:
            raise UsageError(KEPT)
        folder = shards.folder(out)
        if codes is not None:
            raise UsageError("--codes supposes a prior in one process: leave it out, or the shards.")
        loaded = inputs.load_model(model, runs_dir)
        if shard_format == "png" and loaded.modality != "image":
            raise UsageError("Only images can be written as PNG: use --shard-format tfrecord, or parquet.")
        prompts = None if texts is None else samples.in_turn(texts, len(chosen))
        # What is wrong with a condition is told now.
        samples.drawn(loaded, chosen[:1], prompts=None if prompts is None else prompts[:1], **wanted)
        from zoo.files import file_hash
        from zoo.stages import WEIGHTS_FILE

        settings = {
            "model": loaded.name,
            "weights": file_hash(loaded.path / WEIGHTS_FILE),
            "seeds": f"{seeds or f'{chosen[0]}-{chosen[-1]}'}",
            "prompts": texts,
            **{name: value for name, value in wanted.items() if value is not None},
        }
        opening = functools.partial(samples.source, loaded.path.resolve(), chosen, prompts, wanted)
        here = samples.rows_of(loaded, chosen, prompts, wanted)
        make(shards, folder, "samples", len(chosen), settings, opening, here, "tfrecord")
        click.echo(folder)
        return
    path = output.check_out(out, force, samples.ALL_ENDINGS)
    loaded = inputs.load_model(model, runs_dir)
    if codes is None and "decode" in loaded.signatures and "sample" not in loaded.signatures:
        supposed = "" if loaded.tokens else " With --codes fitted, or normal, one is supposed."
        raise UsageError(f"{loaded.name} cannot sample: its codes have no prior to be drawn from.{supposed}")
    if codes is not None:
        from zoo.cli.progress import follow
        from zoo.evaluation.supposed import suppose

        suppose(loaded, codes, follow=follow)
    if not loaded.draws:
        loaded.require("sample")
    endings = samples.ENDINGS[loaded.modality]
    output.check_out(out, True, endings)
    path = path or output.free_name(f"{loaded.name}-samples", endings[0])
    chosen = samples.limited(loaded, chosen, output.ending(out or path))
    prompts = None if texts is None else samples.in_turn(texts, len(chosen))
    pieces = samples.drawn(loaded, chosen, prompts=prompts, **wanted)
    samples.write(path, output.ending(out or path), loaded, chosen, pieces, prompts)
    click.echo(path)
