"""Domains and attributes: what images are translated between, and batches in which two of them meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from zoo.data import order, shapes
from zoo.data.catalogue import EMBEDDED
from zoo.data.content import take
from zoo.data.convert import convert
from zoo.data.dataset import Data
from zoo.errors import UsageError, nearest

if TYPE_CHECKING:
    import tensorflow as tf

#: The order of the examples that stand beside others: not that of these.
BESIDE = 1


def of_domains(data: Data, names: Sequence[str] = ()) -> Data:
    """The examples of some domains, which are numbered anew.

    Args:
        data: with domains.
        names: which, in the order of their new numbers; () for all that there are.

    Raises:
        UsageError: the data has no domains, not these, or no example of one of them.
    """
    if "domain" not in data.fields and data.spec.startswith("folder:"):
        raise UsageError(
            f"{data.spec} has no domains: put the images of each into a folder of its own inside it.\n"
            "A folder that is empty is none."
        )
    data.require("domain")
    own = data.info.domain_names
    names = tuple(names) or own
    for name in names:
        if name not in own:
            raise UsageError(
                f"{data.spec} has no domain {name!r}; it has {', '.join(own)}.{nearest(name, own)}"
            )
    if len(set(names)) < len(names):
        raise UsageError(f"domains {', '.join(names)}: each is named once.")
    places = np.array([names.index(name) if name in names else -1 for name in own], np.int32)
    domain = places[np.asarray(data.fields["domain"])]
    for index, name in enumerate(names):
        if not (domain == index).any():
            raise UsageError(f"{data.spec}, split {data.split}, has no image of the domain {name!r}.")
    found = dataclasses.replace(
        data,
        fields={**data.fields, "domain": domain},
        info=dataclasses.replace(data.info, domain_names=names),
    )
    return found if (domain >= 0).all() else rows_of(found, np.flatnonzero(domain >= 0))


def with_attributes(data: Data, names: Sequence[str]) -> Data:
    """The examples of which some attributes are known, and these attributes alone.

    Args:
        data: with attributes.
        names: which, in the order of their new columns.

    Raises:
        UsageError: the data has no attributes, not these, or one that is the same in all examples.
    """
    data.require("attributes")
    own = data.info.attribute_names
    for name in names:
        if name not in own:
            raise UsageError(
                f"{data.spec} has no attribute {name!r}; it has {', '.join(own)}.{nearest(name, own)}"
            )
    if not names or len(set(names)) < len(names):
        raise UsageError("attributes: name at least one, and each once.")
    columns = [own.index(name) for name in names]
    attributes = np.ascontiguousarray(data.fields["attributes"][:, columns])
    for name, column in zip(names, attributes.T, strict=True):
        if len(np.unique(column[column >= 0])) < 2:
            raise UsageError(
                f"{data.spec}, split {data.split}: {name} is the same in all images, so that nothing can be "
                "learnt of it."
            )
    values = tuple(data.info.attribute_values[column] for column in columns)
    found = dataclasses.replace(
        data,
        fields={**data.fields, "attributes": attributes},
        info=dataclasses.replace(data.info, attribute_names=tuple(names), attribute_values=values),
    )
    known = (attributes >= 0).any(1)
    return found if known.all() else rows_of(found, np.flatnonzero(known))


def known_together(attributes: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """The columns that belong to one data set among several: of some example both are known, or of each of
    them and a third one.

    Args:
        attributes: int [N, A], -1 where unknown.

    Returns:
        Groups of columns, in the order of the first of each.
    """
    known = (np.asarray(attributes) >= 0).astype(np.float32)
    together = known.T @ known > 0  # [A, A]
    groups: list[list[int]] = []
    for column in range(len(together)):
        joined = [group for group in groups if together[column, group].any()]
        groups = [group for group in groups if group not in joined]
        groups.append(sorted([column, *(each for group in joined for each in group)]))
    return tuple(sorted(map(tuple, groups)))


def domains_as_classes(data: Data) -> Data:
    """The same examples, whose class is their domain."""
    data.require("domain")
    return dataclasses.replace(
        data,
        fields={**data.fields, "label": data.fields["domain"]},
        info=dataclasses.replace(data.info, class_names=data.info.domain_names),
    )


def rows_of(data: Data, index: np.ndarray) -> Data:
    """Some examples of the data; on disk where they are large and the data is."""
    files = tuple(data.info.files[row] for row in index.tolist()) if data.info.files else ()
    return dataclasses.replace(
        data,
        fields={name: take(array, index) for name, array in data.fields.items()},
        info=dataclasses.replace(data.info, files=files),
    )


def side(data: Data, domain: int) -> Data:
    """The examples of one domain, by its number."""
    return rows_of(data, np.flatnonzero(np.asarray(data.fields["domain"]) == domain))


# -- batches -----------------------------------------------------------------------------------------------


def with_others(
    batches: tf.data.Dataset,
    data: Data,
    fields: Sequence[str],
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
) -> tf.data.Dataset:
    """Each batch with fields of other examples beside it: `other_image` beside `image`, say.

    Which ones stand beside which is another matter at each pass.

    Args:
        batches: as `zoo.data.batches` gives them.
        data: that the others are of.
        fields: which of their fields.
        batch_size: others a batch.
        seed: the run's seed.
        start_step: the step to go on from; the order is that of an unbroken run.
    """
    import tensorflow as tf

    chosen = dataclasses.replace(data, fields={name: data.fields[name] for name in fields})
    others = order.batches(chosen, batch_size, seed=seed, start_step=start_step, stream=BESIDE)

    def together(batch: dict[str, tf.Tensor], other: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**batch, **{f"other_{name}": value for name, value in other.items()}}

    return tf.data.Dataset.zip((batches, others)).map(together)


# -- the truth ---------------------------------------------------------------------------------------------


def counterparts(data: Data, domain: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures that show in one domain what examples show in theirs, where they are known.

    They are where the data is drawn here (`glyphs`, `shapes`), and where a folder holds files of one name in
    the folders of several domains.

    Args:
        data: as `zoo.data.load` gives it, in its own order, with its domains.
        domain: by name.

    Returns:
        Which examples have one, int64 [M], and theirs, uint8 [M, H, W, C]; of the examples of that domain
        themselves nothing is told.
    """
    number = data.info.domain_names.index(domain)
    elsewhere = np.asarray(data.fields["domain"]) != number
    image = data.fields["image"]
    kind = data.spec.partition("/")[0]
    module = EMBEDDED.get(kind)
    if module is not None and hasattr(module, "counterparts") and data.split in module.COUNTS:
        name = shapes.sized(data.spec, image.shape[1]) if kind == "shapes" else data.spec
        pieces, count = [], 0
        for piece in module.counterparts(name, data.split, domain):
            pieces.append(piece)
            count += len(piece)
            if count >= len(data):
                break
        drawn = np.concatenate(pieces)[: len(data)]
        drawn = convert(drawn, image.shape[1], image.shape[3], data.info.levels or 256)
        return np.flatnonzero(elsewhere), drawn[elsewhere]
    names = [*same_names(data)]
    places = {name: row for row, name in enumerate(names) if not elsewhere[row]}
    rows = np.array([row for row, name in enumerate(names) if elsewhere[row] and name in places], np.int64)
    theirs = np.array([places[names[row]] for row in rows], np.int64)
    return rows, np.asarray(image[theirs])


def same_names(data: Data) -> Iterator[str]:
    """What the file of each example is called, whichever the folder of its domain and its ending."""
    for file in data.info.files:
        path = PurePosixPath(file)
        yield str(path.parent.parent / path.stem)
