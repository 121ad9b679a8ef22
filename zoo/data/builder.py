"""TensorFlow Datasets, the door of every named dataset: our own builders, and TFDS made quiet.

The only module here that imports TFDS; it is imported when something has to be prepared, never to read what
is prepared already.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from zoo.data.content import Content, digest_fields
from zoo.data.convert import CHANNELS, recolour, resize
from zoo.data.dataset import Info
from zoo.data.downloaded import WITHOUT_NETWORK, check_network
from zoo.data.local import PARTS
from zoo.data.network import no_network
from zoo.data.store import empty_array
from zoo.errors import UsageError, ZooError, nearest
from zoo.quiet import held_back

log = logging.getLogger("gmzoo")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS and absl from printing: what happens is told by our own logger."""
    absl = logging.getLogger("absl")
    before = absl.level
    absl.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.setLevel(before)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with held_back():
    import tensorflow  # noqa: F401  TFDS imports it late, where it could not be kept quiet
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, downloader

tfds.disable_progress_bar()
# With no network TFDS tries for 204 s; with two attempts it gives up in one.
downloader.MAX_RETRIES = 2
# Its threads go on to warn of each attempt, when the error is long told.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def feature(field: str, array: np.ndarray, info: Info) -> Any:
    """The TFDS feature that holds one field, judged by an example of it."""
    match field:
        case "image":
            return tfds.features.Image(shape=array.shape[1:], encoding_format="png")
        case "label":
            return tfds.features.ClassLabel(names=list(info.class_names))
        case "domain":
            return tfds.features.ClassLabel(names=list(info.domain_names))
        case "caption":
            return tfds.features.Text()
        case _:
            return tfds.features.Tensor(shape=array.shape[1:], dtype=array.dtype.type)


@functools.cache
def embedded_class(module: ModuleType) -> type[tfds.core.GeneratorBasedBuilder]:
    """The TFDS builder of one of our own sources.

    Args:
        module: a source: it has `CATALOGUE`, `VERSION`, `describe(name)` and `blocks(name, split)`.
    """
    source = module.__name__.rpartition(".")[2]

    class Builder(tfds.core.GeneratorBasedBuilder):
        __doc__ = module.__doc__
        name = source
        VERSION = tfds.core.Version(module.VERSION)
        code_path = None  # TFDS looks for checksums beside the code: ours downloads nothing

        @property
        def source_name(self) -> str:
            """As the catalogue calls it: the name, with the configuration where there is one."""
            config = self.builder_config
            return source if config is None or config.name == "default" else f"{source}/{config.name}"

        def _info(self) -> tfds.core.DatasetInfo:
            info = module.describe(self.source_name)
            example = next(module.blocks(self.source_name, "validation"))
            features = {field: feature(field, array, info) for field, array in example.items()}
            return tfds.core.DatasetInfo(
                builder=self,
                description=module.__doc__,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,  # the examples are in random order already
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(split) for split in PARTS}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            entry = module.CATALOGUE.get(self.source_name, module.CATALOGUE[source])
            key, told = 0, time.monotonic()
            for block in module.blocks(self.source_name, split):
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    log.info("%s: %d of %d %s examples", self.source_name, key, entry["counts"][split], split)
                for row in range(len(next(iter(block.values())))):
                    yield key, {field: encodable(field, array[row]) for field, array in block.items()}
                    key += 1

    return Builder


def encodable(field: str, value: Any) -> Any:
    """One value as TFDS takes it. Pillow writes a small PNG three times as fast as TensorFlow does."""
    if field != "image":
        return value
    stream = io.BytesIO()
    Image.fromarray(value[..., 0] if value.shape[-1] == 1 else value).save(stream, "PNG", compress_level=1)
    stream.seek(0)
    return stream


def embedded_builder(module: ModuleType, name: str, data_dir: Path) -> tfds.core.DatasetBuilder:
    """The builder of a set of our own, with its configuration.

    Args:
        module: its source.
        name: e.g. `glyphs` or `glyphs/letters`.
        data_dir: where it is prepared.
    """
    config = tfds.core.BuilderConfig(name=name.partition("/")[2] or "default", version=module.VERSION)
    with quiet():
        return embedded_class(module)(data_dir=data_dir, config=config)


