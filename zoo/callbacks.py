"""What happens beside training: logs, validation, pictures, checkpoints, and stopping without loss."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import signal
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from zoo import checkpoints
from zoo.base import GRADIENT_NORM, Assembles, Batch, Conditions, GenerativeModel, Samples
from zoo.data import Data
from zoo.data.order import rows
from zoo.errors import ZooError
from zoo.evaluation.judging import losses, scorer
from zoo.exporting import drawn, full_precision
from zoo.files import replacing
from zoo.noise import RowNoise
from zoo.reports.curves import curves
from zoo.reports.pictures import gif, grid, stacks, write_picture
from zoo.reports.texts import pages
from zoo.runs import Run
from zoo.sampling import NEUTRAL
from zoo.timetable import Place, Timetable
from zoo.workers import Workers

CHECKPOINT_SECONDS = 60.0
#: How often several workers ask one another whether to stop, and the most steps between.
ASK_SECONDS, MOST_UNASKED = 1.0, 1000
#: Those that stop a run when it is saved; where both are heard, the first of them counts.
SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRID_SEEDS = 64
PAGE_SEEDS = 8
#: Images that are translated after each epoch, and the most translations of each.
SHOWN, MOST_ROWS = 8, 12


class Progress(Protocol):
    """What a training run tells while it works; the command line draws it."""

    def start(self, total_steps: int, start_step: int, examples_per_step: int, title: str) -> None: ...
    def step(self, step: int, logs: Mapping[str, float]) -> None: ...
    def epoch(self, epoch: int, summary: Mapping[str, float]) -> None: ...
    def message(self, text: str) -> None: ...
    def finish(self, summary: Mapping[str, float]) -> None: ...


class Stopped(Exception):
    """A signal asked to stop; everything is saved.

    Attributes:
        code: the exit code: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.code = 128 + signum
        self.step = step


@dataclasses.dataclass
class State:
    """What a run knows beside its weights; it goes into every checkpoint.

    Attributes:
        step: steps done.
        totals: of each term since the last line of the log: its sum, and over how many steps.
        best, best_step: the lowest validation value and where.
        stale: epochs since then.
        seconds, processor_seconds: spent training, over all sittings: by the clock, and of all processors,
            which says more where a machine is shared.
        ended: whether early stopping has ended the run.
        watched: of each term that diagnostics read, since the epoch began: the sum (of a gradient that of
            its logarithm), the largest, and over how many steps.
        first_norms: the usual norm of each turn's gradient in the first epoch.
        well: how many looks in a row have found it well, by name of an alarm.
        warnings: those given so far: name, text, step, epoch, and the epoch in which it was over, or None.
        compared: how samples are compared with the data, as was found at the first look: whether with
            `coarse` data, of as many levels as the model; and the `judge` whose features are used: its name,
            path and the hash of its weights, and whether it is gone since; None where there is none.
        drawing: how many examples were drawn last, and the seconds that took; None before the first.
    """

    step: int = 0
    totals: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    ended: bool = False
    watched: dict[str, tuple[float, float, int]] = dataclasses.field(default_factory=dict)
    first_norms: dict[str, float] = dataclasses.field(default_factory=dict)
    well: dict[str, int] = dataclasses.field(default_factory=dict)
    warnings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    compared: dict[str, Any] = dataclasses.field(default_factory=dict)
    drawing: tuple[int, float] | None = None


