"""Training: from a name and a few options to a finished run that describes itself.

`plan` resolves what will be trained, on what, for how long; `train` finds the run that it belongs to (a new
one, or one to resume), fits, and writes the result: metrics, pictures, a SavedModel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo import checkpoints, registry
from zoo import data as datasets
from zoo.base import ExactLikelihood, GenerativeModel, LikelihoodBound, configure
from zoo.callbacks import (
    Checkpointer,
    Log,
    Painter,
    Progress,
    Recorder,
    State,
    Stopped,
    Validator,
    best_weights,
    draw_results,
    sampled,
)
from zoo.errors import UsageError, ZooError, nearest
from zoo.evaluation.likelihood import log_probs, scorer, summary
from zoo.exporting import export, saved_weights
from zoo.runs import Run, all_runs, next_run, runs_dir

log = logging.getLogger("gmzoo")

Strategy = Literal["auto", "one", "mirrored"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

VALIDATION_BATCH = 500
IMPORTANCE_SAMPLES = 50
FIRST_EXAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides what a run computes, resolved.

    Attributes:
        model, preset: names.
        settings: plain values that two runs must share to be the same run.
        config: of the model.
        train, validation: the data; no validation for models without a likelihood.
        steps: how many steps in all; steps_per_epoch: how many are an epoch.
        scheduled: whether a schedule depends on `steps`.
    """

    model: str
    preset: str
    settings: dict[str, Any]
    config: Any
    train: datasets.Data
    validation: datasets.Data | None
    steps: int
    steps_per_epoch: int
    scheduled: bool
    batch_size: int
    seed: int


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
) -> Plan:
    """Resolves options over the preset, and the data over both.

    Raises:
        UsageError: something unknown or impossible was asked for.
    """
    preset, base = registry.preset(name, preset)
    if epochs is not None and steps is not None:
        raise UsageError("Give --epochs or --steps, not both.")
    for option, value in (("--epochs", epochs), ("--steps", steps), ("--batch-size", batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"{option} must be at least 1.")
    if seed < 0:
        raise UsageError("--seed must not be negative.")
    model_class = registry.model_class(name)
    config_class = model_class.config_class()
    changed, optimizers = _split_settings(settings or {}, base["optimizers"], config_class)
    configure(config_class, {**base["config"], **changed})  # before any data is prepared
    spec = dataset or base["dataset"]
    if image_size is None and spec.startswith("folder:"):
        # Own pictures come in any size; the preset knows what its networks are made for.
        image_size = base.get("image_size", 28)
        log.info("images are resized to %dx%d (--image-size changes it)", image_size, image_size)
    options: dict[str, Any] = {
        "image_size": image_size,
        "data_dir": data_dir,
        "limit": limit,
        "skip_bad": skip_bad,
    }
    train = datasets.load(spec, "train", **options)
    train.require(model_class.modality)
    config = configure(config_class, _fitted({**base["config"], **changed}, config_class, train))
    if getattr(config, "classes", 0):
        train.require("label")
    judged = issubclass(model_class, ExactLikelihood | LikelihoodBound)
    validation = datasets.load(spec, "validation", **options) if judged else None
    batch = batch_size or base["batch_size"]
    if len(train) < batch:
        log.info("%s has %d training examples: the batch has as many", spec, len(train))
        batch = len(train)
    per_epoch = len(train) // batch
    if steps is None and epochs is None:
        steps, epochs = base.get("steps"), base.get("epochs")
    total = steps if steps is not None else (epochs or 0) * per_epoch
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
                "examples": len(train),
            },
            "batch_size": batch,
            "seed": seed,
            "optimizers": optimizers,
            "averages": base.get("averages", {}),
            "patience": base.get("patience"),
            "precision": precision or base.get("precision", "float32"),
            "jit": base.get("jit", False) if jit is None else jit,
            "init_from": init_from,
        },
        config=config,
        train=train,
        validation=validation,
        steps=total,
        steps_per_epoch=per_epoch,
        scheduled=any(isinstance(o.get("learning_rate"), dict) for o in optimizers.values()),
        batch_size=batch,
        seed=seed,
    )


