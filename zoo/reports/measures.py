"""Measures of several models in tables that compare only what can be compared.

Two likelihoods stand in one table if both are exact or both are bounds, of the same data, split, number of
examples, shape and levels, or tokens of the same make, and of texts over as many symbols, given the same. Two
other measures stand in one row if all of their receipts agree but for the seed and for what was found. A
bound is below the likelihood by an amount that nobody knows: bounds are never ranked.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.evaluation.metrics import is_likelihood
from zoo.reports.page import measured

# Metric name -> value, standard_error, unit, kind, better, receipt.
Metrics = Mapping[str, Mapping[str, Any]]

#: What the examples of two measures that are compared have in common.
EXAMPLES = ("dataset", "split", "fingerprint", "shape", "levels")
#: What two likelihoods have in common, too.
EVENT = (*EXAMPLES, "n", "vocabulary", "given", "scored", "least_context")
#: What a reader is told beside the figures.
TOLD = ("warning", "caveat")
#: What says nothing of how a figure was made: which draws it is of, who measured it, and what was found.
APART = ("seed", "version", "found", *TOLD)
#: By how many standard errors of the difference one figure must be ahead of all others, to be called best.
AHEAD = 2.0


@dataclasses.dataclass(frozen=True)
class Cell:
    """One figure: as text, the number of its receipt, and whether it is surely the best of its kind."""

    text: str
    receipt: int
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Figures of which those in one column (by_row: in one row) can be compared.

    Attributes:
        title: what they are of.
        note: how to read them.
        told: what a figure is worth, where its receipt warns.
        heads: of the columns, the first one included.
        rows: the head of each row, a line under it, and its cells; None where there is no figure.
    """

    title: str
    note: str
    heads: list[str]
    rows: list[tuple[str, str, list[Cell | None]]]
    told: list[str] = dataclasses.field(default_factory=list)


class Receipts:
    """What the figures of a page were made of; equal ones have one number."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def number(self, metric: Mapping[str, Any]) -> int:
        """The number of a figure's receipt, from 1."""
        receipt = {
            key: value
            for key, value in (metric.get("receipt") or {}).items()
            if key not in TOLD and _flat(value)
        }
        if receipt not in self.all:
            self.all.append(receipt)
        return self.all.index(receipt) + 1


def _flat(value: Any) -> bool:
    """Whether a value of a receipt fits in a line: not a list of what was found."""
    several = value if isinstance(value, list | tuple) else [value]
    return value is not None and not any(isinstance(each, Mapping | list | tuple) for each in several)


def of_card(card: Mapping[str, Any]) -> Metrics:
    """The metrics of a model card, each with the shape of an example in its receipt.

    Receipts of before they told it are of what the model's config says: it scores nothing else.
    """
    config = card.get("config", {})
    if config.get("vocabulary"):
        shape = [config["length"]] if "length" in config else None
    else:
        shape = config.get("image_shape") or ([config["features"]] if config.get("features") else None)
    known = {"shape": [*shape]} if shape else {}
    return {
        name: {**metric, "receipt": {**known, **(metric.get("receipt") or {})}}
        for name, metric in card.get("metrics", {}).items()
    }


