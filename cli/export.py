"""`gmzoo export`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.command import Command, model_options


@click.command("export", cls=Command)
@model_options
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(file_okay=False), help="The base path to serve."
)
def command(model: str, runs_dir: str | None, out: str) -> None:
    """Write a model to DIR/<next version>/.

    DIR is the base path that TensorFlow Serving watches; a version that is there is never replaced.

        gmzoo export --model vae --out served/vae
        gmzoo export --model runs/dcgan-002 --out served/dcgan
    """
    from zoo.cli.inputs import load_model
    from zoo.cli.output import check_writable

    check_writable(Path(out) / "1")
    loaded = load_model(model, runs_dir)
    from zoo.exporting import publish

    click.echo(publish(loaded.path, out))
