"""Our own sets: what they promise, drawn from their sources without TFDS."""

from pathlib import Path

import numpy as np
import pytest

from zoo.data import CATALOGUE, digits, glyphs, patches, prose, shapes, wine
from zoo.data.catalogue import EMBEDDED
from zoo.data.distance import interpolate

NAMES = [name for name, entry in CATALOGUE.items() if entry["embedded"]]
SPLITS = ("train", "validation", "test")


def source(name):
    return EMBEDDED[name.partition("/")[0]]


def first(name, split="train"):
    return next(source(name).blocks(name, split))


def whole(name, split):
    blocks = list(source(name).blocks(name, split))
    return {field: np.concatenate([block[field] for block in blocks]) for field in blocks[0]}


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_says_what_the_examples_are(name):
    entry, info, block = CATALOGUE[name], source(name).describe(name), first(name)
    assert set(block) == set(entry["fields"])
    assert info.levels == entry["levels"]
    assert len(info.class_names) == entry["classes"]
    if "image" in block:
        assert block["image"].dtype == np.uint8
        assert block["image"].shape[1:] == entry["image_shape"]
        assert block["image"].max() < entry["levels"]
    if "label" in block:
        assert block["label"].dtype == np.int32
        assert set(np.unique(block["label"])) == set(range(entry["classes"]))
    if "attributes" in block:
        assert block["attributes"].dtype == np.int32
        assert len(info.attribute_names) == len(info.attribute_values) == block["attributes"].shape[1]
        for column, values in zip(block["attributes"].T, info.attribute_values, strict=True):
            seen = set(np.unique(column))
            assert seen <= set(range(len(values)))
            assert len(seen) == len(values) or name == "glyphs/heldout_fonts"
    if "domain" in block:
        assert set(np.unique(block["domain"])) == set(range(len(info.domain_names)))
    if "features" in block:
        assert block["features"].dtype == np.float32
        assert block["features"].shape[1] == len(info.feature_names)
    if "tokens" in block:
        assert block["tokens"].dtype == np.int32
        assert block["tokens"].max() < len(info.vocabulary)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_documentation_lists_the_set_with_its_counts_and_licence(name):
    entry = CATALOGUE[name]
    text = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    counts = " / ".join(f"{count:,}" for count in entry["counts"].values())
    assert any(line.startswith(f"| `{name}`") and counts in line for line in text.splitlines())
    licences = text[text.index("## Licences") :]
    assert any(f"`{name.partition('/')[0]}`" in line for line in licences.splitlines())
    if entry["image_shape"]:
        height, width, _ = entry["image_shape"]
        rows = [line for line in text.splitlines() if line.startswith(f"| `{name}`") and counts in line]
        assert f"{height}x{width}" in rows[0] or "the same" in rows[0]


@pytest.mark.parametrize("name", ["digits", "wine", "prose", "patches", "shapes/8"])
def test_the_catalogue_counts_right(name):
    entry = CATALOGUE[name.removesuffix("/8")]
    for split, count in entry["counts"].items():
        blocks = whole(name, split)
        assert {len(values) for values in blocks.values()} == {count}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", SPLITS)
def test_the_same_name_gives_the_same_bytes_and_splits_differ(name, split):
    once, twice = first(name, split), first(name, split)
    for field in once:
        np.testing.assert_array_equal(once[field], twice[field])
    other = first(name, "test" if split == "train" else "train")
    rows = min(len(once[field]), len(other[field]))
    assert (once[field][:rows] != other[field][:rows]).any()


@pytest.mark.parametrize("module", [digits, wine])
def test_no_measured_example_is_in_two_splits(module):
    (name,) = module.CATALOGUE
    field = "image" if module is digits else "features"
    rows = np.concatenate([whole(name, split)[field] for split in SPLITS])
    assert len(rows) == sum(CATALOGUE[name]["counts"].values())
    from sklearn.datasets import load_digits, load_wine

    data = (load_digits if module is digits else load_wine)().data
    assert len(rows) == len(data)
    everything = np.minimum(data, 15) if module is digits else data.astype(np.float32)
    key = lambda table: sorted(map(bytes, table.reshape(len(table), -1).astype(np.float32)))  # noqa: E731
    assert key(rows) == key(everything)


# --------------------------------------------------------------------------------------------- glyphs


def test_glyphs_are_white_on_black_inside_the_picture_and_antialiased():
    image = first("glyphs")["image"].astype(float)
    ink = image.mean()
    assert 20 < ink < 70  # MNIST: 33
    assert image.max((1, 2, 3)).min() > 200
    border = np.concatenate([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], 1)
    assert (border.max((1, 2)) > 0).mean() < 0.1
    grays = ((image > 20) & (image < 235)).mean() / (image > 20).mean()
    assert 0.2 < grays < 0.7
    rows = np.arange(28) - 13.5
    total = image.sum((1, 2, 3))
    centre = [(image.sum((2, 3)) @ rows) / total, (image.sum((1, 3)) @ rows) / total]
    assert np.abs(np.mean(centre, 1)).max() < 0.7
    assert np.abs(centre).max() < 5


