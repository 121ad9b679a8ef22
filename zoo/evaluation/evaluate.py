"""`evaluate`: measures a SavedModel by what it can do. Every number comes from its signatures.

A *measure* is one computation that gives one or several metrics; `MEASURES` names them all, with what a model
and the data must have for it.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import zoo.data
from zoo.errors import UsageError, nearest
from zoo.evaluation import (
    assembly,
    clusters,
    codebook,
    densities,
    examples,
    likeness,
    naming,
    obedience,
    probing,
    reconstruction,
    translation,
    variety,
)
from zoo.evaluation.metrics import SCHEMA, Metrics, over_models
from zoo.evaluation.subject import SAMPLES, Follow, Memory, Options, Subject, prompted, unseen
from zoo.evaluation.summaries import LARGEST_KEPT
from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")


@dataclasses.dataclass(frozen=True)
class Measure:
    """One computation.

    Attributes:
        gives: the names of its metrics; * stands for anything.
        needs: what it needs, in words.
        applies: whether that is there.
        run: the computation.
    """

    gives: tuple[str, ...]
    needs: str
    applies: Callable[[Subject], bool]
    run: Callable[[Subject], Metrics]


def _of(name: str) -> tuple[str, str]:
    return name, f"{name}_bits_per_dim"


def _images(subject: Subject) -> bool:
    return subject.draws_images


def _bound(subject: Subject) -> bool:
    return subject.model.kind == "bound"


def _gaussian_codes(subject: Subject) -> bool:
    outputs = subject.model.signatures.get("encode", {"outputs": {}})["outputs"]
    if not _bound(subject) or "code_scale" not in outputs or "decode" not in subject.model.signatures:
        return False
    return all(part.family == "gaussian" for part in subject.model.prior_parts)


def _small_images(subject: Subject) -> bool:
    height, width, channels = subject.image_shape if subject.draws_images else (0, 0, 0)
    return 0 < height * width * channels <= LARGEST_KEPT


def _held_out(subject: Subject) -> bool:
    own = subject.draws_images and examples.of_training(subject.model, subject.data)
    return own and not examples.seen_in_training(subject.model, subject.data)


def _known_classes(subject: Subject) -> bool:
    return subject.draws_images and subject.knows_classes


def _labels(subject: Subject) -> bool:
    # Labels are numbered: the model and the extractor must mean the same by a number.
    labelled = "label" in subject.model.conditions and _known_classes(subject)
    return labelled and subject.model.class_names == subject.extractor.class_names


def _codes(subject: Subject) -> bool:
    numbers = "encode" in subject.model.signatures and "tokens" not in subject.model.card
    return numbers and "label" in subject.data.fields


def _probed(subject: Subject) -> bool:
    # A classifier names classes itself; and what is learnt must not be what is measured.
    held_out = subject.data.split != "train" and "train" in subject.data.info.splits
    return _codes(subject) and held_out and "classify" not in subject.model.signatures


def _categories(subject: Subject) -> bool:
    return _codes(subject) and bool(clusters.categories(subject.model))


def _patches(subject: Subject) -> bool:
    labelled = "label" in subject.data.fields and _known_classes(subject)
    return "assemble" in subject.model.signatures and labelled


def _captions(subject: Subject) -> bool:
    return subject.prompted and _known_classes(subject)


BOUND = "a model with a lower bound on its likelihood"
IMAGES = "a model that draws images"
ORACLE = f"{IMAGES}, and an extractor that knows the classes of the data"

#: In the order in which they are shown.
MEASURES: dict[str, Measure] = {
    "log_prob": Measure(
        _of("log_prob"),
        "an exact likelihood",
        lambda s: s.model.kind == "exact" and not s.model.suffix,
        densities.exact,
    ),
    "log_prob_tokens": Measure(
        _of("log_prob_tokens"),
        "an exact likelihood of the tokens of an image",
        lambda s: s.model.kind == "exact" and s.model.suffix == "_tokens",
        densities.exact,
    ),
    "characters": Measure(
        ("nats_per_character", "bits_per_character"),
        "a model of text with an exact likelihood",
        lambda s: "log_conditionals" in s.model.signatures,
        densities.characters,
    ),
    "elbo": Measure(_of("elbo"), BOUND, _bound, functools.partial(densities.bound, name="elbo", draws=1)),
    "terms": Measure(
        ("reconstruction", "kl"),
        f"{BOUND}, whose SavedModel tells its terms (the signature elbo)",
        lambda s: "elbo" in s.model.signatures,
        densities.terms,
    ),
    **{
        name: Measure(
            _of(name),
            f"{BOUND}, whose code is not tokens",
            lambda s: _bound(s) and "tokens" not in s.model.card,
            functools.partial(densities.bound, name=name, draws=draws),
        )
        for name, draws in (("iwae_50", 50), ("iwae_500", 500))
    },
    "codes": Measure(
        ("active_units", "code_kl", "aggregate_kl"),
        f"{BOUND}, and codes with a standard normal prior",
        _gaussian_codes,
        densities.codes,
    ),
    "codebook": Measure(
        ("codebook_used", "codebook_perplexity"),
        "a model whose code is tokens",
        lambda s: "tokens" in s.model.card,
        codebook.measure,
    ),
    "reconstruction_error": Measure(
        ("reconstruction_error",),
        "a model that reconstructs images",
        lambda s: "reconstruct" in s.model.signatures and s.model.takes == "image",
        reconstruction.measure,
    ),
    "translation": Measure(
        (
            "translation_error",
            "unchanged_error",
            "cycle_error",
            "translation_accuracy",
            "kept_*_accuracy",
        ),
        "a model that translates, and data with the domains or attributes that it knows",
        lambda s: translation.translatable(s.model, s.data),
        translation.measure,
    ),
    "parzen": Measure(
        ("parzen",), f"{IMAGES} of at most {LARGEST_KEPT} values", _small_images, densities.window
    ),
    "fid": Measure(("fid", "fid_floor"), IMAGES, _images, likeness.frechet),
    "kid": Measure(("kid",), IMAGES, _images, likeness.kernel),
    "neighbours": Measure(
        ("precision", "recall", "density", "coverage"), IMAGES, _images, likeness.neighbours
    ),
    "copies": Measure(
        ("train_distance", "nearer_than_held_out"),
        f"{IMAGES}, and a held-out split of the data that it was trained on",
        _held_out,
        likeness.copies,
    ),
    "classes": Measure(
        ("inception_score", "modes", "class_entropy", "class_distance"),
        ORACLE,
        _known_classes,
        likeness.classes,
    ),
    "label_accuracy": Measure(
        ("label_accuracy",), f"{ORACLE}, and those as labels to draw with", _labels, obedience.labels
    ),
    "linear_probe": Measure(
        ("linear_probe",),
        "a model that encodes, and data with labels and a training part",
        _probed,
        probing.linear,
    ),
    "categories": Measure(
        ("matched_accuracy", "majority_accuracy", "category_accuracy"),
        "a model whose code has categories, and labels",
        _categories,
        clusters.agreement,
    ),
    "captions": Measure(
        ("caption_*_accuracy",), f"{ORACLE}, and captions to draw with", _captions, obedience.captions
    ),
    "patches": Measure(
        ("patches_*_accuracy",),
        f"{ORACLE}, labels, and patches to make images of",
        _patches,
        assembly.classes,
    ),
    "variety": Measure(
        ("distinct_1", "distinct_2", "distinct_3"),
        "a model that draws text",
        lambda s: s.model.draws and s.model.modality == "text",
        variety.runs_of_words,
    ),
    "names": Measure(
        ("accuracy", "cross_entropy", "calibration_error", "*_accuracy"),
        "a classifier, and labels",
        lambda s: "classify" in s.model.signatures and "label" in s.data.fields,
        naming.names,
    ),
}


def check_names(names: Sequence[str]) -> None:
    """Refuses what names neither a measure nor a metric.

    Raises:
        UsageError: the nearest names are offered.
    """
    known = [*MEASURES, *(each for measure in MEASURES.values() for each in measure.gives)]
    for name in names:
        if not _measures_of(name):
            known = list(dict.fromkeys(each for each in known if "*" not in each))
            raise UsageError(f"no metric {name!r}; there are {', '.join(known)}.{nearest(name, known)}")


def _measures_of(name: str) -> list[str]:
    """The measures that a word names: one of its own name, or those that may give a metric of that name."""
    if name in MEASURES:
        return [name]
    exact = [own for own, measure in MEASURES.items() if name in measure.gives]
    return exact or [
        own
        for own, measure in MEASURES.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in measure.gives)
    ]


def evaluate(
    model: LoadedModel,
    dataset: str | None = None,
    *,
    metrics: Sequence[str] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    split: str | None = None,
    extractor: str | None = None,
    runs: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    follow: Follow = unseen,
    memory: Memory | None = None,
    temperature: float | None = None,
) -> Metrics:
    """Measures a trained model by what it can do.

    Args:
        model: a SavedModel.
        dataset: the data to measure it with; that which it was trained on, where it is None.
        metrics: names of measures or metrics; all that apply, where it is None.
        samples: how many examples are drawn.
        seed: of the first of them, and of every random choice.
        split: which part of the data; the test part where it is None, or all of a local source without one
            that the model was not trained on.
        extractor: what makes features of images: see `zoo.evaluation.extractors`.
        runs: where runs live.
        limit, data_dir, skip_bad: as `zoo.data.load` takes them.
        follow: shows how far long work is.
        memory: what is kept for the next model that is measured with the same data.
        temperature: of the samples, of a model that has one; 1 where it is None.

    Returns:
        Name -> {value, standard_error, unit, kind, better, receipt}: see `zoo.evaluation.metrics`.

    Raises:
        UsageError: a metric is unknown or cannot be had of this model, or the data does not fit.
    """
    check_names(metrics or ())
    if samples < 1:
        raise UsageError(f"samples must be at least 1, not {samples}.")
    if temperature is not None and "temperature" not in model.conditions:
        raise UsageError(f"{model.name} has no temperature.")
    reading = {"data_dir": data_dir, "skip_bad": skip_bad}
    options = Options(samples, seed, extractor, runs, reading, follow, temperature)
    subject = subject_of(model, dataset, split, limit, options, {} if memory is None else memory)
    chosen = _chosen(subject, metrics)
    subject.wanted = frozenset(chosen)
    found: Metrics = {}
    for name in chosen:
        found |= MEASURES[name].run(subject)
    measured = [*found]
    if metrics is not None:
        found = {name: each for name, each in found.items() if any(_asked(name, word) for word in metrics)}
        for word in metrics:
            if not any(_asked(name, word) for name in found):
                raise UsageError(f"{word} of {model.name} was not found: there are {', '.join(measured)}.")
    for warning, names in _warnings(found).items():
        log.warning("%s: %s", ", ".join(names), warning)
    return found


def data_of(model: LoadedModel, dataset: str | None, split: str | None) -> tuple[str, str]:
    """The data that a model is measured with, and its split: see `evaluate`."""
    trained_on = model.card.get("dataset", {}).get("spec")
    spec = dataset or trained_on
    if spec is None:
        raise UsageError("Which data? Name it: --data SPEC (`gmzoo datasets` lists named sets).")
    # Of its own data a model has seen one part, whether or not the source has parts of its own.
    return spec, split or ("test" if spec == trained_on else zoo.data.default_split(spec))


def check_alike(models: Sequence[LoadedModel], dataset: str | None, split: str | None) -> None:
    """Refuses models over which there will be no mean, as far as it can be known before they are measured.

    Args:
        models: two or more.
        dataset, split: as `evaluate` takes them.

    Raises:
        UsageError: their data or the shapes of their examples differ.
    """
    specs, splits = zip(*(data_of(each, dataset, split) for each in models), strict=True)
    shapes = [examples.example_shape(each) for each in models]
    fixed = [shape for shape in shapes if None not in shape]  # that of others is that of the data
    for name, values in (("dataset", specs), ("split", splits), ("shape", fixed)):
        if different := [value for value in values if value != values[0]]:
            raise UsageError(
                f"No mean over these models: their {name} differs ({values[0]} and {different[0]}). "
                "Measure them one by one."
            )


def subject_of(
    model: LoadedModel,
    dataset: str | None,
    split: str | None,
    limit: int | None,
    options: Options,
    memory: Memory,
) -> Subject:
    """The model with its data, loaded."""
    spec, split = data_of(model, dataset, split)
    log.info("data: %s, split %s", spec, split)
    captioned = model.given_text or prompted(model)
    data = examples.load(
        model,
        examples.example_shape(model),
        spec,
        split,
        ["caption"] if captioned else [],
        limit=limit,
        **options.reading,
    )
    return Subject(model, data, options, memory)


def _chosen(subject: Subject, metrics: Sequence[str] | None) -> list[str]:
    """The measures to take, in the order of `MEASURES`."""
    if metrics is None:
        return [name for name, measure in MEASURES.items() if measure.applies(subject)]
    chosen = set()
    for word in metrics:
        able = [name for name in _measures_of(word) if MEASURES[name].applies(subject)]
        if not able:
            needs = " or ".join(dict.fromkeys(MEASURES[name].needs for name in _measures_of(word)))
            raise UsageError(f"{word} of {subject.model.name} cannot be measured: it needs {needs}.")
        chosen |= {*able}
    return [name for name in MEASURES if name in chosen]


def _asked(metric: str, word: str) -> bool:
    """Whether a metric was asked for by a word: its own name, or that of its measure."""
    return metric == word or (
        word in MEASURES and any(fnmatch.fnmatchcase(metric, each) for each in MEASURES[word].gives)
    )


def _warnings(metrics: Metrics) -> dict[str, list[str]]:
    """Each warning, and the metrics that have it."""
    found: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        if warning := metric["receipt"].get("warning"):
            found.setdefault(warning, []).append(name)
    return found


def document(models: Sequence[LoadedModel], found: Sequence[Metrics]) -> dict[str, Any]:
    """What was measured, for programs: of one model, or the mean over several."""
    metrics = found[0] if len(found) == 1 else over_models(found)
    receipts = [metric["receipt"] for each in found for metric in each.values()]
    named = {"model": models[0].name} if len(models) == 1 else {"models": [str(each.path) for each in models]}
    shared = {key: receipts[0][key] if receipts else None for key in ("dataset", "split")}
    return {"schema": SCHEMA, **named, **shared, "metrics": metrics}
