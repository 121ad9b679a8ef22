"""A run and a comparison to make pages of, and a browser without a window to look at them."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.reports.comparison import Entry
from zoo.reports.page import inlined_picture
from zoo.reports.pictures import gif, grid, write_picture
from zoo.runs import Run

SECONDS = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Browser:
    """One page of a headless Chromium, spoken to through two pipes.

    Attributes:
        requests: every URL that the page asked for, data URIs left out.
        complaints: what the page wrote to the console, and what the browser logged of it.
    """

    def __init__(self, program: str, profile: str) -> None:
        reading, to_us = os.pipe()
        to_it, writing = os.pipe()
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip

        def pipes() -> None:  # Chromium reads commands from 3 and answers on 4
            a, b = os.dup(to_it), os.dup(to_us)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            command, preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_it)
        os.close(to_us)
        os.set_blocking(reading, False)
        self.reading, self.writing = reading, writing
        self.buffer, self.count, self.session = b"", 0, None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self.reading)
        os.close(self.writing)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self.count:
                assert "error" not in found, found["error"]
                return found["result"]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self.buffer:
            assert time.monotonic() < end, "the browser does not answer"
            assert self.process.poll() is None, "the browser has ended"
            try:
                self.buffer += os.read(self.reading, 2**20)
            except BlockingIOError:
                time.sleep(0.01)
        line, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(line)
        self._hear(message)
        return message

    def _hear(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])

    def open(self, path: Path, width: int, height: int = 800, dark: bool = False) -> None:
        """Shows a file in a window of this size."""
        self.requests, self.complaints, self.loaded = [], [], False
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.absolute().as_uri())
        while not self.loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """What a line of JavaScript gives; the page's own policy does not hold for it."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: Path) -> Path:
        """The whole page, from top to bottom, as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def print(self, path: Path) -> Path:
        """The page as PDF, A4."""
        found = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        found = Browser(program, profile)
        try:
            yield found
        finally:
            found.close()


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
