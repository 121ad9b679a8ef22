"""StarGAN: how labels are told, which of them are classified, and what comes back by the original's label."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import UsageError
from zoo.models.stargan import (
    Config,
    StarGAN,
    known_groups,
    label_vector,
    make_discriminator,
    make_generator,
)
from zoo.noise import StepNoise

ROWS = 4
SMALL = {"image_shape": (8, 8, 3), "width": 4, "blocks": 1, "discriminator_width": 4, "layers": 2}
# Hair of three values and whether young; of another data set one of four expressions.
JOINT = {
    "changes": ("hair", "young", "expression"),
    "values": (3, 2, 4),
    "groups": ((0, 1), (2,)),
}
# Of the first two images the one set knows the labels, of the third the other, of the last neither.
LABEL = np.array([[2, 1, -1], [0, 0, -1], [-1, -1, 3], [-1, -1, -1]], np.int32)
#: Where in what D reads stand hair, young and expression.
HAIR, YOUNG, EXPRESSION = slice(0, 3), slice(3, 4), slice(4, 8)


@pytest.fixture(scope="module")
def model() -> StarGAN:
    """One of two data sets, that nothing trains."""
    keras.utils.set_random_seed(3)
    return StarGAN(Config(**SMALL, **JOINT))


def batch() -> dict[str, tf.Tensor]:
    image = tf.random.stateless_uniform((ROWS, 8, 8, 3), (1, 2))
    return {"image": image, "attributes": tf.constant(LABEL), "other_attributes": tf.constant(LABEL[::-1])}


def test_the_papers_networks_have_the_papers_sizes():
    """53.19 M for CelebA's five numbers; 53.23 M for the eight of RaFD."""
    counts = []
    for values in ((3, 2, 2), (8,)):
        config = Config(values=values, groups=(tuple(range(len(values))),))
        # Sizes that numbers of labels do not change are built once.
        networks = [make_generator(config)] + ([make_discriminator(config)] if not counts else [])
        counts.append([sum(int(np.prod(v.shape)) for v in each.trainable_variables) for each in networks])
        assert config.label_size == sum(config.numbers) == (5 if not counts[1:] else 8)
    (generator, discriminator), (larger,) = counts
    assert round((generator + discriminator) / 1e6, 2) == 53.19
    read = 2 * 2 * 2048  # weights for each number that is read
    assert round((larger + discriminator + 3 * read) / 1e6, 2) == 53.23


def test_labels_are_told_by_bits_one_hot_vectors_and_a_mask(model):
    np.testing.assert_array_equal(
        label_vector(model.config, tf.constant(LABEL)),
        [
            [0, 0, 1, 1, 0, 0, 0, 0, 1, 0],
            [1, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 1],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ],
    )
    assert known_groups(model.config, tf.constant(LABEL)).numpy().tolist() == [
        [True, False], [True, False], [False, True], [False, False],
    ]  # fmt: skip
    # Of one data set there is no mask.
    single = Config(**SMALL, values=(4,))
    np.testing.assert_array_equal(label_vector(single, tf.constant([[2], [0]])), np.eye(4)[[2, 0]])


def test_only_known_labels_are_classified(model):
    read = tf.random.stateless_normal((ROWS, 8), (5, 6))
    with tf.GradientTape() as tape:
        tape.watch(read)
        loss, _ = model.classification(read, tf.constant(LABEL))
    gradient = tape.gradient(loss, read).numpy() != 0
    assert gradient[:2, HAIR].all()
    assert gradient[:2, YOUNG].all()
    assert gradient[2, EXPRESSION].all()
    gradient[:2, HAIR] = gradient[:2, YOUNG] = gradient[2, EXPRESSION] = False
    assert not gradient.any()


def test_the_classification_is_the_sum_over_labels_of_means_over_images(model):
    read = tf.random.stateless_normal((ROWS, 8), (5, 6))
    loss, accuracy = model.classification(read, tf.constant(LABEL))
    r = read.numpy()
    hair = tf.nn.log_softmax(r[:, HAIR]).numpy()
    young = np.log(1 + np.exp(np.array([-1, 1]) * r[:2, 3]))  # binary cross-entropy of 1 and 0
    expression = tf.nn.log_softmax(r[:, EXPRESSION]).numpy()
    expected = -(hair[0, 2] + hair[1, 0]) / 2 + young.mean() - expression[2, 3]
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    right = [
        np.mean(r[:2, HAIR].argmax(1) == [2, 0]),
        np.mean((r[:2, 3] > 0) == [True, False]),
        float(r[2, EXPRESSION].argmax() == 3),
    ]
    assert float(accuracy) == pytest.approx(np.mean(right))


