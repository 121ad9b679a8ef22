"""The published files of real datasets, where they are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo.data import load

SCRIPT = Path(__file__).parents[2] / "benchmarks/convert_real_data.py"


@pytest.fixture(scope="module")
def converted(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, SCRIPT, real_data, out], check=True, capture_output=True)
    return out


def test_mnist_is_read_as_it_is(real_data):
    train, test = (load(f"idx:{real_data}/mnist", split) for split in ("train", "test"))
    assert train.info.splits == {"train": 55_000, "validation": 5_000, "test": 10_000}
    np.testing.assert_array_equal(
        np.bincount(test.fields["label"]), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert train.fields["label"][:5].tolist() == [5, 0, 4, 1, 9]
    assert abs(train.fields["image"].mean() - 33.3) < 0.2


def test_binarized_mnist_has_the_likelihood_that_is_known(converted):
    train, test = (load(f"npz:{converted}/binarized_mnist", split) for split in ("train", "test"))
    assert train.info.splits == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert train.info.levels == 2
    mean = np.clip(train.fields["image"].mean(0, dtype=np.float64), 1e-6, 1 - 1e-6)
    image = test.fields["image"]
    nats = -(image * np.log(mean) + (1 - image) * np.log(1 - mean)).sum((1, 2, 3)).mean()
    assert abs(nats - 205.79) < 0.05  # a factorised Bernoulli with the train means
    # Published sorted by digit; any part of ours has all.
    assert abs(image[:1000].mean() - image[-1000:].mean()) < 0.005


def test_the_other_sets_are_what_their_papers_say(converted):
    usps = load(f"idx:{converted}/usps", "all")
    assert len(usps) == 7291 + 2007
    assert usps.fields["image"].shape[1:] == (16, 16, 1)
    assert (
        np.bincount(usps.fields["label"][:7291]) == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    ).all()
    assert load(f"npz:{converted}/cifar10/cifar10.npz", "all").fields["image"].shape == (4000, 32, 32, 3)
    wine = load(f"csv:{converted}/uci/winequality-red.csv", "all")
    assert wine.fields["features"].shape == (1599, 12)
    assert wine.info.feature_names[-1] == "quality"
    text = load(f"text:{converted}/tiny_shakespeare/input.txt")
    assert len(text.info.vocabulary) == 66  # 65 symbols and the unknown
    emoji = load(f"folder:{converted}/twemoji/images", "all", image_size=16, data_dir=converted / "prepared")
    assert len(emoji) == len(emoji.fields["caption"]) == 3689
    assert (emoji.fields["caption"] != "").all()
