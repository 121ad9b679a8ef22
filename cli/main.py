"""`gmzoo`: finds the command that was asked for, runs it, and turns errors into one or two plain lines."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

from zoo.cli import startup
from zoo.cli.command import DEBUG, laid_out
from zoo.errors import ZooError, nearest

#: The commands, as `--help` shows them. Each is a module of this package that holds `command`.
SECTIONS = {
    "Look around": ("list", "info", "datasets", "runs", "doctor"),
    "Train and deploy": ("train", "launch", "export", "serve"),
    "Use a trained model": (
        "sample",
        "score",
        "detect",
        "encode",
        "reconstruct",
        "interpolate",
        "traverse",
        "complete",
        "classify",
        "translate",
    ),
    "Show": ("demo",),
    "Measure": ("evaluate", "compare", "reproduce"),
    "Set up": ("completion",),
}


class Zoo(click.Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"zoo.cli.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                commands = {name: self.get_command(ctx, name) for name in names}
                formatter.write_dl(
                    [(name, each.get_short_help_str(80)) for name, each in commands.items() if each]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if not word.startswith("-") and self.get_command(ctx, word) is None:
            from zoo import registry

            hint = nearest(word, self.list_commands(ctx)) or " `gmzoo --help` lists them."
            if word in registry.names():
                hint = f" {word} is a model; try: gmzoo info {word}"
            raise click.UsageError(f"no command {word!r}.{hint}")
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Runs one command line, turns errors into lines on stderr, and exits with the code."""
        args = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in args
        with startup.process(debug), terminated_cleanly():
            try:
                # Without a command there is nothing to fail at: help is what was asked for.
                code = super().main(args or ["--help"], "gmzoo", **{**extra, "standalone_mode": False})
            except Exception as error:
                if debug:
                    traceback.print_exc()
                code = report(error)
        sys.exit(code if isinstance(code, int) else 0)


def report(error: Exception) -> int:
    """Says on stderr what went wrong.

    Returns:
        The exit code: 1 where something failed, 2 where something was used wrongly, 130 after Ctrl-C.
    """
    if isinstance(error, click.Abort):
        return _say("Interrupted.", 130)
    if isinstance(error, ZooError):
        return _say(f"Error: {error}", error.exit_code)
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "gmzoo"
        message = error.format_message().replace("\n", " ")
        hint = "" if "try: " in message or "--help" in message else f"\nSee: {where} --help"
        return _say(f"Error: {message}{hint}", 2)
    if isinstance(error, click.ClickException):
        return _say(f"Error: {error.format_message()}", error.exit_code)
    if isinstance(error, BrokenPipeError):
        # Who reads the output has seen enough, as in `gmzoo list | head`. Python would complain at its exit.
        sys.stdout = None
        return 1
    if isinstance(error, OSError):
        return _say(f"Error: {_system_error(error)}", 1)
    if isinstance(error, MemoryError):
        return _say("Error: out of memory.\nUse fewer examples (-n, --limit) or a smaller --batch-size.", 1)
    if os.strerror(errno.ENOSPC) in str(error):  # said by TensorFlow's own writers
        return report(OSError(errno.ENOSPC, ""))
    lines = str(error).strip().splitlines() or [""]
    line = lines[-1] if lines[0].endswith(":") else lines[0]  # TensorFlow begins with "in user code:"
    return _say(
        f"Error: {type(error).__name__}: {line.strip()}\nThe same command with --debug shows where.", 1
    )


def _say(message: str, code: int) -> int:
    """Prints a message, in two lines if it has more than one."""
    first, *rest = message.splitlines()
    click.echo("\n".join([first, " ".join(rest)] if rest else [first]), err=True)
    return code


def _system_error(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}.\nNothing incomplete was left behind; free some space and try again."
    return f"{error.strerror or error}{where}"


@contextlib.contextmanager
def terminated_cleanly() -> Iterator[None]:
    """Lets SIGTERM end the process as an exception does, with temporary files removed, and code 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib import metadata

        click.echo(f"gmzoo {metadata.version('gmzoo')}")
        ctx.exit()


@click.group(cls=Zoo, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def main() -> None:
    """The classic deep generative models: train, sample, score, deploy.

    Start with:

        gmzoo list                   # the models
        gmzoo sample --model vae     # a picture, from a model that came with the installation
        gmzoo train dcgan            # train one; `gmzoo sample --model dcgan` then draws with it
    """


main.help = laid_out(main.help)
main.params.append(DEBUG)
