"""`idx:PATH`: files in the format of MNIST, gzipped or not; a folder or one file of images."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from zoo.data.content import Content, digest_files
from zoo.data.dataset import Info
from zoo.data.local import existing, join_parts, numbered_classes
from zoo.errors import UsageError

# What the names of the files of a split begin with, before "-images" or "-labels" (EMNIST's: end with).
NAMES = {"train": ("train",), "validation": ("valid", "validation"), "test": ("t10k", "test")}
UNSIGNED_BYTE = 8


def read(path: Path) -> Content:
    """Reads a folder with `train-images...`, `train-labels...`, `t10k-images...`, or one file of images.

    Raises:
        UsageError: if there are no such files, or one is damaged.
    """
    parts: dict[str, tuple[int, int]] = {}
    found = find_files(path)
    if not found:
        fields = {"image": read_file(path, 3)[..., None]}
        files = [path]
    else:
        read_parts: dict[str, dict[str, np.ndarray]] = {}
        for split, (images, labels) in found.items():
            read_parts[split] = {"image": read_file(images, 3)[..., None]}
            if labels is not None:
                label = read_file(labels, 1).astype(np.int32)
                if len(label) != len(read_parts[split]["image"]):
                    raise UsageError(
                        f"{labels.name} has {len(label)} labels, {images.name} has "
                        f"{len(read_parts[split]['image'])} images."
                    )
                read_parts[split]["label"] = label
        fields, parts = join_parts(read_parts, path)
        files = [file for pair in found.values() for file in pair if file is not None]
    info = Info(levels=256, class_names=numbered_classes(fields), fingerprint=digest_files(files), local=True)
    return Content(fields, info, parts)


def find_files(path: Path) -> dict[str, tuple[Path, Path | None]]:
    """The files of images and labels of each split in a folder; nothing if `path` is a file.

    Raises:
        UsageError: if the folder has none.
    """
    existing(path, "idx")
    if path.is_file():
        return {}
    names = sorted(file for file in path.iterdir() if file.is_file())

    def one(split: str, kind: str) -> Path | None:
        for file in names:
            before, found, _ = file.name.lower().partition(kind)
            if found and before.rstrip("-_.").endswith(NAMES[split]):
                return file
        return None

    found = {}
    for split in NAMES:
        images = one(split, "images")
        if images is not None:
            found[split] = (images, one(split, "labels"))
    if not found:
        raise UsageError(
            f"{path} holds no MNIST-format files: expected train-images-idx3-ubyte[.gz], "
            "train-labels-idx1-ubyte[.gz], t10k-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz]."
        )
    return found


def read_file(path: Path, dimensions: int) -> np.ndarray:
    """Reads one file: two zero bytes, the type, the number of dimensions, each as big-endian int32, the data.

    Args:
        path: the file, gzipped or not, whatever it is called.
        dimensions: 3 for images, 1 for labels.

    Returns:
        uint8, of that many dimensions.

    Raises:
        UsageError: if it is not such a file, or cut short.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except PermissionError as error:
        raise UsageError(f"{path} cannot be read: permission denied.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is damaged: {error}.") from error
    head = 4 + 4 * dimensions
    if len(raw) < head or raw[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]):
        what = "images" if dimensions == 3 else "labels"
        raise UsageError(f"{path} is not an MNIST-format file of {what} (it begins with {raw[:4].hex()}).")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">i4", dimensions, 4))
    if min(shape) < 1 or len(raw) - head != np.prod(shape, dtype=object):
        raise UsageError(
            f"{path} is cut short or damaged: {len(raw) - head} bytes of data for the size {list(shape)}."
        )
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)
