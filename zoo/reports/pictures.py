"""Pictures of many examples: grids, stacks, films. Pillow and NumPy alone, so that a picture comes soon."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.files import replacing

#: Between the cells: neither the black of an empty pixel nor the white of ink.
BACKGROUND = 72
#: Images with a longer side below this are enlarged toward it.
VISIBLE = 64
#: No side of a picture is enlarged beyond this.
LARGEST = 2048


def pixels(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as bytes.

    Args:
        images: [..., H, W, C], with C = 1 (gray) or 3 (RGB); values beyond [0, 1] are clipped, NaN is black.

    Returns:
        uint8 [..., H, W, C], value times 255, rounded.
    """
    return (np.clip(np.nan_to_num(np.asarray(images, np.float32)), 0, 1) * 255 + 0.5).astype(np.uint8)


def picture(image: np.ndarray) -> Image.Image:
    """One image [H, W, C] in [0, 1] as a gray or RGB picture of the same size."""
    data = pixels(image)
    return Image.fromarray(data[..., 0] if data.shape[-1] == 1 else data[..., :3])


def grid(
    images: np.ndarray, columns: int | None = None, scale: int | None = None, gap: int = 2
) -> Image.Image:
    """A picture of many images in rows, from left to right and from top to bottom.

    Args:
        images: [N, H, W, C] in [0, 1], N >= 1, with C = 1 (gray) or 3 (RGB).
        columns: images in a row; as square as N allows if None.
        scale: whole factor that enlarges every pixel to a square; chosen so that people can see small images
            if None.
        gap: pixels between two images and around all.

    Returns:
        A gray or RGB picture.
    """
    cells = pixels(images)
    count, height, width, channels = cells.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    scale = scale or _scale(height, width, rows, columns)
    cells = cells.repeat(scale, axis=1).repeat(scale, axis=2)
    step_y, step_x = height * scale + gap, width * scale + gap
    canvas = np.full((rows * step_y + gap, columns * step_x + gap, channels), BACKGROUND, np.uint8)
    for index, cell in enumerate(cells):
        y, x = gap + index // columns * step_y, gap + index % columns * step_x
        canvas[y : y + height * scale, x : x + width * scale] = cell
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas[..., :3])


def _scale(height: int, width: int, rows: int, columns: int) -> int:
    wanted = round(VISIBLE / max(height, width))
    room = LARGEST // max(height * rows, width * columns)
    return max(1, min(wanted, room))


def stacks(*layers: np.ndarray, columns: int | None = None) -> Image.Image:
    """A picture of images in several forms, each form under the one before.

    Args:
        layers: the forms, each [N, H, W, C] in [0, 1].
        columns: images in a row; about as square as N allows if None.
    """
    count, height, width, channels = layers[0].shape
    columns = min(columns or math.ceil(math.sqrt(len(layers) * count)), count)
    scale = _scale(height, width, len(layers) * math.ceil(count / columns), columns)
    line = np.full((count, 2, width * scale, channels), BACKGROUND / 255)
    cells = [part for layer in layers for part in (line, np.asarray(layer).repeat(scale, 1).repeat(scale, 2))]
    return grid(np.concatenate(cells[1:], axis=1), columns, scale=1, gap=8)


def write_picture(image: Image.Image, path: str | os.PathLike[str]) -> Path:
    """Writes a picture, whole or not at all; the ending of `path` says the format."""
    with replacing(path) as temporary:
        image.save(temporary)
    return Path(path)


def gif(frames: Iterable[Image.Image], path: str | os.PathLike[str], ms: int = 120) -> Path:
    """Writes a film that repeats; its last frame stays eight times as long.

    Args:
        frames: pictures of one size, at least one.
        path: where to.
        ms: how long a frame stays, in milliseconds.
    """
    first, *rest = frames
    durations = [ms] * len(rest) + [8 * ms]
    with replacing(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
    return Path(path)