def test_glyphs_can_be_read():
    """A linear classifier reads new fonts and deformations: the labels belong to the pictures."""
    from sklearn.linear_model import RidgeClassifier

    train, test = first("glyphs"), first("glyphs", "test")
    flat = [block["image"].reshape(len(block["image"]), -1) / 255 for block in (train, test)]
    classifier = RidgeClassifier(alpha=30).fit(flat[0], train["label"])
    assert classifier.score(flat[1], test["label"]) > 0.85


def test_glyph_labels_are_balanced_and_domains_alike_often():
    planned = glyphs.plan("glyphs", "train")
    assert set(np.bincount(planned.label)) == {6000}
    domain = np.array([glyphs.DOMAINS.index(font.domain) for font in glyphs.FONTS])[planned.font]
    assert np.abs(np.bincount(domain) / 20_000 - 1).max() < 0.05
    assert set(planned.font) == set(range(len(glyphs.FONTS)))


def test_held_out_families_are_seen_in_test_alone():
    for split in SPLITS:
        block = whole_families("glyphs/heldout_fonts", split)
        held = {glyphs.FAMILIES.index(family) for family in glyphs.HELD_OUT}
        assert block == (held if split == "test" else set(range(len(glyphs.FAMILIES))) - held)


def whole_families(name, split):
    font = glyphs.plan(name, split).font
    return {glyphs.FAMILIES.index(glyphs.FONTS[position].family) for position in set(font)}


@pytest.mark.parametrize("font", glyphs.FONTS, ids=lambda font: font.file)
def test_no_font_lacks_a_character(font):
    """A missing character is drawn as one same box."""
    for text in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        place = glyphs.FONTS.index(font) * len(text)
        forms = glyphs.templates(text)[place : place + len(text)]
        assert len({form.tobytes() for form in forms}) == len(text)
        assert (forms.max((1, 2)) > 0.3).all()


def test_a_counterpart_shows_the_same_character_deformed_alike():
    block, other = first("glyphs"), next(glyphs.counterparts("glyphs", "train", "mono"))
    mono = block["domain"] == glyphs.DOMAINS.index("mono")
    np.testing.assert_array_equal(other[mono], block["image"][mono])
    assert (other[~mono] != block["image"][~mono]).any((1, 2, 3)).all()
    flat, other_flat = (x[~mono].reshape((~mono).sum(), -1).astype(float) for x in (block["image"], other))
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(flat, other_flat, strict=True)]
    shuffled = [np.corrcoef(a, b)[0, 1] for a, b in zip(flat, np.roll(other_flat, 1, 0), strict=True)]
    assert np.mean(alike) > np.mean(shuffled) + 0.25


def test_a_counterpart_is_of_the_same_design_weight_and_slope():
    def named(file):
        return next(font for font in glyphs.FONTS if font.file == file)

    pairs = {
        ("DejaVuSerif-Bold.ttf", "sans"): "DejaVuSans-Bold.ttf",
        ("DejaVuSans-BoldOblique.ttf", "serif"): "DejaVuSerif-BoldItalic.ttf",
        ("cmr10.ttf", "mono"): "cmtt10.ttf",
        ("cmtt10.ttf", "sans"): "cmss10.ttf",
        ("STIXGeneralItalic.ttf", "sans"): "DejaVuSans-Oblique.ttf",
    }
    for (file, domain), expected in pairs.items():
        assert glyphs.FONTS[glyphs.counterpart(named(file), domain)].file == expected


# --------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("size", [8, 9, 33, 128])
def test_shapes_have_any_size(size):
    assert first(f"shapes/{size}", "validation")["image"].shape[1:] == (size, size, 3)


def test_a_caption_says_what_the_attributes_say():
    info, block = shapes.describe("shapes"), first("shapes")
    for text, scene, label in zip(block["caption"], block["attributes"], block["label"], strict=True):
        shape, colour, size, place, _ = (
            values[number] for values, number in zip(info.attribute_values, scene, strict=True)
        )
        assert text == f"a {size} {colour} {shape} {place}"
        assert info.class_names[label] == shape


def test_the_picture_shows_what_the_attributes_say():
    """Flat shapes, read by the hand: colour, place and size of what is not background."""
    info, block = shapes.describe("shapes/64"), first("shapes/64")
    flat = block["domain"] == shapes.STYLES.index("flat")
    seen = {"colour": 0, "place": 0}
    areas = {}
    for image, scene in zip(block["image"][flat].astype(float), block["attributes"][flat], strict=True):
        shape, colour, size, place, ground = (
            values[number] for values, number in zip(info.attribute_values, scene, strict=True)
        )
        paper = np.array(shapes.BACKGROUNDS[ground])
        ink = np.abs(image - paper).max(-1) > 30
        mean = image[ink].mean(0)
        found = min(shapes.COLOURS, key=lambda name: np.abs(mean - shapes.COLOURS[name]).sum())
        seen["colour"] += found == colour
        middle = np.argwhere(ink).mean(0) / 64
        found = min(shapes.PLACES, key=lambda name: np.abs(middle - shapes.PLACES[name]).sum())
        seen["place"] += found == place
        areas.setdefault((shape, size), []).append(ink.sum())
    assert seen["colour"] > 0.9 * flat.sum()
    assert seen["place"] == flat.sum()
    for shape in shapes.SHAPES:
        mean = [np.mean(areas[shape, size]) for size in shapes.SIZES if (shape, size) in areas]
        assert mean == sorted(mean)


