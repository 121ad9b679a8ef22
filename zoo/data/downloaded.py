"""The sets that are downloaded: four by name, every other of TensorFlow Datasets by `tfds:NAME[/CONFIG]`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.data import digits, glyphs, patches, prose, shapes, wine
from zoo.data.content import Content
from zoo.data.network import no_network, reachable
from zoo.data.store import converted, finished, store, store_folder

CATALOGUE: dict[str, dict[str, Any]] = {
    "mnist": {
        "summary": "handwritten digits",
        "fields": ("image", "label"),
        "image_shape": (28, 28, 1),
        "levels": 256,
        "classes": 10,
        "counts": {"train": 55_000, "validation": 5_000, "test": 10_000},
        "embedded": False,
        "source": "LeCun, Cortes, Burges; 12 MB from storage.googleapis.com",
        "licence": "CC BY-SA 3.0",
    },
    "binarized_mnist": {
        "summary": "MNIST with pixels drawn once as 0 or 1, on which densities are compared",
        "fields": ("image",),
        "image_shape": (28, 28, 1),
        "levels": 2,
        "classes": 0,
        "counts": {"train": 50_000, "validation": 10_000, "test": 10_000},
        "embedded": False,
        "source": "Larochelle; 105 MB from www.cs.toronto.edu",
        "licence": "CC BY-SA 3.0",
    },
    "fashion_mnist": {
        "summary": "clothes",
        "fields": ("image", "label"),
        "image_shape": (28, 28, 1),
        "levels": 256,
        "classes": 10,
        "counts": {"train": 55_000, "validation": 5_000, "test": 10_000},
        "embedded": False,
        "source": "Zalando Research; 31 MB from amazonaws.com",
        "licence": "MIT",
    },
    "cifar10": {
        "summary": "photographs of ten kinds of animals and vehicles",
        "fields": ("image", "label"),
        "image_shape": (32, 32, 3),
        "levels": 256,
        "classes": 10,
        "counts": {"train": 45_000, "validation": 5_000, "test": 10_000},
        "embedded": False,
        "source": "Krizhevsky, Nair, Hinton; 170 MB from www.cs.toronto.edu",
        "licence": "not stated; cite Krizhevsky (2009)",
    },
}


HOSTS = {
    "mnist": "https://storage.googleapis.com/",
    "binarized_mnist": "http://www.cs.toronto.edu/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/",
}
EMBEDDED = (digits, glyphs, shapes, patches, wine, prose)
WITHOUT_NETWORK = (
    ", ".join(name for module in EMBEDDED for name in module.CATALOGUE)
    + "; and your own files: folder:PATH, npz:PATH, idx:PATH, csv:PATH, text:PATH"
)


def check_network(name: str, hosts: Iterable[str], data_dir: Path) -> None:
    """Stops where a set is neither prepared nor downloaded and none of its hosts answers.

    Args:
        name: the set, as TFDS has it.
        hosts: where it would be downloaded from.
        data_dir: where datasets lie.

    Raises:
        ZooError: naming the sets that need no network.
    """
    name = name.partition("/")[0].partition(":")[0]
    prepared = (data_dir / name).rglob("dataset_info.json")
    downloads = [*(data_dir / "downloads" / name).rglob("*"), *(data_dir / "downloads" / "manual").rglob("*")]
    held = any(file.is_file() and file.suffix != ".INFO" and ".tmp." not in file.name for file in downloads)
    if hosts and not held and not any(prepared) and not reachable(hosts):
        raise no_network(name, WITHOUT_NETWORK)


def check(name: str, data_dir: Path) -> None:
    """Stops, before TensorFlow is imported, where a set would have to be downloaded without a network.

    Args:
        name: as TFDS has it; of those that have no name of ours, nothing is known before.
        data_dir: where datasets lie.

    Raises:
        ZooError: naming the sets that need no network.
    """
    if name in HOSTS and finished(store_folder(data_dir, f"tfds-{name}"), "original") is None:
        check_network(name, [HOSTS[name]], data_dir)


def read(name: str, image_size: int | None, channels: int | None, data_dir: Path) -> Content:
    """Reads a set of TFDS, and downloads it where that has not been done.

    Args:
        name: as TFDS has it, e.g. `cifar10` or `mnist_corrupted/identity`.
        image_size: the height and width that is wanted; None: as it is.
        channels: how many are wanted; None: as it is.
        data_dir: where datasets lie.

    Raises:
        UsageError: if TFDS has no such set, or its images differ in size and no size is wanted.
        ZooError: if it cannot be downloaded.
    """
    place = store_folder(data_dir, f"tfds-{name}")
    levels = CATALOGUE.get(name, {}).get("levels", 256)
    # Where images differ in size they can only be kept as they were wanted.
    wanted = f"{image_size}x{channels or 'own'}"
    if finished(place, "original") is None and finished(place, wanted) is None:
        check(name, data_dir)
        from zoo.data.builder import extract_tfds, of_many_sizes, tfds_builder

        builder = tfds_builder(name, data_dir)
        if of_many_sizes(builder, name, image_size):
            store(
                place,
                wanted,
                lambda folder: extract_tfds(builder, name, levels, image_size, channels, folder),
            )
        else:
            store(place, "original", lambda folder: extract_tfds(builder, name, levels, None, None, folder))
    if finished(place, "original") is None:
        return store(place, wanted)
    return converted(store(place, "original"), place, image_size, channels)
