"""The named datasets. Importing this imports no TensorFlow."""

from __future__ import annotations

from zoo.data import digits, glyphs

#: Our own sources, each a module with `CATALOGUE`, `VERSION`, `describe(name)` and `blocks(name, split)`.
EMBEDDED = {module.__name__.rpartition(".")[2]: module for module in (digits, glyphs)}

#: Of each named set: summary, fields, image_shape, levels, classes, counts, embedded, source, licence.
CATALOGUE = {name: entry for module in EMBEDDED.values() for name, entry in module.CATALOGUE.items()}
