"""A prior supposed for a model that has none: what codes drawn at random decode to.

    normal   N(0, I), as if training had asked for it
    fitted   N(m, S) with the mean and the covariance of the codes of training images: of Gaussians the best

Reference: Ghosh et al., From Variational to Deterministic Autoencoders, arXiv 1903.12436, section 4:
densities fitted to codes after training.

Shapes: N training images, d units of a code.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

import zoo.data
from zoo.data.order import rows
from zoo.errors import UsageError
from zoo.evaluation.examples import chosen_rows
from zoo.evaluation.frechet import Moments
from zoo.evaluation.subject import Follow, unseen
from zoo.sampling import CHUNK, LoadedModel

log = logging.getLogger("gmzoo")

Codes = Literal["normal", "fitted"]
#: Training images that are encoded for a fit, at most.
ENCODED = 10_000


def suppose(model: LoadedModel, codes: Codes, *, follow: Follow = unseen, **reading: Any) -> None:
    """Lets a model without a prior draw examples from codes of a Gaussian; says so.

    Args:
        model: decodes, and has no prior; of images.
        codes: which Gaussian.
        follow: shows how far the encoding is.
        **reading: data_dir and skip_bad, as `zoo.data.load` takes them.

    Raises:
        UsageError: it has a prior, or nothing of its own to fit one to.
    """
    if "prior" in model.signatures:
        raise UsageError(f"{model.name} has a prior of its own: leave out --codes.")
    model.require("decode")
    size = model.signatures["decode"]["inputs"]["code"]["shape"][1]
    if codes == "normal":
        model.suppose_prior(np.zeros(size), np.eye(size), "N(0, I)")
    else:
        mean, factor, count = fitted(model, follow, **reading)
        model.suppose_prior(mean, factor, f"a Gaussian fitted to the codes of {count} training images")
    log.info("codes: %s, which training knows nothing of", model.card["supposed_prior"])


def fitted(model: LoadedModel, follow: Follow, **reading: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """The mean [d] of the codes of training images, a factor of their covariance [d, d], and their number."""
    model.require("encode")
    trained_on = model.card.get("dataset", {})
    if model.takes != "image" or "spec" not in trained_on:
        raise UsageError(f"Nothing tells which images {model.name} was trained on: use --codes normal.")
    height, width, channels = model.signatures["encode"]["inputs"]["image"]["shape"][1:]
    data = zoo.data.load(
        trained_on["spec"],
        "train",
        image_size=height if height == width else None,
        channels=channels,
        limit=trained_on.get("limit"),
        **reading,
    )
    index = chosen_rows(len(data), ENCODED, 0)

    def codes() -> Iterator[np.ndarray]:
        for start in range(0, len(index), CHUNK):
            yield model.encode(rows(data, index[start : start + CHUNK])["image"])

    found = Moments(model.signatures["encode"]["outputs"]["code"]["shape"][1])
    for piece in follow(codes(), len(index), "encoding training images"):
        found.add(piece.astype(np.float64))
    # Its root by eigenvectors: units that never change make it singular.
    values, vectors = np.linalg.eigh(found.covariance)
    return found.mean, vectors * np.sqrt(np.maximum(values, 0.0)), len(index)
