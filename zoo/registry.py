"""Models by name. A model is a file in `zoo/models`; its `CARD` and `PRESETS` are literals that are read
without importing it, so that listing needs no TensorFlow."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import typing
from pathlib import Path
from typing import Any

from zoo.errors import UsageError, nearest

if typing.TYPE_CHECKING:
    from zoo.base import GenerativeModel

MODELS = Path(__file__).with_name("models")


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
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in ("CARD", "PRESETS"):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


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
