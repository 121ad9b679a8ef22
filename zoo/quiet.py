"""Silence: what native code writes to stderr by itself is kept from the user, unless something fails."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Keeps what native code writes to stderr (file descriptor 2) and shows it only if the block raises."""
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed: nobody would see it
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(kept, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
