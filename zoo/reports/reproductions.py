"""Published numbers beside ours: a preset that follows a paper says what the paper measured.

A preset's `published` is a literal, beside its config:

    metric      as a run's result names it
    value       as the paper has it, with the sign of the metric
    unit        nats or bits/dim
    source      paper, table, which of its models
    conditions  what has to be told with it
    measured    ours, where an earlier run is on record: value, standard_error, command

It is there only where the paper measured the same thing on the same data.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import UsageError, nearest
from zoo.plain import figures, plain
from zoo.runs import Run, all_runs

#: The settings of a run beside its data, its length and its seed.
SETTINGS = ("optimizers", "batch_size", *registry.UNSAID)
#: Options of a model that its data decides.
DECIDED = {"image_shape", "features", "vocabulary", "length"}
DECIDED |= {f"{side}_{what}" for side in ("source", "target") for what in ("vocabulary", "length")}
#: Options that are switched on by any number; the data decides which.
COUNTED = {"classes", "attributes"}


@dataclasses.dataclass(frozen=True)
class Published:
    """A published number, and the preset that follows it.

    Attributes:
        model, preset: names.
        metric: as a run's result names it.
        value: with the sign of the metric: a log-likelihood is negative.
        unit: of the value.
        source: where it stands.
        conditions: what has to be told with it.
        measured: `value`, `standard_error` and `command` of an earlier run; None where there is none.
    """

    model: str
    preset: str
    metric: str
    value: float
    unit: str
    source: str
    conditions: str
    measured: Mapping[str, Any] | None = None

    def line(self, metric: Mapping[str, Any]) -> str:
        """`paper 88.33 nats, here 87.75 +- 0.23, difference -0.58 (fixed binarization, 1 ordering)`.

        Log-likelihoods are told as papers do, without their sign: less is better, so that a difference above
        0 is what we lack.

        Args:
            metric: of a run's result, or what is on record: `value` and `standard_error`.
        """
        paper = f"paper {self.told(self.value)} {self.unit}"
        if metric["value"] is None or not math.isfinite(metric["value"]):
            return f"{paper}, here not finite ({self.conditions})"
        here = " +- ".join(
            filter(None, figures({**metric, "value": self.lower_is_better(float(metric["value"]))}))
        )
        difference = self.lower_is_better(metric["value"]) - self.lower_is_better(self.value)
        return f"{paper}, here {here}, difference {difference:+.2f} ({self.conditions})"

    def told(self, value: float) -> str:
        """A value of the metric as papers print it."""
        return f"{self.lower_is_better(value):.2f}"

    def lower_is_better(self, value: float) -> float:
        """A log-likelihood without its sign, as papers print it."""
        return -value if self.unit == "nats" else value


def published() -> list[Published]:
    """All published numbers, by model and in the order of its presets."""
    return [
        Published(model=name, preset=preset, **values["published"])
        for name in registry.names()
        for preset, values in registry.presets(name).items()
        if "published" in values
    ]


def chosen(model: str, preset: str | None) -> Published:
    """The published number of a model's preset; without one, that of its first preset that has one.

    Raises:
        UsageError: there is none.
    """
    registry.card(model)
    if preset is not None:
        registry.preset(model, preset)
    everything = published()
    own = [each for each in everything if each.model == model]
    if not own:
        models = [*dict.fromkeys(each.model for each in everything)]
        raise UsageError(
            f"No published number of {model} can be compared with ours; models with one: "
            f"{', '.join(models)}.{nearest(model, models)}"
        )
    found = [each for each in own if preset in (None, each.preset)]
    if not found:
        raise UsageError(
            f"The preset {preset} of {model} follows no published number; those that do: "
            f"{', '.join(each.preset for each in own)}."
        )
    return found[0]


def finished_run(
    number: Published, runs: Path, dataset: str | None = None, seed: int | None = None
) -> Run | None:
    """The newest finished run here that is the preset itself, with the metric in its result.

    Args:
        number: what it reproduces.
        runs: where runs live.
        dataset: what it was trained on, as it was named; anything, if None.
        seed: of the run; any, if None.
    """
    settings = preset_settings(number.model, number.preset)
    values = registry.presets(number.model)[number.preset]
    for run in all_runs(runs, number.model):
        record = run.record
        same = (
            record["preset"] == number.preset
            and run.status == "finished"
            and number.metric in (record.get("result") or {})
            and dataset in (None, record["dataset"]["spec"])
            and seed in (None, record["seed"])
            and record["dataset"]["limit"] is None
            and record["dataset"].get("image_size") == _image_size(values, record["dataset"]["spec"])
            and record_settings(record) == settings
            and (record["steps"] == values.get("steps") or record["epochs"] == values.get("epochs"))
        )
        if same:
            return run
    return None


def preset_settings(model: str, preset: str) -> dict[str, Any]:
    """What a run has to be told to be the preset itself: plain values, without what its data decides."""
    values = registry.UNSAID | registry.presets(model)[preset]
    config = registry.options(model, values["config"])
    told = {key: values[key] for key in SETTINGS}
    return plain({**told, "init_from": None, "config": _chosen_options(config)})


def record_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a run, as its record has it."""
    told = {key: record.get(key) for key in (*SETTINGS, "init_from")}
    return plain({**told, "config": _chosen_options(record["config"])})


def _chosen_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model that are chosen; of labels and attributes whether it is given any."""
    return {
        key: bool(value) if key in COUNTED else value for key, value in config.items() if key not in DECIDED
    }


def _image_size(values: Mapping[str, Any], spec: str) -> int | None:
    """The size to which the images are resized where the run is not told another."""
    size: int | None = values.get("image_size", 28 if spec.startswith("folder:") else None)
    return size


def table(runs: Path) -> list[dict[str, Any]]:
    """Every published number, with ours: of a finished run here, else the one on record, else None.

    Returns:
        Dictionaries of model, preset, metric, unit, paper, here, standard_error, difference, conditions,
        source, and `measured_by`: the run's path, or the command on record.
    """
    found = []
    for number in published():
        run = finished_run(number, runs)
        ours, by = number.measured, (number.measured or {}).get("command")
        if run is not None:
            ours, by = run.record["result"][number.metric], str(run.path)
        found.append(described(number, ours, by))
    return found


def described(number: Published, ours: Mapping[str, Any] | None, measured_by: str | None) -> dict[str, Any]:
    """A published number and ours as plain values, both as papers print them: less is better."""
    value = None if ours is None else ours["value"]
    here = None if value is None or not math.isfinite(value) else number.lower_is_better(value)
    paper = number.lower_is_better(number.value)
    return {
        "model": number.model,
        "preset": number.preset,
        "metric": number.metric,
        "unit": number.unit,
        "paper": paper,
        "here": here,
        "standard_error": None if ours is None else ours.get("standard_error"),
        "difference": None if here is None else here - paper,
        "conditions": number.conditions,
        "source": number.source,
        "measured_by": measured_by,
    }
