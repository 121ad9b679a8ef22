"""Likelihoods, bounds on them, and what stands in for them, from the signatures of a SavedModel.

The evidence lower bound is the importance-weighted bound with one draw a code, so its value has the noise of
that draw; its terms, and training, have the divergence in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.data import Data, in_order
from zoo.evaluation import examples
from zoo.evaluation.characters import in_context, per_character
from zoo.evaluation.metrics import Metrics, mean_of, metric
from zoo.evaluation.parzen import SIGMAS, parzen
from zoo.evaluation.posteriors import code_use
from zoo.evaluation.receipts import of_event
from zoo.evaluation.subject import Subject
from zoo.evaluation.summaries import KEPT

#: Draws of codes that one bound takes, over all examples: with more draws an example, fewer examples.
DRAWS = 250_000
#: Images that choose the width of a Parzen window.
CHOOSING = 1000


def exact(subject: Subject) -> Metrics:
    """log p(x), or of dequantised data the bound that it is; or that of what the model scores of x."""
    kind = "bound" if subject.data.info.dequantised else "exact"
    return _mean_score(subject, f"log_prob{subject.model.suffix}", subject.data, 1, kind)


def bound(subject: Subject, name: str, draws: int) -> Metrics:
    """The importance-weighted bound with so many draws, over as many examples as `DRAWS` has room for."""
    data = examples.some(subject.data, max(100, DRAWS // draws), subject.options.seed)
    return _mean_score(subject, name, data, draws, "bound", importance_samples=draws)


def _mean_score(subject: Subject, name: str, data: Data, draws: int, kind: str, **more: Any) -> Metrics:
    """Mean nats, and bits per dimension, of the examples."""
    model, suffix = subject.model, subject.model.suffix

    def pieces() -> Iterator[np.ndarray]:
        start = subject.options.seed
        for batch in in_order(data, model.rows_at_once):
            x = batch[model.takes]
            prompts = batch["caption"] if model.given_text else None
            found = model.log_prob(x, range(start, start + len(x)), draws, prompts)
            start += len(x)
            yield np.stack([found[f"{each}{suffix}"] for each in ("log_prob", "bits_per_dim")], -1)

    nats, bits = np.concatenate([*subject.options.follow(pieces(), len(data), f"scoring ({name})")]).T
    event = of_event(
        model.card.get("config", {}),
        subject.scored,
        model.card.get("levels"),
        model.given_text,
        model.card.get("scored"),
    )
    receipt = {**subject.receipt, **event, **subject.of_captions(model.given_text), **more}
    if never := int(np.isneginf(nats).sum()):
        receipt["warning"] = f"{never} examples have probability 0: the mean is minus infinity"
    return {
        name: mean_of(nats, "nats", "higher", receipt, kind),
        f"{name}_bits_per_dim": mean_of(bits, "bits/dim", "lower", receipt, kind),
    }


def terms(subject: Subject) -> Metrics:
    """What the evidence lower bound is made of: its reconstruction term less its prior term."""
    model, data = subject.model, subject.data

    def pieces() -> Iterator[np.ndarray]:
        start = subject.options.seed
        for batch in in_order(data, model.rows_at_once):
            x = batch[model.takes]
            found = model.elbo_terms(x, range(start, start + len(x)))
            start += len(x)
            yield np.stack([found["log_likelihood"], found["kl"]], -1)

    followed = subject.options.follow(pieces(), len(data), "scoring (terms of the ELBO)")
    reconstruction, divergence = np.concatenate([*followed]).T
    event = of_event(model.card.get("config", {}), subject.scored, model.card.get("levels"), model.given_text)
    receipt = {**subject.receipt, **event}
    return {
        "reconstruction": mean_of(reconstruction, "nats", "higher", receipt, "estimate"),
        "kl": mean_of(divergence, "nats", None, receipt),
    }


def characters(subject: Subject) -> Metrics:
    """What a text costs a character, each once and in its context."""
    model, options = subject.model, subject.options

    def conditionals(tokens: np.ndarray) -> np.ndarray:
        rows = model.rows_at_once
        pieces = (model.log_conditionals(tokens[i : i + rows]) for i in range(0, len(tokens), rows))
        return np.concatenate([*options.follow(pieces, len(tokens), "scoring characters")])

    tokens = np.asarray(subject.data.fields["tokens"])
    event = of_event(model.card.get("config", {}), subject.scored, None, given_text=False)
    receipt = {**subject.receipt, **event, "least_context": tokens.shape[1] // 2}
    return {
        name: metric(each["value"], each["standard_error"], each["unit"], "lower", receipt, "exact")
        for name, each in per_character(in_context(conditionals, tokens)).items()
    }


def codes(subject: Subject) -> Metrics:
    """How the code is used: see `zoo.evaluation.posteriors`."""
    model, data = subject.model, subject.data
    size = model.signatures["encode"]["outputs"]["code"]["shape"][1]

    def pieces() -> Iterator[np.ndarray]:
        for batch in in_order(data, model.rows_at_once):
            found = model.run("encode", **{model.takes: batch[model.takes]})
            yield np.stack([found["code"], found["code_scale"]], 1)  # [.., 2, d]

    followed = subject.options.follow(pieces(), len(data), "encoding")
    found = code_use(((piece[:, 0], piece[:, 1]) for piece in followed), size)
    receipt = {**subject.receipt, "units": size}
    if len(data) <= size:
        receipt["warning"] = f"{len(data)} examples do not fix the covariance of {size} units"
    return {
        "active_units": metric(int(found.active.sum()), None, f"of {size} units", None, receipt),
        "code_kl": mean_of(found.code_kl, "nats", None, receipt),
        "aggregate_kl": metric(found.aggregate_kl, None, "nats", "lower", receipt),
    }


def window(subject: Subject) -> Metrics:
    """The Parzen-window estimate: see `zoo.evaluation.parzen`."""
    seed = subject.options.seed
    parts = (subject.data, KEPT), (subject.other_split("validation"), CHOOSING)
    x, chosen = (
        np.concatenate([*subject.images(data, examples.chosen_rows(len(data), count, seed))])
        for data, count in parts
    )
    x, chosen = (each.reshape(len(each), -1) for each in (x, chosen))
    samples = subject.drawn.images
    assert samples is not None
    values, sigma = parzen(x, chosen, samples)
    warnings = []
    if subject.data.split in ("validation", "all"):
        warnings.append("the width was chosen on examples that are measured: it is too large")
    if sigma in (SIGMAS[0], SIGMAS[-1]):
        warnings.append(f"the width {sigma:g} is at an end of its range: another may be better")
    told = {"warning": "; ".join(warnings)} if warnings else {}
    caveat = "far from the likelihood in many dimensions, ranks models wrongly (arXiv 1511.01844)"
    receipt = {
        **subject.receipt,
        **subject.of_temperature,
        "samples": len(samples),
        "levels": subject.levels,
        **told,
    }
    return {
        "parzen": mean_of(
            values, "nats", "higher", {**receipt, "caveat": caveat, "found": {"sigma": sigma}}, "estimate"
        )
    }
