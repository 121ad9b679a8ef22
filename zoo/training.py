"""Training: from a name and a few options to a finished run that describes itself.

`plan` resolves what will be trained, on what, for how long; `train` finds the run that it belongs to (a new
one, or one to resume), fits, and writes the result: metrics, pictures, a SavedModel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import functools
import logging
import math
import os
import platform
import random
import shlex
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo import checkpoints, registry
from zoo import data as datasets
from zoo.base import (
    STATISTICS_BATCHES,
    Batch,
    Classifies,
    ConditionalLikelihood,
    Counts,
    ExactLikelihood,
    GenerativeModel,
    Predicts,
    Tokenises,
    Translates,
    TwoStage,
    configure,
)
from zoo.callbacks import (
    GRID_SEEDS,
    Checkpointer,
    Log,
    Painter,
    Progress,
    Recorder,
    State,
    Stopped,
    TranslationPainter,
    Unwritten,
    Validator,
    best_weights,
    draw_results,
    sampled,
    signals,
)
from zoo.cluster import STARTED_BY
from zoo.diagnostics import Diagnostics, samples_to_watch, watches
from zoo.errors import UsageError, ZooError, nearest
from zoo.evaluation import classification, reconstruction
from zoo.evaluation.judging import judged
from zoo.evaluation.likelihood import elbo_summary, log_probs, scorer, suffix, summary, text_summary
from zoo.exporting import export, full_precision, next_version, publish, saved_weights
from zoo.launching import resuming
from zoo.layers.text import survey
from zoo.machine import machine
from zoo.plain import plain
from zoo.reports.run_page import NAME as PAGE
from zoo.reports.run_page import write_run_page
from zoo.runs import LOCK, Run, all_runs, next_run, runs_dir
from zoo.schedules import depends_on_length, make_optimizer
from zoo.stages import SavedTokens
from zoo.timetable import Timetable
from zoo.workers import GONE, Workers, join

log = logging.getLogger("gmzoo")

Strategy = Literal["auto", "one", "mirrored", "multi-worker"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

VALIDATION_BATCH = 500
IMPORTANCE_SAMPLES = 50
FIRST_EXAMPLES = 10_000
LARGEST_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides what a run computes, resolved.

    Attributes:
        model, preset: names.
        settings: plain values that two runs must share to be the same run.
        config: of the model.
        train, validation, test: the data; the last two only for models that numbers can judge.
        source: how the data is read, as far as it does not change what is computed.
        steps: how many steps in all.
        timetable: which phase, epoch and batch each of them belongs to.
        scheduled: whether a schedule depends on `steps`.
        counting: whether the model counts every example once, instead of descending on batches.
        mismatched: draws captions that do not fit, for a model that learns from them.
        first_stage: of a model of two stages the first one.
        beside: what of other examples stands in a batch beside each example, by its name in the data.
    """

    model: str
    preset: str
    settings: dict[str, Any]
    config: Any
    train: datasets.Data
    validation: datasets.Data | None
    test: datasets.Data | None
    source: dict[str, Any]
    steps: int
    timetable: Timetable
    scheduled: bool
    batch_size: int
    seed: int
    counting: bool
    mismatched: datasets.Mismatched | None
    first_stage: SavedTokens | None = None
    beside: str | None = None

    def batches(self, steps: int, start_step: int = 0) -> tf.data.Dataset:
        """The training batches of `steps` steps, all of the phase of the first one."""
        stretch = self.timetable.at(start_step).stretch
        main, others = self.sides
        found = datasets.batches(
            main,
            stretch.batch_size,
            seed=self.seed,
            start_step=start_step - stretch.start,
            steps=steps,
            every_row=self.counting,
            first_epoch=stretch.first_epoch,
            mismatched=self.mismatched,
        )
        if self.labels:
            found = datasets.with_labelled(
                found, self.train, stretch.batch_size, seed=self.seed, start_step=start_step
            )
        if self.beside:
            found = datasets.with_others(
                found, others, [self.beside], stretch.batch_size, seed=self.seed, start_step=start_step
            )
        return found

    @functools.cached_property
    def sides(self) -> tuple[datasets.Data, datasets.Data]:
        """The examples of a batch, and those that others beside them are of: two domains, or all and all.

        Where some stand beside others, only what is translated is read.
        """
        if self.beside is None:
            return self.train, self.train
        kept = ["image", "attributes" if self.beside == "attributes" else "domain"]
        found = dataclasses.replace(self.train, fields={name: self.train.fields[name] for name in kept})
        if self.beside == "image":
            return datasets.side(found, 0), datasets.side(found, 1)
        return found, found

    @property
    def labels(self) -> int:
        """How many training examples keep their labels; 0: all that have one."""
        return int(getattr(self.config, "labels", 0))


class Quiet:
    """Progress that nobody watches."""

    def start(self, total_steps: int, start_step: int, examples_per_step: int, title: str) -> None:
        pass

    def step(self, step: int, logs: Mapping[str, float]) -> None:
        pass

    def epoch(self, epoch: int, summary: Mapping[str, float]) -> None:
        pass

    def message(self, text: str) -> None:
        log.info(text)

    def finish(self, summary: Mapping[str, float]) -> None:
        pass


