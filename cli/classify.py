"""`gmzoo classify`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.command import Command, data_options, json_option, model_options, out_options, split_option

if TYPE_CHECKING:
    import numpy as np

    from zoo.data import Data

COLUMNS = ("index", "file", "class", "probability")


@click.command("classify", cls=Command)
@model_options
@data_options
@split_option
@out_options
@json_option
def command(
    model: str, runs_dir: str | None, out: str | None, force: bool, as_json: bool, **source: Any
) -> None:
    """Name the class of examples.

    Gives the likeliest class of each example with its probability, and where the data has labels, how often
    it is right.

    Writes a .csv (index, file, class, probability). With --json it goes to stdout instead.

        gmzoo classify --model vit --data digits
        gmzoo classify --model vit --data folder:scans --out classes.csv
        gmzoo classify --model vit --data digits --limit 100 --json
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.cli.progress import follow

    path = output.check_out(out, force, (".csv",))
    loaded = inputs.load_model(model, runs_dir, source)
    loaded.require("classify")
    data = inputs.load_data(loaded, "classify", **source)

    def likeliest() -> Iterator[np.ndarray]:
        for x in inputs.in_chunks(loaded, data):
            found = loaded.classify(x)
            yield np.stack([found["class_index"], found["probabilities"].max(-1)], -1)

    both = np.concatenate([*follow(likeliest(), len(data), "classifying")])  # [N, 2]
    classes = both[:, 0].astype(int).tolist()
    names = [loaded.class_names[each] if loaded.class_names else str(each) for each in classes]
    rows = list(
        zip(range(len(data)), data.info.files or [""] * len(data), names, both[:, 1].tolist(), strict=True)
    )
    if path is None and not as_json:
        path = output.free_name(f"{loaded.name}-classes", ".csv")
    if path is not None:
        lines = ([index, file, name, f"{probability:.6f}"] for index, file, name, probability in rows)
        output.write_csv(path, COLUMNS, lines)
    right = accuracy(data, classes, names)
    if as_json:
        output.write_json(
            {
                "model": loaded.name,
                "source": data.spec,
                "split": data.split,
                "n": len(data),
                "accuracy": right,
                "examples": [
                    {"index": index, "file": file or None, "class": name, "probability": probability}
                    for index, file, name, probability in rows
                ],
            }
        )
        return
    if right is not None:
        error = "" if right["standard_error"] is None else f" +- {right['standard_error']:.2g}"
        click.echo(f"accuracy  {right['value']:.4f}{error} ({right['n']:,} labelled examples)")
    click.echo(f"examples  {len(data):,} of {data.spec}, split {data.split}")
    click.echo(path)


def accuracy(data: Data, classes: list[int], names: list[str]) -> dict[str, Any] | None:
    """How often the class is the label, by name where the labels have names; None without labels.

    Args:
        data: what was classified.
        classes, names: of each example.
    """
    import numpy as np

    label = np.asarray(data.fields.get("label", []))
    labelled = np.flatnonzero(label >= 0)
    if not len(labelled):
        return None
    own = data.info.class_names
    right = [
        own[label[row]] == names[row] if own else int(label[row]) == classes[row] for row in labelled.tolist()
    ]
    value, n = float(np.mean(right)), len(right)
    error = math.sqrt(value * (1 - value) / (n - 1)) if n > 1 else None
    return {"value": value, "standard_error": error, "n": n}
