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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from zoo.data.content import Content, digest
from zoo.data.dataset import Info
from zoo.data.store import empty_array

log = logging.getLogger("gmzoo")
PARTS = ("train", "validation", "test")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS, absl and tqdm from printing: what happens is told by our own logger."""
    absl = logging.getLogger("absl")
    before = absl.level
    absl.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        absl.setLevel(before)


with quiet():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

tfds.disable_progress_bar()
# With no network TFDS tries for 204 s; with two attempts it gives up in one.
downloader.MAX_RETRIES = 2


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
            return {split: self._generate_examples(split) for split in ("train", "validation", "test")}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            key = 0
            for block in module.blocks(self.source_name, split):
                for row in range(len(next(iter(block.values())))):
                    yield key, {field: array[row] for field, array in block.items()}
                    key += 1

    return Builder


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


def prepare(builder: tfds.core.DatasetBuilder, name: str) -> None:
    """Downloads or makes what is not there yet, and tells how long it took."""
    with quiet():
        if builder.is_prepared():
            return
    log.info("preparing %s in %s", name, builder.data_dir)
    start = time.monotonic()
    with quiet():
        builder.download_and_prepare()
    log.info("prepared %s in %.1f s", name, time.monotonic() - start)


def extract(builder: tfds.core.DatasetBuilder, info: Info, folder: Path) -> Content:
    """Copies a prepared set of our own into arrays on disk, its splits one after another.

    Args:
        builder: the builder, prepared.
        info: the description of the set.
        folder: where the arrays are made.

    Returns:
        The content, its fingerprint included.
    """
    with quiet():
        sizes = {split: builder.info.splits[split].num_examples for split in PARTS}
        arrays: dict[str, np.ndarray] = {}
        parts, start = {}, 0
        for split, size in sizes.items():
            parts[split] = (start, start + size)
            for batch in builder.as_dataset(split=split, batch_size=1024).as_numpy_iterator():
                for name, values in batch.items():
                    if values.dtype == np.int64:
                        values = values.astype(np.int32)
                    if name not in arrays:
                        shape = (sum(sizes.values()), *values.shape[1:])
                        arrays[name] = empty_array(folder / f"{name}.npy", shape, values.dtype)
                    arrays[name][start : start + len(values)] = values
                start += len(values)
    return Content(arrays, replace(info, fingerprint=digest(arrays.values())), parts)
