"""Which shapes in which colours does a model draw, and how plainly? The zoo's own classifier reads samples.

    python benchmarks/shape_reader.py --model progan

The classifier is `shipped:vit:shapes`, trained on the train split, which says the shape and the colour; the
logits of each are divided by the temperature that minimises the cross-entropy of the validation split. A
sample is read where both are sure: a confidence of 0.9. Beside the samples it reads pictures of the test
split, real and spoiled (blended, glued, shuffled, noisy): what it "reads" of the spoiled ones says how far
its figure flatters.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import tensorflow as tf
from glyph_reader import CONFIDENT, scaled, spoil
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from zoo import checkpoints, data, registry, sampling
from zoo.exporting import saved_weights

SHAPE, COLOUR = 0, 1  # among the attributes of `shapes`


class Reader:
    """The shipped classifier of shapes, calibrated on real ones."""

    def __init__(self, spec: str) -> None:
        """
        Args:
            spec: `shapes` of the size that the classifier takes.
        """
        validation = data.load(spec, "validation")
        self.names = [validation.info.attribute_values[each] for each in (SHAPE, COLOUR)]
        shipped = sampling.load(registry.resolve("shipped:vit:shapes").path)
        self.network = registry.model_class("vit").from_config({"config": shipped.card["config"]})
        arrays, ours = saved_weights(shipped.path), self.network.weights_by_name()
        checkpoints.assign({name: ours[name] for name in arrays}, arrays)
        self.temperatures = [1.0, 1.0]
        raw, truth = self.logits(scaled(validation)), truths(validation)
        self.temperatures = [
            float(
                minimize_scalar(
                    lambda t, z=z, y=y: -log_softmax(z / t, -1)[np.arange(len(y)), y].mean(),
                    bounds=(0.05, 10),
                    method="bounded",
                ).x
            )
            for z, y in zip(raw, truth, strict=True)
        ]

    def logits(self, images: np.ndarray) -> list[np.ndarray]:
        """Calibrated logits of shape and colour, each [N, K]."""
        function = tf.function(lambda x: self.network.logits(x)[1:3])
        found = [function(images[start : start + 500]) for start in range(0, len(images), 500)]
        return [
            np.concatenate(z) / t for z, t in zip(zip(*found, strict=True), self.temperatures, strict=True)
        ]

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shape and colour, int [2, N], and the smaller of the two confidences [N]."""
        probabilities = [softmax(each, -1) for each in self.logits(images)]
        found = np.stack([each.argmax(-1) for each in probabilities])
        return found, np.min([each.max(-1) for each in probabilities], 0)

    def report(self, images: np.ndarray) -> dict:
        """How many of the images are read, and how many pairs of shape and colour are among them."""
        (shape, colour), confidence = self.read(images)
        sure = confidence >= CONFIDENT
        pairs = np.zeros([len(each) for each in self.names], int)
        np.add.at(pairs, (shape[sure], colour[sure]), 1)
        return {
            "images": len(images),
            "read_with_confidence_0.9": round(float(sure.mean()), 4),
            "pairs": int((pairs > 0).sum()),
            "of": pairs.size,
            "missing": [
                f"{self.names[1][j]} {self.names[0][i]}" for i, j in zip(*np.nonzero(pairs == 0), strict=True)
            ],
        }


def truths(source: data.Data) -> tuple[np.ndarray, np.ndarray]:
    """Shape and colour of each example, int [N]."""
    return source.fields["attributes"][:, SHAPE], source.fields["attributes"][:, COLOUR]


def main() -> None:
    """Reads the samples of one model and prints one JSON document."""
    import zoo

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="progan", help="a trained model, as for `gmzoo sample`")
    parser.add_argument("--dataset", default="shapes", help="what it was trained on: shapes of some size")
    parser.add_argument("-n", type=int, default=2000, help="how many samples")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    reader = Reader(options.dataset)
    test = data.load(options.dataset, "test")
    real, truth = scaled(test), truths(test)
    samples = zoo.load(options.model).sample(range(options.seed, options.seed + options.n))
    right = (reader.read(real)[0] == np.stack(truth)).all(0)
    report = {
        "model": options.model,
        "samples": reader.report(samples),
        "real": {**reader.report(real), "accuracy": float(right.mean())},
        "spoiled": reader.report(spoil(real, truth[0])),
        "temperatures": [round(each, 3) for each in reader.temperatures],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
