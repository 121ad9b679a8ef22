"""A run and a comparison to make pages of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from zoo.reports.comparison import Entry
from zoo.reports.page import inlined_picture
from zoo.reports.pictures import gif, grid, write_picture
from zoo.runs import Run

RESULT = {
    "elbo": {
        "value": -61.47, "standard_error": 0.138, "unit": "nats", "kind": "bound", "better": "higher",
        "receipt": {
            "dataset": "glyphs", "split": "test", "n": 10_000, "fingerprint": "fe03", "seed": 0, "levels": 2,
        },
    }
}  # fmt: skip


def _made_run(folder, epochs=3, text=False, **changes):
    """A finished run, as training would leave it."""
    run = Run(folder / "vae-007")
    fields = {
        "model": "vae", "preset": "glyphs", "config": {"code_size": 16, "encoder_units": [128]}, "seed": 3,
        "dataset": {"spec": "glyphs", "fingerprint": "fe03", "examples": 60_000, "limit": None},
        "optimizers": {"elbo": {"name": "adam", "learning_rate": 0.002}}, "precision": "float32",
        "batch_size": 100, "steps": 60, "step": 60, "seconds": 190.0,
        "status": "finished", "started": "2026-01-31T12:00:00+00:00",
        "finished": "2026-01-31T12:03:10+00:00", "command": "gmzoo train vae",
        "machine": "2 cores of a processor", "versions": {"gmzoo": "0.1.0"}, "result": RESULT, "warnings": [],
    }  # fmt: skip
    run.update(**fields | changes)
    lines = [
        {"kind": kind, "step": 20 * epoch, "epoch": epoch, "negative_elbo": 80.0 / epoch}
        for epoch in range(1, epochs + 1)
        for kind in ("train", "validation")
    ]
    lines.append({"kind": "diagnostics", "step": 60, "epoch": 3, "recall": 0.5, "kl_per_unit": [0.1, 2.0]})
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    random = np.random.default_rng(0)
    for epoch in range(1, epochs + 1):
        path = run.path / f"samples/epoch-{epoch:04d}"
        if text:
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".txt").write_text(f"== seed 0 ==\n<b>epoch {epoch}</b>\n")
        else:
            write_picture(grid(random.random((64, 28, 28, 1))), path.with_suffix(".png"))
    if epochs and not text:
        grids = sorted((run.path / "samples").glob("*.png"))
        gif([Image.open(path) for path in grids], run.path / "samples/progress.gif")
    return run


@pytest.fixture
def made_run() -> Callable[..., Run]:
    """Makes a finished run in a folder, as training would leave it."""
    return _made_run


EVIL = '"><script>alert(1)</script>'


def likelihood(value, kind, name, **receipt):
    about = {"dataset": "glyphs", "split": "test", "n": 10_000, "fingerprint": "fe03", "seed": 0, "levels": 2}
    return {
        name: {
            "value": value, "standard_error": 0.1, "unit": "nats", "kind": kind, "better": "higher",
            "receipt": about | receipt,
        }
    }  # fmt: skip


@pytest.fixture
def entries(tmp_path) -> list[Entry]:
    """A bound, an implicit one, two exact ones, one that draws text, one that draws nothing."""
    write_picture(grid(np.random.default_rng(0).random((64, 28, 28, 1))), tmp_path / "grid.png")
    panels = {
        "loss": {"train": ([1, 50, 100], [3.0, 2.0, 1.0]), "validation": ([50, 100], [2.5, 1.5])},
        "kl": {"train": ([1, 50, 100], [0.0, 2.0, 1.0])},
    }
    first = Entry(
        title="vae",
        kind="VAE",
        summary="an encoder and a decoder",
        likelihood="bound",
        dataset="glyphs",
        samples={"picture": inlined_picture(tmp_path / "grid.png"), "text": None},
        without="",
        metrics=likelihood(-61.5, "bound", "elbo"),
        panels=panels,
        parameters=435_873,
        steps=6000,
        batch_size=100,
        time="3 min 10 s",
        machine="2 cores of a processor",
        sampling=0.0046,
        command="gmzoo train vae",
        about={"preset": "glyphs", "config": {"code_size": 16}},
        unfinished=False,
    )
    change = dataclasses.replace
    return [
        first,
        change(first, title="gan", kind="GAN", likelihood="implicit", metrics={}, panels={}),
        change(first, title="nade", likelihood="exact", metrics=likelihood(-90.0, "exact", "log_prob")),
        change(first, title="pixelcnn", likelihood="exact", metrics=likelihood(-81.0, "exact", "log_prob")),
        change(first, title="rnn", samples={"picture": None, "text": "<i>once</i>"}, unfinished=True),
        change(
            first, title=EVIL, samples=None, without=EVIL, dataset=EVIL, sampling=None,
            metrics={EVIL: likelihood(1.0, EVIL, "x")["x"]}, command=EVIL, about={EVIL: EVIL}, summary=EVIL,
        ),
    ]  # fmt: skip
