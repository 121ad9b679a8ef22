"""DALL-E: caption and image as one sequence of tokens, which a Transformer writes to its end.

Idea: a dVAE, trained before, turns an image into a small grid of tokens and back. Behind the words of its
caption they make one sequence, and a decoder-only Transformer learns the sequence: first the words, then the
tokens of the image, row by row. To draw, it is given the words and goes on.

Objective: minimise, of S places of text and T of the image,

    L = w / S sum_s -log p(c_s | c_<s)  +  (1 - w) / T sum_t -log p(v_t | v_<t, c),    w = 1/8

the two cross-entropies, each divided by its places. Behind the end of a caption, and where one was left out,
the terms are 0 and S stays S: a word weighs as much in a short caption as in a long one. What is scored is
the second sum without weights, the exact log p(v | c) of the tokens given the caption. It is no likelihood of
the image: many tokens decode to nearly the same pixels, and other tokens come of another dVAE.

Candidates are ranked by log p(v | c) - log p(v), which is log p(c | v) - log p(c): for one caption it puts
them in the order of how likely the caption is, given the image. log p(v) is that of no caption, which a share
of the examples of training has for it.

Reference: Ramesh et al., Zero-Shot Text-to-Image Generation, arXiv 2102.12092: section 2.2, appendix B.1 (the
masks; a learned sign for each place of a caption without a word; rows and columns of the grid), B.3 (the
optimizer). Theirs are byte pairs, words here; their candidates are ranked by CLIP, a third model. Blocks are
those of Radford et al. (2019), normalised before their parts.

Shapes: B rows, S places of text, h x w grid of T tokens, K tokens to choose from, V words, d width. The
network stands at S + T places: a sign of the beginning, S words, T - 1 tokens; each predicts what comes next.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import keras
import numpy as np
import tensorflow as tf

from zoo.base import (
    Batch,
    ConditionalLikelihood,
    GenerativeModel,
    Ranks,
    Scored,
    Shared,
    Terms,
    Tokenises,
    Turn,
    TwoStage,
)
from zoo.distributions import categorical, draw_categorical, narrowed
from zoo.errors import UsageError
from zoo.layers.decoding import in_turn
from zoo.layers.dropout import dropout
from zoo.layers.initializers import normal
from zoo.layers.text import NOTHING, Unit, encode, fitted
from zoo.layers.transformer import Block, layer_norm
from zoo.noise import Noise
from zoo.stages import SavedTokens

CARD = {
    "title": "DALL-E",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample_with", "score", "rank"],
    "paper": "Ramesh et al. 2021, arXiv 2102.12092",
    "summary": "caption and image tokens in one Transformer over a trained dvae",
    "default": "shapes",
    "limits": "Its likelihood is that of the tokens given the caption: not that of the image, and not to be "
    "compared where another dvae makes the tokens. It draws nothing finer than the dvae restores. It knows "
    "the words that it was trained on.",
}

PRESETS = {
    "tiny": {
        "config": {
            "dvae": "dvae:tiny",
            "grid": [4, 4],
            "codebook": 6,
            "width": 4,
            "depth": 1,
            "heads": 2,
            "attention": "sparse",
            "unprompted": 0.2,
        },
        "dataset": "shapes",
        "image_size": 8,
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "shapes": {
        "config": {
            "dvae": "dvae:shapes",
            "grid": [16, 16],
            "codebook": 256,
            "width": 128,
            "depth": 5,
            "heads": 4,
            "unprompted": 0.1,
        },
        "dataset": "shapes/heldout",
        "batch_size": 32,
        "epochs": 4,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 200},
                "weight_decay": 0.05,
                "beta_2": 0.98,
            }
        },
        "expect": "captions to 32x32: two of three shapes, nearly all else as they say; 90 min of one core",
    },
    "paper": {
        "config": {
            "dvae": "dvae:paper",
            "grid": [32, 32],
            "codebook": 8192,
            "width": 3968,
            "depth": 64,
            "heads": 62,
            "attention": "sparse",
        },
        "dataset": "folder:IMAGES",
        "image_size": 256,
        "batch_size": 1024,
        "steps": 430_000,
        "optimizers": {
            "likelihood": {
                "name": "adamw",
                "learning_rate": {"schedule": "exponential", "start": 4.5e-4, "end": 1.4e-5, "warmup": 5000},
                "weight_decay": 0.045,
                "beta_2": 0.96,
                "global_clipnorm": 4.0,
            }
        },
        "expect": "the paper's network of 12 billion parameters; needs accelerators, and many",
    },
}

Pattern = Literal["row", "column", "convolution"]


@dataclasses.dataclass(frozen=True)
class Config:
    """The network, and what its two vocabularies are.

    Attributes:
        image_shape: (H, W, C).
        dvae: the first stage: a run, a SavedModel or a name; in a preset the one that is trained first.
        grid: (h, w) of its tokens.
        codebook: K, how many it has.
        text: what a token of a caption is.
        source_vocabulary: V, the symbol of each token of a caption.
        source_length: S, the most tokens of a caption that are read.
        width: d.
        depth: how many blocks.
        heads: of each attention, a divisor of the width.
        expansion: units of a block's network, in widths.
        attention: what a token of the image sees of those before it, beside the whole caption: all of them
            (`full`), or those of a pattern that changes with the block (`sparse`, the paper's).
        kernel: how many rows and columns the pattern of the last block spans, around a token.
        dropout: the share of values that is left out in training.
        text_weight: w, the weight of the caption in the loss.
        unprompted: the share of captions that are left out in training, so that candidates can be ranked.
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    dvae: str = "dvae:shapes"
    grid: tuple[int, int] = (8, 8)
    codebook: int = 128
    text: Unit = "words"
    source_vocabulary: tuple[str, ...] = ("a",)
    source_length: int = 8
    width: int = 128
    depth: int = 5
    heads: int = 4
    expansion: int = 4
    attention: Literal["full", "sparse"] = "full"
    kernel: int = 11
    dropout: float = 0.0
    text_weight: float = 0.125
    unprompted: float = 0.0

    def __post_init__(self) -> None:
        sizes = (*self.grid, self.source_length, self.width, self.depth, self.heads, self.expansion)
        if min(sizes) < 1 or self.codebook < 2 or self.kernel < 1:
            raise UsageError("all sizes of a dalle must be at least 1, codebook at least 2.")
        if not (0 <= self.dropout < 1 and 0 <= self.unprompted < 1 and 0 < self.text_weight < 1):
            raise UsageError("dropout and unprompted must be from 0 to below 1, text_weight between 0 and 1.")
        if self.width % self.heads:
            raise UsageError(f"width={self.width} is not a multiple of heads={self.heads}.")


def pattern_of(block: int, depth: int) -> Pattern:
    """The pattern of a block, counted from 1 (appendix B.1)."""
    if block == depth:
        return "convolution"
    return "column" if (block - 2) % 4 == 0 else "row"


def sparse(pattern: Pattern, texts: int, grid: Sequence[int], kernel: int) -> np.ndarray:
    """What each place sees: bool [N, N], N = texts + h w - 1.

    Text sees the text before it. A token of the image sees all text, itself, and of the tokens before it

        row            the w latest, up to that above it
        column         those of its column
        convolution    those at most kernel // 2 rows and columns away

    Args:
        pattern: of the tokens of the image.
        texts: how many places the text has, with the sign of its beginning.
        grid: (h, w).
        kernel: of the convolution.
    """
    height, width = grid
    token = np.arange(height * width - 1)
    query, key = token[:, None], token[None, :]
    match pattern:
        case "row":
            seen = query - key <= width
        case "column":
            seen = (query - key) % width == 0
        case "convolution":
            down, right = query // width - key // width, np.abs(query % width - key % width)
            seen = (down <= kernel // 2) & (right <= kernel // 2)
    places = np.tri(texts + len(token), dtype=bool)
    places[texts:, texts:] &= seen
    return places


@final
class DALLE(GenerativeModel, TwoStage, Ranks, ConditionalLikelihood):
    """A decoder-only Transformer over the words of a caption and the tokens of an image."""

    first_stage = "dvae"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.places = math.prod(config.grid)  # T
        self.words = len(config.source_vocabulary)  # V
        self.longest_prompt = config.source_length
        self.scored = Scored("tokens", self.places, config.codebook)
        self.dvae: Tokenises | None = None

        def table(name: str, rows: int) -> Any:
            return self.add_weight(shape=(rows, config.width), initializer=normal(), name=name)

        def head(name: str, values: int) -> keras.layers.Dense:
            layer = keras.layers.Dense(values, kernel_initializer=normal(), name=name, dtype="float32")
            layer.build((None, config.width))
            return layer

        self.word = table("word", self.words)
        self.no_word = table("no_word", config.source_length)  # for each place its own
        self.text_place = table("text_place", config.source_length + 1)  # the first is all of the beginning
        self.token = table("token", config.codebook)
        self.row, self.column = table("row", config.grid[0]), table("column", config.grid[1])
        self.blocks = [
            Block(
                config.width,
                config.heads,
                config.expansion * config.width,
                keep=1.0 - config.dropout,
                name=f"block_{index}",
            )
            for index in range(config.depth)
        ]
        for block in self.blocks:
            block.build()
        self.norm = layer_norm(config.width, "norm")
        self.text_head = head("text_head", self.words + 1)  # the last one: no more words
        self.image_head = head("image_head", config.codebook)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    # -- the first stage -----------------------------------------------------------------------------------

    def stand_on(self, first: Tokenises, weights_hash: str = "") -> None:
        self.dvae = first
        self.scored = Scored("tokens", self.places, self.config.codebook, weights_hash)

    @property
    def tokens(self) -> Tokenises:
        """The first stage."""
        if self.dvae is None:
            raise UsageError("dalle turns images into tokens by a trained dvae: let it stand_on one.")
        return self.dvae

    def save_assets(self, folder: str) -> None:
        """Puts the first stage into a `.keras` file."""
        if isinstance(self.dvae, SavedTokens):
            shutil.copytree(self.dvae.path, folder, dirs_exist_ok=True)

    def load_assets(self, folder: str) -> None:
        """Takes the first stage from a `.keras` file, whose folder is gone afterwards."""
        kept = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, kept, ignore_errors=True)
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        first = SavedTokens(kept).open()
        self.stand_on(first, first.weights_hash)

    # -- the network ---------------------------------------------------------------------------------------

    def read(self, prompt: tf.Tensor) -> tf.Tensor:
        """Captions, string [B] -> their tokens int32 [B, S], `NOTHING` behind the end."""
        tokens = encode(prompt, self.config.source_vocabulary, self.config.text)
        return fitted(tokens, self.config.source_length)

    def embed_text(self, text: tf.Tensor) -> tf.Tensor:
        """[B, S + 1, d]: the sign of the beginning, and the tokens [B, S] of captions at their places."""
        words = tf.gather(self.word.value, tf.maximum(text, 0))
        words = tf.where((text == NOTHING)[..., None], self.no_word.value, words)
        placed = tf.pad(words, [[0, 0], [1, 0], [0, 0]]) + self.text_place.value
        return tf.cast(placed, self.compute_dtype)

    def embed_image(self, tokens: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        """[B, n, d] of tokens int32 [B, n] at the places int32 [n] of the grid, row by row."""
        width = self.config.grid[1]
        rows, columns = (
            tf.gather(table.value, index)
            for table, index in ((self.row, place // width), (self.column, place % width))
        )
        return tf.cast(tf.gather(self.token.value, tokens) + rows + columns, self.compute_dtype)

    def patterns(self) -> list[np.ndarray | None]:
        """What each of the S + T places sees in each block, bool [S + T, S + T]; None: all before it."""
        config = self.config
        if config.attention == "full":
            return [None] * config.depth
        kinds = [pattern_of(block, config.depth) for block in range(1, config.depth + 1)]
        texts = config.source_length + 1
        seen = {kind: sparse(kind, texts, config.grid, config.kernel) for kind in dict.fromkeys(kinds)}
        return [seen[kind] for kind in kinds]

    def hidden(self, text: tf.Tensor, tokens: tf.Tensor, noise: Noise | None = None) -> tf.Tensor:
        """What is known at each place: [B, S + T, d] of text [B, S] and tokens [B, T], the last unread."""
        before = self.embed_image(tokens[:, :-1], tf.range(self.places - 1))
        x = tf.concat([self.embed_text(text), before], 1)
        x = dropout(x, 1.0 - self.config.dropout, noise, "embedding")
        for block, pattern in zip(self.blocks, self.patterns(), strict=True):
            x, _ = block(x, causal=True, pattern=pattern, noise=noise)
        return self.norm(x)

    def log_tokens(self, hidden: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """log p(v_t | v_<t, c) in nats, [B, T]."""
        return categorical(self.image_head(hidden[:, self.config.source_length :])).log_prob(tokens)

    def log_words(self, hidden: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        """log p(c_s | c_<s) in nats, [B, S]; behind the end of a caption nothing is left to predict: 0."""
        logits = self.text_head(hidden[:, : self.config.source_length])
        nats = categorical(logits).log_prob(tf.where(text == NOTHING, self.words, text))
        ended = tf.pad(text[:, :-1] == NOTHING, [[0, 0], [1, 0]])
        return tf.where(ended, 0.0, nats)

    # -- likelihood ----------------------------------------------------------------------------------------

    def log_prob_given(self, x: tf.Tensor, prompt: tf.Tensor) -> tf.Tensor:
        """log p(v | c) in nats, [B], of the tokens of images given their captions."""
        return self.log_prob_of(self.tokens.tokenise(x), self.read(prompt))

    def log_prob_of(self, tokens: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        """log p(v | c) in nats, [B], of tokens [B, T] given the text [B, S]."""
        return tf.reduce_sum(self.log_tokens(self.hidden(text, tokens), tokens), -1)

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        tokens, text = self.tokens.tokenise(batch["image"]), self.read(batch["caption"])
        left_out = noise.uniform("unprompted", ()) < self.config.unprompted  # [B]
        hidden = self.hidden(tf.where(left_out[:, None], NOTHING, text), tokens, noise)
        # What was left out is not to be predicted: p(c) is that of captions as they are.
        words = tf.where(left_out[:, None], 0.0, self.log_words(hidden, text))
        caption = -tf.reduce_mean(tf.reduce_sum(words, -1))
        image = -tf.reduce_mean(tf.reduce_sum(self.log_tokens(hidden, tokens), -1))
        weight = self.config.text_weight
        loss = weight * caption / self.config.source_length + (1.0 - weight) * image / self.places
        return loss, {"loss": loss, "nll_caption": caption, "nll_tokens": image}

    # -- drawing -------------------------------------------------------------------------------------------

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {
            "prompt": tf.TensorSpec([None], tf.string),
            "temperature": tf.TensorSpec([None], tf.float32),
            "top_k": tf.TensorSpec([None], tf.int32),
        }

    def continued(
        self, text: tf.Tensor, uniform: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor
    ) -> tf.Tensor:
        """Tokens int32 [B, T] that are drawn one after another behind the text [B, S].

        Args:
            text: as `read` gives it.
            uniform: [B, T], draws them.
            temperature, top_k: [B] each, narrow what is drawn from.
        """
        behind = self.embed_text(text)
        x, last, memories = behind[:, :-1], behind[:, -1:], []
        for block in self.blocks:  # text sees all text before it, whatever the pattern
            x, memory = block(x, causal=True)
            memories.append(memory)
        texts, patterns = self.config.source_length, self.patterns()

        def choose(t, previous, memories, written):
            drawn = self.embed_image(previous[:, None], tf.maximum(t - 1, 0)[None])
            x, after = tf.where(t == 0, last, drawn), []
            for block, memory, pattern in zip(self.blocks, memories, patterns, strict=True):
                seen = None if pattern is None else tf.constant(pattern)[texts + t, None, : texts + t + 1]
                x, memory = block(x, memory, pattern=seen)
                after.append(memory)
            logits = narrowed(self.image_head(self.norm(x))[:, 0], temperature, top_k)
            return draw_categorical(logits, tf.gather(uniform, t, axis=1)), after

        return in_turn(choose, tf.zeros_like(top_k), memories, self.places)

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        """Images [B, H, W, C], each drawn given its prompt; an empty one is no caption."""
        text = self.read(conditions.pop("prompt"))
        return self.tokens.decode(self.continued(text, noise.uniform("tokens", (self.places,)), **conditions))

    def ranks(self) -> bool:
        return self.config.unprompted > 0.0

    def sample_best(
        self, noise: Noise, candidates: tf.Tensor, **conditions: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Images [B, H, W, C], and log p(v | c) - log p(v) of their tokens; only where `ranks`."""
        text = self.read(conditions.pop("prompt"))
        texts = tf.concat([text, tf.fill(tf.shape(text), NOTHING)], 0)  # [2 B, S]
        first = noise.uniform("tokens", (self.places,))
        most = tf.reduce_max(candidates)

        def compare(index, best, fit):
            uniform = tf.where(index == 0, first, noise.fold(index).uniform("tokens", (self.places,)))
            tokens = self.continued(text, uniform, **conditions)
            given, alone = tf.split(self.log_prob_of(tf.concat([tokens, tokens], 0), texts), 2)
            better = (index < candidates) & (given - alone > fit)
            return index + 1, tf.where(better[:, None], tokens, best), tf.where(better, given - alone, fit)

        nothing = tf.zeros_like(first, tf.int32), tf.fill(tf.shape(candidates), -math.inf)
        _, best, fit = tf.while_loop(lambda index, *_: index < most, compare, (tf.constant(0), *nothing))
        return self.tokens.decode(best), fit
