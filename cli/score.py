"""`gmzoo score`."""

from __future__ import annotations

import functools
import logging
import math
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from zoo.cli.command import (
    Command,
    bound_options,
    data_options,
    json_option,
    model_options,
    out_options,
    split_option,
)
from zoo.cli.shards import KEPT, Wanted, make, shard_options
from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from zoo.data import Data
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

UNITS = {
    "log_prob": "nats",
    "bits_per_dim": "bits/dim",
    "nats_per_character": "nats/character",
    "bits_per_character": "bits/character",
}
# The ELBO is the first less the second.
TERMS = {
    "reconstruction": "the ELBO's first term, log p(x|z) for one draw of z",
    "kl": "its second term, which is subtracted",
}
# Name -> a value for each example.
Columns = dict[str, list[float]]


@click.command("score", cls=Command)
@model_options
@data_options
@split_option
@bound_options
@click.option(
    "--threshold",
    type=float,
    metavar="NATS",
    help="Flag the examples below this log_prob (`gmzoo detect` fits one to a rate of false alarms).",
)
@shard_options("parquet", "tfrecord")
@out_options
@json_option
def command(
    model: str,
    runs_dir: str | None,
    importance_samples: int | None,
    seed: int | None,
    threshold: float | None,
    out: str | None,
    force: bool,
    as_json: bool,
    engine: str,
    actors: int | None,
    shard: str | None,
    shard_format: str | None,
    shard_size: int | None,
    **source: Any,
) -> None:
    """Score data by its likelihood.

    Gives log p(x) of each example, or a lower bound on it, in nats and in bits per dimension.

    Where a caption leads to an example, as with transformer, it is log p of the example given its caption; of
    dalle log p of the tokens of the image given its caption, which is none of the image.

    An example of a text is a window of it, scored by itself. Nats and bits per character count each character
    once, given at least half a window before it.

    Writes a .csv (index, file, log_prob, bits_per_dim), or with --out NAME.png a picture of the examples from
    the least to the most likely. With --json the scores go to stdout instead. With --threshold the .csv has a
    column flag too, 1 for each example that is less likely, and the picture frames these.

        gmzoo score --model nade --data binarized_mnist
        gmzoo score --model vae --data folder:scans --importance-samples 500 --out scores.csv
        gmzoo score --model vae --data glyphs --limit 100 --json
        gmzoo score --model nade --data digits --threshold -30
        gmzoo score --model nade --data folder:scans --engine ray --out scores/

    With --engine ray, --shard, --shard-format or --shard-size the folder --out gets shards and a manifest;
    the same command goes on where it was stopped.
    """
    from zoo.cli import inputs, output

    shards = Wanted(engine, actors, shard, shard_format, shard_size)
    if shards.sharded:
        if threshold is not None:
            raise UsageError("Shards hold no flags: leave out --threshold.")
        if force:
            raise UsageError(KEPT)
        score_in_shards(shards, model, runs_dir, importance_samples, seed, out, as_json, source)
        return
    path = output.check_out(out, force, (".csv", ".png"))
    loaded = inputs.load_model(model, runs_dir, source)
    exact = check_bound(loaded, importance_samples, seed)
    if path is not None and path.suffix.lower() == ".png" and loaded.takes != "image":
        raise UsageError("Only scores of images can be drawn: use --out NAME.csv.")
    data = inputs.load_data(loaded, "log_prob", **source)
    columns = scored(loaded, data, seed or 0, importance_samples or 50)
    if "log_conditionals" in loaded.signatures:
        columns |= characters(loaded, data)
    terms = elbo_terms(loaded, data, seed or 0) if "elbo" in loaded.signatures else {}
    if path is None and not as_json:
        path = output.free_name(f"{loaded.name}-scores", ".csv")
    rows = list(zip(range(len(data)), data.info.files or [""] * len(data), *columns.values(), strict=True))
    flags = None if threshold is None else [nats < threshold for nats in columns["log_prob"]]
    if path is not None and path.suffix.lower() == ".csv":
        written = ([index, file, *(f"{value:.6f}" for value in values)] for index, file, *values in rows)
        if flags is not None:
            written = ([*row, int(flag)] for row, flag in zip(written, flags, strict=True))
        output.write_csv(path, ["index", "file", *columns, *([] if flags is None else ["flag"])], written)
    elif path is not None:
        _draw(data, columns["log_prob"], flags, path)
    means = {name: summary(values, UNITS[name]) for name, values in columns.items()}
    kind = "exact" if exact and not data.info.dequantised else "bound"
    levels = loaded.card.get("levels")
    if told := data.coarsened(levels):
        log.info(told)
    of = loaded.suffix.removeprefix("_") if exact else ""
    if as_json:
        output.write_json(
            {
                **document(loaded, data, kind, means),
                **({"of": of} if of else {}),
                "levels": levels,
                **({"elbo": terms} if terms else {}),
                **({} if flags is None else {"threshold": threshold, "flagged": sum(flags)}),
                "examples": [
                    {
                        "index": index,
                        "file": file or None,
                        **dict(zip(columns, values, strict=True)),
                        **({} if flags is None else {"flag": flags[index]}),
                    }
                    for index, file, *values in rows
                ],
            }
        )
        return
    draws = "exact" if exact else f"a lower bound, {importance_samples or 50} importance samples"
    if of:
        draws += f", of the {of} of an image" + (", given its caption" if loaded.given_text else "")
    if data.info.dequantised:
        draws = "a density of levels with noise: a lower bound on their likelihood"
    width = max(map(len, [*means, *terms]))
    for name, each in means.items():
        line = f"{name:<{width}}  {each['mean']:.4f}"
        if each["standard_error"] is not None and not name.startswith("bits"):
            line += f" +- {each['standard_error']:.2g}"
        click.echo(f"{line} nats ({draws})" if name == "log_prob" else line)
    for name, each in terms.items():
        error = "" if each["standard_error"] is None else f" +- {each['standard_error']:.2g}"
        click.echo(f"{name:<{width}}  {each['mean']:.4f}{error} nats ({TERMS[name]})")
    if levels:
        click.echo(f"{'levels':<{width}}  {levels}")
    click.echo(f"{'examples':<{width}}  {len(data):,} of {data.spec}, split {data.split}")
    if flags is not None:
        click.echo(f"{'flagged':<{width}}  {sum(flags):,} below {threshold:g} nats")
    click.echo(path)


