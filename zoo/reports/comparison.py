"""Trained models side by side on one page: the same seeds, what was measured, what it cost."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo import registry
from zoo.errors import UsageError
from zoo.evaluation.metrics import newest
from zoo.machine import machine
from zoo.reports import curves, examples, measures, page, texts
from zoo.reports.plots import Line, place, plot
from zoo.runs import Run
from zoo.sampling import CHUNK

if typing.TYPE_CHECKING:
    from zoo.sampling import LoadedModel

#: How many samples the cost of sampling is told for: one chunk, which is what the model computes anyway.
TIMED = CHUNK
#: Sampling is timed again until so many seconds have passed, and the fastest time counts.
TIMING_SECONDS = 1.0
#: What of a card says how a model was made.
ABOUT = ("preset", "config", "optimizers", "averages", "seed", "versions", "limits", "paper")

Follow = Callable[[Iterator[np.ndarray], int, str], Iterator[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of a comparison, as the page shows it.

    Attributes:
        title: what the reader called it.
        kind, summary, likelihood, dataset: of the model, in words.
        samples: a picture or a text; None where nothing could be drawn, and `without` says why.
        metrics: what was measured of it.
        panels: the curves of its training; {} where they are not at hand.
        parameters, steps, batch_size: of its training; None where they are not known.
        time, machine: how long it trained, and on what.
        sampling: seconds for `TIMED` samples here.
        command, about: how it was made.
        unfinished: whether its training was not done.
        unmeasured: why it could not be measured now, where it should have been.
    """

    title: str
    kind: str
    summary: str
    likelihood: str
    dataset: str
    samples: Mapping[str, Any] | None
    without: str
    metrics: measures.Metrics
    panels: curves.Panels
    parameters: int | None
    steps: int | None
    batch_size: int | None
    time: str
    machine: str | None
    sampling: float | None
    command: str | None
    about: Mapping[str, Any]
    unfinished: bool
    unmeasured: str = ""


def entry(
    title: str,
    model: LoadedModel,
    seeds: np.ndarray,
    *,
    prompt: str | None = None,
    measured: measures.Metrics | None = None,
    unmeasured: str = "",
    follow: Follow = lambda pieces, total, doing: pieces,
) -> Entry:
    """Draws a model's samples, times it, and gathers what is known of it.

    Args:
        title: what to call it.
        model: a trained model.
        seeds: of the samples on the page, [N].
        prompt: for models that can be given one.
        measured: what was measured of it beside what its card holds, of which it takes the place.
        unmeasured: why that could not be had.
        follow: shows how the sampling goes on.
    """
    card = model.card
    run = run_of(model.path)
    record = run.record if run else {}
    conditions: dict[str, Any] = (
        {"prompt": prompt} if prompt is not None and "prompt" in model.conditions else {}
    )
    samples, seconds, without = None, None, "It draws no samples."
    if model.draws:
        try:
            pieces = follow(model.iter_samples(seeds, **conditions), len(seeds), f"sampling {title}")
        except UsageError as error:  # it draws nothing without a prompt
            without = f"{error} (--prompt)" if "prompt" in model.conditions else str(error)
        else:
            samples = shown(model, np.concatenate([*pieces]), seeds)
            seconds = timed(model, **conditions)
    metrics_file = run.path / "metrics.jsonl" if run else None
    return Entry(
        title=title,
        kind=str(card.get("title", model.name)),
        summary=str(card.get("summary", "")),
        likelihood=str(card.get("likelihood", model.kind or "none")),
        dataset=str(card.get("dataset", {}).get("spec", "data that its card does not tell")),
        samples=samples,
        without=without,
        metrics=newest(measures.of_card(card), measured or {}),
        panels=curves.read(metrics_file) if metrics_file and metrics_file.is_file() else {},
        parameters=card.get("parameters"),
        steps=card.get("step", card.get("steps")),
        batch_size=card.get("batch_size"),
        time=page.duration(record.get("seconds")) or expected_time(card),
        machine=record.get("machine"),
        sampling=seconds,
        command=card.get("command"),
        about={key: card[key] for key in ABOUT if card.get(key) not in (None, "", [], {})},
        unfinished=bool(card.get("unfinished")),
        unmeasured=unmeasured,
    )


def run_of(path: Path) -> Run | None:
    """The run that a SavedModel lies in, `<run>/saved_model/<version>`; None for others."""
    folder = path.absolute().parents[1]
    return Run(folder) if (folder / "run.json").is_file() else None


