"""Transformer: one sequence read as a whole, another one written to it, value after value.

Idea: an encoder lets every token of the source attend to every other one; a decoder lets every place of the
target attend to the places before it and to all of the source. Nothing recurs, so training computes all
places at once; drawing keeps keys and values.

Objective: the mean over examples of -log p(x | source) = -sum_t log p(x_t | x_<t, source), in nats; with
label smoothing e each target is (1 - e) of itself and e / K of every value (in training only).

Reference: Vaswani et al., Attention Is All You Need, arXiv 1706.03762: section 3 and figure 1 (normalised
after each part), 3.4 (the decoder's embedding is its last linear map, times sqrt(d) where it embeds), 3.5
(sinusoidal places), 5.3 (the learning rate), 5.4 (dropout, label smoothing); table 3 has the base model.
Sources and targets are words here, the paper's are byte pairs; its joint vocabulary is two.

Shapes: B rows, S tokens of the source, T places of the target, K values a place takes, G levels a token,
d width.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, final

import keras
import tensorflow as tf

from zoo.base import Batch, ConditionalLikelihood, Conditions, GenerativeModel, Shared, Terms, Turn
from zoo.distributions import draw_categorical, narrowed
from zoo.errors import UsageError
from zoo.layers.attention import Memory
from zoo.layers.decoding import in_turn
from zoo.layers.dropout import dropout
from zoo.layers.text import NOTHING, Unit, decode_text, decode_words, encode, fitted
from zoo.layers.tokens import Tokens
from zoo.layers.transformer import Block, sinusoids
from zoo.noise import Noise

CARD = {
    "title": "Transformer",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample_with", "score"],
    "paper": "Vaswani et al. 2017, arXiv 1706.03762",
    "summary": "encoder and decoder: a caption to the tokens of an image, or a text to a text",
    "default": "shapes",
    "limits": "Its likelihood is that of the target given the source, and not of the target alone. It knows "
    "the words that it was trained on; others are all one to it.",
}

PRESETS = {
    "tiny": {
        "config": {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "levels": 3, "smoothing": 0.1},
        "dataset": "shapes",
        "image_size": 8,
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "levels": 3,
            "group": 6,
            "width": 128,
            "depth": 3,
            "heads": 4,
            "hidden": 512,
            "dropout": 0.1,
        },
        "dataset": "shapes",
        "image_size": 16,
        "batch_size": 32,
        "epochs": 4,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "inverse_sqrt", "width": 128, "warmup": 800, "scale": 0.5},
                "beta_2": 0.98,
                "epsilon": 1e-9,
            }
        },
        "expect": "test NLL 36.1 nats given the caption, 0.068 bits/dim; 13 min on 2 cores",
    },
    "pairs": {
        "config": {"width": 128, "depth": 2, "heads": 4, "hidden": 512, "dropout": 0.1, "smoothing": 0.1},
        "dataset": "csv:PAIRS",
        "batch_size": 64,
        "epochs": 20,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "inverse_sqrt", "width": 128, "warmup": 1000, "scale": 0.5},
                "beta_2": 0.98,
                "epsilon": 1e-9,
            }
        },
        "expect": "a text to a text: a table of two columns",
    },
    "paper": {
        "config": {"width": 512, "depth": 6, "heads": 8, "hidden": 2048, "dropout": 0.1, "smoothing": 0.1},
        "dataset": "csv:PAIRS",
        "batch_size": 1000,
        "steps": 100_000,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "inverse_sqrt", "width": 512, "warmup": 4000},
                "beta_2": 0.98,
                "epsilon": 1e-9,
            }
        },
        "expect": "the paper's base model: 44.1 M parameters beside the embeddings, about 65 M with them",
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The network, and what the two sequences are.

    Attributes:
        image_shape: (H, W, C), of images; they are written in raster order.
        levels: of images: how many values a channel takes.
        group: G, of images: so many neighbouring levels are one token; 0 for those of a pixel.
        text: what a token of a text is.
        source_vocabulary: the symbol of each token of a source.
        target_vocabulary: the same of a target; () where it is an image.
        source_length, target_length: the most tokens of a text in training; a target that is drawn, and has
            more, is cut one token behind.
        width: d.
        depth: how many blocks the encoder has, and the decoder.
        heads: of each attention, a divisor of the width.
        hidden: units of a block's network.
        dropout: the share of values that is left out in training.
        smoothing: of labels, in training.
    """

    image_shape: tuple[int, int, int] = (16, 16, 3)
    levels: int = 4
    group: int = 0
    text: Unit = "words"
    source_vocabulary: tuple[str, ...] = ("a",)
    target_vocabulary: tuple[str, ...] = ()
    source_length: int = 20
    target_length: int = 20
    width: int = 128
    depth: int = 3
    heads: int = 4
    hidden: int = 512
    dropout: float = 0.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.source_length, self.target_length, self.width, self.depth, self.heads, self.hidden)
        if min(sizes) < 1 or self.levels < 2 or self.group < 0:
            raise UsageError("all sizes of a transformer must be at least 1, levels at least 2.")
        if not (0 <= self.dropout < 1 and 0 <= self.smoothing < 1):
            raise UsageError("dropout and smoothing must be from 0 to below 1.")
        if self.width % self.heads:
            raise UsageError(f"width={self.width} is not a multiple of heads={self.heads}.")


