"""Results that are larger than a sitting: rows in shards, each a file or folder that is whole or absent.

A shard holds rows that follow from its number alone, so shards can be made in any order, by any process, and
again: what is there is left, what is missing is made, nothing is lost or double. A shard is a whole number of
the chunks that signatures run on (`zoo.sampling`): the rows are the same however they are cut.

The folder holds `job.json`, what decides the rows; the shards, `samples-00003-of-00016.tfrecord`; and
`manifest.json`, which lists those that are there.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import UsageError, ZooError
from zoo.files import file_hash, lock, remove_unfinished, replacing
from zoo.plain import plain
from zoo.reports import pictures
from zoo.sampling import CHUNK

SCHEMA = 1
JOB, MANIFEST = "job.json", "manifest.json"
FORMATS = ("tfrecord", "parquet", "png")
#: Rows of a shard where nothing is said.
SHARD_ROWS = 128 * CHUNK

#: Rows by column, [.., ...] each.
Rows = Mapping[str, np.ndarray]
#: Gives the rows from the first number to before the second, in pieces.
Source = Callable[[int, int], Iterable[Rows]]


@dataclasses.dataclass(frozen=True)
class Job:
    """What is made, and how it is cut.

    Attributes:
        folder: where it goes; all that take part see it.
        stem: what the names of the shards begin with.
        rows: how many there are in all.
        shard_rows: of each shard; the last one has what is left.
        form: one of `FORMATS`.
        settings: what decides the rows, as plain values.
    """

    folder: Path
    stem: str
    rows: int
    shard_rows: int
    form: str
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise UsageError(f"no shard format {self.form!r}: choose {', '.join(FORMATS)}.")
        if self.shard_rows % CHUNK:
            raise UsageError(
                f"--shard-size is a multiple of {CHUNK}, as {SHARD_ROWS}, not {self.shard_rows}."
            )
        if self.form == "parquet":
            arrow()

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.rows // self.shard_rows)

    def span(self, index: int) -> tuple[int, int]:
        """The first row of a shard, and the one behind its last."""
        return index * self.shard_rows, min(self.rows, (index + 1) * self.shard_rows)

    def path(self, index: int) -> Path:
        """Of a shard: a file, or a folder of pictures."""
        ending = "" if self.form == "png" else f".{self.form}"
        return self.folder / f"{self.stem}-{index:05d}-of-{self.shards:05d}{ending}"

    def begin(self) -> None:
        """Says in the folder what is made there.

        Raises:
            UsageError: something else is made there.
        """
        ours = plain({"schema": SCHEMA, **{k: v for k, v in vars(self).items() if k != "folder"}})
        path = self.folder / JOB
        # Parts that begin together see of one another's files none that is half written: those are hidden.
        found = [each.name for each in self.folder.glob("[!.]*")]
        if found and JOB not in found:
            raise UsageError(f"{self.folder} is not empty and holds no shards. Choose another --out.")
        if not found:
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
        theirs = json.loads(path.read_text(encoding="utf-8"))
        if differing := _differing(theirs, ours):
            raise UsageError(
                f"{self.folder} holds shards of something else: {'; '.join(differing)}.\n"
                "Use the same options to go on with it, or another --out."
            )

    def missing(self, part: tuple[int, int] = (1, 1)) -> list[int]:
        """The shards that are still to be made, of part i of n those whose turn it is."""
        turn, parts = part
        return [index for index in range(turn - 1, self.shards, parts) if not self.path(index).exists()]

    def write(self, index: int, pieces: Iterable[Rows]) -> None:
        """Writes a shard, unless it is there."""
        path = self.path(index)
        if path.exists():
            return
        with replacing(path) as temporary:
            _WRITERS[self.form](temporary, pieces)

    def finish(self) -> dict[str, Any]:
        """Writes the manifest of what is there; removes what killed processes left, where all is there."""
        path = self.folder / MANIFEST
        with lock(path):  # of parts that end together the last one sees what all have made
            there = [index for index in range(self.shards) if self.path(index).exists()]
            complete = len(there) == self.shards
            if complete:
                remove_unfinished(self.folder)
            hashed = _hashes(path)
            manifest = {
                "schema": SCHEMA,
                **{key: value for key, value in vars(self).items() if key != "folder"},
                "complete": complete,
                "shards": [self._entry(index, hashed) for index in there],
            }
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(plain(manifest), indent=1) + "\n", encoding="utf-8")
        return manifest

    def _entry(self, index: int, hashed: Mapping[str, str]) -> dict[str, Any]:
        """What the manifest says of a shard; `hashed` has what was computed before."""
        path, (first, stop) = self.path(index), self.span(index)
        entry = {"name": path.name, "first": first, "rows": stop - first}
        if path.is_file():
            entry["sha256"] = hashed.get(path.name) or file_hash(path)
        return entry


def _hashes(manifest: Path) -> dict[str, str]:
    """The hashes that a manifest holds, by the names of the shards."""
    if not manifest.exists():
        return {}
    shards = json.loads(manifest.read_text(encoding="utf-8"))["shards"]
    return {each["name"]: each["sha256"] for each in shards if "sha256" in each}


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    flat = [{**each, **each.get("settings", {})} for each in (theirs, ours)]
    keys = sorted({*flat[0], *flat[1]} - {"settings"})
    return [
        f"{key}: {flat[0].get(key)} -> {flat[1].get(key)}"
        for key in keys
        if flat[0].get(key) != flat[1].get(key)
    ]


def make(job: Job, indices: Sequence[int], source: Source) -> Iterator[int]:
    """Makes shards in this process, one after the other; gives how many rows each has, when it is written."""
    for index in indices:
        start, stop = job.span(index)
        job.write(index, source(start, stop))
        yield stop - start


# -- formats -----------------------------------------------------------------------------------------------


def arrow() -> Any:
    """What reads and writes Parquet.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(
            "Parquet needs PyArrow: pip install 'gmzoo[ray]', or use another shard format."
        ) from None
    return pyarrow


