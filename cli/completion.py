"""`gmzoo completion`."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from zoo.cli.command import Command

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> None:
    """Print the script for completion in your shell.

    It completes commands, options, and the names of models, presets and datasets.

    SHELL is bash, zsh or fish; the shell you use without it.

        gmzoo completion bash >> ~/.bashrc
        gmzoo completion zsh >> ~/.zshrc
        gmzoo completion fish > ~/.config/fish/completions/gmzoo.fish
    """
    from zoo.cli.main import main

    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise click.UsageError(f"which shell? try: gmzoo completion {SHELLS[0]} (or {', '.join(SHELLS[1:])})")
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "gmzoo", "_GMZOO_COMPLETE").source())
