"""Prepared arrays on disk: written once, whole or not at all, and memory-mapped afterwards.

They lie beside what TFDS prepared: `<data dir>/gmzoo/<dataset>/<variant>-<fingerprint>/`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.content import Content
from zoo.data.convert import changes, convert
from zoo.data.dataset import Info
from zoo.errors import ZooError
from zoo.files import lock

CANNOT_WRITE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
)


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where datasets lie: what was asked for, else `TFDS_DATA_DIR`, else TFDS's own default."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def store_folder(data_dir: Path, dataset: str) -> Path:
    """Where the arrays of one dataset lie."""
    return data_dir / "gmzoo" / dataset.replace("/", "-").replace(":", "-")


def no_maker(folder: Path) -> Content:
    """Of what is known to be stored."""
    raise AssertionError(f"{folder} should be there")


def store(place: Path, variant: str, make: Callable[[Path], Content] = no_maker) -> Content:
    """What is stored of a dataset; `make` makes it if it is not there yet.

    Args:
        place: the folder of the dataset. Another process that prepares it is waited for.
        variant: e.g. `original` or `32x3`.
        make: given a folder; may write fields there already as `<field>.npy`.

    Returns:
        The content, with its arrays memory-mapped.

    Raises:
        ZooError: if it cannot be written.
    """
    found = finished(place, variant)
    if found is None:
        try:
            with lock(place):
                found = finished(place, variant) or write(place, variant, make)
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise ZooError(
                f"Cannot write prepared data to {place}: {error.strerror or error}.\n"
                "Choose another place with --data-dir or TFDS_DATA_DIR."
            ) from error
    return read_stored(found)


def finished(place: Path, variant: str) -> Path | None:
    """The folder where a variant is stored, if it is."""
    return next((folder for folder in sorted(place.glob(f"{variant}-*"))), None)


def write(place: Path, variant: str, make: Callable[[Path], Content]) -> Path:
    """Makes a variant in a temporary folder (of ours alone, the lock is held) and renames that."""
    temporary = place / f".making-{variant}"
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir(parents=True)
    try:
        content = make(temporary)
        save(temporary, content)
        final = place / f"{variant}-{content.info.fingerprint}"
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def save(folder: Path, content: Content) -> None:
    """Writes `info.json`, and each field as `<field>.npy` unless it lies there already."""
    for name, array in content.fields.items():
        if isinstance(array, np.memmap):
            array.flush()
        else:
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    head = {
        "info": asdict(content.info),
        "parts": content.parts,
        "files": content.files,
        "fields": list(content.fields),
    }
    (folder / "info.json").write_text(json.dumps(head, ensure_ascii=False), encoding="utf-8")


def read_stored(folder: Path) -> Content:
    """Memory-maps what `save` wrote."""
    head = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    info = {key: tuples(value) for key, value in head["info"].items()}
    fields = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in head["fields"]
    }
    parts = {name: (bounds[0], bounds[1]) for name, bounds in head["parts"].items()}
    return Content(fields, Info(**info), parts, tuple(head["files"]))


def tuples(value: Any) -> Any:
    """JSON has no tuples: makes them of its lists, at any depth."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def empty_array(path: Path, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    """A new memory-mapped `.npy` file, to fill piece by piece."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


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
