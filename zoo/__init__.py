"""gmzoo: the classic deep generative models on Keras 3, TensorFlow and TensorFlow Probability.

    import zoo

    zoo.list()                                  # what there is
    run = zoo.train("dcgan")                    # a run directory with pictures and a SavedModel
    images = zoo.load("vae").sample(range(64))  # float32 [64, H, W, C] in [0, 1]

Nothing here imports TensorFlow before it is needed.
"""

from __future__ import annotations

import os
import typing
from typing import Any

if typing.TYPE_CHECKING:
    from zoo.runs import Run
    from zoo.sampling import LoadedModel

__all__ = ["data", "evaluate", "export", "list", "load", "models", "train"]


def list() -> typing.List[dict[str, Any]]:  # noqa: A001, UP006
    """All models: name, family, likelihood, capabilities, presets, paper."""
    from zoo import registry

    return [
        {
            "name": name,
            **{key: registry.card(name)[key] for key in ("family", "likelihood", "capabilities", "paper")},
            "presets": [*registry.presets(name)],
        }
        for name in registry.names()
    ]


def load(model: str | os.PathLike[str], runs: str | os.PathLike[str] | None = None) -> LoadedModel:
    """A trained model, by name or path, as `--model` takes it.

    Args:
        model: `NAME`, `NAME:PRESET`, `shipped:NAME`, or the path of a run or a SavedModel.
        runs: where runs live; GMZOO_RUNS or ./runs by default.

    Returns:
        A model whose `sample(seeds)`, `log_prob(x)`, ... take and give NumPy arrays.

    Raises:
        UsageError: nothing is there.
    """
    from zoo import registry, sampling

    resolved = registry.resolve(os.fspath(model), runs)
    path = resolved.path
    if resolved.unfinished:
        from zoo.runs import Run
        from zoo.training import export_unfinished

        path = export_unfinished(Run(path))
    return sampling.load(path)


def train(name: str, **options: Any) -> Run | None:
    """Trains a model, or resumes its run, and exports it: see `zoo.training.train` and `.plan`."""
    from zoo.memory import keep_freed

    keep_freed()
    from zoo import training

    return training.train(name, **options)


def export(
    model: str | os.PathLike[str] | LoadedModel, path: str | os.PathLike[str], kind: str = "savedmodel"
) -> os.PathLike[str]:
    """Copies a trained model to `<path>/<next version>`: `path` is a base path of TensorFlow Serving.

    Args:
        model: as `load` takes it, or one that is loaded.
        path: the base path; of another format a folder that does not exist.
        kind: `savedmodel`; `litert` or `onnx` for what draws nothing: see `zoo.converting`.

    Returns:
        The version's folder, or that of the files.
    """
    loaded = load(model) if isinstance(model, str | os.PathLike) else model
    if kind == "savedmodel":
        from zoo.exporting import publish
        from zoo.serving import write_beside

        version = publish(loaded.path, path)
        write_beside(version)
        return version
    from pathlib import Path

    from zoo import converting

    converting.convert(loaded, Path(path), kind)
    return Path(path)


def evaluate(
    model: str | os.PathLike[str] | LoadedModel, dataset: str | None = None, **options: Any
) -> dict[str, dict[str, Any]]:
    """Measures a trained model by what it can do: see `zoo.evaluation.evaluate.evaluate` for the options.

    Args:
        model: as `load` takes it, or what it gave.
        dataset: the data to measure it with; that which it was trained on, where it is None.
        **options: metrics, samples, seed, split, extractor, runs, limit, ...

    Returns:
        Metric -> {value, standard_error, unit, kind, better, receipt}.

    Raises:
        UsageError: a metric is unknown or cannot be had of this model, or the data does not fit.
    """
    from zoo.evaluation import evaluate as measuring

    loaded = load(model, options.get("runs")) if isinstance(model, str | os.PathLike) else model
    return measuring.evaluate(loaded, dataset, **options)


def __getattr__(name: str) -> Any:
    if name in ("data", "models"):
        import importlib

        return importlib.import_module(f"zoo.{name}")
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
