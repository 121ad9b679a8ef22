"""Draws the pictures of the embedded datasets in the documentation.

python docs/make_data_pictures.py        (into docs/images/data/)
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from zoo.data import Data, glyphs, load, shapes

OUT = Path(__file__).parent / "images/data"
PAPER = 255


def main() -> None:
    """Draws all of them."""
    OUT.mkdir(parents=True, exist_ok=True)
    save("digits", grid(images("digits", 60), columns=20, scale=5, gap=4, levels=16))
    save("glyphs", grid(images("glyphs", 96), columns=24, scale=1.5, gap=0))
    save("glyphs-letters", grid(images("glyphs/letters", 96), columns=24, scale=1.5, gap=0))
    save("glyphs-domains", grid(same_in_each_domain(20), columns=20, scale=2, gap=2))
    save("shapes", shapes_with_captions())
    save("shapes-styles", grid(same_in_each_style(12), columns=12, scale=1.25, gap=4))
    save("patches", grid(images("patches", 120), columns=30, scale=4, gap=2))
    save("patches-rgb", grid(images("patches/rgb", 60), columns=20, scale=3, gap=3))
    wine()
    save("prose", prose())


def save(name: str, picture: Image.Image) -> None:
    """Writes one picture, with as few colours as show it."""
    if picture.mode == "L":
        picture = picture.quantize(64)
    picture.save(OUT / f"{name}.png", optimize=True)


def images(name: str, count: int) -> np.ndarray:
    """The first images of a training split: uint8 [count, H, W, C]."""
    return np.asarray(load(name).fields["image"][:count])


def grid(pixels: np.ndarray, columns: int, scale: float, gap: int, levels: int = 256) -> Image.Image:
    """Images side by side on white.

    Args:
        pixels: uint8 [N, H, W, C] with values 0 .. levels-1.
        columns: how many in a row.
        scale: how much larger they are drawn; by a whole number, so that each pixel stays a square.
        gap: pixels between them.
        levels: how many values a pixel can take.
    """
    pixels = (pixels.astype(int) * 255 // (levels - 1)).astype(np.uint8)
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    high, wide = round(height * scale), round(width * scale)
    mode = "L" if channels == 1 else "RGB"
    size = (columns * (wide + gap) - gap, rows * (high + gap) - gap)
    sheet = Image.new(mode, size, PAPER if mode == "L" else (PAPER,) * 3)
    way = Image.Resampling.NEAREST if scale == int(scale) else Image.Resampling.BICUBIC
    for number, image in enumerate(pixels):
        one = Image.fromarray(image.squeeze()).resize((wide, high), way)
        sheet.paste(one, (number % columns * (wide + gap), number // columns * (high + gap)))
    return sheet


def same_in_each_domain(count: int) -> np.ndarray:
    """The same digits, deformed alike, one row a domain."""
    rows = [next(glyphs.counterparts("glyphs", "train", domain))[:count] for domain in glyphs.DOMAINS]
    return np.concatenate(rows)


def same_in_each_style(count: int) -> np.ndarray:
    """The same scenes, one row a drawing style."""
    rows = [next(shapes.counterparts("shapes/64", "train", style))[:count] for style in shapes.STYLES]
    return np.concatenate(rows)


def shapes_with_captions() -> Image.Image:
    """Scenes of 64x64 with what is said of them."""
    block = next(shapes.blocks("shapes/64", "train"))
    columns, rows, side, under = 7, 3, 128, 58
    pen_font = font(11)
    sheet = Image.new("RGB", (columns * (side + 12) - 12, rows * (side + under)), "white")
    pen = ImageDraw.Draw(sheet)
    for number in range(columns * rows):
        left, top = number % columns * (side + 12), number // columns * (side + under)
        scene = Image.fromarray(block["image"][number])
        sheet.paste(scene.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        text = "\n".join(textwrap.wrap(str(block["caption"][number]), 20))
        pen.multiline_text((left + side / 2, top + side + 4), text, "#333", pen_font, "ma", align="center")
    return sheet


def font(size: int, family: str = "DejaVu Sans") -> ImageFont.FreeTypeFont:
    """One of the fonts that Matplotlib ships."""
    return ImageFont.truetype(font_manager.findfont(family), size)


def wine() -> None:
    """Three of the thirteen features against one another, by grower."""
    data: Data = load("wine", "all")
    names, label = data.info.feature_names, data.fields["label"]
    pairs = [("alcohol", "color intensity"), ("flavanoids", "hue"), ("alcohol", "proline")]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", dpi=100)
    for axis, pair in zip(axes, pairs, strict=True):
        x, y = (data.fields["features"][:, names.index(name)] for name in pair)
        for number, (name, colour) in enumerate(
            zip(data.info.class_names, ["#7a1f3d", "#d98e04", "#2a7f86"], strict=True)
        ):
            mine = label == number
            axis.scatter(x[mine], y[mine], 22, colour, alpha=0.75, linewidths=0, label=name)
        axis.set(xlabel=pair[0], ylabel=pair[1])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(OUT / "wine.png", metadata={"Software": None})
    plt.close(figure)


def prose() -> Image.Image:
    """Six examples as they are read: 128 characters each."""
    data = load("prose")
    pen_font = font(13, "DejaVu Sans Mono")
    columns, wide, high, gap = 2, 520, 62, 12
    sheet = Image.new("RGB", (columns * (wide + gap) - gap, 3 * (high + gap) - gap), "white")
    pen = ImageDraw.Draw(sheet)
    for number, tokens in enumerate(data.fields["tokens"][40:46]):
        left, top = number % columns * (wide + gap), number // columns * (high + gap)
        pen.rounded_rectangle((left, top, left + wide - 1, top + high - 1), 6, "#f4f1ea")
        text = "".join(data.info.vocabulary[token] for token in tokens).replace("\n", "¶")
        lines = [text[start : start + 64] for start in (0, 64)]
        pen.multiline_text((left + 6, top + 12), "\n".join(lines), "#333", pen_font, spacing=6)
    return sheet


if __name__ == "__main__":
    main()
