"""`report.html` of a run: what was trained on what, how it went, what came of it, on one page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zoo import registry
from zoo.reports import curves, measures, page
from zoo.reports.plots import Line, place, plot
from zoo.runs import Run

NAME = "report.html"
#: A larger film, in bytes, is linked instead of inlined.
LARGEST_FILM = 1_500_000
#: What of run.json is data or a heading, not a setting.
SETTINGS = ("seed", "batch_size", "optimizers", "averages", "patience", "precision", "jit", "init_from")
#: Which curve is drawn how: its colour and whether it is dashed. Other kinds are diagnostics.
KINDS = {"train": (0, False), "validation": (1, True)}


def write_run_page(run: Run) -> Path:
    """Writes the page of a run from what its folder holds.

    Raises:
        ZooError: the run's record cannot be read.
        OSError: a file is missing, or the disk is full.
    """
    record = run.record
    card = _card(run)
    receipts = measures.Receipts()
    result = record.get("result") or {}
    panels = sorted(_panels(run).items(), key=lambda panel: place(*panel))
    samples, film, film_link = _samples(run)
    known = record["model"] in registry.names()
    kind = registry.card(record["model"]) if known else card
    shown = {kind for _, lines in panels for kind in lines}
    return page.write_page(
        run.path / NAME,
        "run.html",
        name=run.path.name,
        title=kind.get("title", record["model"]),
        summary=kind.get("summary", ""),
        likelihood=kind.get("likelihood", "none"),
        paper=kind.get("paper", ""),
        limits=kind.get("limits", ""),
        preset=record["preset"],
        tiles=_tiles(record, card, result),
        warnings=[_warning(each) for each in record.get("warnings") or ()],
        samples=samples,
        film=film,
        film_link=film_link,
        table=measures.of_one(result, receipts),
        receipts=receipts,
        kinds=[(kind, *KINDS[kind]) for kind in KINDS if kind in shown],
        panels=[_drawn(title, lines) for title, lines in panels if lines.keys() & KINDS.keys()],
        diagnostics=[_drawn(title, lines) for title, lines in panels if not lines.keys() & KINDS.keys()],
        command=record.get("command"),
        settings={**record.get("config", {}), **_only(record, *SETTINGS)},
        dataset={**record.get("dataset", {}), **_only(card.get("dataset", {}), "notes")},
        versions={**record.get("versions", {}), **_only(record, "machine")},
    )


def _card(run: Run) -> dict[str, Any]:
    """The model card of the run's SavedModel; {} before there is one."""
    if run.saved_model is None:
        return {}
    path = run.saved_model / "assets.extra/model_card.json"
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def _only(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Those of the values that are there and say something."""
    return {key: values[key] for key in keys if values.get(key) not in (None, [], {}, "")}


def _tiles(
    record: Mapping[str, Any], card: Mapping[str, Any], result: measures.Metrics
) -> list[tuple[str, str, str]]:
    """The few numbers that are looked at first: what it is, its value, a line under it."""
    found = []
    for name, metric in [*result.items()][:1]:
        under = ", ".join(filter(None, [metric.get("unit"), metric.get("kind")]))
        found.append((measures.label(name), page.measured(metric), under))
    if card.get("parameters") is not None:
        found.append(("parameters", page.number(card["parameters"]), ""))
    step, steps = record.get("step") or 0, record["steps"]
    of = f"of {page.number(steps)}, " if step != steps else ""
    found.append(("steps", page.number(step), f"{of}{page.number(record['batch_size'])} examples each"))
    if record.get("seconds") is not None:
        found.append(("training", page.duration(record["seconds"]), record.get("machine", "")))
    day, _, time = page.moment(record.get("finished") or record["started"]).partition(" ")
    found.append((record["status"], day, time))
    return found


def _warning(warning: Mapping[str, Any]) -> str:
    """A warning of the run: when it was given, and whether it was over later."""
    over = f" (over in epoch {warning['over']})" if warning.get("over") else ""
    return f"Epoch {warning['epoch']}: {warning['text']}{over}"


def _panels(run: Run) -> curves.Panels:
    """The curves of the run by quantity; none before its first step."""
    path = run.path / "metrics.jsonl"
    return curves.read(path) if path.is_file() else {}


def _drawn(title: str, kinds: Mapping[str, tuple[list[int], list[float]]]) -> tuple[str, Any]:
    title = title.replace("_", " ")
    lines = [
        Line(kind, steps, values, *KINDS.get(kind, (0, False))) for kind, (steps, values) in kinds.items()
    ]
    return title, plot(lines, title)


def _samples(run: Run) -> tuple[dict[str, Any] | None, dict[str, Any] | None, str | None]:
    """The last grid or page of samples; the film of all, inlined; or a link to it where it is large."""
    folder = run.path / "samples"
    files = sorted(path for path in folder.glob("epoch-*") if path.suffix in (".png", ".txt"))
    if not files:
        return None, None, None
    last = files[-1]
    picture = last.suffix == ".png"
    samples = {
        "file": f"samples/{last.name}",
        "picture": page.inlined_picture(last) if picture else None,
        "text": None if picture else last.read_text(encoding="utf-8"),
    }
    film = folder / "progress.gif"
    if not film.is_file() or len(files) < 2:
        return samples, None, None
    if film.stat().st_size > LARGEST_FILM:
        return samples, None, "samples/progress.gif"
    with Image.open(film) as image:
        width, height = image.size
    uri = page.inlined(film.read_bytes(), "image/gif")
    return samples, {"uri": uri, "width": width, "height": height}, None
