"""What a process of the command line begins with: plain lines for messages, and a quiet TensorFlow."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator

import click

from zoo.memory import keep_freed
from zoo.quiet import held_back

log = logging.getLogger("gmzoo")


class Lines(logging.Handler):
    """Messages of the library as plain lines on stderr.

    Attributes:
        write: prints a line; a progress bar that is on the screen puts its own here.
    """

    write: Callable[[str], None] = staticmethod(lambda text: click.echo(text, err=True))

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "Warning: " if record.levelno >= logging.WARNING else ""
        Lines.write(prefix + record.getMessage())


@contextlib.contextmanager
def process(debug: bool) -> Iterator[None]:
    """The surroundings of one command line.

    Args:
        debug: let Python's warnings through.
    """
    handler = Lines()
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        with warnings.catch_warnings():
            if not debug and not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


def tensorflow() -> None:
    """Imports TensorFlow without the lines that it writes to stderr; they are shown if that fails."""
    if "tensorflow" in sys.modules:
        return
    keep_freed()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_back():
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)
        logging.getLogger("absl").setLevel(logging.ERROR)
