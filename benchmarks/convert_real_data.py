"""Turns the published files of real datasets into forms that gmzoo reads.

    python benchmarks/convert_real_data.py SOURCE_DIR OUT_DIR

Binarized MNIST (MATLAB) becomes a folder of .npz files with levels=2, MNIST is linked (its idx files are read
as they are), USPS (text) becomes idx files, CIFAR-10's part an .npz, the wine table a CSV with its header,
Shakespeare a text, Twemoji a folder of images with captions, and the emoji styles one folder a style.
Whatever SOURCE_DIR lacks is left out, and said.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import loadmat


def main() -> None:
    """Converts all that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()
    converters: dict[str, Callable[[Path, Path], str]] = {
        "binarized_mnist": binarized_mnist,
        "mnist": mnist,
        "usps": usps,
        "cifar10": cifar10,
        "uci": wine,
        "tiny_shakespeare": shakespeare,
        "twemoji": twemoji,
        "emoji_styles": emoji_styles,
    }
    for name, converter in converters.items():
        source, out = arguments.source / name, arguments.out / name
        if not source.is_dir():
            print(f"{name}: not in {arguments.source}, left out")
            continue
        out.mkdir(parents=True, exist_ok=True)
        print(f"{name}: {converter(source, out)}")


def binarized_mnist(source: Path, out: Path) -> str:
    """Larochelle's fixed binarization: MATLAB files with `X` uint8 {0, 1} [N, 784]."""
    for split, name in {"train": "train", "validation": "valid", "test": "test"}.items():
        pixels = loadmat(source / f"binarized_mnist_{name}.mat")["X"]
        image = np.ascontiguousarray(pixels, np.uint8).reshape(-1, 28, 28)
        if split == "test":  # published sorted by digit: any subset would lack some
            image = np.random.default_rng(0).permutation(image)
        np.savez_compressed(out / f"{split}.npz", image=image, levels=2)
    return f"npz:{out} (the test rows, published sorted by digit, are shuffled)"


def mnist(source: Path, out: Path) -> str:
    """The idx files, as they are."""
    for file in source.glob("*ubyte*"):
        shutil.copy(file, out / file.name)
    return f"idx:{out}"


def usps(source: Path, out: Path) -> str:
    """Text: a label and 256 gray values in [-1, 1] a line, into idx files."""
    for split, name in {"train": "train", "t10k": "test"}.items():
        with gzip.open(source / f"zip.{name}.gz") as stream:
            rows = np.loadtxt(stream)
        image = np.round((rows[:, 1:] + 1) * 127.5).astype(np.uint8).reshape(-1, 16, 16)
        write_idx(out / f"{split}-images-idx3-ubyte.gz", image)
        write_idx(out / f"{split}-labels-idx1-ubyte.gz", rows[:, 0].astype(np.uint8))
    return f"idx:{out}"


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes uint8 data in the format of MNIST, gzipped."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    # No name and no time in the header: the same data gives the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        stream.write(head + array.tobytes())


def cifar10(source: Path, out: Path) -> str:
    """Images and labels under our keys."""
    (file,) = source.glob("*.npz")
    with np.load(file) as archive:
        label = archive["labels"].astype(np.int32)
        np.savez_compressed(out / "cifar10.npz", image=archive["images"], label=label)
    return f"npz:{out / 'cifar10.npz'}"


def wine(source: Path, out: Path) -> str:
    """The red wines, with the header that the published file is described by."""
    columns = (
        "fixed acidity,volatile acidity,citric acid,residual sugar,chlorides,free sulfur dioxide,"
        "total sulfur dioxide,density,pH,sulphates,alcohol,quality"
    )
    text = (source / "winequality-red.csv").read_text()
    (out / "winequality-red.csv").write_text(f"{columns}\n{text}")
    return f"csv:{out / 'winequality-red.csv'}"


def shakespeare(source: Path, out: Path) -> str:
    """The text, as it is."""
    shutil.copy(source / "input.txt", out / "input.txt")
    return f"text:{out / 'input.txt'}"


def twemoji(source: Path, out: Path) -> str:
    """The images that have a name, with captions.tsv as a folder of images has it."""
    folder = out / "images"
    folder.mkdir(exist_ok=True)
    with (source / "captions.tsv").open(encoding="utf-8", newline="") as stream:
        names = {
            row["codepoints"]: row["name"] for row in csv.DictReader(stream, delimiter="\t") if row["name"]
        }
    with zipfile.ZipFile(source / "twemoji72.zip") as archive:
        held = [name for name in archive.namelist() if Path(name).stem in names]
        archive.extractall(folder, held)
    with (folder / "captions.tsv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["file", "caption"])
        writer.writerows([name, names[Path(name).stem]] for name in sorted(held))
    return f"folder:{folder} ({len(held)} images with captions)"


def emoji_styles(source: Path, out: Path) -> str:
    """One folder a drawing style, aligned by file name."""
    folder = out / "images"
    for file in sorted(source.glob("*72.zip")):
        style = folder / file.stem.removesuffix("72")
        style.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(file) as archive:
            archive.extractall(style)
    return f"folder:{folder} (one domain a style)"


if __name__ == "__main__":
    main()
