"""Data of the user's own in files (npz: idx: csv: text:), and what is said of wrong files."""

import gzip
import os
import struct
import tokenize
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data import default_split, load
from zoo.errors import UsageError

IMAGE = np.random.default_rng(0).integers(256, size=(40, 6, 5), dtype=np.uint8)


def write_idx(path, array, pack=False):
    raw = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if pack else raw)


def message(spec, **options):
    with pytest.raises(UsageError) as caught:
        load(spec, "all", **options)
    text = str(caught.value)
    assert 1 <= len(text.splitlines()) <= 2
    return text


# ------------------------------------------------------------------------------------------ any source


@pytest.mark.parametrize("kind", ["npz", "idx", "csv", "text", "folder"])
def test_a_path_that_is_missing_is_named(kind, tmp_path):
    assert (
        message(f"{kind}:{tmp_path}/nothing")
        == f"There is no {tmp_path}/nothing (asked for by {kind}:{tmp_path}/nothing)."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("kind", ["npz", "idx", "csv", "text", "folder"])
def test_a_path_that_may_not_be_read_is_named(kind, tmp_path):
    (tmp_path / "mine").write_text("x")
    (tmp_path / "mine").chmod(0)
    assert message(f"{kind}:{tmp_path}/mine") == f"{tmp_path}/mine cannot be read: permission denied."


@pytest.mark.parametrize("kind", ["npz", "idx", "csv", "text", "folder"])
def test_a_path_is_refused_where_the_system_says_no(kind, tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("x")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert message(f"{kind}:{tmp_path}/mine") == f"{tmp_path}/mine cannot be read: permission denied."


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("glyps", "There is no dataset 'glyps'. Did you mean glyphs"),
        ("nzp:x.npz", "no kind of dataset 'nzp'. Did you mean npz"),
        ("npz:", "names no path"),
        ("glyphs/letter", "Did you mean glyphs/letters"),
        ("shapes/7", "sizes are shapes/8 to shapes/128"),
        ("shapes/big", "sizes are shapes/8 to shapes/128"),
        ("shapes/heldout-129", "shapes/heldout-8 to shapes/heldout-128"),
        ("shapes/heldoutside", "sizes are shapes/8 to shapes/128"),
    ],
)
def test_an_unknown_dataset_is_answered_with_the_nearest_name(spec, words):
    assert words in message(spec)


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "mine.npz", image=IMAGE)
    assert len(load("npz:~/mine.npz", "all")) == 40


# ------------------------------------------------------------------------------------------------- npz


