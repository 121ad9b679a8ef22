"""Words in pictures: a line above a grid, a word beside each of its rows, a frame around what is marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.reports.pictures import BACKGROUND, VISIBLE, pixels

#: Pixels: the height of the letters, and the space around a word.
LETTERS, SPACE = 13, 6
INK = 225
#: Around what is marked: seen beside black, white and gray by those who see colours otherwise, too.
MARK = (230, 85, 13)


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(LETTERS)


def _canvas(like: Image.Image, width: int, height: int) -> Image.Image:
    return Image.new(like.mode, (width, height), BACKGROUND if like.mode == "L" else (BACKGROUND,) * 3)


def _ink(picture: Image.Image) -> int | tuple[int, ...]:
    return INK if picture.mode == "L" else (INK,) * 3


def above(*parts: tuple[str, Image.Image]) -> Image.Image:
    """Pictures one below the other, each with a line of text above it.

    Args:
        parts: the line and the picture, all pictures of one mode (`L` or `RGB`).
    """
    font = _font()
    line = LETTERS + 2 * SPACE
    width = max(max(picture.width, round(font.getlength(text)) + 2 * SPACE) for text, picture in parts)
    canvas = _canvas(parts[0][1], width, sum(line + picture.height for _, picture in parts))
    draw = ImageDraw.Draw(canvas)
    top = 0
    for text, picture in parts:
        draw.text((SPACE, top + SPACE), text, fill=_ink(canvas), font=font)
        canvas.paste(picture, (0, top + line))
        top += line + picture.height
    return canvas


def beside(picture: Image.Image, words: Sequence[str]) -> Image.Image:
    """A picture of rows of equal height, with a word at the left of each.

    Args:
        picture: gray or RGB.
        words: one a row, from top to bottom.
    """
    font = _font()
    margin = round(max(font.getlength(word) for word in words)) + 2 * SPACE
    canvas = _canvas(picture, margin + picture.width, picture.height)
    canvas.paste(picture, (margin, 0))
    draw = ImageDraw.Draw(canvas)
    for index, word in enumerate(words):
        middle = (index + 0.5) * picture.height / len(words)
        draw.text((SPACE, middle), word, fill=_ink(canvas), font=font, anchor="lm")
    return canvas


def framed(images: np.ndarray, marked: Sequence[bool] | np.ndarray, width: int = 3) -> np.ndarray:
    """Images enlarged until people can see them, with a frame around each: of colour where it is marked.

    Args:
        images: [N, H, W, C] in [0, 1].
        marked: bool [N].
        width: of the frame, in pixels of the result.

    Returns:
        float32 [N, H', W', 3] in [0, 1].
    """
    scale = max(1, round(VISIBLE / max(images.shape[1:3])))
    cells = pixels(images).repeat(scale, axis=1).repeat(scale, axis=2)
    cells = np.broadcast_to(cells, (*cells.shape[:3], 3)) if cells.shape[3] == 1 else cells[..., :3]
    count, height, side, _ = cells.shape
    found = np.full((count, height + 2 * width, side + 2 * width, 3), BACKGROUND, np.uint8)
    found[np.asarray(marked, bool)] = MARK
    found[:, width:-width, width:-width] = cells
    return found.astype(np.float32) / 255.0
