"""Log-likelihoods, and bounds on them, over a data set, from a Python model: training exports later."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.base import ConditionalLikelihood, ExactLikelihood, GenerativeModel, LikelihoodBound, Predicts
from zoo.data import Data, in_order
from zoo.evaluation.characters import in_context, per_character
from zoo.evaluation.metrics import Metrics, mean_of, metric
from zoo.evaluation.receipts import of_data, of_event
from zoo.noise import StepNoise

Score = Callable[..., tf.Tensor]


def scorer(model: GenerativeModel, importance_samples: int | None = None) -> Score:
    """A compiled function from (examples [B, ...], index of the batch, perhaps captions [B]) to nats [B].

    Args:
        model: with an exact likelihood or a bound.
        importance_samples: for a bound: that many draws of the code; if None the two terms of the evidence
            lower bound, log p(x|z) and the KL, [B, 2] nats.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def score(x: tf.Tensor, index: tf.Tensor, caption: tf.Tensor | None = None) -> tf.Tensor:
        if isinstance(model, ExactLikelihood):
            return model.log_prob(x)
        if isinstance(model, ConditionalLikelihood):
            return model.log_prob_given(x, caption)
        assert isinstance(model, LikelihoodBound)
        noise = StepNoise(model.run_seed, -index - 1, tf.shape(x)[0])
        if importance_samples is None:
            return tf.stack(model.elbo_terms(x, noise), -1)
        return model.importance_weighted_bound(x, noise, tf.fill(tf.shape(x)[:1], importance_samples))

    return score


def loss_name(model: GenerativeModel) -> str:
    """What a model with a likelihood or a bound on it minimises, in nats an example."""
    exact = isinstance(model, ExactLikelihood | ConditionalLikelihood)
    return f"nll{suffix(model)}" if exact else "negative_elbo"


def suffix(model: GenerativeModel) -> str:
    """What stands behind the names of figures of an exact likelihood: what of an example it is of."""
    return f"_{model.scored.what}" if model.scored else ""


def validation_losses(score: Score, model: GenerativeModel, data: Data, batch_size: int) -> dict[str, float]:
    """The mean of what `loss_name` names, over `data`; of a bound its terms too, by one draw a row."""
    means = log_probs(score, model, data, batch_size).mean(0, dtype=np.float64)
    if means.ndim == 0:
        return {loss_name(model): -float(means)}
    reconstruction, divergence = means.tolist()
    terms = {"reconstruction": -reconstruction, "kl": divergence}  # named as in the training's log
    return {loss_name(model): divergence - reconstruction, **terms}


def log_probs(score: Score, model: GenerativeModel, data: Data, batch_size: int) -> np.ndarray:
    """The score of every example of `data`, in order: float32 [N] nats, or [N, 2] the terms of a bound."""
    fields = [model.modality, *(["caption"] if isinstance(model, ConditionalLikelihood) else [])]
    scores = []
    for index, batch in enumerate(in_order(data, batch_size)):
        rows = len(batch[model.modality])
        full = np.minimum(np.arange(batch_size), rows - 1)  # one shape, one trace
        x, *given = (tf.constant(batch[name][full]) for name in fields)
        scores.append(score(x, tf.constant(index, tf.int64), *given).numpy()[:rows])
    return np.concatenate(scores)


def summary(scores: np.ndarray, model: GenerativeModel, data: Data, name: str, kind: str) -> Metrics:
    """A mean log-likelihood as metrics with receipts: in nats, and in bits per dimension.

    Args:
        scores: float [N] nats.
        model: what was scored, for D.
        data: what it was scored on.
        name: of the metric.
        kind: `exact` or `bound`.
    """
    made_of = receipt(model, data)
    bits = -np.asarray(scores, np.float64) / (model.dimensions * math.log(2.0))
    return {
        name: mean_of(scores, "nats", "higher", made_of, kind),
        f"{name}_bits_per_dim": mean_of(bits, "bits/dim", "lower", made_of, kind),
    }


def elbo_summary(terms: np.ndarray, model: GenerativeModel, data: Data) -> Metrics:
    """The evidence lower bound and its two terms, as metrics with receipts.

    Args:
        terms: log p(x|z) and the KL, float [N, 2] nats.
        model, data: what was scored, and on what.
    """
    reconstruction, divergence = terms.T
    made_of = receipt(model, data)
    return {
        **summary(reconstruction - divergence, model, data, "elbo", "bound"),
        "reconstruction": mean_of(reconstruction, "nats", "higher", made_of, "estimate"),
        "kl": mean_of(divergence, "nats", None, made_of),
    }


def receipt(model: GenerativeModel, data: Data) -> dict[str, Any]:
    """What a measure was made of."""
    given_text = isinstance(model, ConditionalLikelihood)
    scored = dataclasses.asdict(model.scored) if model.scored else None
    return {
        **of_data(data, model.modality),
        "seed": model.run_seed,
        **of_event(vars(model.config), model.modality, model.levels, given_text, scored),
    }


def text_summary(model: Predicts, data: Data, batch_size: int) -> Metrics:
    """What a text costs a character, in nats and in bits, each character once and in its context.

    Args:
        model: what scores it.
        data: the windows of a text, in order.
        batch_size: how many are scored at a time.
    """
    assert isinstance(model, GenerativeModel)
    score = tf.function(model.log_conditionals, reduce_retracing=True, autograph=False)

    def log_conditionals(tokens: np.ndarray) -> np.ndarray:
        parts = [tokens[start : start + batch_size] for start in range(0, len(tokens), batch_size)]
        return np.concatenate([score(tf.constant(part)).numpy() for part in parts])

    tokens = np.asarray(data.fields["tokens"])
    found = per_character(in_context(log_conditionals, tokens))
    context = {"least_context": tokens.shape[1] // 2}  # characters, save in the first window
    made_of = receipt(model, data) | context
    return {
        name: metric(each["value"], each["standard_error"], each["unit"], "lower", made_of, "exact")
        for name, each in found.items()
    }
