"""Memory that is freed is kept for the next step, where the C library lets us say so.

A training step allocates and frees the same few hundred megabytes again and again. By default glibc gives
large pieces back to the system at once and asks for them anew, and the system fills each page with zeros: for
the small models of this zoo that took up to half of a step (`benchmarks/memory.py`).
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform

# Names and numbers of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


@functools.cache
def keep_freed() -> bool:
    """Lets this process keep what it frees; best called before TensorFlow starts its threads.

    What the user's environment says of malloc goes first.

    Returns:
        Whether the C library took it: on Linux with glibc.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ)
    told = told or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if told or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    options = {
        M_ARENA_MAX: 1,  # threads would get arenas of their own, which keep little
        M_MMAP_MAX: 0,  # no piece is so large that it is asked for, and given back, by itself
        M_TRIM_THRESHOLD: -1,  # nothing is given back
    }
    taken = [mallopt(option, value) for option, value in options.items()]  # each, though one be refused
    return all(taken)
