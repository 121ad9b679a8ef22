"""The discrete VAE: relaxation, divergence, and bounds that rise to a likelihood known by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from zoo.base import Samples, configure
from zoo.errors import UsageError
from zoo.exporting import signatures
from zoo.models.dvae import DVAE, Config, kl_to_uniform, relaxed, token_information
from zoo.noise import RowNoise, StepNoise


def dvae(seed=0, spread=0.6, **values) -> DVAE:
    """Four tokens of three for an image of 4x4, with weights far from zero, so that all terms matter."""
    config = {
        "image_shape": [4, 4, 1],
        "groups": 2,
        "blocks": 1,
        "width": 4,
        "first": 4,
        "codebook": 3,
        "likelihood": "bernoulli",
        **values,
    }
    model = DVAE(configure(Config, config))
    chance = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(spread * chance.standard_normal(variable.shape))
    return model


@pytest.mark.parametrize("likelihood", ["bernoulli", "logit_laplace"])
def test_the_decoder_starts_with_what_it_can_say_without_tokens(likelihood):
    config = {"image_shape": [4, 4, 3], "groups": 2, "blocks": 1, "width": 4, "first": 4, "codebook": 3}
    model = DVAE(configure(Config, {**config, "likelihood": likelihood}))
    level = np.random.default_rng(1).integers(0, model.levels, (2, 50, 4, 4, 3))
    level = np.where([True, True, False], level[0], level.min(0))  # the last channel is darker
    model.begin({"image": tf.constant(level / (model.levels - 1), tf.float32)})
    bias = model.decoder.layers[-1].bias

    def score() -> float:
        outputs = tf.broadcast_to(tf.reshape(bias, (3, -1)), [50, 16, 3, bias.shape[0] // 3])
        flat = tf.constant(level.reshape(50, 16, 3), tf.int32)
        return float(tf.reduce_mean(model.pixels.log_prob(flat, outputs, tf.constant(0.5))))

    best, start = score(), bias.numpy()
    for index in range(len(start)):
        for away in (-0.1, 0.1):
            bias.assign(start + away * np.eye(len(start))[index])
            assert score() < best


def test_a_dark_and_a_light_picture_begin_with_different_tokens():
    """Of values from 0 up, a network of rectified layers without biases names both alike."""
    model = DVAE(configure(Config, {"codebook": 128}))
    flat = np.stack([np.full((32, 32, 3), value, np.float32) for value in (0.1, 0.9)])
    dark, light = model.logits(tf.cast(255 * flat, tf.int32)).numpy()[:, 28]  # a place in the middle
    assert dark.argmax() != light.argmax()


def test_a_token_of_one_pixel_can_be_taught():
    model = dvae(taught=1, groups=1, image_shape=[2, 2, 1], codebook=2)
    x = tf.constant([[0.0, 1.0], [1.0, 0.0]])[None, :, :, None]
    model.begin({"image": x})
    assert model.patches.numpy()[model.nearest_patch(tf.cast(x, tf.int32))].ravel().tolist() == [0, 1, 1, 0]


def test_tokens_are_taught_by_the_nearest_of_unlike_patches():
    """Nearly all places are alike; the few that are not have tokens of their own nevertheless."""
    model = dvae(taught=3, image_shape=[8, 8, 1], codebook=4)
    assert [phase.steps for phase in model.phases(model.config)] == [3, None]
    assert len(DVAE.phases(dvae().config)) == 1
    kinds = np.array([[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[1, 0], [1, 0]], [[1, 1], [0, 0]]], np.float32)
    kind = np.zeros((20, 4, 4), int)
    kind[0] = np.arange(16).reshape(4, 4) % 4
    x = kinds[kind].transpose(0, 1, 3, 2, 4).reshape(20, 8, 8, 1)
    model.begin({"image": tf.constant(x)})
    level = tf.cast(x, tf.int32)
    token = model.nearest_patch(level).numpy()
    np.testing.assert_allclose(
        model.patches.numpy()[token], kinds.reshape(4, 4)[kind.reshape(20, 16)], atol=1e-6
    )
    model.enter(0)
    with tf.GradientTape() as tape:
        loss, terms = model.objective({"image": tf.constant(x)}, {}, StepNoise(0, 0, 20))
    log_q = scipy.special.log_softmax(model.logits(level), -1)
    assert float(terms["kl"]) == pytest.approx(
        -np.take_along_axis(log_q, token[..., None], -1).sum((1, 2)).mean(), rel=1e-5
    )
    told = model.log_likelihood(level, model.one_hot(token), StepNoise(0, 0, 20))
    assert float(loss) == pytest.approx(float(terms["kl"]) - float(tf.reduce_mean(told)), rel=1e-5)
    # The decoder reads what is given, so that the encoder learns of the given tokens alone.
    told_of = tape.gradient(loss, [variable.value for variable in model.encoder.trainable_variables])
    with tf.GradientTape() as tape:
        loss = model.objective({"image": tf.constant(x)}, {}, StepNoise(0, 0, 20))[1]["kl"]
    alone = tape.gradient(loss, [variable.value for variable in model.encoder.trainable_variables])
    for ours, theirs in zip(told_of, alone, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    model.enter(3)
    assert float(
        model.objective({"image": tf.constant(x)}, {}, StepNoise(0, 3, 20))[1]["kl"]
    ) == pytest.approx(float(tf.reduce_mean(tf.reduce_sum(kl_to_uniform(model.logits(level)), -1))), rel=1e-5)


def test_information_of_tokens():
    sure = 50.0 * np.eye(4, dtype=np.float32)
    assert float(token_information(tf.constant(sure[None]))) == pytest.approx(np.log(4), rel=1e-5)
    assert float(token_information(tf.constant(sure[None, [1, 1, 1, 1]]))) == pytest.approx(0, abs=1e-5)
    assert float(token_information(tf.zeros([2, 3, 4]))) == pytest.approx(0, abs=1e-5)


def images(model, count=3) -> np.ndarray:
    level = np.random.default_rng(5).integers(0, model.levels, (count, *model.example_shape()))
    return (level / (model.levels - 1)).astype(np.float32)


def all_tokens(model) -> np.ndarray:
    """Every grid of tokens there is, int32 [K^T, T]."""
    return np.array(list(itertools.product(range(model.token_values()), repeat=model.places)), np.int32)


def exact_log_prob(model, x) -> np.ndarray:
    """log p(x) [B] of Bernoulli pixels: the sum over all grids of tokens."""
    tokens = all_tokens(model)
    logits = model.outputs(model.one_hot(tokens)).numpy()[..., 0].astype(np.float64)  # [K^T, D]
    signs = 2.0 * x.reshape(len(x), 1, -1) - 1.0
    each = scipy.special.log_expit(signs * logits).sum(-1)  # [B, K^T]
    return scipy.special.logsumexp(each, 1) - np.log(len(tokens))


# -- the relaxation and the divergence ---------------------------------------------------------------------


def test_at_a_low_temperature_the_draws_are_tokens_as_often_as_the_softmax_says():
    logits = tf.constant([0.3, -1.2, 1.1, 0.0])
    draws, probabilities = 40_000, scipy.special.softmax(logits)
    gumbel = StepNoise(0, 0, draws).gumbel("posterior", (4,))
    tokens = relaxed(logits, gumbel, tf.constant(1e-3)).numpy()
    error = np.sqrt(probabilities * (1 - probabilities) / draws)
    frequency = (tokens.argmax(1)[:, None] == np.arange(4)).mean(0)
    np.testing.assert_array_less(np.abs(frequency - probabilities), 4 * error)
    np.testing.assert_array_less(np.abs(tokens.mean(0) - probabilities), 5 * error)
    assert (tokens.max(1) > 0.99).mean() > 0.99  # and they are nearly one-hot
    # A higher temperature mixes them, and keeps each draw's likeliest token.
    warm = relaxed(logits, gumbel, tf.constant(1.0)).numpy()
    assert warm.max(1).mean() < 0.8
    np.testing.assert_array_equal(warm.argmax(1), tokens.argmax(1))


def test_the_divergence_is_zero_of_the_uniform_and_largest_of_one_token():
    assert float(kl_to_uniform(tf.fill([7], 2.5))) == pytest.approx(0.0, abs=1e-6)
    one = tf.constant([0.0, 200.0, 0.0, 0.0, 0.0])
    assert float(kl_to_uniform(one)) == pytest.approx(np.log(5), abs=1e-6)
    logits = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    q = scipy.special.softmax(logits, 1)
    np.testing.assert_allclose(kl_to_uniform(logits), (q * np.log(5 * q)).sum(1), rtol=1e-5)


def test_the_gradient_reaches_the_encoder_through_the_relaxed_tokens():
    model = dvae(beta=0.0)
    with tf.GradientTape() as tape:
        loss, _ = model.objective({"image": images(model)}, {}, StepNoise(0, 0, 3))
    gradients = tape.gradient(loss, [variable.value for variable in model.encoder.trainable_variables])
    assert all(np.abs(tf.convert_to_tensor(each)).max() > 0 for each in gradients)


def test_the_schedules_follow_the_step():
    model = dvae(
        temperature={"start": 1.0, "end": 0.0625, "steps": 10, "shape": "cosine"},
        beta={"start": 0.0, "end": 6.6, "steps": 4},
    )
    batch = {"image": images(model)}
    for step, temperature, beta in ((0, 1.0, 0.0), (2, None, 3.3), (5, 0.53125, 6.6), (50, 0.0625, 6.6)):
        model.step.assign(step)
        loss, terms = model.objective(batch, {}, StepNoise(0, 0, 3))
        assert float(terms["beta"]) == pytest.approx(beta)
        if temperature is not None:
            assert float(terms["temperature"]) == pytest.approx(temperature)
        np.testing.assert_allclose(loss, terms["relaxed_reconstruction"] + beta * terms["kl"], rtol=1e-5)


# -- the bounds, of hard tokens ------------------------------------------------------------------------------


def test_bounds_rise_with_the_draws_to_the_sum_over_all_tokens():
    model = dvae(spread=0.3)
    x = images(model)
    exact = exact_log_prob(model, x)
    repeats = 2000
    many = np.repeat(x, repeats, 0)
    elbo = model.elbo(many, StepNoise(0, 0, len(many))).numpy().reshape(3, repeats)
    error = elbo.std(1) / np.sqrt(repeats)
    assert (elbo.mean(1) < exact + 4 * error).all()
    weights = model.log_weights(many, StepNoise(1, 0, len(many)), 4).numpy().reshape(3, -1)
    np.testing.assert_allclose(
        scipy.special.logsumexp(weights, 1) - np.log(weights.shape[1]), exact, atol=0.05
    )
    spread = np.hypot(error, weights.std(1) / np.sqrt(weights.shape[1]))
    np.testing.assert_array_less(np.abs(weights.mean(1) - elbo.mean(1)), 4 * spread)


def test_the_probabilities_of_all_images_sum_to_one():
    model = dvae(image_shape=[2, 4, 1], groups=2)  # two tokens
    states = np.array(list(itertools.product([0.0, 1.0], repeat=8)), np.float32).reshape(-1, 2, 4, 1)
    assert np.exp(exact_log_prob(model, states)).sum() == pytest.approx(1.0, abs=1e-5)


def test_scores_take_hard_tokens_at_beta_one_whatever_training_does():
    plain, other = dvae(), dvae(beta=3.0, temperature=0.2)
    x, noise = images(plain), StepNoise(0, 0, 3)
    np.testing.assert_array_equal(plain.elbo(x, noise), other.elbo(x, noise))
    reconstruction, divergence = plain.elbo_terms(x, noise)
    grids = all_tokens(plain)
    logits = plain.outputs(plain.one_hot(grids)).numpy()[..., 0]
    each = scipy.special.log_expit((2.0 * x.reshape(3, 1, -1) - 1.0) * logits).sum(-1)
    # The reconstruction is that of one of the grids of tokens there are.
    assert np.abs(each - reconstruction.numpy()[:, None]).min(1).max() < 1e-3
    assert (divergence.numpy() > 0).all()
    assert (divergence.numpy() < plain.places * np.log(3)).all()


def test_the_logit_laplace_likelihood_is_that_of_all_levels():
    """Of one value and one token: the bound with many draws is the mass of the level, by quadrature."""
    model = dvae(image_shape=[1, 1, 1], groups=1, likelihood="logit_laplace", levels=4, codebook=2)
    x = np.float32([0, 1, 2, 3]).reshape(4, 1, 1, 1) / 3
    weights = model.log_weights(np.repeat(x, 4000, 0), StepNoise(0, 0, 16_000), 1).numpy().reshape(4, 4000)
    found = np.exp(scipy.special.logsumexp(weights, 1) - np.log(4000))
    edges = 0.8 * np.arange(5) / 4 + 0.1
    expected = np.zeros(4)
    for token in range(2):
        median, log_scale = model.outputs(model.one_hot([[token]])).numpy()[0, 0]
        law = scipy.stats.laplace(median, np.exp(log_scale))
        expected += 0.5 * np.diff(law.cdf(np.log(edges / (1 - edges))))
    np.testing.assert_allclose(found, expected, rtol=0.1)


# -- tokens --------------------------------------------------------------------------------------------------


def test_tokens_are_whole_numbers_row_by_row_and_decode_to_images():
    model = dvae(image_shape=[24, 4, 3], codebook=5)
    x = images(model, 6)
    found = {name: signature.run for name, signature in signatures(model).items()}
    tokens = found["encode"](tf.constant(x))["code"]
    np.testing.assert_array_equal(model.tokenise(tf.constant(x)), tokens)
    assert (tokens.shape, tokens.dtype) == ((6, 24), tf.int32)
    assert (model.token_grid(), model.token_values()) == ((12, 2), 5)
    assert tokens.numpy().min() >= 0
    assert tokens.numpy().max() < 5
    image = found["decode"](tokens)["image"]
    assert image.shape == (6, 24, 4, 3)
    np.testing.assert_array_equal(found["reconstruct"](tf.constant(x))["reconstruction"], image)
    assert "sample" not in found
    assert not isinstance(model, Samples)
    # Row by row: the last token of a grid stands for its lower right corner.
    changed = tokens.numpy()
    changed[:, -1] = (changed[:, -1] + 1) % 5
    away = np.abs(model.decode(changed) - image).max((0, 3))
    assert away[-1, -1] > 0
    assert away[0, 0] == 0


def test_drawn_tokens_are_as_frequent_as_the_posterior_says():
    model = dvae()
    x = np.repeat(images(model, 1), 4000, 0)
    draw = tf.function(signatures(model)["encode_draw"].run)  # row by row: slow without a graph
    tokens = draw(tf.constant(x), tf.range(4000, dtype=tf.int64))["code"].numpy()
    q = scipy.special.softmax(model.logits((x[:1] >= 0.5).astype(np.int32)).numpy()[0], 1)  # [T, K]
    frequency = (tokens[..., None] == np.arange(3)).mean(0)
    np.testing.assert_array_less(np.abs(frequency - q), 4.5 * np.sqrt(q * (1 - q) / 4000) + 1e-6)


def test_the_use_of_the_codebook_is_told():
    model = dvae(codebook=4)
    share, perplexity = model.codebook_use(tf.constant([[0, 0, 2, 2], [2, 2, 0, 0]]))
    assert float(share) == 0.5
    assert float(perplexity) == pytest.approx(2.0, rel=1e-5)
    share, perplexity = model.codebook_use(tf.constant([[3, 3]]))
    assert (float(share), float(perplexity)) == (0.25, pytest.approx(1.0))


def test_a_score_does_not_depend_on_the_rest_of_the_batch():
    model = dvae(likelihood="logit_laplace", levels=5)
    x = images(model, 4)
    noise = RowNoise(tf.constant([3, 4, 5, 6], tf.int64))
    together = model.log_weights(x, noise, 3)
    alone = model.log_weights(x[2:3], RowNoise(tf.constant([5], tf.int64)), 3)
    np.testing.assert_allclose(alone[0], together[2], rtol=1e-5)


def test_the_paper_s_networks_have_their_sizes():
    """32x32 tokens of 8,192 for 256x256, and the parameters that the authors' layers have."""
    config = configure(
        Config, {"image_shape": [256, 256, 3], "groups": 4, "width": 256, "first": 128, "codebook": 8192}
    )
    assert config.grid == (32, 32)

    def block(inside, outside, kernels):
        hidden = outside // 4
        sizes = [inside, hidden, hidden, hidden, outside]
        convolutions = sum(
            k * k * a * b + b for k, (a, b) in zip(kernels, itertools.pairwise(sizes), strict=True)
        )
        return convolutions + (0 if inside == outside else inside * outside + outside)

    def groups(first, kernels, order):
        total = 0
        for multiple in order:
            total += block(first, 4 * multiple, kernels) + block(4 * multiple, 4 * multiple, kernels)
            first = 4 * multiple
        return total

    # The same networks, 64 times narrower.
    model = dvae(image_shape=[16, 16, 3], groups=4, blocks=2, width=4, first=2, codebook=5)
    encoder = 49 * 3 * 4 + 4 + groups(4, (3, 3, 3, 1), (1, 2, 4, 8)) + 32 * 5 + 5
    decoder = 5 * 2 + 2 + groups(2, (1, 3, 3, 3), (8, 4, 2, 1)) + 4 * 3 + 3
    assert model.encoder.count_params() == encoder
    assert model.decoder.count_params() == decoder


def test_options_are_checked():
    with pytest.raises(UsageError, match="cannot halve 10x10 2 times: choose a multiple of 4"):
        configure(Config, {"image_shape": [10, 10, 3]})
    with pytest.raises(UsageError, match="width a multiple of 4"):
        configure(Config, {"width": 6})
    with pytest.raises(UsageError, match="temperature must be above 0"):
        configure(Config, {"temperature": 0})
    with pytest.raises(UsageError, match="codebook must be at least 2"):
        configure(Config, {"codebook": 1})
