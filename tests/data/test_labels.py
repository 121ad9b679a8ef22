"""Few labels: as many of each class, always the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data import Data, Info, batches, keep_labels
from zoo.data.labels import with_labelled
from zoo.errors import UsageError


def made(copies: int = 20) -> Data:
    label = np.tile(np.arange(3, dtype=np.int32), copies)
    image = np.arange(len(label), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Data("made", "train", {"image": image, "label": label}, Info(class_names=("a", "b", "c")))


@pytest.mark.parametrize("count", [3, 10, 60])
def test_so_many_are_kept_as_many_of_each_class(count):
    data = made()
    kept = keep_labels(data, count)
    label = kept.fields["label"]
    has = label >= 0
    assert has.sum() == count
    np.testing.assert_array_equal(label[has], data.fields["label"][has])
    of_class = np.bincount(label[has], minlength=3)
    assert of_class.max() - of_class.min() <= 1
    assert kept.fields["image"] is data.fields["image"]
    assert (data.fields["label"] >= 0).all()  # the data itself is as it was


def test_the_same_are_kept_every_time_and_not_the_first_ones():
    first, again = (keep_labels(made(), 9).fields["label"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not (first[:9] >= 0).all()


def test_a_class_with_too_few_is_told():
    with pytest.raises(UsageError, match=r"labels=9: made has 2 examples of class 'a', not 3"):
        keep_labels(made(2), 9)
    with pytest.raises(UsageError, match="has no label"):
        keep_labels(Data("made", "train", {"image": np.zeros((2, 1, 1, 1))}, Info()), 1)


def read(data: Data, size: int, start: int, steps: int) -> list[dict[str, np.ndarray]]:
    found = batches(data, size, seed=3, start_step=start, steps=steps)
    return [*with_labelled(found, data, size, seed=3, start_step=start).as_numpy_iterator()]


@pytest.mark.parametrize(("count", "size"), [(9, 4), (6, 16)])
def test_a_batch_of_labelled_images_stands_beside_each_batch(count, size):
    data = keep_labels(made(), count)
    has = np.flatnonzero(data.fields["label"] >= 0)
    alone = [*batches(data, size, seed=3, steps=6).as_numpy_iterator()]
    found = read(data, size, 0, 6)
    assert len(found) == 6
    seen = []
    for batch, plain in zip(found, alone, strict=True):
        np.testing.assert_array_equal(batch["image"], plain["image"])
        assert len(batch["labelled_label"]) == size
        row = np.round(batch["labelled_image"].ravel() * 255).astype(int)
        np.testing.assert_array_equal(batch["labelled_label"], row % 3)
        seen += row.tolist()
    assert set(seen) == set(has.tolist())


def test_they_go_on_where_they_stopped():
    data = keep_labels(made(), 12)
    unbroken, resumed = read(data, 5, 0, 6), read(data, 5, 4, 2)
    for a, b in zip(unbroken[4:], resumed, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