def tfds_builder(name: str, data_dir: Path) -> tfds.core.DatasetBuilder:
    """The builder of a set that TFDS has.

    Raises:
        UsageError: if it has no such set or configuration.
    """
    with quiet():
        try:
            return tfds.builder(name, data_dir=data_dir)
        except tfds.core.registered.DatasetNotFoundError as error:
            raise UsageError(
                f"TensorFlow Datasets has no {name!r}.{nearest(name, tfds.list_builders())}\n"
                "Its sets: https://www.tensorflow.org/datasets/catalog/overview"
            ) from error
        except ValueError as error:
            raise UsageError(f"TensorFlow Datasets: {str(error).splitlines()[0]}") from error


def prepare(builder: tfds.core.DatasetBuilder, name: str) -> None:
    """Downloads or makes what is not there yet, and tells how long it took.

    Raises:
        ZooError: if it cannot be downloaded.
    """
    with quiet():
        if builder.is_prepared():
            return
        urls = [urllib.parse.urlsplit(url) for url in builder.url_infos or ()]
    hosts = {f"{url.scheme}://{url.netloc}/" for url in urls if url.scheme in ("http", "https")}
    check_network(name, hosts, Path(builder.data_dir_root))
    log.info("preparing %s in %s", name, builder.data_dir)
    start = time.monotonic()
    try:
        with quiet():
            builder.download_and_prepare()
    except OSError as error:
        if error.errno is not None:  # of the disk; those of the network have none
            raise
        raise no_network(name, WITHOUT_NETWORK) from error
    except download_manager.NonMatchingChecksumError as error:
        raise ZooError(
            f"{name}: a download is damaged, its checksum is wrong.\n"
            f"Remove {Path(builder.data_dir_root) / 'downloads'} and try again."
        ) from error
    except Exception as error:  # TFDS raises what its builders and its downloads raise: anything
        raise ZooError(f"TensorFlow Datasets could not prepare {name}: {first_line(error)}") from error
    log.info("prepared %s in %.1f s", name, time.monotonic() - start)


