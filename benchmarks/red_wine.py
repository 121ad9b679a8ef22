"""RNADE on UCI red wine by the published protocol, beside a Gaussian with a full covariance.

    python benchmarks/red_wine.py winequality-red.csv
    python benchmarks/red_wine.py winequality-red.csv --folds 1        one fold of the ten, to try

The file is that of the UCI repository, with or without its header, separated by commas or semicolons.

Protocol (Uria, Murray, Larochelle 2013, arXiv 1306.0186, section 4.1): columns of few different values are
dropped, and one of each pair whose correlation is above 0.98 in size. The rows are permuted and cut into ten
folds. Each fold is tested once; a tenth of the other rows is for validation, which chooses the epoch. All
columns are standardised by the mean and the standard deviation of the fold's training rows, validation
included, and the published figures are mean log-densities of these standardised test rows: -9.36 nats for
RNADE, -13.18 for the Gaussian. Both are computed here in those units; in the units of the laboratory the
density of a row is smaller by the sum of log standard deviations, which is printed too.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.models.rnade import RNADE, Config
from zoo.schedules import make_optimizer

FOLDS = 10
FEWEST = 20  # different values of a column that counts as continuous
MOST_CORRELATED = 0.98
BATCH = 100
EPOCHS_A_LOOK = 5


def read(path: Path) -> np.ndarray:
    """The continuous columns of the table, float64 [N, D]."""
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines(), delimiter=";" if ";" in text else ","))
    first = 0 if rows[0][0].replace(".", "").isdecimal() else 1
    table = np.array(rows[first:], np.float64)
    return without_copies(table[:, [len(np.unique(column)) >= FEWEST for column in table.T]])


def without_copies(table: np.ndarray) -> np.ndarray:
    """The columns but those that nearly follow from one before them."""
    correlation = np.abs(np.corrcoef(table.T))
    kept: list[int] = []
    for column in range(table.shape[1]):
        if all(correlation[column, other] <= MOST_CORRELATED for other in kept):
            kept.append(column)
    return table[:, kept]


def gaussian(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Log-densities float64 [N] of test rows under the maximum-likelihood Gaussian of the training rows."""
    away = test - train.mean(0)
    covariance = np.cov(train.T, bias=True)
    distance = np.einsum("ni,ni->n", away @ np.linalg.inv(covariance), away)
    return -0.5 * (distance + np.linalg.slogdet(covariance)[1] + train.shape[1] * math.log(2 * math.pi))


def rnade(
    train: np.ndarray, validation: np.ndarray, test: np.ndarray, options: argparse.Namespace
) -> np.ndarray:
    """Log-densities float64 [N] of test rows, with the weights that were best on validation."""
    keras.utils.set_random_seed(options.seed)
    model = RNADE(Config(train.shape[1], options.hidden_units, options.components))
    per_epoch = len(train) // BATCH
    values = {
        "name": "adamw",
        "weight_decay": options.weight_decay,
        "learning_rate": {"schedule": "cosine", "start": options.learning_rate, "end": 0.0, "warmup": 100},
    }
    steps = options.epochs * per_epoch
    model.compile({"likelihood": make_optimizer("likelihood", values, steps)}, seed=options.seed)
    model.begin({"features": tf.constant(train, tf.float32)})
    data = tf.data.Dataset.from_tensor_slices({"features": train.astype(np.float32)})
    data = data.shuffle(len(train), seed=options.seed).batch(BATCH, drop_remainder=True)
    score = tf.function(model.log_prob, autograph=False)

    def log_density(rows: np.ndarray) -> np.ndarray:
        return score(tf.constant(rows, tf.float32)).numpy().astype(np.float64)

    best, weights = -math.inf, model.get_weights()
    for _ in range(options.epochs // EPOCHS_A_LOOK):
        model.fit(data.repeat(EPOCHS_A_LOOK), shuffle=False, verbose=0)
        mean = log_density(validation).mean()
        if mean > best:
            best, weights = mean, model.get_weights()
    model.set_weights(weights)
    return log_density(test)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("csv", type=Path, help="winequality-red.csv of the UCI repository")
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the ten folds to test")
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--hidden-units", type=int, default=100)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    table = read(options.csv)
    order = np.random.default_rng(options.seed).permutation(len(table))
    print(f"{len(table)} rows, {table.shape[1]} continuous columns\n")
    print("| fold | RNADE | Gaussian | sum of log s | seconds |\n|---|---|---|---|---|")
    found = []
    for fold in range(options.folds):
        start = time.monotonic()
        train, test = table[np.delete(order, np.s_[fold::FOLDS])], table[order[fold::FOLDS]]
        mean, spread = train.mean(0), train.std(0)
        train, test = (train - mean) / spread, (test - mean) / spread
        part = len(train) // 10
        ours = rnade(train[part:], train[:part], test, options).mean()
        theirs, units = gaussian(train, test).mean(), np.log(spread).sum()
        found.append([ours, theirs, units])
        seconds = time.monotonic() - start
        print(f"| {fold} | {ours:.3f} | {theirs:.3f} | {units:.3f} | {seconds:.0f} |", flush=True)
    means, n = np.mean(found, 0), len(found)
    errors = np.std(found, 0, ddof=1) / math.sqrt(n) if n > 1 else np.full(3, math.nan)
    print("\nMean over the folds of the mean test log-density, in nats, and its standard error:\n")
    print("| model | standardised, as published | published | in the units of the data |\n|---|---|---|---|")
    for place, (name, published) in enumerate([("RNADE", -9.36), ("Gaussian, full covariance", -13.18)]):
        inside = f"{means[place]:.2f} +- {errors[place]:.2f}"
        print(f"| {name} | {inside} | {published} | {means[place] - means[2]:.2f} |")


if __name__ == "__main__":
    main()
