"""`glyphs`: characters from the fonts that come with Matplotlib, deformed: an MNIST that needs no download.

Each character of each font becomes a *distance template*: for every point of a fine grid the signed distance
to the outline, positive inside. An example samples its template at the points of a 28x28 grid moved by a
random affine map and a smooth random (elastic) displacement, and turns distance into ink:
ink = clip(1/2 + (distance + boldness) / softness). So strokes are antialiased at any size, and the pen's
weight is one more random number. All is a function of a seed, 1,000 examples at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.dataset import Info
from zoo.data.distance import distance_template, interpolate

VERSION = "1.0.1"
SIZE = 28


class Font(NamedTuple):
    """A font file, what it looks like, and the design that its families share."""

    file: str
    family: str
    domain: str
    bold: bool = False
    italic: bool = False


FONTS = (
    Font("DejaVuSerif.ttf", "DejaVu Serif", "serif"),
    Font("DejaVuSerif-Bold.ttf", "DejaVu Serif", "serif", bold=True),
    Font("DejaVuSerif-Italic.ttf", "DejaVu Serif", "serif", italic=True),
    Font("DejaVuSerif-BoldItalic.ttf", "DejaVu Serif", "serif", bold=True, italic=True),
    Font("DejaVuSans.ttf", "DejaVu Sans", "sans"),
    Font("DejaVuSans-Bold.ttf", "DejaVu Sans", "sans", bold=True),
    Font("DejaVuSans-Oblique.ttf", "DejaVu Sans", "sans", italic=True),
    Font("DejaVuSans-BoldOblique.ttf", "DejaVu Sans", "sans", bold=True, italic=True),
    Font("DejaVuSansMono.ttf", "DejaVu Sans Mono", "mono"),
    Font("DejaVuSansMono-Bold.ttf", "DejaVu Sans Mono", "mono", bold=True),
    Font("DejaVuSansMono-Oblique.ttf", "DejaVu Sans Mono", "mono", italic=True),
    Font("DejaVuSansMono-BoldOblique.ttf", "DejaVu Sans Mono", "mono", bold=True, italic=True),
    Font("STIXGeneral.ttf", "STIX General", "serif"),
    Font("STIXGeneralBol.ttf", "STIX General", "serif", bold=True),
    Font("STIXGeneralItalic.ttf", "STIX General", "serif", italic=True),
    Font("STIXGeneralBolIta.ttf", "STIX General", "serif", bold=True, italic=True),
    Font("cmr10.ttf", "Computer Modern Roman", "serif"),
    Font("cmb10.ttf", "Computer Modern Roman", "serif", bold=True),
    Font("cmti10.ttf", "Computer Modern Roman", "serif", italic=True),
    Font("cmss10.ttf", "Computer Modern Sans", "sans"),
    Font("cmtt10.ttf", "Computer Modern Typewriter", "mono"),
)
FAMILIES = tuple(dict.fromkeys(font.family for font in FONTS))
DOMAINS = ("serif", "sans", "mono")
# One whole family of each domain, so that nothing of its drawing is seen in training.
HELD_OUT = ("STIX General", "Computer Modern Sans", "Computer Modern Typewriter")

COUNTS = {"train": 60_000, "validation": 5_000, "test": 10_000}
COMMON = {
    "fields": ("image", "label", "attributes", "domain"),
    "image_shape": (28, 28, 1),
    "levels": 256,
    "counts": COUNTS,
    "embedded": True,
    "source": "made here from the DejaVu, STIX and Computer Modern fonts that Matplotlib ships",
    "licence": "the fonts' own free licences (Bitstream Vera, SIL OFL, BaKoMa); the images Apache-2.0",
}
CATALOGUE = {
    "glyphs": {
        "summary": "the ten digits in 21 fonts, deformed: an MNIST that needs no download",
        "classes": 10,
        **COMMON,
    },
    "glyphs/letters": {"summary": "the letters A to Z in 21 fonts, deformed", "classes": 26, **COMMON},
    "glyphs/heldout_fonts": {
        "summary": "the ten digits, with three font families that only the test split shows",
        "classes": 10,
        **COMMON,
    },
}


def characters(name: str) -> str:
    """The characters that a set shows, in the order of their labels."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if name == "glyphs/letters" else "0123456789"


