"""What `zoo.sampling` does with seeds, conditions, chunks, and with what a model cannot do."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from zoo import registry, sampling
from zoo.base import configure
from zoo.errors import UsageError, ZooError
from zoo.exporting import export
from zoo.sampling import CHUNK, LoadedModel

pytestmark = pytest.mark.xdist_group("sampling")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A GAN, a conditional DCGAN, a VAE and an InfoGAN for 8x8 images, with fresh weights."""
    found = {}
    for name, config in {"gan": {}, "dcgan": {"classes": 3}, "vae": {}, "infogan": {}}.items():
        keras.utils.set_random_seed(0)
        model_class = registry.model_class(name)
        values = {**registry.presets(name)["tiny"]["config"], "image_shape": [8, 8, 1], **config}
        model = model_class(configure(model_class.config_class(), values))
        card = {"model": name, **registry.card(name), "config": values}
        found[name] = export(model, tmp_path_factory.mktemp(name) / "1", card)
    return found


@pytest.fixture(scope="module")
def gan(paths) -> LoadedModel:
    return sampling.load(paths["gan"])


@pytest.fixture(scope="module")
def dcgan(paths) -> LoadedModel:
    return sampling.load(paths["dcgan"])


@pytest.fixture(scope="module")
def vae(paths) -> LoadedModel:
    return sampling.load(paths["vae"])


IMAGES = np.linspace(0.0, 1.0, 5 * 64, dtype=np.float32).reshape(5, 8, 8, 1)


# -- generation --------------------------------------------------------------------------------------------


def test_many_seeds_come_one_chunk_at_a_time(gan):
    parts = gan.iter_samples(range(100_000))
    assert [part.shape for part in itertools.islice(parts, 2)] == [(CHUNK, 8, 8, 1)] * 2


def test_rows_follow_the_order_of_seeds(gan):
    images = gan.sample([9, 2, 9, 2**40])
    np.testing.assert_array_equal(images[0], images[2])
    np.testing.assert_array_equal(gan.sample([2])[0], images[1])
    assert np.abs(images[3] - images[1]).max() > 0.0


@pytest.mark.parametrize("seeds", [[], [-1], [3, -2], [0.5], [[1, 2]], ["one"]])
def test_what_is_no_list_of_seeds_is_refused(gan, seeds):
    with pytest.raises(UsageError, match="seeds"):
        gan.sample(seeds)


def test_a_condition_is_one_for_all_or_one_a_row(dcgan):
    assert dcgan.conditions == ("label",)
    np.testing.assert_array_equal(dcgan.sample([4, 5], label=2), dcgan.sample([4, 5], label=[2, 2]))
    apart = np.abs(dcgan.sample([4, 4], label=[0, 1]))
    assert np.abs(apart[0] - apart[1]).max() > 0.0


@pytest.mark.parametrize("label", [3, -1, [0, 7]])
def test_a_class_that_is_not_there_is_refused(dcgan, label):
    with pytest.raises(UsageError, match="labels 0 to 2"):
        dcgan.sample([1, 2], label=label)


def test_the_parts_of_a_code_can_be_asked_for_and_nothing_that_they_cannot_be(paths):
    model = sampling.load(paths["infogan"])  # categories of 3 and of 2, two numbers, one binary part
    nothing = np.full((3, 5), np.nan, np.float32)
    np.testing.assert_allclose(model.sample([4, 5, 6], code=nothing), model.sample([4, 5, 6]), atol=1e-6)
    wanted = nothing.copy()
    wanted[:, 0], wanted[:, 2], wanted[:, 4] = 2, -1.5, 1
    code = model.prior([4, 5, 6])
    code[:, :3], code[:, 5], code[:, 7] = [0, 0, 1], -1.5, 1
    np.testing.assert_allclose(model.sample([4, 5, 6], code=wanted), model.decode(code), atol=1e-6)
    assert [part.family for part in model.encoded_parts] == ["one_hot", "one_hot", "uniform", "binary"]
    for column, value, said in ((0, 3, "0 to 2"), (1, 0.5, "0 to 1"), (4, 2, "0 to 1"), (0, -1, "0 to 2")):
        wrong = nothing.copy()
        wrong[1, column] = value
        with pytest.raises(UsageError, match=f"part {column} of the code .* {said}"):
            model.sample([4, 5, 6], code=wrong)


def test_what_is_encoded_is_named_where_it_is_known(paths, vae, dcgan, gan):
    assert vae.encoded_parts == vae.prior_parts
    assert [part.family for part in dcgan.encoded_parts] == ["other"]
    assert [part.size for part in gan.encoded_parts] == [8]


