"""How well a model translates: to what was asked for, to what is known to be true, and back again.

Each image of another domain is translated to each domain that the model knows; of attributes, one is changed
at a time, to another value that is drawn. Where the data can show the same in the other domain
(`zoo.data.counterparts`), the translation is compared with that, and so is the image as it was, which is what
doing nothing would give.

Shapes: M translations, H x W x C images, A attributes.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import zoo.data
from zoo.data import Data
from zoo.data.order import rows as rows_of
from zoo.evaluation import extractors
from zoo.evaluation.examples import chosen_rows
from zoo.evaluation.extractors import Extractor, Seen
from zoo.evaluation.metrics import Metrics, mean_of
from zoo.evaluation.subject import PIECE, Subject
from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

#: Images that are translated to each domain, or with each attribute changed, at most.
TRANSLATED = 1000
UNIT = "absolute error a value"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of images.

    Attributes:
        rows: which image of the data, int64 [M].
        to, back: what is asked for, and what leads back, int32 [M] or [M, A].
        column: of which attribute, int [M]; 0 of domains.
        wanted: its value, int [M], or the domain, as the data numbers them.
        title: which translation it is, in words [M].
        truth: the known counterpart, uint8 [M, H, W, C]; zeros where `known` is false.
        known: bool [M].
    """

    rows: np.ndarray
    to: np.ndarray
    back: np.ndarray
    column: np.ndarray
    wanted: np.ndarray
    title: np.ndarray
    truth: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice) -> Asked:
        return Asked(**{field.name: getattr(self, field.name)[index] for field in dataclasses.fields(self)})


def translatable(model: LoadedModel, data: Data) -> bool:
    """Whether the data says of images what the model can ask for."""
    if model.asks == "domain":
        return len({*model.domains} & {*data.info.domain_names}) > 1
    known = dict(zip(data.info.attribute_names, map(list, data.info.attribute_values), strict=True))
    return model.asks is not None and knows(known, model.attributes)


def knows(known: Mapping[str, list[str]], asked: Mapping[str, list[str]]) -> bool:
    """Whether these attributes are known, and their values numbered alike."""
    return all(known.get(name) == [*values] for name, values in asked.items())


def between_domains(model: LoadedModel, data: Data, seed: int) -> Asked:
    """Each image to each other domain that the model and the data know."""
    names = data.info.domain_names
    domain = np.asarray(data.fields["domain"])
    own = np.array([model.domains.index(name) if name in model.domains else -1 for name in names])
    found: list[Asked] = []
    for number, name in enumerate(names):
        if own[number] < 0:
            continue
        rows = np.flatnonzero((own[domain] >= 0) & (domain != number))
        rows = rows[chosen_rows(len(rows), TRANSLATED, seed)]
        there, pictures = zoo.data.counterparts(data, name)
        place = np.full(len(data), -1)
        place[there] = np.arange(len(there))
        known = place[rows] >= 0
        truth = np.zeros((len(rows), *data.fields["image"].shape[1:]), np.uint8)
        truth[known] = pictures[place[rows[known]]]
        found.append(
            Asked(
                rows=rows,
                to=np.full(len(rows), own[number], np.int32),
                back=own[domain[rows]].astype(np.int32),
                column=np.zeros(len(rows), int),
                wanted=np.full(len(rows), number),
                title=np.array([f"{names[each]} to {name}" for each in domain[rows]], object),
                truth=truth,
                known=known,
            )
        )
    return joined(found)


def of_attributes(model: LoadedModel, data: Data, seed: int) -> Asked:
    """Each attribute of each image changed to another value, drawn by the seed."""
    names, found = [*model.attributes], []
    columns = [data.info.attribute_names.index(name) for name in names]
    attributes = np.asarray(data.fields["attributes"])[:, columns]
    shape = data.fields["image"].shape[1:]
    for column, name in enumerate(names):
        rows = np.flatnonzero(attributes[:, column] >= 0)
        rows = rows[chosen_rows(len(rows), TRANSLATED, seed)]
        before, count = attributes[rows, column], len(model.attributes[name])
        further = np.random.Generator(np.random.Philox([seed, column])).integers(1, count, len(rows))
        wanted = (before + further) % count
        to = np.full((len(rows), len(names)), -1, np.int32)
        back = to.copy()
        to[:, column], back[:, column] = wanted, before
        found.append(
            Asked(
                rows=rows,
                to=to,
                back=back,
                column=np.full(len(rows), column),
                wanted=wanted,
                title=np.array([name] * len(rows), object),
                truth=np.zeros((len(rows), *shape), np.uint8),
                known=np.zeros(len(rows), bool),
            )
        )
    return joined(found)


