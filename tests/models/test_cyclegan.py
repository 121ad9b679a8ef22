"""CycleGAN: the paper's networks, the terms of its objectives, and each image through the right generator."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import UsageError
from zoo.layers.instance_norm import InstanceNorm
from zoo.models.cyclegan import Config, CycleGAN, make_discriminator, make_generator
from zoo.noise import StepNoise

ROWS = 4
SMALL = {"image_shape": (8, 8, 3), "width": 4, "blocks": 1, "discriminator_width": 4, "patch_layers": 1}


@pytest.fixture(scope="module")
def model() -> CycleGAN:
    """One that nothing trains."""
    keras.utils.set_random_seed(3)
    return CycleGAN(Config(**SMALL, pool=0))


def batch() -> dict[str, tf.Tensor]:
    """Images of the first domain are dark, of the second bright."""
    noise = tf.random.stateless_uniform((2, ROWS, 8, 8, 3), (1, 2))
    return {"image": 0.4 * noise[0], "other_image": 0.6 + 0.4 * noise[1]}


def losses(model: CycleGAN) -> tuple[tuple, tuple]:
    """The generators' loss and terms, and the discriminators'."""
    noise = StepNoise(0, 0, ROWS)
    shared = model.shared(batch(), noise)
    return (
        model.generators_objective(batch(), shared, noise),
        model.discriminators_objective(batch(), shared, noise),
    )


def count(network: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_the_papers_networks_have_the_papers_sizes():
    """7,837,699, 11,378,179 and 2,764,737 with the biases that instance normalisation takes away again."""
    outer = 64 + 128 + 256 + 128 + 64
    assert count(make_generator(Config(blocks=6), "six")) == 7_837_699 - outer - 12 * 256
    assert count(make_generator(Config(), "nine")) == 11_378_179 - outer - 18 * 256
    discriminator = make_discriminator(Config(), "judge")
    assert count(discriminator) == 2_764_737 - (128 + 256 + 512)
    kinds = [type(layer).__name__ for layer in discriminator.layers]
    assert kinds[:2] == ["Conv2D", "LeakyReLU"]  # the first layer is not normalised
    assert kinds[-1] == "Conv2D"  # and no sigmoid at the end
    assert kinds.count("InstanceNorm") == 3


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_discriminator_judges_patches(layers, field):
    """By the gradient, without the norms: these see the whole image."""
    config = Config(image_shape=(96, 96, 1), discriminator_width=1, patch_layers=layers)
    network = make_discriminator(config, "judge")
    image = tf.ones((1, 96, 96, 1))
    with tf.GradientTape() as tape:
        tape.watch(image)
        x = image
        for layer in network.layers:
            if isinstance(layer, keras.layers.Conv2D):
                layer.kernel.assign(tf.ones_like(layer.kernel))
            x = x if isinstance(layer, InstanceNorm) else layer(x)
        middle = x[0, x.shape[1] // 2, x.shape[2] // 2, 0]
    seen = np.argwhere(tape.gradient(middle, image)[0, ..., 0].numpy())
    assert (seen.max(0) - seen.min(0) + 1).tolist() == [field, field]


def test_generators_that_change_nothing_lose_nothing_by_the_cycle(model, monkeypatch):
    for name in ("to_first", "to_second"):
        monkeypatch.setattr(model, name, lambda x: x)
    (_, terms), _ = losses(model)
    assert float(terms["cycle"]) == float(terms["identity"]) == 0.0


def test_a_pair_of_inverses_loses_nothing_by_the_cycle_and_something_by_identity(model, monkeypatch):
    monkeypatch.setattr(model, "to_second", lambda x: 0.5 * x + 0.1)
    monkeypatch.setattr(model, "to_first", lambda x: 2.0 * (x - 0.1))
    (_, terms), _ = losses(model)
    assert float(terms["cycle"]) == pytest.approx(0.0, abs=1e-6)
    assert float(terms["identity"]) > 0.1


@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_the_terms_have_the_papers_weights(model, monkeypatch, identity):
    # |G(y) - y| and |F(x) - x|, not |G(x) - y|; D_X, of the first domain, says 0.3, D_Y 0.6.
    monkeypatch.setattr(model, "to_second", lambda x: x + 0.1)
    monkeypatch.setattr(model, "to_first", lambda x: x + 0.2)
    for name, score in (("first", 0.3), ("second", 0.6)):
        judge = lambda x, score=score: tf.fill((tf.shape(x)[0], 2, 2, 1), score)  # noqa: E731
        monkeypatch.setattr(model, f"{name}_discriminator", judge)
    monkeypatch.setattr(model, "config", Config(**SMALL, pool=0, identity=identity))
    (loss, terms), (judged, _) = losses(model)
    assert float(terms["generators_loss"]) == pytest.approx(0.7**2 + 0.4**2, rel=1e-5)
    assert float(terms["cycle"]) == pytest.approx(0.3 + 0.3, rel=1e-4)
    expected = 0.7**2 + 0.4**2 + 10 * 0.6 + identity * 10 * 0.3
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert ("identity" in terms) == bool(identity)
    assert float(judged) == pytest.approx(0.5 * (0.7**2 + 0.3**2 + 0.4**2 + 0.6**2), rel=1e-5)


def test_discriminators_see_images_of_the_pool(model, monkeypatch):
    kept = tf.fill((ROWS, 8, 8, 3), 0.25)
    seen = []

    def judge(x: tf.Tensor) -> tf.Tensor:
        seen.append(x.numpy())
        return tf.zeros((len(x), 1, 1, 1))

    for name in ("first", "second"):
        monkeypatch.setattr(model, f"{name}_discriminator", judge)
        monkeypatch.setattr(model, f"{name}_pool", lambda *_: kept)
    noise = StepNoise(0, 0, ROWS)
    shared = model.shared(batch(), noise)
    model.generators_objective(batch(), shared, noise)
    np.testing.assert_array_equal(
        seen[0], shared["made_first"]
    )  # the generators are judged by what they made
    seen.clear()
    model.discriminators_objective(batch(), shared, noise)
    for images, real in zip(seen, ("image", "other_image"), strict=True):
        np.testing.assert_allclose(images[:ROWS], 2 * batch()[real] - 1, atol=1e-6)
        np.testing.assert_array_equal(images[ROWS:], kept)


def test_half_of_the_images_are_mirrored_where_that_is_asked_for(model, monkeypatch):
    images = {name: tf.repeat(image[:1], 64, 0) for name, image in batch().items()}
    plain = model.images(images, StepNoise(0, 0, 64))[0].numpy()
    monkeypatch.setattr(model, "config", Config(**SMALL, pool=0, flip=True))
    found = [each.numpy() for each in model.images(images, StepNoise(0, 0, 64))]
    mirrored = [(each[:, :, 0] != each[:1, :, 0]).any((1, 2)) for each in found]
    assert all(0.25 < each.mean() < 0.75 for each in mirrored)
    assert (mirrored[0] != mirrored[1]).any()
    again = np.where((found[0] == plain).all((1, 2, 3))[:, None, None, None], found[0], found[0][:, :, ::-1])
    np.testing.assert_array_equal(again, plain)


@pytest.mark.parametrize("instance_norm", [True, False])
def test_a_generator_of_changes_begins_with_none(instance_norm):
    network = make_generator(Config(**SMALL, residual=True, instance_norm=instance_norm), "residual")
    image = 2.0 * batch()["image"] - 1.0
    np.testing.assert_array_equal(network(image), image)
    bias = [v for v in network.trainable_variables if v.path.endswith("bias")][-1]
    bias.assign([30.0, 0.0, -30.0])  # 2 tanh(30) is the whole range
    np.testing.assert_allclose(
        network(image) - image, np.broadcast_to([2.0, 0.0, -2.0], image.shape), atol=1e-6
    )


def test_what_translates_stays_within_the_range(model, monkeypatch):
    monkeypatch.setattr(model, "to_first", lambda x: x - 9.0)
    monkeypatch.setattr(model, "to_second", lambda x: x + 9.0)
    made = model.translate(batch()["image"], tf.constant([0, 1, 1, 0])).numpy()
    np.testing.assert_array_equal(made[:, 0, 0, 0], [0.0, 1.0, 1.0, 0.0])


def test_without_instance_norm_two_colours_stay_two_colours():
    """Instance normalisation makes one image of an image and of the same with half the contrast."""
    image = 0.2 * tf.sign(tf.random.stateless_normal((1, 8, 8, 1), (1, 2))) * [[0.5, -1.0, 0.8]]
    apart = []
    for instance_norm in (True, False):
        network = make_generator(Config(**SMALL, instance_norm=instance_norm), "generator")
        apart.append(float(tf.reduce_max(tf.abs(network(image) - network(0.5 * image)))))
        scale = float(tf.reduce_max(tf.abs(network(image))))
        assert (apart[-1] > 0.1 * scale) is not instance_norm


# A number that is no domain's is taken for the second: no pixel is left undefined.
@pytest.mark.parametrize("to", [[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [5, 0, -1, 1]])
def test_each_image_goes_through_the_generator_of_its_domain(model, to):
    x = batch()["image"]
    made = model.translate(x, tf.constant(to))
    for row, domain in enumerate(to):
        network = model.to_second if domain else model.to_first
        alone = 0.5 * network(2.0 * x[row : row + 1] - 1.0) + 0.5
        np.testing.assert_allclose(made[row : row + 1], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"domains": ("a", "b", "c")}, r"domains names 3 \(a, b, c\): name two, as in --set domains="),
        ({"domains": ("a",)}, r"domains names 1 \(a\): name two"),
        ({"image_shape": (30, 32, 3)}, "multiples of 4 from 24 on"),
        ({"image_shape": (16, 16, 3)}, "multiples of 4 from 24 on"),
        ({"pool": -1}, "must not be negative"),
        ({"width": 0}, "at least 1"),
    ],
)
def test_wrong_options_are_told(options, said):
    with pytest.raises(UsageError, match=said):
        Config(**options)