def _split_settings(
    settings: Mapping[str, Any], optimizers: Mapping[str, Mapping[str, Any]], config_class: type
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """`KEY=` is an option of the model, `learning_rate=` of every optimizer, `TURN.KEY=` of one turn's."""
    changed: dict[str, Any] = {}
    tuned = {turn: dict(values) for turn, values in optimizers.items()}
    for key, value in settings.items():
        turn, _, option = key.rpartition(".")
        if key == "learning_rate" or turn in tuned:
            for values in [tuned[turn]] if turn else tuned.values():
                values[option] = value
            if option == "learning_rate" and (
                isinstance(value, bool) or not isinstance(value, int | float | dict)
            ):
                raise UsageError(f"{key}={value!r}: must be a number.")
        elif turn:
            raise UsageError(f"no turn {turn!r}; this model has {', '.join(tuned)}.{nearest(turn, tuned)}")
        else:
            changed[key] = value
    for turn, values in tuned.items():
        make_optimizer(turn, values, 1)  # names a wrong option before any work is done
    valid = {field.name for field in dataclasses.fields(config_class)} | {"learning_rate"}
    for key in changed:
        if key not in valid:
            raise UsageError(f"no option {key!r}; valid: {', '.join(sorted(valid))}.{nearest(key, valid)}")
    return changed, tuned


def _fitted(values: dict[str, Any], config_class: type, data: datasets.Data) -> dict[str, Any]:
    """The options that the data decides: the shape of an example, the number of classes."""
    fields = {field.name for field in dataclasses.fields(config_class)}
    if "image_shape" in fields:
        values["image_shape"] = [int(n) for n in data.fields["image"].shape[1:]]
    if values.get("classes"):
        data.require("label")
        values["classes"] = len(data.info.class_names)
    return values


def make_optimizer(turn: str, values: Mapping[str, Any], steps: int) -> keras.optimizers.Optimizer:
    """An optimizer from a preset's literal: its name, its options, and perhaps a schedule.

    Args:
        turn: for errors.
        values: `{"name": "adam", "learning_rate": 1e-3, ...}`; the rate may be
            `{"schedule": "cosine", "start": 1e-3, "end": 0.0, "warmup": 100}`: a linear rise over `warmup`
            steps, then half a cosine down to `end` at the last step.
        steps: of the whole run.

    Raises:
        UsageError: an unknown optimizer or option.
    """
    options = {key: value for key, value in values.items() if key != "name"}
    rate = options.get("learning_rate")
    if isinstance(rate, dict):
        warmup = min(rate.get("warmup", 0), steps - 1)
        options["learning_rate"] = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else rate["start"],
            decay_steps=max(1, steps - warmup),
            alpha=rate.get("end", 0.0) / rate["start"],
            warmup_target=rate["start"] if warmup else None,
            warmup_steps=warmup,
        )
    try:
        return keras.optimizers.get({"class_name": values["name"], "config": options})
    except (TypeError, ValueError) as error:
        raise UsageError(f"the optimizer of turn {turn!r} cannot be made: {error}") from error


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
        strategy: `auto` takes all GPUs, `one` one device, `mirrored` all devices.
        dry_run: say what would be done, and do nothing.
        progress: is told what happens.
        runs: where runs live; GMZOO_RUNS or ./runs by default.
        **options: those of `plan`.

    Returns:
        The run; None for a dry run.

    Raises:
        UsageError: something unknown or impossible was asked for.
        ZooError: training failed; what was reached is kept.
        Stopped: a signal asked to stop; everything is saved.
    """
    progress = progress or Quiet()
    devices = make_strategy(strategy)
    resolved = plan(name, **options)
    replicas = devices.num_replicas_in_sync
    if resolved.batch_size % replicas:
        raise UsageError(f"--batch-size {resolved.batch_size} does not divide among {replicas} devices.")
    run = _choose_run(resolved, Path(run_dir) if run_dir else None, runs_dir(runs), new)
    if dry_run:
        _describe(resolved, run)
        return None
    with run.held(), policy(resolved.settings["precision"]):
        try:
            return _train(resolved, run, devices, progress)
        except tf.errors.ResourceExhaustedError as error:
            raise _out_of_memory(resolved, devices) from error


def _train(plan: Plan, run: Run, strategy: tf.distribute.Strategy, progress: Progress) -> Run:
    found = checkpoints.newest(run.checkpoints, plan.model) if run.checkpoints.exists() else None
    state = State()
    if found:
        fields = {field.name for field in dataclasses.fields(State)}
        state = State(**{key: value for key, value in found[1].items() if key in fields})
    done = state.step >= plan.steps or state.ended
    if done and run.saved_model and run.record["status"] == "finished":
        progress.message(f"{run.path} is finished: {_result_line(run)}")
        return run
    run.update(
        **{
            key: plan.settings[key]
            for key in ("model", "preset", "config", "seed", "batch_size", "optimizers")
        },
        dataset=plan.settings["dataset"],
        settings=plan.settings,
        steps=plan.steps,
        epochs=plan.steps / plan.steps_per_epoch,
        status="running",
        command=shlex.join(["gmzoo", *sys.argv[1:]]) if Path(sys.argv[0]).stem == "gmzoo" else None,
        versions=versions(),
        started=run.record["started"] if (run.path / "run.json").exists() else _now(),
    )
    with strategy.scope():
        model = build(plan)
        first = next(iter(datasets.batches(plan.train, min(len(plan.train), FIRST_EXAMPLES), seed=plan.seed)))
        if found:
            checkpoints.assign(model.state(), found[0])
            progress.message(f"resuming {run.path} at step {state.step} of {plan.steps}")
        elif plan.settings["init_from"]:
            _init_from(model, plan.settings["init_from"], run.path.parent)
        else:
            model.begin(first)
    _fit(plan, run, model, state, progress)
    metrics = _finish(plan, run, model)
    run.update(status="finished", result=metrics, seconds=state.seconds, step=state.step, finished=_now())
    progress.finish({key: value["value"] for key, value in metrics.items()})
    return run


def build(plan: Plan) -> GenerativeModel:
    """The model of a plan, compiled, with fresh weights that are a function of the seed."""
    keras.utils.set_random_seed(plan.seed)
    model = registry.model_class(plan.model)(plan.config)
    half = plan.settings["precision"] == "mixed_float16"
    made = {
        turn: make_optimizer(turn, values, plan.steps) for turn, values in plan.settings["optimizers"].items()
    }
    model.compile(
        {turn: keras.optimizers.LossScaleOptimizer(made[turn]) if half else made[turn] for turn in made},
        seed=plan.seed,
        averages=plan.settings["averages"],
        jit_compile=plan.settings["jit"],
    )
    return model


def _fit(plan: Plan, run: Run, model: GenerativeModel, state: State, progress: Progress) -> None:
    events = Log(run, state.step)
    batch = next(iter(datasets.batches(plan.train, plan.batch_size, seed=plan.seed, steps=1)))
    recorder = Recorder(state, events, progress, plan.steps_per_epoch)
    callbacks: list[keras.callbacks.Callback] = [recorder]
    if plan.validation is not None:
        patience = plan.settings["patience"]
        size = min(VALIDATION_BATCH, len(plan.validation))
        callbacks.append(Validator(state, events, progress, run, plan.validation, batch, size, patience))
    if sampled(model):
        callbacks.append(Painter(state, events, run, batch))
    checkpointer = Checkpointer(state, run, recorder)
    callbacks.append(checkpointer)
    title = f"{plan.model} ({plan.preset}) on {plan.train.spec}"
    progress.start(plan.steps, state.step, plan.batch_size, title)
    try:
        with checkpointer:
            while state.step < plan.steps and not state.ended:
                epoch, position = divmod(state.step, plan.steps_per_epoch)
                count = min(plan.steps_per_epoch - position, plan.steps - state.step)
                recorder.clock = time.monotonic()
                model.fit(
                    datasets.batches(
                        plan.train, plan.batch_size, seed=plan.seed, start_step=state.step, steps=count
                    ),
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    steps_per_epoch=count,
                    shuffle=False,
                    verbose=0,
                    callbacks=callbacks,
                )
    except (Stopped, ZooError):
        run.update(status="stopped", seconds=state.seconds, step=state.step)
        raise
    finally:
        events.close()


def _finish(plan: Plan, run: Run, model: GenerativeModel) -> dict[str, Any]:
    """Takes the weights that count, scores them on the test split, draws, and exports."""
    metrics: dict[str, Any] = {}
    batch = next(iter(datasets.batches(plan.train, plan.batch_size, seed=plan.seed, steps=1)))
    with model.evaluation_weights(batch):
        if plan.validation is not None:
            arrays, _ = checkpoints.read(best_weights(run))
            checkpoints.assign(model.weights_by_name(), arrays)
            metrics = measure(model, _split(plan, "test"))
        draw_results(run)
        path = run.path / "saved_model" / str(int(run.saved_model.name) + 1 if run.saved_model else 1)
        export(model, path, card(plan, run, model, metrics))
    return metrics


def measure(model: GenerativeModel, data: datasets.Data) -> dict[str, Any]:
    """The likelihood of `data`: exact; or the evidence lower bound and the importance-weighted one."""
    size = min(VALIDATION_BATCH, len(data))
    if isinstance(model, ExactLikelihood):
        return summary(log_probs(scorer(model), model, data, size), model, data, "log_prob", "exact")
    elbo = summary(log_probs(scorer(model), model, data, size), model, data, "elbo", "bound")
    tighter = log_probs(scorer(model, IMPORTANCE_SAMPLES), model, data, size)
    return {**elbo, **summary(tighter, model, data, f"iwae_{IMPORTANCE_SAMPLES}", "bound")}


def _split(plan: Plan, split: str) -> datasets.Data:
    chosen = plan.settings["dataset"]
    return datasets.load(chosen["spec"], split, image_size=chosen["image_size"], limit=chosen["limit"])


def export_unfinished(run: Run) -> Path:
    """Exports what an unfinished run has reached: its best weights on validation, else its newest checkpoint.

    Returns:
        The SavedModel's folder, in `unfinished/<step>` of the run; made once for each step.

    Raises:
        ZooError: the run has no checkpoint yet.
    """
    record = run.record
    settings = record["settings"]
    found = checkpoints.newest(run.checkpoints, record["model"])
    if found is None:
        raise ZooError(f"{run.path} has no checkpoint yet. Go on with it: {record['command']}")
    arrays, meta = found
    path = run.path / "unfinished" / str(meta["step"])
    if not path.exists():
        chosen = settings["dataset"]
        resolved = plan(
            record["model"],
            preset=record["preset"],
            dataset=chosen["spec"],
            image_size=chosen["image_size"],
            limit=chosen["limit"],
            steps=record["steps"],
            batch_size=settings["batch_size"],
            seed=settings["seed"],
            settings=_settings_of(settings),
        )
        with policy(settings["precision"]):
            model = build(resolved)
            checkpoints.assign(model.state(), arrays)
            batch = next(
                iter(datasets.batches(resolved.train, resolved.batch_size, seed=resolved.seed, steps=1))
            )
            with model.evaluation_weights(batch):
                if best_weights(run).exists():
                    checkpoints.assign(model.weights_by_name(), checkpoints.read(best_weights(run))[0])
                export(model, path, card(resolved, run, model, {}))
    log.info(
        "%s is unfinished: using what it had reached at step %d of %d",
        run.path,
        meta["step"],
        record["steps"],
    )
    return path


def _settings_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options that give a run's config and optimizers again."""
    tuned = {
        f"{turn}.{key}": value
        for turn, values in settings["optimizers"].items()
        for key, value in values.items()
        if key != "name"
    }
    return {**settings["config"], **tuned}


