"""The named datasets: prepared once through TensorFlow Datasets, then kept as plain arrays.

An array on disk opens in a millisecond, gives any row at once, and needs no TensorFlow.
"""

from __future__ import annotations

from pathlib import Path

from zoo.data import downloaded, shapes
from zoo.data.catalogue import CATALOGUE, EMBEDDED
from zoo.data.content import Content
from zoo.data.store import converted, store, store_folder
from zoo.errors import UsageError, nearest

OWN = "folder:PATH, npz:PATH, idx:PATH, csv:PATH, text:PATH"


def check(name: str) -> None:
    """Refuses a name that no embedded set has.

    Raises:
        UsageError: naming those that there are.
    """
    if name.partition("/")[0] == "shapes":
        shapes.parse(name)
    elif name not in CATALOGUE:
        raise UsageError(
            f"There is no dataset {name!r}.{nearest(name, CATALOGUE)}\n"
            f"Named: {', '.join(CATALOGUE)}, tfds:NAME. Your own: {OWN}."
        )


def read(name: str, image_size: int | None, channels: int | None, data_dir: Path) -> Content:
    """Reads a named set, and prepares it where that has not been done.

    Args:
        name: as the catalogue has it, e.g. `glyphs/letters`.
        image_size: the height and width that is wanted; None: as it is.
        channels: how many are wanted; None: as it is.
        data_dir: where datasets lie.

    Raises:
        UsageError: if there is no such set.
        ZooError: if it cannot be downloaded.
    """
    if name in downloaded.CATALOGUE:
        return downloaded.read(name, image_size, channels, data_dir)
    check(name)
    kind = name.partition("/")[0]
    if kind == "shapes":  # drawn at any size: nothing to convert
        name = shapes.sized(name, image_size)
    module = EMBEDDED[kind]
    place = store_folder(data_dir, f"{name}-{module.VERSION}")

    def make(folder: Path) -> Content:
        from zoo.data.builder import embedded_builder, extract, prepare

        builder = embedded_builder(module, name, data_dir)
        prepare(builder, name)
        return extract(builder, module.describe(name), folder)

    return converted(store(place, "original", make), place, image_size, channels)
