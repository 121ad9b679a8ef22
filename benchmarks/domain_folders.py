"""Writes a folder of two domains or more for cyclegan and stargan, with train and test images apart.

    python benchmarks/domain_folders.py idx OUT mnist=MNIST_FOLDER usps=USPS_FOLDER
    python benchmarks/domain_folders.py names OUT IMAGES

`idx` takes folders of MNIST-format files, one a domain: the images of their train and test splits become PNG
files, all of one size (--image-size, 28 by default), and their labels the attribute `digit` in
attributes.csv, so that a classifier of digits can tell whether a translation still shows the same one.

`names` takes a folder with one subfolder a domain, in which files of one name show the same thing. A tenth of
the names (--share), drawn by a seed, goes to test in all domains: nothing that is tested was seen in any
style. Names that a domain lacks are left out of test.

OUT/train/DOMAIN/..., OUT/test/DOMAIN/... is then read by --dataset folder:OUT.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import zoo.data


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["idx", "names"])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("sources", nargs="+", metavar="DOMAIN=FOLDER or IMAGES")
    parser.add_argument("--image-size", type=int, default=28)
    parser.add_argument("--most", type=int, default=10_000, help="images of a domain and a split, at most")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists")
    if arguments.kind == "idx":
        sources = dict(each.split("=", 1) for each in arguments.sources)
        from_idx(arguments.out, sources, arguments.image_size, arguments.most)
    else:
        by_names(arguments.out, Path(arguments.sources[0]), arguments.share, arguments.seed)
    print(f"folder:{arguments.out}")


def from_idx(out: Path, sources: dict[str, str], image_size: int, most: int) -> None:
    """The images of MNIST-format files as PNG files, with their labels."""
    rows = []
    for domain, source in sources.items():
        for split in ("train", "test"):
            data = zoo.data.load(f"idx:{source}", split, image_size=image_size, channels=1, limit=most)
            folder = out / split / domain
            folder.mkdir(parents=True)
            for index, image in enumerate(np.asarray(data.fields["image"])):
                name = f"{index:05d}.png"
                Image.fromarray(image[..., 0]).save(folder / name)
                rows.append((f"{split}/{domain}/{name}", int(data.fields["label"][index])))
            print(f"{domain}, {split}: {len(data)} images")
    with (out / "attributes.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "digit"])
        writer.writerows(rows)


def by_names(out: Path, source: Path, share: float, seed: int) -> None:
    """Copies a folder of domains, the same names for test in all of them."""
    domains = sorted(path for path in source.iterdir() if path.is_dir())
    names = [{path.stem: path for path in domain.iterdir() if path.is_file()} for domain in domains]
    everywhere = np.array(sorted(set.intersection(*map(set, names))))
    drawn = np.random.default_rng(seed).permutation(everywhere)
    test = set(drawn[: round(share * len(drawn))].tolist())
    for domain, files in zip(domains, names, strict=True):
        for split in ("train", "test"):
            (out / split / domain.name).mkdir(parents=True)
        for name, path in files.items():
            split = "test" if name in test else "train"
            shutil.copyfile(path, out / split / domain.name / path.name)
        print(f"{domain.name}: {len(files)} images, {len(test)} of them for test")


if __name__ == "__main__":
    main()
