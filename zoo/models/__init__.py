"""The models: one paper, one file. A new file here is a new model; nothing else lists them.

`zoo.models.vae` is a model's file, `zoo.models.VAE` its class; either is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any


def __getattr__(name: str) -> Any:
    for module in pkgutil.iter_modules(__path__):
        # Read, not imported: what is not asked for should cost no TensorFlow.
        source = Path(__path__[0], f"{module.name}.py").read_text(encoding="utf-8")
        is_class = re.search(rf"^class {re.escape(name)}\([^)]*\bGenerativeModel\b", source, re.MULTILINE)
        if is_class or name == module.name:
            found = importlib.import_module(f"{__name__}.{module.name}")
            return getattr(found, name) if is_class else found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
