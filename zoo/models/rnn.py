"""RNN: one recurrent cell reads a sequence and predicts each value from all before it.

Idea: a state h_t, of fixed size, sums up what has been read; the same weights make the next state and the
next prediction at every place. A vanilla cell forgets within some ten steps, as its gradient shrinks or grows
with every one. The gates of LSTM and GRU let it pass.

Objective: the mean over examples of -log p(x) = -sum_t log p(x_t | x_<t), in nats, with

    h_t = cell(e(x_{t-1}), h_{t-1}),    p(x_t = k | x_<t) = softmax_k(V h_t + b),    x_0 a sign of its own

    vanilla    h = tanh(W e + U h' + b)
    LSTM       i, f, o = sigmoid(..),  g = tanh(..),  c = f c' + i g,  h = o tanh(c)
    GRU        z, r = sigmoid(..),  g = tanh(W e + b + r (U h' + b')),  h = z h' + (1 - z) g

Reference: Elman, Finding Structure in Time (1990); Hochreiter and Schmidhuber, Long Short-Term Memory (1997),
with the forget gate of Gers et al. (2000), whose bias starts at 1; Cho et al., arXiv 1406.1078, for the GRU.
The cells are those of Keras and cuDNN: its GRU resets after the recurrent product, not before it. Chung et
al., arXiv 1412.3555, compare the three; sequences are as in Karpathy's char-rnn (2015).

Shapes: B rows, T places (H * W * C of an image), K values a place takes, E embedding, U units.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, final

import keras
import tensorflow as tf

from zoo.base import Batch, Completes, Conditions, GenerativeModel, Predicts, Samples, Shared, Terms, Turn
from zoo.distributions import categorical, draw_categorical, narrowed
from zoo.errors import UsageError
from zoo.layers.dropout import dropout
from zoo.layers.levels import quantise, to_image
from zoo.layers.text import NOTHING, behind_prompts
from zoo.noise import Noise

CARD = {
    "title": "RNN",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "sample_with", "score", "complete"],
    "paper": "Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014, arXiv 1406.1078",
    "summary": "vanilla RNN, LSTM or GRU over pixels, tokens or characters",
    "default": "lstm",
    "limits": "Reads in one direction: it completes an image from what stands before a pixel, not from what "
    "comes after. Text is scored in windows as long as those it was trained on, and drawn beyond them. "
    "It has the spelling and the tone of its text, and no meaning.",
}

PRESETS = {
    "tiny": {
        "config": {"units": 12, "embedding_size": 6, "dropout": 0.1},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "tiny_text": {
        "config": {"cell": "gru", "layers": 2, "units": 12, "embedding_size": 6, "sample_length": 20},
        "dataset": "prose",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "lstm": {
        "config": {"cell": "lstm", "units": 384, "embedding_size": 64, "dropout": 0.2},
        "dataset": "prose",
        "batch_size": 32,
        "epochs": 12,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 3e-5, "warmup": 100},
                "global_clipnorm": 100.0,
            }
        },
        "expect": "1.50 nats/character on prose; 5 min on 2 cores",
    },
    "gru": {
        "config": {"cell": "gru", "units": 384, "embedding_size": 64, "dropout": 0.2},
        "dataset": "prose",
        "batch_size": 32,
        "epochs": 12,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 2e-5, "warmup": 100},
                "global_clipnorm": 100.0,
            }
        },
        "expect": "not measured yet",
    },
    "rnn": {
        "config": {"cell": "vanilla", "units": 384, "embedding_size": 64, "dropout": 0.2},
        "dataset": "prose",
        "batch_size": 32,
        "epochs": 12,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 1e-3, "end": 1e-5, "warmup": 100},
                "global_clipnorm": 100.0,
            }
        },
        "expect": "not measured yet",
    },
    "digits": {
        "config": {"cell": "lstm", "units": 128, "embedding_size": 32, "dropout": 0.25},
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 40,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 3e-5, "warmup": 100},
                "global_clipnorm": 50.0,
            }
        },
        "expect": "test NLL 15.8 nats, 0.357 bits/dim; 1 min on 2 cores",
    },
    "glyphs": {
        "config": {"cell": "lstm", "units": 128, "embedding_size": 32},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 1,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 3e-5, "warmup": 100},
                "global_clipnorm": 100.0,
            }
        },
        "expect": "test NLL 60.6 nats, 0.112 bits/dim; 7 min on 2 cores",
    },
    "mnist": {
        "config": {"cell": "lstm", "units": 256, "embedding_size": 32},
        "dataset": "binarized_mnist",
        "batch_size": 64,
        "epochs": 5,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 2e-5, "warmup": 500},
                "global_clipnorm": 100.0,
            }
        },
        "expect": "121 nats after 200 steps (3.3 s of a core each); 2 h on 2 cores",
    },
}

CELLS = {"vanilla": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


@dataclasses.dataclass(frozen=True)
class Config:
    """The network, and what a sequence is.

    Attributes:
        image_shape: (H, W, C), of images; they are read in raster order, the channels of a pixel together.
        levels: of images: how many values a pixel takes; with 2, a pixel of half or more is 1.
        vocabulary: the symbol of each token; () for images.
        length: of texts: the tokens of an example.
        sample_length: of texts: the characters that are drawn, beside those of the prompt.
        cell: the kind of recurrence.
        layers: how many recurrent layers lie above one another.
        units: U, of each of them.
        embedding_size: E, what a value is turned into before it is read.
        dropout: the share of each layer's outputs that is left out in training.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    levels: int = 2
    vocabulary: tuple[str, ...] = ()
    length: int = 128
    sample_length: int = 500
    cell: Literal["vanilla", "lstm", "gru"] = "lstm"
    layers: int = 1
    units: int = 256
    embedding_size: int = 64
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.length, self.sample_length, self.layers, self.units, self.embedding_size) < 1:
            raise UsageError("length, sample_length, layers, units and embedding_size must be at least 1.")
        if self.levels < 2 or not 0 <= self.dropout < 1:
            raise UsageError("levels must be at least 2, dropout from 0 to below 1.")


