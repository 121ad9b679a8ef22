"""`load`: one split of any dataset, named or the user's own."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from zoo.data import csv, downloaded, folder, idx, named, npz, text
from zoo.data.content import Content, cut, has_test, with_all_splits
from zoo.data.convert import changes, check_wanted, convert
from zoo.data.dataset import Data
from zoo.data.local import existing
from zoo.data.store import data_folder
from zoo.errors import UsageError, nearest

log = logging.getLogger("gmzoo")

#: Sources that are read into memory.
IN_MEMORY: dict[str, Callable[[Path], Content]] = {
    "npz": npz.read,
    "idx": idx.read,
    "csv": csv.read,
}
LOCAL = ("folder", *IN_MEMORY, "text")
SCHEMES = ("tfds", *LOCAL)


def load(
    spec: str,
    split: str = "train",
    *,
    image_size: int | None = None,
    channels: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    skip_bad: bool = False,
    vocabulary: Sequence[str] | None = None,
) -> Data:
    """Loads one split of a dataset.

    Args:
        spec: a name in `CATALOGUE`, `tfds:NAME`, or `folder:`, `npz:`, `idx:`, `csv:`, `text:` and a path.
        split: `train`, `validation`, `test`, or `all`.
        image_size: the height and width of images; None: as they are.
        channels: 1 (gray) or 3 (RGB); None: as they are.
        data_dir: where prepared data is kept; None: `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        limit: at most this many rows.
        skip_bad: go on without files that cannot be read, and say how many.
        vocabulary: of a model, in whose tokens a text is wanted; None: in its own.

    Returns:
        The split. Each conversion is told by the logger "gmzoo" and stands in `info.notes`.

    Raises:
        UsageError: if there is no such dataset, or it is not what it should be.
        ZooError: if it cannot be downloaded or stored.
    """
    check_wanted(image_size, channels)
    scheme, path = parse(spec)
    if scheme == "tfds":
        content = downloaded.read(path, image_size, channels, data_folder(data_dir))
    elif scheme == "folder":
        content = folder.read(Path(path).expanduser(), image_size, channels, skip_bad, data_folder(data_dir))
    elif scheme == "text":
        content = text.read(Path(path).expanduser(), vocabulary)
    elif scheme:
        content = convert_content(IN_MEMORY[scheme](Path(path).expanduser()), image_size, channels)
    else:
        content = named.read(spec, image_size, channels, data_folder(data_dir))
    if vocabulary and content.info.vocabulary and content.info.vocabulary != tuple(vocabulary):
        content = text.retold(content, vocabulary)
    content = with_all_splits(content)
    for note in content.info.notes:
        tell(spec, note)
    return cut(content, spec, split, limit)


def check(spec: str, data_dir: str | os.PathLike[str] | None = None) -> None:
    """Refuses at once, without TensorFlow, what `load` could not find.

    Args:
        spec, data_dir: as in `load`.

    Raises:
        UsageError: there is no such dataset, or no such path.
        ZooError: it would have to be downloaded, and there is no network.
    """
    scheme, path = parse(spec)
    if scheme in LOCAL:
        existing(Path(path).expanduser(), scheme)
    elif scheme == "tfds" or spec in downloaded.CATALOGUE:
        downloaded.check(path, data_folder(data_dir))
    else:
        named.check(spec)


@functools.cache
def tell(spec: str, note: str) -> None:
    """Tells of a conversion, once however many splits are loaded."""
    log.info("%s: %s", spec, note)


def parse(spec: str) -> tuple[str, str]:
    """Splits `npz:mine.npz` into scheme and path; a named set has no scheme.

    Raises:
        UsageError: if the scheme is unknown or the path missing.
    """
    scheme, colon, path = spec.partition(":")
    if not colon:
        return "", spec
    if scheme not in SCHEMES:
        raise UsageError(
            f"There is no kind of dataset {scheme!r}.{nearest(scheme, SCHEMES)}\n"
            f"Your own files: {', '.join(f'{kind}:PATH' for kind in LOCAL)}."
        )
    if not path:
        raise UsageError(f"{spec} names no path: {scheme}:PATH.")
    return scheme, path


def convert_content(content: Content, image_size: int | None, channels: int | None) -> Content:
    """Brings images in memory to the size and channels that are wanted."""
    if "image" not in content.fields:
        return content
    images, levels = content.fields["image"], content.info.levels or 256
    notes = changes(images.shape[1:], image_size, channels, levels)
    images = convert(images, image_size, channels, levels)
    info = replace(content.info, notes=(*content.info.notes, *notes))
    return replace(content, fields={**content.fields, "image": images}, info=info)


def default_split(spec: str) -> str:
    """The split that commands read which only look at data: `test`, or `all` of a local source without one.

    Raises:
        UsageError: as `load`.
    """
    scheme, path = parse(spec)
    if scheme not in LOCAL:
        return "test"
    source = Path(path).expanduser()
    match scheme:
        case "folder":
            own = folder.has_test_folder(source)
        case "npz":
            own = has_test(npz.find_files(source))
        case "idx":
            own = has_test(idx.find_files(source))
        case _:
            own = False
    return "test" if own else "all"
