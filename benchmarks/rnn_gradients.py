"""How far does the gradient reach through each recurrent cell?

    python benchmarks/rnn_gradients.py                   draws docs/images/models/rnn-gradients.png
    python benchmarks/rnn_gradients.py --steps 300       trains less first

The loss at the last character of a window is differentiated by the state k characters before it. The norm of
that gradient, beside its norm at k = 0, says how much of what was read k characters ago can still be learnt
from. It is measured on windows of `prose` that were not trained on: with fresh weights, where the recurrent
weights of a vanilla cell are taken twice as large, too, and after training. The median over the windows is
drawn, and printed as Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from zoo import data
from zoo.models.rnn import RNN, Config

OUT = Path(__file__).parents[1] / "docs/images/models/rnn-gradients.png"
COLORS = {"vanilla": "#cc3311", "lstm": "#4477aa", "gru": "#228833"}
LABELS = {"vanilla": "vanilla", "lstm": "LSTM", "gru": "GRU"}
UNITS, WINDOWS, BATCH = 128, 32, 32
DISTANCES = (10, 20, 50, 100)


def made(cell: str, text: data.Data) -> RNN:
    """A model with fresh weights."""
    keras.utils.set_random_seed(0)
    vocabulary, length = text.info.vocabulary, text.fields["tokens"].shape[1]
    return RNN(Config(vocabulary=vocabulary, length=length, cell=cell, units=UNITS))


def train(model: RNN, text: data.Data, steps: int) -> None:
    """Trains for some steps."""
    model.compile({"likelihood": keras.optimizers.Adam(2e-3, global_clipnorm=100.0)})
    model.begin({"tokens": tf.constant(text.fields["tokens"])})
    batches = data.batches(text, BATCH, seed=0, steps=steps)
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)


def reach(model: RNN, tokens: np.ndarray) -> np.ndarray:
    """The norm of the gradient of the last character's loss by the state k before it, beside that at k = 0.

    Args:
        model: measured.
        tokens: windows, int32 [N, T].

    Returns:
        The median over the windows, [T], for k = 0 .. T - 1.
    """
    rows, length = tokens.shape
    width = UNITS * (2 if model.config.cell == "lstm" else 1)  # h, or h and c
    with tf.GradientTape() as tape:
        previous, states = tf.fill((rows,), model.values), []
        state = tf.zeros((rows, width))
        for t in range(length):
            tape.watch(state)
            states.append(state)
            logits, after = model.advance(previous, tf.constant(t), tf.split(state, width // UNITS, 1))
            state, previous = tf.concat(after, 1), tf.constant(tokens[:, t])
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens[:, -1], logits)
    norms = np.stack([np.linalg.norm(each, axis=1) for each in tape.gradient(loss, states)], 1)  # [N, T]
    return np.median(norms / norms[:, -1:], axis=0)[::-1]


def draw(panels: dict[str, dict[str, np.ndarray]]) -> None:
    """Draws one panel for each set of curves."""
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 3.4), dpi=110, sharey=True, layout="constrained")
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for name, values in curves.items():
            cell = name.split(",")[0]
            label = name.replace(cell, LABELS[cell], 1)
            axis.semilogy(values, color=COLORS[cell], label=label, linestyle="--" if "," in name else "-")
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlabel("characters between state and loss", fontsize=9)
        axis.set_ylim(1e-8, 1e4)
        axis.grid(color="#e6e6e6", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8, frameon=False)
    axes[0].set_ylabel("norm of the gradient, beside that of the last state", fontsize=8)
    figure.savefig(OUT)


def main() -> None:
    """Measures, prints and draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    steps = parser.parse_args().steps
    text = data.load("prose", "train")
    tokens = data.load("prose", "test", limit=WINDOWS).fields["tokens"]
    fresh, trained = {}, {}
    for cell in COLORS:
        model = made(cell, text)
        fresh[cell] = reach(model, tokens)
        if cell == "vanilla":
            recurrent = model.recurrent[0].cell.recurrent_kernel
            recurrent.assign(2.0 * recurrent)
            fresh[f"{cell}, recurrent weights x 2"] = reach(model, tokens)
            recurrent.assign(recurrent / 2.0)
        train(model, text, steps)
        trained[cell] = reach(model, tokens)
    panels = {"fresh weights": fresh, f"after {steps} steps on prose": trained}
    draw(panels)
    print(f"| cell, {UNITS} units | " + " | ".join(f"{k} characters" for k in DISTANCES) + " |")
    print("|---" * (1 + len(DISTANCES)) + "|")
    for title, curves in panels.items():
        for name, values in curves.items():
            print(f"| {name}, {title} | " + " | ".join(f"{values[k]:.1e}" for k in DISTANCES) + " |")


if __name__ == "__main__":
    main()