def describe(name: str) -> Info:
    """The description of a set."""
    return Info(
        levels=256,
        class_names=tuple(characters(name)),
        attribute_names=("family", "bold", "italic"),
        attribute_values=(FAMILIES, ("no", "yes"), ("no", "yes")),
        domain_names=DOMAINS,
    )


def fonts_of(name: str, split: str) -> list[int]:
    """Which fonts a split may use, as positions in `FONTS`."""
    if name != "glyphs/heldout_fonts":
        return list(range(len(FONTS)))
    return [i for i, font in enumerate(FONTS) if (font.family in HELD_OUT) == (split == "test")]


@dataclass(frozen=True)
class Plan:
    """Which character in which font each example of a split shows.

    Attributes:
        label: int32 [N], position in `characters`.
        font: int32 [N], position in `FONTS`.
    """

    label: np.ndarray
    font: np.ndarray


def seed_of(name: str, split: str) -> list[int]:
    """The seed of a split, which no other split shares."""
    return [20_170_621, list(CATALOGUE).index(name), list(COUNTS).index(split)]


def plan(name: str, split: str) -> Plan:
    """Draws characters and fonts: as many of each character, each domain alike often."""
    random = np.random.Generator(np.random.Philox(seed_of(name, split)))
    count = COUNTS[split]
    label = random.permutation(np.arange(count) % len(characters(name))).astype(np.int32)
    allowed = fonts_of(name, split)
    domain = random.integers(len(DOMAINS), size=count)
    font = np.empty(count, np.int32)
    for number, kind in enumerate(DOMAINS):
        choices = np.array([i for i in allowed if FONTS[i].domain == kind])
        rows = np.flatnonzero(domain == number)
        font[rows] = choices[random.integers(len(choices), size=len(rows))]
    return Plan(label, font)


