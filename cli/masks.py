"""`--mask`: which part of an example is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from zoo.data.known import PARTS, ROW_PARTS, part
from zoo.errors import UsageError, nearest

RANDOM = "random:"


def parse_mask(text: str, shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """What `--mask` says, for any number of examples.

    Args:
        text: a part by name, `random:SHARE`, or the path of a picture in which what is known is white.
        shape: of one example: (H, W, C) of an image, else (d,).

    Returns:
        Seeds [N] -> bool [N, H, W] or [N, d], true where a value is known. Only `random:` looks at the seeds.

    Raises:
        UsageError: it says nothing of the kind, or does not fit.
    """
    area = shape[:2] if len(shape) == 3 else shape
    if text.startswith(RANDOM):
        share = _share(text)
        return lambda seeds: np.stack([np.random.default_rng(int(s)).random(area) < share for s in seeds])
    if text in PARTS:
        if len(area) == 1 and text not in ROW_PARTS:
            raise UsageError(
                f"--mask {text}: only images have a {text}. Use {', '.join(ROW_PARTS)} or {RANDOM}0.5."
            )
        known = part(text, area)
    elif Path(text).suffix.lower() == ".png":
        known = _picture(text, area)
    else:
        raise UsageError(
            f"--mask {text!r}: use {', '.join(PARTS)}, {RANDOM}0.5 or a FILE.png.{nearest(text, PARTS)}"
        )
    return lambda seeds: np.broadcast_to(known, (len(seeds), *area))


def _share(text: str) -> float:
    try:
        share = float(text.removeprefix(RANDOM))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(
            f"--mask {text!r}: the share that is known is a number from 0 to 1, as in random:0.5."
        )
    return share


def _picture(text: str, area: tuple[int, ...]) -> np.ndarray:
    """A picture of the size of the images; half of white and more is known."""
    from zoo.data.convert import recolour
    from zoo.data.images import BadImageError, decode

    try:
        found = recolour(decode(Path(text).read_bytes()), 1)[..., 0]
    except OSError as error:
        raise UsageError(f"--mask {text} cannot be read: {error.strerror}.") from None
    except BadImageError as error:
        raise UsageError(f"--mask {text} {error}.") from None
    if found.shape != area:
        wanted, got = (" x ".join(map(str, each)) for each in (area, found.shape))
        raise UsageError(f"--mask {text} is {got}; the examples are {wanted}.")
    return found >= 128