def test_npz_gives_its_fields(tmp_path):
    label = np.arange(40) % 3
    caption = np.array([f"Größe {row}" for row in range(40)])
    np.savez(tmp_path / "a.npz", image=IMAGE, label=label, caption=caption)
    data = load(f"npz:{tmp_path}/a.npz", "all")
    np.testing.assert_array_equal(data.fields["image"], IMAGE[..., None])
    np.testing.assert_array_equal(data.fields["label"], label)
    assert data.fields["label"].dtype == np.int32
    assert list(data.fields["caption"]) == list(caption)
    assert data.info.levels == 256
    assert data.info.class_names == ("0", "1", "2")
    assert data.info.local
    assert default_split(f"npz:{tmp_path}/a.npz") == "all"
    parts = [load(f"npz:{tmp_path}/a.npz", split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [36, 2, 2]


def test_npz_levels_make_zeros_and_ones_binary_images(tmp_path):
    np.savez(tmp_path / "a.npz", image=IMAGE // 128, levels=2)
    data = load(f"npz:{tmp_path}/a.npz", "all")
    assert data.info.levels == 2
    assert set(np.unique(data.fields["image"])) == {0, 1}


def test_npz_folder_gives_its_own_splits(tmp_path):
    for name, count in {"train": 30, "test": 10}.items():
        np.savez(tmp_path / f"{name}.npz", image=IMAGE[:count])
    data = load(f"npz:{tmp_path}", "train")
    assert data.info.splits == {"train": 27, "validation": 3, "test": 10}
    np.testing.assert_array_equal(load(f"npz:{tmp_path}", "test").fields["image"], IMAGE[:10, ..., None])
    assert len(load(f"npz:{tmp_path}", "all")) == 40
    assert default_split(f"npz:{tmp_path}") == "test"


def test_npz_content_has_a_fingerprint_of_its_own(tmp_path):
    np.savez(tmp_path / "a.npz", image=IMAGE)
    np.savez(tmp_path / "b.npz", image=IMAGE)
    np.savez(tmp_path / "c.npz", image=IMAGE + 1)
    a, b, c = (load(f"npz:{tmp_path}/{name}.npz").info.fingerprint for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": IMAGE}, "has no `image` (it has images)"),
        ({}, "it has nothing"),
        ({"image": IMAGE, "labels": np.zeros(40)}, "holds labels, which is not known: keys are image, label"),
        ({"image": IMAGE / 255}, "must be uint8, not float64"),
        ({"image": np.full((2, 3, 3), np.nan)}, "not finite (NaN or infinity)"),
        ({"image": IMAGE // 128}, "holds only 0 and 1, and no `levels` says what that means"),
        ({"image": IMAGE[:, :, 0]}, "[N,H,W] or [N,H,W,C]"),
        ({"image": IMAGE[..., None].repeat(4, -1)}, "with C 1 or 3, not [40, 6, 5, 4]"),
        ({"image": IMAGE[:0]}, "`image` is empty"),
        ({"image": IMAGE, "levels": 16}, "but `levels` is 16 (0..15)"),
        ({"image": IMAGE, "levels": 1}, "`levels` must be one integer from 2 to 256, not 1"),
        ({"image": IMAGE, "levels": 2.5}, "`levels` must be one integer"),
        ({"image": IMAGE, "label": np.zeros(3, int)}, "`label` must be integers [40]"),
        ({"image": IMAGE, "label": np.zeros(40)}, "`label` must be integers [40], not float64"),
        ({"image": IMAGE, "label": np.full(40, -2)}, "or -1 for unlabelled"),
        ({"image": IMAGE, "caption": np.arange(40)}, "`caption` must be strings [40]"),
        ({"image": IMAGE, "caption": np.array([b"\xff"] * 40)}, "`caption` holds bytes that are not UTF-8"),
    ],
)
def test_npz_of_something_else_is_refused(arrays, words, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    text = message(f"npz:{tmp_path}/a.npz")
    assert words in text
    assert f"{tmp_path}/a.npz" in text


def test_npz_with_pickled_objects_is_refused_unread(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    np.savez(tmp_path / "a.npz", image=IMAGE, caption=np.array([Evil()] * 40, object), allow_pickle=True)
    assert "holds Python objects (pickle)" in message(f"npz:{tmp_path}/a.npz")
    assert not (tmp_path / "evil").exists()


def test_npz_that_is_cut_short_is_named(tmp_path):
    np.savez(tmp_path / "whole.npz", image=IMAGE)
    raw = (tmp_path / "whole.npz").read_bytes()
    for name, part in {"half": raw[: len(raw) // 2], "none": b"", "text": b"hello, world"}.items():
        (tmp_path / f"{name}.npz").write_bytes(part)
        assert f"{tmp_path}/{name}.npz is not a whole .npz file" in message(f"npz:{tmp_path}/{name}.npz")


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=200)
def test_npz_whatever_the_bytes_the_error_is_ours(tmp_path_factory, seed, packed):
    folder = tmp_path_factory.getbasetemp()
    (np.savez_compressed if packed else np.savez)(folder / "any.npz", image=IMAGE[:2], label=np.arange(2))
    raw = bytearray((folder / "any.npz").read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(len(raw), size=random.integers(1, 5)):
        raw[place] = random.integers(256)
    (folder / "any.npz").write_bytes(raw)
    said = f"{folder}/any.npz"
    try:
        load(f"npz:{folder}/any.npz", "all")
    except UsageError as error:
        said = str(error)
    assert f"{folder}/any.npz" in said


@pytest.mark.parametrize("error", [zlib.error("invalid block"), tokenize.TokenError("EOF", (1, 1))])
def test_npz_that_breaks_its_reader_is_named(tmp_path, monkeypatch, error):
    np.savez(tmp_path / "a.npz", image=IMAGE)

    def load_broken(*_, **__):
        raise error

    monkeypatch.setattr(np, "load", load_broken)
    assert f"{tmp_path}/a.npz is not a whole .npz file" in message(f"npz:{tmp_path}/a.npz")


def test_npz_wants_npz(tmp_path):
    np.save(tmp_path / "a.npy", IMAGE)
    assert "is one bare array (.npy): save it with np.savez" in message(f"npz:{tmp_path}/a.npy")
    (tmp_path / "folder").mkdir()
    assert "none of train.npz, validation.npz, test.npz" in message(f"npz:{tmp_path}/folder")


def test_npz_splits_that_differ_are_refused(tmp_path):
    np.savez(tmp_path / "train.npz", image=IMAGE)
    np.savez(tmp_path / "test.npz", image=IMAGE[:, :4])
    assert "`image` is [4, 5, 1] in test, but [6, 5, 1] in train" in message(f"npz:{tmp_path}")
    np.savez(tmp_path / "test.npz", image=IMAGE, label=np.zeros(40, int))
    assert "test has image, label; train has image" in message(f"npz:{tmp_path}")
    np.savez(tmp_path / "test.npz", image=IMAGE // 128, levels=2)
    assert "differ in `levels`: [2, 256]" in message(f"npz:{tmp_path}")


def test_npz_is_converted_and_says_so(tmp_path, caplog):
    np.savez(tmp_path / "a.npz", image=IMAGE)
    with caplog.at_level("INFO", "gmzoo"):
        data = load(f"npz:{tmp_path}/a.npz", "all", image_size=8, channels=3)
        load(f"npz:{tmp_path}/a.npz", "train", image_size=8, channels=3)
    assert data.fields["image"].shape == (40, 8, 8, 3)
    assert data.info.notes == ("gray converted to RGB", "6x5 cropped to the central 5x5", "resized to 8x8")
    assert [record.message for record in caplog.records] == [
        f"npz:{tmp_path}/a.npz: {note}" for note in data.info.notes
    ], "each once"


# ------------------------------------------------------------------------------------------------- idx


@pytest.mark.parametrize("pack", [False, True])
def test_idx_folder_gives_mnist(pack, tmp_path):
    end = ".gz" if pack else ""
    label = (np.arange(40) % 10).astype(np.uint8)
    write_idx(tmp_path / f"train-images-idx3-ubyte{end}", IMAGE, pack)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{end}", label, pack)
    write_idx(tmp_path / f"t10k-images-idx3-ubyte{end}", IMAGE[:10], pack)
    write_idx(tmp_path / f"t10k-labels-idx1-ubyte{end}", label[:10], pack)
    test = load(f"idx:{tmp_path}", "test")
    np.testing.assert_array_equal(test.fields["image"], IMAGE[:10, ..., None])
    np.testing.assert_array_equal(test.fields["label"], label[:10])
    assert test.info.splits == {"train": 36, "validation": 4, "test": 10}
    assert test.info.class_names == tuple("0123456789")
    assert default_split(f"idx:{tmp_path}") == "test"


def test_idx_names_of_emnist_and_one_file_of_images(tmp_path):
    write_idx(tmp_path / "emnist-letters-train-images-idx3-ubyte", IMAGE)
    write_idx(tmp_path / "emnist-letters-test-images-idx3-ubyte", IMAGE[:10])
    assert load(f"idx:{tmp_path}", "test").info.splits == {"train": 36, "validation": 4, "test": 10}
    one = f"idx:{tmp_path}/emnist-letters-test-images-idx3-ubyte"
    assert len(load(one, "all")) == 10
    assert default_split(one) == "all"


def test_idx_of_something_else_is_refused(tmp_path):
    assert "holds no MNIST-format files" in message(f"idx:{tmp_path}")
    path = tmp_path / "train-images-idx3-ubyte"
    write_idx(path, IMAGE)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    assert f"{path} is cut short or damaged" in message(f"idx:{tmp_path}")
    path.write_bytes(b"hello, world")
    assert "is not an MNIST-format file of images (it begins with 68656c6c)" in message(f"idx:{path}")
    path.write_bytes(gzip.compress(raw)[:50])
    assert f"{path} is damaged" in message(f"idx:{path}")
    path.write_bytes(raw)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(39, np.uint8))
    assert "has 39 labels, train-images-idx3-ubyte has 40 images" in message(f"idx:{tmp_path}")


# ------------------------------------------------------------------------------------------------- csv


@given(
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(
                st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=width, max_size=width
            ),
            min_size=1,
            max_size=30,
        )
    ),
    st.booleans(),
    st.sampled_from(",;\t"),
)
def test_csv_numbers_come_back(tmp_path_factory, table, header, delimiter):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    names = [f"feature {place}" for place in range(len(table[0]))]
    lines = ([names] if header else []) + [[repr(value) for value in row] for row in table]
    path.write_text("\n".join(delimiter.join(line) for line in lines))
    data = load(f"csv:{path}", "all")
    np.testing.assert_array_equal(data.fields["features"], np.array(table, np.float32))
    assert data.info.feature_names == tuple(
        names if header else (f"column {place + 1}" for place in range(len(table[0])))
    )


def test_csv_columns_of_words_become_label_attributes_and_caption(tmp_path):
    rows = [
        f'{row}.5,{["b", "a"][row % 2]},"a text, number {row}",{["x", "y", "z"][row % 3]}'
        for row in range(12)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["length,species,remark,city", *rows]))
    data = load(f"csv:{tmp_path}/a.csv", "all")
    assert list(data.fields["features"][:, 0]) == [row + 0.5 for row in range(12)]
    assert list(data.fields["label"]) == [1, 0] * 6
    assert data.info.class_names == ("a", "b")
    assert list(data.fields["attributes"][:, 0]) == [0, 1, 2] * 4
    assert data.info.attribute_names == ("city",)
    assert data.info.attribute_values == (("x", "y", "z"),)
    assert data.fields["caption"][3] == "a text, number 3"
    assert data.info.notes == (
        "species is the label (2 classes)",
        "city is an attribute (3 values)",
        "remark is the caption",
    )


def test_csv_labels_that_are_numbers_are_in_their_order(tmp_path):
    (tmp_path / "a.csv").write_text("x,class\n" + "\n".join(f"{row},{row % 12}" for row in range(48)))
    data = load(f"csv:{tmp_path}/a.csv", "all")
    assert data.info.class_names == tuple(str(number) for number in range(12))
    assert list(data.fields["label"]) == [row % 12 for row in range(48)]
    assert data.info.feature_names == ("x",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n3\n", "line 3 has 1 columns, the first line has 2"),
        ("a,b\n1,2\n3,x\n5,6\n", "line 3: b is 'x', not a number"),
        ("a,b\n1,2\n3,\n5,6\n", "line 3: b is '', not a number"),
        ("a,b\n1,2\n3,nan\n5,6\n", "line 3: b is nan, which is not finite"),
        ("1,2\n3,1e39\n", "line 2: column 2 is 1e39, which is not finite"),
        ("a,a\n1,2\n", "two columns have the same name"),
        ("a,city\n1,x\n2,y\n3,\n4,x\n5,x\n6,y\n", "line 4: city is empty"),
    ],
)
def test_csv_that_is_wrong_is_refused_by_line(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    assert words in message(f"csv:{tmp_path}/a.csv")


def test_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "is not a table in UTF-8 text" in message(f"csv:{tmp_path}/a.csv")
    assert "is a folder: name one .csv file" in message(f"csv:{tmp_path}")


# ------------------------------------------------------------------------------------------------ text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\ufeff"), min_size=128, max_size=2000))
def test_text_comes_back_from_its_tokens(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    data = load(f"text:{path}", "all")
    count = len(text) // 128
    assert data.fields["tokens"].shape == (count, 128)
    back = "".join(data.info.vocabulary[token] for token in data.fields["tokens"].ravel())
    train = back[: 128 * data.info.splits["train"]]
    assert train == text[: len(train)]
    known = set(train)
    assert set(data.info.vocabulary[1:]) == known
    for letter, read in zip(text[: count * 128], back, strict=True):
        assert read == (letter if letter in known else "\ufffd")


def test_text_is_split_by_position(tmp_path):
    (tmp_path / "a.txt").write_text("".join(chr(97 + row % 26) * 128 for row in range(60)))
    data = load(f"text:{tmp_path}/a.txt", "train")
    assert data.info.splits == {"train": 54, "validation": 3, "test": 3}
    assert (data.fields["tokens"] == (np.arange(54) % 26 + 1)[:, None]).all()


def test_text_is_told_in_the_tokens_of_a_model(tmp_path):
    """A character is the same token whichever file it stands in, and the split does not matter."""
    (tmp_path / "a.txt").write_text("abcd" * 320 + "e" * 256)
    model = ("\ufffd", "e", "d", "c", "a")
    data = load(f"text:{tmp_path}/a.txt", "all", vocabulary=model)
    assert data.info.vocabulary == model
    assert data.fields["tokens"][0, :8].tolist() == [4, 0, 3, 2, 4, 0, 3, 2]
    assert data.info.notes == ("320 characters are none that the model knows: they are token 0",)
    assert load(f"text:{tmp_path}/a.txt", "test", vocabulary=model).fields["tokens"].tolist() == [[1] * 128]
    with pytest.raises(UsageError, match="does not know these characters of the text: 'b'"):
        load(f"text:{tmp_path}/a.txt", "all", vocabulary=model[1:])


def test_a_named_text_is_told_in_the_tokens_of_a_model():
    ours = load("prose", "test", limit=2)
    theirs = load("prose", "test", limit=2, vocabulary=ours.info.vocabulary[::-1])
    last = len(ours.info.vocabulary) - 1
    np.testing.assert_array_equal(theirs.fields["tokens"], last - ours.fields["tokens"])


def test_text_that_is_none_or_too_short_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 127)
    assert "has 127 characters: one window takes 128" in message(f"text:{tmp_path}/a.txt")
    (tmp_path / "a.txt").write_bytes(b"x" * 200 + b"\xff")
    assert "is not UTF-8 text (byte 200" in message(f"text:{tmp_path}/a.txt")
    assert "is a folder: name one text file" in message(f"text:{tmp_path}")