def joined(parts: list[Asked]) -> Asked:
    """One after the other."""
    names = [field.name for field in dataclasses.fields(Asked)]
    return Asked(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


# -- those who read what an image shows --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads one property off what an extractor sees in images.

    Attributes:
        name: of the property.
        attribute: which of the extractor's attributes it is; None: its class.
        truth: what each image of the data shows, as the extractor numbers it; -1 where unknown.
    """

    name: str
    attribute: int | None
    truth: np.ndarray

    def read(self, seen: Seen) -> np.ndarray:
        """The property of each image, int [N]."""
        if self.attribute is not None:
            assert seen.attributes is not None
            return seen.attributes[:, self.attribute]
        assert seen.probabilities is not None
        return seen.probabilities.argmax(1)


def readers(extractor: Extractor, data: Data) -> list[Reader]:
    """What an extractor can read of what the data knows of its images, their domain left out."""
    info, fields, found = data.info, data.fields, []
    if not extractor.class_names or extractor.class_names == info.domain_names:
        return []
    if extractor.fits and extractor.class_names == info.class_names:
        found.append(Reader("class", None, np.asarray(fields["label"])))
    attributes = np.asarray(fields.get("attributes", np.zeros((len(data), 0), int)))
    for column, (name, values) in enumerate(zip(info.attribute_names, info.attribute_values, strict=True)):
        if extractor.attributes.get(name) == [*values]:
            found.append(Reader(name, [*extractor.attributes].index(name), attributes[:, column]))
        elif {*values} == {*extractor.class_names} and not found:
            places = np.array([extractor.class_names.index(value) for value in values])
            truth = np.where(attributes[:, column] >= 0, places[attributes[:, column]], -1)
            found.append(Reader(name, None, truth))
    return found


# -- the measure -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Witnesses:
    """Who reads what translations show.

    Attributes:
        judge: says whether it is what was asked for; None where nobody can.
        keeper: says whether what should have stayed did; None where nobody can.
        readers: what it reads.
    """

    judge: Extractor | None
    keeper: Extractor | None
    readers: list[Reader]


def measure(subject: Subject) -> Metrics:
    """The errors, and what classifiers read."""
    model, data, options = subject.model, subject.data, subject.options
    asked = (between_domains if model.asks == "domain" else of_attributes)(model, data, options.seed)
    witnesses = find_witnesses(subject)
    values: dict[str, list[np.ndarray]] = {}

    def pieces() -> Iterator[np.ndarray]:
        for start in range(0, len(asked), PIECE):
            piece = asked[start : start + PIECE]
            x = rows_of(data, piece.rows)["image"]
            made = model.translate(x, piece.to)
            truth = piece.truth.astype(np.float32) / np.float32((data.info.levels or 256) - 1)
            found = {
                "error": apart(made, truth),
                "unchanged": apart(x, truth),
                "cycle": apart(model.translate(made, piece.back), x),
                **read(model, witnesses, piece, x, made),
            }
            for name, each in found.items():
                values.setdefault(name, []).append(np.asarray(each, np.float64))
            yield made

    for _ in options.follow(pieces(), len(asked), "translating"):
        pass
    return metrics_of(
        subject, asked, {name: np.concatenate(each) for name, each in values.items()}, witnesses
    )


def read(
    model: LoadedModel, witnesses: Witnesses, piece: Asked, x: np.ndarray, made: np.ndarray
) -> dict[str, np.ndarray]:
    """What the witnesses read in translations, and in the images as they were: whether it is right [M].

    Args:
        model: that translated.
        witnesses: who read.
        piece: what was asked of images.
        x, made: these, and their translations.
    """
    found = {}
    judge, keeper = witnesses.judge, witnesses.keeper
    seen = {id(each): each.see(made) for each in (judge, keeper) if each is not None}
    if judge is not None and model.asks == "domain":
        probabilities = seen[id(judge)].probabilities
        assert probabilities is not None
        found["right"] = probabilities.argmax(1) == piece.wanted
    elif judge is not None:
        attributes = seen[id(judge)].attributes
        assert attributes is not None
        column = np.array([[*judge.attributes].index(name) for name in model.attributes])
        found["right"] = attributes[np.arange(len(made)), column[piece.column]] == piece.wanted
    if keeper is not None:
        before = keeper.see(x)
        for reader in witnesses.readers:
            truth = reader.truth[piece.rows]
            for name, each in (("kept", seen[id(keeper)]), ("was", before)):
                found[f"{name} {reader.name}"] = np.where(truth < 0, np.nan, reader.read(each) == truth)
    return found


def find_witnesses(subject: Subject) -> Witnesses:
    """The extractor that was asked for, or those that were trained on this data."""
    model, data, options = subject.model, subject.data, subject.options
    info, shape = data.info, subject.image_shape
    chosen = subject.extractor if options.extractor else extractors.own(data.spec, info, shape, options.runs)
    judge: Extractor | None
    if model.asks == "domain":
        named = chosen is not None and chosen.class_names == info.domain_names
        judge = chosen
        if not named:
            judge = extractors.own(data.spec, info, shape, options.runs, info.domain_names)
        how = f"gmzoo train vit --preset styles --dataset {data.spec}"
    else:
        judge = chosen if chosen is not None and knows(chosen.attributes, model.attributes) else None
        how = f"gmzoo train vit --dataset {data.spec} --set attributes=[N,...]"
    if judge is None:
        log.info("no vit here can say whether a translation is what was asked for: train one by %s", how)
    kept = [] if chosen is None else readers(chosen, data)
    # What is asked to change need not stay.
    kept = [reader for reader in kept if reader.name not in model.attributes or model.asks == "domain"]
    return Witnesses(judge, chosen if kept else None, kept)


def metrics_of(
    subject: Subject, asked: Asked, values: dict[str, np.ndarray], witnesses: Witnesses
) -> Metrics:
    """What was found, each with that of each translation by itself.

    Args:
        subject: that was measured.
        asked: M translations.
        values: of each of them by name, float64 [M]; NaN where there is none.
        witnesses: who read what.
    """

    def by_title(each: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        titles = asked.title[rows]
        return {str(title): float(each[rows][titles == title].mean()) for title in dict.fromkeys(titles)}

    def metric(
        name: str, each: np.ndarray, rows: np.ndarray, unit: str, better: str | None, **more: Any
    ) -> Metrics:
        told = {**by_title(each, rows), **more.pop("found", {})}
        receipt = {**subject.receipt, **more, "found": told}
        return {name: mean_of(each[rows], unit, better, receipt, "estimate")}

    def seen_by(extractor: Extractor) -> dict[str, Any]:
        return {
            "extractor": extractor.name,
            "extractor_hash": extractor.weights_hash,
            "resizer": extractor.resizer(subject.image_shape),
        }

    found: Metrics = {}
    known, everywhere = asked.known, np.ones(len(asked), bool)
    if known.any():
        found |= metric("translation_error", values["error"], known, UNIT, "lower")
        found |= metric("unchanged_error", values["unchanged"], known, UNIT, None)
    found |= metric("cycle_error", values["cycle"], everywhere, UNIT, "lower")
    if witnesses.judge is not None:
        by = seen_by(witnesses.judge)
        found |= metric("translation_accuracy", values["right"], everywhere, "share", "higher", **by)
    for reader in witnesses.readers:
        each, before = (values[f"{what} {reader.name}"] for what in ("kept", "was"))
        rows = ~np.isnan(each)
        if rows.any() and witnesses.keeper is not None:
            unchanged = {f"{title}, unchanged": share for title, share in by_title(before, rows).items()}
            told = {"unchanged": float(before[rows].mean()), **unchanged}
            name, by = f"kept_{reader.name}_accuracy", seen_by(witnesses.keeper)
            found |= metric(name, each, rows, "share", "higher", **by, found=told)
    return found


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean absolute difference of images [N, H, W, C], [N]."""
    return np.abs(a.astype(np.float64) - b).mean((1, 2, 3))
