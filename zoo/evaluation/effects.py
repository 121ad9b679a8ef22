"""How much each unit of a code changes what the decoder makes of it.

A unit that does nothing has collapsed: its posterior is its prior, and the decoder has learnt to ignore it.

Shapes: N codes, d units.
"""

from __future__ import annotations

import numpy as np

from zoo.latents import moved, span
from zoo.sampling import CHUNK, LoadedModel

#: Codes whose units are moved where the user names none: seeds 0 to 7.
CODES = 8
#: Draws of the prior that say where a unit lies of whose family nothing is known.
DRAWS = 256


def spans(model: LoadedModel) -> list[tuple[float, float]]:
    """From where to where each unit is moved: what holds nearly all of its prior. A pair a unit."""
    draws = model.prior(range(DRAWS))
    return [
        span(part, draws[:, unit])
        for unit, part in enumerate(each for each in model.prior_parts for _ in range(each.size))
    ]


def effects(model: LoadedModel, codes: np.ndarray) -> np.ndarray:
    """The change of an example when one unit goes from one end of its prior to the other.

    Args:
        model: that decodes.
        codes: [N, d], whose other units stay.

    Returns:
        float64 [d]: the root of the mean square over the values of an example and over the codes.
    """
    found = []
    ends = spans(model)
    together = max(1, CHUNK // (2 * len(codes)))  # units: rows that a chunk lacks would be computed, too
    for first in range(0, len(ends), together):
        units = range(first, min(first + together, len(ends)))
        pairs = [
            moved(code, unit, np.array(ends[unit]), model.prior_parts) for unit in units for code in codes
        ]
        examples = model.decode(np.concatenate(pairs)).astype(np.float64)  # [units 2 N, ...]
        examples = examples.reshape(len(units), len(codes), 2, -1)
        found += [*np.sqrt(np.mean((examples[:, :, 1] - examples[:, :, 0]) ** 2, axis=(1, 2)))]
    return np.array(found)
