"""What a decoder says of an image, given its code: the probability of each pixel's level.

All of these are likelihoods of *levels*, the whole numbers 0 .. L - 1, so that models with different ones
can be compared. Where the distribution is a density, the level k is spread by uniform noise u over
[k, k + 1). On the scale where a level is one unit wide, the mean of the density over u is the probability of
the level, and that of its logarithm a lower bound on the logarithm of this probability.

Shapes: D values of an image, P numbers that the decoder gives for each, L levels; ... any batch.
"""

from __future__ import annotations

import abc
import math
from typing import Any, Literal, final

import tensorflow as tf

from zoo.distributions import SMALLEST_SCALE, bernoulli, categorical, gaussian
from zoo.errors import UsageError
from zoo.layers.levels import to_image

Name = Literal["bernoulli", "gaussian", "categorical", "logistic", "logit_laplace"]


class PixelLikelihood(abc.ABC):
    """p(levels | z), independent over the D values of an image.

    Attributes:
        levels: L.
        parameters: P.
        spreads: whether it is a density, for which levels are spread by noise.
    """

    spreads: bool = False

    def __init__(self, levels: int, parameters: int) -> None:
        self.levels, self.parameters = levels, parameters

    @abc.abstractmethod
    def log_prob(self, level: tf.Tensor, outputs: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """log p of each value.

        Args:
            level: int32 [..., D].
            outputs: of the decoder, float [..., D, P].
            uniform: noise in [0, 1), [..., D], which spreads the levels of a density; else None.

        Returns:
            nats float32 [..., D]; of a density on the scale where a level is one unit wide.
        """

    @abc.abstractmethod
    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        """What an image with these outputs [..., D, P] looks like: its middle, float32 [..., D] in [0, 1]."""

    @final
    def spread(self, level: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        """(level + u) / L, float32 [..., D] in [0, 1)."""
        assert uniform is not None
        return (tf.cast(level, tf.float32) + uniform) / self.levels

    @final
    def unspread(self, value: tf.Tensor) -> tf.Tensor:
        """The image value whose level is spread around `value`: from [0, 1] of spread levels, both [...]."""
        return tf.clip_by_value((value * self.levels - 0.5) / (self.levels - 1), 0.0, 1.0)


@final
class BernoulliPixels(PixelLikelihood):
    """Two levels: p(1) = sigmoid(output)."""

    def __init__(self, levels: int) -> None:
        if levels != 2:
            raise UsageError(f"a Bernoulli likelihood has 2 levels, not {levels}: leave out levels.")
        super().__init__(2, 1)

    def log_prob(self, level: tf.Tensor, outputs: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        return bernoulli(outputs[..., 0]).log_prob(tf.cast(level, tf.float32))

    def constant(self, level: tf.Tensor) -> tf.Tensor:
        """The outputs [C, 1] that fit each channel of levels [B, H, W, C] best, p within [0.01, 0.99]."""
        p = tf.clip_by_value(tf.reduce_mean(tf.cast(level, tf.float32), (0, 1, 2)), 0.01, 0.99)
        return (tf.math.log(p) - tf.math.log1p(-p))[:, None]

    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(tf.cast(outputs[..., 0], tf.float32))


@final
class CategoricalPixels(PixelLikelihood):
    """A probability for each level, which knows nothing of their order."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels, levels)

    def log_prob(self, level: tf.Tensor, outputs: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        return categorical(outputs).log_prob(level)

    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        values = to_image(tf.range(self.levels), self.levels)
        return tf.linalg.matvec(tf.nn.softmax(tf.cast(outputs, tf.float32)), values)


@final
class GaussianPixels(PixelLikelihood):
    """A normal density with a mean in (0, 1) and a scale of its own for each value.

    References:
        Kingma and Welling, arXiv 1312.6114: appendix C.2, and the sigmoid of its section 5.
    """

    spreads = True

    def __init__(self, levels: int) -> None:
        super().__init__(levels, 2)

    def log_prob(self, level: tf.Tensor, outputs: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        law = gaussian(tf.sigmoid(tf.cast(outputs[..., 0], tf.float32)), outputs[..., 1])
        return law.log_prob(self.spread(level, uniform)) - math.log(self.levels)

    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        return self.unspread(tf.sigmoid(tf.cast(outputs[..., 0], tf.float32)))


@final
class LogisticPixels(PixelLikelihood):
    """A logistic distribution cut at the levels: each has the mass of its bin, the outer ones what is beyond.

    References:
        Salimans, Karpathy, Chen, Kingma: PixelCNN++, arXiv 1701.05517, equation 2.
        Kingma et al.: Improving Variational Inference with Inverse Autoregressive Flow, arXiv 1606.04934,
        appendix: the discretised logistic likelihood of a VAE.
    """

    def __init__(self, levels: int) -> None:
        super().__init__(levels, 2)

    def log_prob(self, level: tf.Tensor, outputs: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        mean = tf.cast(outputs[..., 0], tf.float32) + 0.5  # may leave [0, 1]: the outer levels take it all
        scale = tf.math.softplus(tf.cast(outputs[..., 1], tf.float32)) + SMALLEST_SCALE
        half = 0.5 / (self.levels - 1)
        value = to_image(level, self.levels)
        upper, lower = (value + half - mean) / scale, (value - half - mean) / scale
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): no difference of equal numbers.
        first, last = level == 0, level == self.levels - 1
        below = tf.where(last, 0.0, tf.math.log_sigmoid(upper))
        above = tf.where(first, 0.0, tf.math.log_sigmoid(-lower))
        inside = tf.where(first | last, 0.0, tf.math.log(-tf.math.expm1(-2.0 * half / scale)))
        return below + above + inside

    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.cast(outputs[..., 0], tf.float32) + 0.5, 0.0, 1.0)


@final
class LogitLaplacePixels(PixelLikelihood):
    """A Laplace density of the logit of a value v, which is first drawn away from both ends:

        x = (1 - 2 eps) v + eps,    p(x) = exp(-|logit x - m| / b) / (2 b x (1 - x)),    eps = 0.1

    What it gives to x outside [eps, 1 - eps] is lost: the likelihood of all levels sums to less than one.

    References:
        Ramesh et al.: Zero-Shot Text-to-Image Generation, arXiv 2102.12092, appendix A.3.
    """

    spreads = True
    EPSILON = 0.1

    def __init__(self, levels: int, smallest_scale: float = SMALLEST_SCALE) -> None:
        """
        Args:
            levels: L.
            smallest_scale: what b stays above, on the scale of logits.
        """
        super().__init__(levels, 2)
        self.smallest_scale = smallest_scale

    def log_prob(self, level: tf.Tensor, outputs: tf.Tensor, uniform: tf.Tensor | None) -> tf.Tensor:
        x = (1.0 - 2.0 * self.EPSILON) * self.spread(level, uniform) + self.EPSILON
        # Of x on its own scale; one level is (1 - 2 eps) / L of it.
        return self.log_density(x, outputs) + math.log((1.0 - 2.0 * self.EPSILON) / self.levels)

    def log_density(self, x: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """log p(x), float32 [..., D], of x [..., D] in (0, 1)."""
        median, log_scale = tf.unstack(tf.cast(outputs, tf.float32), axis=-1)
        floor = math.log(self.smallest_scale)
        log_scale = floor + tf.math.softplus(log_scale - floor)  # log(exp(log_scale) + smallest_scale)
        logit = tf.math.log(x) - tf.math.log1p(-x)
        away = tf.abs(logit - median) * tf.exp(-log_scale)
        return -away - math.log(2.0) - log_scale - tf.math.log(x) - tf.math.log1p(-x)

    def constant(self, level: tf.Tensor) -> tf.Tensor:
        """The outputs [C, 2] that fit each channel of levels [B, H, W, C] best: median and mean distance."""
        x = (1.0 - 2.0 * self.EPSILON) * self.spread(level, tf.constant(0.5)) + self.EPSILON
        logit = tf.reshape(tf.math.log(x) - tf.math.log1p(-x), (-1, level.shape[-1]))
        median = tf.sort(logit, 0)[tf.shape(logit)[0] // 2]
        away = tf.reduce_mean(tf.abs(logit - median), 0)
        return tf.stack([median, tf.math.log(tf.maximum(away, self.smallest_scale))], -1)

    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        median = tf.sigmoid(tf.cast(outputs[..., 0], tf.float32))
        return self.unspread((median - self.EPSILON) / (1.0 - 2.0 * self.EPSILON))


_LIKELIHOODS: dict[str, type[PixelLikelihood]] = {
    "bernoulli": BernoulliPixels,
    "gaussian": GaussianPixels,
    "categorical": CategoricalPixels,
    "logistic": LogisticPixels,
    "logit_laplace": LogitLaplacePixels,
}


def pixel_likelihood(name: Name, levels: int | None, **options: Any) -> PixelLikelihood:
    """The likelihood of a name.

    Args:
        name: which one.
        levels: L; None for 2 of a Bernoulli, and 256 of any other.
        **options: its own.

    Raises:
        UsageError: there are not as many levels.
    """
    levels = levels if levels is not None else 2 if name == "bernoulli" else 256
    if not 2 <= levels <= 256:
        raise UsageError(f"levels={levels}: must be 2 to 256.")
    return _LIKELIHOODS[name](levels, **options)
