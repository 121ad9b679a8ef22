"""A wrong caption means something else, is a function of seed and step, and may be wrong in few words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data import Data, Info, batches, load
from zoo.data.mismatched import Mismatched
from zoo.errors import UsageError

SIZES, COLOURS, THINGS = ("small", "large"), ("red", "blue", "green"), ("ring", "star", "cross")
SCENES = [(s, c, t) for s in range(2) for c in range(3) for t in range(3)]


def made(captions, **fields) -> Data:
    image = np.zeros((len(captions), 1, 1, 1), np.uint8)
    return Data("made", "train", {"image": image, "caption": np.array(captions), **fields}, Info())


def scenes(copies: int = 3) -> Data:
    return made([f"a {SIZES[s]} {COLOURS[c]} {THINGS[t]}" for s, c, t in SCENES] * copies)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), step=st.integers(0, 10**6), candidates=st.integers(1, 40))
def test_a_wrong_caption_never_means_the_same(seed, step, candidates):
    data = scenes()
    index = np.arange(len(data))
    wrong = Mismatched(data, candidates, seed)(index, step)
    assert (wrong != data.fields["caption"]).all()


def test_spaces_case_and_signs_make_no_other_meaning():
    data = made(["A red ring.", "a  red ring .", "a blue ring"])
    for step in range(30):
        wrong = Mismatched(data, 1, 0)(np.array([0, 1]), step)
        assert wrong.tolist() == ["a blue ring"] * 2


def test_images_that_agree_in_all_attributes_are_not_told_apart_by_words():
    attributes = np.array([[0, 1], [0, 1], [0, 2], [-1, 1]], np.int32)
    data = made(["a ring", "a circle with a hole", "a blue ring", "who knows"], attributes=attributes)
    drawn = {Mismatched(data, 1, 0)(np.array([0]), step)[0] for step in range(60)}
    assert drawn == {"a blue ring", "who knows"}
    drawn = {Mismatched(data, 1, 0)(np.array([3]), step)[0] for step in range(60)}
    assert len(drawn) == 3  # of unknown attributes nothing is known to agree


def test_captions_of_one_class_are_not_wrong_for_one_another_where_nothing_else_is_known():
    captions = ["a yellow bird", "a bird with a long bill", "a red bird", "a small red bird"]
    label = np.array([0, 0, 1, 1], np.int32)
    own = Mismatched(made(captions, label=label), 1, 0)
    assert {own(np.array([0]), step)[0] for step in range(60)} == set(captions[2:])
    # Where there are attributes the class is one of many things that a caption says.
    attributes = np.arange(4, dtype=np.int32)[:, None]
    own = Mismatched(made(captions, label=label, attributes=attributes), 1, 0)
    assert {own(np.array([0]), step)[0] for step in range(60)} == set(captions[1:])
    # And where there is but one class it says nothing.
    own = Mismatched(made(captions, label=np.zeros(4, np.int32)), 1, 0)
    assert {own(np.array([0]), step)[0] for step in range(60)} == set(captions[1:])


def different(data: Data, candidates: int) -> np.ndarray:
    """In how many words wrong captions differ from the right ones, over many steps."""
    own = Mismatched(data, candidates, 5)
    index = np.arange(len(data))
    right = np.char.split(data.fields["caption"])
    found = [
        [sum(a != b for a, b in zip(r, w, strict=True)) for r, w in zip(right, wrong, strict=True)]
        for wrong in (np.char.split(own(index, step)) for step in range(20))
    ]
    return np.ravel(found)


def test_of_more_candidates_the_nearest_is_taken():
    # With one, all others are as likely: of 17 scenes 5 differ in one word, 8 in two, 4 in three.
    assert different(scenes(), 1).mean() == pytest.approx((5 + 2 * 8 + 3 * 4) / 17, abs=0.1)
    assert different(scenes(), 200).mean() == 1.0
    assert different(scenes(), 3).mean() < 1.6


def test_they_are_a_function_of_seed_and_step():
    data, index = scenes(), np.arange(54)
    first, again = (Mismatched(data, 4, 7).rows(index, 3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (Mismatched(data, 4, 8).rows(index, 3), Mismatched(data, 4, 7).rows(index, 4)):
        assert (first != other).any()


def test_they_stand_in_batches_and_go_on_where_they_stopped():
    data = scenes()
    own = Mismatched(data, 4, 7)
    options = {"seed": 7, "mismatched": own}
    unbroken = [*batches(data, 10, steps=8, **options).as_numpy_iterator()]
    resumed = [*batches(data, 10, start_step=6, steps=2, **options).as_numpy_iterator()]
    plain = [*batches(data, 10, seed=7, steps=8).as_numpy_iterator()]
    for a, b in zip(unbroken, plain, strict=True):
        np.testing.assert_array_equal(a["caption"], b["caption"])
        assert (a["caption"] != a["wrong_caption"]).all()
    for a, b in zip(unbroken[6:], resumed, strict=True):
        np.testing.assert_array_equal(a["wrong_caption"], b["wrong_caption"])


def test_what_cannot_be_is_told():
    with pytest.raises(UsageError, match="All captions of made mean the same"):
        Mismatched(made(["a ring", "A ring"]), 1, 0)
    with pytest.raises(UsageError, match="has no caption"):
        Mismatched(Data("made", "train", {"image": np.zeros((2, 1, 1, 1))}, Info()), 1, 0)
    # The first means the same as the second by its words, as the third by its class.
    odd = made(["a ring", "a ring", "a star", "a star"], label=np.array([0, 1, 0, -1], np.int32))
    odd = Data("odd", "train", {name: values[:3] for name, values in odd.fields.items()}, Info())
    with pytest.raises(UsageError, match="No caption of odd was found that means other than 'a ring'"):
        Mismatched(odd, 1, 0)(np.array([0]), 0)


def test_of_shapes_any_other_words_are_another_meaning(tmp_path, monkeypatch):
    from zoo.data import shapes

    for split in shapes.COUNTS:
        monkeypatch.setitem(shapes.COUNTS, split, 300)
    data = load("shapes/8", "train", data_dir=tmp_path)
    own = Mismatched(data, 1, 0)
    a, b = np.divmod(np.arange(300 * 300), 300)
    np.testing.assert_array_equal(own.same(a, b), data.fields["caption"][a] == data.fields["caption"][b])
