"""Anomalies: examples that a model of normal data does not take for normal.

A score says how anomalous an example is: **higher is more anomalous**, whatever the method, in nats. The
threshold comes from examples that are known to be normal and were not trained on. An example is flagged where
its score lies above it.

    likelihood    -log p(x)
    typicality    | log p(x) - mean of log p over normal examples |
    ratio         log q(x) - log p(x), with a background model q

Plain likelihood misleads on images: smooth and empty ones are more likely than any that a model was trained
on. Typicality asks how usual the likelihood itself is. The ratio takes away what a model of no shapes knows
as well, such as how bright an image is.

Reference: Nalisnick, Matsukawa, Teh, Lakshminarayanan, Detecting Out-of-Distribution Inputs to Deep
Generative Models Using Typicality, arXiv 1906.02994, equation 6 with one example; Ren et al., Likelihood
Ratios for Out-of-Distribution Detection, arXiv 1906.02845, equation 4.

Shapes: N examples.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.sampling import LoadedModel

Method = Literal["likelihood", "typicality", "ratio"]
METHODS: tuple[Method, ...] = ("likelihood", "typicality", "ratio")

#: Resamples of a bootstrap: its standard error is right to some 5 %.
RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Detector:
    """Tells anomalies from normal examples by the likelihoods that a model gives them.

    Attributes:
        method: how the score is made.
        threshold: of the score, in nats: what lies above it is flagged.
        false_alarms: the share of normal examples that are flagged, as was asked for.
        normal_mean: the mean of log p over the normal examples that it was fitted to.
    """

    method: Method
    threshold: float
    false_alarms: float
    normal_mean: float

    def scores(self, log_prob: np.ndarray, background: np.ndarray | None = None) -> np.ndarray:
        """How anomalous each example is.

        Args:
            log_prob: of each example under the model, or a bound, [N] nats.
            background: the same under the background model; for the ratio only.

        Returns:
            float64 [N] nats; higher is more anomalous.
        """
        return anomaly_scores(self.method, log_prob, background, self.normal_mean)

    def flags(self, scores: np.ndarray) -> np.ndarray:
        """Which scores are those of anomalies: bool [N]."""
        return np.asarray(scores) > self.threshold


def fit(
    method: Method, false_alarms: float, log_prob: np.ndarray, background: np.ndarray | None = None
) -> Detector:
    """A detector from normal examples that the model was not trained on.

    The threshold is the m-th largest of their N scores, with m = false_alarms (N + 1) rounded down: of a new
    example that is exchangeable with them, the score is above it with a probability of at most m / (N + 1).
    For typicality this holds up to a term of 1 / N, since the mean is taken of the same examples. Examples by
    which the model was chosen among others (the best checkpoint, early stopping) are no longer quite
    exchangeable with new ones: they may score a little lower.

    Args:
        method: one of `METHODS`.
        false_alarms: the share of normal examples that may be flagged, between 0 and 1.
        log_prob, background: of the normal examples, as for `Detector.scores`.

    Raises:
        UsageError: too few examples for so small a share.

    References:
        Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World (2005), section 2.2.
    """
    mean = float(np.mean(log_prob, dtype=np.float64))
    scores = np.sort(anomaly_scores(method, log_prob, background, mean))
    rank = math.floor(false_alarms * (len(scores) + 1) + 1e-9)  # 0.05 * 20 is 1, not a little less
    if rank < 1:
        raise UsageError(
            f"{len(scores)} normal examples cannot tell a share of {false_alarms:g} false alarms: "
            f"it takes {math.ceil(1 / false_alarms - 1e-9) - 1} or more."
        )
    return Detector(method, float(scores[-rank]), false_alarms, mean)


def anomaly_scores(
    method: Method, log_prob: np.ndarray, background: np.ndarray | None, normal_mean: float
) -> np.ndarray:
    """The score of each example, float64 [N]: see `Detector.scores`.

    Raises:
        UsageError: the ratio lacks its background.
    """
    log_prob = np.asarray(log_prob, np.float64)
    if method == "likelihood":
        return -log_prob
    if method == "typicality":
        return np.abs(log_prob - normal_mean)
    if background is None:
        raise UsageError("A likelihood ratio needs a background model.")
    return np.asarray(background, np.float64) - log_prob


def separation(
    normal: np.ndarray, anomalous: np.ndarray, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """How well scores tell two labelled sets apart.

    Args:
        normal, anomalous: scores [N] and [M]; higher is more anomalous.
        seed: of the bootstrap.

    Returns:
        `auroc`, the probability that an anomaly has the higher score of a random pair (1/2: no better than
        chance), and `average_precision`, with anomalies as the positives: {value, standard_error} each. The
        standard error is that of a bootstrap which resamples both sets; None for sets of one.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    measures = {"auroc": roc_auc_score, "average_precision": average_precision_score}
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    both = np.concatenate([normal, anomalous])
    rng = np.random.Generator(np.random.Philox(seed))
    resampled = []
    for _ in range(RESAMPLES if min(len(normal), len(anomalous)) > 1 else 0):
        drawn = [rng.choice(each, len(each)) for each in (normal, anomalous)]
        resampled.append([measure(truth, np.concatenate(drawn)) for measure in measures.values()])
    errors = np.std(resampled, axis=0, ddof=1).tolist() if resampled else [None] * len(measures)
    return {
        name: {"value": float(measure(truth, both)), "standard_error": error}
        for (name, measure), error in zip(measures.items(), errors, strict=True)
    }


def require_same_examples(model: LoadedModel, background: LoadedModel) -> None:
    """Checks that two models score the same thing, so that the ratio of their likelihoods means something.

    Raises:
        UsageError: they do not; it says how to train a background that does.
    """
    if _scored(model) == _scored(background):
        return
    dataset = model.card.get("dataset", {})
    command = f"gmzoo train {background.name} --dataset {dataset.get('spec', 'SPEC')}"
    if dataset.get("image_size"):
        command += f" --image-size {dataset['image_size']}"
    if model.card.get("levels") != background.card.get("levels"):
        command += f" --set levels={model.card.get('levels')}"
    raise UsageError(
        f"{model.name} scores {_described(model)}, the background {background.name} scores "
        f"{_described(background)}. Train one on the same data: {command}"
    )


def _scored(model: LoadedModel) -> tuple[object, ...]:
    """What a model's likelihood is of: two models with the same can be compared."""
    model.require("log_prob")
    shape = model.signatures["log_prob"]["inputs"][model.takes]["shape"][1:]
    config, dataset = model.card.get("config", {}), model.card.get("dataset", {})
    texts = (config.get("vocabulary"), model.given_text, model.card.get("scored"))
    return (model.takes, shape, model.card.get("levels"), dataset.get("dequantised") or [], texts)


def _described(model: LoadedModel) -> str:
    takes, shape, levels, *_ = _scored(model)
    if scored := model.card.get("scored"):
        return "{count} {what} of {values} that {by} makes of an image".format(**scored)
    size = " x ".join("any" if each is None else str(each) for each in shape)  # type: ignore[attr-defined]
    return f"{'images' if takes == 'image' else takes} of {size}{f' in {levels} levels' if levels else ''}"
