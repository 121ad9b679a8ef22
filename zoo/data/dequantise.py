"""Images as vectors of real numbers, for models of continuous data.

A density has no place among levels: it could grow without end on them. So each value gets noise that is
uniform over its level, once: value 7 becomes a number in [7, 8). On this scale, where a level is one unit
wide, the mean log-density is no more than the mean log-probability of the levels themselves.

References:
    Theis, van den Oord, Bethge: A note on the evaluation of generative models, arXiv 1511.01844, section 3.1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zoo.data.content import SPLITS
from zoo.data.dataset import Data
from zoo.data.loading import tell

SEED = 31


def as_features(data: Data) -> Data:
    """Images as features, in raster order.

    The noise is a function of the split and the row: the same image has the same features in every command.

    Args:
        data: any data.

    Returns:
        The data with `features` float32 [N, H * W * C] in [0, levels) in place of `image`; data that has
        features already, or no images, is given back.
    """
    if "features" in data.fields or "image" not in data.fields:
        return data
    image = data.fields["image"]
    random = np.random.Generator(np.random.Philox([SEED, SPLITS.index(data.split)]))
    levels = np.asarray(image, np.float32).reshape(len(image), -1)
    noise = random.random(levels.shape, np.float32)
    note = (
        f"images become {levels.shape[1]} features, each a level plus noise in [0, 1): the density on the "
        f"scale of 0 to {data.info.levels or 256} is a bound on the likelihood of the levels"
    )
    tell(data.spec, note)
    fields = {name: array for name, array in data.fields.items() if name != "image"}
    info = replace(data.info, dequantised=image.shape[1:], notes=(*data.info.notes, note))
    return replace(data, fields={"features": levels + noise, **fields}, info=info)