class Log:
    """`metrics.jsonl`: one line of means an interval, one a validation, one an epoch of diagnostics; and
    TensorBoard events.
    """

    def __init__(self, run: Run, start_step: int) -> None:
        """Cuts both back to `start_step`, so that a resumed run's log is that of an unbroken one."""
        self.path = run.path / "metrics.jsonl"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in map(_parse, lines) if line and line["step"] <= start_step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        for events in (run.path / "tensorboard").glob("events*"):
            _cut_events(events, start_step)
        self.board = tf.summary.create_file_writer(str(run.path / "tensorboard"))

    def write(
        self,
        kind: str,
        step: int,
        epoch: int,
        values: Mapping[str, float | list[float]],
        warnings: Sequence[str] = (),
    ) -> None:
        """Adds one line and its events.

        Args:
            values: by name a number, or several: one for each unit of a code.
            warnings: those that stand; the line has them where there are any.
        """
        line = {"kind": kind, "step": step, "epoch": epoch, **{k: _finite(v) for k, v in values.items()}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "warnings": [*warnings]} if warnings else line) + "\n")
        with self.board.as_default(step=step):
            for name, value in values.items():
                shown, plugin = (
                    (_histogram(value), "histograms")
                    if isinstance(value, list)
                    else (np.float32(value), "scalars")
                )
                tf.summary.write(f"{kind}/{name}", shown, metadata=_plugin(plugin))

    def picture(self, step: int, path: Path) -> None:
        """Adds a PNG file to TensorBoard."""
        with Image.open(path) as image:
            width, height = image.size
        value = np.array([str(width).encode(), str(height).encode(), path.read_bytes()], object)
        with self.board.as_default(step=step):
            tf.summary.write("samples", value, metadata=_plugin("images"))

    def text(self, step: int, text: str, tag: str = "samples") -> None:
        """Adds a text to TensorBoard."""
        with self.board.as_default(step=step):
            tf.summary.write(tag, np.array([text.encode()], object), metadata=_plugin("text"))

    def close(self) -> None:
        self.board.close()


class Unwritten:
    """The log of a worker that writes nothing."""

    def write(self, *_: Any, **__: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _cut_events(path: Path, last_step: int) -> None:
    """Leaves the events of a TensorBoard file up to a step."""
    with (
        replacing(path) as temporary,
        tf.io.TFRecordWriter(str(temporary)) as kept,
        # The last record of a run that was killed while writing it is damaged.
        contextlib.suppress(tf.errors.DataLossError),
    ):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            if tf.compat.v1.Event.FromString(record).step <= last_step:
                kept.write(record)


def _plugin(name: str) -> Any:
    """Says which of TensorBoard's pages shows a value; writing it needs no TensorBoard."""
    data = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=name)
    return tf.compat.v1.SummaryMetadata(plugin_data=data)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None  # the last line of a run that was killed while writing it


def _finite(value: Any) -> Any:
    """A number, or a list of them, as JSON has it: null for what is not finite."""
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _histogram(values: list[float]) -> np.ndarray:
    """What TensorBoard draws a histogram from: left end, right end and count of each bucket, [buckets, 3]."""
    finite = np.array([value for value in values if math.isfinite(value)])
    counts, edges = np.histogram(finite, bins=30)
    return np.stack([edges[:-1], edges[1:], counts], 1)


