"""Learning rates that change with the step, and optimizers from a preset's plain values.

Shapes: s a step of the optimizer, counted from 0; T the steps of the run; w those of the warm-up.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any, Literal, final

import keras
import tensorflow as tf

from zoo.base import configure
from zoo.errors import UsageError, nearest


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A learning rate as a function of the optimizer's step.

    For w steps it rises linearly from 0 to `start`, and stays there for a share f of those that are left;
    then it goes to `end`, where it is from step T on:

        constant        start
        linear          start + (end - start) p                  p = (s - v) / (T - v), v = w + f (T - w)
        cosine          end + (start - end) (1 + cos(pi p)) / 2
        exponential     start (end / start)^p

    The Transformer's rate has neither `start` nor `end`, and does not depend on T:

        inverse_sqrt    scale width^-0.5 min((s + 1)^-0.5, (s + 1) w^-1.5)

    Attributes:
        schedule: which of these.
        start, end: the highest rate and the last one.
        warmup: w.
        steps: T, where it is not the length of the run.
        flat: f, of all but `constant` and `inverse_sqrt`.
        scale, width: of `inverse_sqrt`; its width is that of the model.

    References:
        Loshchilov, Hutter: SGDR, arXiv 1608.03983, equation 5 (cosine).
        Vaswani et al.: Attention Is All You Need, arXiv 1706.03762, equation 3 (inverse_sqrt).
    """

    schedule: Literal["constant", "linear", "cosine", "exponential", "inverse_sqrt"] | None = None
    start: float | None = None
    end: float | None = None
    warmup: int = 0
    steps: int | None = None
    flat: float = 0.0
    scale: float = 1.0
    width: int | None = None

    def __post_init__(self) -> None:
        kind = self.schedule
        if kind is None:
            raise UsageError("a learning rate that changes needs schedule: cosine, or another one.")
        wanted = {"start"} | ({"end"} if kind == "exponential" else set())
        if kind == "inverse_sqrt":
            wanted = {"width", "warmup"}
        unused = {"start", "end"} if kind == "inverse_sqrt" else {"width"}
        unused |= {"end"} if kind == "constant" else set()
        unused |= {"steps"} if kind in ("constant", "inverse_sqrt") else set()
        for name in sorted(wanted):
            if not getattr(self, name):
                raise UsageError(f"the schedule {kind} needs {name}, above 0.")
        for name in sorted(unused):
            if getattr(self, name) is not None:
                raise UsageError(f"the schedule {kind} has no {name}.")
        if not 0 <= self.flat < 1 or (self.flat and self.schedule in ("constant", "inverse_sqrt")):
            raise UsageError("flat is a share of the steps, from 0 to below 1, of a schedule with an end.")
        rates = (self.start or 0.0, self.end or 0.0, self.scale)
        counts = (self.warmup, self.steps or 1, self.width or 0)
        if not all(math.isfinite(number) and number >= 0 for number in (*rates, *counts)):
            raise UsageError(f"the numbers of the schedule {kind} must be finite and not below 0.")

    @property
    def depends_on_length(self) -> bool:
        """Whether a run of another length has other rates from the start."""
        return self.schedule not in ("constant", "inverse_sqrt") and self.steps is None

    def rate(self, step: tf.Tensor, steps: int) -> tf.Tensor:
        """The learning rate float32 [] of a step int [] of a run of `steps`."""
        s = tf.cast(step, tf.float32)
        if self.schedule == "inverse_sqrt":
            assert self.width is not None
            rise = (s + 1.0) * self.warmup**-1.5
            return self.scale * self.width**-0.5 * tf.minimum((s + 1.0) ** -0.5, rise)
        assert self.start is not None
        steps = self.steps or steps
        warmup = self.warmup if self.schedule == "constant" else min(self.warmup, steps - 1)
        begun = warmup + self.flat * max(0, steps - warmup)
        p = tf.clip_by_value((s - begun) / max(1.0, steps - begun), 0.0, 1.0)
        share = (self.end or 0.0) / self.start
        match self.schedule:
            case "linear":
                falling = 1.0 + (share - 1.0) * p
            case "cosine":
                falling = (1.0 - share) * (0.5 * (1.0 + tf.cos(math.pi * p))) + share
            case "exponential":
                falling = share**p
            case _:
                falling = tf.ones(())
        return self.start * tf.where(s < warmup, s / max(1, warmup), falling)


@final
@keras.saving.register_keras_serializable("zoo")
class Scheduled(keras.optimizers.schedules.LearningRateSchedule):
    """A `Schedule` for an optimizer."""

    def __init__(self, schedule: Mapping[str, Any], steps: int) -> None:
        """
        Args:
            schedule: the plain values of a `Schedule`.
            steps: T.
        """
        self.schedule, self.steps = configure(Schedule, schedule), steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self.schedule.rate(step, self.steps)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": dataclasses.asdict(self.schedule), "steps": self.steps}


def depends_on_length(values: Mapping[str, Any]) -> bool:
    """Whether the learning rate of an optimizer's plain values depends on the length of the run."""
    rate = values.get("learning_rate")
    return isinstance(rate, Mapping) and configure(Schedule, rate).depends_on_length


def make_optimizer(turn: str, values: Mapping[str, Any], steps: int) -> keras.optimizers.Optimizer:
    """An optimizer from plain values.

    Args:
        turn: for errors.
        values: `{"name": "adam", "learning_rate": 1e-3, "beta_1": 0.5}`: Keras' name and its options; the
            rate may be a schedule: `{"schedule": "cosine", "start": 1e-3, "warmup": 100}`.
        steps: of the whole run.

    Raises:
        UsageError: an unknown optimizer or option, or a value of the wrong type.
    """
    options = {key: value for key, value in values.items() if key != "name"}
    try:
        kind = type(keras.optimizers.get(str(values["name"])))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the optimizer of turn {turn!r} cannot be made: Keras has no {values['name']!r}."
        ) from error
    valid = {
        name: parameter.default
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name not in ("self", "name") and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    for key, value in options.items():
        if key not in valid:
            raise UsageError(
                f"the optimizer {values['name']} of turn {turn!r} has no {key!r}; "
                f"it has {', '.join(sorted(valid))}.{nearest(key, valid)}"
            )
        if key == "learning_rate" and isinstance(value, Mapping):
            options[key] = Scheduled(value, steps)
            continue
        if value is None and valid[key] is None:
            continue
        flag = isinstance(valid[key], bool)
        wrong = not isinstance(value, bool) if flag else isinstance(value, bool)
        if wrong or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
            kinds = "true or false" if flag else "a number, not below 0"
            raise UsageError(f"{key}={value!r}: must be {kinds}.")
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the optimizer of turn {turn!r} cannot be made: {error}") from error
