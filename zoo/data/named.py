"""The named datasets: prepared once through TensorFlow Datasets, then kept as plain arrays.

An array on disk opens in a millisecond, gives any row at once, and needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo.data.catalogue import CATALOGUE, EMBEDDED
from zoo.data.content import Content
from zoo.data.convert import changes, convert
from zoo.data.store import empty_array, store, store_folder
from zoo.errors import UsageError, nearest


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
    if name not in CATALOGUE:
        raise UsageError(
            f"There is no dataset {name!r}.{nearest(name, CATALOGUE)}\n"
            f"Named: {', '.join(CATALOGUE)}. Your own: folder:PATH, npz:PATH, idx:PATH, csv:PATH, text:PATH."
        )
    module = EMBEDDED[name.partition("/")[0]]
    place = store_folder(data_dir, f"{name}-{module.VERSION}")

    def make(folder: Path) -> Content:
        from zoo.data.builder import embedded_builder, extract, prepare

        builder = embedded_builder(module, name, data_dir)
        prepare(builder, name)
        return extract(builder, module.describe(name), folder)

    return converted(store(place, "original", make), place, image_size, channels)


def converted(original: Content, place: Path, image_size: int | None, channels: int | None) -> Content:
    """The stored content with images of another size or number of channels, stored beside it."""
    if "image" not in original.fields:
        return original
    images, levels = original.fields["image"], original.info.levels or 256
    notes = changes(images.shape[1:], image_size, channels, levels)
    if not notes:
        return original
    height, _, depth = images.shape[1:]

    def make(folder: Path) -> Content:
        image = convert(
            images, image_size, channels, levels, lambda shape: empty_array(folder / "image.npy", shape)
        )
        info = replace(original.info, notes=(*original.info.notes, *notes))
        return replace(original, fields={"image": image}, info=info)

    stored = store(place, f"{image_size or height}x{channels or depth}", make)
    # The other fields are those of the original, not another copy.
    return replace(stored, fields={**original.fields, "image": stored.fields["image"]})
