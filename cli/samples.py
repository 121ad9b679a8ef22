"""Samples: drawn under what the user asked for, and written as the ending of the output says."""

from __future__ import annotations

import io
import itertools
import logging
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.cli import output
from zoo.cli.inputs import parse_code, parse_labels
from zoo.cli.progress import duration, follow
from zoo.errors import UsageError
from zoo.reports import pictures, texts
from zoo.reports.examples import draw, drawn_shape, feature_names, image_shape

if typing.TYPE_CHECKING:
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

#: What can be written of which kind of example; the first without --out.
ENDINGS = {
    "image": (".png", ".gif", ".npz", ".csv", output.FOLDER),
    "features": (".csv", ".npz", ".png"),
    "tokens": (".csv", ".npz"),
    "text": (".txt", ".csv", output.FOLDER),
}
ALL_ENDINGS = list(dict.fromkeys(itertools.chain(*ENDINGS.values())))
#: Seconds that nobody needs to be told of.
SOON = 5.0
#: No more pixels and images in one grid, and no more frames in one film.
GRID_PIXELS, GRID_IMAGES, FRAMES = 2**24, 4096, 512


def read_prompts(prompt: str | None, file: str | None) -> list[str] | None:
    """The texts of `--prompt` or `--prompt-file`; None without either."""
    if prompt is not None and file is not None:
        raise UsageError("Give --prompt or --prompt-file, not both.")
    if file is None:
        return None if prompt is None else [prompt]
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--prompt-file {file} cannot be read: {error}.") from None
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise UsageError(f"--prompt-file {file} holds no text.")
    return found


def in_turn(prompts: list[str], count: int) -> np.ndarray:
    """The text of each of so many seeds, string [count]; says where there are more texts."""
    if count < len(prompts):
        log.warning("%d seeds: the last %d lines of --prompt-file are left out", count, len(prompts) - count)
    return np.resize(np.array(prompts, object), count)


