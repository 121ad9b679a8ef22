"""Several processes that train one model: they take the same steps, and only the first of them, the chief,
writes.

Each step is played on one global batch, of which a worker takes its rows; TensorFlow's collectives add up the
gradients. What else must be the same everywhere goes through two functions here: what the chief knows
(`from_chief`), and what any worker has heard (`agreed`). All workers call them at the same places.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import cluster
from zoo.errors import UsageError, ZooError

#: What TensorFlow raises where a worker does not answer.
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError)

log = logging.getLogger("gmzoo")


class Workers:
    """The processes of a strategy; of most strategies there is one, which is the chief."""

    def __init__(self, strategy: tf.distribute.Strategy, count: int = 1, index: int = 0) -> None:
        """
        Args:
            strategy: that all of them train under.
            count: how many there are.
            index: which of them this is.
        """
        self.strategy, self.count, self.index = strategy, count, index
        self.local = strategy.num_replicas_in_sync // count
        self._sum = tf.function(self._summed, autograph=False, reduce_retracing=True)

    @property
    def chief(self) -> bool:
        """Whether this one writes."""
        return self.index == 0

    @contextlib.contextmanager
    def in_time(self) -> Iterator[None]:
        """What all workers do together.

        Raises:
            ZooError: another one is gone; nobody can go on without it.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.count == 1 or not isinstance(error, GONE):
                raise
            raise ZooError(
                f"Another worker is gone, and all stop when one is lost ({error.message.splitlines()[0]}).\n"
                "Start all of them again with the same command: the run goes on from its newest checkpoint."
            ) from error

    def _summed(self, values: tf.Tensor) -> tf.Tensor:
        def own(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            first = tf.cast(context.replica_id_in_sync_group % self.local == 0, values.dtype)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, values * first)

        found = self.strategy.run(own, args=(values,))
        return self.strategy.experimental_local_results(found)[0]

    def agreed(self, *numbers: int) -> list[int]:
        """The sums of what all workers say; and no worker goes on before all have come here."""
        if self.count == 1:
            return [*numbers]
        return self._sum(tf.constant([0, *numbers], tf.int64)).numpy().tolist()[1:]

    def from_chief(self, value: Any) -> Any:
        """A value of JSON, as the chief has it; what the others say does not count."""
        if self.count == 1:
            return value
        return json.loads(self._bytes(json.dumps(value).encode() if self.chief else b""))

    def _bytes(self, data: bytes) -> bytes:
        (length,) = self.agreed(len(data) if self.chief else 0)
        words = np.zeros(-(-length // 8), np.int64)
        if self.chief:
            words.view(np.uint8)[:length] = np.frombuffer(data, np.uint8)
        # Beside zeros a sum of whole numbers is exact: every bit arrives.
        return self._sum(tf.constant(words)).numpy().tobytes()[:length]

    def share(self, variables: Mapping[str, Any]) -> None:
        """Gives all workers the chief's values of variables."""
        if self.count == 1:
            return
        arrays = {name: np.asarray(variable) for name, variable in variables.items()}
        told = self._bytes(b"".join(array.tobytes() for array in arrays.values()) if self.chief else b"")
        if self.chief:
            return
        start = 0
        for name, array in arrays.items():
            value = np.frombuffer(told, array.dtype, array.size, start).reshape(array.shape)
            variables[name].assign(value)
            start += array.nbytes

    def part(self, batches: tf.data.Dataset) -> Any:
        """What this worker reads of global batches: the rows of its replicas."""
        if self.count == 1:
            return batches

        def own(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            found = {}
            for name, value in batch.items():
                rows = value.shape[0] // self.count
                found[name] = value[self.index * rows : (self.index + 1) * rows]
            return found

        mine = batches.map(own)
        if self.local > 1:
            (rows, *_) = (spec.shape[0] for spec in mine.element_spec.values())
            mine = mine.rebatch(rows // self.local, drop_remainder=True)
        # By a function: TensorFlow shards nothing of its own accord.
        return self.strategy.distribute_datasets_from_function(lambda _: mine)


class Together(tf.distribute.MultiWorkerMirroredStrategy):
    """`MultiWorkerMirroredStrategy` as Keras 3 can train under it.

    Keras refuses it for two reasons. It takes a batch apart to build the model, which `GenerativeModel` does
    not need; and it reduces each logged term over axis 0, which a scalar has not.

    References:
        https://github.com/keras-team/keras/issues/20585
    """

    def reduce(self, reduce_op: Any, value: Any, axis: int | None) -> tf.Tensor:
        """A logged term, as Keras asks for it: `train_step` has taken its mean over all replicas."""
        return self.experimental_local_results(value)[0]


@functools.cache
def join() -> Workers:
    """Waits for the other processes that the environment describes; a process joins once.

    Raises:
        UsageError: the environment describes none, or TensorFlow was used before.
    """
    found = cluster.find()
    os.environ[cluster.TF_CONFIG] = found.tf_config
    count = len(found.addresses)
    log.info("worker %d of %d, at %s", found.index + 1, count, found.addresses[found.index])
    try:
        return Workers(Together(), count, found.index)
    except tf.errors.OpError as error:
        raise UsageError(
            f"This worker cannot listen at {found.addresses[found.index]}: {error.message.splitlines()[0]}\n"
            f"Give the workers another port: in TF_CONFIG, or under Slurm by {cluster.PORT}."
        ) from error
    except RuntimeError as error:
        raise UsageError(
            f"This process cannot join others any more: {str(error).splitlines()[0]}\n"
            "Train under multi-worker before anything else is computed."
        ) from error
