"""ImageGPT: a Transformer that looks back, over the pixels of an image or the characters of a text.

Idea: read the sequence once through a stack of blocks in which each place attends to itself and to all places
before it, and predict at each place what comes next. Training sees all places at once. Drawing goes one place
at a time; the keys and values of the places before are kept, so that a step costs one place and not all.

Objective: the mean over examples of -log p(x) = -sum_t log p(x_t | x_<t), in nats, with

    h_t = e(x_{t-1}) + place_t,    h = blocks(h),    p(x_t = k | x_<t) = softmax_k(V norm(h_t) + b)

and x_0 a sign of its own.

Reference: Chen et al., Generative Pretraining from Pixels (ICML 2020), sections 2 and 3: GPT-2's blocks,
normalised before their parts, learned places, colours as 512 tokens. Theirs come from k-means and lose what
a cluster does not hold; here a token is `group` neighbouring levels, and the likelihood is the image's own.
Radford et al., Language Models are Unsupervised Multitask Learners (2019), for the blocks and for texts.

Shapes: B rows, T places, K values a place takes, G levels a token, d width.
"""

from __future__ import annotations

import dataclasses
import math
from typing import final

import keras
import numpy as np
import tensorflow as tf

from zoo.base import Batch, Completes, Conditions, GenerativeModel, Predicts, Samples, Shared, Terms, Turn
from zoo.distributions import categorical, draw_categorical, narrowed
from zoo.errors import UsageError
from zoo.layers.attention import Memory
from zoo.layers.decoding import in_turn
from zoo.layers.dropout import dropout
from zoo.layers.levels import quantise
from zoo.layers.text import NOTHING, behind_prompts
from zoo.layers.tokens import Tokens
from zoo.layers.transformer import Activation, Block, layer_norm
from zoo.noise import Noise

CARD = {
    "title": "ImageGPT",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "sample_with", "score", "complete"],
    "paper": "Chen et al. 2020, Generative Pretraining from Pixels (ICML)",
    "summary": "a decoder-only Transformer over pixels or characters, drawn with kept keys and values",
    "default": "digits",
    "limits": "Every place attends to all before it, so that time and memory grow with the square of the "
    "length: large pictures are out of reach. It completes an image from what stands before a pixel, not "
    "from what comes after. It has the spelling and the tone of its text, and no meaning.",
}

PRESETS = {
    "tiny": {
        "config": {"width": 8, "depth": 2, "heads": 2, "dropout": 0.1, "group": 2},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "tiny_text": {
        "config": {"width": 8, "depth": 1, "heads": 2, "sample_length": 20},
        "dataset": "prose",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {"width": 64, "depth": 4, "heads": 4, "dropout": 0.2, "group": 2},
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 60,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 100},
                "weight_decay": 0.1,
                "beta_2": 0.98,
            }
        },
        "expect": "test NLL 16.3 nats, 0.369 bits/dim; 2 min on 2 cores",
    },
    "glyphs": {
        "config": {"width": 96, "depth": 4, "heads": 4, "group": 7},
        "dataset": "glyphs",
        "batch_size": 50,
        "epochs": 3,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 200},
                "weight_decay": 0.05,
                "beta_2": 0.98,
            }
        },
        "expect": "test NLL 45.2 nats, 0.083 bits/dim; 15 min on 2 cores",
    },
    "text": {
        "config": {"width": 192, "depth": 4, "heads": 4, "dropout": 0.1},
        "dataset": "prose",
        "batch_size": 16,
        "epochs": 10,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 5e-5, "warmup": 200},
                "weight_decay": 0.1,
                "beta_2": 0.98,
                "global_clipnorm": 100.0,
            }
        },
        "expect": "1.58 nats/character on Tiny Shakespeare, a million characters; 20 min on 2 cores",
    },
    "mnist": {
        "config": {"width": 128, "depth": 6, "heads": 4, "group": 4, "dropout": 0.1},
        "dataset": "binarized_mnist",
        "batch_size": 50,
        "epochs": 5,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 500},
                "weight_decay": 0.1,
                "beta_2": 0.98,
            }
        },
        "expect": "127 nats after 200 steps (2.7 s of a core each); 2 h on 2 cores",
    },
    "paper": {
        "config": {"width": 512, "depth": 24, "heads": 8, "levels": 8, "group": 3},
        "dataset": "cifar10",
        "batch_size": 128,
        "epochs": 100,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 400},
                "beta_2": 0.95,
            }
        },
        "expect": "iGPT-S: 76 M parameters over 32x32 pixels of 512 colours",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The network, and what a sequence is.

    Attributes:
        image_shape: (H, W, C), of images; they are read in raster order, the channels of a pixel together.
        levels: of images: how many values a level takes; with 2, a pixel of half or more is 1.
        group: G, of images: so many neighbouring levels are one token; 1 for each by itself.
        vocabulary: the symbol of each token; () for images.
        length: of texts: the tokens of an example, and the most that a place looks back.
        sample_length: of texts: the characters that are drawn, beside those of the prompt.
        width: d.
        depth: how many blocks.
        heads: of each attention, a divisor of the width.
        expansion: units of a block's network, in widths.
        activation: of a block's network.
        dropout: the share of values that is left out in training.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    levels: int = 2
    group: int = 1
    vocabulary: tuple[str, ...] = ()
    length: int = 128
    sample_length: int = 500
    width: int = 96
    depth: int = 4
    heads: int = 4
    expansion: int = 4
    activation: Activation = "gelu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.group, self.sample_length, self.width, self.depth, self.heads, self.expansion)
        if min(sizes) < 1 or self.length < 2 or self.levels < 2:
            raise UsageError("all sizes of an imagegpt must be at least 1, length and levels at least 2.")
        if not 0 <= self.dropout < 1:
            raise UsageError("dropout must be from 0 to below 1.")
        if self.width % self.heads:
            raise UsageError(f"width={self.width} is not a multiple of heads={self.heads}.")


