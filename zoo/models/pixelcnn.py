"""PixelCNN: every pixel from those before it, by convolutions that cannot look ahead.

Idea: p(x) is a product of conditionals, one a value in raster order (at a pixel R, then G, then B).
Convolutions whose masks hide every later value give all of them in one pass.

Objective: the mean of -log p(x) = -sum_i log p(x_i | x_1 .. x_{i-1}), in nats; binary values are Bernoulli,
others Categorical.

References: van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks, arXiv 1601.06759:
section 3.4 (masks), figure 5 (residual block), table 1. `gated`: van den Oord et al., Conditional Image
Generation with PixelCNN Decoders, arXiv 1606.05328: figure 2, equations 2 and 4 (gates, class).

Shapes: B rows of a batch, H x W x C image, h features, K classes, O logits a value.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, final

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
from zoo.distributions import draw_categorical
from zoo.errors import UsageError
from zoo.layers.dropout import dropout
from zoo.layers.levels import quantise
from zoo.layers.masked import MaskedConv, MaskedHead
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
    "title": "PixelCNN",
    "family": "autoregressive",
    "likelihood": "exact",
    "capabilities": ["sample", "sample_with", "score", "complete"],
    "paper": "van den Oord et al. 2016, arXiv 1601.06759 and 1606.05328",
    "summary": "masked convolutions give every pixel's conditional in one pass",
    "default": "digits",
    "limits": "Draws one value after another, and has no code to encode into. The plain network is blind to "
    "some pixels above and to the right; the gated one sees all within its reach. It completes from the top: "
    "what is known below a gap does not change what is drawn in it.",
}

PRESETS = {
    "tiny": {
        "config": {"layers": 1, "hidden_features": 4, "output_features": 8, "dropout": 0.1},
        "dataset": "digits",
        "batch_size": 16,
        "steps": 4,
        "optimizers": {"likelihood": {"name": "adam", "learning_rate": 1e-3}},
        "expect": "nothing: four steps, for tests",
    },
    "digits": {
        "config": {"gated": True, "layers": 4, "hidden_features": 32, "dropout": 0.3},
        "dataset": "digits",
        "batch_size": 32,
        "epochs": 80,
        "averages": {"likelihood": 0.995},
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 100},
            }
        },
        "expect": "test NLL 15.9 nats, 0.359 bits/dim; 2 min on 2 cores",
    },
    "glyphs": {
        "config": {"gated": True, "layers": 4, "hidden_features": 32},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 2,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 200},
            }
        },
        "expect": "test NLL 56.4 nats, 0.104 bits/dim; 11 min on 2 cores",
    },
    "conditional": {
        "config": {"gated": True, "layers": 4, "hidden_features": 32, "classes": 10},
        "dataset": "glyphs",
        "batch_size": 64,
        "epochs": 2,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 3e-3, "end": 0.0, "warmup": 200},
            }
        },
        "expect": "not measured yet",
    },
    "mnist": {
        "config": {"gated": True, "layers": 7, "hidden_features": 32},
        "dataset": "binarized_mnist",
        "batch_size": 64,
        "epochs": 14,
        "optimizers": {
            "likelihood": {
                "name": "adam",
                "learning_rate": {"schedule": "cosine", "start": 2e-3, "end": 0.0, "warmup": 500},
            }
        },
        "expect": "98.0 nats after 200 steps (1.3 s of a core each); 2 h on 2 cores; 81.30 in the paper",
        "published": {
            "metric": "log_prob",
            "value": -81.30,
            "unit": "nats",
            "source": "van den Oord et al. 2016, arXiv 1601.06759, table 4: PixelCNN",
            "conditions": "fixed binarization; gates here, none in the paper's network",
        },
    },
    "paper": {
        "config": {"levels": 256, "layers": 15, "hidden_features": 128, "output_features": 1024},
        "dataset": "cifar10",
        "batch_size": 16,
        "epochs": 100,
        "optimizers": {"likelihood": {"name": "rmsprop", "learning_rate": 1e-4}},
        "expect": "3.14 bits/dim in the paper, whose length of training is not told; not measured here",
        "published": {
            "metric": "log_prob_bits_per_dim",
            "value": 3.14,
            "unit": "bits/dim",
            "source": "van den Oord et al. 2016, arXiv 1601.06759, table 5: PixelCNN",
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
        layers: residual blocks after the first layer.
        hidden_features: h; a plain block carries 2 h and works on h, a gated one carries h.
        size: of the blocks' kernels, odd.
        first_size: of the first layer's kernel, odd.
        output_features: of the two layers before the logits: 32 for MNIST and 1024 for CIFAR in the paper.
        gated: two stacks with gates, without a blind spot.
        classes: 0, or the number of classes K of a class-conditional model.
        dropout: the share of each block's features that is left out in training.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    levels: int = 2
    layers: int = 7
    hidden_features: int = 16
    size: int = 3
    first_size: int = 7
    output_features: int = 32
    gated: bool = False
    classes: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256 or self.layers < 1 or self.classes < 0:
            raise UsageError("levels must be 2 to 256, layers at least 1, classes at least 0.")
        if min(self.hidden_features, self.output_features) < self.image_shape[-1]:
            raise UsageError("hidden_features and output_features must be at least the image's channels.")
        if not 0 <= self.dropout < 1:
            raise UsageError("dropout must be at least 0 and below 1.")
        if not all(size % 2 and size >= 3 for size in (self.size, self.first_size)):
            raise UsageError("size and first_size must be odd, and at least 3.")


def gate(x: tf.Tensor) -> tf.Tensor:
    """[..., 2 h] -> [..., h] (1606.05328, equation 2)."""
    value, opening = tf.split(x, 2, -1)
    return tf.tanh(value) * tf.sigmoid(opening)


def label_map(config: Config, features: int) -> Any | None:
    """One-hot classes [B, K] -> what the class adds before an activation [B, features] (equation 4)."""
    if not config.classes:
        return None
    layer = keras.layers.Dense(features, use_bias=False, dtype="float32", name="label")
    layer.build((None, config.classes))
    return layer


def kept_maps(config: Config) -> list[Kept]:
    """The image, and what each block's masked convolution reads."""
    image = Kept(config.image_shape[-1], config.first_size // 2)
    return [image, *([Kept(config.hidden_features, config.size // 2)] * config.layers)]


class Block(keras.layers.Layer):
    """The residual block of figure 5: 2 h features to h, a masked convolution, and back to 2 h."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep = 1.0 - config.dropout
        h, size, channels = config.hidden_features, config.size, config.image_shape[-1]
        self.reduce = MaskedConv(2 * h, h, channels=channels)
        self.middle = MaskedConv(h, h, rows=size // 2 + 1, columns=size, channels=channels)
        self.expand = MaskedConv(h, 2 * h, channels=channels)
        self.label = label_map(config, h)

    def call(self, x: tf.Tensor, label: tf.Tensor | None, *, noise: Noise | None) -> tf.Tensor:
        """[B, H, W, 2 h] and one-hot classes [B, K] -> [B, H, W, 2 h]; with dropout where there is noise."""
        y = self.middle(tf.nn.relu(self.reduce(tf.nn.relu(x))))
        if self.label is not None:
            y += tf.cast(self.label(label), y.dtype)[:, None, None]
        return x + self.expand(dropout(tf.nn.relu(y), self.keep, noise, self.name))


class Plain(keras.layers.Layer):
    """The network of table 1: 7x7 with mask A, then residual blocks."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        channels, size = config.image_shape[-1], config.first_size
        self.config = config
        self.first = MaskedConv(
            channels,
            2 * config.hidden_features,
            rows=size // 2 + 1,
            columns=size,
            sight="A",
            channels=channels,
        )
        self.blocks = [Block(config, name=f"block_{index}") for index in range(config.layers)]

    def call(self, x: tf.Tensor, label: tf.Tensor | None, *, noise: Noise | None) -> tf.Tensor:
        """Centred images [B, H, W, C] and one-hot classes [B, K] -> [B, H, W, 2 h]."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x, label, noise=noise)
        return x


class PlainByPixel(PixelByPixel):
    """`Plain` in rows and pixels: each convolution keeps the rows above that it reads."""

    def __init__(self, network: Plain, head: MaskedHead, label: tf.Tensor | None) -> None:
        config = network.config
        self.head, self.head_weights = head, head.weights_in_rows()
        self.width = config.image_shape[1]
        self.convs = [network.first, *(block.middle for block in network.blocks)]
        self.weights = [conv.weights_in_rows() for conv in self.convs]
        self.reduce = [block.reduce.weights_in_rows() for block in network.blocks]
        self.expand = [block.expand.weights_in_rows() for block in network.blocks]
        self.labels = [0.0, *(0.0 if block.label is None else block.label(label) for block in network.blocks)]
        self.kept = kept_maps(config)

    def first_row(self, rows: tf.Tensor) -> tuple[Any, Maps]:
        memory = nothing_above(self.kept, rows, self.width)
        return memory, self.above(memory)

    def next_row(self, memory: Any, maps: Maps) -> tuple[Any, Maps]:
        memory = [[*above[1:], row] for above, row in zip(memory, maps, strict=True)]
        return memory, self.above(memory)

    def above(self, memory: Any) -> Maps:
        parts = zip(self.weights, memory, self.labels, strict=True)
        return [weights.of_rows(rows) + label for weights, rows, label in parts]

    def edge(self, rows: tf.Tensor) -> Maps:
        return nothing_left(self.kept, rows)

    def pixel(self, above: Maps, left: Maps, x: tf.Tensor) -> tuple[tf.Tensor, Maps]:
        x = self.weights[0].of_pixel(left[0], x) + above[0]
        maps = []
        for index, (reduce, expand) in enumerate(zip(self.reduce, self.expand, strict=True), 1):
            y = tf.nn.relu(reduce.at(tf.nn.relu(x)))
            maps.append(y)
            y = self.weights[index].of_pixel(left[index], y) + above[index]
            x += expand.at(tf.nn.relu(y))
        return self.head.at(x, self.head_weights), maps


class GatedLayer(keras.layers.Layer):
    """The layer of 1606.05328, figure 2.

    The vertical stack sees all rows above, within its reach, and none of the pixel's own, so that nothing in
    it need be masked; the horizontal stack sees its own row up to the pixel, and takes what the vertical one
    has seen.
    """

    def __init__(self, config: Config, first: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        channels, h = config.image_shape[-1], config.hidden_features
        inputs, size = (channels, config.first_size) if first else (h, config.size)
        self.first, self.keep = first, 1.0 - config.dropout
        self.vertical = MaskedConv(
            inputs, 2 * h, rows=size // 2 + 1, columns=size, sight="above" if first else "row"
        )
        self.link = MaskedConv(2 * h, 2 * h, sight="row")
        self.horizontal = MaskedConv(
            inputs, 2 * h, columns=size, sight="A" if first else "B", channels=channels, copies=2
        )
        self.expand = MaskedConv(h, h, channels=channels)
        self.label = label_map(config, 4 * h)

    def call(
        self, v: tf.Tensor, x: tf.Tensor, label: tf.Tensor | None, *, noise: Noise | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Both stacks [B, H, W, h] (first: the image twice) and one-hot classes -> both stacks."""
        v = self.vertical(v)
        y = self.horizontal(x) + self.link(v)
        if self.label is not None:
            to_v, to_y = tf.split(tf.cast(self.label(label), y.dtype)[:, None, None], 2, -1)
            v, y = v + to_v, y + to_y
        v = dropout(gate(v), self.keep, noise, f"{self.name}/vertical")
        y = self.expand(dropout(gate(y), self.keep, noise, self.name))
        return v, y if self.first else x + y


class Gated(keras.layers.Layer):
    """A stack of gated layers."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.layers = [
            GatedLayer(config, first=index == 0, name=f"layer_{index}") for index in range(config.layers + 1)
        ]

    def call(self, x: tf.Tensor, label: tf.Tensor | None, *, noise: Noise | None) -> tf.Tensor:
        """Centred images [B, H, W, C] and one-hot classes [B, K] -> [B, H, W, h]."""
        v = x
        for layer in self.layers:
            v, x = layer(v, x, label, noise=noise)
        return x


class GatedByPixel(PixelByPixel):
    """`Gated` in rows and pixels: the vertical stack runs once a row, the horizontal one once a pixel."""

    def __init__(self, network: Gated, head: MaskedHead, label: tf.Tensor | None) -> None:
        config = network.config
        self.head, self.head_weights = head, head.weights_in_rows()
        self.width, self.layers = config.image_shape[1], network.layers
        self.vertical, self.link, self.horizontal, self.expand = (
            [getattr(layer, name).weights_in_rows() for layer in network.layers]
            for name in ("vertical", "link", "horizontal", "expand")
        )
        self.labels = [
            (0.0, 0.0) if layer.label is None else tf.split(layer.label(label), 2, -1)
            for layer in network.layers
        ]
        self.kept = kept_maps(config)

    def first_row(self, rows: tf.Tensor) -> tuple[Any, Maps]:
        return self.run(nothing_above(self.kept, rows, self.width))

    def next_row(self, memory: Any, maps: Maps) -> tuple[Any, Maps]:
        return self.run([[*memory[0][1:], maps[0]], *memory[1:]])

    def run(self, memory: Any) -> tuple[Any, Maps]:
        """The vertical stack for a new row, from the image's rows above and its own rows above."""
        v, after, above = None, [], []
        for index, rows in enumerate(memory):
            rows = rows if v is None else [*rows, v]
            y = self.vertical[index].of_rows(rows)
            to_v, to_y = self.labels[index]
            above.append(self.link[index].at(y) + self.horizontal[index].bias + to_y)
            after.append(rows if v is None else rows[1:])
            v = gate(y + to_v)
        return after, above

    def edge(self, rows: tf.Tensor) -> Maps:
        return nothing_left(self.kept, rows)

    def pixel(self, above: Maps, left: Maps, x: tf.Tensor) -> tuple[tf.Tensor, Maps]:
        maps = []
        for index, expand in enumerate(self.expand):
            y = self.horizontal[index].of_pixel(left[index], x) + above[index]
            y = expand.at(gate(y))
            if index:
                maps.append(x)
            x = y if index == 0 else x + y
        return self.head.at(x, self.head_weights), maps


@final
class PixelCNN(GenerativeModel, Samples, ExactLikelihood, Conditions, Completes):
    """PixelCNN for images of any number of levels, class-conditional where `classes` is set.

    A class-conditional model's likelihood is that of its sampler: the mean over classes of p(x | class).
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.levels = config.levels
        channels, outputs = config.image_shape[-1], 1 if config.levels == 2 else config.levels
        self.network = Gated(config) if config.gated else Plain(config)
        features = config.hidden_features if config.gated else 2 * config.hidden_features
        self.head = MaskedHead(features, config.output_features, channels, outputs)

    def example_shape(self) -> tuple[int, ...]:
        return self.config.image_shape

    def turns(self) -> list[Turn]:
        variables = [*self.network.trainable_variables, *self.head.trainable_variables]
        return [Turn("likelihood", variables, self.objective)]

    def one_hot(self, label: tf.Tensor | None) -> tf.Tensor | None:
        """Labels int [B] -> [B, K]; an unknown one, -1, is no class; None for a model without classes."""
        return tf.one_hot(label, self.config.classes) if self.config.classes else None

    def logits(self, x: tf.Tensor, label: tf.Tensor | None, noise: Noise | None = None) -> tf.Tensor:
        """Of every conditional, [B, H, W, C, O], for centred images [B, H, W, C] and labels int [B]."""
        return self.head(self.network(x, self.one_hot(label), noise=noise))

    def log_conditionals(
        self, level: tf.Tensor, label: tf.Tensor | None, noise: Noise | None = None
    ) -> tf.Tensor:
        """log p(x_i | x_1 .. x_{i-1}, label) in nats, [B, H, W, C], of levels int [B, H, W, C]."""
        return log_prob_of(level, self.logits(centred(level, self.config.levels), label, noise))

    def of_each_class(self, level: tf.Tensor) -> tf.Tensor:
        """The log conditionals under each class, [K, B, H, W, C]."""
        rows = tf.shape(level)[0]
        return tf.map_fn(
            lambda label: self.log_conditionals(level, tf.fill((rows,), label)),
            tf.range(self.config.classes),
            fn_output_signature=tf.float32,
        )

    def objective(self, batch: Batch, shared: Shared, noise: Noise) -> tuple[tf.Tensor, Terms]:
        level = quantise(batch["image"], self.config.levels)
        log_conditionals = self.log_conditionals(level, batch.get("label"), noise)
        loss = -tf.reduce_mean(tf.reduce_sum(log_conditionals, (1, 2, 3)))
        # The likelihood of an image alone, which validation reports, is the mean over the classes.
        return loss, {"nll_given_label" if self.config.classes else "nll": loss}

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        level = quantise(x, self.config.levels)
        if not self.config.classes:
            return tf.reduce_sum(self.log_conditionals(level, None), (1, 2, 3))
        by_class = tf.reduce_sum(self.of_each_class(level), (2, 3, 4))  # [K, B]
        return tf.reduce_logsumexp(by_class, 0) - math.log(self.config.classes)

    def conditions(self) -> dict[str, tf.TensorSpec]:
        label = {"label": tf.TensorSpec([None], tf.int32)} if self.config.classes else {}
        return {**label, "temperature": tf.TensorSpec([None], tf.float32)}

    def sample(self, noise: Noise) -> tf.Tensor:
        if not self.config.classes:
            return self.draw(noise, None)
        return self.draw(noise, tf.cast(noise.uniform("label", ()) * self.config.classes, tf.int32))

    def sample_with(self, noise: Noise, **conditions: tf.Tensor) -> tf.Tensor:
        return self.draw(noise, conditions.get("label"), conditions["temperature"])

    def complete(self, x: tf.Tensor, known: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Draws the unknown pixels in raster order, each given all that stands before it.

        The class of a class-conditional model is drawn given what is known above the first gap.
        """
        label = None
        if self.config.classes:
            height, width, _ = self.config.image_shape
            log_p = tf.reduce_sum(self.of_each_class(quantise(x, self.config.levels)), -1)
            log_p = tf.reshape(log_p, (self.config.classes, -1, height * width))
            before_gap = tf.math.cumprod(tf.cast(tf.reshape(known, (-1, height * width)), tf.float32), -1)
            seen = tf.reduce_sum(log_p * before_gap, -1)  # [K, B]
            label = draw_categorical(tf.transpose(seen), noise.uniform("label", ()))
        return self.draw(noise, label, image=x, known=known)

    def draw(
        self,
        noise: Noise,
        label: tf.Tensor | None,
        temperature: tf.Tensor | None = None,
        image: tf.Tensor | None = None,
        known: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Images [B, H, W, C] of classes int [B]; at a temperature of 1 where none is given."""
        by_pixel = GatedByPixel if self.config.gated else PlainByPixel
        uniform = noise.uniform("pixels", self.config.image_shape)
        if temperature is None:
            temperature = tf.ones(tf.shape(uniform)[:1])
        network = by_pixel(self.network, self.head, self.one_hot(label))
        return draw_images(network, uniform, temperature, self.config.levels, image, known)
