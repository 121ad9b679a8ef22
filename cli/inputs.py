"""What the user types, as values: seeds, labels, codes; and the model and the data to work on."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.cli import startup
from zoo.errors import UsageError, nearest

if typing.TYPE_CHECKING:
    from zoo.data import Data
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

LARGEST_SEED = 2**63 - 1
#: More seeds than this in one line are a slip of the finger.
MOST = 10_000_000


def load_model(model: str, runs_dir: str | None, source: Mapping[str, Any] | None = None) -> LoadedModel:
    """The model that `--model` names, loaded; the choice is told.

    Args:
        model, runs_dir: as typed.
        source: the options of the data that it will read, if any.

    Raises:
        UsageError: a name or a path is wrong. It is told before TensorFlow is waited for.
    """
    from zoo import data, registry

    resolved = registry.resolve(model, runs_dir)
    if source and source["data"] is not None:
        data.check(source["data"], source["data_dir"])
    startup.tensorflow()
    import zoo

    # By its path: looked up again, a name might lead elsewhere by now.
    loaded = zoo.load(os.path.join(os.curdir, resolved.path))
    origin = {"shipped": "the shipped model", "run": "the run", "path": "the SavedModel"}[resolved.origin]
    log.info("using %s %s", origin, shown(resolved.path))
    return loaded


def shown(path: Path) -> str:
    """A path as the user would type it: relative where it lies below the present folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def load_data(
    model: LoadedModel, signature: str, *, data: str | None, split: str | None, **options: Any
) -> Data:
    """The data of a command, converted to the examples that a signature of the model takes.

    Args:
        model: what will read the data.
        signature: the one that will read it; its input says the shape.
        data: the spec; the set that the model was trained on, where it is None.
        split: which part; the test part, or everything of a local source without one, where it is None.
        **options: limit, skip_bad, data_dir.

    Raises:
        UsageError: the data lacks what the model needs, or has another shape.
    """
    import zoo.data
    from zoo.evaluation import examples

    if data is None:
        data = model.card.get("dataset", {}).get("spec")
        if data is None:
            raise UsageError("Which data? Name it: --data SPEC (`gmzoo datasets` lists named sets).")
    split = split or zoo.data.default_split(data)
    log.info("data: %s, split %s", data, split)
    shape = model.signatures[signature]["inputs"][model.takes]["shape"][1:]
    needs = ["caption"] if signature == "log_prob" and model.given_text else []
    found = examples.load(model, shape, data, split, needs, **options)
    if needs and (told := model.unread(found.fields["caption"])):
        log.warning("%s", told)
    return found


def only(data: Data, index: np.ndarray) -> Data:
    """Some examples of the data, in the order of `index`.

    Raises:
        UsageError: there is no such example.
    """
    if len(index) and index.max() >= len(data):
        raise UsageError(f"--index: {data.spec}, split {data.split}, has the examples 0 to {len(data) - 1}.")
    files = tuple(data.info.files[row] for row in index.tolist()) if data.info.files else ()
    return dataclasses.replace(
        data,
        fields={name: array[index] for name, array in data.fields.items()},
        info=dataclasses.replace(data.info, files=files),
    )


def in_chunks(model: LoadedModel, data: Data) -> Iterator[np.ndarray]:
    """The examples of the data in order, as many at a time as a signature runs on."""
    from zoo.data import in_order
    from zoo.sampling import CHUNK

    for batch in in_order(data, CHUNK):
        yield batch[model.takes]


def parse_seeds(seeds: str | None, count: int | None, first: int | None) -> np.ndarray:
    """The seeds of `--seeds`, or of `-n` and `--seed`.

    Returns:
        int64 [N], in the order given.

    Raises:
        UsageError: both were given, or they cannot be read.
    """
    if seeds is not None:
        if count is not None or first is not None:
            raise UsageError("--seeds says all seeds: leave out -n and --seed.")
        return np.concatenate([np.arange(a, b + 1) for a, b in _ranges(seeds, "--seeds")])
    first, count = first or 0, count or 64
    _check(first + count - 1, count, "--seed")
    return np.arange(first, first + count, dtype=np.int64)


def parse_pair(text: str, option: str) -> tuple[int, int]:
    """`3,8` as two whole numbers.

    Raises:
        UsageError: it is something else.
    """
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not match:
        raise UsageError(f"{option} {text!r}: use two whole numbers from 0, as in {option} 3,8.")
    _check(max(int(match[1]), int(match[2])), 2, option)
    return int(match[1]), int(match[2])