def test_the_scenes_are_the_same_at_every_size_and_style():
    small, large = first("shapes/8"), first("shapes/32")
    for field in ("label", "attributes", "domain", "caption"):
        np.testing.assert_array_equal(small[field], large[field])
    drawn = next(shapes.counterparts("shapes/32", "train", "outline"))
    same = large["domain"] == shapes.STYLES.index("outline")
    np.testing.assert_array_equal(drawn[same], large["image"][same])
    assert (drawn[~same] != large["image"][~same]).any((1, 2, 3)).all()


def test_pairs_that_are_held_out_are_in_the_test_split_and_nowhere_else():
    pairs = {split: np.zeros((8, 8), int) for split in SPLITS}
    for split, found in pairs.items():
        scenes, _ = shapes.scenes(split, held_out=True)
        np.add.at(found, (scenes[:, 0], scenes[:, 1]), 1)
    held_out = pairs["test"] > 0
    assert held_out.sum() == 8
    assert (held_out.sum(0) == 1).all()  # each colour once,
    assert (held_out.sum(1) == 1).all()  # and each shape
    for split in ("train", "validation"):
        np.testing.assert_array_equal(pairs[split] > 0, ~held_out)
    shown = pairs["train"][~held_out]
    assert np.abs(shown - shown.mean()).max() < 4.5 * np.sqrt(shown.mean())  # all alike often
    info, block = shapes.describe("shapes/heldout"), first("shapes/heldout-8", "test")
    for text, label in zip(block["caption"], block["label"], strict=True):
        shape = info.class_names[label]
        assert f" {shapes.HELD_OUT[shape]} {shape} " in text


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("shapes", None, "shapes/32"),
        ("shapes", 16, "shapes/16"),
        ("shapes", 300, "shapes/32"),
        ("shapes/16", 8, "shapes/16"),
        ("shapes/heldout", None, "shapes/heldout-32"),
        ("shapes/heldout", 16, "shapes/heldout-16"),
        ("shapes/heldout-16", 8, "shapes/heldout-16"),
    ],
)
def test_a_name_of_shapes_says_its_size(name, size, expected):
    assert shapes.sized(name, size) == expected
    held_out, drawn = shapes.parse(expected)
    assert expected == f"shapes/{'heldout-' * held_out}{drawn}"


# ------------------------------------------------------------------------------------- patches, prose


def test_no_pixel_of_a_patch_is_in_two_splits():
    found = {split: {tile.tobytes() for tile in patches.tiles(split)} for split in SPLITS}
    assert {split: len(tiles) for split, tiles in found.items()} == {
        "train": 96,
        "validation": 12,
        "test": 12,
    }
    assert len(set.union(*found.values())) == 120


def test_patches_come_from_the_tiles_of_their_split_and_are_not_flat():
    tiles = np.stack(patches.tiles("test"))
    block = first("patches/rgb", "test")["image"]
    windows = {bytes(tile[:16, left : left + 16]) for tile in tiles for left in range(49)}
    assert len(windows) > 100
    everywhere = {
        bytes(np.ascontiguousarray(tile[top : top + 16, left : left + 16]))
        for tile in tiles
        for top in range(49)
        for left in range(49)
    }
    assert all(bytes(image) in everywhere for image in block)
    gray = first("patches", "test")["image"]
    assert gray.std((1, 2, 3)).min() > patches.FLAT


def test_prose_reads_as_english():
    info, block = prose.describe("prose"), first("prose")
    text = "".join(info.vocabulary[token] for token in block["tokens"].ravel())
    assert text.count(" the ") > 2000
    assert "  " not in text
    assert "\n\n" not in text
    paragraphs = prose.text().split("\n")
    assert len(set(paragraphs)) == len(paragraphs)


# ------------------------------------------------------------------------------------------- drawing


def test_a_template_is_read_linearly_between_its_points():
    side = 5
    plane = np.add.outer(3.0 * np.arange(side), 2.0 * np.arange(side)).astype(np.float32)
    templates = np.stack([plane, plane + 100])
    row, column = np.random.default_rng(0).uniform(-1.9, 1.9, (2, 2, 4, 4)).astype(np.float32)
    found = interpolate(templates, np.array([1, 0]), row, column)
    expected = 3 * (row + 2) + 2 * (column + 2) + np.array([100, 0]).reshape(2, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    beyond = interpolate(templates, np.array([0]), np.full((1, 1, 1), 99.0), np.full((1, 1, 1), -99.0))
    np.testing.assert_allclose(beyond, 12, atol=0.02)
