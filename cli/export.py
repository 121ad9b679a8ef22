"""`gmzoo export`."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from zoo.cli.command import Command, model_options
from zoo.errors import UsageError

log = logging.getLogger("gmzoo")


@click.command("export", cls=Command)
@model_options
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="The base path to serve; of another format than savedmodel a new folder.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["savedmodel", "litert", "onnx"]),
    default="savedmodel",
    show_default=True,
    help="litert and onnx hold what draws nothing, a file each; onnx needs tf2onnx and onnxruntime.",
)
def command(model: str, runs_dir: str | None, out: str, kind: str) -> None:
    """Write a model to DIR/<next version>/.

    DIR is the base path that TensorFlow Serving watches; a version that is there is never replaced. Beside
    the versions lie models.config and batching.config, which such a server reads; where they are there
    already, they are left as they are.

    What draws random numbers converts to neither LiteRT nor ONNX: in these formats there is a file for each
    of decode, encode, reconstruct, translate and classify that the model has. Each is run and compared with
    TensorFlow, and nothing is written if one gives other numbers.

        gmzoo export --model vae --out serving/vae
        gmzoo export --model runs/dcgan-002 --out serving/dcgan
        gmzoo export --model vae --out vae-litert --format litert
    """
    from zoo.cli.inputs import load_model
    from zoo.cli.output import check_writable

    if kind == "savedmodel":
        check_writable(Path(out) / "1")
        loaded = load_model(model, runs_dir)
        import zoo

        click.echo(zoo.export(loaded, out))
        return
    if Path(out).exists():
        raise UsageError(f"{out} exists. Choose another --out.")
    check_writable(Path(out))
    loaded = load_model(model, runs_dir)
    from zoo import converting

    for path, difference in converting.convert(loaded, Path(out), kind).items():
        click.echo(path)
        log.info("%s differs from TensorFlow by at most %.1g", path.name, difference)
