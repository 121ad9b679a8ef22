"""`gmzoo serve`."""

from __future__ import annotations

import collections
import logging
from pathlib import Path

import click

from zoo.cli.command import Command, models_options
from zoo.errors import UsageError, ZooError

log = logging.getLogger("gmzoo")

_port = click.IntRange(min=1, max=65535)


@click.command("serve", cls=Command)
@models_options
@click.option("--rest-port", type=_port, default=8501, show_default=True, help="Of HTTP and JSON.")
@click.option("--grpc-port", type=_port, default=8500, show_default=True, help="Of gRPC.")
@click.option(
    "--batching/--no-batching",
    default=None,
    help="Compute rows of several requests together.  [default: yes, but for images of any size]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=120.0,
    help="Seconds that it may take until it is ready.  [default: 120]",
)
@click.option(
    "--config",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Run nothing: write models.config and batching.config for a container there, and print its line.",
)
@click.option(
    "--image",
    metavar="NAME",
    help="The container's image.  [default: tensorflow/serving of the TensorFlow that the models need]",
)
def command(
    models: tuple[str, ...],
    runs_dir: str | None,
    rest_port: int,
    grpc_port: int,
    batching: bool | None,
    timeout: float,
    config: str | None,
    image: str | None,
) -> None:
    """Serve models with TensorFlow Serving, until Ctrl-C.

    Runs `tensorflow_model_server` where it is on the PATH, waits until it answers, and prints where. Where it
    is not, nothing is run: the files that it needs are written into ./serving (or ./serving-2, ... if other
    ones are there), the `docker run` line that would do it is printed, and the exit code is 1.

    A base path is served in its highest version, and in higher ones as they come; a version folder in that
    version alone. The server asks nobody for a password.

        gmzoo serve --model vae
        gmzoo serve --model serving/vae --model serving/dcgan
        gmzoo serve --model runs/vae-001 --rest-port 9501 --grpc-port 9500
        gmzoo serve --model serving/vae --model serving/dcgan --config serving
    """
    from zoo import serving
    from zoo.cli.inputs import shown

    if not models:
        raise UsageError(
            "serve needs a model; try: gmzoo serve --model vae (`gmzoo list` shows what there is)"
        )
    served = [serving.find(each, runs_dir) for each in models]
    twice = [name for name, count in collections.Counter(each.name for each in served).items() if count > 1]
    if twice:
        raise UsageError(
            f"two of these models would be called {twice[0]}. Export one under another name: "
            f"gmzoo export --model {models[-1]} --out serving/{twice[0]}-2"
        )
    if batching is None:
        batching = all(each.batches for each in served)
        if not batching:
            log.info("no batching: a model takes images of any size, and a server does not lay them together")
    for each in served:
        log.info("%s: %s", each.name, shown(each.base))
    server = None if config else serving.executable()
    if server:
        serving.check_ports(rest_port, grpc_port)
        names = [each.name for each in served]
        serving.run(
            server,
            served,
            rest=rest_port,
            grpc=grpc_port,
            batching=batching,
            timeout=timeout,
            ready=lambda: _tell(names, rest_port, grpc_port),
        )
        return
    folder = Path(config) if config else serving.free_folder(served, batching)
    serving.write_together(served, folder, inside=True, batching=batching)
    click.echo(
        serving.docker_line(served, folder, image=image, rest=rest_port, grpc=grpc_port, batching=batching)
    )
    if not config:
        raise ZooError(
            "nothing is being served: tensorflow_model_server is not on the PATH.\n"
            "The line on stdout runs it in a container."
        )


def _tell(names: list[str], rest: int, grpc: int) -> None:
    """Says where each model can be asked, once that is so."""
    for name in names:
        click.echo(f"http://localhost:{rest}/v1/models/{name}:predict")
    click.echo(f"grpc://localhost:{grpc}")
    log.info("ready; Ctrl-C ends it")