@final
class RNN(GenerativeModel, Samples, Conditions, Predicts, Completes):
    """A recurrent network over the pixels of an image or the tokens of a text."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.modality = "tokens" if config.vocabulary else "image"
        self.levels = None if config.vocabulary else config.levels
        self.vocabulary = config.vocabulary
        self.values = len(config.vocabulary) or config.levels  # K
        # The last row stands for x_0, before the sequence begins.
        self.embedding = keras.layers.Embedding(self.values + 1, config.embedding_size)
        # The seed is of Keras' own dropout, which is not used, but kept among the variables.
        self.recurrent = [
            CELLS[config.cell](config.units, return_sequences=True, seed=0, name=f"{config.cell}_{index}")
            for index in range(config.layers)
        ]
        self.head = keras.layers.Dense(self.values, name="head", dtype="float32")
        self.embedding.build((None, None))
        size = config.embedding_size
        for layer in self.recurrent:
            layer.build((None, self.dimensions, size))
            size = config.units
        self.head.build((None, size))
        # A pixel's place in the image says much; a character's place in its window says nothing.
        self.place = None
        if not config.vocabulary:
            shape = (self.dimensions, config.embedding_size)
            self.place = self.add_weight(shape=shape, initializer="uniform", name="place")

    def example_shape(self) -> tuple[int, ...]:
        return (self.config.length,) if self.vocabulary else self.config.image_shape

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    def begin(self, batch: Batch) -> None:
        """Starts the outputs at the frequencies of the values in the data, half an example of each added."""
        counts = tf.cast(
            tf.math.bincount(self.sequence(batch[self.modality]), minlength=self.values), tf.float32
        )
        self.head.bias.assign(tf.math.log((counts + 0.5) / (tf.reduce_sum(counts) + 0.5 * self.values)))

    # -- likelihood ----------------------------------------------------------------------------------------

    def sequence(self, x: tf.Tensor) -> tf.Tensor:
        """Examples as values 0 .. K - 1, int32 [B, T]: pixels in raster order, or tokens."""
        if self.vocabulary:
            return tf.cast(x, tf.int32)
        return tf.reshape(quantise(x, self.config.levels), (-1, self.dimensions))

    def embed(self, previous: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        """What a cell reads: the value before, and where it reads.

        Args:
            previous: x_{t-1}, int32 [...]; K before the first.
            place: t, int32, a scalar or [...].

        Returns:
            [..., E].
        """
        embedded = self.embedding(previous)
        if self.place is None:
            return embedded
        return embedded + tf.cast(tf.gather(self.place.value, place), embedded.dtype)

    def logits(self, values: tf.Tensor, noise: Noise | None = None) -> tf.Tensor:
        """The logits [B, T, K] of each value given those before it.

        Args:
            values: int32 [B, T].
            noise: of the step; None outside training.
        """
        previous = tf.pad(values[:, :-1], [[0, 0], [1, 0]], constant_values=self.values)
        x = self.embed(previous, tf.range(values.shape[1]))
        for index, layer in enumerate(self.recurrent):
            x = dropout(layer(x), 1.0 - self.config.dropout, noise, f"layer {index}")
        return self.head(x)

    def log_conditionals(self, x: tf.Tensor) -> tf.Tensor:
        values = self.sequence(x)
        return categorical(self.logits(values)).log_prob(values)

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        values = self.sequence(batch[self.modality])
        log_conditionals = categorical(self.logits(values, noise)).log_prob(values)  # [B, T]
        loss = -tf.reduce_mean(tf.reduce_sum(log_conditionals, 1))
        return loss, {"nll": loss}

    # -- drawing -------------------------------------------------------------------------------------------

    def advance(
        self, previous: tf.Tensor, place: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One step of all layers.

        Args:
            previous: x_{t-1}, int32 [B].
            place: t, a scalar.
            states: of all layers, one after another, [B, U] each: h, or h and c.

        Returns:
            Logits [B, K] of x_t, and the states after it.
        """
        x, after, each = self.embed(previous, place), [], len(states) // len(self.recurrent)
        for index, layer in enumerate(self.recurrent):
            x, state = layer.cell(x, states[index * each : (index + 1) * each])
            after += state
        return self.head(x), after

    def continued(
        self,
        values: tf.Tensor,
        known: tf.Tensor,
        uniform: tf.Tensor,
        temperature: tf.Tensor | None = None,
        top_k: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Sequences in which what is unknown is drawn, one place after another, given all before it.

        Args:
            values: int32 [B, T]; T need not be that of an example.
            known: bool [B, T]: which values stand.
            uniform: [B, T], draws the others.
            temperature, top_k: [B] each, narrow what is drawn from.

        Returns:
            int32 [B, T].
        """
        rows, length = tf.unstack(tf.shape(values))
        columns = [tf.transpose(each) for each in (values, known, uniform)]  # [T, B]
        states = self.config.layers * (2 if self.config.cell == "lstm" else 1)
        start = [tf.zeros((rows, self.config.units)) for _ in range(states)]
        written = tf.TensorArray(tf.int32, length, element_shape=(values.shape[0],))

        def draw(t, previous, states, written):
            logits, states = self.advance(previous, t, states)
            if temperature is not None:
                logits = narrowed(logits, temperature, top_k)
            value, stands, u = (tf.gather(each, t) for each in columns)
            value = tf.where(stands, value, draw_categorical(logits, u))
            return t + 1, value, states, written.write(t, value)

        first = tf.fill((rows,), self.values)
        *_, written = tf.while_loop(
            lambda t, *_: t < length, draw, (tf.constant(0), first, start, written), maximum_iterations=length
        )
        return tf.transpose(written.stack())

    def sample(self, noise: Noise) -> tf.Tensor:
        """Images [B, H, W, C], or texts as tokens int32 [B, sample_length]."""
        size = self.config.sample_length if self.vocabulary else self.dimensions
        uniform = noise.uniform("values", (size,))
        nothing = tf.zeros_like(uniform, tf.int32)
        return self.example(self.continued(nothing, tf.zeros_like(nothing, tf.bool), uniform))

    def example(self, values: tf.Tensor) -> tf.Tensor:
        """What a sequence int32 [B, T] is an example of: an image [B, H, W, C], or itself."""
        if self.vocabulary:
            return values
        return tf.reshape(to_image(values, self.config.levels), (-1, *self.config.image_shape))

    def conditions(self) -> dict[str, tf.TensorSpec]:
        prompt = {"prompt": tf.TensorSpec([None], tf.string)} if self.vocabulary else {}
        narrowing = {
            "temperature": tf.TensorSpec([None], tf.float32),
            "top_k": tf.TensorSpec([None], tf.int32),
        }
        return {**prompt, **narrowing}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        """Like `sample`; a text begins with its prompt, and rows with a shorter one end with `NOTHING`."""
        if not self.vocabulary:
            uniform = noise.uniform("values", (self.dimensions,))
            values, known = tf.zeros_like(uniform, tf.int32), tf.zeros_like(uniform, tf.bool)
            return self.example(self.continued(values, known, uniform, **conditions))
        size = self.config.sample_length
        values, behind, uniform = behind_prompts(
            conditions.pop("prompt"), self.vocabulary, noise.uniform("values", (size,))
        )
        drawn = self.continued(values, behind < 0, uniform, **conditions)
        return tf.where(behind < size, drawn, NOTHING)

    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        if not self.vocabulary:
            known = tf.broadcast_to(known[..., None], tf.shape(x))
        stands = tf.reshape(known, (-1, self.dimensions))
        values = self.continued(self.sequence(x), stands, noise.uniform("values", (self.dimensions,)))
        return tf.where(known, x, self.example(values))
