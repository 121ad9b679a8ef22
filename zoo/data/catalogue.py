"""The named datasets. Importing this imports no TensorFlow."""

from __future__ import annotations

from typing import Any

from zoo.data import downloaded

#: Our own sources by name: modules with `CATALOGUE`, `VERSION`, `describe(name)` and `blocks(name, split)`.
EMBEDDED = {module.__name__.rpartition(".")[2]: module for module in downloaded.EMBEDDED}

#: Of each named set: summary, fields, image_shape, levels, classes, counts, embedded, source, licence.
CATALOGUE: dict[str, dict[str, Any]] = {
    name: entry for module in (*EMBEDDED.values(), downloaded) for name, entry in module.CATALOGUE.items()
}
