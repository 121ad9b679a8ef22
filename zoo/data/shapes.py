"""`shapes`: one coloured shape a picture, at any size from 8 to 128, whose truth is known in full.

Label, attributes and caption say what is drawn, where and how large; the domain says in which style. The same
scene can be drawn in any style (`counterparts`), so that translations can be checked pixel by pixel. Shapes
are distance templates as in `glyphs`: every edge is antialiased at every size.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data.dataset import Info
from zoo.data.distance import distance_template, interpolate
from zoo.errors import UsageError

VERSION = "1.0.0"
SMALLEST, LARGEST, DEFAULT = 8, 128, 32

SHAPES = ("circle", "square", "triangle", "diamond", "star", "heart", "cross", "ring")
COLOURS = {
    "red": (214, 45, 50),
    "orange": (243, 134, 32),
    "yellow": (250, 205, 50),
    "green": (52, 160, 80),
    "blue": (45, 110, 205),
    "purple": (128, 70, 180),
    "pink": (240, 130, 175),
    "brown": (140, 88, 50),
}
SIZES = {"small": 0.15, "medium": 0.215, "large": 0.28}  # radius, in widths of the picture
PLACES = {
    "in the centre": (0.5, 0.5),
    "at the top left": (0.33, 0.33),
    "at the top right": (0.33, 0.67),
    "at the bottom left": (0.67, 0.33),
    "at the bottom right": (0.67, 0.67),
}
BACKGROUNDS = {"light": (244, 241, 234), "dark": (34, 38, 52)}
STYLES = ("flat", "outline", "striped", "shaded")
#: Of `shapes/heldout` only the test split shows these, and nothing else: each shape, and each colour, once.
HELD_OUT = {
    "circle": "green",
    "square": "purple",
    "triangle": "red",
    "diamond": "pink",
    "star": "blue",
    "heart": "orange",
    "cross": "brown",
    "ring": "yellow",
}

COUNTS = {"train": 20_000, "validation": 2_000, "test": 4_000}
COMMON: dict[str, Any] = {
    "fields": ("image", "label", "attributes", "domain", "caption"),
    "image_shape": (32, 32, 3),
    "levels": 256,
    "classes": 8,
    "counts": COUNTS,
    "embedded": True,
    "source": "made here from a seed",
    "licence": "Apache-2.0",
}
CATALOGUE: dict[str, dict[str, Any]] = {
    "shapes": {
        "summary": "coloured shapes with captions, attributes and drawing styles; shapes/8 to shapes/128",
        **COMMON,
    },
    "shapes/heldout": {
        "summary": "the same, with eight pairs of shape and colour that only the test split shows",
        **COMMON,
    },
}


def parse(name: str) -> tuple[bool, int]:
    """Whether some pairs are held out, and the height and width of the pictures.

    Args:
        name: `shapes`, `shapes/<size>`, `shapes/heldout` or `shapes/heldout-<size>`.

    Raises:
        UsageError: if there is no such size.
    """
    found = re.fullmatch(r"shapes(?:/(\d+)|/(heldout)(?:-(\d+))?)?", name)
    size = int((found[1] or found[3] or DEFAULT) if found else 0)
    if found is None or not SMALLEST <= size <= LARGEST:
        raise UsageError(
            f"There is no {name}: sizes are shapes/{SMALLEST} to shapes/{LARGEST}, "
            f"and shapes/heldout-{SMALLEST} to shapes/heldout-{LARGEST}."
        )
    return found[2] is not None, size


def sized(name: str, image_size: int | None) -> str:
    """The name with its size: the one that it says, else the one that is wanted, else the usual one."""
    held_out, size = parse(name)
    if name in CATALOGUE and image_size is not None and SMALLEST <= image_size <= LARGEST:
        size = image_size
    return f"shapes/heldout-{size}" if held_out else f"shapes/{size}"


def describe(name: str) -> Info:
    """The description of a set."""
    return Info(
        levels=256,
        class_names=SHAPES,
        attribute_names=("shape", "colour", "size", "place", "background"),
        attribute_values=(SHAPES, tuple(COLOURS), tuple(SIZES), tuple(PLACES), tuple(BACKGROUNDS)),
        domain_names=STYLES,
    )


def blocks(name: str, split: str) -> Iterator[dict[str, np.ndarray]]:
    """The examples of a split, some hundred at a time.

    Yields:
        image uint8 [B, S, S, 3], label int32 [B], attributes int32 [B, 5], domain int32 [B], caption str [B].
    """
    held_out, size = parse(name)
    attributes, style = scenes(split, held_out)
    for start in range(0, len(style), BLOCK):
        rows = slice(start, start + BLOCK)
        yield {
            "image": draw(size, split, start // BLOCK, attributes[rows], style[rows]),
            "label": attributes[rows, 0],
            "attributes": attributes[rows],
            "domain": style[rows],
            "caption": np.array([caption(scene) for scene in attributes[rows]]),
        }


def counterparts(name: str, split: str, style: str) -> Iterator[np.ndarray]:
    """The same scenes as `blocks`, all in one style: the truth that a translation is compared with.

    Yields:
        image uint8 [B, S, S, 3].
    """
    held_out, size = parse(name)
    attributes, styles = scenes(split, held_out)
    other = np.full_like(styles, STYLES.index(style))
    for start in range(0, len(styles), BLOCK):
        rows = slice(start, start + BLOCK)
        yield draw(size, split, start // BLOCK, attributes[rows], other[rows])


def caption(scene: np.ndarray) -> str:
    """What a picture shows, e.g. "a small red star at the top left"; style and background are left open."""
    shape, colour, size, place = (
        names[number]
        for names, number in zip(
            (SHAPES, tuple(COLOURS), tuple(SIZES), tuple(PLACES)), scene[:4], strict=True
        )
    )
    return f"a {size} {colour} {shape} {place}"


def scenes(split: str, held_out: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draws what the examples of a split show, the same at every size.

    Args:
        split: which.
        held_out: whether the test split shows the pairs of `HELD_OUT`, and the others never do.

    Returns:
        attributes int32 [N, 5] and style int32 [N].
    """
    random = np.random.Generator(np.random.Philox([SEED, list(COUNTS).index(split)]))
    choices = [len(values) for values in (SHAPES, COLOURS, SIZES, PLACES, BACKGROUNDS, STYLES)]
    choices[1] -= held_out  # those that a shape may have
    drawn = random.integers(choices, size=(COUNTS[split], len(choices)), dtype=np.int32)
    if held_out:
        own = np.array([list(COLOURS).index(HELD_OUT[shape]) for shape in SHAPES], np.int32)[drawn[:, 0]]
        steps = 0 if split == "test" else 1 + drawn[:, 1]
        drawn[:, 1] = (own + steps) % len(COLOURS)
    return drawn[:, :-1], drawn[:, -1]