def test_without_labels_and_mask_there_is_nothing_to_classify(model):
    read = tf.random.stateless_normal((ROWS, 8), (5, 6))
    with tf.GradientTape() as tape:
        tape.watch(read)
        loss, _ = model.classification(read, tf.fill((ROWS, 3), -1))
    assert float(loss) == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, read), 0.0)


def test_made_images_are_classified_for_the_generator_alone(model):
    noise = StepNoise(0, 0, ROWS)
    found = [
        model.discriminator_objective(batch(), {"fake": tf.fill((ROWS, 8, 8, 3), value)}, noise)[1]
        for value in (-0.5, 0.5)
    ]
    assert float(found[0]["real_classification"]) == float(found[1]["real_classification"])
    assert float(found[0]["fake_score"]) != float(found[1]["fake_score"])
    asked = [
        model.generator_objective(batch(), {"fake": tf.fill((ROWS, 8, 8, 3), value)}, noise)[1]
        for value in (-0.5, 0.5)
    ]
    assert float(asked[0]["fake_classification"]) != float(asked[1]["fake_classification"])


def test_back_leads_the_original_s_own_label(model, monkeypatch):
    told = []

    def generate(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        told.append(label.numpy())
        return image

    monkeypatch.setattr(model, "generate", generate)
    noise = StepNoise(0, 0, ROWS)
    shared = model.shared(batch(), noise)
    loss, terms = model.generator_objective(batch(), shared, noise)
    np.testing.assert_array_equal(told[0], LABEL[::-1])
    np.testing.assert_array_equal(told[1], LABEL)
    assert float(terms["reconstruction"]) == 0.0
    expected = float(terms["generator_loss"]) + float(terms["fake_classification"])
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(model, "generate", lambda image, label: image + 0.1)
    loss, terms = model.generator_objective(batch(), shared, noise)
    assert float(terms["reconstruction"]) == pytest.approx(0.1, rel=1e-4)
    expected = float(terms["generator_loss"]) + float(terms["fake_classification"]) + 10 * 0.1
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_what_is_unknown_of_its_own_data_set_is_told_as_the_discriminator_reads_it(model, monkeypatch):
    """And not classified: D reads hair 1, young 1 and expression 2 in every image."""
    told = []
    read = tf.constant([[0.0, 9.0, 0.0, 9.0, 0.0, 0.0, 9.0, 0.0]])
    monkeypatch.setattr(model, "discriminator", lambda x: (tf.zeros((len(x), 1)), tf.repeat(read, len(x), 0)))
    monkeypatch.setattr(model, "generate", lambda image, label: told.append(label.numpy()) or image)
    lacking = {
        **batch(),
        "attributes": tf.constant([[0, -1, -1], [-1, 0, -1], [-1, -1, 3], [2, 1, -1]]),
        "other_attributes": tf.constant([[-1, 0, -1], [0, 0, -1], [0, -1, -1], [-1, -1, 0]]),
    }
    noise = StepNoise(0, 0, ROWS)
    _, terms = model.generator_objective(lacking, model.shared(lacking, noise), noise)
    assert told[0].tolist() == [[1, 0, -1], [0, 0, -1], [0, 1, -1], [-1, -1, 0]]
    assert told[1].tolist() == [[0, 1, -1], [1, 0, -1], [-1, -1, 3], [2, 1, -1]]
    # Hair 0 twice, young 0 twice and expression 0 once were asked for, and each time 9 spoke against it.
    assert float(terms["fake_classification"]) == pytest.approx(27.0, abs=0.01)


def test_each_side_minimises_its_terms_and_no_others(model, monkeypatch):
    """Of a D that sums all values with weight w, the gradient has length |w| sqrt(values) everywhere."""

    def judge(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        read = tf.random.stateless_normal((len(x), 8), (5, 6))
        return 0.5 * tf.reduce_sum(x, -1, keepdims=True), read

    monkeypatch.setattr(model, "discriminator", judge)
    monkeypatch.setattr(model, "config", Config(**SMALL, **JOINT, classification=0.5, reconstruction=3.0))
    data, shared, noise = batch(), {"fake": tf.fill((ROWS, 8, 8, 3), 0.7)}, StepNoise(0, 0, ROWS)
    real, fake = 1.5 * np.mean(2 * data["image"] - 1), 1.5 * 0.7  # means over patches: 3 values each
    loss, terms = model.discriminator_objective(data, shared, noise)
    penalty = 10 * (0.5 * np.sqrt(192) - 1) ** 2
    assert float(terms["gradient_penalty"]) == pytest.approx(penalty, rel=1e-4)
    of_real, _ = model.classification(judge(tf.zeros((2 * ROWS, 8, 8, 3)))[1][:ROWS], tf.constant(LABEL))
    assert float(loss) == pytest.approx(fake - real + penalty + 0.5 * float(of_real), rel=1e-4)
    loss, terms = model.generator_objective(data, shared, noise)
    assert float(terms["generator_loss"]) == pytest.approx(-fake, rel=1e-4)
    of_fake, _ = model.classification(judge(shared["fake"])[1], tf.constant(LABEL[::-1]))
    expected = -fake + 0.5 * float(of_fake) + 3 * float(terms["reconstruction"])
    assert float(loss) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_two_replicas_train_as_one_where_labels_are_unknown():
    """The first replica's half knows labels of one data set, the second's of the other or of none."""
    ends = []
    for strategy in (
        tf.distribute.get_strategy(),
        tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()),
    ):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            twin = StarGAN(Config(**SMALL, **JOINT, critic_steps=1))
            twin.compile(
                {turn: keras.optimizers.SGD(0.01) for turn in ("discriminator", "generator")}, seed=1
            )
        start = [value.numpy() for value in twin.trainable_variables]
        twin.fit(
            tf.data.Dataset.from_tensors(batch()).repeat(2),
            epochs=1,
            steps_per_epoch=2,
            shuffle=False,
            verbose=0,
        )
        ends.append([value.numpy() for value in twin.trainable_variables])
    for before, one, two in zip(start, *ends, strict=True):
        assert np.linalg.norm(two - one) <= 1e-3 * np.linalg.norm(one - before) + 1e-6 * np.linalg.norm(one)
    assert any(np.any(before != one) for before, one in zip(start, ends[0], strict=True))


def test_maps_of_constants_change_the_image(model):
    """With reflection, the first normalisation would take them away; borders of zeros let them in."""
    image = 2 * batch()["image"][:1] - 1
    made = [model.generate(image, tf.constant([label])) for label in ([0, 0, -1], [1, 0, -1], [-1, -1, 2])]
    assert float(tf.reduce_max(tf.abs(made[0] - made[1]))) > 1e-3
    assert float(tf.reduce_max(tf.abs(made[0] - made[2]))) > 1e-3


def test_a_generator_of_changes_begins_with_none():
    config = Config(**SMALL, residual=True)
    image = 2 * batch()["image"] - 1
    told = tf.concat([image, tf.ones((ROWS, 8, 8, config.label_size))], -1)
    np.testing.assert_array_equal(make_generator(config)(told), image)


def test_what_is_not_asked_for_stays_as_the_discriminator_reads_it(model, monkeypatch):
    # It reads hair 1, young 1 and expression 2 in every image.
    read = tf.constant([[0.0, 9.0, 0.0, 9.0, 0.0, 0.0, 9.0, 0.0]])
    sizes = []

    def judge(x: tf.Tensor) -> tuple[None, tf.Tensor]:
        sizes.append(x.shape[1:3])
        return None, tf.repeat(read, len(x), 0)

    monkeypatch.setattr(model, "discriminator", judge)
    asked = tf.constant([[0, -1, -1], [-1, 0, -1], [-1, -1, 3], [2, -1, 0], [-1, -1, -1]])
    found = model.completed(tf.zeros((5, 20, 12, 3)), asked)
    assert found.numpy().tolist() == [[0, 1, -1], [1, 0, -1], [-1, -1, 3], [2, 1, 0], [-1, -1, -1]]
    assert sizes == [(8, 8)]


def test_a_domain_is_one_label():
    model = StarGAN(Config(**SMALL, values=(4,), critic_steps=3))
    assert model.asks() == ("domain", (4,))
    found = model.labels({"domain": tf.constant([3, 0])})
    assert found.numpy().tolist() == [[3], [0]]
    assert [len(model.due(step)) for step in range(4)] == [2, 1, 1, 2]
    x = batch()["image"][:2]
    to = tf.constant([1, 2])
    expected = 0.5 * model.generate(2 * x - 1, to[:, None]) + 0.5
    np.testing.assert_allclose(model.translate(x, to), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"domains": ("a",), "changes": ("b",)}, "leave out domains or changes"),
        ({"values": (1,)}, "nothing to translate to: the data has 1 domain"),
        ({"values": (2, 1), "groups": ((0, 1),)}, "at least two values of each attribute"),
        ({"values": (2, 2)}, "groups must name each label once"),
        ({"image_shape": (32, 32, 3)}, "multiples of 64. Choose such a size with --image-size, or fewer"),
        ({"critic_steps": 0}, "at least 1"),
        ({"penalty": -1.0}, "must not be negative"),
    ],
)
def test_wrong_options_are_told(options, said):
    with pytest.raises(UsageError, match=said):
        Config(**options)