def _write_tfrecord(path: Path, pieces: Iterable[Rows]) -> None:
    import tensorflow as tf

    def feature(value: Any) -> Any:
        values = np.ravel(value)
        if values.dtype.kind in "iu":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        if values.dtype.kind == "f":
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        texts = [each if isinstance(each, bytes) else str(each).encode() for each in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))

    with tf.io.TFRecordWriter(str(path)) as file:
        for piece in pieces:
            for row in zip(*piece.values(), strict=True):
                features = {name: feature(value) for name, value in zip(piece, row, strict=True)}
                example = tf.train.Example(features=tf.train.Features(feature=features))
                file.write(example.SerializeToString(deterministic=True))


def _write_parquet(path: Path, pieces: Iterable[Rows]) -> None:
    pa = arrow()

    def column(values: np.ndarray) -> Any:
        if values.dtype.kind in "OSU":
            return pa.array(
                [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values]
            )
        if values.ndim == 1:
            return pa.array(values)
        flat = values.reshape(len(values), -1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])

    writer = None
    try:
        for piece in pieces:
            table = pa.table({name: column(np.asarray(values)) for name, values in piece.items()})
            writer = writer or pa.parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _write_pictures(path: Path, pieces: Iterable[Rows]) -> None:
    path.mkdir()
    for piece in pieces:
        if "image" not in piece:
            raise UsageError("Only images can be written as PNG: use --shard-format tfrecord, or parquet.")
        for image, row, seed in zip(piece["image"], piece["row"], piece["seed"], strict=True):
            buffer = io.BytesIO()
            pictures.picture(image).save(buffer, "PNG")
            (path / f"{row:09d}-seed-{seed}.png").write_bytes(buffer.getvalue())


_WRITERS = {"tfrecord": _write_tfrecord, "parquet": _write_parquet, "png": _write_pictures}


def read(folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """The shards of a folder in order, each as columns [rows, ...]; arrays are flat, as they are stored.

    Raises:
        ZooError: there are no shards to read, or some are missing.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ZooError(f"{folder} holds no shards: {MANIFEST} cannot be read.") from error
    if not manifest["complete"]:
        raise ZooError(f"{folder} lacks shards yet: give the same command again.")
    if manifest["form"] == "png":
        raise ZooError(f"{folder} holds pictures: read it as folder:{folder}.")
    readers = {"tfrecord": _read_tfrecord, "parquet": _read_parquet}
    for each in manifest["shards"]:
        yield readers[manifest["form"]](folder / each["name"])


def _read_tfrecord(path: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    found: dict[str, list[Any]] = {}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        for name, each in features.items():
            values = getattr(each, each.WhichOneof("kind")).value
            found.setdefault(name, []).append(values[0] if len(values) == 1 else np.array(values, np.float32))
    return {name: np.array(values) for name, values in found.items()}


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    table = arrow().parquet.read_table(path)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


# -- what fills them ---------------------------------------------------------------------------------------


def opened_late(source: Callable[[], Source]) -> Source:
    """A source that is opened when it is first asked, once: where nothing is missing, not at all."""
    opened = functools.cache(source)
    return lambda start, stop: opened()(start, stop)
