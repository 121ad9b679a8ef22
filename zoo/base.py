"""The one abstraction of the zoo: a generative model is a game of turns.

A variational autoencoder has one turn, a GAN two, an adversarial autoencoder three. A turn names the
variables that it trains and an objective; `GenerativeModel.train_step` plays the turns that are due, and is
written once, here. What a trained model can do is said by its capabilities: small abstract classes that
callers test with `isinstance`. Classes are abstract or final: an implemented method is not overridden.

Shapes: B rows of a batch, H x W x C an image, D predicted scalars (H * W * C for an image), d a code.
Images are float32 in [0, 1]; a model quantises or rescales them inside.
"""

from __future__ import annotations

import abc
import bisect
import contextlib
import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, final

import keras
import tensorflow as tf

from zoo.annealing import Ramp
from zoo.errors import UsageError, nearest
from zoo.latents import Part
from zoo.noise import Noise, StepNoise

if typing.TYPE_CHECKING:
    import tensorflow_probability as tfp

Batch = Mapping[str, tf.Tensor]
Shared = dict[str, tf.Tensor]
Terms = dict[str, tf.Tensor]

# BatchNorm statistics for averaged weights are estimated over this many batches.
STATISTICS_BATCHES = 20
#: What the term ends with that says how large the gradient of a turn was.
GRADIENT_NORM = "_gradient_norm"


@dataclasses.dataclass(frozen=True)
class Turn:
    """One player's move.

    Attributes:
        name: names the turn in logs, and its optimizer in presets.
        variables: what it trains; turns may overlap.
        objective: `(batch, shared, noise) -> (loss, terms)`: the mean over examples of what is minimised, and
            named parts of it for the logs.
        through_shared: whether the gradient flows on through `shared` into `variables`; all other turns see
            `shared` as constants.
        every: the turn is due at every such step.
    """

    name: str
    variables: Sequence[keras.Variable]
    objective: Callable[[Batch, Shared, Noise], tuple[tf.Tensor, Terms]]
    through_shared: bool = False
    every: int = 1


@dataclasses.dataclass(frozen=True)
class CountingTurn:
    """A move that needs no gradient: it counts every example once.

    Attributes:
        name: names the turn.
        variables: the counts.
        update: `(batch) -> increments`: by how much each of `variables` grows. Rows whose `weight` in the
            batch is 0 only fill it up and do not count.
    """

    name: str
    variables: Sequence[keras.Variable]
    update: Callable[[Batch], Sequence[tf.Tensor]]
    every: ClassVar[int] = 1


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of a run: within it each turn trains the same variables, on batches of one size.

    Attributes:
        name: names it to people; "" where a run has only one.
        steps: how many it takes; the last phase goes on for as long as the run does. None: no number of its
            own, for the last one.
        batch_size: the most examples of a batch, where memory wants fewer than the run's batch has.
        fresh: whether the optimizers start anew with it, as if they had made no step.
    """

    name: str = ""
    steps: int | None = None
    batch_size: int | None = None
    fresh: bool = False


def first_steps(phases: Sequence[Phase]) -> tuple[int, ...]:
    """The step at which each phase begins.

    Raises:
        ValueError: a phase before the last one has no steps.
    """
    if any(not phase.steps for phase in phases[:-1]):
        raise ValueError("every phase but the last one needs at least one step")
    return tuple(itertools.accumulate((phase.steps or 0 for phase in phases[:-1]), initial=0))


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a likelihood is of, where it is not the example itself.

    Attributes:
        what: in one word, which outputs and figures are named by: tokens.
        count: D, how many scalars that is.
        values: how many values each of them takes.
        by: the hash of the weights of the model that makes them of an example: those of another are others.
    """

    what: str
    count: int
    values: int
    by: str = ""


