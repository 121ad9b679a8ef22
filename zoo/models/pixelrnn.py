"""PixelRNN: every pixel from those before it, by LSTMs that run over the image.

Idea: p(x) is a product of conditionals, one a value in raster order (at a pixel R, then G, then B). LSTMs in
two dimensions carry what a pixel needs of all those before it: Row LSTM sees a triangle above it, Diagonal
BiLSTM sees everything (to which its stream from the right reads the image too, which is not in the paper).

Objective: the mean of -log p(x) = -sum_i log p(x_i | x_1 .. x_{i-1}), in nats; binary values are Bernoulli,
others Categorical.

Reference: van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks, arXiv 1601.06759:
sections 3.1 to 3.4, figure 5 (residual block), table 1; table 4 has 79.20 nats on binarized MNIST for seven
layers of Diagonal BiLSTM with h = 16.

Shapes: B rows of a batch, H x W x C image, N = H W pixels in the order of the recursion, h features, O logits
a value.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, final

import keras
import tensorflow as tf

from zoo.base import (
    Batch,
    Completes,
    Conditions,
    ExactLikelihood,
    GenerativeModel,
    Samples,
    Shared,
    Terms,
    Turn,
)
from zoo.errors import UsageError
from zoo.layers.dropout import dropout
from zoo.layers.levels import quantise
from zoo.layers.masked import MaskedConv, MaskedHead
from zoo.layers.pixel_lstm import DiagonalBiLSTM, DiagonalByPixel, RowByPixel, RowLSTM, skew, unskew
from zoo.layers.raster import (
    Kept,
    Maps,
    PixelByPixel,
    centred,
    draw_images,
    log_prob_of,
    nothing_above,
    nothing_left,
)
from zoo.noise import Noise

CARD = {
    "title": "PixelRNN",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "sample_with", "score", "complete"],
    "paper": "van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv 1601.06759",
    "summary": "LSTMs over rows or diagonals give every pixel's conditional",
    "default": "digits",
    "limits": "Draws one value after another, and has no code to encode into. Row LSTM sees a triangle above "
    "a pixel, Diagonal BiLSTM all that stands before it. It completes from the top: what is known below a "
    "gap does not change what is drawn in it.",
}

PRESETS = {
    "tiny": {
        "config": {"layers": 1, "hidden_features": 3, "output_features": 6, "dropout": 0.1},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {"layers": 3, "hidden_features": 32, "dropout": 0.3},
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 48,
        "averages": {"likelihood": 0.995},
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 100},
            }
        },
        "expect": "test NLL 15.9 nats, 0.359 bits/dim; 2 min on 2 cores",
    },
    "row_lstm": {
        "config": {"layer": "row_lstm", "layers": 3, "hidden_features": 32, "dropout": 0.3},
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 48,
        "averages": {"likelihood": 0.995},
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 100},
            }
        },
        "expect": "test NLL 16.3 nats, 0.367 bits/dim; 1 min on 2 cores",
    },
    "glyphs": {
        "config": {"layers": 3, "hidden_features": 16},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 3,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 5e-3, "end": 0.0, "warmup": 200},
            }
        },
        "expect": "test NLL 50.9 nats, 0.094 bits/dim; 11 min on 2 cores",
    },
    "mnist": {
        "config": {"layers": 7, "hidden_features": 16},
        "dataset": "binarized_mnist",
        "batch_size": 64,
        "epochs": 16,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 500},
            }
        },
        "expect": "95.3 nats after 200 steps (1.1 s of a core each); 2 h on 2 cores; 79.20 in the paper",
        "published": {
            "metric": "log_prob",
            "value": -79.20,
            "unit": "nats",
            "source": "van den Oord et al. 2016, arXiv 1601.06759, table 4: Diagonal BiLSTM, 7 layers",
            "conditions": "fixed binarization, the same network",
        },
    },
    "paper": {
        "config": {"levels": 256, "layers": 12, "hidden_features": 128, "output_features": 1024},
        "dataset": "cifar10",
        "batch_size": 16,
        "epochs": 100,
        "optimizers": {"likelihood": {"name": "rmsprop", "learning_rate": 1e-4}},
        "expect": "3.00 bits/dim in the paper, whose length of training is not told; not measured here",
        "published": {
            "metric": "log_prob_bits_per_dim",
            "value": 3.00,
            "unit": "bits/dim",
            "source": "van den Oord et al. 2016, arXiv 1601.06759, table 5: Diagonal BiLSTM",
            "conditions": "256 levels; the paper does not tell how long it trained",
        },
    },
    "paper_row_lstm": {
        "config": {
            "layer": "row_lstm",
            "levels": 256,
            "layers": 12,
            "hidden_features": 128,
            "output_features": 1024,
        },
        "dataset": "cifar10",
        "batch_size": 16,
        "epochs": 100,
        "optimizers": {"likelihood": {"name": "rmsprop", "learning_rate": 1e-4}},
        "expect": "3.07 bits/dim in the paper, whose length of training is not told; not measured here",
        "published": {
            "metric": "log_prob_bits_per_dim",
            "value": 3.07,
            "unit": "bits/dim",
            "source": "van den Oord et al. 2016, arXiv 1601.06759, table 5: Row LSTM",
            "conditions": "256 levels; the paper does not tell how long it trained",
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The network.

    Attributes:
        image_shape: (H, W, C).
        levels: how many values a scalar takes; with 2, a value of half or more is 1.
        layer: Row LSTM or Diagonal BiLSTM.
        layers: residual blocks after the first layer.
        hidden_features: h, units of an LSTM; the blocks carry 2 h.
        columns: K of a Row LSTM, odd.
        first_size: of the first layer's kernel, odd.
        output_features: of the two layers before the logits: 32 for MNIST and 1024 for CIFAR in the paper.
        dropout: the share of each LSTM's units that is left out in training, of a whole image at a time.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    levels: int = 2
    layer: Literal["row_lstm", "diagonal_bilstm"] = "diagonal_bilstm"
    layers: int = 7
    hidden_features: int = 16
    columns: int = 3
    first_size: int = 7
    output_features: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256 or self.layers < 1:
            raise UsageError("levels must be 2 to 256, layers at least 1.")
        if min(self.hidden_features, self.output_features) < self.image_shape[-1]:
            raise UsageError("hidden_features and output_features must be at least the image's channels.")
        if not 0 <= self.dropout < 1:
            raise UsageError("dropout must be at least 0 and below 1.")
        if not all(size % 2 and size >= 3 for size in (self.columns, self.first_size)):
            raise UsageError("columns and first_size must be odd, and at least 3.")


class Block(keras.layers.Layer):
    """The residual block of figure 5: an LSTM from 2 h features to h, and a convolution back to 2 h."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        height, width, channels = config.image_shape
        h = config.hidden_features
        self.keep = 1.0 - config.dropout
        self.lstm: RowLSTM | DiagonalBiLSTM
        if config.layer == "row_lstm":
            self.lstm = RowLSTM(2 * h, h, height, width, columns=config.columns, channels=channels)
        else:
            self.lstm = DiagonalBiLSTM(2 * h, h, height, width, channels=channels)
        self.expand = MaskedConv(h, 2 * h, channels=channels)

    def call(self, x: tf.Tensor, image: tf.Tensor, *, noise: Noise | None) -> tf.Tensor:
        """[N, B, 2 h], and the centred image [N, B, C] -> [N, B, 2 h]; with dropout where there is noise."""
        state = self.lstm(x) if isinstance(self.lstm, RowLSTM) else self.lstm(x, image)
        if noise is not None and self.keep < 1.0:
            state *= dropout(tf.ones_like(state[0]), self.keep, noise, self.name)  # [B, h]
        return x + self.expand(state)


