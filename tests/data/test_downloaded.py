"""Sets of TFDS that are not ours, played by builders that make their examples themselves."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.data import load
from zoo.errors import UsageError, ZooError


class PlayedFaces(tfds.core.GeneratorBasedBuilder):
    """Images of many sizes with what CelebA and caption sets have beside them."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "photo": tfds.features.Image(shape=(None, None, 3)),
                "kind": tfds.features.ClassLabel(names=["cat", "dog"]),
                "caption": tfds.features.Text(),
                "attributes": {"young": np.bool_, "bald": np.bool_},
                "boxes": tfds.features.Sequence(np.float32),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(20), "test": self._generate_examples(5)}

    def _generate_examples(self, count):
        for number in range(count):
            yield (
                str(number),
                {
                    "id": str(number),
                    "photo": np.full((4 + number % 3, 9, 3), 10 * number, np.uint8),
                    "kind": number % 2,
                    "caption": f"größer als {number}",
                    "attributes": {"bald": number % 2 == 0, "young": number % 3 == 0},
                    "boxes": [0.5] * number,
                },
            )


class PlayedDigits(tfds.core.GeneratorBasedBuilder):
    """Images of one size, and a train split only."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(4, 4, 1))})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(40):
            yield number, {"image": np.full((4, 4, 1), number, np.uint8)}


class PlayedValidation(PlayedDigits):
    """Train and validation, as ImageNet has them."""

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "validation": self._generate_examples()}


class PlayedSound(PlayedDigits):
    """Without images."""

    def _info(self):
        features = tfds.features.FeaturesDict({"audio": tfds.features.Audio()})
        return tfds.core.DatasetInfo(builder=self, features=features)


class PlayedDepth(PlayedDigits):
    """Images with 16 bits."""

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(4, 4, 1), dtype=np.uint16)}
        )
        return tfds.core.DatasetInfo(builder=self, features=features)


class PlayedManual(PlayedDigits):
    """Wants its user to fetch files."""

    def _split_generators(self, dl_manager):
        raise AssertionError("Manual directory does not exist.\nIt should hold one hundred files.")


def test_images_of_many_sizes_are_brought_to_one(tmp_path):
    data = load("tfds:played_faces", "all", image_size=4, data_dir=tmp_path)
    assert data.fields["image"].shape == (25, 4, 4, 3)
    assert data.info.splits == {"train": 18, "validation": 2, "test": 5}
    assert data.info.notes == ("images of many sizes cropped and resized to 4x4",)
    assert data.info.class_names == ("cat", "dog")
    assert data.info.attribute_names == ("young", "bald")
    numbers = data.fields["image"][:, 0, 0, 0] // 10
    assert sorted(numbers[:20]) == list(range(20))
    np.testing.assert_array_equal(data.fields["label"], numbers % 2)
    np.testing.assert_array_equal(
        data.fields["attributes"], np.stack([numbers % 3 == 0, numbers % 2 == 0], 1)
    )
    assert list(data.fields["caption"]) == [f"größer als {number}" for number in numbers]
    assert set(data.fields) == {"image", "label", "attributes", "caption"}


def test_images_of_many_sizes_want_a_size(tmp_path):
    with pytest.raises(UsageError, match="differ in size: choose one with --image-size"):
        load("tfds:played_faces", data_dir=tmp_path)


def test_gray_is_made_while_they_are_read(tmp_path):
    data = load("tfds:played_faces", image_size=4, channels=1, data_dir=tmp_path)
    assert data.fields["image"].shape == (18, 4, 4, 1)


def test_images_of_one_size_are_kept_as_they_are_and_split(tmp_path):
    parts = {
        split: load("tfds:played_digits", split, data_dir=tmp_path)
        for split in ("train", "validation", "test")
    }
    assert [len(part) for part in parts.values()] == [36, 2, 2]
    values = np.concatenate([part.fields["image"][:, 0, 0, 0] for part in parts.values()])
    assert sorted(values) == list(range(40))
    assert load("tfds:played_digits", image_size=8, data_dir=tmp_path).fields["image"].shape == (36, 8, 8, 1)


def test_a_validation_split_without_a_test_split_is_the_test_split(tmp_path):
    data = load("tfds:played_validation", "test", data_dir=tmp_path)
    assert data.info.splits == {"train": 36, "validation": 4, "test": 40}
    assert data.info.notes == ("there is no test split: the validation split is taken for it",)


def test_a_damaged_download_is_named(tmp_path):
    manual = tmp_path / "downloads/manual"
    manual.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (manual / f"{name}-ubyte.gz").write_bytes(b"half a file")
    with pytest.raises(ZooError, match=r"mnist: a download is damaged.*\nRemove .*downloads and try again"):
        load("mnist", data_dir=tmp_path)


def test_what_cannot_be_used_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"tfds:played_sound has no images"):
        load("tfds:played_sound", data_dir=tmp_path)
    with pytest.raises(UsageError, match="tfds:played_depth are uint16 with 1 channels"):
        load("tfds:played_depth", data_dir=tmp_path)
    with pytest.raises(ZooError, match=r"could not prepare played_manual: Manual directory does not exist.$"):
        load("tfds:played_manual", data_dir=tmp_path)
