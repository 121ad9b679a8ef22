"""The order in which batches come: a permutation an epoch, a function of seed and step alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data import Data, Info, batches, epochs_to_steps, in_order, steps_per_epoch
from zoo.data.order import rows_of_step
from zoo.errors import UsageError

sizes = st.integers(1, 200).flatmap(lambda length: st.tuples(st.just(length), st.integers(1, length)))


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


@pytest.fixture(scope="module")
def data():
    image = np.arange(10 * 2 * 2, dtype=np.uint8).reshape(10, 2, 2, 1) % 16
    fields = {
        "image": image,
        "label": np.arange(10, dtype=np.int32),
        "caption": np.array([f"Bild Nr. {number}, größer" for number in range(10)]),
        "features": np.arange(20, dtype=np.float32).reshape(10, 2),
    }
    return Data("test", "train", fields, Info(levels=16))


@given(sizes, st.integers(0, 2**63 - 1))
def test_an_epoch_shows_each_row_at_most_once_and_drops_only_the_remainder(size, seed):
    length, batch = size
    steps = steps_per_epoch(length, batch)
    rows = np.concatenate(take(rows_of_step(length, batch, seed), steps))
    assert len(set(rows)) == len(rows) == length - length % batch
    assert set(rows) <= set(range(length))


@given(sizes, st.integers(0, 2**63 - 1))
def test_an_epoch_of_every_row_shows_each_once_and_fills_the_last_batch(size, seed):
    length, batch = size
    steps = steps_per_epoch(length, batch, every_row=True)
    rows = np.concatenate(take(rows_of_step(length, batch, seed, every_row=True), steps))
    assert sorted(rows[rows >= 0]) == list(range(length))
    assert (rows[length:] == -1).all()
    assert len(rows) - length < batch


@given(sizes, st.integers(0, 1000), st.integers(0, 50), st.booleans())
def test_starting_later_continues_the_same_order(size, seed, start, every_row):
    length, batch = size
    unbroken = take(rows_of_step(length, batch, seed, every_row=every_row), start + 5)[start:]
    resumed = take(rows_of_step(length, batch, seed, start, every_row), 5)
    np.testing.assert_array_equal(unbroken, resumed)


def test_the_order_depends_on_the_seed_and_the_epoch():
    first, second = take(rows_of_step(100, 100, 1), 2)
    assert (first != second).any()
    assert (first != next(rows_of_step(100, 100, 2))).any()


@given(st.integers(1, 50), sizes)
def test_epochs_count_full_batches(epochs, size):
    length, batch = size
    assert epochs_to_steps(epochs, length, batch) == epochs * (length // batch)


@pytest.mark.parametrize(("length", "batch", "words"), [(5, 6, "--batch-size 5"), (5, 0, "at least one")])
def test_a_batch_that_cannot_be_filled_is_refused(length, batch, words):
    with pytest.raises(UsageError, match=words):
        steps_per_epoch(length, batch)


def test_batches_are_tensors_with_images_in_the_unit_interval(data):
    (batch,) = batches(data, 10, seed=3, steps=1)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "image": (10, 2, 2, 1),
        "label": (10,),
        "caption": (10,),
        "features": (10, 2),
    }
    order = batch["label"].numpy()
    assert sorted(order) == list(range(10))
    np.testing.assert_array_equal(batch["image"], (data.fields["image"][order] / 15).astype(np.float32))
    assert [text.decode() for text in batch["caption"].numpy()] == list(data.fields["caption"][order])
    np.testing.assert_array_equal(batch["features"], data.fields["features"][order])


@settings(max_examples=10)
@given(st.integers(0, 20))
def test_batches_resume_in_the_middle(data, start):
    unbroken = [batch["label"].numpy() for batch in batches(data, 3, seed=5, steps=start + 4)][start:]
    resumed = [batch["label"].numpy() for batch in batches(data, 3, seed=5, start_step=start, steps=4)]
    np.testing.assert_array_equal(unbroken, resumed)


def test_batches_of_every_row_say_which_rows_count(data):
    passed = list(batches(data, 4, seed=5, steps=3, every_row=True))
    weight = np.concatenate([batch["weight"] for batch in passed])
    label = np.concatenate([batch["label"] for batch in passed])
    assert list(weight) == [1] * 10 + [0] * 2
    assert sorted(label[weight == 1]) == list(range(10))
    assert "weight" not in next(iter(batches(data, 4, seed=5)))


def test_batches_know_their_number_and_have_no_end_without(data):
    assert batches(data, 3, seed=0, steps=7).cardinality().numpy() == 7
    endless = iter(batches(data, 3, seed=0))
    assert len(take(endless, 25)) == 25


def test_batches_complain_before_they_are_read(data):
    with pytest.raises(UsageError, match="does not fit into 10 examples"):
        batches(data, 11, seed=0)


def test_one_pass_in_order_ends_with_a_short_batch(data):
    passed = list(in_order(data, 4))
    assert [len(batch["label"]) for batch in passed] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch["label"] for batch in passed]), np.arange(10))
    images = np.concatenate([batch["image"] for batch in passed])
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, (data.fields["image"] / 15).astype(np.float32))


def test_what_is_missing_is_named_with_the_datasets_that_have_it(data):
    data.require("image", "label")
    with pytest.raises(UsageError, match=r"test has no tokens .*\n.*prose"):
        data.require("tokens")
    with pytest.raises(UsageError, match="No named dataset has it"):
        data.require("sound")