class ByPixel(PixelByPixel):
    """The network in rows and pixels."""

    def __init__(self, model: PixelRNN) -> None:
        self.head, self.head_weights = model.head, model.head.weights_in_rows()
        self.first = model.first.weights_in_rows()
        self.expand = [block.expand.weights_in_rows() for block in model.blocks]
        by_pixel = RowByPixel if model.config.layer == "row_lstm" else DiagonalByPixel
        self.lstms = [by_pixel(block.lstm) for block in model.blocks]
        self.width = model.config.image_shape[1]
        self.image = [Kept(model.config.image_shape[-1], model.config.first_size // 2)]
        self.kept = [*self.image, *(kept for lstm in self.lstms for kept in lstm.kept)]

    def by_lstm(self, maps: Maps) -> list[Maps]:
        """What belongs to each of the LSTMs, of a list in which the image comes first."""
        each = (len(maps) - 1) // len(self.lstms)
        return [maps[1 + at : 1 + at + each] for at in range(0, len(maps) - 1, each)]

    def first_row(self, rows: tf.Tensor) -> tuple[Any, Maps]:
        image = nothing_above(self.image, rows, self.width)[0]
        return self.together(image, [lstm.first_row(rows) for lstm in self.lstms])

    def next_row(self, memory: Any, maps: Maps) -> tuple[Any, Maps]:
        image, *memories = memory
        parts = zip(self.lstms, memories, self.by_lstm(maps), strict=True)
        return self.together(
            [*image[1:], maps[0]], [lstm.next_row(own, own_maps, maps[0]) for lstm, own, own_maps in parts]
        )

    def together(self, image: Maps, parts: list[tuple[Any, Maps]]) -> tuple[Any, Maps]:
        """The image's rows above, and what each LSTM remembers, and has above the pixels of a row."""
        memories, above = zip(*parts, strict=True)
        return [image, *memories], [self.first.of_rows(image), *(each for maps in above for each in maps)]

    def edge(self, rows: tf.Tensor) -> Maps:
        return [*nothing_left(self.image, rows), *(each for lstm in self.lstms for each in lstm.edge(rows))]

    def pixel(self, above: Maps, left: Maps, x: tf.Tensor) -> tuple[tf.Tensor, Maps]:
        x = self.first.of_pixel(left[0], x) + above[0]
        kept: Maps = []
        parts = zip(self.lstms, self.expand, self.by_lstm(above), self.by_lstm(left), strict=True)
        for lstm, expand, own_above, own_left in parts:
            state, maps = lstm.pixel(own_above, own_left, x)
            kept += maps
            x += expand.at(state)
        return self.head.at(x, self.head_weights), kept


@final
class PixelRNN(GenerativeModel, Samples, ExactLikelihood, Conditions, Completes):
    """PixelRNN for images of any number of levels."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.levels = config.levels
        channels, outputs = config.image_shape[-1], 1 if config.levels == 2 else config.levels
        size = config.first_size
        self.first = MaskedConv(
            channels,
            2 * config.hidden_features,
            rows=size // 2 + 1,
            columns=size,
            sight="A",
            channels=channels,
        )
        self.blocks = [Block(config, name=f"block_{index}") for index in range(config.layers)]
        self.sweep = self.blocks[0].lstm.sweep
        self.head = MaskedHead(2 * config.hidden_features, config.output_features, channels, outputs)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        return [Turn("likelihood", self.trainable_variables, self.objective)]

    def logits(self, x: tf.Tensor, noise: Noise | None = None) -> tf.Tensor:
        """Of every conditional, [B, H, W, C, O], for centred images [B, H, W, C]."""
        image, x = skew(x, self.sweep), skew(self.first(x), self.sweep)  # [N, B, C], [N, B, 2 h]
        for block in self.blocks:
            x = block(x, image, noise=noise)
        return unskew(self.head(x), self.sweep)

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        if self.jit_compile:  # the diagonals of an image differ in length, and XLA knows one shape alone
            raise UsageError("pixelrnn cannot be compiled with XLA: train it without --jit.")
        loss = -tf.reduce_mean(self.log_likelihood(batch["image"], noise))
        return loss, {"nll": loss}

    def log_likelihood(self, image: tf.Tensor, noise: Noise | None) -> tf.Tensor:
        """log p(x) in nats, [B], of images [B, H, W, C] in [0, 1]; with dropout where there is noise."""
        level = quantise(image, self.config.levels)
        logits = self.logits(centred(level, self.config.levels), noise)
        return tf.reduce_sum(log_prob_of(level, logits), (1, 2, 3))

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        return self.log_likelihood(x, None)

    def conditions(self) -> dict[str, tf.TensorSpec]:
        return {"temperature": tf.TensorSpec([None], tf.float32)}

    def sample(self, noise: Noise) -> tf.Tensor:
        return self.draw(noise)

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.draw(noise, conditions["temperature"])

    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Draws the unknown pixels in raster order, each given all that stands before it."""
        return self.draw(noise, image=x, known=known)

    def draw(
        self,
        noise: Noise,
        temperature: tf.Tensor | None = None,
        image: tf.Tensor | None = None,
        known: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Images [B, H, W, C], at a temperature of 1 where none is given."""
        uniform = noise.uniform("pixels", self.config.image_shape)
        if temperature is None:
            temperature = tf.ones(tf.shape(uniform)[:1])
        return draw_images(ByPixel(self), uniform, temperature, self.config.levels, image, known)
