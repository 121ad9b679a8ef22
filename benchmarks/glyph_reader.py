"""Which digits does a model draw, and how plainly? A classifier of real `glyphs` reads 1,000 samples.

    python benchmarks/glyph_reader.py --model dcgan

The classifier is a small convolutional network trained on the train split of `glyphs`; its logits are
divided by one temperature, at least 1, that minimises the cross-entropy of the validation split. Real glyphs
are so easy that it makes no error there, and then a lower temperature is always better and says nothing: with
0.1 the same network is "sure" of noise. It knows the ten digits alone, and calls most blends of two of them a
digit with confidence: its figure is an upper bound. A second, strict one has an eleventh answer, "none of
them", learned from spoiled glyphs. Both read the samples, and beside them glyphs of the test split, real and
spoiled: look at all of them before you believe one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from zoo import data

CONFIDENT = 0.9
BATCH = 128
CACHE = Path("build/benchmarks")


class Reader:
    """A calibrated classifier of one dataset with labels; trained once, then kept in `build/`."""

    def __init__(self, spec: str = "glyphs", strict: bool = False, epochs: int = 4) -> None:
        """
        Args:
            spec: the dataset, with K classes.
            strict: whether it may answer "none of them".
            epochs: passes over its train split.
        """
        self.strict = strict
        train = data.load(spec, "train")
        self.classes = len(train.info.class_names)
        path = CACHE / f"{'strict-' if strict else ''}reader-{train.info.fingerprint}.keras"
        if path.exists():
            self.network = keras.models.load_model(path)
        else:
            self.network = self.trained(train, epochs)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.network.save(path)
        self.temperature = 1.0
        images, label = self.examples(data.load(spec, "validation"))
        logits = self.logits(images)
        self.temperature = minimize_scalar(
            lambda t: -log_softmax(logits / t, -1)[np.arange(len(label)), label].mean(),
            bounds=(1, 10),  # a set without errors would ask for ever more confidence: never sharpen
            method="bounded",
        ).x

    def trained(self, train: data.Data, epochs: int) -> keras.Model:
        keras.utils.set_random_seed(0)
        network = make_network(train.fields["image"].shape[1:], self.classes + self.strict)
        images, label = self.examples(train)
        steps = epochs * len(images) // BATCH
        network.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        network.fit(images, label, batch_size=BATCH, epochs=epochs, verbose=0)
        return network

    def examples(self, source: data.Data) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a split; for a strict reader half as many spoiled ones too, labelled K."""
        images, label = scaled(source), source.fields["label"]
        if not self.strict:
            return images, label
        half = len(images) // 2
        spoiled = spoil(images[:half], label[:half])
        return np.concatenate([images, spoiled]), np.concatenate(
            [label, np.full(half, self.classes, label.dtype)]
        )

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Calibrated logits, [N, K] or if strict [N, K + 1], of images float32 [N, H, W, C] in [0, 1]."""
        return self.network.predict(images, batch_size=500, verbose=0) / self.temperature

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each image [N, H, W, C] shows, and how surely.

        Returns:
            label int [N] in 0..K - 1, and confidence [N], the probability that it is that and not something
            else or nothing.
        """
        probability = softmax(self.logits(images), -1)[:, : self.classes]
        return probability.argmax(-1), probability.max(-1)

    def report(self, images: np.ndarray) -> dict:
        """How many of the images are read with confidence, and the share of each class among all images."""
        label, confidence = self.read(images)
        sure = confidence >= CONFIDENT
        shares = np.bincount(label[sure], minlength=self.classes) / len(images)
        return {
            "images": len(images),
            "read_with_confidence_0.9": round(float(sure.mean()), 4),
            "mean_confidence": round(float(confidence.mean()), 4),
            "share_of_each_class": shares.round(4).tolist(),
            "rarest_class": round(float(shares.min()), 4),
        }


def scaled(source: data.Data) -> np.ndarray:
    """The images of a dataset, float32 [N, H, W, C] in [0, 1]."""
    return source.fields["image"].astype(np.float32) / 255


def spoil(images: np.ndarray, label: np.ndarray, seed: int = 0) -> np.ndarray:
    """As many images that are no digit: blends and glued halves of different ones, shuffled quarters, noise.

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        label: [N].
        seed: of the choices.
    """
    random = np.random.default_rng(seed)
    other = random.permutation(len(images))
    for _ in range(5):  # a partner of another class
        same = label[other] == label
        other[same] = random.integers(len(images), size=same.sum())
    height, width = images.shape[1] // 2, images.shape[2] // 2
    share = random.uniform(0.35, 0.65, (len(images), 1, 1, 1)).astype(np.float32)
    blended = share * images + (1 - share) * images[other]
    covered = np.maximum(images, images[other])
    glued = np.concatenate([images[:, :, :width], images[other][:, :, width:]], 2)
    # The quarters change places: bottom over top, right before left.
    turned = np.concatenate([images[:, height:], images[:, :height]], 1)
    turned = np.concatenate([turned[:, :, width:], turned[:, :, :width]], 2)
    noise = np.clip(images + random.normal(0, 0.5, images.shape).astype(np.float32), 0, 1)
    ways = [blended, covered, glued, turned, noise]
    return np.choose(random.integers(len(ways), size=(len(images), 1, 1, 1)), ways)


def make_network(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Image [B, H, W, C] in [0, 1] -> logits [B, K]."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(16, 5, 2, "same", activation="relu"),
            layers.Conv2D(32, 3, 1, "same", activation="relu"),
            layers.Conv2D(64, 3, 2, "same", activation="relu"),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dropout(0.5),
            layers.Dense(classes),
        ]
    )


def main() -> None:
    """Reads the samples of one model and prints one JSON document."""
    import zoo

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dcgan", help="a trained model, as for `gmzoo sample`")
    parser.add_argument("--dataset", default="glyphs", help="what it was trained on, a dataset with labels")
    parser.add_argument("-n", type=int, default=1000, help="how many samples")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    test = data.load(options.dataset, "test")
    real, label = scaled(test), test.fields["label"]
    samples = zoo.load(options.model).sample(range(options.seed, options.seed + options.n))
    report: dict = {"model": options.model}
    for name, strict in (("reader", False), ("strict_reader", True)):
        reader = Reader(options.dataset, strict)
        report[name] = {
            "samples": reader.report(samples),
            "real": {**reader.report(real), "accuracy": float((reader.read(real)[0] == label).mean())},
            "spoiled": reader.report(spoil(real, label)),
            "temperature": round(float(reader.temperature), 3),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
