"""Images of one size and one number of channels, whatever they were."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from PIL import Image

from zoo.errors import UsageError

log = logging.getLogger("gmzoo")
CHANNELS = {1: "gray", 3: "RGB"}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def check_wanted(image_size: int | None, channels: int | None) -> None:
    """Refuses sizes and channels that no image can have.

    Raises:
        UsageError: naming what is possible.
    """
    if image_size is not None and not 1 <= image_size <= 4096:
        raise UsageError(f"--image-size must be from 1 to 4096, not {image_size}.")
    if channels is not None and channels not in CHANNELS:
        raise UsageError(f"Images have 1 channel (gray) or 3 (RGB), not {channels}.")


def changes(shape: tuple[int, ...], image_size: int | None, channels: int | None, levels: int) -> list[str]:
    """What converting images of `shape` [H, W, C] will do, one line each; nothing if they fit already."""
    height, width, depth = shape
    found = []
    if channels is not None and channels != depth:
        found.append(f"{CHANNELS.get(depth, depth)} converted to {CHANNELS[channels]}")
    if image_size is not None and (height, width) != (image_size, image_size):
        if height != width:
            side = min(height, width)
            found.append(f"{height}x{width} cropped to the central {side}x{side}")
        if min(height, width) != image_size:
            rounded = f", values rounded to {levels} levels" if levels < 256 else ""
            found.append(f"resized to {image_size}x{image_size}{rounded}")
    return found


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Crops to the central square and resizes with antialiasing.

    Args:
        image: uint8 [H, W, C] on the scale 0..255, C 1 or 3.
        size: the new height and width.

    Returns:
        uint8 [size, size, C].
    """
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if side != size:
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        # Enlarging a small image shows its pixels as a smooth surface; reducing averages over an area.
        way = Image.Resampling.LANCZOS if size < side else Image.Resampling.BICUBIC
        image = np.asarray(picture.resize((size, size), way)).reshape(size, size, -1)
    return image


def recolour(images: np.ndarray, channels: int) -> np.ndarray:
    """Gray to RGB or RGB to gray.

    Args:
        images: uint8 [..., C].
        channels: 1 or 3.

    Returns:
        uint8 [..., channels].
    """
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    return np.round(images.astype(np.float32) @ LUMA).astype(np.uint8)[..., None]


def convert(
    images: np.ndarray,
    image_size: int | None,
    channels: int | None,
    levels: int,
    empty: Callable[[tuple[int, ...]], np.ndarray] = lambda shape: np.empty(shape, np.uint8),
) -> np.ndarray:
    """Brings all images to one size and number of channels.

    Args:
        images: uint8 [N, H, W, C] with values 0 .. levels-1.
        image_size: the height and width; None: as they are.
        channels: 1 or 3; None: as they are.
        levels: how many values a pixel can take, before and after.
        empty: makes the array to fill (a memory map where it is large).

    Returns:
        uint8 [N, image_size, image_size, channels].
    """
    if not changes(images.shape[1:], image_size, channels, levels):
        return images
    size = (image_size, image_size) if image_size is not None else images.shape[1:3]
    result = empty((len(images), *size, images.shape[3] if channels is None else channels))
    top = levels - 1
    for start in range(0, len(images), 1024):
        block = np.asarray(images[start : start + 1024])
        if channels is not None:
            block = recolour(block, channels)
        if block.shape[1:3] != size:
            block = np.round(block * np.float32(255 / top)).astype(np.uint8) if top != 255 else block
            block = np.stack([resize(image, size[0]) for image in block])
            block = np.round(block * np.float32(top / 255)).astype(np.uint8) if top != 255 else block
        result[start : start + 1024] = block
    return result
