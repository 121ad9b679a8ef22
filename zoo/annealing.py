"""Values that change with the step of training, as data: a temperature, the weight of a term, a blend.

A `Ramp` is a field of a model's `Config` like any number. The model asks it for its value at the step
variable, so that one traced graph serves all steps; a run that is resumed goes on where it was.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, Literal

from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A value that goes from one number to another, and stays there.

    At step s, with p = (s - begin) / steps cut to [0, 1]:

        linear    start + (end - start) p
        cosine    end + (start - end) (1 + cos(pi p)) / 2        slow at both ends
        geometric start^(1 - p) end^p                            the same factor at each step

    Without steps it has its last value from `begin` on.

    Attributes:
        start, end: the first value and the last one.
        steps: how many steps the way takes.
        shape: of the way.
        begin: the step at which it begins.
    """

    start: float = 1.0
    end: float = 1.0
    steps: int = 0
    shape: Literal["linear", "cosine", "geometric"] = "linear"
    begin: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise UsageError("start and end of a ramp must be finite.")
        if min(self.steps, self.begin) < 0:
            raise UsageError("steps and begin of a ramp must not be negative.")
        if self.shape == "geometric" and self.lowest <= 0:
            raise UsageError("start and end of a geometric ramp must be above 0.")

    @classmethod
    def of(cls, value: float | Mapping[str, Any]) -> Ramp:
        """A ramp from plain values: its fields by name, or one number that it has at all steps."""
        return cls(**value) if isinstance(value, Mapping) else cls(float(value), float(value))

    @property
    def constant(self) -> bool:
        """Whether it has the same value at all steps."""
        return self.start == self.end

    def at(self, step: tf.Tensor | int) -> tf.Tensor:
        """The value, float32 [], at a step, int []."""
        import tensorflow as tf  # listing reads ramps, and needs no TensorFlow

        if self.constant:
            return tf.constant(self.end, tf.float32)
        gone = tf.cast(step, tf.float32) - self.begin
        # A way without steps is a step up: all of it is gone where it begins.
        p = tf.clip_by_value(gone / self.steps, 0.0, 1.0) if self.steps else tf.cast(gone >= 0.0, tf.float32)
        if self.shape == "cosine":
            p = 0.5 * (1.0 - tf.cos(math.pi * p))
        if self.shape == "geometric":
            return self.start ** (1.0 - p) * self.end**p
        return (1.0 - p) * self.start + p * self.end  # exact at both ends

    @property
    def lowest(self) -> float:
        """The least value that it takes."""
        return min(self.start, self.end)
