"""The two errors a user sees. Each message says, in one or two plain lines, what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Something failed (exit code 1): a damaged file, a full disk, a loss that is not finite."""

    exit_code = 1


class UsageError(ZooError):
    """Something was asked for wrongly (exit code 2): an unknown name, a value of the wrong type."""

    exit_code = 2


def nearest(word: str, choices: Iterable[str]) -> str:
    """A sentence that offers the nearest valid names.

    Args:
        word: what the user typed.
        choices: the valid names.

    Returns:
        `" Did you mean a or b?"`, or the empty string where nothing is near.
    """
    found = difflib.get_close_matches(word, list(choices), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(found)}?" if found else ""