SEED = 20_171_124
BLOCK = 250
REACH = 1.6  # a template spans so many radii to each side
FINE = 48  # template points a radius


@functools.cache
def templates() -> np.ndarray:
    """The distance template of each shape, in radii: float32 [shapes, side, side]."""
    from PIL import Image, ImageDraw

    sharp = 2  # points of the drawing a point of the template
    radius = FINE * sharp
    centre = round(REACH * radius)
    side = 2 * centre

    def ring_of_points(count: int, *radii: float, turn: float = 0.0) -> list[tuple[float, float]]:
        angles = 2 * np.pi * np.arange(count) / count - np.pi / 2 + turn
        return [
            (centre + radius * radii[i % len(radii)] * np.cos(angle),
             centre + radius * radii[i % len(radii)] * np.sin(angle))
            for i, angle in enumerate(angles)
        ]  # fmt: skip

    def disc(scale: float) -> tuple[float, float, float, float]:
        reach = scale * radius
        return centre - reach, centre - reach, centre + reach, centre + reach

    turn = np.linspace(0, 2 * np.pi, 200)
    heart_y = -13 * np.cos(turn) + 5 * np.cos(2 * turn) + 2 * np.cos(3 * turn) + np.cos(4 * turn) - 2.5
    heart = np.stack([16 * np.sin(turn) ** 3, heart_y], 1) / 15.5
    arm = 0.36
    cross = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1), (-arm, 1),
             (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm)]  # fmt: skip
    found = []
    for shape in SHAPES:
        picture = Image.new("L", (side, side))
        pen = ImageDraw.Draw(picture)
        match shape:
            case "circle":
                pen.ellipse(disc(0.95), 255)
            case "ring":
                pen.ellipse(disc(1.0), 255)
                pen.ellipse(disc(0.52), 0)
            case "square":
                pen.polygon(ring_of_points(4, 1.2, turn=np.pi / 4), 255)
            case "triangle":
                pen.polygon([(x, y + 0.12 * radius) for x, y in ring_of_points(3, 1.2)], 255)
            case "diamond":
                pen.polygon([(centre + 0.72 * (x - centre), y) for x, y in ring_of_points(4, 1.15)], 255)
            case "star":
                pen.polygon(ring_of_points(10, 1.15, 0.5), 255)
            case "heart":
                pen.polygon([tuple(centre + radius * point) for point in heart], 255)
            case "cross":
                pen.polygon([(centre + radius * x, centre + radius * y) for x, y in cross], 255)
        found.append(distance_template(np.asarray(picture) > 127, sharp) / radius)
    return np.stack(found)


