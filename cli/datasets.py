"""`gmzoo datasets`."""

from __future__ import annotations

import click

from zoo.cli.command import Command, json_option


@click.command("datasets", cls=Command)
@json_option
def command(as_json: bool) -> None:
    """List the named datasets.

    The embedded ones need no network. Your own data needs no name: folder:PATH (or a .zip), idx:PATH,
    npz:PATH, csv:PATH, text:PATH; and tfds:NAME is any set of TensorFlow Datasets.

        gmzoo datasets
        gmzoo datasets --json
    """
    from zoo.cli.output import write_json, write_table
    from zoo.data import CATALOGUE

    if as_json:
        write_json([{"name": name, **entry} for name, entry in CATALOGUE.items()])
        return
    write_table(
        ["dataset", "what it is", "image", "examples", "has", "download"],
        [
            [
                name,
                entry["summary"],
                "x".join(map(str, entry.get("image_shape") or ())),
                sum(entry["counts"].values()),
                ", ".join(entry["fields"]),
                "no" if entry["embedded"] else "yes",
            ]
            for name, entry in CATALOGUE.items()
        ],
    )
