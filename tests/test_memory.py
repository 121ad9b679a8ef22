"""Freed memory is kept: a large array that is made again and again costs no new pages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")

COUNT_FAULTS = """
import resource, sys
import numpy as np
from zoo.memory import keep_freed

kept = keep_freed() if sys.argv[1] == "keep" else None
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**20)  # 8 MB: 2,048 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages()
print(kept, pages())
"""


def run(how: str, **environment: str) -> tuple[str, int]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))
    }
    command = [sys.executable, "-c", COUNT_FAULTS, how]
    result = subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, check=True, timeout=60
    )
    kept, pages = result.stdout.split()
    return kept, int(pages)


@glibc
def test_what_is_freed_is_taken_again():
    kept, pages = run("keep")
    assert kept == "True"
    assert pages < 200


@glibc
@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("MALLOC_ARENA_MAX", "2", "False"),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=2", "False"),
        ("GLIBC_TUNABLES", "glibc.cpu.x86_ibt=off", "True"),
    ],
)
def test_the_users_environment_goes_first(name, value, kept):
    assert run("keep", **{name: value})[0] == kept
