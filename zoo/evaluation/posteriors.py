"""How a model with a bound uses its code: which units say anything, and where the codes lie together.

    active units   how many units have Var_x( E_q(z|x) z ) > 0.01
    code KL        mean over x of KL( q(z|x) || p(z) ), the rate: nats that the code says about an image
    aggregate KL   KL( N(m, S) || p(z) ) with the mean m and the covariance S of codes of all x together: 0
                   where they fill the prior as they should; holes that keep m and S are not seen

for q(z|x) = N(mean, scale^2), unit by unit, and p(z) = N(0, I).

References:
    Burda, Grosse, Salakhutdinov, arXiv 1509.00519, section 5: active units.
    Hoffman, Johnson, ELBO Surgery, NeurIPS workshop 2016: the aggregate posterior.

Shapes: N examples, d units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from zoo.evaluation.frechet import Moments

#: The variance of a unit's mean over the data, above which it is active.
ACTIVE = 0.01


@dataclasses.dataclass(frozen=True)
class CodeUse:
    """What the codes of N examples are like.

    Attributes:
        active: of each unit, bool [d].
        unit_kl: of each unit the mean over examples, nats float64 [d].
        code_kl: of each example, nats float64 [N].
        aggregate_kl: of all together, nats.
    """

    active: np.ndarray
    unit_kl: np.ndarray
    code_kl: np.ndarray
    aggregate_kl: float


def code_use(pieces: Iterable[tuple[np.ndarray, np.ndarray]], size: int) -> CodeUse:
    """Measures codes that come in pieces.

    Args:
        pieces: means and scales, [.., d] each.
        size: d.
    """
    means, variance, unit_kl, code_kl = Moments(size), np.zeros(size), np.zeros(size), []
    for piece in pieces:
        mean, scale = (np.asarray(each, np.float64) for each in piece)
        means.add(mean)
        variance += np.square(scale).sum(0)
        kl = 0.5 * (np.square(mean) + np.square(scale) - 1.0 - 2.0 * np.log(scale))
        unit_kl += kl.sum(0)
        code_kl.append(kl.sum(1))
    covariance = means.covariance + np.diag(variance / means.count)
    _, log_determinant = np.linalg.slogdet(covariance)
    aggregate = 0.5 * (np.trace(covariance) + np.square(means.mean).sum() - size - log_determinant)
    active = np.diag(means.covariance) > ACTIVE
    return CodeUse(active, unit_kl / means.count, np.concatenate(code_kl), float(aggregate))
