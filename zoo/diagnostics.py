"""What is looked at after each epoch beside the losses, and the warnings where a line is crossed.

A `Watch` looks at one thing: gradients, a discriminator, samples beside the data, the units of a code. What
it finds goes to the terminal and the log. A warning is told once when its line is crossed and once when it is
over; it stands in the run's record, and in the checkpoint: a resumed run warns as an unbroken one.
"""

from __future__ import annotations

import abc
import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.base import GRADIENT_NORM, Batch, Counts, Decodes, Encodes, GenerativeModel, LikelihoodBound
from zoo.callbacks import GRID_SEEDS, Log, Painter, Progress, State
from zoo.data import Data, in_order, rounded
from zoo.data.order import rows
from zoo.errors import ZooError
from zoo.evaluation import alarms, codes, diversity, extractors
from zoo.evaluation.posteriors import code_use
from zoo.exporting import full_precision

log = logging.getLogger("gmzoo")

#: The term by which models with a discriminator say how often it is right.
ACCURACY = "discriminator_accuracy"
#: Real examples that samples are compared with, and the most samples that are.
EXAMPLES = 256
#: One sample for so many examples of an epoch, so that looking costs little where epochs are short.
EXAMPLES_PER_SAMPLE = 16
#: Examples of the validation split that are encoded, and how many at a time.
ENCODED, ENCODED_ROWS = 2000, 500
#: Groups of texts of the data, each as many as are drawn, that say how varied text is.
GROUPS = 8
#: Steps before which nothing is warned of: a model that has hardly begun draws nothing yet.
WARM_UP = 50
#: The same of what takes longer to learn; what was well at `SURE` looks in a row is warned of from then on.
LEARNING = {"recall": 2000, "classes": 2000}
#: Of few samples of a model that is still learning, one look may be lucky.
SURE = 3
# The logarithm of a gradient that is 0.
SMALLEST = 1e-30


@dataclasses.dataclass(frozen=True)
class Found:
    """What a watch found in an epoch.

    Attributes:
        values: for the log, by name: a number, or one for each unit.
        warnings: by name of an alarm what it says, None where all is well.
        told: the values in a few words.
    """

    values: dict[str, float | list[float]]
    warnings: dict[str, str | None]
    told: str


class Watch(abc.ABC):
    """Looks at one thing after each epoch."""

    @abc.abstractmethod
    def look(self, model: Any, state: State) -> Found | None:
        """What there is to see; None where there is nothing."""


class Gradients(Watch):
    """The norm of the gradient of each turn: the largest of the epoch, and the usual one, a geometric mean.

    The arithmetic mean would follow the few large ones that are looked for.
    """

    def look(self, model: Any, state: State) -> Found | None:
        values: dict[str, float | list[float]] = {}
        warnings: dict[str, str | None] = {}
        told = []
        for name, (logarithms, largest, count) in state.watched.items():
            if not name.endswith(GRADIENT_NORM):
                continue
            turn = name.removesuffix(GRADIENT_NORM)
            usual = math.exp(logarithms / count)
            usual = usual if usual > 10 * SMALLEST else 0.0
            first = state.first_norms.setdefault(turn, usual)
            values[f"{turn}_largest_gradient"] = largest
            warnings[f"{turn} gradient vanished"] = alarms.vanished(turn, usual, first)
            warnings[f"{turn} gradient exploded"] = alarms.exploded(turn, largest, usual)
            told.append(f"{turn} {usual:.2g}")
        return Found(values, warnings, f"gradients: {', '.join(told)}") if told else None


class Discriminator(Watch):
    """How often a discriminator was right in the epoch."""

    def look(self, model: Any, state: State) -> Found | None:
        if ACCURACY not in state.watched:
            return None
        total, _, count = state.watched[ACCURACY]
        share = total / count
        # A hinge has no labels to smooth.
        hinge = getattr(model.config, "loss", None) == "hinge"
        smoothing = None if hinge else getattr(model.config, "smoothing", None)
        # The term itself is in the log of each interval.
        return Found(
            {}, {"discriminator": alarms.discriminator(share, smoothing)}, f"discriminator: {share:.0%} right"
        )


