"""A command line in this process, and what it did."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from click.testing import CliRunner

from zoo.cli.main import main


@dataclasses.dataclass(frozen=True)
class Done:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def told(self) -> list[str]:
        """The lines that say what was wrong: from `Error:` on."""
        lines = self.err.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("Error: ")), len(lines))
        return lines[first:]


def command_line(*words: object) -> Done:
    """Runs it; an exception that gets out fails the test."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)