def first_line(error: BaseException) -> str:
    """The first line of an error of TFDS, which may have hundreds."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def extract(builder: tfds.core.DatasetBuilder, info: Info, folder: Path) -> Content:
    """Copies a prepared set of our own into arrays on disk, its splits one after another.

    Args:
        builder: the builder.
        info: the description of the set.
        folder: where the arrays are made.

    Returns:
        The content, its fingerprint included.
    """
    keys = {name: name for name in builder.info.features}
    parts = {split: (builder.info.splits[split].num_examples, split) for split in PARTS}
    return copy(builder, parts, keys, info, folder)


def of_many_sizes(builder: tfds.core.DatasetBuilder, name: str, image_size: int | None) -> bool:
    """Whether the images differ in size.

    Raises:
        UsageError: if they do and no size is wanted, or there are none.
    """
    key = keys_of(builder.info.features, name)["image"]
    many = None in builder.info.features[key].shape[:2]
    if many and image_size is None:
        raise UsageError(f"The images of tfds:{name} differ in size: choose one with --image-size.")
    return many


def keys_of(features: Any, name: str) -> dict[str, str]:
    """Which feature of TFDS gives which field.

    Raises:
        UsageError: if there are no images, or none that a model here could take.
    """
    features = dict(features.items())  # which TFDS's own dictionary is not quite

    def first(kind: type, *preferred: str) -> str | None:
        found = [key for key, feature in features.items() if isinstance(feature, kind)]
        return next((key for key in preferred if key in found), next(iter(found), None))

    image = first(tfds.features.Image, "image")
    if image is None:
        raise UsageError(f"tfds:{name} has no images (it has {', '.join(features)}).")
    kind, channels = np.dtype(features[image].np_dtype), features[image].shape[-1]
    if kind != np.uint8 or channels not in CHANNELS:
        raise UsageError(f"The images of tfds:{name} are {kind} with {channels} channels: not gray, not RGB.")
    found = {"image": image}
    label = first(tfds.features.ClassLabel, "label")
    if label is not None:
        found["label"] = label
    for key in ("caption", "text", "description"):
        if isinstance(features.get(key), tfds.features.Text):
            found["caption"] = key
    attributes = features.get("attributes")
    if isinstance(attributes, tfds.features.FeaturesDict) and all(
        np.dtype(each.np_dtype) == bool for each in attributes.values()
    ):  # as CelebA has them
        found["attributes"] = "attributes"
    return found


def extract_tfds(
    builder: tfds.core.DatasetBuilder,
    name: str,
    levels: int,
    image_size: int | None,
    channels: int | None,
    folder: Path,
) -> Content:
    """Prepares a set of TFDS and copies its images, labels, captions and attributes into arrays on disk.

    Args:
        builder: the builder.
        name: the name of the set.
        levels: how many values a pixel can take.
        image_size, channels: to which images are brought that differ in size; None: they do not.
        folder: where the arrays are made.
    """
    prepare(builder, name)
    features = builder.info.features
    keys = keys_of(features, name)
    info = Info(levels=levels)
    if "label" in keys:
        info = replace(info, class_names=tuple(features[keys["label"]].names))
    if "attributes" in keys:
        names = tuple(features["attributes"])
        info = replace(info, attribute_names=names, attribute_values=(("no", "yes"),) * len(names))
    if image_size is not None:
        info = replace(
            info, notes=(f"images of many sizes cropped and resized to {image_size}x{image_size}",)
        )
    sizes = {split: builder.info.splits[split].num_examples for split in builder.info.splits}
    own = {split: sizes[split] for split in PARTS if split in sizes}
    if "train" not in own:
        raise UsageError(f"tfds:{name} has no train split (it has {', '.join(sizes)}).")
    parts = {split: (size, split) for split, size in own.items()}
    return copy(builder, parts, keys, info, folder, image_size, channels)


def copy(
    builder: tfds.core.DatasetBuilder,
    parts: Mapping[str, tuple[int, str]],
    keys: Mapping[str, str],
    info: Info,
    folder: Path,
    image_size: int | None = None,
    channels: int | None = None,
) -> Content:
    """Copies features of a prepared set into arrays on disk, one split after another.

    Args:
        builder: the builder.
        parts: of each split its size and its name in TFDS.
        keys: the feature of each field.
        info: the description.
        folder: where the arrays are made.
        image_size, channels: what images that differ in size are brought to.

    Returns:
        The content, its fingerprint included.
    """
    total = sum(size for size, _ in parts.values())
    arrays: dict[str, np.ndarray] = {}
    captions: list[str] = []
    bounds, start = {}, 0
    decoders = tfds.decode.PartialDecoding(dict.fromkeys(keys.values(), True))
    for split, (size, name) in parts.items():
        bounds[split] = (start, start + size)
        with quiet():
            dataset = builder.as_dataset(
                split=name,
                batch_size=None if image_size else 1024,
                decoders=decoders,
                read_config=tfds.ReadConfig(try_autocache=False),
            ).as_numpy_iterator()
        for batch in dataset:
            for field, key in keys.items():
                values = batch[key]
                if isinstance(values, dict):  # attributes; TensorFlow has sorted them
                    values = np.stack([values[each] for each in builder.info.features[key]], -1)
                values = np.asarray(values)
                if image_size:
                    if field == "image":
                        values = resize(recolour(values, channels or values.shape[-1]), image_size)
                    values = values[None]
                count = len(values)
                if field == "caption":
                    captions += [text.decode("utf-8", "replace") for text in values.tolist()]
                    continue
                kind = values.dtype if values.dtype in (np.uint8, np.float32) else np.int32
                if field not in arrays:
                    shape = (total, *values.shape[1:])
                    arrays[field] = empty_array(folder / f"{field}.npy", shape, kind)
                arrays[field][start : start + count] = values
            start += count
    if captions:
        arrays["caption"] = np.array(captions)
    return Content(arrays, replace(info, fingerprint=digest_fields(arrays)), bounds)
