"""What training judges a model by: its likelihood, a bound on it, or how well it names classes."""

from __future__ import annotations

from zoo.base import Classifies, ConditionalLikelihood, ExactLikelihood, GenerativeModel, LikelihoodBound
from zoo.data import Data
from zoo.evaluation import classification, likelihood


def judged(model_class: type) -> bool:
    """Whether a model can be judged by numbers alone, without looking at what it draws."""
    return issubclass(model_class, ExactLikelihood | ConditionalLikelihood | LikelihoodBound | Classifies)


def scorer(model: GenerativeModel) -> likelihood.Score:
    """What `losses` needs, compiled once for a whole run."""
    return classification.scorer(model) if isinstance(model, Classifies) else likelihood.scorer(model)


def losses(score: likelihood.Score, model: GenerativeModel, data: Data, batch_size: int) -> dict[str, float]:
    """Means over `data`; the first, in nats an example, is what training makes small and picks weights by."""
    if isinstance(model, Classifies):
        return classification.losses(likelihood.log_probs(score, model, data, batch_size), data)
    return likelihood.validation_losses(score, model, data, batch_size)