def blocks(name: str, split: str) -> Iterator[dict[str, np.ndarray]]:
    """The examples of a split, 1,000 at a time.

    Yields:
        image uint8 [B, 28, 28, 1], label int32 [B], attributes int32 [B, 3], domain int32 [B].
    """
    planned = plan(name, split)
    family = np.array([FAMILIES.index(font.family) for font in FONTS], np.int32)
    style = np.array([[font.bold, font.italic] for font in FONTS], np.int32)
    domain = np.array([DOMAINS.index(font.domain) for font in FONTS], np.int32)
    for start in range(0, len(planned.label), BLOCK):
        rows = slice(start, start + BLOCK)
        font = planned.font[rows]
        yield {
            "image": draw(name, split, start // BLOCK, planned.label[rows], font),
            "label": planned.label[rows],
            "attributes": np.column_stack([family[font], style[font]]),
            "domain": domain[font],
        }


def counterparts(name: str, split: str, domain: str) -> Iterator[np.ndarray]:
    """The same examples as `blocks` with the same deformation, all in another domain: the known truth.

    The counterpart of a font is the font of the same design (DejaVu, else Computer Modern) and, where the
    domain has it, the same weight and slope.

    Args:
        name: the set.
        split: the split.
        domain: `serif`, `sans` or `mono`.

    Yields:
        image uint8 [B, 28, 28, 1].
    """
    other = np.array([counterpart(font, domain) for font in FONTS], np.int32)
    planned = plan(name, split)
    for start in range(0, len(planned.label), BLOCK):
        rows = slice(start, start + BLOCK)
        yield draw(name, split, start // BLOCK, planned.label[rows], other[planned.font[rows]])


def counterpart(font: Font, domain: str) -> int:
    """The position in `FONTS` of the font of `domain` that is nearest to `font`."""

    def distance(position: int) -> tuple[bool, bool, bool]:
        other = FONTS[position]
        return (
            font.family.split()[0] != other.family.split()[0],
            font.bold != other.bold,
            font.italic != other.italic,
        )

    candidates = [i for i, other in enumerate(FONTS) if other.domain == domain]
    return FONTS.index(font) if font.domain == domain else min(candidates, key=distance)


BLOCK = 1000
FINE = 2  # template points a pixel
REACH = 34  # pixels that a template spans: 28, and room for what a deformation moves in
HEIGHT = 19.5  # of a digit or capital, in pixels


@functools.cache
def templates(text: str) -> np.ndarray:
    """The distance template of each character in each font.

    Returns:
        float32 [fonts * characters, REACH * FINE, REACH * FINE], in pixels, positive inside.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    sharp = 6  # points a pixel when rendering
    side = REACH * sharp
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    result = []
    for font in FONTS:
        probe = ImageFont.truetype(folder / font.file, 1000)
        top = probe.getbbox("0H"[text[0] == "A"])
        size = 1000 * HEIGHT * sharp / (top[3] - top[1])
        for character in text:
            box = probe.getbbox(character)
            widest = 1.1 * HEIGHT * sharp * 1000 / (box[2] - box[0])
            drawn = ImageFont.truetype(folder / font.file, min(size, widest))
            left, upper, right, lower = drawn.getbbox(character)
            picture = Image.new("L", (side, side))
            corner = ((side - right - left) / 2, (side - lower - upper) / 2)
            ImageDraw.Draw(picture).text(corner, character, 255, drawn)
            ink = np.asarray(picture) > 127
            result.append(distance_template(ink, sharp // FINE) / sharp)
    return np.stack(result)


def draw(name: str, split: str, block: int, label: np.ndarray, font: np.ndarray) -> np.ndarray:
    """Draws one block of examples.

    Args:
        name: the set.
        split: the split; with the block it seeds the deformations.
        block: which block.
        label: int32 [B].
        font: int32 [B].

    Returns:
        uint8 [B, 28, 28, 1].
    """
    random = np.random.Generator(np.random.Philox([*seed_of(name, split), 1 + block]))
    count = len(label)

    def between(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, (count, 1, 1))

    # What is computed in float64 and then rounded is the same on every machine; so is float32 arithmetic.
    # The affine map from a pixel to a point of the template: rotation, slant, stretch.
    angle, slant = np.deg2rad(between(-13, 13)), between(-0.22, 0.22)
    wide, high = between(0.82, 1.12), between(0.86, 1.06)
    cos, sin = np.cos(angle), np.sin(angle)
    affine = np.stack([cos / wide, sin / wide - slant * cos, -sin / high, cos / high])
    a, b, c, d = affine.astype(np.float32)  # x' = a x + b y, y' = c x + d y
    right, down = np.stack([between(-1.2, 1.2), between(-1.2, 1.2)]).astype(np.float32)
    # A smooth displacement: random at 5x5 knots.
    smooth = knots_to_pixels(5)
    bend = smooth @ random.normal(0, 0.75, (2, count, 5, 5)) @ smooth.T
    bend_x, bend_y = bend.astype(np.float32)  # [B, 28, 28] each

    grid = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x, y = grid[None, None, :] - right, grid[None, :, None] - down
    u = a * x + b * y + bend_x
    v = c * x + d * y + bend_y

    text = characters(name)
    distance = interpolate(templates(text), font * len(text) + label, v * FINE, u * FINE)
    distance *= np.sqrt(wide * high).astype(np.float32)
    weight = between(0.05, 0.55).astype(np.float32)
    ink = 0.5 + (distance + weight) / 1.35
    return np.round(255 * np.clip(ink, 0, 1)).astype(np.uint8)[..., None]


def knots_to_pixels(knots: int) -> np.ndarray:
    """Weights of a smooth (Gaussian kernel, normalised) interpolation from knots to pixels: [28, knots]."""
    pixels = np.arange(SIZE)[:, None] / (SIZE - 1) * (knots - 1)
    weights = np.exp(-0.5 * ((pixels - np.arange(knots)) / 0.65) ** 2)
    return weights / weights.sum(1, keepdims=True)
