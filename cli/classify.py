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
    it is right. A model that was trained on attributes names them too.

    Writes a .csv (index, file, class, probability, attributes). With --json it goes to stdout instead.

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
            none = np.empty((len(x), 0))
            columns = [found["class_index"], found["probabilities"].max(-1)]
            yield np.concatenate([np.stack(columns, -1), found.get("attribute_index", none)], -1)

    table = np.concatenate([*follow(likeliest(), len(data), "classifying")])  # [N, 2 + A]
    classes = table[:, 0].astype(int).tolist()
    names = [loaded.class_names[each] if loaded.class_names else str(each) for each in classes]
    attributes = {
        name: [values[index] for index in column.astype(int)]
        for (name, values), column in zip(loaded.attributes.items(), table[:, 2:].T, strict=False)
    }
    rows = list(
        zip(range(len(data)), data.info.files or [""] * len(data), names, table[:, 1].tolist(), strict=True)
    )
    if path is None and not as_json:
        path = output.free_name(f"{loaded.name}-classes", ".csv")
    values = list(zip(*attributes.values(), strict=True)) or [()] * len(rows)
    if path is not None:
        lines = (
            [index, file, name, f"{probability:.6f}", *row]
            for (index, file, name, probability), row in zip(rows, values, strict=True)
        )
        output.write_csv(path, [*COLUMNS, *attributes], lines)
    right = accuracy(data, classes, names)
    right_values = {name: attribute_accuracy(data, name, found) for name, found in attributes.items()}
    if as_json:
        output.write_json(
            {
                "model": loaded.name,
                "source": data.spec,
                "split": data.split,
                "n": len(data),
                "accuracy": right,
                **({"attribute_accuracy": right_values} if attributes else {}),
                "examples": [
                    {
                        "index": index,
                        "file": file or None,
                        "class": name,
                        "probability": probability,
                        **({"attributes": dict(zip(attributes, row, strict=True))} if attributes else {}),
                    }
                    for (index, file, name, probability), row in zip(rows, values, strict=True)
                ],
            }
        )
        return
    told = {"accuracy": right, **right_values}
    width = max(map(len, ["examples", *told]))
    for name, each in told.items():
        if each is not None:
            error = "" if each["standard_error"] is None else f" +- {each['standard_error']:.2g}"
            click.echo(f"{name:<{width}}  {each['value']:.4f}{error} ({each['n']:,} labelled examples)")
    click.echo(f"{'examples':<{width}}  {len(data):,} of {data.spec}, split {data.split}")
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
    return share(right)


def attribute_accuracy(data: Data, name: str, found: list[str]) -> dict[str, Any] | None:
    """How often an attribute has the value that was found; None where the data does not have it."""
    if name not in data.info.attribute_names:
        return None
    column = data.info.attribute_names.index(name)
    values = data.info.attribute_values[column]
    truth = data.fields["attributes"][:, column].tolist()
    right = [values[value] == guess for value, guess in zip(truth, found, strict=True) if value >= 0]
    return share(right) if right else None


def share(right: list[bool]) -> dict[str, Any]:
    """How many are right, as a share of 1, with its standard error; None where there is none to tell."""
    value, n = sum(right) / len(right), len(right)
    error = math.sqrt(value * (1 - value) / (n - 1)) if n > 1 else None
    return {"value": value, "standard_error": error, "n": n}
