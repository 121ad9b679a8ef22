"""Images from patches: those that the user gives in a folder, or those that tell most of whole images."""

from __future__ import annotations

import dataclasses
import io
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.cli import inputs, output
from zoo.cli.progress import follow
from zoo.data import folder
from zoo.data.loading import parse
from zoo.errors import UsageError
from zoo.reports import pictures

if typing.TYPE_CHECKING:
    from zoo.sampling import LoadedModel

#: What can be written; the first without --out.
ENDINGS = (".png", ".npz", output.FOLDER)
#: Images in a picture: of whole images without --limit or --index, and at most; and in a row of it.
SHOWN, MOST, COLUMNS = 8, 256, 8


@dataclasses.dataclass(frozen=True)
class Puzzles:
    """The patches of some images.

    Attributes:
        names: one for each image.
        patches: float32 [M, N, h, w, C] in [0, 1].
        given: bool [M, N], which of them there are.
        images: what the patches were taken from, [M, H, W, C]; None where the user gave them.
    """

    names: list[str]
    patches: np.ndarray
    given: np.ndarray
    images: np.ndarray | None = None

    def only(self, rows: np.ndarray) -> Puzzles:
        """Some of them, in the order of `rows`.

        Raises:
            UsageError: there is no such row.
        """
        if len(rows) and rows.max() >= len(self.names):
            raise UsageError(f"--index: there are the images 0 to {len(self.names) - 1}.")
        names = [self.names[row] for row in rows.tolist()]
        return Puzzles(names, self.patches[rows], self.given[rows])


def solve(model: LoadedModel, chosen: np.ndarray | None, seed: int, path: Path | None, **source: Any) -> Path:
    """Makes an image of each puzzle, and writes them.

    Args:
        model: that assembles.
        chosen: places of puzzles in the data; those that --limit says, where it is None.
        seed: of puzzle i it is seed + i.
        path: where to; the first free name, where it is None.
        **source: the options of the data.

    Returns:
        The path.

    Raises:
        UsageError: the data are no puzzles, or too many for a picture.
    """
    kind = ENDINGS[0] if path is None else output.ending(path)
    if str(source["data"]).startswith("folder:"):
        options = {name: source[name] for name in ("data", "split", "limit", "skip_bad")}
        puzzles, rows = given_by_the_user(model, chosen, **options)
    else:
        puzzles, rows = of_whole_images(model, chosen, SHOWN if kind == ".png" else None, **source)
    if kind == ".png" and len(rows) > MOST:
        raise UsageError(f"A picture shows at most {MOST} images: use --out NAME.npz.")
    path = path or output.free_name(f"{model.name}-completions", kind)
    from zoo.sampling import CHUNK

    def made() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            found = model.assemble(puzzles.patches[part], puzzles.given[part], seed + rows[part])
            yield np.concatenate([found["image"], found["places"][..., None]], -1)

    found = np.concatenate([*follow(made(), len(rows), "assembling")])
    image, places = found[..., :-1], found[..., -1]
    if kind == ".npz":
        arrays = {"patches": puzzles.patches, "given": puzzles.given, "places": places, "image": image}
        output.write_npz(path, {key: (len(rows), [value]) for key, value in arrays.items()})
    elif kind == output.FOLDER:
        output.write_folder(path, files(puzzles.names, image))
    else:
        draw(puzzles, places, image, path)
    return path


def given_by_the_user(
    model: LoadedModel,
    chosen: np.ndarray | None,
    *,
    data: str,
    split: str | None,
    limit: int | None,
    skip_bad: bool,
) -> tuple[Puzzles, np.ndarray]:
    """The patches in a folder: of one image, or of one for each subfolder.

    Returns:
        The puzzles, and which of all they are.

    Raises:
        UsageError: there are more patches than an image is made of, or none.
    """
    from zoo.evaluation.assembly import enlarged

    count, size, _, channels = model.patches_shape
    found = folder.originals(Path(parse(data)[1]).expanduser(), split)
    owner = dict(zip(found.files, found.domains or ["image"] * len(found), strict=True))
    groups: dict[str, list[np.ndarray]] = {}
    for file, image in found.read(channels, skip_bad):
        group = groups.setdefault(owner[file], [])
        if len(group) == count:
            where = f"{data}, {owner[file]}," if found.domains else data
            raise UsageError(
                f"{where} holds {[*owner.values()].count(owner[file])} images; {model.name} makes one of at "
                f"most {count} patches.\n"
                "Put the patches of each image into a subfolder of its own. Of whole images the patches are "
                "taken where they are no folder: but npz: or a named set."
            )
        group.append(enlarged(image, size))
    if not groups:
        raise UsageError(f"{found.path}: no image could be read.")
    names = sorted(groups)
    patches = np.zeros((len(names), *model.patches_shape), np.float32)
    given = np.zeros((len(names), count), bool)
    for row, name in enumerate(names):
        there = slice(len(groups[name]))
        patches[row, there], given[row, there] = groups[name], True
    rows = np.arange(len(names))[:limit] if chosen is None else chosen
    return Puzzles(names, patches, given).only(rows), rows


def of_whole_images(
    model: LoadedModel, chosen: np.ndarray | None, shown: int | None, **source: Any
) -> tuple[Puzzles, np.ndarray]:
    """The patches that tell most of the images of other data.

    Returns:
        The puzzles, and which of all images they are of.
    """
    data = inputs.load_data(model, "key_patches", **source)
    rows = np.arange(len(data)) if chosen is None else chosen
    if chosen is None and source["limit"] is None:
        rows = rows[:shown]
    data = inputs.only(data, rows)
    images = np.concatenate([*inputs.in_chunks(model, data)])
    patches = model.key_patches(images)
    given = np.ones(patches.shape[:2], bool)
    digits = len(str(rows.max()))
    return Puzzles([f"{row:0{digits}d}" for row in rows.tolist()], patches, given, images), rows


def files(names: list[str], images: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """A PNG file for each image."""
    for name, image in zip(names, images, strict=True):
        buffer = io.BytesIO()
        pictures.picture(image).save(buffer, "PNG")
        yield f"{name}.png", buffer.getvalue()


def draw(puzzles: Puzzles, places: np.ndarray, image: np.ndarray, path: Path) -> None:
    """One below the other: the whole images, if there are any; the patches; their places; what was made."""
    there = puzzles.given[:, :, None, None, None]
    patches = np.where(there, puzzles.patches, pictures.BACKGROUND / 255)
    layers = [*patches.swapaxes(0, 1), places[..., None].repeat(image.shape[-1], -1), image]
    if puzzles.images is not None:
        layers.insert(0, puzzles.images)
    pictures.write_picture(pictures.stacks(*layers, columns=COLUMNS), path)