def document(model: LoadedModel, data: Data, kind: str, means: Mapping[str, Any]) -> dict[str, Any]:
    """What --json says of all examples together."""
    return {
        "model": model.name,
        "source": data.spec,
        "split": data.split,
        "kind": kind,
        "n": len(data),
        # Bits are nats in other units: their mean says it all.
        **{name: each["mean"] if name.startswith("bits") else each for name, each in means.items()},
    }


def check_bound(model: LoadedModel, importance_samples: int | None, seed: int | None) -> bool:
    """Whether the likelihood is exact.

    Raises:
        UsageError: it is, and draws for a bound were asked for; or there is none.
    """
    model.require("log_prob")
    exact = model.kind == "exact"
    if exact and (importance_samples or seed) is not None:
        raise UsageError(
            f"The likelihood of {model.name} is exact: leave out --importance-samples and --seed."
        )
    return exact


def score_in_shards(
    shards: Wanted,
    model: str,
    runs_dir: str | None,
    importance_samples: int | None,
    seed: int | None,
    out: str | None,
    as_json: bool,
    options: Mapping[str, Any],
) -> None:
    """Writes the scores into shards, and tells their means when all are there."""
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.files import file_hash

    folder = shards.folder(out)
    loaded = inputs.load_model(model, runs_dir, options)
    # They import TensorFlow, which is quiet now.
    from zoo.sharding import read
    from zoo.stages import WEIGHTS_FILE

    exact = check_bound(loaded, importance_samples, seed)
    data = inputs.load_data(loaded, "log_prob", **options)
    draws = {} if exact else {"seed": seed or 0, "importance_samples": importance_samples or 50}
    settings = {
        "model": loaded.name,
        "weights": file_hash(loaded.path / WEIGHTS_FILE),
        "source": data.spec,
        "fingerprint": data.info.fingerprint,
        "split": data.split,
        **draws,
    }
    chosen = {**options, "data": data.spec, "split": data.split}
    opening = functools.partial(
        source, loaded.path.resolve(), chosen, seed or 0, importance_samples or 50, os.getcwd()
    )
    here = rows_of(loaded, data, seed or 0, importance_samples or 50)
    if not make(shards, folder, "scores", len(data), settings, opening, here, "parquet"):
        if as_json:
            output.write_json({"model": loaded.name, "shards": str(folder), "complete": False})
        else:
            click.echo(folder)
        return
    parts = [*read(folder)]
    columns = {
        name: np.concatenate([part[name] for part in parts]).tolist() for name in UNITS if name in parts[0]
    }
    means = {name: summary(values, UNITS[name]) for name, values in columns.items()}
    kind = "exact" if exact and not data.info.dequantised else "bound"
    if as_json:
        output.write_json({**document(loaded, data, kind, means), "shards": str(folder)})
        return
    for name, each in means.items():
        click.echo(f"{name:<12}  {each['mean']:.4f} {each['unit']} ({kind})")
    click.echo(f"{'examples':<12}  {len(data):,} of {data.spec}, split {data.split}")
    click.echo(folder)


