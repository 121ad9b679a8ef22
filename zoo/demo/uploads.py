"""What a visitor gives, as examples of a model: pictures, texts, rows of numbers.

Nothing here trusts a file: how large a picture is, is read from its header before any of it is decoded.

Shapes: H x W x C image, d features, T tokens; always one row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zoo.data.convert import recolour, resize
from zoo.data.dequantise import SEED
from zoo.data.images import BadImageError, decode, shape_of
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.sampling import LoadedModel

#: Of one file, and of one picture: a photograph has room, and what it takes decoded is known.
MOST_BYTES, MOST_PIXELS = 20 * 2**20, 2**25
#: The longest side of a picture of any size: a translator takes it as it is.
LONGEST = 512
#: A character that is to be drawn.
GAP = "□"


def read(path: str | Path | None, what: str = "This picture") -> np.ndarray:
    """A picture as it looks: uint8 [H, W, C], C 1 or 3.

    Args:
        path: the file; None: there is none yet.
        what: how the file is called, should it be refused.

    Raises:
        UsageError: it is none, or none that is safe to decode.
    """
    if path is None:
        raise UsageError("Give a picture first: drop one here, or take an example.")
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise UsageError(f"{what} has {size / 2**20:.0f} MB: at most {MOST_BYTES // 2**20} are taken.")
    return decoded(Path(path).read_bytes(), what)


def decoded(raw: bytes, what: str) -> np.ndarray:
    """The bytes of a picture as it looks: see `read`."""
    try:
        height, width, _ = shape_of(raw)
        if height * width > MOST_PIXELS:
            raise UsageError(
                f"{what} has {width:,} x {height:,} pixels: at most {MOST_PIXELS // 10**6} million are taken."
            )
        return decode(raw)
    except BadImageError as error:
        raise UsageError(f"{what} {error}.") from None


def image_shape(model: LoadedModel) -> tuple[int, int, int] | None:
    """(H, W, C) of the pictures that a model reads; None where it reads none."""
    from zoo.evaluation.examples import example_shape

    shape = model.card.get("dataset", {}).get("dequantised") or (
        example_shape(model) if model.takes == "image" else None
    )
    if not shape:
        return None
    height, width, channels = (int(side or 0) for side in shape)
    return height, width, channels


def fitted(image: np.ndarray, model: LoadedModel, inverted: bool = False) -> np.ndarray:
    """A picture in the size and the colours that a model reads.

    Args:
        image: uint8 [h, w, c].
        model: that reads pictures.
        inverted: dark becomes light.

    Returns:
        uint8 [H, W, C]: the middle of it, where the sides are in another proportion; of a model that takes
        any size as it is, up to `LONGEST` on the longer side.

    Raises:
        UsageError: the model reads no pictures.
    """
    if (shape := image_shape(model)) is None:
        raise UsageError(f"{model.name} reads no pictures.")
    height, width, channels = shape
    image = recolour(image, channels)
    if inverted:
        image = 255 - image
    if "translate" in model.signatures:
        return _reduced(image)
    if height == width:
        return resize(image, height)
    tall, wide = image.shape[:2]
    scale = min(tall / height, wide / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (tall - rows) // 2, (wide - columns) // 2
    return _scaled(image[top : top + rows, left : left + columns], height, width)


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width, _ = image.shape
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    return _scaled(image, max(1, round(height * scale)), max(1, round(width * scale)))


def _scaled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    found = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    return found.reshape(height, width, -1)


def example(image: np.ndarray, model: LoadedModel) -> np.ndarray:
    """A fitted picture as the model takes it: float32 [1, H, W, C] in [0, 1], or [1, d] of its levels.

    Where it takes features, each is a level plus noise, always the same.
    """
    x = image[None].astype(np.float32) / np.float32(255)
    if model.takes == "image":
        return x
    levels = int(model.card["dataset"]["levels"] or 256)
    row = np.round(x * (levels - 1)).reshape(1, -1)
    found: np.ndarray = row + np.random.Generator(np.random.Philox(SEED)).random(row.shape, np.float32)
    return found


def numbers(row: Sequence[Any], names: Sequence[str], gaps: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A row of numbers that was typed.

    Args:
        row: d cells of a table.
        names: of its columns.
        gaps: whether a cell may be empty.

    Returns:
        Features float32 [1, d], 0 where a cell is empty; and which are not, bool [1, d].

    Raises:
        UsageError: a cell holds something else.
    """
    if len(row) != len(names):
        raise UsageError(f"A row has {len(names)} numbers, not {len(row)}.")
    values = np.zeros((1, len(names)), np.float32)
    known = np.zeros((1, len(names)), bool)
    for index, (cell, name) in enumerate(zip(row, names, strict=True)):
        text = "" if cell is None else str(cell).strip()
        if text in ("", "nan") and gaps:
            continue
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            number = math.nan
        if not abs(number) < 1e30:
            raise UsageError(
                f"{name}: {text!r} is no number." if text else f"{name} is empty: give a number."
            )
        values[0, index], known[0, index] = number, True
    return values, known


def tokens(text: str, model: LoadedModel, gaps: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A text as the tokens that a model reads, filled up to its length.

    Args:
        text: typed.
        model: that reads characters.
        gaps: whether `GAP` stands for a character that is to be drawn.

    Returns:
        Tokens int32 [1, T]; and which of them the text says, bool [1, T].

    Raises:
        UsageError: it is empty, too long, or has characters that the model does not know.
    """
    from zoo.data.text import tokens_of

    vocabulary = model.card.get("config", {}).get("vocabulary")
    if not vocabulary:
        raise UsageError(f"{model.name} tells no vocabulary: no text can be given to it.")
    length = next(
        table["inputs"]["tokens"]["shape"][1]
        for name, table in model.signatures.items()
        if name in ("log_prob", "complete") and "tokens" in table["inputs"]
    )
    text = text.replace("\r\n", "\n")
    if not text:
        raise UsageError("Give a text first.")
    if len(text) > length:
        raise UsageError(f"{model.name} reads {length} characters at a time; this text has {len(text)}.")
    known = np.zeros((1, length), bool)
    known[0, : len(text)] = [not (gaps and each == GAP) for each in text]
    filled = "".join(each if said else vocabulary[-1] for each, said in zip(text, known[0], strict=False))
    filled = filled.ljust(length, vocabulary[-1])
    return tokens_of(np.frombuffer(filled.encode("utf-32-le"), np.uint32), vocabulary)[None], known
