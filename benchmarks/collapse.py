"""What the watches of a training see in digits that lack something: the figures of `docs/training.md`.

    python benchmarks/collapse.py

The samples are digits of the training split that are not among the 256 that they are compared with: of all
classes, of three, of one; and one image with a little noise, again and again. It takes seconds.
"""

from __future__ import annotations

import numpy as np

from zoo import data
from zoo.data.order import rows
from zoo.evaluation import extractors
from zoo.evaluation.diversity import Reference

REFERENCE, SAMPLES, NOISE = 256, 256, 0.02


def main() -> None:
    digits = data.load("digits", "train")
    judge = extractors.own("digits", digits.info, digits.fields["image"].shape[1:])
    found = rows(digits, np.random.default_rng(0).permutation(len(digits)))
    image, label = found["image"], found["label"]
    reference = Reference(image[:REFERENCE], judge, classes=True)
    image, label = image[REFERENCE:], label[REFERENCE:]
    noise = NOISE * np.random.default_rng(1).normal(size=(SAMPLES, *image.shape[1:]))
    sets = {
        "all classes": image[:SAMPLES],
        "three classes": image[label < 3][:SAMPLES],
        "one class": image[label == 4][:SAMPLES],
        "one image": (image[:1] + noise).clip(0, 1).astype(np.float32),
    }
    for name, samples in sets.items():
        values = reference.compare(samples)
        told = f"spread {values['sample_spread']:.2f}  recall {values['sample_recall']:.2f}"
        print(f"{name:<14} {len(samples):>4} images  {told}  classes {values['classes_covered']}")


if __name__ == "__main__":
    main()