def expected_time(card: Mapping[str, Any]) -> str:
    """What the preset says of the time that training takes: `4 min on 2 cores, says the preset`."""
    if card.get("model") not in registry.names():
        return "not told"
    expect = registry.presets(card["model"]).get(card.get("preset", ""), {}).get("expect", "")
    match = re.search(r"(?:about )?[\d.]+ (?:s|min|h)\b on [^;,.]+$", expect)
    return f"{match[0]}, says the preset" if match else "not told"


def timed(model: LoadedModel, **conditions: Any) -> float:
    """The fewest seconds that `TIMED` samples took, the model having drawn before."""
    best, begun = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - begun < TIMING_SECONDS:
        start = time.perf_counter()
        model.sample(range(TIMED), **conditions)
        best = min(best, time.perf_counter() - start)
    return best


def shown(model: LoadedModel, drawn: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    """Samples as a picture or as a text."""
    if model.modality == "text":
        rows = (row.decode("utf-8", "replace") for row in drawn[:8])
        return {"picture": None, "text": "".join(texts.pages(rows, seeds[:8].tolist(), headed=True))}
    if model.modality == "tokens":
        return {"picture": None, "text": "\n".join(" ".join(map(str, row)) for row in drawn[:8])}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.png"
        examples.draw(model, drawn, path)
        return {"picture": page.inlined_picture(path), "text": None}


def write_comparison(entries: Sequence[Entry], seeds: np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Writes the page.

    Args:
        entries: the models, in the order in which they were named.
        seeds: of their samples.
        path: the `.html`.
    """
    receipts = measures.Receipts()
    metrics = [(each.title, each.metrics) for each in entries]
    likelihoods = measures.likelihood_tables(metrics, receipts)
    others = measures.measures_tables(metrics, receipts)
    return page.write_page(
        path,
        "comparison.html",
        names=" \N{MIDDLE DOT} ".join(each.title for each in entries),
        entries=entries,
        seeds_told=told(seeds),
        notes=notes(entries),
        likelihoods=likelihoods,
        implicit=[each.title for each in entries if each.likelihood in ("implicit", "none")],
        measures=others,
        receipts=receipts,
        machine=machine(),
        legend=legend(entries),
        panels=panels(entries),
    )


def told(seeds: np.ndarray) -> str:
    """`64 samples, seeds 0 to 63`."""
    count = len(seeds)
    if count == 1:
        return f"one sample, seed {seeds[0]}"
    run = (np.diff(seeds) == 1).all()
    return f"{count} samples, seeds {seeds[0]} to {seeds[-1]}" if run else f"{count} samples, the same seeds"


def notes(entries: Sequence[Entry]) -> list[str]:
    """What a reader must know before comparing."""
    found = []
    datasets: dict[str, list[str]] = {}
    for each in entries:
        datasets.setdefault(each.dataset, []).append(each.title)
    if len(datasets) > 1:
        parts = [f"{', '.join(titles)} on {spec}" for spec, titles in datasets.items()]
        found.append(f"They were trained on different data: {'; '.join(parts)}.")
    found += [f"{each.title} is unfinished." for each in entries if each.unfinished]
    found += [f"{each.title} was not measured now: {each.unmeasured}" for each in entries if each.unmeasured]
    return found


def legend(entries: Sequence[Entry]) -> list[tuple[str, int]]:
    """The colour of each model whose curves are at hand."""
    return [(each.title, color % 8) for color, each in enumerate(entries) if each.panels]


def panels(entries: Sequence[Entry]) -> list[tuple[str, Any]]:
    """A drawing for each quantity, with a line for each model and kind."""
    lines: dict[str, list[Line]] = {}
    kinds_of: dict[str, set[str]] = {}
    for color, each in enumerate(entries):
        for quantity, kinds in each.panels.items():
            kinds_of.setdefault(quantity, set()).update(kinds)
            lines.setdefault(quantity, []).extend(
                Line(f"{each.title}, {kind}", steps, values, color, kind == "validation")
                for kind, (steps, values) in kinds.items()
            )
    order = sorted(lines, key=lambda quantity: place(quantity, kinds_of[quantity]))
    titles = {quantity: quantity.replace("_", " ") for quantity in order}
    return [(titles[quantity], plot(lines[quantity], titles[quantity])) for quantity in order]