class GenerativeModel(keras.Model, abc.ABC):
    """A model that is trained by turns and exported by its capabilities.

    A subclass builds its networks in `__init__` (they are complete before `compile`), and says its `turns`.
    Its file holds, beside the class, the frozen dataclass `Config` and the literals `CARD` and `PRESETS`.
    """

    #: What an example is: the name of the tensor in a batch, and of a signature's input.
    modality: str = "image"
    #: How many values each scored scalar takes; None where nothing is quantised.
    levels: int | None = None
    #: What the likelihood is of; None where it is the example itself.
    scored: Scored | None = None
    #: The symbol of each token; () where an example is no text.
    vocabulary: tuple[str, ...] = ()
    #: Keras' compiled step; `choose_turns` exchanges it.
    train_function: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("zoo")(cls)

    def __init__(self, config: Any, **kwargs: Any) -> None:
        """
        Args:
            config: an instance of the `Config` in the model's own file.
        """
        super().__init__(**kwargs)
        self.config = config
        self.step = keras.Variable(
            0, dtype="int64", trainable=False, aggregation="only_first_replica", name="step"
        )
        self.turn_optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.averages = Averages()
        self.run_seed = 0
        self.playing: tuple[str, ...] = ()
        #: The phase that the run is in, from 0; turns and samples may depend on it.
        self.phase = 0
        self.first_steps = first_steps(self.phases(config))
        self.traces: dict[tuple[int, tuple[str, ...]], Any] = {}

    @classmethod
    def phases(cls, config: Any) -> Sequence[Phase]:
        """The phases of a run of a model with this config, in order; one by default."""
        return (Phase(),)

    @classmethod
    def fewest_rows(cls, config: Any) -> int:
        """How many rows of a batch each device needs: more than one where they are set beside one another."""
        return 1

    @abc.abstractmethod
    def turns(self) -> Sequence[Turn | CountingTurn]:
        """The turns of one step of the present phase, in the order in which they are played."""

    @abc.abstractmethod
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example: (H, W, C) for an image."""

    def shared(self, batch: Batch, noise: Noise) -> Shared:
        """What several turns use, computed once a step: a GAN's fakes. Nothing by default."""
        return {}

    def begin(self, batch: Batch) -> None:
        """Sets weights from a first large batch, once, before the first step. Nothing by default."""

    def measure_statistics(self, batch: Batch, noise: Noise) -> None:
        """Passes a batch, in training mode, through each BatchNorm layer as it will be used: what an image is
        made with by what is made here, and what reads images by real ones. By default through `shared`.
        """
        self.shared(batch, noise)

    def due(self, step: int) -> tuple[str, ...]:
        """Which turns the host's step `step` plays, by default those of its phase that are due in their own
        rhythm. Each answer has its own cached trace.
        """
        return tuple(turn.name for turn in self.turns() if step % turn.every == 0)

    @property
    def dimensions(self) -> int:
        """D, the number of scalars whose likelihood that of an example is: H * W * C for an image."""
        return self.scored.count if self.scored else math.prod(self.example_shape())

    # -- training ------------------------------------------------------------------------------------------

    @final
    def compile(
        self,
        optimizers: Mapping[str, Any],
        *,
        seed: int = 0,
        averages: Mapping[str, float] | None = None,
        jit_compile: bool = False,
    ) -> None:
        """Gives each turn its optimizer.

        Args:
            optimizers: turn name -> optimizer, or what `keras.optimizers.get` takes.
            seed: the run's seed: the noise of a step is a function of it and of the step.
            averages: turn name -> decay of the moving average of that turn's weights, which evaluation uses.
            jit_compile: compile the step with XLA.

        Raises:
            UsageError: a turn without an optimizer, or an optimizer without a turn.
        """
        turns = self.trained()
        for name in [*optimizers, *(averages or {})]:
            if name not in turns:
                raise UsageError(f"{self.name} has no turn {name!r}; it has {', '.join(turns)}.")
        if missing := [name for name in turns if name not in optimizers]:
            raise UsageError(f"{self.name} needs an optimizer for the turn {missing[0]!r}.")
        # Without optimizer=None Keras would install an RMSprop of its own.
        super().compile(optimizer=None, jit_compile=jit_compile)
        self.run_seed = int(seed)
        self.turn_optimizers = {name: keras.optimizers.get(value) for name, value in optimizers.items()}
        for name, found in turns.items():
            self.turn_optimizers[name].build([variable for variable, _ in found])
        # Each of an optimizer's variables begins as one number, all over.
        self.unused_optimizers = {
            name: [float(variable.numpy().flat[0]) for variable in optimizer.variables]
            for name, optimizer in self.turn_optimizers.items()
        }
        self.averages = Averages({name: (turns[name], decay) for name, decay in (averages or {}).items()})
        self.playing, self.traces = (), {}
        self.choose_turns(0)
        self.built = True  # every network is complete

    @final
    def trained(self) -> dict[str, list[tuple[keras.Variable, int]]]:
        """By turn the variables that it trains in any phase, each with the first step that may do so."""
        found: dict[str, dict[int, tuple[keras.Variable, int]]] = {}
        present = self.phase
        for index, start in enumerate(self.first_steps):
            self.phase = index
            for turn in self.turns():
                if isinstance(turn, Turn):
                    of_turn = found.setdefault(turn.name, {})
                    for variable in turn.variables:
                        of_turn.setdefault(id(variable), (variable, start))
        self.phase = present
        return {name: [*of_turn.values()] for name, of_turn in found.items()}

    @final
    def enter(self, step: int) -> None:
        """Goes to the phase that the host's step `step` belongs to."""
        self.phase = bisect.bisect_right(self.first_steps, step) - 1

    @final
    def choose_turns(self, step: int) -> None:
        """Makes the host's step `step` play the turns that are due, by the trace that belongs to them.

        A traced function ignores a changed attribute, and `tf.cond` around an optimizer fails under a
        strategy: so the host chooses, and each choice of a phase and its turns is traced once.
        """
        self.enter(step)
        if step == self.first_steps[self.phase] and self.phases(self.config)[self.phase].fresh:
            for name, optimizer in self.turn_optimizers.items():
                for variable, value in zip(optimizer.variables, self.unused_optimizers[name], strict=True):
                    variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))
        self.playing = self.due(step)
        choice = self.phase, self.playing
        if choice not in self.traces:
            self.make_train_function(force=True)
            self.traces[choice] = self.train_function
        self.train_function = self.traces[choice]

    @final
    def train_step(self, batch: Batch) -> Terms:
        """Plays the turns that are due on one batch.

        Each turn's gradient is taken over its own variables only. Where it flows through `shared`, the chain
        rule is applied in two pieces, so that what is shared is computed once.

        Args:
            batch: tensors by name, [B, ...]; B is this replica's part of the global batch.

        Returns:
            The turns' named terms, means over the global batch; and of each turn that descends the norm of
            its gradient, before the optimizer clips it: of several replicas the mean of their own ones.
        """
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        example = batch[self.modality]
        rows = example.shape[0] or tf.shape(example)[0]
        noise = StepNoise(self.run_seed, self.step.value, rows, context.replica_id_in_sync_group, replicas)
        with tf.GradientTape(persistent=True) as shared_tape:
            shared = self.shared(batch, noise)
        logs: Terms = {}
        playing = [turn for turn in self.turns() if turn.name in self.playing]
        for turn in playing:
            if isinstance(turn, CountingTurn):
                logs |= self._count(turn, batch, context)
            else:
                logs |= self._play(turn, batch, shared, shared_tape, noise, replicas)
        self.step.assign_add(1)
        begun = self.first_steps[self.phase]
        self.averages.update(self.step, {turn.name: turn.every for turn in playing}, begun)
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, logs) if replicas > 1 else logs

    def _play(
        self,
        turn: Turn,
        batch: Batch,
        shared: Shared,
        shared_tape: tf.GradientTape,
        noise: Noise,
        replicas: int,
    ) -> Terms:
        optimizer = self.turn_optimizers[turn.name]
        variables = [variable.value for variable in turn.variables]
        seen = {key: tf.stop_gradient(value) for key, value in shared.items()}
        inner = [seen[key] for key in seen if turn.through_shared and seen[key].dtype.is_floating]
        outer = [shared[key] for key in shared if turn.through_shared and shared[key].dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*variables, *inner])
            loss, terms = turn.objective(batch, seen, noise)
            # Replicas' gradients are summed, so each loss is its share of the global mean.
            scaled = optimizer.scale_loss(loss / replicas)
        gradients = tape.gradient(scaled, [*variables, *inner])
        direct, upstream = gradients[: len(variables)], gradients[len(variables) :]
        used = [(o, u) for o, u in zip(outer, upstream, strict=True) if u is not None]
        if used:
            through = shared_tape.gradient(
                [o for o, _ in used], variables, output_gradients=[u for _, u in used]
            )
            direct = [_sum(a, b) for a, b in zip(direct, through, strict=True)]
        if blind := [v.path for v, g in zip(turn.variables, direct, strict=True) if g is None]:
            raise ValueError(f"turn {turn.name!r} of {self.name} gives no gradient to {', '.join(blind)}")
        # Of this replica's own mean: that of all would need the gradients summed a second time.
        # Of a gathered row that repeats, the gradient comes in pieces, whose sum has another norm than they.
        whole = [tf.convert_to_tensor(gradient) for gradient in direct]
        norm = tf.linalg.global_norm(whole) / optimizer.scale_loss(tf.constant(1.0 / replicas))
        optimizer.apply(direct, list(turn.variables))
        return {**terms, turn.name + GRADIENT_NORM: norm}

    def _count(self, turn: CountingTurn, batch: Batch, context: tf.distribute.ReplicaContext) -> Terms:
        examples = tf.reduce_sum(batch["weight"])
        found = [*turn.update(batch), examples]
        if context.num_replicas_in_sync > 1:
            # One by one: several processes would pack them into one tensor, which has one dtype.
            found = [context.all_reduce(tf.distribute.ReduceOp.SUM, each) for each in found]
        *increments, examples = found
        for variable, increment in zip(turn.variables, increments, strict=True):
            variable.assign_add(increment)
        return {"examples": examples}

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Keras would take a batch to build the model; ours is complete, and the order of data counts."""

    @contextlib.contextmanager
    def evaluation_weights(self, batches: Iterable[Batch] = ()) -> Iterator[None]:
        """Swaps the averaged weights in, where there are any, and puts the training weights back afterwards.

        BatchNorm statistics belong to the weights that they were measured with, and to the kind of examples
        that they will be used for: they are estimated anew, as the mean over what `measure_statistics` passes
        through of each of `batches`.

        Args:
            batches: `STATISTICS_BATCHES` training batches; read only where there is BatchNorm.
        """
        norms = [
            layer for layer in self._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)
        ]
        statistics = [variable for layer in norms for variable in layer.non_trainable_variables]
        kept = [variable.numpy() for variable in statistics]
        momenta = [layer.momentum for layer in norms]
        self.averages.swap()
        try:
            for index, batch in enumerate(batches if norms else ()):
                for layer in norms:  # momentum k / (k + 1) makes the moving average a plain mean
                    layer.momentum = index / (index + 1)
                rows = int(batch[self.modality].shape[0])
                self.measure_statistics(batch, StepNoise(self.run_seed, -1 - index, rows))
            yield
        finally:
            self.averages.swap()
            for variable, value in zip(statistics, kept, strict=True):
                variable.assign(value)
            for layer, momentum in zip(norms, momenta, strict=True):
                layer.momentum = momentum

    @final
    def state(self) -> dict[str, keras.Variable]:
        """Every variable that a checkpoint holds, by a name that is the same in every process."""
        named = self.weights_by_name()
        for turn, optimizer in sorted(self.turn_optimizers.items()):
            for index, variable in enumerate(optimizer.variables):
                named[f"optimizer/{turn}/{index:04d}"] = variable
        for index, (_, average, _) in enumerate(self.averages.pairs):
            named[f"average/{index:04d}"] = average
        return named

    @final
    def weights_by_name(self) -> dict[str, keras.Variable]:
        """The model's own variables: automatic names differ between processes, their order does not."""
        return {
            f"weights/{index:04d}_{variable.name}": variable for index, variable in enumerate(self.variables)
        }

    # -- Keras serialisation -------------------------------------------------------------------------------

    @final
    def get_config(self) -> dict[str, Any]:
        return {"config": dataclasses.asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GenerativeModel:
        return cls(configure(cls.config_class(), config["config"]))

    @classmethod
    def config_class(cls) -> type:
        """The `Config` beside the class, in the model's own file."""
        import sys

        return sys.modules[cls.__module__].Config

    def save_own_variables(self, store: Any) -> None:
        own: dict[str, Any] = {}
        super().save_own_variables(own)
        own |= {f"average_{index}": average for index, (_, average, _) in enumerate(self.averages.pairs)}
        for key, variable in own.items():  # as arrays: NumPy warns of converting a variable
            store[key] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        for index, (_, average, _) in enumerate(self.averages.pairs):
            average.assign(store[f"average_{index}"])
        super().load_own_variables(
            {key: store[key] for key in list(store.keys()) if not key.startswith("average_")}
        )
        self.enter(max(0, int(self.step.numpy()) - 1))  # the phase of the last step done

    @final
    def get_compile_config(self) -> dict[str, Any]:
        return {
            "optimizers": {
                name: keras.optimizers.serialize(value) for name, value in self.turn_optimizers.items()
            },
            "seed": self.run_seed,
            "averages": self.averages.decays,
            "jit_compile": self.jit_compile,
        }

    @final
    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**config)