def warnings(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the receipts of figures warn of: `FID, KID: 500 images are few`."""
    found: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        for key in TOLD:
            if text := (metric.get("receipt") or {}).get(key):
                found.setdefault(text, []).append(label(name))
    return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in found.items()]


def label(name: str) -> str:
    """A metric's name for people."""
    stem = re.sub(r"_bits_per_dim$", "", name)
    if match := re.fullmatch(r"(?:iwae|importance_weighted_bound)_(\d+)", stem):
        return f"bound, {match[1]} draws"
    if stem == "log_prob":
        return "log p(x)"
    if stem == "log_prob_tokens":
        return "log p(tokens)"
    return re.sub(r"\b(elbo|fid|kid|kl)\b", lambda match: match[0].upper(), stem.replace("_", " "))


def of_one(metrics: Metrics, receipts: Receipts) -> Table:
    """All figures of one model: a row each."""
    rows: list[tuple[str, str, list[Cell | None]]] = []
    for name, metric in metrics.items():
        told = ", ".join(filter(None, [metric.get("unit"), metric.get("kind"), better(metric)]))
        rows.append((label(name), told, [cell(metric, receipts)]))
    return Table("", "", ["measure", "value"], rows, warnings(metrics))


def better(metric: Mapping[str, Any]) -> str:
    """`higher is better`, where one of the two is."""
    way = metric.get("better")
    return f"{way} is better" if way in ("higher", "lower") else ""


def likelihood_tables(models: Sequence[tuple[str, Metrics]], receipts: Receipts) -> list[Table]:
    """A table for each group of likelihoods that can be compared; exact ones the best first.

    Args:
        models: titles and what was measured of each.
        receipts: where the receipts are numbered.
    """
    groups: dict[str, dict[str, Metrics]] = {}
    for title, metrics in models:
        for name, metric in metrics.items():
            if is_likelihood(name, metric):
                receipt = metric.get("receipt") or {}
                key = _key(metric["kind"], {part: receipt.get(part) for part in EVENT})
                groups.setdefault(key, {}).setdefault(title, {})[name] = metric  # type: ignore[index]
    exact_first = sorted(groups, key=lambda key: json.loads(key)[0] != "exact")
    return [_likelihoods(groups[key], receipts) for key in exact_first]


def _likelihoods(group: Mapping[str, Metrics], receipts: Receipts) -> Table:
    names = [*dict.fromkeys(name for metrics in group.values() for name in metrics)]
    some = next(iter(next(iter(group.values())).values()))
    exact = some["kind"] == "exact"
    best = {
        name: surely_best({title: metrics[name] for title, metrics in group.items() if name in metrics})
        for name in names
    }
    titles = [*group]
    if exact:
        titles.sort(key=lambda title: _order(group[title].get(names[0])))
    rows: list[tuple[str, str, list[Cell | None]]] = [
        (
            title,
            "",
            [
                cell(group[title][name], receipts, best=title == best[name]) if name in group[title] else None
                for name in names
            ],
        )
        for title in titles
    ]
    units = {name: next(each[name] for each in group.values() if name in each)["unit"] for name in names}
    receipt = some.get("receipt") or {}
    note = (
        "Exact likelihoods, the best first."
        if exact
        else "Lower bounds: a likelihood is above its bound, by an amount that nobody knows. Not a ranking."
    )
    return Table(
        title=f"{'Exact' if exact else 'Bounds'}, {about(receipt)}",
        note=note if len(group) > 1 or not exact else "",
        heads=["model", *(f"{label(name)}, {units[name]}" for name in names)],
        rows=rows,
    )


def about(receipt: Mapping[str, Any]) -> str:
    """`glyphs, test split, 10,000 examples, 28x28x1 values, 2 levels`."""
    parts = [str(receipt["dataset"])] if receipt.get("dataset") else []
    if receipt.get("split"):
        parts.append(f"{receipt['split']} split")
    if receipt.get("n"):
        parts.append(f"{receipt['n']:,} examples")
    if receipt.get("scored"):
        parts.append(str(receipt["scored"]))
    elif receipt.get("shape"):
        parts.append(f"{'x'.join(map(str, receipt['shape']))} values")
    if receipt.get("levels"):
        parts.append(f"{receipt['levels']} levels")
    if receipt.get("vocabulary"):
        parts.append(f"{receipt['vocabulary']} symbols")
    if receipt.get("given"):
        parts.append(f"given the {receipt['given']}")
    return ", ".join(parts) or "data not told"


def measures_tables(models: Sequence[tuple[str, Metrics]], receipts: Receipts) -> list[Table]:
    """All other measures: a table for each data, in it a row a measure and a column a model that has one."""
    groups: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    for title, metrics in models:
        for name, metric in metrics.items():
            if not is_likelihood(name, metric):
                receipt = metric.get("receipt") or {}
                data = {key: receipt.get(key) for key in EXAMPLES}
                bound_to = {key: value for key, value in receipt.items() if key not in APART}
                row = _key(name, metric.get("unit"), metric.get("kind"), bound_to)
                groups.setdefault(_key(data), {}).setdefault(row, {})[title] = metric
    return [_measures(rows, [title for title, _ in models], receipts) for rows in groups.values()]


def _key(*parts: Any) -> str:
    """Equal for equal parts."""
    return json.dumps(parts, sort_keys=True, default=str)


def _measures(
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]], titles: Sequence[str], receipts: Receipts
) -> Table:
    titles = [title for title in titles if any(title in found for found in rows.values())]
    order = [*dict.fromkeys(json.loads(key)[0] for key in rows)]
    keys = sorted(rows, key=lambda key: order.index(json.loads(key)[0]))  # equal names stand together
    made: list[tuple[str, str, list[Cell | None]]] = []
    for key in keys:
        name, found = json.loads(key)[0], rows[key]
        some = next(iter(found.values()))
        receipt = some.get("receipt") or {}
        winner = surely_best(found)
        under = ", ".join(filter(None, [some.get("unit"), better(some), receipt.get("extractor")]))
        cells = [cell(found[t], receipts, best=t == winner) if t in found else None for t in titles]
        made.append((label(name), under, cells))
    told = [text for title in titles for text in warnings(_of_title(rows, title))]
    return Table(
        title=about({key: value for key, value in receipt.items() if key != "n"}),
        note="",
        heads=["measure", *titles],
        rows=made,
        told=[*dict.fromkeys(told)],
    )


def _of_title(
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str
) -> dict[str, Mapping[str, Any]]:
    """The figures of one model."""
    return {json.loads(key)[0]: found[title] for key, found in rows.items() if title in found}


def cell(metric: Mapping[str, Any], receipts: Receipts, best: bool = False) -> Cell:
    """A figure with the number of its receipt."""
    return Cell(measured(metric), receipts.number(metric), best)


def surely_best(found: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The title of the figure that is ahead of all others by more than their errors; None where none is.

    Bounds have no best one, and neither have figures whose errors are not known.
    """
    if len(found) < 2 or any(each.get("kind") == "bound" for each in found.values()):
        return None
    if any(each.get("better") not in ("higher", "lower") for each in found.values()):
        return None
    told = [number for each in found.values() for number in (each["value"], each.get("standard_error"))]
    if any(number is None or not math.isfinite(number) for number in told):
        return None
    first, *others = sorted(found, key=lambda title: _order(found[title]))
    ahead = all(
        abs(found[first]["value"] - found[other]["value"])
        > AHEAD * math.hypot(found[first]["standard_error"], found[other]["standard_error"])
        for other in others
    )
    return first if ahead else None


def _order(metric: Mapping[str, Any] | None) -> float:
    """Small for what is good, infinite for what is not finite."""
    if metric is None or metric["value"] is None or not math.isfinite(metric["value"]):
        return math.inf
    value = float(metric["value"])
    return -value if metric.get("better") == "higher" else value
