"""What a visitor gives: pictures of any kind become examples, and what cannot is refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from zoo.demo import uploads
from zoo.errors import UsageError


def reader(*shape: int, takes: str = "image", signature: str = "log_prob", **card):
    """A model that reads examples of this shape."""
    tensor = {"dtype": "float32", "shape": [None, *shape]}
    return SimpleNamespace(
        name="reader",
        takes=takes,
        card={"dataset": {}, **card},
        signatures={signature: {"inputs": {takes: tensor}, "outputs": {}}},
    )


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG that says this size, and holds nothing."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", zlib.compress(b"")) + piece(b"IEND", b"")
    )


def saved(folder, name: str, picture: Image.Image, **options):
    picture.save(folder / name, **options)
    return folder / name


BAD = {
    "empty.png": b"",
    "text.png": b"no picture at all",
    "page.html": b"<html><script>alert(1)</script></html>",
    "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "archive.zip": b"PK\x03\x04" + bytes(40),
    "bomb.png": png(50_000, 50_000),
    "large.png": png(8_000, 8_000),
    "cut.png": png(40, 40),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD[name])
    with pytest.raises(UsageError) as error:
        uploads.read(path)
    assert str(error.value).startswith("This picture ")
    assert len(str(error.value).splitlines()) == 1


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    (tmp_path / "a.png").write_bytes(bytes(11))
    with pytest.raises(UsageError, match="at most 0 are taken"):
        uploads.read(tmp_path / "a.png")
    with pytest.raises(UsageError, match="Give a picture first"):
        uploads.read(None)


def test_a_picture_becomes_what_the_model_reads(tmp_path):
    """A red half and a white one, wider than high: the middle square is left, half of it red."""
    pixels = np.full((40, 80, 3), 255, np.uint8)
    pixels[:, :40, 1:] = 0
    image = uploads.read(saved(tmp_path, "a.png", Image.fromarray(pixels)))
    fit = uploads.fitted(image, reader(8, 8, 1))
    assert fit.shape == (8, 8, 1)
    assert fit[:, -1].min() == 255 and abs(int(fit[0, 0, 0]) - 76) <= 1  # the luma of red
    np.testing.assert_array_equal(uploads.fitted(image, reader(8, 8, 1), inverted=True), 255 - fit)
    assert uploads.fitted(image, reader(4, 8, 3)).shape == (4, 8, 3)
    x = uploads.example(fit, reader(8, 8, 1))
    assert x.shape == (1, 8, 8, 1) and x.dtype == np.float32 and x.max() == 1.0


def test_a_translator_takes_a_picture_as_it_is_but_not_a_huge_one():
    model = reader(16, 16, 3, signature="translate", config={"image_shape": [16, 16, 3]})
    small, large = np.zeros((30, 70, 1), np.uint8), np.zeros((1000, 2048, 3), np.uint8)
    assert uploads.fitted(small, model).shape == (30, 70, 3)
    assert uploads.fitted(large, model).shape == (250, 512, 3)


def test_pixels_as_features_are_levels_plus_noise():
    model = reader(4, takes="features", dataset={"dequantised": [2, 2, 1], "levels": 16})
    image = np.array([[[0], [255]], [[17], [34]]], np.uint8)
    row = uploads.example(uploads.fitted(image, model), model)
    np.testing.assert_array_equal(np.floor(row), [[0, 15, 1, 2]])
    np.testing.assert_array_equal(row, uploads.example(image, model))


def test_numbers():
    values, known = uploads.numbers(["1.5", " -2 ", "0,25"], ["a", "b", "c"])
    np.testing.assert_array_equal(values, [[1.5, -2.0, 0.25]])
    assert known.all()
    values, known = uploads.numbers(["1", "", None], ["a", "b", "c"], gaps=True)
    np.testing.assert_array_equal(known, [[True, False, False]])
    for row, words in (
        (["1", "", "2"], "b is empty"),
        (["1", "two", "2"], "b: 'two' is no number"),
        (["1", "inf", "2"], "no number"),
        (["1", "2"], "3 numbers, not 2"),
    ):
        with pytest.raises(UsageError, match=words):
            uploads.numbers(row, ["a", "b", "c"])


def test_texts():
    model = reader(6, takes="tokens", config={"vocabulary": [*"abc "]})
    tokens, said = uploads.tokens("ab c", model)
    np.testing.assert_array_equal(tokens[:, :4], [[0, 1, 3, 2]])
    np.testing.assert_array_equal(said, [[1, 1, 1, 1, 0, 0]])
    tokens, said = uploads.tokens(f"a{uploads.GAP}c", model, gaps=True)
    np.testing.assert_array_equal(said, [[1, 0, 1, 0, 0, 0]])
    for text, words in (("", "Give a text"), ("abcabca", "6 characters at a time"), ("abx", "'x'")):
        with pytest.raises(UsageError, match=words):
            uploads.tokens(text, model)


def test_a_painting_says_what_it_covers():
    from zoo.demo import verbs

    glass = np.zeros((32, 32, 4), np.uint8)
    glass[:16, :, 3] = 255
    cover = verbs.painted([glass, np.zeros_like(glass)], (8, 8, 1))
    np.testing.assert_array_equal(cover, np.arange(8)[:, None].repeat(8, 1) < 4)
    assert not verbs.painted([], (8, 8, 1)).any()


def test_a_photograph_is_upright(tmp_path):
    """What a camera stored on its side, with transparency in another one."""
    pixels = np.zeros((10, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, "a.jpg", Image.fromarray(pixels), exif=exif)
    assert uploads.read(path).shape == (20, 10, 3)
    clear = io.BytesIO()
    Image.new("RGBA", (3, 3), (0, 0, 0, 0)).save(clear, "PNG")
    assert uploads.decoded(clear.getvalue(), "It").min() == 255
