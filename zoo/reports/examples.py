"""What a model's examples are and how they are drawn: grids of images, clouds of points of features."""

from __future__ import annotations

import os
import typing

import numpy as np
from PIL import Image

from zoo.reports import pictures

if typing.TYPE_CHECKING:
    from zoo.sampling import LoadedModel


def drawn_shape(model: LoadedModel) -> list[int]:
    """The shape of one example that the model draws."""
    drawing = "sample" if "sample" in model.signatures else "sample_with"
    shape: list[int] = model.signatures[drawing]["outputs"][model.modality]["shape"][1:]
    return shape


def image_shape(model: LoadedModel) -> list[int]:
    """(H, W, C) of images, or of what a model of features made them of; [] of other features."""
    if model.modality == "image":
        return drawn_shape(model)
    shape: list[int] = model.card.get("dataset", {}).get("dequantised", [])
    return shape


def feature_names(model: LoadedModel) -> list[str]:
    """The names of the columns that the model was trained on; [] where they have none."""
    names: list[str] = model.card.get("dataset", {}).get("feature_names", [])
    return names if model.modality == "features" else []


def drawn(model: LoadedModel, examples: np.ndarray) -> Image.Image:
    """Images as a grid, features as a cloud of points for each pair.

    Args:
        model: whose examples they are.
        examples: [N, ...] images or features.
    """
    if shape := image_shape(model):
        if model.modality == "features":  # a level plus noise
            levels = model.card["dataset"]["levels"] or 256
            examples = examples.reshape(-1, *shape) / levels
        return pictures.grid(examples)
    from zoo.reports.scatter import scatter_matrix

    names = feature_names(model) or [f"feature {index}" for index in range(examples.shape[1])]
    return scatter_matrix(examples, names)


def draw(model: LoadedModel, examples: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Writes what `drawn` gives as a PNG."""
    pictures.write_picture(drawn(model, examples), path)