@final
class ImageGPT(GenerativeModel, Samples, Conditions, Predicts, Completes):
    """A decoder-only Transformer over the tokens of an image or the characters of a text."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.modality = "tokens" if config.vocabulary else "image"
        self.levels = None if config.vocabulary else config.levels
        self.vocabulary = config.vocabulary
        self.tokens = None
        self.values, self.places = len(config.vocabulary), config.length  # K, T
        if not config.vocabulary:
            self.tokens = Tokens(config.image_shape, config.levels, config.group)
            self.values, self.places = self.tokens.values, self.tokens.places
        small = keras.initializers.RandomNormal(0.0, 0.02)
        # The last row stands for x_0, before the sequence begins.
        self.embedding = keras.layers.Embedding(self.values + 1, config.width, small, name="embedding")
        self.embedding.build()
        self.place = self.add_weight(shape=(self.places, config.width), initializer=small, name="place")
        self.blocks = [
            Block(
                config.width,
                config.heads,
                config.expansion * config.width,
                activation=config.activation,
                keep=1.0 - config.dropout,
                name=f"block_{index}",
            )
            for index in range(config.depth)
        ]
        for block in self.blocks:
            block.build()
        self.norm = layer_norm(config.width, "norm")
        self.head = keras.layers.Dense(self.values, kernel_initializer=small, name="head", dtype="float32")
        self.head.build((None, config.width))

    def example_shape(self) -> tuple[int, ...]:
        return (self.config.length,) if self.vocabulary else self.config.image_shape

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    # -- likelihood ----------------------------------------------------------------------------------------

    def sequence(self, x: tf.Tensor) -> tf.Tensor:
        """Examples as values 0 .. K - 1, int32 [B, T]."""
        return self.tokens.read(x) if self.tokens else tf.cast(x, tf.int32)

    def example(self, values: tf.Tensor) -> tf.Tensor:
        """What a sequence int32 [B, T] is an example of: an image [B, H, W, C], or itself."""
        return self.tokens.draw(values) if self.tokens else values

    def read(
        self, previous: tf.Tensor, place: tf.Tensor, noise: Noise | None = None
    ) -> tuple[tf.Tensor, list[Memory]]:
        """The network over places that follow one another from the first one on.

        Args:
            previous: x_{t-1}, int32 [B, T]; K before the first.
            place: t, int32 [T].
            noise: of the step; None outside training.

        Returns:
            [B, T, d], and the memory of each block.
        """
        x = self.embedding(previous) + tf.cast(tf.gather(self.place.value, place), self.compute_dtype)
        x = dropout(x, 1.0 - self.config.dropout, noise, "embedding")
        memories = []
        for block in self.blocks:
            x, memory = block(x, causal=True, noise=noise)
            memories.append(memory)
        return x, memories

    def logits(self, values: tf.Tensor, noise: Noise | None = None) -> tf.Tensor:
        """Logits [B, T, K] of each value given those before it, of values int32 [B, T]."""
        previous = tf.pad(values[:, :-1], [[0, 0], [1, 0]], constant_values=self.values)
        x, _ = self.read(previous, tf.range(values.shape[1]), noise)
        return self.head(self.norm(x))

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
        self, previous: tf.Tensor, place: tf.Tensor, memories: list[Memory]
    ) -> tuple[tf.Tensor, list[Memory]]:
        """One place more.

        Args:
            previous: x_{t-1}, int32 [B].
            place: t, int32 [].
            memories: of each block, of the places before.

        Returns:
            Logits [B, K] of x_t, and the memories with this place behind them.
        """
        x = self.embedding(previous) + tf.cast(tf.gather(self.place.value, place), self.compute_dtype)
        x, after = x[:, None], []  # [B, 1, d]
        for block, memory in zip(self.blocks, memories, strict=True):
            x, memory = block(x, memory)
            after.append(memory)
        return self.head(self.norm(x))[:, 0], after

    def continued(
        self,
        uniform: tf.Tensor,
        values: tf.Tensor | None = None,
        known: tf.Tensor | None = None,
        temperature: tf.Tensor | None = None,
        top_k: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Sequences in which what is unknown is drawn, one place after another, given all before it.

        Args:
            uniform: [B, N], draws the values; N is T, or as many as are wanted of a text.
            values: what is known, int32 [B, N, G]: the levels of each token, or the character; None: nothing.
            known: bool [B, N, G], where.
            temperature, top_k: [B] each, narrow what is drawn from.

        Returns:
            int32 [B, N].
        """
        digits = self.tokens.digits if self.tokens else np.arange(self.values, dtype=np.int32)[:, None]

        def choose(t, previous, memories, written):
            place = t
            if self.vocabulary:
                place, memories = self.moved_on(t, memories, written)
            logits, memories = self.advance(previous, place, memories)
            if known is not None:
                value, stands = tf.gather(values, t, axis=1), tf.gather(known, t, axis=1)  # [B, G]
                fits = tf.reduce_all((digits == value[:, None]) | ~stands[:, None], -1)  # [B, K]
                logits = tf.where(fits, logits, -math.inf)
            if temperature is not None:  # of what fits the likeliest: what is known may be unlikely
                logits = narrowed(logits, temperature, top_k)
            return draw_categorical(logits, tf.gather(uniform, t, axis=1)), memories

        rows, length = tf.unstack(tf.shape(uniform))
        nothing = [block.attention.empty_memory(rows) for block in self.blocks]
        return in_turn(choose, tf.fill((rows,), self.values), nothing, length)

    def moved_on(
        self, t: tf.Tensor, memories: list[Memory], written: tf.TensorArray
    ) -> tuple[tf.Tensor, list[Memory]]:
        """The place of character t of a text of any length, and the memories of the places before it.

        When all T places are used up, the latest T / 2 characters become the beginning of a new sequence: so
        that each character is drawn given at least as many, and seldom is anything read again.

        Args:
            t: int32 [].
            memories: of each block, of the places before.
            written: the characters so far.
        """
        half = self.places // 2

        def again() -> list[Memory]:
            latest = tf.transpose(written.gather(tf.range(t - half, t - 1)))  # [B, T / 2 - 1]
            previous = tf.pad(latest, [[0, 0], [1, 0]], constant_values=self.values)
            return self.read(tf.ensure_shape(previous, (None, half)), tf.range(half))[1]

        beyond = (t - self.places) % (self.places - half)
        begins = tf.logical_and(t >= self.places, beyond == 0)
        memories = tf.cond(begins, again, lambda: memories)
        return tf.where(t < self.places, t, half + beyond), memories

    def sample(self, noise: Noise) -> tf.Tensor:
        """Images [B, H, W, C], or texts as tokens int32 [B, sample_length]."""
        size = self.config.sample_length if self.vocabulary else self.places
        return self.example(self.continued(noise.uniform("values", (size,))))

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
            return self.example(self.continued(noise.uniform("values", (self.places,)), **conditions))
        size = self.config.sample_length
        values, behind, uniform = behind_prompts(
            conditions.pop("prompt"), self.vocabulary, noise.uniform("values", (size,))
        )
        drawn = self.continued(uniform, values[..., None], (behind < 0)[..., None], **conditions)
        return tf.where(behind < size, drawn, NOTHING)

    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        uniform = noise.uniform("values", (self.places,))
        if not self.tokens:
            return tf.where(known, x, self.continued(uniform, x[..., None], known[..., None]))
        known = tf.broadcast_to(known[..., None], tf.shape(x))
        levels = self.tokens.apart(quantise(x, self.config.levels))
        values = self.continued(uniform, levels, self.tokens.apart(known))
        return tf.where(known, x, self.example(values))
