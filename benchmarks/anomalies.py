"""Which anomalies does which score find? Writes the table of docs/anomalies.md.

    python benchmarks/anomalies.py                     # digits, with shipped models: no download
    python benchmarks/anomalies.py --images idx:mnist --other idx:usps --runs runs

The second line needs a folder that holds MNIST and USPS (in files like MNIST's) as `mnist` and `usps`, and in
`runs` the newest runs of these commands:

    gmzoo train nade --preset glyphs --dataset idx:mnist --epochs 3
    gmzoo train markov --preset glyphs --dataset idx:mnist
    gmzoo train independent --preset glyphs --dataset idx:mnist

Each cell is one `gmzoo detect ... --against ... --json`; the commands are printed below the table. Black and
white are one image each, noise is 500 images of random bytes: they are written to a folder as .npz files.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from zoo.cli import score
from zoo.cli.main import main as gmzoo
from zoo.cli.score import Columns
from zoo.data import Data
from zoo.sampling import LoadedModel

#: Column -> the options that make the score.
SCORES = {
    "likelihood": [],
    "typicality": ["--method", "typicality"],
    "ratio, independent": ["--method", "ratio", "--background", "independent"],
    "ratio, markov": ["--method", "ratio", "--background", "markov"],
}


def synthetic(folder: Path, side: int) -> dict[str, str]:
    """Images that nobody drew: name -> spec."""
    noise = np.random.default_rng(0).integers(0, 256, (500, side, side), np.uint8)
    images = {
        "black": np.zeros((1, side, side), np.uint8),
        "white": np.full((1, side, side), 255, np.uint8),
        "noise": noise,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        np.savez(folder / f"{name}.npz", image=image, levels=256)
    return {name: f"npz:{folder / name}.npz" for name in images}


def remembering(scored: Callable[..., Columns]) -> Callable[..., Columns]:
    """Scores as before, but examples that one command has scored are not scored again by the next."""
    known: dict[tuple[object, ...], Columns] = {}

    def look_up(model: LoadedModel, data: Data, *draws: int) -> Columns:
        key = (model.path, data.spec, data.split, len(data), *draws)
        if key not in known:
            known[key] = scored(model, data, *draws)
        return known[key]

    return look_up


def detect(*words: str) -> dict[str, dict[str, float | None]]:
    """The metrics of one command line."""
    done = CliRunner().invoke(gmzoo, ["detect", *words, "--json"])
    if done.exit_code:
        raise SystemExit(f"gmzoo detect {shlex.join(words)}\n{done.stderr}")
    return json.loads(done.stdout)["metrics"]


def cell(metric: dict[str, float | None]) -> str:
    error = metric["standard_error"]
    return f"{metric['value']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="digits", help="the normal data")
    parser.add_argument("--other", default="glyphs", help="the anomalous data")
    parser.add_argument("--runs", help="where runs live; the shipped models by default")
    parser.add_argument("--limit", default="2000", help="examples of each set")
    parser.add_argument("--made", type=Path, default=Path("made"), help="a folder for the images made here")
    given = parser.parse_args()
    where = ["--runs-dir", given.runs] if given.runs else []
    prefix = "" if given.runs else "shipped:"
    side = 28 if given.runs else 8
    sets = {given.other: given.other, **synthetic(given.made, side)}
    print(f"| {given.images} against | " + " | ".join(SCORES) + " |")
    print("|---" * (1 + len(SCORES)) + "|")
    commands = []
    score.scored = remembering(score.scored)
    for name, spec in sets.items():
        cells = []
        for options in SCORES.values():
            named = [f"{prefix}{word}" if word in ("independent", "markov") else word for word in options]
            words = ["--model", f"{prefix}nade", *where, "--data", given.images, "--against", spec, *named]
            metrics = detect(*words, "--limit", given.limit)
            cells.append(cell(metrics["auroc"]))
            commands.append((shlex.join(words), metrics))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("\n| command: `gmzoo detect ...` | AUROC | average precision | false alarms | detected |")
    print("|---|---|---|---|---|")
    for line, metrics in commands:
        print(
            f"| `{line} --limit {given.limit}` | "
            + " | ".join(cell(each) for each in metrics.values())
            + " |"
        )


if __name__ == "__main__":
    main()
