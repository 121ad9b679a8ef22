"""The computer that something was timed on: a number of seconds says little without it."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    """The GPUs that TensorFlow sees, and the processor: `2 cores of AMD EPYC`."""
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    names = [details(each).get("device_name", "GPU") for each in tf.config.list_physical_devices("GPU")]
    parts = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    count = cores()
    return ", ".join([*parts, f"{count} {'core' if count == 1 else 'cores'} of {processor()}"])


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def processor() -> str:
    """The processor's name; its architecture where the system does not tell the name."""
    table = Path("/proc/cpuinfo")
    found = None
    if table.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", table.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
