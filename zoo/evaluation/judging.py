"""What training judges a model by: its likelihood, a bound on it, how well it names classes, or restores."""

from __future__ import annotations

import numpy as np

from zoo.base import Classifies, ConditionalLikelihood, ExactLikelihood, GenerativeModel, LikelihoodBound
from zoo.data import Data
from zoo.evaluation import classification, likelihood, reconstruction


def judged(model_class: type) -> bool:
    """Whether a model can be judged by numbers alone, without looking at what it draws."""
    numbers = ExactLikelihood | ConditionalLikelihood | LikelihoodBound | Classifies
    return issubclass(model_class, numbers) or reconstruction.only_restores(model_class)


def scorer(model: GenerativeModel) -> likelihood.Score:
    """What `losses` needs, compiled once for a whole run."""
    if reconstruction.only_restores(type(model)):
        return reconstruction.scorer(model)
    return classification.scorer(model) if isinstance(model, Classifies) else likelihood.scorer(model)


def losses(score: likelihood.Score, model: GenerativeModel, data: Data, batch_size: int) -> dict[str, float]:
    """Means over `data`; the first, in nats an example, is what training makes small and picks weights by.

    Of a model that only restores examples it is the squared error.
    """
    if reconstruction.only_restores(type(model)):
        errors = likelihood.log_probs(score, model, data, batch_size)
        return {reconstruction.LOSS: float(errors.mean(dtype=np.float64))}
    if isinstance(model, Classifies):
        return classification.losses(likelihood.log_probs(score, model, data, batch_size), data)
    return likelihood.validation_losses(score, model, data, batch_size)
