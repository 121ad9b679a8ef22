"""`folder:PATH`: images of any size and mode in a folder or a `.zip`.

Layouts, with or without train/validation/test folders around them:

    PATH/a.png, PATH/b.jpg               flat
    PATH/cats/a.png, PATH/dogs/b.png     one folder a class; the same folders are the domains

Beside the images may lie `captions.tsv` (file, caption) and `attributes.csv` (file, then one column an
attribute). Everything else that is not hidden is taken for an image, and named if it is none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from zoo.data.content import Content, cut, has_test, with_all_splits
from zoo.data.convert import CHANNELS, recolour, resize
from zoo.data.dataset import Info
from zoo.data.images import BadImageError, decode, shape_of
from zoo.data.local import existing
from zoo.data.store import empty_array, store, store_folder
from zoo.data.tables import ATTRIBUTES, CAPTIONS, attribute_columns, read_tables
from zoo.errors import UsageError

log = logging.getLogger("gmzoo")
Result = TypeVar("Result")

SPLIT_FOLDERS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation",
                 "test": "test"}  # fmt: skip
HIDDEN = ("Thumbs.db", "desktop.ini", "__MACOSX")
MOST_BYTES = 512 * 2**20  # of one file


class SizesDifferError(UsageError):
    """Images of several sizes, where one was wanted and none said."""


@dataclass(frozen=True)
class Files:
    """The files of a folder or a `.zip`.

    Attributes:
        root: what the user named.
        names: the path of each file inside, with `/`, sorted; hidden files are left out.
        stamps: size and time of each, which change when it does.
        read: gives the bytes of a file.
    """

    root: Path
    names: tuple[str, ...]
    stamps: tuple[str, ...]
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Layout:
    """What the places of the files say.

    Attributes:
        images: the path of each image, its splits one after another.
        parts: the rows of each split, if there are folders of splits.
        label: the class of each image, or nothing where the folder is flat.
        class_names: the folders of classes.
        tables: the path of each `captions.tsv` and `attributes.csv`.
    """

    images: tuple[str, ...]
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    label: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


def read(path: Path, image_size: int | None, channels: int | None, skip_bad: bool, data_dir: Path) -> Content:
    """Reads all images, once: they are kept as one array on disk until a file changes.

    Args:
        path: the folder or `.zip`.
        image_size: the height and width that is wanted; None: that of the images, if they are all alike.
        channels: 1 or 3; None: gray if all images are, else RGB.
        skip_bad: go on without files that are no images.
        data_dir: where prepared data lies.

    Raises:
        UsageError: naming what is wrong.
    """
    existing(path, "folder")
    with opened(path) as files:
        layout = lay_out(files)
        name = re.sub(r"[^\w.-]", "_", path.stem)[:40]
        place = store_folder(data_dir, f"folder-{name}-{short_hash(str(path.resolve()))}")
        now = short_hash(
            "\n".join(f"{name} {stamp}" for name, stamp in zip(files.names, files.stamps, strict=True))
        )
        variant = f"{now}-{'some' if skip_bad else 'all'}-{image_size or 'own'}x{channels or 'own'}"

        def make(to: Path) -> Content:
            for old in place.iterdir():  # arrays of files that have changed since
                if old.is_dir() and old != to and not old.name.startswith(now):
                    shutil.rmtree(old, ignore_errors=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd metadata and the like: the pixels count
                return gather(files, layout, image_size, channels, skip_bad, to)

        return store(place, variant, make)


def has_test_folder(path: Path) -> bool:
    """Whether the folders give test images."""
    existing(path, "folder")
    with opened(path) as files:
        return has_test(lay_out(files).parts)


@dataclass(frozen=True)
class Originals:
    """The images of a folder or a `.zip`, each in its own size, read when they are asked for.

    Attributes:
        path: the folder or `.zip`.
        files: the path of each image inside.
        domains: the folder of each; nothing where the folder is flat.
    """

    path: Path
    files: tuple[str, ...]
    domains: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def only(self, index: Sequence[int]) -> Originals:
        """Some of them, in the order of `index`."""
        domains = tuple(self.domains[row] for row in index) if self.domains else ()
        return Originals(self.path, tuple(self.files[row] for row in index), domains)

    def sizes(self, most: int) -> set[tuple[int, int]]:
        """(height, width) of so many of them at most, by their headers; bad files have none."""
        found = set()
        with opened(self.path) as files, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in self.files[:: len(self.files) // most + 1]:
                with suppress(BadImageError, OSError):
                    found.add(shape_of(files.read(name))[:2])
        return found

    def read(self, channels: int, skip_bad: bool = False) -> Iterator[tuple[str, np.ndarray]]:
        """File and image, uint8 [H, W, channels], one after another.

        Raises:
            UsageError: a file is no image; with `skip_bad` it is told and left out.
        """
        with opened(self.path) as files, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata and the like: the pixels count
            for name in self.files:
                try:
                    image = recolour(decode(files.read(name)), channels)
                except (BadImageError, OSError) as error:
                    if not skip_bad:
                        raise bad_file(self.path, name, error) from error
                    log.warning("%s: skipped %s, which %s", self.path, name, error)
                    continue
                yield name, image


def originals(path: Path, split: str | None = None, limit: int | None = None) -> Originals:
    """The images of one split of a folder as they are: `read` gives them in one size.

    Args:
        path: the folder or `.zip`.
        split: as `zoo.data.load` takes it; None: `test` where there are such images, else `all`.
        limit: at most this many.

    Raises:
        UsageError: there are none, or no such split.
    """
    existing(path, "folder")
    with opened(path) as files:
        layout = lay_out(files)
    label = np.array(layout.label or [0] * len(layout.images), np.int32)
    content = Content({"label": label}, parts=layout.parts, files=layout.images)
    split = split or ("test" if has_test(layout.parts) else "all")
    chosen = cut(with_all_splits(content), f"folder:{path}", split, limit)
    names = tuple(layout.class_names[number] for number in chosen.fields["label"]) if layout.label else ()
    return Originals(path, chosen.info.files, names)


def short_hash(text: str) -> str:
    """Eight hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """Lists the files of a folder or a `.zip`, and holds it open.

    Raises:
        UsageError: if it is neither, or the `.zip` is damaged, encrypted or unsafe.
    """
    if path.is_dir():
        yield list_folder(path)
        return
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is neither a folder nor a .zip file. One array of images: npz:{path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield list_zip(path, archive)
    except zipfile.BadZipFile as error:
        raise UsageError(f"{path} is damaged: {error}.") from error


def list_folder(path: Path) -> Files:
    """The files of a folder, at any depth."""
    found = []

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for top, folders, names in os.walk(path, onerror=refuse):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in names:
            if not hidden(name):
                found.append((Path(top) / name).relative_to(path).as_posix())
    found.sort()
    stamps = []
    for name in found:
        try:
            stat = os.stat(path / name)
            stamps.append(f"{stat.st_size} {stat.st_mtime_ns}")
        except OSError:  # a link to nothing: named when it is read
            stamps.append("unknown")

    def read_file(name: str) -> bytes:
        if (path / name).stat().st_size > MOST_BYTES:
            raise BadImageError("is refused: larger than is safe")
        return (path / name).read_bytes()

    return Files(path, tuple(found), tuple(stamps), read_file)


def list_zip(path: Path, archive: zipfile.ZipFile) -> Files:
    """The files of a `.zip`, which is read in place: nothing is ever written where its names point.

    Raises:
        UsageError: if a name points outside, or it is encrypted.
    """
    members = {}
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if not name.parts:  # "./", as some packers write the folder itself
            continue
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise UsageError(
                f"{path} holds a path that leads outside of it: {member.filename!r}. It is refused."
            )
        if member.is_dir() or any(hidden(part) for part in name.parts):
            continue
        if member.flag_bits & 1:
            raise UsageError(f"{path} is encrypted: unpack it first, then folder:FOLDER.")
        members[str(name)] = member

    def read_member(name: str) -> bytes:
        if members[name].file_size > MOST_BYTES:
            raise BadImageError(f"is refused: it unpacks to {members[name].file_size // 2**20} MB")
        try:
            return archive.read(members[name])
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
            raise BadImageError(f"cannot be unpacked: {error}") from error

    names = tuple(sorted(members))
    return Files(
        path, names, tuple(f"{members[name].file_size} {members[name].CRC}" for name in names), read_member
    )


def hidden(name: str) -> bool:
    """Whether a name is one that systems leave in folders, not the user."""
    return name.startswith(".") or name in HIDDEN


def lay_out(files: Files) -> Layout:
    """Understands the folders: splits, classes, or neither.

    Raises:
        UsageError: if there are no files, or they lie in a way that says nothing.
    """
    paths = [PurePosixPath(name) for name in files.names]
    depth = 0
    while (only := only_folder(paths, depth)) and SPLIT_FOLDERS.get(only) is None:
        depth += 1  # a .zip of one folder
    tables = tuple(str(path) for path in paths if path.name in (CAPTIONS, ATTRIBUTES))
    paths = [path for path in paths if path.name not in (CAPTIONS, ATTRIBUTES)]
    if not paths:
        raise UsageError(f"{files.root} holds no images.")
    by_split: dict[str, list[PurePosixPath]] = {}
    tops = {path.parts[depth] for path in paths}
    in_splits = all(len(path.parts) > depth + 1 for path in paths) and tops <= set(SPLIT_FOLDERS)
    for path in paths:
        by_split.setdefault(SPLIT_FOLDERS[path.parts[depth]] if in_splits else "", []).append(path)
    depth += in_splits

    ordered = [path for split in ("", "train", "validation", "test") for path in by_split.get(split, ())]
    levels = {len(path.parts) - depth - 1 for path in ordered}
    if max(levels) > 1:
        deep = next(path for path in ordered if len(path.parts) - depth - 1 > 1)
        raise UsageError(
            f"{files.root}: {deep} lies too deep.\nImages lie in the folder itself, in one folder a class, "
            "or in train, validation and test folders of either."
        )
    if len(levels) > 1:
        loose = next(path for path in ordered if len(path.parts) - depth == 1)
        inside = next(path for path in ordered if len(path.parts) - depth == 2)
        raise UsageError(
            f"{files.root}: {loose} lies beside the folders, {inside} in one.\n"
            "Put all images in one folder, or each in the folder of its class."
        )
    parts: dict[str, tuple[int, int]] = {}
    start = 0
    for split in ("train", "validation", "test"):
        if split in by_split:
            parts[split] = (start, start + len(by_split[split]))
            start += len(by_split[split])
    images = tuple(str(path) for path in ordered)
    if levels == {0}:
        return Layout(images, parts, tables=tables)
    names = tuple(sorted({path.parts[depth] for path in ordered}))
    label = tuple(names.index(path.parts[depth]) for path in ordered)
    return Layout(images, parts, label, names, tables)


def only_folder(paths: Sequence[PurePosixPath], depth: int) -> str | None:
    """The folder at some depth that all paths go through, if there is one and something deeper."""
    names = {path.parts[depth] if len(path.parts) > depth + 1 else None for path in paths}
    return names.pop() if len(names) == 1 else None


def gather(
    files: Files, layout: Layout, image_size: int | None, channels: int | None, skip_bad: bool, to: Path
) -> Content:
    """Decodes all images into one array on disk, some hundred at a time.

    Args:
        files: the files.
        layout: what their places say.
        image_size, channels, skip_bad: as in `read`.
        to: the folder of the array.
    """
    started = time.monotonic()
    bad: dict[str, str] = {}

    def good(work: Callable[[str], Result], names: Sequence[str], doing: str) -> Iterator[tuple[str, Result]]:
        """Does the work on several files at once; gives the results of good ones in order."""
        for name, result in each(work, names, f"{files.root}: {doing}"):
            if not isinstance(result, BadImageError):
                yield name, result
            elif skip_bad:
                bad[name] = str(result)
            else:
                raise bad_file(files.root, name, result) from result

    shapes = dict(good(lambda name: shape_of(files.read(name)), layout.images, "looked at"))
    if not shapes:
        raise no_image(files.root, bad)
    size, depth, notes = agree(files.root, set(shapes.values()), image_size, channels)

    def load(name: str) -> tuple[np.ndarray, bytes]:
        raw = files.read(name)
        pixels = recolour(decode(raw), depth)
        return (resize(pixels, image_size) if image_size else pixels), hashlib.sha256(raw).digest()

    image = empty_array(to / "image.npy", (len(shapes), *size, depth))
    digest = hashlib.sha256()
    kept: list[str] = []
    for name, (pixels, content_hash) in good(load, list(shapes), "read"):
        image[len(kept)] = pixels
        digest.update(name.encode("utf-8", "surrogateescape") + content_hash)
        kept.append(name)
    if not kept:
        raise no_image(files.root, bad)
    if len(kept) < len(shapes):
        image = shortened(to / "image.npy", image, len(kept))
    if bad:
        name, reason = next(iter(bad.items()))
        notes.append(f"skipped {len(bad)} of {len(layout.images)} files, the first: {name} {reason}")

    fields: dict[str, np.ndarray] = {"image": image}
    row_of = {name: row for row, name in enumerate(layout.images)}
    rows = np.array([row_of[name] for name in kept])
    if layout.label:
        fields["label"] = fields["domain"] = np.array(layout.label, np.int32)[rows]
    tables = read_tables(layout.tables, layout.images, files.read, str(files.root))
    notes += tables.notes
    values: tuple[tuple[str, ...], ...] = ()
    if tables.captions:
        fields["caption"] = np.array([tables.captions.get(name, "") for name in kept])
        lacking = sum(name not in tables.captions for name in kept)
        if lacking:
            notes.append(f"{lacking} images have no caption: theirs is empty")
    if tables.attributes:
        fields["attributes"], values = attribute_columns(tables, kept)
        lacking = sum(name not in tables.attributes for name in kept)
        if lacking:
            notes.append(f"{lacking} images have no attributes: theirs are -1")
    for path in layout.tables:
        digest.update(files.read(path))
    parts = {
        split: (int((rows < start).sum()), int((rows < stop).sum()))
        for split, (start, stop) in layout.parts.items()
    }
    info = Info(
        levels=256,
        class_names=layout.class_names,
        domain_names=layout.class_names,
        attribute_names=tuple(tables.columns),
        attribute_values=values,
        fingerprint=digest.hexdigest()[:16],
        local=True,
        notes=tuple(notes),
    )
    if time.monotonic() - started > 2:
        log.info("%s: %d images read in %.1f s", files.root, len(kept), time.monotonic() - started)
    return Content(fields, info, parts, tuple(kept))


def bad_file(root: Path, name: str, error: Exception) -> UsageError:
    """What is said of one bad file."""
    return UsageError(f"{root}: {name} {error}.\nRemove it, or go on without such files by --skip-bad.")


def no_image(root: Path, bad: Mapping[str, str]) -> UsageError:
    """What is said when all files are bad."""
    name, reason = next(iter(bad.items()))
    return UsageError(f"{root} holds no image that can be read: {name} {reason}.")


def each(
    work: Callable[[str], Result], names: Sequence[str], doing: str
) -> Iterator[tuple[str, Result | BadImageError]]:
    """Does some work on each file, on all processors, and says every ten seconds how far it is.

    Yields:
        Name and result, in order; instead of a result the error over a bad file.
    """
    told = time.monotonic()

    def attempt(name: str) -> Result | BadImageError:
        try:
            return work(name)
        except BadImageError as error:
            return error
        except OSError as error:
            return BadImageError(f"cannot be read: {(error.strerror or str(error)).lower()}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(names), 256):
            block = names[start : start + 256]
            yield from zip(block, pool.map(attempt, block), strict=True)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                log.info("%s %d of %d images", doing, start + len(block), len(names))


def agree(
    root: Path, shapes: set[tuple[int, int, int]], image_size: int | None, channels: int | None
) -> tuple[tuple[int, int], int, list[str]]:
    """Finds the size and channels that all images get, and what that does to them.

    Returns:
        (height, width), the channels, and one line for each conversion.

    Raises:
        SizesDifferError: if the sizes differ and none is wanted.
    """
    sizes = sorted({(height, width) for height, width, _ in shapes})
    depths = sorted({depth for _, _, depth in shapes})
    notes = []
    depth = channels or max(depths)
    if depths != [depth]:
        kinds = " and ".join(CHANNELS[one] for one in depths)
        notes.append(f"{kinds} images converted to {CHANNELS[depth]}")
    if image_size is None:
        if len(sizes) > 1:
            (least, most) = sizes[0], sizes[-1]
            raise SizesDifferError(
                f"The images of {root} differ in size, from {least[0]}x{least[1]} to {most[0]}x{most[1]}: "
                "choose one with --image-size."
            )
        return sizes[0], depth, notes
    if any(height != width for height, width in sizes):
        notes.append("images that are not square cropped to their central square")
    if any(min(size) != image_size for size in sizes):
        many = f"{sizes[0][0]}x{sizes[0][1]}" if len(sizes) == 1 else f"{len(sizes)} sizes"
        notes.append(f"resized from {many} to {image_size}x{image_size}")
    return (image_size, image_size), depth, notes


def shortened(path: Path, image: np.ndarray, rows: int) -> np.ndarray:
    """The first rows of an array on disk, in its place."""
    short = empty_array(path.with_suffix(".part"), (rows, *image.shape[1:]))
    for start in range(0, rows, 1024):
        stop = min(start + 1024, rows)
        short[start:stop] = image[start:stop]
    path.with_suffix(".part").replace(path)
    return short
