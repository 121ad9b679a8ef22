"""Models by name. A model is a file in `zoo/models`; its `CARD` and `PRESETS` are literals that are read
without importing it, so that listing needs no TensorFlow.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.resources
import json
import os
import pkgutil
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.annealing import Ramp
from zoo.errors import UsageError, nearest
from zoo.runs import Run, all_runs, runs_dir

if typing.TYPE_CHECKING:
    from zoo.base import GenerativeModel

MODELS = Path(__file__).with_name("models")
#: The settings of a preset that does not name them.
UNSAID: dict[str, Any] = {"averages": {}, "patience": None, "precision": "float32", "jit": False}
SHIPPED = Path(str(importlib.resources.files("zoo.saved_models")))


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all models, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(MODELS)])))


@functools.cache
def _literals(name: str) -> dict[str, Any]:
    if name not in names():
        raise UsageError(f"no model {name!r}; `gmzoo list` shows all.{nearest(name, names())}")
    tree = ast.parse((MODELS / f"{name}.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            found["Config"] = {
                field.target.id: _literal(field.value)
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value
            }
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        if node.targets[0].id in ("CARD", "PRESETS"):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def _literal(node: ast.expr) -> Any:
    """The plain value of a literal, or of `Ramp(...)` of literals."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == Ramp.__name__:
        named = {each.arg: ast.literal_eval(each.value) for each in node.keywords if each.arg}
        return dataclasses.asdict(Ramp(*map(ast.literal_eval, node.args), **named))
    return ast.literal_eval(node)


def card(name: str) -> dict[str, Any]:
    """What the model is: title, family, likelihood, capabilities, paper, summary, default preset.

    Raises:
        UsageError: there is no such model; the nearest names are offered.
    """
    return _literals(name)["CARD"]


def presets(name: str) -> dict[str, dict[str, Any]]:
    """The model's presets by name.

    Raises:
        UsageError: there is no such model.
    """
    return _literals(name)["PRESETS"]


def defaults(name: str) -> dict[str, Any]:
    """The options of the model's `Config` with their values where a preset does not name them.

    Raises:
        UsageError: there is no such model.
    """
    return _literals(name)["Config"]


def options(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a model's `Config`, plain: its defaults, with some values instead of them.

    Raises:
        UsageError: there is no such model.
    """
    found = defaults(name)
    ramps = {key for key, value in found.items() if isinstance(value, Mapping)}
    return found | {
        key: dataclasses.asdict(Ramp.of(value)) if key in ramps else value for key, value in values.items()
    }


def preset(name: str, which: str | None = None) -> tuple[str, dict[str, Any]]:
    """One preset and its name; the model's default where `which` is None.

    Raises:
        UsageError: there is no such model or preset.
    """
    available = presets(name)
    which = which or card(name)["default"]
    if which not in available:
        raise UsageError(
            f"{name} has no preset {which!r}; it has {', '.join(available)}.{nearest(which, available)}"
        )
    return which, available[which]


def module(name: str) -> Any:
    """The model's module, imported (and TensorFlow with it)."""
    card(name)
    return importlib.import_module(f"zoo.models.{name}")


def model_class(name: str) -> type[GenerativeModel]:
    """The one model class of the model's file."""
    from zoo.base import GenerativeModel

    found = [
        value
        for value in vars(module(name)).values()
        if isinstance(value, type)
        and issubclass(value, GenerativeModel)
        and value.__module__ == f"zoo.models.{name}"
    ]
    return found[0]


@dataclasses.dataclass(frozen=True)
class Resolved:
    """Where `--model M` leads.

    Attributes:
        path: a SavedModel's version folder; or the run directory of an unfinished run.
        origin: `path`, `run` or `shipped`.
        unfinished: whether `path` is a run that has no SavedModel yet.
    """

    path: Path
    origin: str
    unfinished: bool = False


def resolve(model: str, runs: str | os.PathLike[str] | None = None) -> Resolved:
    """Finds the model that `--model` names.

    With a path separator, or starting with `.`, it is a path: a run, a base folder (its highest version) or a
    version folder. Else it is `NAME` or `NAME:PRESET`: the newest finished run here, else the shipped model;
    `shipped:NAME` forces that.

    Args:
        model: what the user typed.
        runs: where runs live; GMZOO_RUNS or ./runs by default.

    Raises:
        UsageError: nothing is there; the message says what could be given.
    """
    if os.sep in model or "/" in model or model.startswith("."):
        return _resolve_path(Path(model))
    forced = model.startswith("shipped:")
    name, _, which = model.removeprefix("shipped:").partition(":")
    which, _ = preset(name, which or None)
    if not forced:
        for run in all_runs(runs_dir(runs), name):
            record = run.record
            wanted = ":" not in model or record["preset"] == which
            if wanted and run.status == "finished" and run.saved_model:
                return Resolved(run.saved_model, "run")
    base = SHIPPED / (name if which == card(name)["default"] else f"{name}-{which}")
    if found := _highest_version(base):
        return Resolved(found, "shipped")
    command = f"gmzoo train {name}" + (f" --preset {which}" if which != card(name)["default"] else "")
    raise UsageError(
        f"No model {model!r} here, and none came with the installation. Train it first: {command}"
    )


def shipped() -> list[str]:
    """All models that came with the installation, as `resolve` takes them."""
    bases = sorted(path.parent.parent.name for path in SHIPPED.glob("*/*/saved_model.pb"))
    return [f"shipped:{base.replace('-', ':', 1)}" for base in dict.fromkeys(bases)]


def model_card(path: Path) -> dict[str, Any]:
    """The model card of a SavedModel, read without TensorFlow; {} where there is none that can be read."""
    try:
        found = json.loads((path / "assets.extra/model_card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _resolve_path(path: Path) -> Resolved:
    if not path.exists():
        raise UsageError(f"No such file or folder: {path}.")
    if (path / "saved_model.pb").exists():
        return Resolved(path, "path")
    if (path / "run.json").exists():
        run = Run(path)
        if run.status == "finished" and run.saved_model:
            return Resolved(run.saved_model, "run")
        return Resolved(path, "run", unfinished=True)
    if found := _highest_version(path):
        return Resolved(found, "path")
    raise UsageError(f"{path} holds neither a run (run.json) nor a SavedModel (saved_model.pb).")


def _highest_version(base: Path) -> Path | None:
    versions = [p for p in base.glob("*") if p.name.isdigit() and (p / "saved_model.pb").exists()]
    return max(versions, key=lambda p: int(p.name)) if versions else None