class Averages:
    """Exponential moving averages of weights, with warm-up: decay min(d, (1 + t) / (10 + t)) at step t.

    t counts the weight's own moves, from the step that may first train it: one that is new in a later phase
    warms up too, and one that moves every fifth step is averaged every fifth.

    Keras tracks a model's attributes; these variables are kept out of its weights by living here.
    """

    def __init__(
        self, groups: Mapping[str, tuple[Sequence[tuple[keras.Variable, int]], float]] | None = None
    ) -> None:
        """
        Args:
            groups: turn name -> (variables, each with the first step that may train it; decay).
        """
        self.decays = {name: decay for name, (_, decay) in (groups or {}).items()}
        self.pairs: list[tuple[keras.Variable, keras.Variable, float]] = []
        self.moved: list[tuple[str, int]] = []  # by which turn, and from which step on
        for name, (variables, decay) in (groups or {}).items():
            for variable, start in variables:
                average = keras.Variable(
                    variable.numpy(), trainable=False, aggregation="only_first_replica", name="average"
                )
                self.pairs.append((variable, average, decay))
                self.moved.append((name, start))

    def update(self, step: keras.Variable, played: Mapping[str, int], begun: int = 0) -> None:
        """Moves each average toward its weight, where this step moved it.

        Args:
            step: how many have been done.
            played: the turns of this step, and in each how many steps one is played.
            begun: the first step of the present phase; weights that are new in a later one rest.
        """
        for (variable, average, decay), (turn, start) in zip(self.pairs, self.moved, strict=True):
            if turn in played and start <= begun:
                t = tf.cast((step.value - start) // played[turn], tf.float32)
                rate = 1.0 - tf.minimum(decay, (1.0 + t) / (10.0 + t))
                average.assign_add(rate * (variable.value - average.value))

    def restart(self) -> None:
        """Sets each average to its weight."""
        for variable, average, _ in self.pairs:
            average.assign(variable.numpy())

    def swap(self) -> None:
        """Exchanges weights and averages."""
        for variable, average, _ in self.pairs:
            kept = variable.numpy()
            variable.assign(average.numpy())
            average.assign(kept)


def _sum(a: tf.Tensor | None, b: tf.Tensor | None) -> tf.Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return tf.convert_to_tensor(a) + tf.convert_to_tensor(b)


# -- capabilities ------------------------------------------------------------------------------------------


class Samples(abc.ABC):
    """Draws examples."""

    @abc.abstractmethod
    def sample(self, noise: Noise) -> tf.Tensor:
        """One example a row of `noise`: for images float32 [B, H, W, C] in [0, 1]."""


class Restores(abc.ABC):
    """Makes an example from a code."""

    @abc.abstractmethod
    def decode(self, code: tf.Tensor) -> tf.Tensor:
        """The examples of codes [B, d]: for images float32 [B, H, W, C] in [0, 1]."""


class Decodes(Restores, Samples):
    """Makes an example from a code that has a prior, and so draws examples."""

    @abc.abstractmethod
    def prior(self, noise: Noise) -> tf.Tensor:
        """Codes float32 [B, d] from the prior."""

    @abc.abstractmethod
    def prior_parts(self) -> tuple[Part, ...]:
        """Which family the prior of each unit of the code belongs to, in order; the sizes add up to d."""

    @final
    def sample(self, noise: Noise) -> tf.Tensor:
        return self.decode(self.prior(noise))


class Conditions(abc.ABC):
    """Samples under conditions that the user gives."""

    #: How many tokens of a prompt are read; None: as many as it has.
    longest_prompt: int | None = None

    @abc.abstractmethod
    def conditions(self) -> dict[str, tf.TensorSpec]:
        """The conditions that this instance takes, among label, prompt, code, temperature: one row each."""

    @abc.abstractmethod
    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        """Like `sample`, under `conditions`, each [B, ...]."""


class Blends(Conditions):
    """Samples under a prompt, and on the way from one prompt to another."""

    @abc.abstractmethod
    def sample_between(
        self, noise: Noise, prompt: tf.Tensor, other_prompt: tf.Tensor, share: tf.Tensor
    ) -> tf.Tensor:
        """Like `sample_with`, under what lies between two prompts.

        Args:
            noise: draws what no prompt says.
            prompt, other_prompt: texts, string [B].
            share: how far it is from the first to the other one, float32 [B], from 0 to 1.

        Returns:
            Images float32 [B, H, W, C] in [0, 1].
        """


class Ranks(Conditions):
    """Draws several candidates under its conditions, and keeps the one that fits them best."""

    @abc.abstractmethod
    def ranks(self) -> bool:
        """Whether this instance can tell how well a candidate fits."""

    @abc.abstractmethod
    def sample_best(
        self, noise: Noise, candidates: tf.Tensor, **conditions: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best of several draws; the first of them is that of `sample_with`.

        Args:
            noise: draws them.
            candidates: int32 [B], how many a row has, at least 1.
            **conditions: as in `sample_with`.

        Returns:
            Examples [B, ...], and how well each fits, in nats, float32 [B].
        """


class ExactLikelihood(abc.ABC):
    """Knows log p(x)."""

    @abc.abstractmethod
    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log p(x) in nats, float32 [B], of examples [B, ...]."""


class Counts(abc.ABC):
    """Learns by counting: all its turns are `CountingTurn`s, and training is one pass over the data."""

    @property
    @abc.abstractmethod
    def free_parameters(self) -> int:
        """How many of the numbers that the counts give can be chosen: each row of a table sums to one."""


class Predicts(ExactLikelihood):
    """Knows the conditionals that log p(x) is the sum of."""

    @abc.abstractmethod
    def log_conditionals(self, x: tf.Tensor) -> tf.Tensor:
        """log p(x_d | x_<d) in nats, float32 [B, D], in the model's order, of examples [B, ...].

        Fewer than D where the model draws several values at once.
        """

    @final
    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self.log_conditionals(x), -1)


class ConditionalLikelihood(abc.ABC):
    """Knows log p(x), or that of what it scores of x, given a text: in a batch that is its `caption`."""

    @abc.abstractmethod
    def log_prob_given(self, x: tf.Tensor, prompt: tf.Tensor) -> tf.Tensor:
        """log p(x | prompt) in nats, float32 [B], of examples [B, ...] and texts, string [B]."""


class LikelihoodBound(abc.ABC):
    """Knows lower bounds on log p(x)."""

    @abc.abstractmethod
    def elbo_terms(self, x: tf.Tensor, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        """The two terms of the evidence lower bound of examples [B, ...], in nats, float32 [B] each.

        Returns:
            log p(x|z) for one z drawn from q(z|x), and KL(q(z|x) || p(z)), which is not negative.
        """

    @final
    def elbo(self, x: tf.Tensor, noise: Noise) -> tf.Tensor:
        """A one-sample estimate of the evidence lower bound in nats, float32 [B], of examples [B, ...]."""
        reconstruction, divergence = self.elbo_terms(x, noise)
        return reconstruction - divergence

    @abc.abstractmethod
    def log_weights(self, x: tf.Tensor, noise: Noise, samples: int) -> tf.Tensor:
        """log p(x, z) - log q(z | x) in nats, float32 [B, samples], for z drawn from q."""

    @final
    def importance_weighted_bound(self, x: tf.Tensor, noise: Noise, samples: tf.Tensor) -> tf.Tensor:
        """The importance-weighted bound, which rises to log p(x) with the number of samples.

        Args:
            x: examples [B, ...].
            noise: draws z.
            samples: int32 [B], the number of importance samples of each row, at least 1.

        Returns:
            log (1/K) sum_k p(x, z_k) / q(z_k | x) in nats, float32 [B].

        References:
            Burda, Grosse, Salakhutdinov: Importance Weighted Autoencoders, arXiv 1509.00519, equation 8.
        """
        samples = tf.convert_to_tensor(samples, tf.int32)
        chunk = 10  # draws of z at a time: noise depends on the row's seed and the round, never on `samples`

        def more(index: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            return index * chunk < tf.reduce_max(samples)

        def add(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weights = self.log_weights(x, noise.fold(index), chunk)  # [B, chunk]
            counted = index * chunk + tf.range(chunk) < samples[:, None]
            weights = tf.where(counted, weights, -math.inf)
            return index + 1, tf.reduce_logsumexp(tf.concat([total[:, None], weights], 1), 1)

        # The first chunk stands outside the loop, so that the running total starts finite.
        start = tf.fill(tf.shape(samples), -math.inf)
        index, total = add(tf.constant(0), start)
        _, total = tf.while_loop(more, add, (index, total))
        return total - tf.math.log(tf.cast(samples, tf.float32))


class Completes(abc.ABC):
    """Fills in what is missing of an example."""

    @abc.abstractmethod
    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Draws what is unknown of examples, and leaves what is known as it is.

        Args:
            x: examples [B, ...]; their unknown values do not count.
            known: bool [B, H, W] for images [B, H, W, C], else of the shape of `x`.
            noise: draws the rest.

        Returns:
            Examples of the shape of `x`.
        """


class Assembles(abc.ABC):
    """Makes an example of a few pieces of it, without being told where they belong."""

    @abc.abstractmethod
    def patches_shape(self) -> tuple[int, ...]:
        """(N, ...): how many patches there can be, and the shape of each."""

    @abc.abstractmethod
    def key_patches(self, x: tf.Tensor) -> tf.Tensor:
        """The patches that tell most of examples [B, ...], the best first: [B, N, ...]."""

    @abc.abstractmethod
    def assemble(self, patches: tf.Tensor, given: tf.Tensor, noise: Noise) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws examples that hold patches.

        Args:
            patches: [B, N, ...], in any order.
            given: bool [B, N], which of them there are; what stands in place of the others does not count.
            noise: draws the rest.

        Returns:
            Examples [B, ...], and where in them the patches lie: for images float32 [B, H, W] in [0, 1].
        """


class Classifies(abc.ABC):
    """Knows the class of an example."""

    @abc.abstractmethod
    def classify(self, x: tf.Tensor) -> tf.Tensor:
        """Logits float32 [B, K] of the classes of examples [B, ...]."""


class Describes(Classifies):
    """Knows an example's attributes too, where the data that it was trained on has any."""

    @abc.abstractmethod
    def describe(self, x: tf.Tensor) -> Sequence[tf.Tensor]:
        """Logits float32 [B, K] of the classes, then of each attribute's values, of examples [B, ...]."""


class Encodes(abc.ABC):
    """Has a code for an example."""

    @abc.abstractmethod
    def encode(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        """The distribution of the code: batch shape [B], event shape [d], of examples [B, ...].

        Of a code of tokens independent Categoricals, int32.
        """


class Tokenises(Restores):
    """Has a code of tokens for an image: what a second model, of sequences of tokens, can learn.

    A code is int32 [B, T], the tokens of an image row by row of their grid; `decode` takes such codes.
    """

    @abc.abstractmethod
    def tokenise(self, x: tf.Tensor) -> tf.Tensor:
        """The code of images [B, H, W, C]: of each place the likeliest token."""

    @abc.abstractmethod
    def token_grid(self) -> tuple[int, int]:
        """(h, w) of the grid, of T = h w tokens."""

    @abc.abstractmethod
    def token_values(self) -> int:
        """K, how many tokens there are to choose from."""


class TwoStage(abc.ABC):
    """Stands on another model, trained before it, which it uses through its capability and never trains.

    Its config has an option named as that model: a trained one, and in a preset the preset that is trained
    first, as NAME:PRESET. What the first model decides of the config are the options `grid` and `codebook`.
    """

    #: The name of the first model.
    first_stage: ClassVar[str]

    @abc.abstractmethod
    def stand_on(self, first: Tokenises, weights_hash: str = "") -> None:
        """Takes a trained first model, before anything is computed; `weights_hash` says which it is."""


class Translates(abc.ABC):
    """Makes of an image one of another domain, or one with other attributes, of any size.

    A batch holds `domain` int32 [B], or `attributes` int32 [B, A], -1 where unknown; and beside each example
    that of another one, `other_domain` or `other_attributes`, to be translated to. Where the model is
    `unpaired`, `image` is of the first of two domains, and `other_image` beside it of the second.
    """

    #: Whether a batch has the images of two domains side by side.
    unpaired: ClassVar[bool] = False
    #: Each side of an image that `translate` is given is a multiple of this.
    multiple: ClassVar[int] = 4

    @abc.abstractmethod
    def asks(self) -> tuple[str, tuple[int, ...]]:
        """What is asked for: `domain` and their number, or `attributes` and how many values each has."""

    @abc.abstractmethod
    def translate(self, x: tf.Tensor, to: tf.Tensor) -> tf.Tensor:
        """Translates images, of any height and width that are multiples of `multiple`.

        Args:
            x: float32 [B, H, W, C] in [0, 1].
            to: a domain, int32 [B]; or values of attributes, [B, A], -1 for those that stay as they are.

        Returns:
            Like x.
        """


class Represents(abc.ABC):
    """Describes an example by numbers that no decoder takes: what a discriminator sees in it, say."""

    @abc.abstractmethod
    def represent(self, x: tf.Tensor) -> tf.Tensor:
        """Numbers float32 [B, f] of examples [B, ...], each of its own row only."""

    @abc.abstractmethod
    def representation_parts(self) -> tuple[Part, ...]:
        """What each of them is, in order: of a one-hot part the probabilities; the sizes add up to f."""


#: What `CARD["capabilities"]` lists: each verb needs all its capabilities, of a tuple any.
VERBS: dict[str, tuple[type | tuple[type, ...], ...]] = {
    "sample": (Samples,),
    "sample_with": (Conditions,),
    "score": ((ExactLikelihood, ConditionalLikelihood, LikelihoodBound),),
    "encode": ((Encodes, Represents),),
    "decode": (Restores,),
    "interpolate": (Decodes,),
    "blend": (Blends,),
    "traverse": (Decodes,),
    "reconstruct": (Encodes, Restores),
    "complete": (Completes,),
    "rank": (Ranks,),
    "assemble": (Assembles,),
    "classify": (Classifies,),
    "translate": (Translates,),
}


# -- configuration -----------------------------------------------------------------------------------------


def configure(config_class: type, values: Mapping[str, Any]) -> Any:
    """A `Config` from plain values, each checked against its field's type.

    Args:
        config_class: a frozen dataclass whose fields are int, float, bool, str, `Literal`, or tuples of them,
            or frozen dataclasses of such fields.
        values: field name -> plain value: a number, text, true or false, or a list; for a dataclass the
            values of its fields by name. A number in place of a `Ramp` is one that never changes.

    Raises:
        UsageError: an unknown key (the nearest valid one is named), or a value of the wrong type.
    """
    hints = typing.get_type_hints(config_class)
    for key in values:
        if key not in hints:
            raise UsageError(f"no option {key!r}; valid: {', '.join(sorted(hints))}.{nearest(key, hints)}")
    return config_class(**{key: _typed(key, value, hints[key]) for key, value in values.items()})


def _typed(key: str, value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _nested(key, value, hint)
    if origin is Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        raise UsageError(
            f"{key}={value!r}: must be one of {', '.join(map(str, arguments))}."
            f"{nearest(str(value), map(str, arguments))}"
        )
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _typed(key, value, next(a for a in arguments if a is not type(None)))
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is Ellipsis or len(arguments) == len(value):
            return tuple(_typed(key, item, arguments[0]) for item in value)
        raise UsageError(f"{key}={value!r}: needs {len(arguments)} values.")
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(
        hint, "a list"
    )
    raise UsageError(f"{key}={value!r}: must be {wanted}.")


def _nested(key: str, value: Any, hint: Any) -> Any:
    """A field that is a dataclass itself; errors name it by `key.field`."""
    if isinstance(value, hint):
        return value
    if hint is Ramp and isinstance(value, int | float) and not isinstance(value, bool):
        value = {"start": value, "end": value}
    if not isinstance(value, Mapping):
        number = "a number, or " if hint is Ramp else ""
        names = ", ".join(f"{key}.{field.name}" for field in dataclasses.fields(hint))
        raise UsageError(f"{key}={value!r}: must be {number}values of {names}.")
    try:
        return configure(hint, value)
    except UsageError as error:
        raise UsageError(f"{key}: {error}") from error
