"""Two hundred broken files: images, archives, arrays and tables, made from a seed.

`broken()` gives (name, content). Each is what some program, disk or attacker leaves: cut short, overwritten,
mislabelled, larger than it says, smaller than it says, or code where there should be data.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

KINDS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp", "PPM": "ppm"}


#: The file that is there once code of theirs was run, or a file of an archive was written.
LEFT_BEHIND = "gmzoo-was-here"


class Code:
    """What a pickle would run, where it stands."""

    def __reduce__(self):
        return (open, (LEFT_BEHIND, "w"))


def picture(side: int = 16) -> Image.Image:
    pixels = np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    picture().save(stream, kind)
    return stream.getvalue()


def png(width: int, height: int, data: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header may lie."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def images() -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(1)
    for kind, ending in KINDS.items():
        whole = encoded(kind)
        for share in (0.1, 0.3, 0.5, 0.9):
            yield f"cut-{share}.{ending}", whole[: int(share * len(whole))]
        for number in range(7):
            harmed = bytearray(whole)
            for where in random.integers(len(whole), size=12):
                harmed[where] = random.integers(256)
            yield f"overwritten-{number}.{ending}", bytes(harmed)
        yield f"zeroed.{ending}", whole[:20] + bytes(len(whole) - 20)
        yield f"noise.{ending}", random.bytes(500)
        yield f"empty.{ending}", b""
        yield f"text.{ending}", b"<html>404 Not Found</html>"
        yield f"other-{kind}.{ending}", gzip.compress(whole)
    yield "bomb.png", png(50_000, 50_000, bytes(1000))
    yield "wide.png", png(2**31 - 1, 1, b"")
    yield "flat.png", png(0, 5, b"")
    yield "bits.png", png(8, 8, bytes(100), bits=7)
    yield "colour.png", png(8, 8, bytes(100), colour=5)
    yield "short.png", png(100, 100, bytes(10))
    yield "late.png", encoded("PNG")[:-12]
    yield (
        "bmp-huge.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "gif-none.gif", b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b";"
    yield "svg.png", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "script.png", b"#!/bin/sh\nrm -rf /\n"
    yield "pickle.png", pickle.dumps(Code())


def npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def header(shape: str, kind: str = "|u1") -> bytes:
    """A `.npy` whose header promises any shape."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def arrays() -> Iterator[tuple[str, bytes]]:
    image = np.zeros((3, 8, 8), np.uint8) + np.arange(8, dtype=np.uint8)
    good = npz(image=image)
    for share in (0.1, 0.4, 0.7, 0.99):
        yield f"cut-{share}.npz", good[: int(share * len(good))]
    for number, where in enumerate(np.random.default_rng(2).integers(len(good), size=12)):
        yield f"bit-{number}.npz", good[:where] + bytes([good[where] ^ 255]) + good[where + 1 :]
    yield "empty.npz", b""
    yield "objects.npz", npz(image=np.array([Code(), None], object))
    yield "pickle.npz", pickle.dumps(Code())
    yield "nothing.npz", npz()
    yield "other.npz", npz(picture=image)
    yield "none.npz", npz(image=image[:0])
    yield "flat.npz", npz(image=np.zeros(5, np.uint8))
    yield "deep.npz", npz(image=np.zeros((2, 8, 8, 3, 2), np.uint8))
    yield "channels.npz", npz(image=np.zeros((2, 8, 8, 7), np.uint8))
    yield "float.npz", npz(image=np.full((2, 8, 8), np.nan, np.float32))
    yield "text.npz", npz(image=np.array(["a", "b"]))
    yield "complex.npz", npz(image=np.zeros((2, 8, 8), np.complex64))
    yield "negative.npz", npz(image=np.full((2, 8, 8), -1, np.int16))
    yield "large.npz", npz(image=np.full((2, 8, 8), 60_000, np.uint16))
    yield "labels.npz", npz(image=image, label=np.zeros(2, np.int32))
    yield "words.npz", npz(image=image, label=np.array(["a", "b", "c"], object))
    yield "levels.npz", npz(image=image, levels="many")
    yield "binary.npz", npz(image=image % 2)
    yield "promise.npz", zipped({"image.npy": header("(1000000000000, 8, 8)") + bytes(64)})
    yield "overflow.npz", zipped({"image.npy": header(f"({2**62}, {2**62})") + bytes(64)})
    yield "minus.npz", zipped({"image.npy": header("(-3, 8, 8)") + bytes(64)})
    yield "object-header.npz", zipped({"image.npy": header("(3,)", "|O") + pickle.dumps(Code())})
    yield "bomb.npz", zipped({"image.npy": header("(60000, 100, 100)") + bytes(600_000_000 // 100)})
    yield "above.npz", zipped({"../../image.npy": header("(1, 8, 8)") + bytes(64)})


def archives() -> Iterator[tuple[str, bytes]]:
    good = zipped({f"{n}.png": encoded("PNG") for n in range(3)})
    for share in (0.1, 0.5, 0.95):
        yield f"cut-{share}.zip", good[: int(share * len(good))]
    for number, where in enumerate(np.random.default_rng(3).integers(len(good), size=8)):
        yield f"byte-{number}.zip", good[:where] + bytes([good[where] ^ 255]) + good[where + 1 :]
    yield "empty.zip", b""
    yield "nothing.zip", zipped({})
    yield "text.zip", zipped({"readme.txt": b"no image"})
    yield "above.zip", zipped({f"../../../{LEFT_BEHIND}.png": b"x"})
    yield "root.zip", zipped({f"/{LEFT_BEHIND}.png": b"x"})
    yield "nested.zip", zipped({"inner.zip": good})
    yield "bomb.zip", zipped({"zeros.png": bytes(700_000_000)})
    yield "bombs.zip", zipped({f"{n}.png": png(50_000, 50_000, bytes(9)) for n in range(20)})
    yield "noise.zip", np.random.default_rng(4).bytes(1000)
    yield "png.zip", encoded("PNG")


def tables() -> Iterator[tuple[str, bytes]]:
    yield "empty.csv", b""
    yield "header.csv", b"a,b\n"
    yield "ragged.csv", b"a,b\n1,2\n3\n"
    yield "words.csv", b"a,b\n1,x\n"
    yield "nan.csv", b"a,b\n1,nan\n2,inf\n"
    yield "nul.csv", b"a,b\n1,\x002\n"
    yield "bytes.csv", b"\xff\xfe\x00a"
    yield "quote.csv", b'a,b\n1,"2\n'
    yield "wide.csv", b",".join([b"1"] * 200_000)
    yield "field.csv", b"a\n" + b"9" * 500_000
    yield "semicolons.csv", b"a;b\n1;2\n"
    yield "json.csv", b'{"a": 1}'
    yield "same.csv", b"a,a\n1,2\n"
    yield "one.csv", b"a,b\n1,2\n"
    heads = (
        b"",
        b"\0\0\x08\x03",
        b"\0\0\x08\x03" + struct.pack(">III", 2**31, 28, 28),
        b"\0\0\x0d\x03" + bytes(40),
        b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abc",
        b"\1\2\x08\x03" + bytes(40),
        b"\0\0\x08\xff" + bytes(40),
    )
    for number, head in enumerate(heads):
        yield f"train-{number}.idx", head
        yield f"packed-{number}.idx.gz", gzip.compress(head)
    yield "cut.idx.gz", gzip.compress(bytes(1000))[:20]
    yield "empty.txt", b""
    yield "bytes.txt", b"\xff\xfe\x80" * 30
    yield "nul.txt", bytes(400)
    yield "short.txt", b"a"


def broken() -> dict[str, dict[str, bytes]]:
    """Files by how they are named in a command: `folder`, `npz`, `csv`, `idx`, `text`."""
    rest = dict(tables())
    found = {
        "folder": {**dict(images()), **dict(archives())},
        "npz": dict(arrays()),
        "csv": {name: content for name, content in rest.items() if name.endswith(".csv")},
        "idx": {name: content for name, content in rest.items() if ".idx" in name},
        "text": {name: content for name, content in rest.items() if name.endswith(".txt")},
    }
    assert sum(map(len, found.values())) >= 200
    return found
