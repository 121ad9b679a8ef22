"""Where weights start.

Each is called anew for each weight: one initializer gives all weights of one shape the same numbers.
"""

from __future__ import annotations

import keras


def normal(deviation: float = 0.02, mean: float = 0.0) -> keras.initializers.Initializer:
    """Gaussian numbers; 0.02 is the deviation of DCGAN and of most image GANs after it."""
    return keras.initializers.RandomNormal(mean, deviation)


def uniform(limit: float) -> keras.initializers.Initializer:
    """Numbers uniform in [-limit, limit]."""
    return keras.initializers.RandomUniform(-limit, limit)
