"""`gmzoo demo`."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli import startup
from zoo.cli.command import Command, models_options
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")


@click.command("demo", cls=Command)
@models_options
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 lets others in your network see the page.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port.  [default: the first free one from 7860]"
)
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.  [default: yes]")
def command(
    models: tuple[str, ...], runs_dir: str | None, host: str, port: int | None, browser: bool
) -> None:
    """Show models on a page in the browser.

    Choose a model; what it can do has a tab each: draw samples, move units of its code, score, encode,
    restore, complete, classify or translate a picture of yours, and draw beside another model with the same
    seeds. Without --model the page has all models that came with the installation.

    Prints the address of the page and runs until Ctrl-C. Nothing leaves your machine.

        gmzoo demo
        gmzoo demo --model vae --model dcgan
        gmzoo demo --model runs/dcgan-003 --port 8000 --no-browser
    """
    from zoo import registry

    resolved = {
        name: registry.resolve(name, runs_dir) for name in dict.fromkeys(models or registry.shipped())
    }
    if not resolved:
        raise ZooError("No model came with this installation. Name one: gmzoo demo --model runs/vae-001")
    if importlib.util.find_spec("gradio") is None:
        raise ZooError(f"The page needs Gradio, which is not installed.\nInstall it: {pip_line('demo')}")
    from zoo.demo.page import served, wait
    from zoo.demo.shelf import Shelf

    shelf = Shelf({name: each.path for name, each in resolved.items()}, opened)
    with served(shelf, host, port, browser) as url:
        click.echo(url)
        log.info("Ctrl-C ends it")
        shelf.open(shelf.names[0])  # while the browser still draws the page
        wait()


def opened(path: Path) -> LoadedModel:
    """A model of the shelf."""
    startup.tensorflow()
    import zoo

    # By its path: looked up again, a name might lead elsewhere by now.
    return zoo.load(os.path.join(os.curdir, path))


def pip_line(extra: str) -> str:
    """The line that installs what an extra of this package names."""
    wanted = [
        requirement.partition(";")[0].strip()
        for requirement in metadata.requires("gmzoo") or ()
        if re.search(rf"""extra == ["']{extra}["']""", requirement)
    ]
    return "pip install " + " ".join(f'"{each}"' for each in wanted)
