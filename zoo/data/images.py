"""One image file to pixels as they look: upright, transparency over white, 16 bits scaled to 8."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

MOST_PIXELS = 64_000_000  # of one image
GRAY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")

#: How to set an image upright, for each way of holding the camera that EXIF knows.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImageError(Exception):
    """A file that cannot be read as an image, and why: a sentence that its name begins."""


@contextmanager
def as_bad_image() -> Iterator[None]:
    """Whatever Pillow raises over a file becomes one kind of error."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise BadImageError("is refused: its size is that of a decompression bomb") from error
    except Image.UnidentifiedImageError as error:
        raise BadImageError("is no image") from error
    except BadImageError:
        raise
    except Exception as error:  # its readers of odd formats raise anything, struct.error for one
        raise BadImageError(f"is damaged ({error})") from error


def shape_of(raw: bytes) -> tuple[int, int, int]:
    """Height, width and channels of an image as it will be decoded, from its header.

    Raises:
        BadImageError: if it has none, or is too large to be decoded safely.
    """
    with as_bad_image(), Image.open(io.BytesIO(raw)) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise BadImageError(f"is refused: {width}x{height} pixels, more than is safe")
        if turned(picture) >= 5:  # stored lying on its side
            width, height = height, width
        return height, width, 1 if picture.mode in GRAY else 3


def turned(picture: Image.Image) -> int:
    """How a camera held the image: 1 upright, else a key of `UPRIGHT`.

    A TIFF is set upright by Pillow; a PNG would have to be read whole to tell. Metadata that cannot be read
    say nothing: the pixels are as good as before.
    """
    if picture.format in ("PNG", "TIFF"):
        return 1
    try:
        found = picture.getexif().get(0x0112)
    except Exception:  # of damaged metadata Pillow raises anything
        return 1
    return found if found in UPRIGHT else 1


def decode(raw: bytes) -> np.ndarray:
    """An image as it looks: upright, transparency over white, 16 bits scaled to 8.

    Returns:
        uint8 [H, W, C], C 1 or 3.

    Raises:
        BadImageError: if it is damaged.
    """
    with as_bad_image(), Image.open(io.BytesIO(raw)) as opened_image:
        opened_image.load()
        orientation = turned(opened_image)
        picture: Image.Image = opened_image
        if orientation != 1:
            picture = opened_image.transpose(UPRIGHT[orientation])
        if picture.mode.startswith("I;16"):
            return (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)[..., None]
        if "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
            gray = picture.mode in GRAY
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = picture.convert("L" if gray else "RGB")
        picture = picture.convert("L" if picture.mode in GRAY else "RGB")
        return np.asarray(picture).reshape(picture.height, picture.width, -1)
