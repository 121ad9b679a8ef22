"""The models of a page. Each is opened when somebody chooses it, and few at a time."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import registry

if TYPE_CHECKING:
    from zoo.sampling import LoadedModel

#: Models that are open together: a page shows one, or two side by side; the others are a way back.
MOST = 4


class Shelf:
    """Models by name.

    Attributes:
        paths: name -> the folder of a SavedModel, or of a run that has none yet.
    """

    def __init__(
        self, paths: Mapping[str, Path], load: Callable[[Path], LoadedModel], most: int = MOST
    ) -> None:
        """
        Args:
            paths: at least one; the page begins with the first.
            load: opens what stands at a path.
            most: how many are open together.
        """
        self.paths = dict(paths)
        self._load, self._most = load, most
        self._open: collections.OrderedDict[str, LoadedModel] = collections.OrderedDict()
        self._lock = threading.Lock()
        self._cards = {name: registry.model_card(path) for name, path in self.paths.items()}

    def open(self, name: str) -> LoadedModel:
        """A model by its name; the one that was not used for longest is closed for it.

        Raises:
            ZooError: it cannot be read.
        """
        with self._lock:
            found = self._open.pop(name, None)
            if found is None:
                while len(self._open) >= self._most:
                    self._open.popitem(last=False)
                found = self._load(self.paths[name])
            self._open[name] = found
            return found

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return [*self.paths]

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What a visitor chooses from: a name with what the model is, and the name."""
        return [(self.label(name), name) for name in self.names]

    def label(self, name: str) -> str:
        """A name with what the model is, as far as its card tells."""
        title = self._cards[name].get("title")
        shown = name.removeprefix("shipped:")
        return f"{shown}: {title}" if title else shown

    def drawing(self) -> list[str]:
        """The names of the models that draw examples, and of those that tell nothing of themselves."""
        return [
            name
            for name, card in self._cards.items()
            if not (signatures := card.get("signatures")) or {"sample", "sample_with"} & {*signatures}
        ]

    def draws_freely(self, name: str) -> bool:
        """Whether a model surely draws with nothing said: without a prompt."""
        return "sample" in self._cards[name].get("signatures", {})