def source(
    path: Path, options: Mapping[str, Any], seed: int, importance_samples: int, folder: str
) -> Callable[[int, int], Iterator[dict[str, np.ndarray]]]:
    """Opens a model and data; what is returned is as `rows_of` gives it.

    Args:
        path: of the SavedModel.
        options: of the data.
        seed, importance_samples: of a bound.
        folder: where the command was given: paths of data may be relative to it.
    """
    from zoo import sampling
    from zoo.cli import inputs

    os.chdir(folder)
    model = sampling.load(path)
    return rows_of(model, inputs.load_data(model, "log_prob", **options), seed, importance_samples)


def rows_of(
    model: LoadedModel, data: Data, seed: int, importance_samples: int
) -> Callable[[int, int], Iterator[dict[str, np.ndarray]]]:
    """What gives the rows of shards: the scores of examples, with their numbers and files."""
    import numpy as np

    from zoo.cli import inputs

    def rows(start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        index = np.arange(start, stop)
        found = scored(model, inputs.only(data, index), seed + start, importance_samples)
        files: Any = data.info.files[start:stop] or [""] * len(index)
        values = {name: np.array(each, np.float32) for name, each in found.items()}
        yield {"index": index, "file": np.array(files, object), **values}

    return rows


def scored(model: LoadedModel, data: Data, seed: int, importance_samples: int) -> Columns:
    """Nats and bits per dimension of every example, in order."""
    import numpy as np

    from zoo.cli.inputs import in_chunks
    from zoo.cli.progress import follow

    names = ("log_prob", "bits_per_dim")

    def chunks() -> Iterator[np.ndarray]:
        first = seed
        for x in in_chunks(model, data):
            rows = slice(first - seed, first - seed + len(x))
            prompts = data.fields["caption"][rows] if model.given_text else None
            found = model.log_prob(x, range(first, first + len(x)), importance_samples, prompts)
            first += len(x)
            yield np.stack([found[f"{name}{model.suffix}"] for name in names], -1)

    both = np.concatenate([*follow(chunks(), len(data), "scoring")])  # [N, 2]
    return {name: both[:, index].tolist() for index, name in enumerate(names)}


def elbo_terms(model: LoadedModel, data: Data, seed: int) -> dict[str, dict[str, Any]]:
    """The mean of each term of the evidence lower bound, by one draw of the code for each example."""
    import numpy as np

    from zoo.cli.inputs import in_chunks
    from zoo.cli.progress import follow

    def chunks() -> Iterator[np.ndarray]:
        first = seed
        for x in in_chunks(model, data):
            found = model.elbo_terms(x, range(first, first + len(x)))
            first += len(x)
            yield np.stack([found["log_likelihood"], found["kl"]], -1)

    both = np.concatenate([*follow(chunks(), len(data), "the terms of the ELBO")])  # [N, 2]
    return {name: summary(both[:, index].tolist(), "nats") for index, name in enumerate(TERMS)}


def characters(model: LoadedModel, data: Data) -> Columns:
    """Nats and bits per character of every window of a text, each character in its context."""
    import numpy as np

    from zoo.cli.progress import follow
    from zoo.evaluation.characters import in_context
    from zoo.sampling import CHUNK

    def conditionals(tokens: np.ndarray) -> np.ndarray:
        pieces = (model.log_conditionals(tokens[i : i + CHUNK]) for i in range(0, len(tokens), CHUNK))
        return np.concatenate([*follow(pieces, len(tokens), "scoring characters")])

    nats = -in_context(conditionals, np.asarray(data.fields["tokens"])).mean(1, dtype=np.float64)
    return {"nats_per_character": nats.tolist(), "bits_per_character": (nats / math.log(2.0)).tolist()}


def summary(values: list[float], unit: str) -> dict[str, Any]:
    """Their mean with its standard error; None where there is no error to tell."""
    import numpy as np

    n = len(values)
    spread = n > 1 and np.isfinite(values).all()
    error = float(np.std(values, ddof=1)) / math.sqrt(n) if spread else None
    return {"mean": float(np.mean(values)), "standard_error": error, "unit": unit}


def _draw(data: Data, nats: list[float], flags: list[bool] | None, path: Any) -> None:
    """At most 64 examples from the least likely to the most likely, evenly spaced between.

    Those that are flagged have a frame.
    """
    import numpy as np

    from zoo.reports import captions, pictures

    order = np.argsort(nats)
    shown = order[np.linspace(0, len(order) - 1, min(64, len(order))).round().astype(int)]
    images: np.ndarray = np.asarray(data.fields["image"][np.sort(shown)], np.float32)[
        np.argsort(np.argsort(shown))
    ]
    images = images / ((data.info.levels or 256) - 1)
    if flags is None:
        picture = pictures.grid(images)
    else:
        picture = pictures.grid(captions.framed(images, np.array(flags)[shown]), scale=1)
    pictures.write_picture(picture, path)