def parse_indices(text: str, option: str = "--index") -> np.ndarray:
    """`3,5-8` as places in the data, or as units of a code.

    Returns:
        int64 [N], in the order given.

    Raises:
        UsageError: it is something else.
    """
    return np.concatenate([np.arange(low, high + 1) for low, high in _ranges(text, option)])


def parse_part(text: str) -> tuple[int, int]:
    """`3/16` as the third of sixteen.

    Raises:
        UsageError: it is something else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text!r}: use the number of the part and how many there are, as in 3/16.")
    return int(match[1]), int(match[2])


def parse_span(text: str) -> tuple[float, float]:
    """`-3,3` as two different numbers.

    Raises:
        UsageError: it is something else.
    """
    parts = text.split(",")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        raise UsageError(f"--range {text!r}: use two numbers, as in --range -3,3.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low != high):
        raise UsageError(f"--range {text!r}: use two different numbers, as in --range -3,3.")
    return low, high


def _ranges(text: str, option: str) -> list[tuple[int, int]]:
    """`0-63,70` as inclusive ranges."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise UsageError(f"{option} {text!r}: use whole numbers from 0 and ranges, as in 0-63,70.")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise UsageError(f"{option} {text!r}: the range {part.strip()} runs backwards.")
        found.append((low, high))
    _check(max(high for _, high in found), sum(high - low + 1 for low, high in found), option)
    return found


def _check(highest: int, count: int, option: str) -> None:
    if highest > LARGEST_SEED:
        raise UsageError(f"{option}: a seed is at most {LARGEST_SEED}.")
    if count > MOST:
        raise UsageError(f"{option}: at most {MOST:,} at a time.")


def parse_labels(text: str, class_names: typing.Sequence[str]) -> np.ndarray:
    """`3`, a class name, `0-9`, or several with commas.

    Returns:
        int64 [K], to be cycled.

    Raises:
        UsageError: no such class; the nearest names are offered.
    """
    if text in class_names:
        return np.array([class_names.index(text)])
    found: list[int] = []
    for part in text.split(","):
        if part.strip() in class_names:
            found.append(class_names.index(part.strip()))
        elif re.fullmatch(r"[\d\s-]+", part):
            found += [label for low, high in _ranges(part, "--label") for label in range(low, high + 1)]
        else:
            known = f"; classes: {', '.join(class_names)}" if 0 < len(class_names) <= 30 else ""
            raise UsageError(f"no class {part.strip()!r}{known}.{nearest(part.strip(), class_names)}")
    return np.array(found)


def parse_code(text: str, size: int) -> dict[int, list[float]]:
    """`0=3,1=-1.5` as index -> values; `0=0-9` is several, to take turns.

    Args:
        text: what was typed.
        size: d, the length of the code.

    Raises:
        UsageError: it cannot be read, or an index is beyond the code.
    """
    found = {}
    for part in text.split(","):
        index, _, value = part.partition("=")
        try:
            if re.fullmatch(r"\s*\d+\s*-\s*\d+\s*", value):
                [(low, high)] = _ranges(value, "--code")
                found[int(index)] = [float(each) for each in range(low, high + 1)]
            else:
                found[int(index)] = [float(value)]
        except ValueError:
            raise UsageError(f'--code {text!r}: use index=value, as in --code "0=3,1=-1.5".') from None
    if wrong := [index for index in found if not 0 <= index < size]:
        raise UsageError(f"--code: the code has the indices 0 to {size - 1}, not {wrong[0]}.")
    return found


def parse_values(text: str) -> str | dict[str, str]:
    """`hair=black,young=1` as values by name; a text without `=` as it is.

    Raises:
        UsageError: a name or a value is missing.
    """
    if "=" not in text:
        return text
    found = {}
    for part in text.split(","):
        name, _, value = (each.strip() for each in part.partition("="))
        if not (name and value):
            raise UsageError(f'--to {text!r}: use NAME=VALUE, as in --to "hair=black,young=1".')
        found[name] = value
    return found


def parse_settings(settings: typing.Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs, the values as YAML reads them.

    Raises:
        UsageError: one has no `=`, or no YAML behind it.
    """
    import yaml

    found = {}
    for each in settings:
        key, equals, text = each.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {each!r}: use KEY=VALUE, as in --set learning_rate=1e-3.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(f"--set {each!r}: the value cannot be read as YAML.") from None
        # YAML 1.1 takes 1e-3 for text, since it has no dot.
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
            value = float(value)
        found[key.strip()] = value
    return found
