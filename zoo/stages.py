"""A trained model as the first stage of another one: its SavedModel, used through its capability alone.

The second model neither trains it nor knows how it is made. Where the second one is saved, the functions of
the first go with it.

Shapes: B rows, T tokens, H x W x C image.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, final

import tensorflow as tf

from zoo.base import Tokenises
from zoo.errors import UsageError
from zoo.files import file_hash

#: Files of a SavedModel: its model card, and its weights.
CARD_FILE = "assets.extra/model_card.json"
WEIGHTS_FILE = "variables/variables.data-00000-of-00001"


@final
class SavedTokens(Tokenises):
    """The tokens of images, as a SavedModel makes them: its signatures `encode` and `decode`, once open.

    Attributes:
        path: the folder of its version.
        card: its model card.
        name: the model and its preset.
        image_shape: (H, W, C) of the images.
        weights_hash: short sha256 of its weights.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UsageError: it has no tokens, or there is no SavedModel.
        """
        self.path = path
        self._loaded: Any = None
        if not (path / CARD_FILE).is_file():
            raise UsageError(f"{path} holds no SavedModel of the zoo ({CARD_FILE}).")
        self.card: dict[str, Any] = json.loads((path / CARD_FILE).read_text(encoding="utf-8"))
        self.name = f"{self.card['model']}:{self.card['preset']}"
        if "tokens" not in self.card:
            raise UsageError(f"{path} is a {self.card['model']}, whose code is no tokens: take a dvae.")
        height, width, channels = self.card["signatures"]["encode"]["inputs"]["image"]["shape"][1:]
        self.image_shape: tuple[int, int, int] = (height, width, channels)
        self.weights_hash = file_hash(path / WEIGHTS_FILE)

    def open(self) -> SavedTokens:
        """Loads its functions, where that is not done: outside of all graphs."""
        if self._loaded is None:
            self._loaded = tf.saved_model.load(str(self.path))  # holds the variables that its functions read
        return self

    def token_grid(self) -> tuple[int, int]:
        height, width = self.card["tokens"]["grid"]
        return height, width

    def token_values(self) -> int:
        return int(self.card["tokens"]["values"])

    def tokenise(self, x: tf.Tensor) -> tf.Tensor:
        return self._loaded.signatures["encode"](image=x)["code"]

    def decode(self, code: tf.Tensor) -> tf.Tensor:
        return self._loaded.signatures["decode"](code=code)["image"]