@final
class Transformer(GenerativeModel, Conditions, ConditionalLikelihood):
    """Encoder and decoder, from a text to an image or to another text."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.tokens = None
        self.values = len(config.target_vocabulary)  # K
        if config.target_vocabulary:
            self.modality = "text"
        else:
            self.levels = config.levels
            self.tokens = Tokens(config.image_shape, config.levels, config.group or config.image_shape[2])
            self.values = self.tokens.values
        # The last row stands before the first value, and where a text ends for its end.
        self.source_embedding = self.embedding(len(config.source_vocabulary), "source_embedding")
        self.target_embedding = self.embedding(self.values + 1, "target_embedding")
        self.encoder = [self.block(f"encoder_{index}") for index in range(config.depth)]
        self.decoder = [self.block(f"decoder_{index}", cross=True) for index in range(config.depth)]

    def embedding(self, size: int, name: str) -> Any:
        """A table [size, d] whose rows have length one on the average."""
        normal = keras.initializers.RandomNormal(0.0, self.config.width**-0.5)
        return self.add_weight(shape=(size, self.config.width), initializer=normal, name=name)

    def block(self, name: str, cross: bool = False) -> Block:
        """One block, ready to use."""
        config = self.config
        keep = 1.0 - config.dropout
        made = Block(
            config.width,
            config.heads,
            config.hidden,
            activation="relu",
            keep=keep,
            post_norm=True,
            cross=cross,
            name=name,
        )
        made.build()
        return made

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape if self.tokens else ()

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    # -- likelihood ----------------------------------------------------------------------------------------

    def read(self, text: tf.Tensor, vocabulary: tuple[str, ...]) -> tf.Tensor:
        """Texts, string [B] -> tokens int32 [B, S], `NOTHING` behind the end of the shorter ones."""
        return encode(text, vocabulary, self.config.text)

    def sequence(self, x: tf.Tensor) -> tf.Tensor:
        """Targets as values int32 [B, T]; a text ends with K, and `NOTHING` stands behind."""
        if self.tokens:
            return self.tokens.read(x)
        values = tf.pad(
            self.read(x, self.config.target_vocabulary), [[0, 0], [0, 1]], constant_values=NOTHING
        )
        length = tf.reduce_sum(tf.cast(values != NOTHING, tf.int32), 1)
        return tf.where(tf.range(tf.shape(values)[1]) == length[:, None], self.values, values)

    def embed(self, table: Any, tokens: tf.Tensor, place: tf.Tensor, noise: Noise | None) -> tf.Tensor:
        """What the blocks take: [B, T, d] of tokens int32 [B, T] at the places int32 [T]."""
        width = self.config.width
        found = tf.gather(table.value, tf.maximum(tokens, 0)) * math.sqrt(width)
        x = tf.cast(found + sinusoids(place, width), self.compute_dtype)
        return dropout(x, 1.0 - self.config.dropout, noise, table.name)

    def encode_source(self, source: tf.Tensor, noise: Noise | None = None) -> tuple[list[Memory], tf.Tensor]:
        """What the decoder attends to.

        Args:
            source: texts, string [B].
            noise: of the step; None outside training.

        Returns:
            For each block of the decoder keys and values [B, h, S, s]; and which of the S places a source
            has, bool [B, S].
        """
        tokens = self.read(source, self.config.source_vocabulary)
        if noise is not None:
            tokens = fitted(tokens, self.config.source_length)  # no mask depends on how long others are
        visible = tokens != NOTHING
        x = self.embed(self.source_embedding, tokens, tf.range(tf.shape(tokens)[1]), noise)
        for block in self.encoder:
            x, _ = block(x, visible=visible, noise=noise)
        return [block.cross_attention.remember(x) for block in self.decoder], visible

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """Logits [B, T, K], for texts K + 1, of what the decoder gives [B, T, d]."""
        rows = self.target_embedding.value[: self.values] if self.tokens else self.target_embedding.value
        return tf.matmul(tf.cast(x, tf.float32), tf.cast(rows, tf.float32), transpose_b=True)

    def predict_all(self, values: tf.Tensor, source: tf.Tensor, noise: Noise | None = None) -> tf.Tensor:
        """Logits of each value given the source and the values before it.

        Args:
            values: int32 [B, T].
            source: texts, string [B].
            noise: of the step; None outside training.
        """
        sources, visible = self.encode_source(source, noise)
        previous = tf.pad(values[:, :-1], [[0, 0], [1, 0]], constant_values=self.values)
        x = self.embed(self.target_embedding, previous, tf.range(tf.shape(values)[1]), noise)
        for block, memory in zip(self.decoder, sources, strict=True):
            x, _ = block(x, source=memory, causal=True, source_visible=visible, noise=noise)
        return self.logits(x)

    def log_prob_given(self, x: tf.Tensor, prompt: tf.Tensor) -> tf.Tensor:
        values = self.sequence(x)
        log_p = tf.nn.log_softmax(self.predict_all(values, prompt))
        return tf.reduce_sum(self.weighted(tf.gather(log_p, tf.maximum(values, 0), batch_dims=2), values), -1)

    def weighted(self, terms: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Terms [B, T], 0 behind the end of a text."""
        return tf.where(values == NOTHING, 0.0, terms)

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        values = self.sequence(batch[self.modality])
        if not self.tokens:
            values = fitted(values, self.config.target_length + 1)
        log_p = tf.nn.log_softmax(self.predict_all(values, batch["caption"], noise))
        own = self.weighted(tf.gather(log_p, tf.maximum(values, 0), batch_dims=2), values)
        any_value = self.weighted(tf.reduce_mean(log_p, -1), values)
        smoothing = self.config.smoothing
        nll = -tf.reduce_mean(tf.reduce_sum(own, -1))
        loss = (1.0 - smoothing) * nll - smoothing * tf.reduce_mean(tf.reduce_sum(any_value, -1))
        return loss, {"loss": loss, "nll": nll}

    # -- drawing -------------------------------------------------------------------------------------------

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"prompt": tf.TensorSpec([None], tf.string), "temperature": tf.TensorSpec([None], tf.float32)}

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C], or texts, string [B], each drawn given its prompt."""
        sources, visible = self.encode_source(conditions["prompt"])
        # A text that has not ended at its last place has no more likelihood than its beginning.
        length = self.tokens.places if self.tokens else self.config.target_length + 1
        uniform = noise.uniform("values", (length,))
        all_values = tf.zeros_like(conditions["temperature"], tf.int32)  # top_k = 0: none is left out

        def choose(t, previous, memories, written):
            x = self.embed(self.target_embedding, previous[:, None], t[None], None)
            after = []
            for block, memory, source in zip(self.decoder, memories, sources, strict=True):
                x, memory = block(x, memory, source, source_visible=visible)
                after.append(memory)
            logits = narrowed(self.logits(x)[:, 0], conditions["temperature"], all_values)
            return draw_categorical(logits, tf.gather(uniform, t, axis=1)), after

        rows = tf.shape(uniform)[0]
        nothing = [block.attention.empty_memory(rows) for block in self.decoder]
        end = None if self.tokens else self.values
        values = in_turn(choose, tf.fill((rows,), self.values), nothing, length, end)
        return self.example(values)

    def example(self, values: tf.Tensor) -> tf.Tensor:
        """What a sequence int32 [B, T] is: an image [B, H, W, C], or a text up to its end, string [B]."""
        if self.tokens:
            return self.tokens.draw(values)
        ended = tf.cumsum(tf.cast(values == self.values, tf.int32), 1) > 0
        decode = decode_words if self.config.text == "words" else decode_text
        return decode(tf.where(ended, NOTHING, values), self.config.target_vocabulary)
