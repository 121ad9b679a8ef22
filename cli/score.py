"""`gmzoo score`."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator
from typing import Any

import click

from zoo.cli.command import Command, data_options, json_option, model_options, out_options, split_option
from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    import numpy as np

    from zoo.data import Data
    from zoo.sampling import LoadedModel

COLUMNS = ("index", "file", "log_prob", "bits_per_dim")


@click.command("score", cls=Command)
@model_options
@data_options
@split_option
@click.option(
    "--importance-samples",
    type=click.IntRange(min=1),
    help="Draws of the code for each example, for a bound: more are closer to log p(x).  [default: 50]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of these draws: example i has seed SEED + i.  [default: 0]"
)
@out_options
@json_option
def command(
    model: str,
    runs_dir: str | None,
    importance_samples: int | None,
    seed: int | None,
    out: str | None,
    force: bool,
    as_json: bool,
    **source: Any,
) -> None:
    """Score data by its likelihood.

    Gives log p(x) of each example, or a lower bound on it, in nats and in bits per dimension.

    Writes a .csv (index, file, log_prob, bits_per_dim), or with --out NAME.png a picture of the examples from
    the least to the most likely. With --json the scores go to stdout instead.

        gmzoo score --model nade --data binarized_mnist
        gmzoo score --model vae --data folder:scans --importance-samples 500 --out scores.csv
        gmzoo score --model vae --data glyphs --limit 100 --json
    """
    import numpy as np

    from zoo.cli import inputs, output

    path = output.check_out(out, force, (".csv", ".png"))
    loaded = inputs.load_model(model, runs_dir, source)
    inputs.require(loaded, "log_prob")
    exact = loaded.kind == "exact"
    if exact and (importance_samples or seed) is not None:
        raise UsageError(
            f"The likelihood of {loaded.name} is exact: leave out --importance-samples and --seed."
        )
    if path is not None and path.suffix.lower() == ".png" and loaded.modality != "image":
        raise UsageError("Only scores of images can be drawn: use --out NAME.csv.")
    data = inputs.load_data(loaded, "log_prob", **source)
    scores = scored(loaded, data, seed or 0, importance_samples or 50)
    if path is None and not as_json:
        path = output.free_name(f"{loaded.name}-scores", ".csv")
    rows = list(zip(range(len(data)), data.info.files or [""] * len(data), *scores, strict=True))
    if path is not None and path.suffix.lower() == ".csv":
        output.write_csv(
            path, COLUMNS, ([index, file, f"{nats:.6f}", f"{bits:.6f}"] for index, file, nats, bits in rows)
        )
    elif path is not None:
        _draw(data, scores[0], path)
    nats = summary(scores[0])
    kind = "exact" if exact else "bound"
    if as_json:
        output.write_json(
            {
                "model": loaded.name,
                "source": data.spec,
                "split": data.split,
                "kind": kind,
                "n": len(data),
                "log_prob": nats,
                "bits_per_dim": float(np.mean(scores[1], dtype=np.float64)),
                "examples": [
                    {"index": index, "file": file or None, "log_prob": each, "bits_per_dim": bits}
                    for index, file, each, bits in rows
                ],
            }
        )
        return
    error = "" if nats["standard_error"] is None else f" +- {nats['standard_error']:.2g}"
    draws = "exact" if exact else f"a lower bound, {importance_samples or 50} importance samples"
    click.echo(f"log_prob      {nats['mean']:.4f}{error} nats ({draws})")
    click.echo(f"bits_per_dim  {np.mean(scores[1], dtype=np.float64):.4f}")
    click.echo(f"examples      {len(data):,} of {data.spec}, split {data.split}")
    click.echo(path)


def scored(
    model: LoadedModel, data: Data, seed: int, importance_samples: int
) -> tuple[list[float], list[float]]:
    """Nats and bits per dimension of every example, in order."""
    import numpy as np

    from zoo.cli.inputs import in_chunks
    from zoo.cli.progress import follow

    def chunks() -> Iterator[np.ndarray]:
        first = seed
        for x in in_chunks(model, data):
            found = model.log_prob(x, range(first, first + len(x)), importance_samples)
            first += len(x)
            suffix = "" if model.kind == "exact" else "_bound"
            yield np.stack([found[f"{name}{suffix}"] for name in ("log_prob", "bits_per_dim")], -1)

    both = np.concatenate([*follow(chunks(), len(data), "scoring")])  # [N, 2]
    return both[:, 0].tolist(), both[:, 1].tolist()


def summary(nats: list[float]) -> dict[str, Any]:
    """Their mean with its standard error, in nats; None where there is no error to tell."""
    import numpy as np

    n = len(nats)
    error = float(np.std(nats, ddof=1)) / math.sqrt(n) if n > 1 else None
    return {"mean": float(np.mean(nats)), "standard_error": error, "unit": "nats"}


def _draw(data: Data, nats: list[float], path: Any) -> None:
    """At most 64 examples from the least likely to the most likely, evenly spaced between."""
    import numpy as np

    from zoo.reports import pictures

    order = np.argsort(nats)
    shown = order[np.linspace(0, len(order) - 1, min(64, len(order))).round().astype(int)]
    images = np.asarray(data.fields["image"][np.sort(shown)], np.float32)[np.argsort(np.argsort(shown))]
    pictures.write_picture(pictures.grid(images / ((data.info.levels or 256) - 1)), path)