class Pictures(Watch):
    """The images that were drawn, beside the data."""

    def __init__(self, painter: Painter, data: Data, seed: int, runs: Path) -> None:
        """
        Args:
            painter: has drawn them.
            data: that the model is trained on.
            seed: chooses the examples that are compared with.
            runs: where a classifier of these data may have been trained.
        """
        self.painter, self.data, self.seed, self.runs = painter, data, seed, runs
        self.reference: diversity.Reference | None = None

    def look(self, model: Any, state: State) -> Found | None:
        if model.phase + 1 < len(model.first_steps):
            return None  # it is still growing: the data are larger than what it draws
        samples = self.painter.shown
        if self.reference is None:
            self.reference = self.compared(model, samples, state)
        values = self.reference.compare(samples)
        warnings = {"spread": alarms.spread(values["sample_spread"])}
        told = [f"spread {values['sample_spread']:.2f}"]
        if "sample_recall" in values:
            warnings["recall"] = alarms.recall(values["sample_recall"])
            told.append(f"recall {values['sample_recall']:.2f}")
        if known := self.reference.classes:
            covered = int(values["classes_covered"])
            warnings["classes"] = alarms.classes(covered, known, len(samples))
            told.insert(0, f"{covered} of {known} classes")
        return Found({**values}, warnings, f"samples: {', '.join(told)}")

    def compared(self, model: Any, samples: np.ndarray, state: State) -> diversity.Reference:
        """What the samples are compared with: chosen at the first look, and the same after a stop."""
        if not state.compared:
            # A model of black and white pixels is compared with data of them; one of shades is not.
            coarse = bool(model.levels) and np.allclose(samples, rounded(samples, model.levels))
            state.compared = {"coarse": coarse, "judge": self._judge()}
        chosen = np.random.Generator(np.random.Philox([self.seed, EXAMPLES])).permutation(len(self.data))
        real = rows(self.data, np.sort(chosen[:EXAMPLES]))["image"]
        if state.compared["coarse"]:
            real = rounded(real, model.levels)
        extractor = None
        judge = state.compared["judge"]
        if judge and not judge["gone"]:
            try:
                extractor = extractors.again(Path(judge["path"]), judge["weights"])
            except ZooError as error:
                log.warning(
                    "%s From here on samples are compared with the data by their pixels alone.", error
                )
                judge["gone"] = True
        classes = extractor is not None and extractors.knows_classes(extractor, self.data.info)
        return diversity.Reference(real, extractor, classes)

    def _judge(self) -> dict[str, Any] | None:
        """The classifier of these data, as the state holds it."""
        shape = self.data.fields["image"].shape[1:]
        try:
            found = extractors.own(self.data.spec, self.data.info, shape, self.runs)
        except ZooError as error:
            log.warning("%s Samples are compared with the data by their pixels alone.", error)
            return None
        if found is None:
            return None
        path = str(found.model.path.resolve())
        return {"name": found.name, "path": path, "weights": found.weights_hash, "gone": False}


class Texts(Watch):
    """The texts that were drawn, beside the data."""

    def __init__(self, painter: Painter, data: Data, seed: int) -> None:
        self.painter, self.data, self.seed = painter, data, seed
        self.real: list[str] = []

    def look(self, model: Any, state: State) -> Found | None:
        texts = [text.decode() for text in self.painter.shown]
        if not self.real:
            chosen = np.random.Generator(np.random.Philox([self.seed, GROUPS])).permutation(len(self.data))
            chosen = chosen[: GROUPS * len(texts)]
            if "text" in self.data.fields:
                self.real = [str(text) for text in self.data.fields["text"][chosen]]
            else:
                symbols = np.array([*self.data.info.vocabulary])
                self.real = ["".join(symbols[row[row >= 0]]) for row in self.data.fields["tokens"][chosen]]
        ratio = diversity.distinct_beside(texts, self.real)
        if ratio is None:
            return None
        return Found({"distinct_text": ratio}, {"texts": alarms.texts(ratio)}, f"texts: distinct {ratio:.2f}")


