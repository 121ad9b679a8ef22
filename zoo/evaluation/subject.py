"""What is measured, with which data, and what several measures need of both: each made once, when asked for.

Shapes: N real examples, M samples.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

import zoo.data
from zoo.data import Data, rounded
from zoo.data.order import rows
from zoo.evaluation import extractors
from zoo.evaluation.extractors import Extractor
from zoo.evaluation.receipts import of_data
from zoo.evaluation.summaries import LARGEST_KEPT, Summary, summarise
from zoo.sampling import CHUNK, LoadedModel

log = logging.getLogger("gmzoo")

#: Samples where the user does not say how many.
SAMPLES = 5000
#: Images that an extractor is given at a time.
PIECE = 512

# Passes pieces on and shows how many rows have come: pieces, rows in all, what is done.
Follow = Callable[[Iterable[np.ndarray], int, str], Iterator[np.ndarray]]


def unseen(pieces: Iterable[np.ndarray], total: int, doing: str) -> Iterator[np.ndarray]:
    """Passes pieces on and shows nothing."""
    return iter(pieces)


def prompted(model: LoadedModel) -> bool:
    """Whether it draws nothing without a prompt."""
    return "sample" not in model.signatures and "prompt" in model.conditions


@dataclasses.dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        samples: M.
        seed: the first seed of the samples, and that of every random choice.
        extractor: as `extractors.choose` takes it.
        runs: where runs live.
        reading: skip_bad and data_dir, as `zoo.data.load` takes them.
        follow: shows how far long work is.
        temperature: of the samples, of a model that has one; None for 1, its own distribution.
    """

    samples: int = SAMPLES
    seed: int = 0
    extractor: str | None = None
    runs: str | os.PathLike[str] | None = None
    reading: dict[str, Any] = dataclasses.field(default_factory=dict)
    follow: Follow = unseen
    temperature: float | None = None


# What was made of real images and of extractors, for the next model that is measured with them.
Memory = dict[Any, Any]


