"""The VAE's mathematics: the divergence in closed form, and bounds that rise to the exact likelihood."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from zoo.base import LikelihoodBound, configure
from zoo.errors import UsageError
from zoo.exporting import signatures
from zoo.models.vae import VAE, Config, kl_per_unit, kl_to_prior
from zoo.noise import RowNoise, StepNoise


def vae(seed=0, spread=1.0, **values) -> VAE:
    """A small model whose weights are far enough from zero to make all terms matter."""
    config = {"image_shape": [2, 3, 1], "code_size": 1, "encoder_units": [5], "decoder_units": [5], **values}
    model = VAE(configure(Config, config))
    chance = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(spread * chance.standard_normal(variable.shape))
    return model


def all_images(model) -> np.ndarray:
    """Every binary image, [2^D, H, W, C]."""
    states = np.array(list(itertools.product([0.0, 1.0], repeat=model.dimensions)), np.float32)
    return states.reshape(-1, *model.example_shape())


def exact_log_prob(model, x) -> np.ndarray:
    """log p(x) [B] of a model whose code is one number, by integrating it out on a grid."""
    grid = np.linspace(-8, 8, 4001, dtype=np.float32)
    classes = np.eye(model.config.classes) if model.config.classes else np.zeros((1, 0))
    of_class = []
    for label in classes:
        code = np.concatenate([grid[:, None], np.tile(label, (len(grid), 1))], 1).astype(np.float32)
        outputs = model.decoder(code).numpy().reshape(len(grid), model.dimensions, -1).astype(np.float64)
        of_class.append(log_level(model, x.reshape(len(x), 1, -1), outputs).sum(-1))  # [B, grid]
    log_likelihood = scipy.special.logsumexp(of_class, 0) - np.log(len(classes))
    return scipy.special.logsumexp(
        log_likelihood + scipy.stats.norm.logpdf(grid) + np.log(grid[1] - grid[0]), -1
    )


def log_level(model, x, outputs) -> np.ndarray:
    """log p of the level of each pixel, by formulas of SciPy: x [B, 1, D], outputs [grid, D, P]."""
    levels = model.levels
    level = np.round(x * (levels - 1)).astype(int)
    match model.config.likelihood:
        case "bernoulli":
            return scipy.special.log_expit((2.0 * level - 1.0) * outputs[..., 0])
        case "categorical":
            chosen = np.take_along_axis(
                np.broadcast_to(outputs, (len(level), *outputs.shape)),
                np.broadcast_to(level, (len(level), *outputs.shape[:2]))[..., None],
                -1,
            )[..., 0]
            return chosen - scipy.special.logsumexp(outputs, -1)
        case "gaussian":
            law = scipy.stats.norm(
                scipy.special.expit(outputs[..., 0]), np.log1p(np.exp(outputs[..., 1])) + 1e-3
            )
            return np.log(law.cdf((level + 1) / levels) - law.cdf(level / levels))
        case "logistic":
            law = scipy.stats.logistic(outputs[..., 0] + 0.5, np.log1p(np.exp(outputs[..., 1])) + 1e-3)
            upper = np.where(level == levels - 1, np.inf, (level + 0.5) / (levels - 1))
            lower = np.where(level == 0, -np.inf, (level - 0.5) / (levels - 1))
            return np.log(law.cdf(upper) - law.cdf(lower))


# -- the divergence ----------------------------------------------------------------------------------------


def test_the_divergence_of_the_prior_from_itself_is_zero():
    np.testing.assert_array_equal(kl_to_prior(tf.zeros([3, 5]), tf.ones([3, 5])), np.zeros(3))


def test_the_divergence_is_the_mean_log_ratio():
    model = vae(code_size=4)
    x = all_images(model)[::13]
    posterior = model.encode(x)
    draws = posterior.mean() + posterior.stddev() * tf.random.stateless_normal([20_000, len(x), 4], [1, 2])
    prior = scipy.stats.norm.logpdf(draws).sum(-1)
    ratios = posterior.log_prob(draws).numpy() - prior  # [draws, B]
    error = ratios.std(0, ddof=1) / np.sqrt(len(ratios))
    _, divergence = model.elbo_terms(x, StepNoise(0, 0, len(x)))
    np.testing.assert_array_less(np.abs(ratios.mean(0) - divergence), 4 * error)
    assert divergence.numpy().max() > 1.0  # far enough from the prior to tell


# -- `importance_weighted_bound` and `elbo` of the base, on a model whose likelihood is known --------------


class LinearGaussian(LikelihoodBound):
    """z ~ N(0, I), x ~ N(W z + b, s^2 I), so that p(x) = N(b, W W^T + s^2 I) and p(z|x) is a Gaussian.

    Args:
        shift: moves q away from the true posterior.
        stretch: multiplies its covariance's Cholesky factor.
    """

    def __init__(self, shift: float = 0.0, stretch: float = 1.0) -> None:
        chance = np.random.default_rng(1)
        self.W, self.b, self.s = chance.standard_normal((3, 2)), chance.standard_normal(3), 0.7
        covariance = np.linalg.inv(np.eye(2) + self.W.T @ self.W / self.s**2)
        self.gain = covariance @ self.W.T / self.s**2
        self.shift, self.scale = shift, stretch * np.linalg.cholesky(covariance)

    def exact(self, x) -> np.ndarray:
        covariance = self.W @ self.W.T + self.s**2 * np.eye(3)
        return scipy.stats.multivariate_normal.logpdf(x, self.b, covariance)

    def log_weights(self, x, noise, samples):
        draws = tf.cast(noise.normal("code", (samples, 2)), tf.float64)
        mean = (tf.cast(x, tf.float64) - self.b) @ self.gain.T + self.shift
        code = mean[:, None] + draws @ self.scale.T  # [B, S, 2]
        log_q = log_normal(draws) - np.log(np.abs(np.linalg.det(self.scale)))
        residual = (tf.cast(x, tf.float64)[:, None] - self.b - code @ self.W.T) / self.s
        weights = log_normal(residual) - 3 * np.log(self.s) + log_normal(code) - log_q
        return tf.cast(weights, tf.float32)

    def elbo_terms(self, x, noise):
        x = tf.cast(x, tf.float64)
        mean = (x - self.b) @ self.gain.T + self.shift
        code = mean + tf.cast(noise.normal("code", (2,)), tf.float64) @ self.scale.T
        likelihood = log_normal((x - self.b - code @ self.W.T) / self.s) - 3 * np.log(self.s)
        trace, determinant = np.sum(self.scale**2), np.abs(np.linalg.det(self.scale))
        divergence = 0.5 * (trace + tf.reduce_sum(mean**2, -1) - 2) - np.log(determinant)
        return tf.cast(likelihood, tf.float32), tf.cast(divergence, tf.float32)


def log_normal(x):
    """log N(x; 0, I), summed over the last axis."""
    return -0.5 * tf.reduce_sum(x**2 + np.log(2 * np.pi), -1)


def bound(model, x, seeds, samples):
    """The importance-weighted bound [B], from a graph."""
    seeds, samples = np.asarray(seeds, np.int64), np.broadcast_to(np.int32(samples), len(x))
    run = tf.function(
        lambda x, seeds, samples: model.importance_weighted_bound(x, RowNoise(seeds), samples),
        autograph=False,
    )
    return run(tf.constant(x), tf.constant(seeds), tf.constant(samples)).numpy()


EXAMPLES = np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32)


def test_the_importance_weighted_bound_is_the_exact_likelihood_at_the_true_posterior():
    model = LinearGaussian()
    exact = model.exact(EXAMPLES)
    weights = model.log_weights(EXAMPLES, StepNoise(0, 0, 4), 50)
    np.testing.assert_allclose(weights, np.broadcast_to(exact[:, None], (4, 50)), atol=1e-4)
    np.testing.assert_allclose(bound(model, EXAMPLES, range(4), [1, 7, 10, 33]), exact, atol=1e-4)


def test_bounds_rise_with_the_samples_to_the_exact_likelihood():
    model = LinearGaussian(shift=0.3, stretch=1.4)
    repeats = 3000
    x = np.repeat(EXAMPLES[:1], repeats, 0)
    exact = model.exact(EXAMPLES[:1])[()]
    elbo = model.elbo(x, StepNoise(0, 0, repeats)).numpy()
    bounds = [elbo, *(bound(model, x, range(repeats), samples) for samples in (5, 50, 200))]
    means = [values.mean() for values in bounds]
    errors = [values.std() / np.sqrt(repeats) for values in bounds]
    assert means[0] + 4 * errors[0] < exact  # the ELBO lies below
    for (low, off), (high, other) in itertools.pairwise([*zip(means, errors, strict=True), (exact, 0.0)]):
        assert low <= high + 4 * np.hypot(off, other)
    assert means[0] + 4 * np.hypot(errors[0], errors[1]) < means[1]  # and 5 draws are surely better than one
    assert means[-1] == pytest.approx(exact, abs=0.02)
    # The ELBO's distance is the divergence of q from the true posterior, known in closed form.
    covariance = LinearGaussian().scale
    root = np.linalg.inv(covariance) @ (0.3 * np.ones(2))
    divergence = 0.5 * (2 * 1.4**2 + root @ root - 2) - 2 * np.log(1.4)
    assert means[0] == pytest.approx(exact - divergence, abs=4 * errors[0])


def test_a_row_has_its_own_number_of_samples_and_no_other_row_changes_it():
    model = LinearGaussian(shift=0.5)
    samples, seeds = np.int32([1, 3, 10, 25]), [5, 6, 7, 5]
    together = bound(model, EXAMPLES, seeds, samples)
    for row in range(4):
        alone = bound(model, EXAMPLES[row : row + 1], seeds[row : row + 1], samples[row])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)
    assert np.abs(bound(model, EXAMPLES, seeds, samples + 1) - together).min() > 1e-4
    # The draws counted are the first ones, each once: round by round, ten at a time.
    rounds = [
        model.log_weights(EXAMPLES, RowNoise(tf.constant(seeds, tf.int64)).fold(k), 10) for k in range(3)
    ]
    weights = np.concatenate(rounds, 1)
    expected = [scipy.special.logsumexp(w[:k]) - np.log(k) for w, k in zip(weights, samples, strict=True)]
    np.testing.assert_allclose(together, expected, atol=1e-5)


# -- the model ---------------------------------------------------------------------------------------------


def many_draws(model, x: np.ndarray, samples: int, repeats: int) -> np.ndarray:
    """The bound [N] with `repeats` times `samples` draws, the repeats side by side."""
    values = bound(model, np.repeat(x, repeats, 0), range(repeats * len(x)), samples)
    return scipy.special.logsumexp(np.reshape(values, (len(x), repeats)), 1) - np.log(repeats)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("dense", {}),
        ("convolutional", {}),
        ("dense", {"likelihood": "categorical", "levels": 5}),
        ("dense", {"likelihood": "gaussian", "levels": 4}),
        ("dense", {"likelihood": "logistic", "levels": 256}),
        ("dense", {"classes": 3}),
        ("dense", {"classes": 2, "likelihood": "gaussian", "levels": 3}),
    ],
)
def test_the_bound_rises_to_the_integral_over_the_code(network, options):
    shape = [2, 3, 1] if network == "dense" else [8, 8, 1]
    model = vae(image_shape=shape, network=network, width=2, spread=0.2, **options)
    levels = model.levels
    level = np.random.default_rng(3).integers(0, levels, (4, *shape))
    x = (level / (levels - 1)).astype(np.float32)
    exact = exact_log_prob(model, x)
    elbo = model.elbo(np.repeat(x, 500, 0), StepNoise(0, 0, 2000)).numpy().reshape(4, 500)
    assert (elbo.mean(1) < exact + 4 * elbo.std(1) / np.sqrt(500)).all()
    assert elbo.mean() < exact.mean()
    np.testing.assert_allclose(many_draws(model, x, 1000, 32), exact, atol=0.05)


def test_the_probabilities_of_all_images_sum_to_one():
    model = vae()
    x = all_images(model)
    assert np.exp(exact_log_prob(model, x)).sum() == pytest.approx(1.0, abs=1e-4)
    assert np.exp(many_draws(model, x, 1000, 16)).sum() == pytest.approx(1.0, abs=0.02)


def test_the_elbo_is_the_mean_log_weight():
    model = vae(code_size=3)
    x = all_images(model)[::9]
    draws = 5000
    weights = model.log_weights(x, StepNoise(0, 0, len(x)), draws).numpy()
    elbo = model.elbo(np.repeat(x, draws, 0), StepNoise(1, 0, len(x) * draws)).numpy().reshape(-1, draws)
    error = np.hypot(weights.std(1), elbo.std(1)) / np.sqrt(draws)
    np.testing.assert_array_less(np.abs(weights.mean(1) - elbo.mean(1)), 4 * error)


def test_codes_of_the_posterior_and_of_the_prior_are_independent_draws():
    model, seeds = vae(), np.arange(4)
    x = np.zeros((4, *model.example_shape()), np.float32)
    posterior, drawn = model.encode(x), signatures(model)["encode_draw"].run(x, tf.constant(seeds))["code"]
    standard = (drawn - posterior.mean()) / posterior.stddev()
    assert np.abs(standard - model.prior(RowNoise(seeds))).max() > 0.1


def test_a_bound_does_not_depend_on_the_rest_of_the_batch():
    model = vae(code_size=3)
    x = all_images(model)[:8]
    together = bound(model, x, range(8), 12)
    np.testing.assert_allclose(bound(model, x[5:6], [5], 12), together[5:6], rtol=1e-5)


@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_the_gradient_passes_through_the_draw(network):
    model = vae(image_shape=[8, 8, 1], network=network, width=2, code_size=2, spread=0.3, activation="gelu")
    x = np.random.default_rng(4).integers(0, 2, (5, 8, 8, 1)).astype(np.float32)

    def loss():
        return model.objective({"image": x}, {}, StepNoise(0, 0, 5))[0]

    chance, step = np.random.default_rng(5), 1e-3
    for variables in (model.encoder.trainable_variables, model.decoder.trainable_variables):
        with tf.GradientTape() as tape:
            value = loss()
        gradients = [
            each.numpy() for each in tape.gradient(value, [variable.value for variable in variables])
        ]
        length = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
        # Uphill, so that there is a slope to measure, and to any side.
        direction = [each / length + 0.1 * chance.standard_normal(each.shape) for each in gradients]
        slope = sum(np.sum(each * change) for each, change in zip(gradients, direction, strict=True))
        ends = []
        for sign in (1, -2):  # there, and to the other side
            for variable, change in zip(variables, direction, strict=True):
                variable.assign_add(sign * step * change)
            ends.append(float(loss()))
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-2)


def test_the_loss_is_the_negative_elbo_summed_over_dimensions_and_averaged_over_rows():
    model = vae(code_size=2)
    x = all_images(model)[10:17]
    loss, terms = model.objective({"image": x}, {}, StepNoise(0, 3, 7))
    np.testing.assert_allclose(loss, -np.mean(model.elbo(x, StepNoise(0, 3, 7))), rtol=1e-6)
    np.testing.assert_allclose(loss, terms["reconstruction"] + terms["kl"], rtol=1e-6)


def test_beta_and_free_bits_weigh_the_loss_and_never_the_bound():
    """The same weights, noise and images: what differs is what training makes small."""
    options = {"beta": {"start": 0.0, "end": 4.0, "steps": 8}, "free_bits": 2.3, "code_size": 3}
    plain, weighed = vae(code_size=3), vae(**options)
    x = all_images(plain)[::9]
    noise = StepNoise(0, 3, len(x))
    np.testing.assert_array_equal(plain.elbo(x, noise), weighed.elbo(x, noise))
    posterior = plain.encode(x)
    units = kl_per_unit(posterior.mean(), posterior.stddev()).numpy()
    charged = np.maximum(units.mean(0), 2.3).sum()
    assert charged > units.mean(0).sum()  # some unit has less
    for step, beta in ((0, 0.0), (4, 2.0), (99, 4.0)):
        weighed.step.assign(step)
        loss, terms = weighed.objective({"image": x}, {}, noise)
        _, expected = plain.objective({"image": x}, {}, noise)
        assert {name: float(terms[name]) for name in expected} == {k: float(v) for k, v in expected.items()}
        assert float(terms["beta"]) == beta
        np.testing.assert_allclose(loss, beta * charged + terms["reconstruction"], rtol=1e-5)


def test_a_unit_below_its_free_bits_has_no_gradient():
    model = vae(free_bits=0.5)
    kl = tf.Variable([[0.1, 2.0], [0.3, 0.2]])
    with tf.GradientTape() as tape:
        charged = model.charged(kl)
    assert float(charged) == pytest.approx(0.5 + 1.1)
    np.testing.assert_allclose(tape.gradient(charged, kl), [[0.0, 0.5], [0.0, 0.5]])


def test_a_conditional_model_is_trained_on_the_class_and_scored_over_all():
    model = vae(classes=3, code_size=2)
    x, label = all_images(model)[::13], np.int32([0, 1, 2, 0, 1])
    noise = StepNoise(0, 0, len(x))
    level = model.quantise(x)
    mean, scale = model.posterior(level)
    code = mean + scale * noise.normal("posterior", (2,))
    each = model.of_each_class(level, code, None).numpy()  # [K, B]
    _, terms = model.objective({"image": x, "label": label}, {}, noise)
    own = each[label, np.arange(5)]
    np.testing.assert_allclose(terms["reconstruction"], -own.mean(), rtol=1e-6)
    reconstruction, _ = model.elbo_terms(x, noise)
    np.testing.assert_allclose(reconstruction, np.log(np.exp(each.astype(np.float64)).mean(0)), rtol=1e-5)
    assert np.ptp(each, 0).min() > 0.01  # the class says something


def test_the_code_of_an_image_holds_the_class_that_explains_it_best():
    model = vae(classes=3, code_size=2)
    x = all_images(model)[::7]
    posterior = model.encode(x)
    code = posterior.mean().numpy()
    each = model.of_each_class(model.quantise(x), code[:, :2], None).numpy()
    np.testing.assert_array_equal(code[:, 2:], np.eye(3)[each.argmax(0)])
    np.testing.assert_array_equal(posterior.stddev()[:, 2:], 0.0)  # a draw keeps the class
    assert len(np.unique(each.argmax(0))) > 1


def test_the_class_that_is_asked_for_is_the_one_that_is_decoded():
    model = vae(classes=4, code_size=2)
    noise = RowNoise(tf.range(8, dtype=tf.int64))
    label = tf.constant([0, 1, 2, 3] * 2)
    code = tf.concat([model.prior(noise)[:, :2], tf.one_hot(label, 4)], 1)
    np.testing.assert_array_equal(model.sample_with(noise, label=label), model.decode(code))
    assert model.conditions().keys() == {"label"}
    assert vae().conditions() == {}


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical", "logistic"])
def test_samples_are_images_whatever_the_likelihood(likelihood):
    model = vae(likelihood=likelihood, levels=6, spread=3.0)
    image = model.sample(RowNoise(tf.range(50, dtype=tf.int64))).numpy()
    assert image.shape == (50, 2, 3, 1)
    assert 0.0 <= image.min() < image.max() <= 1.0


def test_gray_images_are_cut_at_one_half():
    model = vae()
    gray = np.float32([0.49, 0.5, 1.0, 0.0, 0.2, 0.8]).reshape(1, 2, 3, 1)
    binary = np.float32([0, 1, 1, 0, 0, 1]).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(bound(model, gray, [1], 10), bound(model, binary, [1], 10))
    np.testing.assert_array_equal(model.encode(gray).mean(), model.encode(binary).mean())


def test_a_decoded_image_holds_the_probabilities_of_its_pixels():
    model = vae(image_shape=[8, 8, 1], network="convolutional", width=2)
    code = np.float32([[0.3], [-1.0]])
    image = model.decode(code).numpy()
    assert image.shape == (2, 8, 8, 1)
    np.testing.assert_allclose(image.reshape(2, 64), scipy.special.expit(model.decoder(code)), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "halvings"), [((8, 8, 1), 1), ((28, 28, 1), 2), ((32, 64, 3), 3), ((48, 48, 1), 3)]
)
def test_convolutional_networks_fit_the_image(shape, halvings):
    config = configure(Config, {"image_shape": shape, "network": "convolutional", "width": 2, "code_size": 3})
    assert config.halvings == halvings
    model = VAE(config)
    assert model.encode(np.zeros((2, *shape), np.float32)).mean().shape == (2, 3)
    assert model.decode(np.zeros((2, 3), np.float32)).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(30, 30, 1), (4, 4, 1), (28, 30, 1)])
def test_a_size_that_does_not_halve_is_an_error_that_says_what_to_do(shape):
    with pytest.raises(UsageError, match=f"cannot halve {shape[0]}x{shape[1]}.*--image-size.*network=dense"):
        configure(Config, {"image_shape": shape, "network": "convolutional"})


def test_options_are_checked():
    with pytest.raises(UsageError, match="at least 1"):
        configure(Config, {"code_size": 0})
    with pytest.raises(UsageError, match=r"'convolution'.*Did you mean convolutional"):
        configure(Config, {"network": "convolution"})
    with pytest.raises(UsageError, match=r"activation='thanh'.*tanh"):
        configure(Config, {"activation": "thanh"})
    with pytest.raises(UsageError, match="a Bernoulli likelihood has 2 levels, not 256"):
        configure(Config, {"levels": 256})
    with pytest.raises(UsageError, match="levels=257: must be 2 to 256"):
        configure(Config, {"likelihood": "logistic", "levels": 257})
    with pytest.raises(UsageError, match="beta must be at least 0"):
        configure(Config, {"beta": -1})