def draw(size: int, split: str, block: int, attributes: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Draws one block of scenes.

    Args:
        size: the height and width S.
        split: the split; with the block it seeds what the attributes leave open.
        block: which block.
        attributes: int32 [B, 5].
        style: int32 [B].

    Returns:
        uint8 [B, S, S, 3].
    """
    random = np.random.Generator(np.random.Philox([SEED, list(COUNTS).index(split), 1 + block]))
    count = len(style)

    def between(low: float, high: float, *shape: int) -> np.ndarray:
        return random.uniform(low, high, (count, *shape))

    # What is computed in float64 and then rounded is the same on every machine; so is float32 arithmetic.
    shape, colour, large, place, background = attributes.T
    radius = size * np.array(list(SIZES.values()))[large] * between(0.94, 1.06)
    middle = size * (np.array(list(PLACES.values()))[place] + between(-0.025, 0.025, 2))
    angle = np.deg2rad(between(-14, 14))
    cos, sin = np.cos(angle), np.sin(angle)
    ink = np.array(list(COLOURS.values()))[colour] * between(0.94, 1.04, 1)
    paper = np.array(list(BACKGROUNDS.values()))[background] * between(0.95, 1.02, 1)
    radius, middle, cos, sin, ink, paper = (
        value.astype(np.float32) for value in (radius, middle, cos, sin, ink, paper)
    )

    grid = np.arange(size, dtype=np.float32) + 0.5
    image = np.empty((count, size, size, 3), np.uint8)
    for number, name in enumerate(STYLES):
        rows = np.flatnonzero(style == number)
        reach = radius[rows, None, None]
        # From pixels to the upright shape of radius 1.
        down = (grid[None, :, None] - middle[rows, 0, None, None]) / reach
        right = (grid[None, None, :] - middle[rows, 1, None, None]) / reach
        pose = shape[rows], cos[rows, None, None], sin[rows, None, None], reach
        inside = distance(down, right, *pose)
        cover = np.clip(inside + 0.5, 0, 1)
        below, above = paper[rows, None, None, :], ink[rows, None, None, :]
        if name in ("outline", "striped"):
            width = max(1.1, 0.045 * size)
            line = np.clip(width / 2 - np.abs(inside - width / 2) + 0.5, 0, 1)
            if name == "striped":
                # Ink and paper take turns along the diagonal, with edges one pixel wide.
                period = max(6.2, 0.14 * size)
                phase = np.abs((down + right) * reach % period - period / 2)  # 0 .. period / 2
                line = cover * np.maximum(line, np.clip((phase - period / 4) / 1.4 + 0.5, 0, 1))
            cover = line
        if name == "shaded":  # lit from the upper left
            shadow = np.clip(0.5 + distance(down - 0.18, right - 0.18, *pose) / (0.09 * size), 0, 1)
            below = below * (1 - 0.4 * shadow[..., None])
            light = np.clip(1.02 - 0.3 * (down + right), 0.55, 1.6)[..., None]
            above = np.where(light <= 1, above * light, above + (255 - above) * (light - 1))
        drawn = below + (above - below) * cover[..., None]
        image[rows] = np.round(np.clip(drawn, 0, 255))
    return image


def distance(
    down: np.ndarray,
    right: np.ndarray,
    shape: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    radius: np.ndarray,
) -> np.ndarray:
    """Pixels to the outline of turned shapes, positive inside: float32 [B, S, S].

    Args:
        down, right: float32, from the middle, in radii.
        shape: int [B].
        cos, sin, radius: float32 [B, 1, 1].
    """
    v, u = cos * down - sin * right, sin * down + cos * right
    return interpolate(templates(), shape, v * FINE, u * FINE) * radius