def test_as_many_labels_as_seeds_are_needed(dcgan):
    with pytest.raises(UsageError, match="3 of seed, 2 of label"):
        dcgan.sample([1, 2, 3], label=[0, 1])


def test_a_condition_that_is_not_taken_is_refused(gan, dcgan):
    with pytest.raises(UsageError, match="gan cannot be given a label: it takes no conditions"):
        gan.sample([1], label=0)
    with pytest.raises(UsageError, match="dcgan cannot be given a prompt: it takes label"):
        dcgan.sample([1], prompt="seven")


def test_an_interpolation_goes_from_one_code_to_the_other(gan):
    a, b = gan.prior([1, 2])
    frames = gan.interpolate(a, b, 5)
    np.testing.assert_allclose(frames[[0, -1]], gan.sample([1, 2]), atol=1e-6)
    np.testing.assert_allclose(frames[2], gan.decode([(a + b) / 2])[0], atol=1e-6)
    with pytest.raises(UsageError, match="2 frames"):
        gan.interpolate(a, b, 1)


# -- density and representation ----------------------------------------------------------------------------


def test_a_bound_rises_with_importance_samples_and_says_what_it_is(vae):
    assert vae.kind == "bound"
    seeds = np.arange(50)
    images = np.repeat(IMAGES[:1], 50, 0)
    loose = vae.log_prob(images, seeds)["log_prob_bound"]
    tight = vae.log_prob(images, seeds, importance_samples=100)["log_prob_bound"]
    assert loose.mean() < tight.mean()
    assert tight.std() < loose.std()


def test_scores_repeat_and_depend_on_their_seeds(vae):
    first = vae.log_prob(IMAGES)["log_prob_bound"]
    np.testing.assert_array_equal(vae.log_prob(IMAGES, range(5))["log_prob_bound"], first)
    assert (vae.log_prob(IMAGES, range(5, 10))["log_prob_bound"] != first).any()


def test_a_drawn_code_lies_around_the_mean(vae):
    images = np.repeat(IMAGES[:1], 2000, 0)
    mean, scale = (vae.run("encode", image=IMAGES[:1])[name][0] for name in ("code", "code_scale"))
    draws = vae.encode(images, draw_seeds=range(2000))
    np.testing.assert_array_equal(vae.encode(IMAGES[:1])[0], mean)
    assert (np.abs(draws.mean(0) - mean) < 5 * scale / 2000**0.5).all()
    np.testing.assert_allclose(draws.std(0), scale, rtol=0.1)


def test_a_reconstruction_decodes_the_mean_code(vae):
    np.testing.assert_allclose(vae.reconstruct(IMAGES), vae.decode(vae.encode(IMAGES)), atol=1e-6)


# -- what cannot be done -----------------------------------------------------------------------------------


def test_a_model_without_a_likelihood_says_which_have_one(gan):
    assert gan.kind is None
    with pytest.raises(UsageError, match=r"gan has no likelihood: it is implicit\. .* can score: .*vae"):
        gan.log_prob(IMAGES)
    with pytest.raises(UsageError, match=r"gan cannot reconstruct\. Models that can reconstruct: .*vae"):
        gan.reconstruct(IMAGES)


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 3), (5, 28, 28, 1)])
def test_images_of_another_shape_are_refused(vae, shape):
    with pytest.raises(UsageError, match="takes image rows of shape 8 x 8 x 1: got"):
        vae.reconstruct(np.zeros(shape, np.float32))


def test_images_of_whole_numbers_are_refused(vae):
    with pytest.raises(UsageError, match="uint8: divide"):
        vae.reconstruct(np.zeros((5, 8, 8, 1), np.uint8))


def test_importance_samples_are_at_least_one(vae):
    with pytest.raises(UsageError, match="at least 1"):
        vae.log_prob(IMAGES, importance_samples=0)


def test_no_rows_are_refused(vae):
    with pytest.raises(UsageError, match="rows"):
        vae.reconstruct(IMAGES[:0])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no SavedModel"):
        sampling.load(tmp_path)


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "assets.extra/model_card.json"]
)
def test_a_damaged_file_is_an_error_that_names_the_model(paths, tmp_path, file):
    copy = tmp_path / "1"
    shutil.copytree(paths["gan"], copy)
    (copy / file).write_bytes((copy / file).read_bytes()[:20])
    with pytest.raises(ZooError, match="cannot be read"):
        sampling.load(copy)


def test_sampling_imports_neither_probability_nor_models(paths):
    code = (
        "import sys; from zoo import sampling; sampling.load(sys.argv[1]).sample(range(3));"
        "print(*sorted({'tensorflow_probability', 'tf_keras', 'zoo.base', 'zoo.data'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(paths["gan"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
