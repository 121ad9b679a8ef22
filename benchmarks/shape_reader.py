"""Which shapes in which colours does a model draw, and how plainly? A classifier of real ones reads samples.

    python benchmarks/shape_reader.py --model progan

The classifier is a small convolutional network, trained on the train split of the dataset, that says the
shape and the colour; the logits of each are divided by one temperature, at least 1, that minimises the
cross-entropy of the validation split. A sample is read where both are sure: a confidence of 0.9. Beside the
samples it reads pictures of the test split, real and spoiled (blended, glued, shuffled, noisy): what it
"reads" of the spoiled ones says how far its figure flatters.
"""

from __future__ import annotations

import argparse
import json

import keras
import numpy as np
from glyph_reader import BATCH, CACHE, CONFIDENT, make_network, scaled, spoil
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from zoo import data


class Reader:
    """A calibrated classifier of shape and colour; trained once, then kept in `build/`."""

    def __init__(self, spec: str, epochs: int = 12) -> None:
        """
        Args:
            spec: `shapes` of some size.
            epochs: passes over its train split.
        """
        train, validation = data.load(spec, "train"), data.load(spec, "validation")
        self.names = (train.info.class_names, train.info.attribute_values[1])
        self.sizes = [len(names) for names in self.names]
        path = CACHE / f"shape-reader-{train.info.fingerprint}.keras"
        if path.exists():
            self.network = keras.models.load_model(path, compile=False)
        else:
            self.network = self.trained(train, epochs)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.network.save(path)
        self.temperatures = [1.0, 1.0]
        raw, truth = self.logits(scaled(validation)), truths(validation)
        self.temperatures = [
            float(
                minimize_scalar(
                    lambda t, z=z, y=y: -log_softmax(z / t, -1)[np.arange(len(y)), y].mean(),
                    bounds=(1, 10),  # never sharpen
                    method="bounded",
                ).x
            )
            for z, y in zip(raw, truth, strict=True)
        ]

    def trained(self, train: data.Data, epochs: int) -> keras.Model:
        keras.utils.set_random_seed(0)
        images, truth = scaled(train), truths(train)
        network = make_network(images.shape[1:], sum(self.sizes))
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def loss(y: object, z: object) -> object:
            shape, colour = keras.ops.split(z, [self.sizes[0]], -1)
            return entropy(y[:, 0], shape) + entropy(y[:, 1], colour)

        rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(images) // BATCH)
        network.compile(keras.optimizers.Adam(rate), loss)
        network.fit(images, np.stack(truth, 1), batch_size=BATCH, epochs=epochs, verbose=0)
        return network

    def logits(self, images: np.ndarray) -> list[np.ndarray]:
        """Calibrated logits of shape and colour, each [N, K]."""
        found = self.network.predict(images, batch_size=500, verbose=0)
        return [z / t for z, t in zip(np.split(found, [self.sizes[0]], -1), self.temperatures, strict=True)]

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shape and colour, int [2, N], and the smaller of the two confidences [N]."""
        probabilities = [softmax(each, -1) for each in self.logits(images)]
        found = np.stack([each.argmax(-1) for each in probabilities])
        return found, np.min([each.max(-1) for each in probabilities], 0)

    def report(self, images: np.ndarray) -> dict:
        """How many of the images are read, and how many pairs of shape and colour are among them."""
        (shape, colour), confidence = self.read(images)
        sure = confidence >= CONFIDENT
        pairs = np.zeros(self.sizes, int)
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
    return source.fields["attributes"][:, 0], source.fields["attributes"][:, 1]


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