class Subject:
    """One model and the data that it is measured with.

    Attributes:
        model: to be measured.
        data: as examples of the model.
        options: how.
        wanted: the measures that will be taken: what none of them needs is not made.
    """

    def __init__(self, model: LoadedModel, data: Data, options: Options, memory: Memory) -> None:
        """
        Args:
            model, data, options: as above.
            memory: of models before; filled.
        """
        self.model, self.data, self.options = model, data, options
        self.wanted: frozenset[str] = frozenset()
        self._memory = memory

    @property
    def draws_images(self) -> bool:
        """Whether it draws images, and the data has some to set beside them."""
        return self.model.draws and self.model.modality == "image" and "image" in self.data.fields

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W, C) of the images of the data."""
        return tuple(self.data.fields["image"].shape[1:])

    @property
    def scored(self) -> str:
        """What of an example the model takes, else what it draws."""
        return self.model.takes if self.model.takes in self.data.fields else self.model.modality

    @functools.cached_property
    def receipt(self) -> dict[str, Any]:
        """What every number is made of."""
        return {
            **of_data(self.data, self.scored),
            "seed": self.options.seed,
            "version": metadata.version("gmzoo"),
            **({"codes": supposed} if (supposed := self.model.card.get("supposed_prior")) else {}),
        }

    def image_receipt(self, **more: Any) -> dict[str, Any]:
        """What a comparison of samples with real images is made of."""
        return {
            **self.receipt,
            "samples": self.options.samples,
            "extractor": self.extractor.name,
            "extractor_hash": self.extractor.weights_hash,
            "resizer": self.extractor.resizer(self.image_shape),
            "levels": self.levels,
            **self.of_captions(self.prompted),
            **self.of_temperature,
            **more,
        }

    @property
    def prompted(self) -> bool:
        """Whether its samples are drawn with the captions of the data."""
        return prompted(self.model)

    @property
    def of_temperature(self) -> dict[str, float]:
        """What a receipt says of samples that are not of the model's own distribution."""
        return {} if self.options.temperature is None else {"temperature": self.options.temperature}

    def of_captions(self, used: bool) -> dict[str, str]:
        """What a receipt says of captions that the model is given: what it does not read of them, if any."""
        return {"unread": self.unread} if used and self.unread else {}

    @functools.cached_property
    def unread(self) -> str:
        """What the model does not read of the captions of the data; told once."""
        if told := self.model.unread(self.data.fields["caption"]):
            log.warning("%s: %s", self.data.spec, told)
        return told

    # -- samples -------------------------------------------------------------------------------------------

    def samples(self, count: int, **conditions: Any) -> Iterator[np.ndarray]:
        """Samples, in order of their seeds; where there must be a prompt, with the captions of the data."""
        seeds = np.arange(self.options.seed, self.options.seed + count)
        if self.prompted:
            prompts, conditions["strict"] = self.data.fields["caption"], False
            conditions["prompt"] = np.asarray(prompts[np.arange(count) % len(prompts)], object)
        conditions |= self.of_temperature
        if self.of_temperature and "label" in self.model.conditions and "label" not in conditions:
            # It would draw them itself, where nothing is said at all.
            conditions["label"] = np.arange(count) % self.model.card["config"]["classes"]
        return self.options.follow(self.model.iter_samples(seeds, **conditions), count, "sampling")

    @functools.cached_property
    def levels(self) -> int | None:
        """Of a pixel of the samples, where the data has more; real images are rounded to so many."""
        levels: int | None = self.model.card.get("levels")
        if levels is None or self.data.coarsened(levels) is None:
            return None
        scaled = next(self.samples(min(self.options.samples, CHUNK))) * (levels - 1)
        return levels if np.allclose(scaled, np.round(scaled), atol=1e-3) else None

    # -- images as an extractor sees them ------------------------------------------------------------------

    @functools.cached_property
    def extractor(self) -> Extractor:
        """Where features come from."""
        key = ("extractor", self.options.extractor, self.data.info.fingerprint, self.image_shape)
        if key not in self._memory:
            wanted, runs = self.options.extractor, self.options.runs
            found = extractors.choose(wanted, self.data.spec, self.data.info, self.image_shape, runs)
            log.info("features: %s (weights %s)", found.name, found.weights_hash)
            self._memory[key] = found
        chosen: Extractor = self._memory[key]
        return chosen

    @functools.cached_property
    def knows_classes(self) -> bool:
        """Whether the extractor names the classes of the data."""
        return extractors.knows_classes(self.extractor, self.data.info)

    @property
    def asks_classes(self) -> bool:
        """Whether a measure needs what the extractor says of classes."""
        asking = {"classes", "captions", "label_accuracy", "patches"}
        return self.knows_classes and bool(self.wanted & asking)

    @functools.cached_property
    def drawn(self) -> Summary:
        """The samples."""
        count = self.options.samples
        keep = "parzen" in self.wanted and np.prod(self.image_shape) <= LARGEST_KEPT
        pieces = in_pieces(self.samples(count))
        return summarise(
            self.extractor,
            pieces,
            count,
            seed=self.options.seed,
            classes=self.asks_classes,
            images=bool(keep),
        )

    @functools.cached_property
    def real(self) -> Summary:
        """The images of the data."""
        data, asks, seed = self.data, self.asks_classes, self.options.seed
        # A floor stands beside a distance of so many samples; of fewer than two there is no covariance.
        part = max(2, min(self.options.samples, len(data) // 2))
        content = (data.info.fingerprint, data.split, len(data), self.image_shape)
        key = (*content, self.levels, seed, part, self.extractor.weights_hash, asks)
        if key not in self._memory:
            pieces = self.options.follow(self.images(data), len(data), "looking at the data")
            self._memory[key] = summarise(
                self.extractor, pieces, len(data), seed=seed, part=part, classes=asks
            )
        found: Summary = self._memory[key]
        return found

    def images(self, data: Data, index: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Images float32 [.., H, W, C] in [0, 1], rounded to the levels of the samples.

        Args:
            data: that has them; it need not fit into memory.
            index: which rows; all of them by default.
        """
        index = np.arange(len(data)) if index is None else index
        for start in range(0, len(index), PIECE):
            image = rows(data, index[start : start + PIECE])["image"]
            if self.levels is not None:
                image = rounded(image, self.levels)
            yield image.astype(np.float32, copy=False)

    def other_split(self, split: str) -> Data:
        """Another part of the same data, converted alike; of train, what the model was trained on."""
        height, width, channels = self.image_shape
        return zoo.data.load(
            self.data.spec,
            split,
            image_size=height if height == width else None,
            channels=channels,
            limit=self.model.card.get("dataset", {}).get("limit") if split == "train" else None,
            **self.options.reading,
        )


def in_pieces(pieces: Iterable[np.ndarray], rows: int = PIECE) -> Iterator[np.ndarray]:
    """The same rows in larger pieces."""
    waiting: list[np.ndarray] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= rows:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
