"""Domains and attributes: chosen, told where they are missing, side by side in batches; and the truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

import zoo.data
from zoo.data import Data, Info, batches, glyphs, shapes
from zoo.data.convert import convert
from zoo.data.domains import (
    counterparts,
    domains_as_classes,
    known_together,
    of_domains,
    side,
    with_attributes,
    with_others,
)
from zoo.errors import UsageError

NAMES = ("a", "b", "c")


def made(copies: int = 10, **fields: np.ndarray) -> Data:
    """Of each domain as many; an image is its own number, and its number mod 3 is its domain."""
    domain = np.tile(np.arange(3, dtype=np.int32), copies)
    image = np.arange(len(domain), dtype=np.uint8).reshape(-1, 1, 1, 1)
    files = tuple(f"{NAMES[number]}/{row}.png" for row, number in enumerate(domain))
    info = Info(levels=256, class_names=NAMES, domain_names=NAMES, files=files)
    return Data("made", "train", {"image": image, "label": domain, "domain": domain, **fields}, info)


def numbers(image: np.ndarray) -> list[int]:
    return (
        np.round(np.asarray(image, np.float64).ravel() * (255 if image.dtype.kind == "f" else 1))
        .astype(int)
        .tolist()
    )


# -- choosing ----------------------------------------------------------------------------------------------


def test_domains_are_numbered_in_the_order_in_which_they_are_named():
    found = of_domains(made(), ["c", "a"])
    assert found.info.domain_names == ("c", "a")
    assert len(found) == 20
    own = np.array(numbers(found.fields["image"])) % 3
    np.testing.assert_array_equal(found.fields["domain"], [{2: 0, 0: 1}[each] for each in own])
    assert all(file.startswith(("c/", "a/")) for file in found.info.files)
    everything = of_domains(made())
    assert everything.info.domain_names == NAMES
    np.testing.assert_array_equal(everything.fields["domain"], made().fields["domain"])


@pytest.mark.parametrize(
    ("data", "names", "said"),
    [
        (made(), ["a", "bb"], r"made has no domain 'bb'; it has a, b, c\. Did you mean b\?"),
        (made(), ["a", "a"], "each is named once"),
        (side(made(), 0), ["a", "b"], "made, split train, has no image of the domain 'b'"),
        (Data("digits", "train", {"image": np.zeros((2, 1, 1, 1))}, Info()), [], "digits has no domain"),
    ],
)
def test_a_domain_that_is_missing_or_empty_is_told(data, names, said):
    with pytest.raises(UsageError, match=said):
        of_domains(data, names)


def test_a_folder_without_a_domain_is_told(tmp_path):
    """An empty folder is no domain."""
    source = tmp_path / "in"
    for name in ("photos/1.png", "photos/2.png", "photos/3.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(source / name)
    (source / "paintings").mkdir()

    def read() -> Data:
        return zoo.data.load(f"folder:{source}", "all", data_dir=tmp_path / "prepared")

    with pytest.raises(UsageError, match="has no domains: put the images of each into a folder of its own"):
        of_domains(read())
    (source / "paintings/1.png").write_bytes((source / "photos/1.png").read_bytes())
    assert of_domains(read()).info.domain_names == ("paintings", "photos")
    with pytest.raises(UsageError, match="has no domain 'drawings'; it has paintings, photos"):
        of_domains(read(), ["photos", "drawings"])


def test_a_class_may_be_the_domain():
    data = made(label=np.zeros(30, np.int32))
    found = domains_as_classes(data)
    np.testing.assert_array_equal(found.fields["label"], data.fields["domain"])
    assert found.info.class_names == NAMES


def test_attributes_are_chosen_and_images_that_have_none_left_out():
    table = np.array([[0, 1, -1], [1, 0, -1], [-1, -1, 0], [-1, 1, -1]] * 7 + [[-1, -1, 1]] * 2, np.int32)
    info = Info(attribute_names=("x", "y", "z"), attribute_values=(("0", "1"), ("no", "yes"), ("p", "q")))
    data = Data("made", "train", {"image": np.zeros((30, 1, 1, 1), np.uint8), "attributes": table}, info)
    found = with_attributes(data, ["z", "x"])
    assert found.info.attribute_names == ("z", "x")
    assert found.info.attribute_values == (("p", "q"), ("0", "1"))
    np.testing.assert_array_equal(
        found.fields["attributes"], table[(table[:, [2, 0]] >= 0).any(1)][:, [2, 0]]
    )
    assert known_together(found.fields["attributes"]) == ((0,), (1,))
    assert known_together(table) == ((0, 1), (2,))
    with pytest.raises(UsageError, match=r"made has no attribute 'w'; it has x, y, z"):
        with_attributes(data, ["w"])
    constant = Data("made", "train", {**data.fields, "attributes": table[:4]}, info)
    with pytest.raises(UsageError, match="z is the same in all images"):
        with_attributes(constant, ["z"])
    with pytest.raises(UsageError, match="has no attributes"):
        with_attributes(made(), ["x"])


def test_columns_belong_together_that_an_image_joins():
    table = np.zeros((1000, 4), np.int32)
    table[7, 1] = -1  # one empty cell
    assert known_together(table) == ((0, 1, 2, 3),)
    # The first and the last by the third one.
    chain = np.array([[0, -1, 0, -1, -1], [-1, -1, 0, -1, 0], [-1, 0, -1, -1, -1], [-1, -1, -1, 0, -1]])
    assert known_together(chain) == ((0, 2, 4), (1,), (3,))


# -- batches -----------------------------------------------------------------------------------------------


def read(start: int, steps: int, size: int = 4) -> list[dict[str, np.ndarray]]:
    first, second = side(made(), 0), side(made(), 1)
    found = batches(first, size, seed=3, start_step=start, steps=steps)
    together = with_others(found, second, ["image"], size, seed=3, start_step=start)
    return [*together.as_numpy_iterator()]


def test_images_of_two_domains_stand_side_by_side_in_orders_of_their_own():
    found = read(0, 40)
    pairs = []
    for batch in found:
        one, other = numbers(batch["image"]), numbers(batch["other_image"])
        assert all(each % 3 == 0 for each in one)
        assert all(each % 3 == 1 for each in other)
        pairs += [(a // 3, b // 3) for a, b in zip(one, other, strict=True)]
    # Each image in one domain has its like in the other: they must not come as pairs.
    assert len({*pairs}) > 60
    assert sum(a == b for a, b in pairs) < 40
    assert {a for a, _ in pairs} == {b for _, b in pairs} == {*range(10)}


def test_they_go_on_where_they_stopped():
    for a, b in zip(read(0, 7)[5:], read(5, 2), strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


# -- the truth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "drawn_as"),
    [("shapes", "shapes/8"), ("shapes/heldout", "shapes/heldout-8"), ("shapes/16", "shapes/16")],
)
def test_drawn_sets_know_their_counterparts(spec, drawn_as):
    """At 8x8, which `load` draws or resizes to, as the name says."""
    blocks = [*itertools.islice(shapes.blocks(drawn_as, "test"), 2)]
    image, domain = (np.concatenate([block[name] for block in blocks])[:300] for name in ("image", "domain"))
    fields = {"image": convert(image, 8, 3, 256), "domain": domain}
    data = Data(spec, "test", fields, Info(levels=256, domain_names=shapes.STYLES))
    rows, truth = counterparts(data, "outline")
    style = shapes.STYLES.index("outline")
    np.testing.assert_array_equal(rows, np.flatnonzero(data.fields["domain"] != style))
    drawn = np.concatenate([*itertools.islice(shapes.counterparts(drawn_as, "test", "outline"), 2)])[:300]
    drawn = convert(drawn, 8, 3, 256)
    np.testing.assert_array_equal(truth, drawn[rows])
    # Of images that are of that style the counterpart is the image itself.
    own = data.fields["domain"] == style
    np.testing.assert_array_equal(drawn[own], data.fields["image"][own])


def test_counterparts_are_of_the_size_and_colours_of_the_images():
    block = next(iter(glyphs.blocks("glyphs", "validation")))
    image = convert(block["image"][:5], 16, 3, 256)
    info = Info(levels=256, domain_names=glyphs.DOMAINS)
    data = Data("glyphs", "validation", {"image": image, "domain": block["domain"][:5]}, info)
    rows, truth = counterparts(data, "sans")
    drawn = next(iter(glyphs.counterparts("glyphs", "validation", "sans")))[:5]
    np.testing.assert_array_equal(truth, convert(drawn, 16, 3, 256)[rows])
    assert 0 < len(rows) == (data.fields["domain"] != 1).sum()


def test_files_of_one_name_are_counterparts():
    fields = {"image": np.arange(5, dtype=np.uint8).reshape(-1, 1, 1, 1)}
    files = ("test/b/1.png", "test/b/2.jpg", "test/a/2.png", "test/a/3.png", "train/a/1.png")
    domain = np.array([1, 1, 0, 0, 0], np.int32)
    data = Data("folder:x", "all", {**fields, "domain": domain}, Info(domain_names=("a", "b"), files=files))
    for name, row, other in (("a", 1, 2), ("b", 2, 1)):
        rows, truth = counterparts(data, name)
        assert rows.tolist() == [row]
        assert numbers(truth) == [other]
