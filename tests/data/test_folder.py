"""Folders and .zip files of images: all layouts, sizes and modes, and what is said of bad ones."""

import io
import itertools
import os
import shutil
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from zoo.data import default_split, folder, load
from zoo.data.images import BadImageError, decode, shape_of
from zoo.data.tables import numbers_first
from zoo.errors import UsageError


@pytest.fixture
def read(tmp_path):
    """Loads a folder, with prepared data in a place of its own."""
    return lambda path, split="all", **options: load(
        f"folder:{path}", split, data_dir=tmp_path / "prepared", **options
    )


@pytest.fixture
def refused(read):
    """The one or two lines that are said of a folder."""

    def lines(path, **options):
        with pytest.raises(UsageError) as caught:
            read(path, **options)
        text = str(caught.value)
        assert 1 <= len(text.splitlines()) <= 2
        return text

    return lines


def picture(seed=0, size=(8, 8), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(256, size=(size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def save(path, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, **options).save(path)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def zip_of(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# --------------------------------------------------------------------------------------------- layouts


def test_a_flat_folder_is_read_in_the_order_of_names(tmp_path, read):
    for name in "cab":
        save(tmp_path / f"in/{name}.png", ord(name))
    data = read(tmp_path / "in")
    assert data.info.files == ("a.png", "b.png", "c.png")
    assert list(data.fields) == ["image"]
    for row, name in enumerate("abc"):
        np.testing.assert_array_equal(data.fields["image"][row], np.asarray(picture(ord(name))))
    assert data.info.local
    assert data.info.levels == 256
    assert default_split(f"folder:{tmp_path}/in") == "all"


def test_one_folder_a_class_gives_labels_and_domains(tmp_path, read):
    for name, count in {"dogs": 2, "cats": 3}.items():
        for number in range(count):
            save(tmp_path / f"in/{name}/{number}.png", number)
    data = read(tmp_path / "in")
    assert data.info.class_names == data.info.domain_names == ("cats", "dogs")
    assert list(data.fields["label"]) == list(data.fields["domain"]) == [0, 0, 0, 1, 1]
    assert data.info.files[3] == "dogs/0.png"


@pytest.mark.parametrize("validation", [None, "validation", "valid", "val"])
@pytest.mark.parametrize("inner", ["", "cats/"])
def test_folders_of_splits_are_kept(tmp_path, read, validation, inner):
    for name, count in {"train": 20, "test": 4, validation: 3}.items():
        for number in range(count if name else 0):
            save(tmp_path / f"in/{name}/{inner}{number:02}.png", number)
    test = read(tmp_path / "in", "test")
    assert len(test) == 4
    expected = {"train": 20, "validation": 3, "test": 4}
    assert test.info.splits == (expected if validation else {"train": 18, "validation": 2, "test": 4})
    assert test.info.class_names == (("cats",) if inner else ())
    assert test.info.files[0] == f"test/{inner}00.png"
    assert default_split(f"folder:{tmp_path}/in") == "test"


def test_splits_of_a_folder_without_them_are_fixed_and_disjoint(tmp_path, read):
    for number in range(40):
        save(tmp_path / f"in/{number:02}.png", number)
    parts = {split: read(tmp_path / "in", split) for split in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [36, 2, 2]
    files = [file for part in parts.values() for file in part.info.files]
    assert sorted(files) == [f"{number:02}.png" for number in range(40)]
    for part in parts.values():
        for file, image in zip(part.info.files, part.fields["image"], strict=True):
            np.testing.assert_array_equal(image, np.asarray(picture(int(file[:2]))))


def test_a_zip_is_read_as_the_folder_it_holds(tmp_path, read):
    for name in ("cats/a.png", "cats/b.png", "dogs/a.png"):
        save(tmp_path / "in" / name, len(name))
    shutil.make_archive(str(tmp_path / "flat"), "zip", tmp_path / "in")
    shutil.make_archive(str(tmp_path / "wrapped"), "zip", tmp_path, "in")
    plain = read(tmp_path / "in")
    for name in ("flat", "wrapped"):
        packed = read(tmp_path / f"{name}.zip")
        np.testing.assert_array_equal(packed.fields["image"], plain.fields["image"])
        assert packed.info.class_names == ("cats", "dogs")


def test_hidden_files_are_left_out(tmp_path, read):
    save(tmp_path / "in/a.png")
    for name in (".DS_Store", "Thumbs.db", ".hidden/a.txt", "__MACOSX/a.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("x")
    assert read(tmp_path / "in").info.files == ("a.png",)
    packed = zip_of(tmp_path / "a.zip", {"__MACOSX/._a.png": b"x", ".x": b"x", "a.png": encoded(picture())})
    assert read(packed).info.files == ("a.png",)


def test_layouts_that_say_nothing_are_refused(tmp_path, refused):
    (tmp_path / "in/deep").mkdir(parents=True)
    assert refused(tmp_path / "in") == f"{tmp_path}/in holds no images."
    save(tmp_path / "in/cats/a.png")
    save(tmp_path / "in/cats/old/a.png")
    save(tmp_path / "in/dogs/a.png")
    assert "cats/old/a.png lies too deep" in refused(tmp_path / "in")
    shutil.rmtree(tmp_path / "in/cats/old")
    save(tmp_path / "in/b.png")
    assert "b.png lies beside the folders, cats/a.png in one" in refused(tmp_path / "in")
    (tmp_path / "file.png").write_bytes(encoded(picture()))
    assert "is neither a folder nor a .zip file" in refused(tmp_path / "file.png")


# ------------------------------------------------------------------------------------- sizes and modes


def test_mixed_sizes_want_a_size_and_get_it(tmp_path, read, refused):
    save(tmp_path / "in/a.png", size=(8, 8))
    save(tmp_path / "in/b.png", size=(12, 20))
    assert "differ in size, from 8x8 to 20x12: choose one with --image-size" in refused(tmp_path / "in")
    data = read(tmp_path / "in", image_size=8)
    assert data.fields["image"].shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(data.fields["image"][0], np.asarray(picture()))
    assert data.info.notes == (
        "images that are not square cropped to their central square",
        "resized from 2 sizes to 8x8",
    )


def test_mixed_modes_become_what_the_richest_has(tmp_path, read):
    save(tmp_path / "in/a.png", mode="L")
    save(tmp_path / "in/b.png", mode="RGB")
    both = read(tmp_path / "in")
    assert both.fields["image"].shape[-1] == 3
    assert both.info.notes == ("gray and RGB images converted to RGB",)
    assert (np.ptp(both.fields["image"][0], axis=-1) == 0).all()
    gray = read(tmp_path / "in", channels=1)
    assert gray.fields["image"].shape[-1] == 1
    (tmp_path / "in/b.png").unlink()
    assert read(tmp_path / "in").fields["image"].shape[-1] == 1


@pytest.mark.filterwarnings("ignore:Saving I mode images:DeprecationWarning")  # Pillow, of what we make here
@given(
    st.sampled_from(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]),
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_every_mode_and_format_is_decoded_as_its_header_promised(mode, kind, size):
    assume((mode, kind) != ("YCbCr", "TIFF"))  # Pillow cannot read what it writes there: 1x1 comes out short
    if mode == "I;16":
        image = Image.fromarray(np.random.default_rng(0).integers(65536, size=size[::-1], dtype=np.uint16))
    else:
        image = picture(0, size, "RGBA" if mode == "PA" else mode)
    try:
        raw = encoded(image, kind)
    except (OSError, KeyError, ValueError):
        return  # the format has no such mode
    pixels = decode(raw)
    assert pixels.dtype == np.uint8
    assert pixels.shape == shape_of(raw)
    assert pixels.shape[:2] == size[::-1]


def test_transparency_lies_over_white():
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    clear[0, 1] = (0, 0, 0, 128)
    pixels = decode(encoded(Image.fromarray(clear, "RGBA")))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[1, 1].tolist() == [255, 255, 255]
    assert abs(int(pixels[0, 1, 0]) - 127) <= 1
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([5, 6, 7, 200, 100, 50])
    palette.putpixel((1, 1), 1)
    pixels = decode(encoded(palette, transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 100, 50]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")  # Pillow's
def test_metadata_that_are_damaged_leave_the_pixels():
    plain = encoded(picture(), "JPEG")
    for exif in (
        b"",
        b"II*\x00\x08",
        b"MM\x00*\x00\x00\x00\x08\x00\x01",
        b"no TIFF header",
        b"II*\x00" + b"\xff" * 40,
    ):
        raw = encoded(picture(), "JPEG", exif=b"Exif\x00\x00" + exif)
        assert shape_of(raw) == (8, 8, 3)
        np.testing.assert_array_equal(decode(raw), decode(plain))
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = bytearray(encoded(picture(), "JPEG", exif=exif))
    raw[raw.index(b"\x01\x12\x00\x03") + 9] = 99  # no way to hold a camera
    np.testing.assert_array_equal(decode(bytes(raw)), decode(plain))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(orientation, kind):
    upright = Image.fromarray(
        np.kron(np.array([[0, 60, 120], [150, 200, 250]], np.uint8), np.ones((16, 16), np.uint8))
    )
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how the camera stored it: Image.Transpose
    back = {0: 0, 1: 1, 3: 3, 5: 5, 6: 6, 2: 2, 4: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[turns[orientation]]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = encoded(stored, kind, quality=100, exif=exif)
    assert shape_of(raw) == (32, 48, 1)
    assert np.abs(decode(raw)[..., 0].astype(int) - np.asarray(upright)).max() < 8


def test_sixteen_bits_keep_their_scale():
    deep = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    assert decode(encoded(deep)).ravel().tolist() == [0, 0, 1, 255]


# ------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("b.png", encoded(picture(1, (40, 40)))[:900], "b.png is damaged"),
        ("b.jpg", encoded(picture(1, (40, 40)), "JPEG")[:900], "b.jpg is damaged"),
        ("b.txt", b"hello, world", "b.txt is no image"),
        ("b.png", b"", "b.png is no image"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_file_is_named_or_skipped(tmp_path, read, refused, name, content, words, packed):
    files = {"a.png": encoded(picture(0, (40, 40))), name: content, "c.png": encoded(picture(2, (40, 40)))}
    if packed:
        source = zip_of(tmp_path / "in.zip", files)
    else:
        source = tmp_path / "in"
        source.mkdir()
        for file, raw in files.items():
            (source / file).write_bytes(raw)
    text = refused(source)
    assert words in text
    assert "--skip-bad" in text
    data = read(source, skip_bad=True)
    assert data.info.files == ("a.png", "c.png")
    np.testing.assert_array_equal(data.fields["image"][1], np.asarray(picture(2, (40, 40))))
    assert len(data.info.notes) == 1
    assert "skipped 1 of 3 files, the first: " + words in data.info.notes[0]
    assert words in refused(source)  # what was skipped before is not forgiven now


def test_labels_and_splits_stay_with_their_images_when_some_are_skipped(tmp_path, read):
    for split, count in {"train": 3, "test": 2}.items():
        for name in ("cats", "dogs"):
            for number in range(count):
                save(tmp_path / f"in/{split}/{name}/{number}.png", number)
    (tmp_path / "in/train/cats/1.png").write_bytes(b"x")
    data = read(tmp_path / "in", "train", skip_bad=True)
    assert data.info.splits == {"train": 5, "test": 4}
    assert list(data.fields["label"]) == [0, 0, 1, 1, 1]
    assert list(read(tmp_path / "in", "test", skip_bad=True).fields["label"]) == [0, 0, 1, 1]


def test_a_folder_of_bad_files_only_is_refused(tmp_path, refused):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"x")
    assert "holds no image that can be read: a.png is no image" in refused(tmp_path / "in", skip_bad=True)
    (tmp_path / "in/a.png").write_bytes(encoded(picture(1, (40, 40)))[:900])
    assert "holds no image that can be read: a.png is damaged" in refused(tmp_path / "in", skip_bad=True)


def test_a_link_to_nothing_is_named(tmp_path, refused):
    save(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").symlink_to(tmp_path / "gone.png")
    assert "b.png cannot be read: no such file or directory" in refused(tmp_path / "in")


def bomb(width, height):
    """A PNG of some hundred bytes that says it is huge."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(8001, 8001), (40_000, 40_000)])
def test_a_decompression_bomb_is_refused(tmp_path, refused, width, height):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(bomb(width, height))
    assert "a.png is refused" in refused(tmp_path / "in")


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(folder, "MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1_000_000))
    assert "a.png is refused: it unpacks to" in refused(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "x/../../a.png", "..\\a.png", "C:\\a.png"])
def test_a_zip_whose_paths_lead_outside_is_refused(tmp_path, refused, name):
    packed = zip_of(tmp_path / "a.zip", {name: encoded(picture())})
    assert "holds a path that leads outside of it" in refused(packed)


def test_a_zip_that_names_its_own_folder_is_read(tmp_path, read):
    packed = zip_of(tmp_path / "a.zip", {"./": b"", "./a.png": encoded(picture())})
    assert read(packed).info.files == ("a.png",)


def test_a_damaged_or_encrypted_zip_is_refused(tmp_path, refused):
    raw = bytearray(zip_of(tmp_path / "a.zip", {"a.png": encoded(picture(0, (40, 40)))}).read_bytes())
    raw[200] ^= 255  # in the picture: its checksum tells
    (tmp_path / "a.zip").write_bytes(raw)
    assert "a.png cannot be unpacked" in refused(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(raw[:-30])
    assert "is neither a folder nor a .zip file" in refused(tmp_path / "b.zip")
    raw = bytearray(zip_of(tmp_path / "c.zip", {"a.png": encoded(picture())}).read_bytes())
    place = raw.index(b"PK\x01\x02") + 8  # the flags of the first member: bit 0 says encrypted
    raw[place] |= 1
    (tmp_path / "c.zip").write_bytes(raw)
    assert "is encrypted" in refused(tmp_path / "c.zip")


# ---------------------------------------------------------------------------------------------- tables


def test_captions_and_attributes_are_joined_by_file(tmp_path, read):
    for name in ("cats/a", "cats/b", "dogs/a"):
        save(tmp_path / f"in/{name}.png", len(name))
    (tmp_path / "in/captions.tsv").write_text(
        "file\tcaption\ncats/a.png\tA cat, “grey”\ndogs/a.png\ta dog\n", "utf-8"
    )
    (tmp_path / "in/attributes.csv").write_text(
        "file,age,fur\ncats/a.png,10,long\ncats/b.png,9,short\ndogs/a.png,10,long\n"
    )
    data = read(tmp_path / "in")
    assert list(data.fields["caption"]) == ["A cat, “grey”", "", "a dog"]
    assert data.fields["attributes"].tolist() == [[1, 0], [0, 1], [1, 0]]
    assert data.info.attribute_names == ("age", "fur")
    assert data.info.attribute_values == (("9", "10"), ("long", "short"))
    assert data.info.notes == ("1 images have no caption: theirs is empty",)


def test_of_several_lines_the_first_one_counts_and_the_others_are_told(tmp_path, read):
    for name in "ab":
        save(tmp_path / f"in/{name}.png")
    captions, attributes = tmp_path / "in/captions.tsv", tmp_path / "in/attributes.csv"
    captions.write_text("file\tcaption\na.png\tfirst\nb\tother\na\tsecond\nc.png\tno image\na\tthird\n")
    attributes.write_text("file,age\na.png,1\na.png,2\nb,3\nc,4\n")
    data = read(tmp_path / "in")
    assert list(data.fields["caption"]) == ["first", "other"]
    assert data.fields["attributes"].tolist() == [[0], [1]]
    assert data.info.notes == (
        "attributes.csv: 1 further lines of the same images are left out",
        "attributes.csv: 1 lines name no image",
        "captions.tsv: 2 further lines of the same images are left out",
        "captions.tsv: 1 lines name no image",
    )
    captions.write_text("c.png\tno image, and no header\na.png\tfirst\nb.png\tother\n")
    assert "captions.tsv: 1 lines name no image" in read(tmp_path / "in").info.notes


def test_tables_name_files_shortly_and_may_lie_in_splits(tmp_path, read):
    for split in ("train", "test"):
        save(tmp_path / f"in/{split}/a.png")
        save(tmp_path / f"in/{split}/b.png")
        (tmp_path / f"in/{split}/captions.tsv").write_text(f"a\tfirst of {split}\nb.png\tsecond of {split}\n")
    assert list(read(tmp_path / "in", "test").fields["caption"]) == ["first of test", "second of test"]
    assert list(read(tmp_path / "in", "train").fields["caption"]) == ["first of train", "second of train"]


def test_quotes_in_captions_are_text(tmp_path, read):
    for name in "abc":
        save(tmp_path / f"in/{name}.png")
    (tmp_path / "in/captions.tsv").write_text('a\t"Hello" she said\n\nb\t"an open quote\nc\tlast "word"\n')
    assert list(read(tmp_path / "in").fields["caption"]) == [
        '"Hello" she said', '"an open quote', 'last "word"'
    ]  # fmt: skip


def test_a_short_name_that_fits_two_images_is_refused_and_a_path_is_not(tmp_path, read, refused):
    save(tmp_path / "in/cats/a.png")
    save(tmp_path / "in/dogs/a.png")
    (tmp_path / "in/captions.tsv").write_text("file\tcaption\n\na.png\tone of them\n")
    text = refused(tmp_path / "in")
    assert "captions.tsv, line 3: a.png may be cats/a.png or dogs/a.png. Write the path" in text
    (tmp_path / "in/captions.tsv").write_text("cats/a.png\ta cat\ndogs/a.png\ta dog\n")
    assert list(read(tmp_path / "in").fields["caption"]) == ["a cat", "a dog"]
    shutil.rmtree(tmp_path / "in")
    save(tmp_path / "in/a.png")
    save(tmp_path / "in/a.gif")
    (tmp_path / "in/captions.tsv").write_text("a.gif\tmoving\na.png\tstill\n")
    assert list(read(tmp_path / "in").fields["caption"]) == ["moving", "still"]


def test_the_values_of_an_attribute_have_one_order():
    words = ["b", "nan", "10", "a", "9", "inf"]
    for order in itertools.permutations(words):
        assert sorted(order, key=numbers_first) == ["9", "10", "a", "b", "inf", "nan"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("captions.tsv", "x.png\tnot here\n", "captions.tsv names none of the images"),
        ("captions.tsv", "a.png\n", "captions.tsv, line 1 has one column"),
        ("attributes.csv", "file,x\nz.png,1\n", "attributes.csv names none of the images"),
        ("attributes.csv", "file,x\na.png,1,2\n", "attributes.csv, line 2 has 3 columns, the header has 2"),
        ("attributes.csv", "file,x\na.png," + "1" * 200_000, "attributes.csv, line 2 cannot be read: field"),
        ("captions.tsv", b"a.png\t\xff\n", "captions.tsv is not UTF-8 text"),
    ],
)
def test_tables_that_are_wrong_are_refused(tmp_path, refused, name, text, words):
    save(tmp_path / "in/a.png")
    (tmp_path / "in" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in refused(tmp_path / "in")


# --------------------------------------------------------------------------------------- prepared once


def test_a_folder_is_decoded_once_until_it_changes(tmp_path, read, monkeypatch):
    for number in range(4):
        save(tmp_path / f"in/{number}.png", number)
    first = read(tmp_path / "in")
    calls = []
    monkeypatch.setattr(folder, "decode", lambda raw: calls.append(raw) or decode(raw))
    again = read(tmp_path / "in")
    assert not calls
    assert isinstance(again.fields["image"], np.memmap)
    assert again.info == first.info
    read(tmp_path / "in", image_size=4)
    assert len(calls) == 4
    save(tmp_path / "in/3.png", 99)
    os.utime(tmp_path / "in/3.png", ns=(1, 1))
    changed = read(tmp_path / "in")
    np.testing.assert_array_equal(changed.fields["image"][3], np.asarray(picture(99)))
    assert changed.info.fingerprint != first.info.fingerprint
    (place,) = (tmp_path / "prepared/gmzoo").glob("folder-in-*")
    assert len([path for path in place.iterdir() if path.is_dir()]) == 1  # the arrays of before are gone


def test_the_fingerprint_is_of_the_content_not_of_the_place_or_the_conversion(tmp_path, read):
    save(tmp_path / "in/a.png", 1)
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    prints = {
        read(tmp_path / "in").info.fingerprint,
        read(tmp_path / "copy").info.fingerprint,
        read(tmp_path / "in", image_size=4).info.fingerprint,
    }
    assert len(prints) == 1


@given(
    st.binary(max_size=300),
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    st.one_of(st.integers(0, 500), st.just("metadata")),
)
def test_whatever_the_bytes_the_error_is_ours(noise, kind, place):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    raw = bytearray(encoded(picture(0, (9, 7)), kind, exif=exif))
    if place == "metadata":
        place = max(raw.find(b"II*\x00"), raw.find(b"MM\x00*"), 0)
    place %= len(raw)
    raw[place : place + len(noise)] = noise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata
        try:
            shape = shape_of(bytes(raw))
            pixels = decode(bytes(raw))
        except BadImageError:
            return  # any other error fails the test
    assert pixels.dtype == np.uint8
    assert pixels.shape == shape