class Recorder(keras.callbacks.Callback):
    """Counts steps, stops on a loss that is not finite, and writes means to the log."""

    def __init__(
        self,
        state: State,
        log: Log | Unwritten,
        progress: Progress,
        timetable: Timetable,
        tells_epochs: bool,
    ) -> None:
        """
        Args:
            tells_epochs: whether to tell of each epoch, where nobody does who measures something.
        """
        super().__init__()
        self.state, self.log, self.progress = state, log, progress
        self.timetable, self.tells_epochs = timetable, tells_epochs
        self.start_clocks()

    def start_clocks(self) -> None:
        """What has passed until now is not training."""
        self.clock, self.processor_clock = time.monotonic(), time.process_time()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.choose_turns(self.state.step)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        logs = {name: float(value) for name, value in (logs or {}).items()}
        state = self.state
        for turn in self.rescaled():  # it leaves out the step, and takes a smaller scale for the next
            if not math.isfinite(logs.get(turn + GRADIENT_NORM, 0.0)):
                del logs[turn + GRADIENT_NORM]
        if bad := [f"{name}={value}" for name, value in logs.items() if not math.isfinite(value)]:
            raise not_finite(f"{bad[0]} at step {state.step + 1}")
        state.step += 1
        state.seconds += time.monotonic() - self.clock
        state.processor_seconds += time.process_time() - self.processor_clock
        self.start_clocks()
        for name, value in logs.items():  # of the turns that were due
            total, count = state.totals.get(name, (0.0, 0))
            state.totals[name] = total + value, count + 1
        # The norms are told after each epoch: the running line is long without them.
        self.progress.step(state.step, {k: v for k, v in logs.items() if not k.endswith(GRADIENT_NORM)})
        if state.step % max(1, min(100, self.place().stretch.steps_per_epoch // 10)) == 0:
            self.flush()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.flush()
        if self.tells_epochs:
            self.progress.epoch(epoch + 1, {})

    def place(self) -> Place:
        """Where the last step stands."""
        return self.timetable.at(self.state.step - 1)

    def rescaled(self) -> list[str]:
        """The turns whose loss is scaled to fit half precision, which now and then is too much."""
        scaled = keras.optimizers.LossScaleOptimizer
        return [turn for turn, each in self.model.turn_optimizers.items() if isinstance(each, scaled)]

    def flush(self) -> None:
        """Writes the means since the last line."""
        state = self.state
        if state.totals:
            means = {name: total / count for name, (total, count) in state.totals.items()}
            self.log.write("train", state.step, self.place().epoch + 1, means)
            state.totals = {}


class Validator(keras.callbacks.Callback):
    """Scores the validation split after each epoch and keeps the best weights."""

    def __init__(
        self,
        state: State,
        log: Log,
        progress: Progress,
        run: Run,
        data: Any,
        batches: Iterable[Batch],
        batch_size: int,
        patience: int | None,
    ) -> None:
        super().__init__()
        self.state, self.log, self.progress, self.run = state, log, progress, run
        self.data, self.batches, self.batch_size, self.patience = data, batches, batch_size, patience
        self.score: Callable[..., Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        model, state = self.model, self.state
        self.score = self.score or scorer(model)
        with model.evaluation_weights(self.batches), full_precision(model):
            found = losses(self.score, model, self.data, self.batch_size)
            name, value = next(iter(found.items()))
            self.log.write("validation", state.step, epoch + 1, found)
            self.progress.epoch(epoch + 1, {f"validation_{key}": each for key, each in found.items()})
            if state.best is None or value < state.best:
                state.best, state.best_step, state.stale = value, state.step, 0
                meta = {"model": self.run.record["model"], "step": state.step, name: value}
                checkpoints.write(best_weights(self.run), checkpoints.values(model.weights_by_name()), meta)
            else:
                state.stale += 1
        if self.patience and state.stale >= self.patience:
            state.ended = True
            self.progress.message(f"no better validation for {state.stale} epochs: stopping early")


def best_weights(run: Run) -> Path:
    """Where the weights that were best on validation lie."""
    return run.checkpoints / "best.npz"


class Painter(keras.callbacks.Callback):
    """Draws the same seeds after each epoch: a grid of images, or a page of texts."""

    def __init__(
        self,
        state: State,
        log: Log,
        run: Run,
        batches: Iterable[Batch],
        prompts: Iterable[str] = (),
        count: int = GRID_SEEDS,
    ) -> None:
        """
        Args:
            prompts: what a model that draws nothing without one is given.
            count: how many images are drawn, a multiple of `GRID_SEEDS`: those beyond the grid are for those
                who look at `shown`, where all stand that were drawn last, images or texts as bytes.
        """
        super().__init__()
        self.state, self.log, self.run, self.batches = state, log, run, batches
        self.prompts, self.count = prompts, count
        #: Draws in a phase of the model: what is traced in one is not true in the next.
        self.draw: dict[int, Callable[..., Any]] = {}
        self.shown: np.ndarray = np.zeros(0)

    @functools.cached_property
    def patches(self) -> np.ndarray:
        """What a model that assembles is given: the key patches of the first training examples."""
        model: Any = self.model
        found: list[np.ndarray] = []
        with tf.init_scope():  # what asks for them may be traced just now
            for batch in self.batches:
                found.append(model.key_patches(batch[model.modality]).numpy())
                if sum(map(len, found)) >= GRID_SEEDS:
                    break
        return np.concatenate(found)[:GRID_SEEDS]

    def examples(self, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """One example a seed."""
        model: Any = self.model
        noise = RowNoise(seeds)
        if isinstance(self.model, Assembles):  # a sample is made of no patch, and shows the least of it
            patches = tf.gather(self.patches, seeds % len(self.patches))
            return drawn(model, model.assemble(patches, tf.ones(patches.shape[:2], tf.bool), noise)[0])
        if isinstance(self.model, Samples):
            return drawn(model, model.sample(noise))
        prompts = tf.constant(np.resize(np.array([*self.prompts], object), seeds.shape))
        neutral = {
            name: tf.fill(seeds.shape, tf.cast(NEUTRAL[name], spec.dtype))
            for name, spec in model.conditions().items()
            if name != "prompt"
        }
        return drawn(model, model.sample_with(noise, prompt=prompts, **neutral))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        model = self.model
        if model.phase not in self.draw:
            self.draw = {model.phase: tf.function(self.examples, autograph=False)}
        images = model.modality == "image"
        count, rows = (self.count, GRID_SEEDS) if images else (PAGE_SEEDS, PAGE_SEEDS)
        with model.evaluation_weights(self.batches), full_precision(model):
            begun = time.perf_counter()
            parts = [
                self.draw[model.phase](tf.range(start, start + rows, dtype=tf.int64))
                for start in range(0, count, rows)
            ]
            self.state.drawing = count, time.perf_counter() - begun
        ((modality, _),) = parts[0].items()
        self.shown = np.concatenate([part[modality].numpy() for part in parts])
        path = self.run.path / "samples" / f"epoch-{epoch + 1:04d}"
        if modality == "image":
            picture = write_picture(grid(self.shown[:GRID_SEEDS]), path.with_suffix(".png"))
            self.log.picture(self.state.step, picture)
        else:
            page = "".join(pages((text.decode() for text in self.shown), range(count), headed=True))
            with replacing(path.with_suffix(".txt")) as temporary:
                temporary.write_text(page, encoding="utf-8")
            self.log.text(self.state.step, page)


class TranslationPainter(keras.callbacks.Callback):
    """Translates the same training images after each epoch: a row of them, and one for each translation."""

    def __init__(self, state: State, log: Log, run: Run, batches: Iterable[Batch], data: Data) -> None:
        """
        Args:
            batches: for the statistics of averaged weights.
            data: whose images are shown, as many of each domain.
        """
        super().__init__()
        self.state, self.log, self.run, self.batches = state, log, run, batches
        domain = np.asarray(data.fields.get("domain", np.zeros(len(data))))
        domains = np.unique(domain)
        each = max(1, SHOWN // len(domains))
        index = np.concatenate([np.flatnonzero(domain == number)[:each] for number in domains])
        self.images = rows(data, index[:SHOWN])["image"]
        self.translate: Callable[..., Any] | None = None

    def targets(self) -> list[np.ndarray]:
        """What is asked for in each row, int32: each domain, or each value of each attribute."""
        model: Any = self.model
        name, choices = model.asks()
        if name == "domain":
            return [np.full(len(self.images), number, np.int32) for number in range(choices[0])]
        found = []
        for column, values in enumerate(choices):
            for value in range(values):
                asked = np.full((len(self.images), len(choices)), -1, np.int32)
                asked[:, column] = value
                found.append(asked)
        return found[:MOST_ROWS]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        model: Any = self.model
        self.translate = self.translate or tf.function(model.translate, autograph=False)
        with model.evaluation_weights(self.batches), full_precision(model):
            shown = [self.translate(tf.constant(self.images), each).numpy() for each in self.targets()]
        path = self.run.path / "samples" / f"epoch-{epoch + 1:04d}.png"
        picture = write_picture(stacks(self.images, *shown, columns=len(self.images)), path)
        self.log.picture(self.state.step, picture)


def draw_results(run: Run) -> None:
    """Draws `curves.png`, and `samples/progress.gif` from the grids of the epochs."""
    curves(run.path / "metrics.jsonl", run.path / "curves.png")
    grids = sorted((run.path / "samples").glob("epoch-*.png"))
    if grids:
        shown = (
            grids if len(grids) <= 60 else [grids[i] for i in np.linspace(0, len(grids) - 1, 60).astype(int)]
        )
        gif([Image.open(path) for path in shown], run.path / "samples" / "progress.gif")


class Checkpointer(keras.callbacks.Callback):
    """Saves after each epoch, every minute, and before a signal ends the run. It stands last.

    The last step of an epoch is not saved before the epoch's validation and picture are done: a run that goes
    on from there would never make them.
    """

    def __init__(
        self, state: State, run: Run | None, recorder: Recorder, steps: int, workers: Workers
    ) -> None:
        """
        Args:
            run: to save in; None in a worker that writes nothing.
            steps: of the whole run.
            workers: all that train; they stop together.
        """
        super().__init__()
        self.state, self.run, self.recorder, self.steps = state, run, recorder, steps
        self.workers = workers
        self.saved = self.asked = time.monotonic()
        self.asked_at, self.ask_at = state.step, state.step + 1
        #: The signal that this process has heard, and the one that all workers obey.
        self.own: int | None = None
        self.signum: int | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = self.state.step
        if self.recorder.place().left == 1 or step == self.steps:
            return
        if self.workers.count == 1 or step >= self.ask_at:
            self.agree()
        if self.signum is not None or time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self.save()
        self.stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.recorder.start_clocks()  # validation and pictures are not training
        self.save()
        self.agree()
        self.stop_if_asked()

    def agree(self) -> None:
        """Lets all workers know what one has heard, and whether the chief has ended the run.

        A question costs milliseconds, so they ask about every `ASK_SECONDS`: the chief says at which step.
        """
        if self.workers.count == 1:
            self.signum = self.own
            return
        now, state = time.monotonic(), self.state
        pace = (now - self.asked) / max(1, state.step - self.asked_at)
        pause = max(1, min(MOST_UNASKED, int(ASK_SECONDS / pace)))
        chief = self.workers.chief
        pause, ended, *heard = self.workers.agreed(
            pause if chief else 0, int(state.ended and chief), *(self.own == each for each in SIGNALS)
        )
        self.signum = next((each for each, count in zip(SIGNALS, heard, strict=True) if count), None)
        state.ended = bool(ended)
        self.asked, self.asked_at, self.ask_at = now, state.step, state.step + pause

    def stop_if_asked(self) -> None:
        """Raises Stopped where a signal was heard; what it was heard in is saved."""
        if self.signum is not None:
            raise Stopped(self.signum, self.state.step)

    def save(self) -> None:
        """Writes a checkpoint, unless a weight is not finite: then the last good one stays."""
        if self.run is None:
            return
        arrays = checkpoints.values(self.model.state())
        if any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in arrays.values()):
            raise not_finite(f"a weight at step {self.state.step}")
        meta = {"model": self.run.record["model"], **dataclasses.asdict(self.state)}
        checkpoints.save(self.run.checkpoints, self.state.step, arrays, meta)
        with contextlib.suppress(OSError):  # a full disk; the record is for those who look on
            spent = {"seconds": self.state.seconds, "processor_seconds": self.state.processor_seconds}
            seen = {"warnings": self.state.warnings, "compared": self.state.compared}
            self.run.update(step=self.state.step, **spent, **seen)
        self.saved = time.monotonic()

    def heard(self, signum: int, frame: types.FrameType | None) -> None:
        """Remembers a signal until the step or epoch is done; a second one ends at once."""
        if self.own is not None:
            raise KeyboardInterrupt
        self.own = signum


@contextlib.contextmanager
def signals(heard: Callable[[int, types.FrameType | None], None]) -> Iterator[None]:
    """Gives SIGINT and SIGTERM to a handler, within the block; in other threads than the main one to none."""
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for signum in SIGNALS:
            handlers[signum] = signal.signal(signum, heard)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def not_finite(what: str) -> ZooError:
    """The error of a run that diverged."""
    return ZooError(
        f"Training diverged: {what} is not finite. The last good checkpoint is kept.\n"
        "Try a smaller step: --set learning_rate=1e-4 --new."
    )


def sampled(model: GenerativeModel) -> bool:
    """Whether a grid or a page of the model's samples can be drawn."""
    if isinstance(model, Samples | Assembles):
        return model.modality == "image" or bool(model.vocabulary)
    return isinstance(model, Conditions) and "prompt" in model.conditions()
