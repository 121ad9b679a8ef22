"""Images from patches: the patches as a model takes them, and whether what it makes is of the right class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.data.convert import resize
from zoo.data.order import rows
from zoo.evaluation.examples import chosen_rows
from zoo.evaluation.likeness import oracle
from zoo.evaluation.metrics import Metrics, mean_of
from zoo.evaluation.subject import PIECE, Subject

#: Images that are taken apart and made again.
TAKEN = 1000


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """A patch uint8 [h, w, C] as those that the model takes of images: float32 [S, S, C] in [0, 1]."""
    from zoo.layers.objectness import cut

    side = min(*image.shape[:2], size)  # one that is larger is reduced before
    x = resize(image, side) / np.float32(255)
    return cut(x[None], np.array([[[0, 0, side]]]), size)[0, 0].numpy()


def classes(subject: Subject) -> Metrics:
    """How often the classifier names the class of the whole image in what was made of 0, 1, ... patches.

    The patches are those that tell most, the best first. What is made of none is right by chance alone.
    """
    model, data = subject.model, subject.data
    most = model.patches_shape[0]
    labelled = np.flatnonzero(np.asarray(data.fields["label"]) >= 0)
    count = min(subject.options.samples, TAKEN)
    index = labelled[chosen_rows(len(labelled), count, subject.options.seed)]
    label = np.asarray(data.fields["label"])[index]

    def named() -> Iterator[np.ndarray]:
        """[.., most + 1]: what the classifier sees in what was made of so many patches."""
        for start in range(0, len(index), PIECE):
            part = index[start : start + PIECE]
            patches = model.key_patches(rows(data, part)["image"])
            seeds = subject.options.seed + np.arange(start, start + len(part))
            seen = []
            for number in range(most + 1):
                given = np.broadcast_to(np.arange(most) < number, patches.shape[:2])
                image = model.assemble(patches, given, seeds)["image"]
                probabilities = subject.extractor.see(image).probabilities
                assert probabilities is not None
                seen.append(probabilities.argmax(1))
            yield np.stack(seen, 1)

    seen = np.concatenate([*subject.options.follow(named(), len(index), "assembling")])
    receipt = subject.image_receipt(samples=len(index), **oracle(subject))
    return {
        f"patches_{number}_accuracy": {
            **mean_of(seen[:, number] == label, "share", "higher" if number else None, receipt, "estimate"),
            "receipt": receipt,
        }
        for number in range(most + 1)
    }