def card(plan: Plan, run: Run, model: GenerativeModel, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What a model card says of a run."""
    info = plan.train.info
    return {
        "schema": 1,
        "model": plan.model,
        "preset": plan.preset,
        **registry.card(plan.model),
        "config": plan.settings["config"],
        "dataset": {
            **plan.settings["dataset"],
            "levels": info.levels,
            "class_names": list(info.class_names),
            "notes": list(info.notes),
        },
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "steps": plan.steps,
        "command": run.record["command"],
        "versions": run.record["versions"],
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "metrics": dict(metrics),
    }


def _choose_run(plan: Plan, given: Path | None, folder: Path, new: bool) -> Run:
    """The run that these settings belong to: a given directory, the newest equal run, or a new one."""
    if given is not None:
        run = Run(given)
        if not (given / "run.json").exists():
            if given.exists() and any(given.iterdir()):
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
    theirs, ours = _flat(record["settings"]), _flat(plan.settings)
    found = [
        f"{key}: {theirs.get(key)} -> {ours.get(key)}"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if plan.scheduled and record["steps"] != plan.steps:
        found.append(f"steps, on which the learning rate depends: {record['steps']} -> {plan.steps}")
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    return {prefix[:-1]: list(value) if isinstance(value, tuple) else value}


def _init_from(model: GenerativeModel, source: str, folder: Path) -> None:
    """Takes the weights of another model wherever name and shape agree."""
    resolved = registry.resolve(source, folder)
    arrays = saved_weights(resolved.path)
    ours = model.weights_by_name()
    taken = [
        key
        for key, variable in ours.items()
        if key in arrays and arrays[key].shape == tuple(variable.shape) and not key.endswith("_step")
    ]
    if not taken:
        raise UsageError(f"--init-from {source}: no weight there fits this model.")
    for key in taken:
        ours[key].assign(arrays[key])
    log.info("%d of %d weights taken from %s", len(taken), len(ours), resolved.path)


def make_strategy(strategy: Strategy) -> tf.distribute.Strategy:
    """The tf.distribute strategy of an option.

    Raises:
        UsageError: there is no such strategy.
    """
    gpus, cpus = (tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU"))
    if strategy == "one" or (strategy == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    if strategy not in ("auto", "mirrored"):
        raise UsageError(f"no strategy {strategy!r}: choose auto, one or mirrored.")
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


def _out_of_memory(plan: Plan, strategy: tf.distribute.Strategy) -> ZooError:
    """Halves the batch until one step fits, and says so."""
    size = plan.batch_size // 2
    while size >= strategy.num_replicas_in_sync:
        smaller = dataclasses.replace(plan, batch_size=size)
        try:
            with strategy.scope():
                model = build(smaller)
            data = datasets.batches(plan.train, size, seed=plan.seed, steps=1)
            model.fit(data, steps_per_epoch=1, shuffle=False, verbose=0)
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
        "%d steps of %d examples: %.1f epochs", plan.steps, plan.batch_size, plan.steps / plan.steps_per_epoch
    )
    for key, value in _flat(plan.settings).items():
        log.info("  %s = %s", key, value)


def _result_line(run: Run) -> str:
    record = run.record
    if not record["result"]:
        return f"{record['step']} steps in {record['seconds']:.0f} s"
    return ", ".join(f"{key} {item['value']:.3f} {item['unit']}" for key, item in record["result"].items())


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    packages = ("gmzoo", "tensorflow", "keras", "tensorflow-probability", "numpy")
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