def plan(
    name: str,
    *,
    preset: str | None = None,
    dataset: str | None = None,
    image_size: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    init_from: str | None = None,
    precision: Precision | None = None,
    jit: bool | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    skip_bad: bool = False,
    runs: str | Path | None = None,
    first_stage: Path | None = None,
) -> Plan:
    """Resolves options over the preset, and the data over both.

    Args:
        runs: where runs live, among which a first stage is looked for.
        first_stage: the SavedModel to take for it, whatever `settings` say.

    Raises:
        UsageError: something unknown or impossible was asked for.
    """
    preset, base = registry.preset(name, preset)
    base = registry.UNSAID | base
    if epochs is not None and steps is not None:
        raise UsageError("Give --epochs or --steps, not both.")
    for option, value in (("--epochs", epochs), ("--steps", steps), ("--batch-size", batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"{option} must be at least 1.")
    if seed < 0:
        raise UsageError("--seed must not be negative.")
    if seed > LARGEST_SEED:
        raise UsageError(f"--seed must be at most {LARGEST_SEED}.")
    model_class = registry.model_class(name)
    config_class = model_class.config_class()
    changed, optimizers = _split_settings(settings or {}, base, config_class)
    configure(config_class, {**base["config"], **changed})  # before any data is prepared
    spec = dataset or base["dataset"]
    if image_size is None:
        # The preset knows what its networks are made for; own pictures come in any size.
        image_size = base.get("image_size", 28 if spec.startswith("folder:") else None)
        if image_size is not None:
            log.info("images are resized to %dx%d (--image-size changes it)", image_size, image_size)
    source: dict[str, Any] = {"data_dir": data_dir, "skip_bad": skip_bad}

    chosen = {**base["config"], **changed}
    options = {field.name for field in dataclasses.fields(config_class)}

    def load(split: str) -> datasets.Data:
        found = datasets.load(spec, split, image_size=image_size, limit=limit, **source)
        if names := chosen.get("changes"):
            return datasets.with_attributes(found, names)
        if "domains" in options:
            return datasets.of_domains(found, chosen.get("domains", ()))
        if chosen.get("of") == "domain":
            return datasets.domains_as_classes(found)
        return datasets.as_features(found) if model_class.modality == "features" else found

    train = load("train")
    example = _example(model_class, train)
    reads = issubclass(model_class, ConditionalLikelihood) or any(
        field.name == "source_vocabulary" for field in dataclasses.fields(config_class)
    )
    train.require(example, *(["caption"] if reads else []))
    if issubclass(model_class, Translates) and model_class.unpaired:
        _of_two_domains(name, train)
    values, first = _fitted(base["config"], changed, config_class, example, train), None
    if issubclass(model_class, TwoStage):
        first_stage = first_stage or find_first_stage(
            name,
            runs_dir(runs),
            preset=preset,
            settings=settings,
            dataset=dataset,
            image_size=image_size,
            seed=seed,
            precision=precision,
            data_dir=data_dir,
            limit=limit,
            skip_bad=skip_bad,
        )
        if first_stage is None:
            raise UsageError(
                f"{name} stands on a trained {model_class.first_stage}, and {runs_dir(runs)} has none with "
                f"its settings: `gmzoo train {name}` trains it first."
            )
        first = SavedTokens(first_stage)
        values = _stand_on(values, changed, model_class.first_stage, first)
    config = configure(config_class, values)
    if kept := getattr(config, "labels", 0):
        train = datasets.keep_labels(train, kept)
    candidates = int(getattr(config, "wrong_candidates", 0))
    # A test split that is missing is told now, not when the training is done.
    validation, test = (load("validation"), load("test")) if judged(model_class) else (None, None)
    batch = batch_size or base["batch_size"]
    sides, beside = [len(train)], None
    if issubclass(model_class, Translates):
        unpaired = model_class.unpaired
        beside = "image" if unpaired else "attributes" if chosen.get("changes") else "domain"
        if unpaired:  # an epoch passes through the larger domain
            sides = np.bincount(train.fields["domain"]).tolist()
    examples = max(sides)
    if min(sides) < batch:
        log.info("%s has %d training examples: the batch has as many", spec, min(sides))
        batch = min(sides)
    counting = issubclass(model_class, Counts)
    phases = model_class.phases(config)
    scheduled = [turn for turn, values in optimizers.items() if depends_on_length(values)]
    if scheduled and (anew := [phase.name for phase in phases[1:] if phase.fresh]):
        raise UsageError(
            f"the learning rate of the turn {scheduled[0]!r} depends on the length of the run, but {name}'s "
            f"optimizers start anew with the phase {anew[0]!r}, and it with them.\n"
            "Give it as a number, with the schedule constant, or with steps of its own."
        )
    timetable = Timetable(phases, examples, batch, every_row=counting)
    if steps is None and epochs is None:
        steps, epochs = base.get("steps"), base.get("epochs")
        if epochs is None:
            steps = steps or timetable.length
    total = steps if steps is not None else timetable.steps(epochs or 0)
    if total < (timetable.length or 0):
        reached = timetable.at(total - 1).stretch.name
        log.info("%d steps end at %s: all phases take %d", total, reached, timetable.length)
    if counting and total != timetable.steps(1):
        raise UsageError(f"{name} counts every example once: leave out --epochs and --steps.")
    return Plan(
        model=name,
        preset=preset,
        settings={
            "model": name,
            "preset": preset,
            "config": dataclasses.asdict(config),
            "dataset": {
                "spec": spec,
                "fingerprint": train.info.fingerprint,
                "image_size": image_size,
                "limit": limit,
                "examples": examples,
            },
            "batch_size": batch,
            "seed": seed,
            "optimizers": optimizers,
            "averages": base["averages"],
            "patience": base["patience"],
            "precision": precision or base["precision"],
            "jit": base["jit"] if jit is None else jit,
            "init_from": None if init_from is None else str(init_from),
            **({"first_stage": {"model": first.name, "hash": first.weights_hash}} if first else {}),
        },
        config=config,
        train=train,
        validation=validation,
        test=test,
        source=source,
        steps=total,
        timetable=timetable,
        scheduled=bool(scheduled),
        batch_size=batch,
        seed=seed,
        counting=counting,
        mismatched=datasets.Mismatched(train, candidates, seed) if candidates else None,
        first_stage=first,
        beside=beside,
    )


def _split_settings(
    settings: Mapping[str, Any], preset: Mapping[str, Any], config_class: type
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """`KEY=` is an option of the model, `learning_rate=` of every optimizer, `TURN.KEY=` of one turn's, and
    `OPTION.KEY=` one value of an option that has several.
    """
    changed: dict[str, Any] = {}
    tuned = {turn: dict(values) for turn, values in preset["optimizers"].items()}
    valid = {field.name for field in dataclasses.fields(config_class)}
    nested = {
        key: dataclasses.asdict(value)
        for key, value in vars(configure(config_class, preset["config"])).items()
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
    }
    for key, value in settings.items():
        turn, _, option = key.rpartition(".")
        if (key == "learning_rate" and tuned) or turn in tuned:
            for values in [tuned[turn]] if turn else tuned.values():
                values[option] = value
        elif turn in nested:
            before = changed.get(turn, nested[turn])
            changed[turn] = {**(before if isinstance(before, Mapping) else nested[turn]), option: value}
        elif turn:
            turns = ", ".join(tuned) or "none with an optimizer"
            several = f", and of its options {', '.join(nested)} has several values" if nested else ""
            raise UsageError(
                f"no turn {turn!r}; this model has {turns}{several}.{nearest(turn, [*tuned, *nested])}"
            )
        else:
            changed[key] = value
    for turn, values in tuned.items():
        make_optimizer(turn, values, 1)  # names what is wrong before any work is done
    valid |= {"learning_rate"} if tuned else set()
    for key in changed:
        if key not in valid:
            raise UsageError(f"no option {key!r}; valid: {', '.join(sorted(valid))}.{nearest(key, valid)}")
    return changed, tuned


def _of_two_domains(name: str, data: datasets.Data) -> None:
    """Refuses data of one domain, or of more than two of which none were chosen."""
    count, names = len(data.info.domain_names), ", ".join(data.info.domain_names)
    if count != 2:
        raise UsageError(
            f"{name} translates between two domains, and the data has {count}: {names}.\n"
            + ("Choose two: --set domains=[A,B]." if count > 2 else "Give it a folder for each.")
        )


def _example(model_class: type[GenerativeModel], data: datasets.Data) -> str:
    """The field of the examples: text where the data has it, and the model a place for its symbols."""
    options = {field.name for field in dataclasses.fields(model_class.config_class())}
    if "tokens" in data.fields and {"vocabulary", "length"} <= options:
        return "tokens"
    if "text" in data.fields and "target_vocabulary" in options:
        return "text"
    return model_class.modality


def _fitted(
    preset: Mapping[str, Any],
    changed: Mapping[str, Any],
    config_class: type,
    example: str,
    data: datasets.Data,
) -> dict[str, Any]:
    """The options of the preset, those changed, and those that the data decides: an example's shape, classes.

    Raises:
        UsageError: an option was changed to something that the data is not.
    """
    values = {**preset, **changed}
    options = {field.name for field in dataclasses.fields(config_class)}
    decided: dict[str, Any] = {}
    if example == "tokens":
        decided["vocabulary"] = list(data.info.vocabulary)
        decided["length"] = int(data.fields["tokens"].shape[1])
    elif example == "image" and "image_shape" in options:
        decided["image_shape"] = [int(n) for n in data.fields["image"].shape[1:]]
    elif example == "features" and "features" in options:
        decided["features"] = int(data.fields["features"].shape[1])
    if "source_vocabulary" in options:
        for side, field in (("source", "caption"), ("target", "text")):
            if field in (example, "caption"):
                symbols, longest = survey(data.fields[field], values.get("text", "words"))
                decided |= {f"{side}_vocabulary": list(symbols), f"{side}_length": longest}
    if values.get("changes"):
        decided["values"] = [len(each) for each in data.info.attribute_values]
        decided["groups"] = [[*group] for group in datasets.known_together(data.fields["attributes"])]
        if len(decided["groups"]) > 1:
            names = data.info.attribute_names
            told = "; ".join(", ".join(names[column] for column in group) for group in decided["groups"])
            log.info("no image has attributes of two of these, taken for data sets of their own: %s", told)
    elif "domains" in options:
        decided["domains"] = [*data.info.domain_names]
        if "values" in options:
            decided["values"] = [len(data.info.domain_names)]
    if values.get("classes"):
        data.require("label")
        decided["classes"] = len(data.info.class_names)
    if values.get("attributes"):
        data.require("attributes")
        decided["attributes"] = [len(each) for each in data.info.attribute_values]
    for key in decided.keys() & changed.keys():
        asked = _listed(changed[key])
        if asked not in (decided[key], []):  # nothing named is left to the data
            raise UsageError(
                f"{key}={asked!r}: the data decides it, and {data.spec} has {_short(decided[key])}."
                + (" Another size: --image-size." if key == "image_shape" else "")
            )
    return values | decided


#: The options that a first stage is trained with as the second one is.
OF_BOTH_STAGES = ("dataset", "image_size", "seed", "precision", "data_dir", "limit", "skip_bad")


def first_stage_options(name: str, **options: Any) -> dict[str, Any] | None:
    """What trains the first stage of a model: its `name`, and options of `plan`.

    Args:
        name: of the model.
        **options: of its training; those of both stages are taken.

    Returns:
        None where the model has no first stage, or a trained one is named.
    """
    model_class = registry.model_class(name)
    key = model_class.first_stage if issubclass(model_class, TwoStage) else None
    if key is None or key in (options.get("settings") or {}):
        return None
    _, base = registry.preset(name, options.get("preset"))
    first, _, preset = base["config"][key].partition(":")
    own = {"dataset": base["dataset"], "image_size": base.get("image_size")}
    given = {key: options[key] for key in OF_BOTH_STAGES if options.get(key) is not None}
    return {"name": first, "preset": preset, **own, **given}


def find_first_stage(name: str, runs: Path, **options: Any) -> Path | None:
    """The SavedModel of the first stage that is named, or of a finished run with the settings of its preset.

    Args:
        name: of the model.
        runs: where runs live.
        **options: of the training of the model.

    Returns:
        None where there is none yet, or the model has no first stage.

    Raises:
        UsageError: a first stage is named, and not there.
    """
    model_class = registry.model_class(name)
    if not issubclass(model_class, TwoStage):
        return None
    wanted = first_stage_options(name, **options)
    if wanted is None:
        found = registry.resolve(str(options["settings"][model_class.first_stage]), runs)
        return export_unfinished(Run(found.path)) if found.unfinished else found.path
    resolved = plan(**wanted)
    for run in all_runs(runs, wanted["name"]):
        if run.status == "finished" and run.saved_model and not differences(resolved, run):
            return run.saved_model
    return None


def _stand_on(
    values: Mapping[str, Any], changed: Mapping[str, Any], option: str, first: SavedTokens
) -> dict[str, Any]:
    """The options of a model with those that its first stage decides; `option` is what names that.

    Raises:
        UsageError: an option was changed to something that the first stage is not, or its images are others.
    """
    decided = {"grid": [*first.token_grid()], "codebook": first.token_values()}
    for key, value in decided.items():
        if key in changed and plain(changed[key]) != value:
            raise UsageError(f"{key}={changed[key]!r}: {first.path} decides it, and has {value}.")
    if list(values["image_shape"]) != list(first.image_shape):
        theirs, ours = ("x".join(map(str, each)) for each in (first.image_shape, values["image_shape"]))
        raise UsageError(
            f"{first.path} makes tokens of images of {theirs}, and these are {ours}: use --image-size."
        )
    return {**values, **decided, option: first.name}


def train(
    name: str,
    *,
    run_dir: str | Path | None = None,
    new: bool = False,
    strategy: Strategy = "auto",
    dry_run: bool = False,
    progress: Progress | None = None,
    runs: str | Path | None = None,
    **options: Any,
) -> Run | None:
    """Trains a model, or goes on with a run that was stopped, and exports it.

    Args:
        name: of the model.
        run_dir: where the run lives; `<runs>/<model>-<NNN>` by default.
        new: start afresh instead of resuming.
        strategy: `auto` takes all GPUs, `one` one device, `mirrored` all devices, `multi-worker` those of all
            processes that TF_CONFIG or Slurm describes; the same is called in each of them.
        dry_run: say what would be done, and do nothing.
        progress: is told what happens.
        runs: where runs live; GMZOO_RUNS or ./runs by default.
        **options: those of `plan`.

    Returns:
        The run; None for a dry run, and in the workers that only take part in it.

    Raises:
        UsageError: something unknown or impossible was asked for.
        ZooError: training failed, or another worker is gone; what was reached is kept.
        Stopped: a signal asked to stop; everything is saved.
    """
    progress = progress or Quiet()
    # A dry run needs no others, and would wait for them.
    workers = gathered("one" if dry_run and strategy == "multi-worker" else strategy)
    with workers.in_time():
        return _train_together(workers, name, run_dir, new, strategy, dry_run, progress, runs, options)


def gathered(strategy: Strategy) -> Workers:
    """The processes and devices of an option.

    Raises:
        UsageError: there is no such strategy, or nothing describes the processes.
    """
    return join() if strategy == "multi-worker" else Workers(make_strategy(strategy))


def _train_together(
    workers: Workers,
    name: str,
    run_dir: str | Path | None,
    new: bool,
    strategy: Strategy,
    dry_run: bool,
    progress: Progress,
    runs: str | Path | None,
    options: Mapping[str, Any],
) -> Run | None:
    first_stage = None
    if issubclass(registry.model_class(name), TwoStage):
        there = find_first_stage(name, runs_dir(runs), **options) if workers.chief else None
        first_stage = workers.from_chief(there and str(there))
        wanted = first_stage_options(name, **options)
        if first_stage is None and wanted:
            first = wanted["name"]
            log.info(
                "%s stands on a %s: training it first (--set %s=M takes a trained one)", name, first, first
            )
            run = train(**wanted, strategy=strategy, dry_run=dry_run, progress=progress, runs=runs)
            first_stage = workers.from_chief(run and str(run.saved_model))
            if first_stage is None:
                return None
    resolved = plan(name, runs=runs, first_stage=first_stage and Path(first_stage), **options)
    replicas = workers.strategy.num_replicas_in_sync
    for stretch in resolved.timetable.stretches:
        if stretch.batch_size % replicas:
            raise UsageError(f"--batch-size {stretch.batch_size} does not divide among {replicas} devices.")
        rows, fewest = stretch.batch_size // replicas, registry.model_class(name).fewest_rows(resolved.config)
        if rows < fewest:
            raise UsageError(
                f"{name} needs {fewest} examples or more on each device, and a batch of {stretch.batch_size} "
                f"gives it {rows}: use --batch-size {fewest * replicas}, and data with as many."
            )
    if not workers.chief:
        with policy(resolved.settings["precision"]):
            _follow(resolved, workers)
        return None
    run = _choose_run(resolved, Path(run_dir) if run_dir else None, runs_dir(runs), new)
    begins_with = None
    if resolved.settings["init_from"] and not checkpoints.steps(run.checkpoints):
        found = registry.resolve(resolved.settings["init_from"], runs_dir(runs))
        begins_with = export_unfinished(Run(found.path)) if found.unfinished else found.path
    if dry_run:
        _describe(resolved, run)
        return None
    # Keras numbers the layers of a process in their names, by which TensorFlow orders sums: what was trained
    # before would change the last bits.
    keras.utils.clear_session(free_memory=False)
    with run.held(), policy(resolved.settings["precision"]):
        try:
            return _train(resolved, run, workers, progress, begins_with)
        except tf.errors.ResourceExhaustedError as error:
            if os.strerror(errno.ENOSPC) in str(error):  # of the disk, by TensorFlow's own writers
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise _out_of_memory(resolved, workers) from error


def _follow(plan: Plan, workers: Workers) -> None:
    """What a worker does that is no chief: it takes the chief's steps, and waits until all is written."""
    told = workers.from_chief(None)
    if told is None:  # the run is finished
        return
    state = State(**told)
    keras.utils.clear_session(free_memory=False)
    with workers.strategy.scope():
        model = build(plan)
    model.enter(max(0, state.step - 1))
    workers.share(model.state())
    _fit(plan, None, model, state, Quiet(), workers)
    workers.agreed(0)


def _train(plan: Plan, run: Run, workers: Workers, progress: Progress, begins_with: Path | None) -> Run:
    found = checkpoints.newest(run.checkpoints, plan.model) if run.checkpoints.exists() else None
    state = State()
    if found:
        fields = {field.name for field in dataclasses.fields(State)}
        state = State(**{key: value for key, value in found[1].items() if key in fields})
    if state.step > plan.steps:
        raise UsageError(
            f"{run.path} has done {state.step} steps already, and {plan.steps} were asked for.\n"
            "Ask for at least as many, or start another run with --new."
        )
    done = state.step == plan.steps or state.ended
    finished = done and run.saved_model and run.record["status"] == "finished"
    workers.from_chief(None if finished else dataclasses.asdict(state))
    if finished:
        progress.message(f"{run.path} is finished: {_result_line(run)}")
        if not (run.path / PAGE).exists():
            write_page(run)
        return run
    with workers.strategy.scope():
        model = build(plan)
        if found:
            checkpoints.assign(model.state(), found[0])
            model.enter(max(0, state.step - 1))
            progress.message(f"resuming {run.path} at step {state.step} of {plan.steps}")
        else:
            begin(plan, model, begins_with)
    workers.share(model.state())
    if told := plan.train.coarsened(model.levels):
        log.info(told)
    exists = (run.path / "run.json").exists()
    run.update(
        **plan.settings,
        **plan.source,
        **({"init_from_path": str(begins_with)} if begins_with else {}),
        steps=plan.steps,
        epochs=plan.timetable.epochs(plan.steps),
        status="running",
        step=state.step,
        warnings=state.warnings,
        command=command_line() if Path(sys.argv[0]).stem == "gmzoo" else None,
        versions=versions(),
        machine=machine(),
        started=run.record["started"] if exists else _now(),
    )
    if plan.first_stage is not None and not (kept := _kept_first_stage(run, plan.model)).exists():
        publish(plan.first_stage.path, kept.parent)
    try:
        _fit(plan, run, model, state, progress, workers)
        metrics = _finish(plan, run, model, state)
    except (Stopped, ZooError):
        with contextlib.suppress(OSError):  # a full disk, which was told already
            run.update(status="stopped", **_spent(state))
        raise
    run.update(status="finished", result=metrics, **_spent(state), finished=_now())
    write_page(run)
    progress.finish({key: value["value"] for key, value in metrics.items()})
    with contextlib.suppress(*GONE):  # all is written, whoever is lost now
        workers.agreed(0)  # they wait
    return run


def _kept_first_stage(run: Run, name: str) -> Path:
    """Where a run of a model of two stages keeps the SavedModel of the first."""
    return run.path / registry.model_class(name).first_stage / "1"


def command_line() -> str:
    """The present one, as what trains such a run and goes on with it: `--new` would start afresh.

    Of a worker it is the command that started all of them.
    """
    if started_by := os.environ.get(STARTED_BY):
        return started_by
    return shlex.join(["gmzoo", *resuming(sys.argv[1:])])


def build(plan: Plan) -> GenerativeModel:
    """The model of a plan, compiled, with fresh weights that are a function of the seed."""
    before = random.getstate()
    random.seed(plan.seed)  # Keras' initializers take their seeds from Python's generator
    try:
        model = registry.model_class(plan.model)(plan.config)
    finally:
        random.setstate(before)
    if plan.first_stage is not None:
        assert isinstance(model, TwoStage)
        model.stand_on(plan.first_stage.open(), plan.first_stage.weights_hash)
    half = plan.settings["precision"] == "mixed_float16"
    # A turn that is not due at every step makes fewer of its own, which its schedule counts.
    every = {turn.name: turn.every for turn in model.turns()}
    made = {
        turn: make_optimizer(turn, values, math.ceil(plan.steps / every.get(turn, 1)))
        for turn, values in plan.settings["optimizers"].items()
    }
    model.compile(
        {turn: keras.optimizers.LossScaleOptimizer(made[turn]) if half else made[turn] for turn in made},
        seed=plan.seed,
        averages=plan.settings["averages"],
        jit_compile=plan.settings["jit"] and not _several(plan),
    )
    return model


def _several(plan: Plan) -> bool:
    """Whether there are several devices, which one program of XLA cannot train on."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if plan.settings["jit"] and replicas > 1:
        log.info("without XLA (--jit): it cannot compile a step of %d devices", replicas)
    return replicas > 1


def begin(plan: Plan, model: GenerativeModel, begins_with: Path | None = None) -> None:
    """Sets a new model where it starts: by the data that it wants to see first, by another's weights."""
    if type(model).begin is not GenerativeModel.begin:
        examples = min(len(plan.train), FIRST_EXAMPLES)
        model.begin(next(iter(datasets.batches(plan.train, examples, seed=plan.seed, steps=1))))
    if begins_with:
        _init_from(model, begins_with)
    model.averages.restart()


def _statistics_batches(plan: Plan) -> Iterable[Batch]:
    """What `evaluation_weights` measures BatchNorm's statistics on; it can be read again and again."""
    return plan.batches(STATISTICS_BATCHES)


def _fit(
    plan: Plan, run: Run | None, model: GenerativeModel, state: State, progress: Progress, workers: Workers
) -> None:
    """Takes the steps that are left.

    Args:
        run: what is written goes there; None in a worker that writes nothing.
    """
    events = Log(run, state.step) if run else Unwritten()
    recorder = Recorder(state, events, progress, plan.timetable, tells_epochs=plan.validation is None)
    callbacks: list[keras.callbacks.Callback] = [recorder]
    if run and isinstance(events, Log):
        callbacks += _onlookers(plan, run, model, state, progress, events)
    checkpointer = Checkpointer(state, run, recorder, plan.steps, workers)
    callbacks.append(checkpointer)
    title = f"{plan.model} ({plan.preset}) on {plan.train.spec}"
    progress.start(plan.steps, state.step, plan.batch_size, title)
    try:
        with signals(checkpointer.heard):
            while state.step < plan.steps and not state.ended:
                place = plan.timetable.at(state.step)
                if place.stretch.name and state.step == place.stretch.start:
                    progress.message(f"step {state.step:,}: {place.stretch.name}")
                count = min(place.left, plan.steps - state.step)
                recorder.start_clocks()
                model.fit(
                    workers.part(plan.batches(count, state.step)),
                    initial_epoch=place.epoch,
                    epochs=place.epoch + 1,
                    steps_per_epoch=count,
                    shuffle=False,
                    verbose=0,
                    callbacks=callbacks,
                )
        checkpointer.agree()
        checkpointer.stop_if_asked()
    finally:
        events.close()


def _onlookers(
    plan: Plan, run: Run, model: GenerativeModel, state: State, progress: Progress, events: Log
) -> Iterator[keras.callbacks.Callback]:
    """Those who look at a model after each epoch: they validate, draw and warn."""
    batches = _statistics_batches(plan)
    if plan.validation is not None:
        patience = plan.settings["patience"]
        size = min(VALIDATION_BATCH, len(plan.validation))
        yield Validator(state, events, progress, run, plan.validation, batches, size, patience)
    painter = None
    if sampled(model):
        prompts = (plan.validation or plan.train).fields.get("caption", ())[:GRID_SEEDS]
        last = plan.timetable.stretches[-1]
        count = samples_to_watch(model, last.steps_per_epoch * last.batch_size)
        painter = Painter(state, events, run, batches, prompts, count)
        yield painter
    if isinstance(model, Translates):
        yield TranslationPainter(state, events, run, batches, plan.train)
    watching = watches(model, plan.train, plan.validation, painter, batches, plan.seed, run.path.parent)
    yield Diagnostics(state, events, progress, watching)


def _finish(plan: Plan, run: Run, model: GenerativeModel, state: State) -> dict[str, Any]:
    """Takes the weights that count, scores them on the test split, draws, and exports.

    A signal is obeyed at once: nothing is lost, the same command does this part again.
    """

    def stop(signum: int, frame: types.FrameType | None) -> None:
        raise Stopped(signum, state.step)

    metrics: dict[str, Any] = {}
    with signals(stop), model.evaluation_weights(_statistics_batches(plan)), full_precision(model):
        if plan.test is not None:
            _take_best(run, model)
            metrics = measure(model, plan.test)
        draw_results(run)
        made = card(plan, run, model, metrics, drawing=state.drawing)
        export(model, next_version(run.path / "saved_model"), made)
    return metrics


def write_page(run: Run) -> None:
    """Writes `report.html`. Whatever is wrong with it is told and no more: the run itself is finished."""
    try:
        write_run_page(run)
    except Exception as error:
        log.warning("%s could not be written: %s", run.path / PAGE, error)


def _take_best(run: Run, model: GenerativeModel) -> None:
    """Sets the weights that were best on validation; the present ones stay where those cannot be read."""
    try:
        checkpoints.assign(model.weights_by_name(), checkpoints.read(best_weights(run))[0])
    except ZooError as error:
        log.warning("%s The weights of the last step are taken instead of the best ones.", error)


def measure(model: GenerativeModel, data: datasets.Data) -> dict[str, Any]:
    """The likelihood of `data`: exact; or the evidence lower bound with its terms, and a tighter bound.

    Of a classifier the accuracy; of a text what a character costs, too; of what only restores, its error.
    """
    size = min(VALIDATION_BATCH, len(data))
    if isinstance(model, Classifies):
        scores = log_probs(classification.scorer(model), model, data, size)
        return classification.summary(scores, model, data)
    if reconstruction.only_restores(type(model)):
        errors = log_probs(reconstruction.scorer(model), model, data, size)
        return reconstruction.summary(errors, model, data)
    if isinstance(model, ExactLikelihood | ConditionalLikelihood):
        scores = log_probs(scorer(model), model, data, size)
        if never := int(np.isneginf(scores).sum()):
            advice = " (--set smoothing=1 expects what was never seen)" if isinstance(model, Counts) else ""
            log.warning(
                "%d of %d test examples have probability 0, so the mean is minus infinity%s",
                never, len(scores), advice,
            )  # fmt: skip
        kind = "bound" if data.info.dequantised else "exact"
        found = summary(scores, model, data, f"log_prob{suffix(model)}", kind)
        if isinstance(model, Predicts) and model.vocabulary:
            return {**text_summary(model, data, size), **found}
        return found
    elbo = elbo_summary(log_probs(scorer(model), model, data, size), model, data)
    if isinstance(model, Tokenises):
        return elbo  # each draw of tokens costs a pass of a deep decoder
    tighter = log_probs(scorer(model, IMPORTANCE_SAMPLES), model, data, size)
    return {**elbo, **summary(tighter, model, data, f"iwae_{IMPORTANCE_SAMPLES}", "bound")}


def export_unfinished(run: Run) -> Path:
    """Exports what an unfinished run has reached: its best weights on validation, else its newest checkpoint.

    Returns:
        The SavedModel's folder, in `unfinished/<step>` of the run; made once for each step.

    Raises:
        ZooError: the run has no checkpoint yet.
    """
    record = run.record
    found = checkpoints.newest(run.checkpoints, record["model"])
    if found is None:
        go_on = f" Go on with it: {record['command']}" if record["command"] else ""
        raise ZooError(f"{run.path} has no checkpoint yet.{go_on}")
    arrays, meta = found
    path = run.path / "unfinished" / str(meta["step"])
    if not path.exists():
        chosen = record["dataset"]
        two_stage = issubclass(registry.model_class(record["model"]), TwoStage)
        resolved = plan(
            record["model"],
            preset=record["preset"],
            dataset=chosen["spec"],
            image_size=chosen["image_size"],
            limit=chosen["limit"],
            steps=record["steps"],
            batch_size=record["batch_size"],
            seed=record["seed"],
            precision=record["precision"],
            jit=record["jit"],
            settings=_settings_of(record),
            data_dir=record["data_dir"],
            skip_bad=record["skip_bad"],
            first_stage=_kept_first_stage(run, record["model"]) if two_stage else None,
        )
        with policy(record["precision"]):
            model = build(resolved)
            checkpoints.assign(model.state(), arrays)
            model.enter(max(0, meta["step"] - 1))
            with model.evaluation_weights(_statistics_batches(resolved)), full_precision(model):
                if best_weights(run).exists():
                    _take_best(run, model)
                export(model, path, card(resolved, run, model, {}, unfinished=True))
    log.info(
        "%s is unfinished: using what it had reached at step %d of %d",
        run.path,
        meta["step"],
        record["steps"],
    )
    return path


def _settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options that give a run's config and optimizers again."""
    tuned = {
        f"{turn}.{key}": value
        for turn, values in record["optimizers"].items()
        for key, value in values.items()
    }
    return {**record["config"], **tuned}


def card(
    plan: Plan,
    run: Run,
    model: GenerativeModel,
    metrics: Mapping[str, Any],
    *,
    unfinished: bool = False,
    drawing: tuple[int, float] | None = None,
) -> dict[str, Any]:
    """What a model card says of a run.

    Args:
        drawing: how many examples were drawn last, and the seconds that took.
    """
    info = plan.train.info
    return {
        "model": plan.model,
        "preset": plan.preset,
        **registry.card(plan.model),
        "config": plan.settings["config"],
        "dataset": {
            **plan.settings["dataset"],
            "levels": info.levels,
            "class_names": list(info.class_names),
            "attributes": dict(zip(info.attribute_names, map(list, info.attribute_values), strict=True)),
            **({"domains": list(info.domain_names)} if isinstance(model, Translates) else {}),
            "feature_names": list(info.feature_names),
            "dequantised": list(info.dequantised),
            "notes": list(info.notes),
        },
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "steps": plan.steps,
        "step": int(np.asarray(model.step)),  # of these weights
        "unfinished": unfinished,
        **{
            key: plan.settings[key]
            for key in ("optimizers", "averages", "precision", "init_from", "first_stage")
            if key in plan.settings
        },
        "command": run.record["command"],
        "versions": run.record["versions"],
        "levels": model.levels,  # of the scored values
        "drawing": drawing and {"count": drawing[0], "seconds": drawing[1], "machine": machine()},
        **parameters(model),
        "metrics": dict(metrics),
    }


def parameters(model: GenerativeModel) -> dict[str, int]:
    """How many numbers training chooses: the trainable weights, or of a table those that are free."""
    if isinstance(model, Counts):
        return {"parameters": model.free_parameters, "free_parameters": model.free_parameters}
    return {"parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables))}


def _choose_run(plan: Plan, given: Path | None, folder: Path, new: bool) -> Run:
    """The run that these settings belong to: a given directory, the newest equal run, or a new one."""
    if given is not None:
        run = Run(given)
        if not (given / "run.json").exists():
            if given.exists() and any(path.name != LOCK for path in given.iterdir()):
                raise UsageError(f"{given} is not empty and holds no run. Choose another --run-dir.")
            return run
        if differing := differences(plan, run):
            raise UsageError(
                f"{given} holds a run with other settings: {'; '.join(differing)}.\n"
                "Use the same settings, or another --run-dir."
            )
        if new:
            raise UsageError(f"{given} holds a run already. Choose another --run-dir for a new one.")
        return run
    if new:
        return next_run(folder, plan.model)
    runs = all_runs(folder, plan.model)
    for run in runs:
        if not differences(plan, run):
            return run
    if runs:
        differing = differences(plan, runs[0])
        log.info("starting a new run: %s differs: %s", runs[0].path, "; ".join(differing))
    return next_run(folder, plan.model)


def differences(plan: Plan, run: Run) -> list[str]:
    """How the settings of a plan differ from those of a run: `key: theirs -> ours`, one a difference."""
    record = run.record
    if record.get("model") != plan.model:
        return [f"model: {record.get('model')} -> {plan.model}"]
    theirs, ours = _flat({key: record.get(key) for key in plan.settings}), _flat(plan.settings)
    found = [
        f"{key}: {_short(theirs.get(key))} -> {_short(ours.get(key))}"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if plan.scheduled and record["steps"] != plan.steps:
        found.append(f"steps, on which the learning rate depends: {record['steps']} -> {plan.steps}")
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    return {prefix[:-1]: _listed(value)}


def _listed(value: Any) -> Any:
    """A value with lists for tuples, as JSON gives them back."""
    return [_listed(each) for each in value] if isinstance(value, tuple | list) else value


def _short(value: Any) -> str:
    """A value in one line that is not too long: a vocabulary has hundreds of symbols."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:60]} ... ({len(value)} in all)"


def _init_from(model: GenerativeModel, source: Path) -> None:
    """Takes the weights of a SavedModel wherever name and shape agree."""
    arrays = saved_weights(source)
    ours = model.weights_by_name()
    taken = [
        key
        for key, variable in ours.items()
        if variable is not model.step and key in arrays and arrays[key].shape == tuple(variable.shape)
    ]
    if not taken:
        raise UsageError(f"--init-from: no weight of {source} fits this model.")
    for key in taken:
        ours[key].assign(arrays[key])
    log.info("%d of %d weights taken from %s", len(taken), len(ours), source)


def make_strategy(strategy: Strategy) -> tf.distribute.Strategy:
    """The tf.distribute strategy of an option.

    Raises:
        UsageError: there is no such strategy.
    """
    gpus, cpus = (tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU"))
    if strategy == "one" or (strategy == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    if strategy not in ("auto", "mirrored"):
        raise UsageError(f"no strategy {strategy!r}: choose auto, one, mirrored or multi-worker.")
    if gpus:
        return tf.distribute.MirroredStrategy([device.name for device in gpus])
    # The default collectives of several CPU devices mix up with those of synchronised BatchNorm.
    return tf.distribute.MirroredStrategy(
        [device.name for device in cpus], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


@contextlib.contextmanager
def policy(precision: str) -> Iterator[None]:
    """Builds layers with a precision, within the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _out_of_memory(plan: Plan, workers: Workers) -> ZooError:
    """Halves the batch until one step fits, and says so."""
    if workers.count > 1:  # the others would have to try as well
        return ZooError(f"Out of memory with --batch-size {plan.batch_size}: use a smaller one.")
    size, strategy = plan.batch_size // 2, workers.strategy
    while size >= strategy.num_replicas_in_sync:
        phases = registry.model_class(plan.model).phases(plan.config)
        examples = plan.settings["dataset"]["examples"]
        timetable = Timetable(phases, examples, size, every_row=plan.counting)
        smaller = dataclasses.replace(plan, batch_size=size, timetable=timetable)
        last = timetable.stretches[-1].start  # the largest networks come last
        try:
            with strategy.scope():
                model = build(smaller)
            model.choose_turns(last)
            model.fit(smaller.batches(1, last), steps_per_epoch=1, shuffle=False, verbose=0)
        except tf.errors.ResourceExhaustedError:
            size //= 2
            continue
        return ZooError(f"Out of memory with --batch-size {plan.batch_size}; --batch-size {size} fits.")
    return ZooError(
        "Out of memory, even with the smallest batch.\n"
        f"Try a smaller --image-size, or another preset of {plan.model}."
    )


def _describe(plan: Plan, run: Run) -> None:
    exists = (run.path / "run.json").exists()
    log.info("%s %s", "would go on with" if exists else "would start", run.path)
    log.info(
        "%s, preset %s, on %s (%d training examples)",
        plan.model,
        plan.preset,
        plan.train.spec,
        len(plan.train),
    )
    log.info(
        "%d steps of %d examples: %.1f epochs",
        plan.steps,
        plan.batch_size,
        plan.timetable.epochs(plan.steps),
    )
    for key, value in _flat(plan.settings).items():
        log.info("  %s = %s", key, _short(value))


def _result_line(run: Run) -> str:
    record = run.record
    if not record["result"]:
        return f"{record['step']} steps in {record['seconds']:.0f} s"
    return ", ".join(
        f"{key} {'not finite' if item['value'] is None else format(item['value'], '.3f')} {item['unit']}"
        for key, item in record["result"].items()
    )


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    packages = ("gmzoo", "tensorflow", "keras", "tensorflow-probability", "numpy")
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _spent(state: State) -> dict[str, Any]:
    """What a run has cost so far, for its record."""
    return {
        "step": state.step,
        "seconds": state.seconds,
        "processor_seconds": state.processor_seconds,
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
