"""Splits, conversions, and what is kept on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data import content as content_module
from zoo.data.content import Content, cut, digest_fields, fixed_split, take, with_all_splits
from zoo.data.convert import changes, check_wanted, convert
from zoo.data.dataset import Info
from zoo.data.store import converted, empty_array, store
from zoo.errors import UsageError, ZooError


def images(count, height, width, channels, levels=256, seed=0):
    return np.random.default_rng(seed).integers(levels, size=(count, height, width, channels), dtype=np.uint8)


@given(st.integers(0, 500), st.booleans())
def test_fixed_splits_are_a_partition(length, by_position):
    parts = fixed_split(length, by_position)
    rows = np.concatenate(list(parts.values()))
    assert sorted(rows) == list(range(length))
    if length >= 3:
        assert all(len(index) for index in parts.values())
        assert len(parts["test"]) == len(parts["validation"]) == max(length // 20, 1)
    if by_position:
        assert list(rows) == list(range(length))


def split_rows(parts):
    """All splits of a source that has these itself."""
    return with_all_splits(Content({"label": np.zeros(1)}, parts=parts)).parts


@given(st.integers(1, 100_000), st.integers(1, 1000))
def test_validation_is_carved_from_the_end_of_train(train, test):
    parts = split_rows({"train": (0, train), "test": (train, train + test)})
    size = min(train // 10, 5000)
    assert parts["train"] == (0, train - size)
    assert parts["test"] == (train, train + test)
    if size:
        assert parts["validation"] == (train - size, train)


def test_own_splits_are_kept():
    parts = {"train": (0, 8), "validation": (8, 9), "test": (9, 10)}
    assert split_rows(parts) == parts
    assert split_rows({"test": (0, 8)}) == {"test": (0, 8)}
    assert split_rows({"train": (0, 8)}) == {}, "all that there is: split as what has no splits"


def test_a_validation_split_is_the_test_split_where_there_is_none():
    content = with_all_splits(labelled(30, parts={"train": (0, 20), "validation": (20, 30)}))
    assert content.parts == {"train": (0, 18), "validation": (18, 20), "test": (20, 30)}
    assert content.info.notes == ("there is no test split: the validation split is taken for it",)
    assert with_all_splits(content) == content


def labelled(count, **more):
    return Content({"label": np.arange(count, dtype=np.int32)}, **more)


def test_cut_takes_own_parts_and_all():
    whole = labelled(
        10, parts={"train": (0, 7), "test": (7, 10)}, files=tuple("abcdefghij"), info=Info(fingerprint="f")
    )
    test = cut(whole, "x", "test")
    assert list(test.fields["label"]) == [7, 8, 9]
    assert test.info.files == ("h", "i", "j")
    assert test.info.splits == {"train": 7, "test": 3}
    assert test.info.fingerprint == "f"
    assert list(cut(whole, "x", "all", limit=2).fields["label"]) == [0, 1]
    assert len(cut(whole, "x", "train", limit=100)) == 7
    with pytest.raises(UsageError, match="no validation split: it has all, train, test"):
        cut(whole, "x", "validation")


def test_cut_splits_what_has_no_parts_and_keeps_files_beside_their_rows():
    whole = labelled(40, files=tuple(str(row) for row in range(40)))
    found = [cut(whole, "x", split) for split in ("train", "validation", "test")]
    assert [len(part) for part in found] == [36, 2, 2]
    for part in found:
        assert [int(file) for file in part.info.files] == list(part.fields["label"])
    limited = cut(whole, "x", "train", limit=5)
    np.testing.assert_array_equal(limited.fields["label"], found[0].fields["label"][:5])


@pytest.mark.parametrize(
    ("rows", "split", "limit", "words"),
    [
        (10, "dev", None, "no split 'dev': use train"),
        (10, "train", 0, "--limit must be at least 1"),
        (2, "test", None, "The test split of x is empty"),
    ],
)
def test_cut_refuses(rows, split, limit, words):
    with pytest.raises(UsageError, match=words):
        cut(labelled(rows), "x", split, limit)


def test_rows_of_a_large_array_on_disk_are_gathered_on_disk(tmp_path, monkeypatch):
    array = empty_array(tmp_path / "a.npy", (3000, 4))
    array[:] = images(3000, 4, 1, 1).reshape(3000, 4)
    index = np.random.default_rng(1).permutation(3000)[:2500]
    small = take(array, index)
    assert not isinstance(small, np.memmap)
    monkeypatch.setattr(content_module, "LARGE", 100)
    large = take(array, index)
    assert isinstance(large, np.memmap)
    np.testing.assert_array_equal(large, small)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_the_fingerprint_sees_values_names_types_and_shapes():
    base = {"a": np.arange(6, dtype=np.int32), "b": np.zeros(3, np.uint8)}
    others = [
        {**base, "a": np.arange(6, dtype=np.int64)},
        {**base, "a": np.arange(6, dtype=np.int32).reshape(2, 3)},
        {**base, "a": np.array([0, 1, 2, 3, 4, 6], np.int32)},
        {"c": base["a"], "b": base["b"]},
    ]
    assert digest_fields(base) == digest_fields(dict(reversed(base.items())))
    assert len({digest_fields(fields) for fields in [base, *others]}) == 5


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3])),
    st.none() | st.integers(1, 16),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([2, 16, 256]),
)
def test_conversion_gives_what_is_wanted(shape, size, channels, levels):
    given_images = images(3, *shape, levels)
    result = convert(given_images, size, channels, levels)
    expected = (shape[0], shape[1]) if size is None else (size, size)
    assert result.shape == (3, *expected, channels or shape[2])
    assert result.dtype == np.uint8
    assert result.max() < levels
    if not changes(shape, size, channels, levels):
        assert result is given_images


@given(st.integers(0, 15), st.sampled_from([1, 3]), st.integers(1, 20))
def test_conversion_keeps_flat_images_flat(value, channels, size):
    flat = np.full((1, 8, 10, channels), value, np.uint8)
    for wanted in (1, 3):
        assert (convert(flat, size, wanted, 16) == value).all()


def test_reducing_averages_and_cropping_is_central():
    stripes = np.zeros((1, 32, 32, 1), np.uint8)
    stripes[:, :, ::2] = 255
    assert 100 < convert(stripes, 8, None, 256).mean() < 155
    wide = np.zeros((1, 4, 8, 1), np.uint8)
    wide[:, :, 2:6] = 200
    assert (convert(wide, 4, None, 256) == 200).all()


def test_each_conversion_is_said():
    assert changes((28, 28, 1), 28, 1, 256) == []
    assert changes((28, 28, 1), 32, 3, 256) == ["gray converted to RGB", "resized to 32x32"]
    assert changes((20, 30, 3), 20, None, 256) == ["20x30 cropped to the central 20x20"]
    assert changes((8, 8, 1), 4, None, 2) == ["resized to 4x4, values rounded to 2 levels"]


@pytest.mark.parametrize(("size", "channels", "words"), [(0, None, "--image-size"), (None, 2, "1 channel")])
def test_wrong_sizes_and_channels_are_refused(size, channels, words):
    with pytest.raises(UsageError, match=words):
        check_wanted(size, channels)


def test_the_store_writes_once_and_maps_what_it_wrote(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        info = Info(class_names=("a", "b"), attribute_values=(("x",), ("y", "z")), fingerprint="1234")
        return labelled(5, parts={"train": (0, 5)}, files=("ä", "b", "c", "d", "e"), info=info)

    first, second = store(tmp_path / "set", "original", make), store(tmp_path / "set", "original", make)
    assert len(made) == 1
    assert (tmp_path / "set/original-1234/label.npy").is_file()
    assert isinstance(second.fields["label"], np.memmap)
    assert (
        second.info
        == first.info
        == Info(class_names=("a", "b"), attribute_values=(("x",), ("y", "z")), fingerprint="1234")
    )
    assert second.parts == {"train": (0, 5)}
    assert second.files == ("ä", "b", "c", "d", "e")


def test_the_store_keeps_nothing_of_what_failed(tmp_path):
    def fail(folder):
        empty_array(folder / "label.npy", (5,))
        raise RuntimeError("the disk caught fire")

    (tmp_path / "set/.making-original").mkdir(parents=True)  # of a process that was killed
    with pytest.raises(RuntimeError):
        store(tmp_path / "set", "original", fail)
    assert list((tmp_path / "set").iterdir()) == []
    assert len(store(tmp_path / "set", "original", lambda folder: labelled(3))) == 3


def test_a_full_disk_is_one_clear_error(tmp_path):
    def full(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(ZooError, match="No space left on device") as caught:
        store(tmp_path / "set", "original", full)
    assert "--data-dir" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_place_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="Cannot write prepared data"):
        store(tmp_path / "file/set", "original", lambda folder: labelled(3))


def test_a_converted_variant_lies_beside_the_original(tmp_path):
    def make(folder):
        image = empty_array(folder / "image.npy", (3, 8, 8, 1))
        image[:] = images(3, 8, 8, 1, levels=16)
        label = np.arange(3, dtype=np.int32)
        return Content({"image": image, "label": label}, Info(levels=16, fingerprint="12"))

    original = store(tmp_path / "set", "original", make)
    assert converted(original, tmp_path / "set", 8, 1) is original
    other = converted(original, tmp_path / "set", 16, 3)
    np.testing.assert_array_equal(other.fields["image"], convert(original.fields["image"], 16, 3, 16))
    np.testing.assert_array_equal(other.fields["label"], original.fields["label"])
    assert other.info.notes == ("gray converted to RGB", "resized to 16x16, values rounded to 16 levels")
    assert other.info.fingerprint == "12"
    names = sorted(path.name for path in (tmp_path / "set").iterdir() if path.is_dir())
    assert names == ["16x3-12", "original-12"]