class Code(Watch):
    """The units of a code with a standard normal prior, over the validation split."""

    def __init__(self, data: Data, batches: Iterable[Batch]) -> None:
        """
        Args:
            data: the validation split.
            batches: for the statistics of averaged weights.
        """
        self.data = dataclasses.replace(data, fields={k: v[:ENCODED] for k, v in data.fields.items()})
        self.batches = batches
        self.encode: Any = None

    def look(self, model: Any, state: State) -> Found | None:
        self.encode = self.encode or codes.looker(model)
        with model.evaluation_weights(self.batches), full_precision(model):
            examples = (batch[model.modality] for batch in in_order(self.data, ENCODED_ROWS))
            found = code_use(map(self.encode, examples), len(codes.gaussian_units(model)))
        active, count = int(found.active.sum()), len(found.active)
        return Found(
            {"active_units": active, "kl_per_unit": found.unit_kl.tolist()},
            {"code": alarms.units(active, count)},
            f"code: {active} of {count} units active, {found.unit_kl.sum():.3g} nats",
        )


def watches(
    model: GenerativeModel,
    train: Data,
    validation: Data | None,
    painter: Painter | None,
    batches: Iterable[Batch],
    seed: int,
    runs: Path,
) -> list[Watch]:
    """What there is to watch of a model, by what it can.

    Args:
        model: that is trained.
        train, validation: its data.
        painter: draws its samples; None where it has none to show.
        batches: for the statistics of averaged weights.
        seed: of the run.
        runs: where it stands among others.
    """
    found: list[Watch] = [Gradients(), Discriminator()]
    if painter is not None and not isinstance(model, Counts):  # what only counts cannot collapse
        images = model.modality == "image"
        found.append(Pictures(painter, train, seed, runs) if images else Texts(painter, train, seed))
    bounded = isinstance(model, Encodes) and isinstance(model, LikelihoodBound)
    if bounded and validation is not None and len(codes.gaussian_units(model)):
        found.append(Code(validation, batches))
    return found


def samples_to_watch(model: GenerativeModel, examples: int) -> int:
    """How many images to draw: what is drawn value after value is slow, and only the grid is looked at.

    Args:
        model: that draws.
        examples: of an epoch.
    """
    wanted = min(EXAMPLES, examples // EXAMPLES_PER_SAMPLE) if isinstance(model, Decodes) else 0
    return max(GRID_SEEDS, wanted - wanted % GRID_SEEDS)


class Diagnostics(keras.callbacks.Callback):
    """Asks the watches after each epoch, logs what they found, and warns. It stands behind those who draw."""

    def __init__(self, state: State, events: Log, progress: Progress, watching: Sequence[Watch]) -> None:
        super().__init__()
        self.state, self.events, self.progress, self.watching = state, events, progress, watching

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            gradient = name.endswith(GRADIENT_NORM)
            if math.isfinite(value) and (gradient or name == ACCURACY):
                total, largest, count = self.state.watched.get(name, (0.0, 0.0, 0))
                total += math.log(max(value, SMALLEST)) if gradient else float(value)
                self.state.watched[name] = total, max(largest, float(value)), count + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        state = self.state
        found = [each for watch in self.watching if (each := watch.look(self.model, state))]
        state.watched = {}
        if not found:
            return
        said = {name: text for each in found for name, text in each.warnings.items()}
        for name, text in said.items():
            if state.well.get(name, 0) < SURE:
                state.well[name] = 0 if text else state.well.get(name, 0) + 1
        young = [name for name in said if state.step < LEARNING.get(name, WARM_UP)]
        unsure = [name for name in young if state.well[name] < SURE]
        said = {name: None if name in unsure else text for name, text in said.items()}
        new = self._tell(epoch + 1, said)
        values = {name: value for each in found for name, value in each.values.items()}
        standing = [text for text in said.values() if text]
        self.events.write("diagnostics", state.step, epoch + 1, values, standing)
        if new:
            self.events.text(state.step, "\n\n".join(new), "warnings")
        self.progress.message("  " + "; ".join(each.told for each in found))

    def _tell(self, epoch: int, said: Mapping[str, str | None]) -> list[str]:
        """Tells of warnings that are new or over; gives the new ones."""
        standing = {each["name"]: each for each in self.state.warnings if each["over"] is None}
        new = []
        for name, text in said.items():
            if text and name not in standing:
                log.warning("epoch %d: %s", epoch, text)
                at = {"step": self.state.step, "epoch": epoch}
                self.state.warnings.append({"name": name, "text": text, **at, "over": None})
                new.append(text)
            elif not text and name in standing:
                before = standing[name]
                before["over"] = epoch
                what = before["text"].split(" (the line")[0]
                self.progress.message(f"epoch {epoch}: over, the warning of epoch {before['epoch']}: {what}")
        return new