def limited(model: LoadedModel, seeds: np.ndarray, ending: str) -> np.ndarray:
    """The seeds that a picture has room for; says what was left out."""
    most = len(seeds)
    if ending == ".png" and (shape := image_shape(model)):
        most = min(GRID_IMAGES, max(64, GRID_PIXELS // (shape[0] * shape[1])))
    if ending == ".gif":
        most = FRAMES
    if len(seeds) > most:
        what = {".png": "grid", ".gif": "film"}[ending]
        log.warning(
            "a %s shows at most %s: drawing the first of %s (--out NAME.npz takes all)",
            what, f"{most:,}", f"{len(seeds):,}",
        )  # fmt: skip
    return seeds[:most]


def drawn(
    model: LoadedModel,
    seeds: np.ndarray,
    *,
    label: str | None,
    prompts: np.ndarray | None,
    code: str | None,
    temperature: float | None,
    top_k: int | None,
    candidates: int | None = None,
    first: int = 0,
) -> Iterator[np.ndarray]:
    """The examples of the seeds under the conditions that were given.

    Args:
        first: how many seeds come before these: what takes turns goes on from there.

    Raises:
        UsageError: the model lacks one.
    """
    count = len(seeds)
    conditions: dict[str, Any] = {}
    if label is not None:
        names = model.card.get("dataset", {}).get("class_names", ())
        labels = parse_labels(label, names) if "label" in model.conditions else np.array([0])
        conditions["label"] = np.resize(np.roll(labels, -first), count)
    if prompts is not None:
        conditions["prompt"] = prompts
    if temperature is not None:
        conditions["temperature"] = temperature
    if top_k is not None:
        conditions["top_k"] = top_k
    if code is None:
        return model.iter_samples(seeds, candidates, **conditions)
    if conditions or candidates is not None:
        raise UsageError("--code says all of the code: leave out other conditions.")
    if "code" in model.conditions:
        size = model.signatures["sample_with"]["inputs"]["code"]["shape"][1]
        wanted = np.full((count, size), np.nan, np.float32)
        for index, values in parse_code(code, size).items():
            wanted[:, index] = np.resize(np.roll(values, -first), count)
        return model.iter_samples(seeds, code=wanted)
    model.require("decode")
    size = model.prior(seeds[:1]).shape[1]
    return _decoded(
        model,
        seeds,
        {
            index: np.resize(np.roll(values, -first), count)
            for index, values in parse_code(code, size).items()
        },
    )


def source(
    path: Path, seeds: np.ndarray, prompts: np.ndarray | None, wanted: Mapping[str, Any]
) -> Callable[[int, int], Iterator[dict[str, np.ndarray]]]:
    """Opens a model; what is returned is as `rows_of` gives it.

    Args:
        path: of the SavedModel.
        seeds, prompts, wanted: as in `rows_of`.
    """
    from zoo import sampling

    return rows_of(sampling.load(path), seeds, prompts, wanted)


def rows_of(
    model: LoadedModel, seeds: np.ndarray, prompts: np.ndarray | None, wanted: Mapping[str, Any]
) -> Callable[[int, int], Iterator[dict[str, np.ndarray]]]:
    """What gives the rows of shards: their numbers, seeds and examples.

    Args:
        model: that draws.
        seeds: of all rows.
        prompts: of all rows, where they have any.
        wanted: conditions, as `drawn` takes them.
    """

    def rows(start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        texts = None if prompts is None else prompts[start:stop]
        for piece in drawn(model, seeds[start:stop], prompts=texts, first=start, **wanted):
            span = slice(start, start + len(piece))
            given = {} if prompts is None else {"prompt": prompts[span]}
            yield {
                "row": np.arange(span.start, span.stop),
                "seed": seeds[span],
                **given,
                model.modality: piece,
            }
            start += len(piece)

    return rows


def _decoded(model: LoadedModel, seeds: np.ndarray, values: dict[int, np.ndarray]) -> Iterator[np.ndarray]:
    """The examples of prior codes with some values replaced."""
    from zoo.sampling import CHUNK

    for start in range(0, len(seeds), CHUNK):
        codes = model.prior(seeds[start : start + CHUNK])
        for index, value in values.items():
            codes[:, index] = value[start : start + CHUNK]
        yield model.decode(codes)


def estimated(model: LoadedModel, count: int) -> str | None:
    """How long drawing takes, by how long it took in training; None where that is soon, or not known."""
    from zoo.sampling import CHUNK

    if not (drawing := model.card.get("drawing")):
        return None
    chunks = math.ceil(count / CHUNK)  # each is filled up
    seconds = drawing["seconds"] / math.ceil(drawing["count"] / CHUNK) * chunks
    if seconds < SOON:
        return None
    return f"drawing {count:,} takes about {duration(seconds)} on {drawing['machine']}"


def write(
    path: Path,
    ending: str,
    model: LoadedModel,
    seeds: np.ndarray,
    pieces: Iterable[np.ndarray],
    prompts: np.ndarray | None = None,
) -> None:
    """Writes examples [.., ...] as they come, in the form that the ending says; arrays with their prompts."""
    count = len(seeds)
    if told := estimated(model, count):
        log.info("%s", told)
    followed = follow(pieces, count, "sampling")
    rows = (row for piece in followed for row in piece)
    if ending == ".png":
        draw(model, np.concatenate([*followed]), path)
    elif ending == ".gif":
        pictures.gif((pictures.grid(row[None], gap=0) for row in rows), path, ms=250)
    elif ending == ".npz":
        arrays = {model.modality: (count, followed), "seed": (count, [seeds])}
        if prompts is not None:
            arrays["prompt"] = (count, [prompts.astype(str)])
        output.write_npz(path, arrays)
    elif ending == ".csv":
        size = int(np.prod(drawn_shape(model), dtype=int))
        names = feature_names(model) or [f"{model.modality}{index}" for index in range(size)]
        given = [] if prompts is None else ["prompt"]
        header = ["seed", *given, *(["text"] if model.modality == "text" else names)]
        values = ([_text(value) for value in np.reshape(row, -1).tolist()] for row in rows)
        before = zip(seeds, *([] if prompts is None else [prompts]), strict=True)
        output.write_csv(path, header, ([*each, *value] for each, value in zip(before, values, strict=True)))
    elif ending == ".txt" and "\n" in model.card.get("config", {}).get("vocabulary", ()):
        output.write_text(path, texts.pages(map(_text, rows), seeds.tolist(), headed=count > 1))
    elif ending == ".txt":
        output.write_lines(path, map(_text, rows))
    else:
        output.write_folder(path, _files(seeds, rows, model.modality))


def _text(row: Any) -> str:
    return row.decode("utf-8", "replace") if isinstance(row, bytes) else str(row)


def _files(seeds: np.ndarray, rows: Iterable[Any], modality: str) -> Iterator[tuple[str, bytes]]:
    """A file for each example, named by its place and its seed."""
    digits = len(str(len(seeds) - 1))
    for index, (seed, row) in enumerate(zip(seeds, rows, strict=True)):
        name = f"{index:0{digits}d}-seed-{seed}"
        if modality == "image":
            buffer = io.BytesIO()
            pictures.picture(row).save(buffer, "PNG")
            yield f"{name}.png", buffer.getvalue()
        else:
            yield f"{name}.txt", _text(row).encode()
