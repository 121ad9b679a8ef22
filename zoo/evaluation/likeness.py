"""How samples of images compare with real ones, by the features and the classes of an extractor."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from zoo.evaluation import examples
from zoo.evaluation.classes import CONFIDENT, LEAST_SHARE, class_distance, covered
from zoo.evaluation.frechet import frechet_distance
from zoo.evaluation.kernel import kernel_distance
from zoo.evaluation.metrics import Metrics, mean_of, metric
from zoo.evaluation.neighbours import NEIGHBOUR, Nearest, copying, neighbourhoods
from zoo.evaluation.subject import Subject

#: Fewer images than this make a Frechet distance mostly bias.
FEW = 2048
#: Fewer images than this leave the other measures with large errors.
FEWER = 1000
#: An unbiased kernel distance is a mean over pairs within each set; a floor takes two sets with a covariance.
LEAST_KERNEL, LEAST_FLOOR = 2, 4
#: Training images that are searched for the nearest one.
SEARCHED = 20_000
#: Samples whose nearest training image is told.
TOLD = 8


def frechet(subject: Subject) -> Metrics:
    """The Frechet distance, and beside it that of two parts of the real images."""
    real, drawn, unit = subject.real, subject.drawn, "squared distance"
    a, b = real.parts

    def few(count: int) -> dict[str, str]:
        least = max(FEW, subject.extractor.size)
        told = f"{count} images are few for a Frechet distance (at least {least}): it is too large"
        return {"warning": told} if count < least else {}

    receipt = subject.image_receipt(**few(min(real.count, drawn.count)))
    parts = subject.image_receipt(samples=0, n=b.count, other_part=a.count, **few(a.count))
    floor: float | None = frechet_distance(a, b)
    if real.count < LEAST_FLOOR:
        parts["warning"], floor = f"two parts of real images take {LEAST_FLOOR} of them", None
    return {
        "fid": metric(frechet_distance(real.moments, drawn.moments), None, unit, "lower", receipt),
        "fid_floor": metric(floor, None, unit, None, parts),
    }


def kernel(subject: Subject) -> Metrics:
    """The kernel distance, which has no bias to speak of."""
    real, samples, unit = subject.real.kept, subject.drawn.kept, "squared discrepancy"
    if min(len(real), len(samples)) < LEAST_KERNEL:
        none = subject.image_receipt(warning=f"a kernel distance takes {LEAST_KERNEL} images of each set")
        return {"kid": metric(None, None, unit, "lower", none)}
    value, error, rows = kernel_distance(real, samples, subject.options.seed)
    count = min(len(real), len(samples))
    receipt = subject.image_receipt(block=rows, blocks=count // rows, **_few(count))
    return {"kid": metric(value, error, unit, "lower", receipt)}


def _few(count: int) -> dict[str, str]:
    return {"warning": f"{count} images are few: the errors are large"} if count < FEWER else {}


def neighbours(subject: Subject) -> Metrics:
    """Precision, recall, density and coverage, of equally many samples and real images."""
    kept = subject.real.kept, subject.drawn.kept
    count = min(map(len, kept))
    real, samples = (each[examples.chosen_rows(len(each), count, subject.options.seed)] for each in kept)
    units = {"precision": "share", "recall": "share", "density": "real balls", "coverage": "share"}
    if count <= NEIGHBOUR:
        none = subject.image_receipt(warning=f"{count} images have too few neighbours")
        return {name: metric(None, None, unit, "higher", none) for name, unit in units.items()}
    found: dict[str, tuple[float, float]] = dataclasses.asdict(neighbourhoods(real, samples))
    receipt = subject.image_receipt(compared=count, k=NEIGHBOUR, **_few(count))
    return {name: metric(*found[name], unit, "higher", receipt) for name, unit in units.items()}


def copies(subject: Subject) -> Metrics:
    """How near samples are to training images, and whether nearer than held-out images are."""
    train = subject.other_split("train")
    rows = examples.chosen_rows(len(train), SEARCHED, subject.options.seed)
    samples, held_out = Nearest(subject.drawn.kept), Nearest(subject.real.kept)
    pieces = subject.options.follow(subject.images(train, rows), len(rows), "searching the training data")
    for piece in pieces:
        features = subject.extractor.features(piece)
        samples.add(features)
        held_out.add(features)
    share, error = copying(samples.distance, held_out.distance)
    nearest = [
        {
            "seed": int(subject.options.seed + subject.drawn.rows[at]),
            "train_index": int(rows[samples.index[at]]),
            "distance": float(samples.distance[at]),
        }
        for at in np.argsort(samples.distance, kind="stable")[:TOLD]
    ]
    receipt = subject.image_receipt(searched=len(rows), of=len(train))
    told = {"held_out": float(held_out.distance.mean()), "nearest": nearest}
    z = {"expected": 0.5, "found": {"z": (share - 0.5) / error}}
    return {
        "train_distance": mean_of(samples.distance, "distance", None, {**receipt, "found": told}, "estimate"),
        "nearer_than_held_out": metric(share, error, "share", None, {**receipt, **z}),
    }


def classes(subject: Subject) -> Metrics:
    """What the extractor's classifier says of samples and of real images."""
    real, drawn = subject.real.tally, subject.drawn.tally
    assert real is not None and drawn is not None
    names = subject.extractor.class_names
    receipt = subject.image_receipt(**oracle(subject))
    shares = {
        side: dict(zip(names, np.round(each.shares(), 6).tolist(), strict=True))
        for side, each in (("shares", drawn), ("real_shares", real))
    }
    found = covered(drawn, real)
    missing = [name for name, got in zip(names, found, strict=True) if not got]
    least = {"covered_from": {"share_of_real": LEAST_SHARE, "probability": CONFIDENT}}
    count, unit = len(names), f"of {len(names)} classes"

    def with_found(**more: Any) -> dict[str, Any]:
        return {**receipt, "found": {**receipt.get("found", {}), **more}}

    scores, entropies = with_found(real=real.score()[0]), with_found(real=real.entropy()[0])
    modes, shares = {**with_found(missing=missing), **least}, with_found(**shares)
    return {
        "inception_score": metric(*drawn.score(), f"1 to {count}", "higher", scores),
        "modes": metric(int(found.sum()), None, unit, "higher", modes),
        "class_entropy": metric(*drawn.entropy(), "nats", None, entropies),
        "class_distance": metric(class_distance(real, drawn), None, "share", "lower", shares),
    }


def oracle(subject: Subject) -> dict[str, Any]:
    """How often the classifier is right about the real images, which is what its word is worth."""
    real, label = subject.real, subject.data.fields.get("label")
    if label is None or real.classes is None:
        return {}
    truth = np.asarray(label)[real.rows]
    labelled = truth >= 0
    if not labelled.any():
        return {}
    right = float((real.classes == truth)[labelled].mean())
    poor = {"warning": f"the classifier names only {right:.0%} of the real images rightly"}
    return {"found": {"oracle_accuracy": right}, **(poor if right < 0.9 else {})}
