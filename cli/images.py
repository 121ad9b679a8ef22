"""The images of a command that takes them as they are, of any size."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import zoo.data
from zoo.cli import inputs
from zoo.cli.output import FOLDER
from zoo.data import Data, folder
from zoo.data.folder import Originals, SizesDifferError
from zoo.data.loading import parse
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

#: Images in a picture: without --limit or --index, and at most.
SHOWN, MOST = 8, 256
#: Images of a folder whose headers are looked at; and how many times as large or small, along the shorter
#: side, as in training they have to be to be told of.
LOOKED_AT, FAR = 100, 2

# Pieces of images of one size: their names, and float32 [n, H, W, C] in [0, 1].
Pieces = Iterator[tuple[list[str], np.ndarray]]


class Rows:
    """Images that are held together, all of one size."""

    def __init__(self, data: Data) -> None:
        self.data = data
        digits = len(str(len(data) - 1))
        self.names = list(data.info.files) or [f"{row:0{digits}d}" for row in range(len(data))]

    def __len__(self) -> int:
        return len(self.names)

    def pieces(self, model: LoadedModel) -> Pieces:
        """So many at a time as the model takes."""
        from zoo.sampling import at_a_time

        start = 0
        for batch in zoo.data.in_order(self.data, at_a_time(*self.data.fields["image"].shape[1:3])):
            x = batch["image"]
            yield self.names[start : start + len(x)], x
            start += len(x)


class Folder:
    """Images of a folder, each in its own size."""

    def __init__(self, originals: Originals, channels: int, skip_bad: bool) -> None:
        self.originals, self.channels, self.skip_bad = originals, channels, skip_bad
        self.names = list(originals.files)

    def __len__(self) -> int:
        return len(self.names)

    def pieces(self, model: LoadedModel) -> Pieces:
        """Neighbours of one size, as many at a time as the model takes."""
        from zoo.sampling import at_a_time

        names: list[str] = []
        waiting: list[np.ndarray] = []
        for name, image in self.originals.read(self.channels, self.skip_bad):
            if waiting and (waiting[0].shape != image.shape or len(waiting) == at_a_time(*image.shape[:2])):
                yield names, np.stack(waiting)
                names, waiting = [], []
            names.append(name)
            waiting.append(image.astype(np.float32) / np.float32(255))
        if not waiting:
            raise UsageError(f"{self.originals.path}: no image could be read.")
        yield names, np.stack(waiting)


def find(
    model: LoadedModel,
    to: str,
    image_size: int | None,
    index: np.ndarray | None,
    kind: str,
    *,
    data: str | None,
    split: str | None,
    limit: int | None,
    skip_bad: bool,
    data_dir: str | None,
) -> Rows | Folder:
    """The images to be translated.

    Args:
        model: that translates.
        to: where to, as typed.
        image_size: theirs; None: as they are, and of the model's own data as in training.
        index: which of the data; all that are not of the asked domain already, where it is None.
        kind: the ending of what is written; a picture shows images of one size.
        data, split, limit, skip_bad, data_dir: as typed.

    Raises:
        UsageError: there are none, or they differ in size where they must not.
    """
    spec = data or model.card.get("dataset", {}).get("spec")
    if spec is None:
        raise UsageError("Which data? Name it: --data SPEC (`gmzoo datasets` lists named sets).")
    if data is None and image_size is None:
        image_size = model.card["dataset"].get("image_size")
    channels = model.signatures["translate"]["inputs"]["image"]["shape"][-1]
    scheme, place = parse(spec)
    split = split or zoo.data.default_split(spec)
    log.info("data: %s, split %s", spec, split)
    alone = kind == FOLDER or (index is not None and len(index) == 1)
    found: Data | Originals
    if scheme == "folder" and image_size is None and alone:
        found = folder.originals(Path(place).expanduser(), split)
        domains = found.domains
    else:
        try:
            found = zoo.data.load(
                spec, split, image_size=image_size, channels=channels, skip_bad=skip_bad, data_dir=data_dir
            )
        except SizesDifferError as error:
            raise UsageError(f"{error}\n--out DIR/ keeps each image in its own size.") from error
        found.require("image")
        names = found.info.domain_names
        domains = tuple(names[number] for number in found.fields["domain"].tolist()) if names else ()
    rows = index
    if rows is None:
        rows = others(model, to, domains, len(found))[: limit or (SHOWN if kind == ".png" else None)]
    elif rows.max() >= len(found):
        raise UsageError(f"--index: {spec}, split {split}, has the images 0 to {len(found) - 1}.")
    if kind == ".png" and len(rows) > MOST:
        raise UsageError(f"A picture shows at most {MOST} images: use --out NAME.npz, or a folder.")
    if isinstance(found, Originals):
        found = found.only(rows.tolist())
        tell_sizes(model, found.sizes(LOOKED_AT))
        return Folder(found, channels, skip_bad)
    _, height, width, _ = found.fields["image"].shape
    tell_sizes(model, {(height, width)})
    return Rows(inputs.only(found, rows))


def others(model: LoadedModel, to: str, domains: Sequence[str], count: int) -> np.ndarray:
    """The images that are not of the asked domain already, where that is known of the data.

    Args:
        model, to: as typed.
        domains: of each image, by name; () where there are none.
        count: how many images there are.

    Raises:
        UsageError: none is left.
    """
    known = {*model.domains} & {*domains}
    if len(known) < 2:
        return np.arange(count)
    asked = model.domains[int(model.target(to))]
    rows = np.flatnonzero([domain in known and domain != asked for domain in domains])
    if len(rows) < count:
        log.info("%d of %d images are of another domain that %s knows", len(rows), count, model.name)
    return rows


def tell_sizes(model: LoadedModel, sizes: Set[tuple[int, int]]) -> None:
    """Says where images, of some (height, width), are far from the size that the model was trained on."""
    trained = model.card.get("config", {}).get("image_shape")
    if not trained or not sizes:
        return
    height, width, _ = trained
    usual = min(height, width)
    if all(usual <= FAR * min(size) and min(size) <= FAR * usual for size in sizes):
        return
    ends = {pick(sizes, key=math.prod): None for pick in (min, max)}  # one, where all are alike
    theirs = " to ".join(f"{own_height}x{own_width}" for own_height, own_width in ends)
    log.info(
        "images of %s; %s was trained on %dx%d (--image-size %d shows it such)",
        theirs, model.name, height, width, height,
    )  # fmt: skip
