"""What all tests share: a quiet TensorFlow with two devices, places for data, a browser without a window."""

from __future__ import annotations

import base64
import collections
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# There is a test process for each core: threads of NumPy would wait for one another, spinning all the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Not the user's own cache; kept between runs, since drawing a set takes seconds.
os.environ.setdefault("TFDS_DATA_DIR", str(ROOT / "build/test-data"))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Splits the processor into two devices, for the tests with replicas; later TensorFlow refuses to."""
    if getattr(session.config.option, "numprocesses", None):
        return  # the process that only hands the tests out
    from zoo.memory import keep_freed

    keep_freed()
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


#: SavedModels that `opened_once` keeps open, the last used last.
OPENED: collections.OrderedDict[tuple[Any, ...], Any] = collections.OrderedDict()
MOST_OPENED = 12


@pytest.fixture
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow opens a SavedModel once for all tests that ask for this, as long as its files are the same.

    Every command opens its own, which takes most of its time where the model is small.
    """
    import tensorflow as tf

    load = tf.saved_model.load

    def once(path: str) -> Any:
        files = sorted(each for each in Path(path).rglob("*") if each.is_file())
        stats = [(str(each.resolve()), (stat := each.stat()).st_size, stat.st_mtime_ns) for each in files]
        key = (os.path.realpath(path), *stats)
        found = OPENED.pop(key, None)
        OPENED[key] = load(path) if found is None else found
        while len(OPENED) > MOST_OPENED:
            OPENED.popitem(last=False)
        return OPENED[key]

    monkeypatch.setattr(tf.saved_model, "load", once)


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have no `curves.png`, which takes a second, where nobody looks at it."""
    from zoo import callbacks

    monkeypatch.setattr(callbacks, "curves", lambda *_: None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets: `GMZOO_REAL_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("GMZOO_REAL_DATA") or ROOT.parent / "shared/data")
    if not folder.is_dir():
        pytest.skip(f"no real data: GMZOO_REAL_DATA names no folder, and there is none at {folder}")
    return folder


# -- a browser ----------------------------------------------------------------------------------------------

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

    def open(self, page: Path | str, width: int, height: int = 800, dark: bool = False) -> None:
        """Shows a file, or what is at a URL, in a window of this size."""
        url = page if isinstance(page, str) else page.absolute().as_uri()
        self.requests, self.complaints, self.loaded = [], [], False
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """What a line of JavaScript gives; the page's own policy does not hold for it."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str, seconds: float = SECONDS) -> Any:
        """Waits until a line of JavaScript gives something that is true, and gives that."""
        end = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"after {seconds:g} s still not: {expression}"
            time.sleep(0.05)
        return found

    def click(self, element: str) -> None:
        """Clicks in the middle of an element that a line of JavaScript gives, as a mouse does."""
        x, y = self.middle(element)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def drag(self, *points: tuple[float, float]) -> None:
        """Draws a line through points of the window with the button held down."""
        self.mouse("mouseMoved", *points[0])
        self.mouse("mousePressed", *points[0])
        for (from_x, from_y), (to_x, to_y) in itertools.pairwise(points):
            for share in (0.25, 0.5, 0.75, 1.0):
                self.mouse("mouseMoved", from_x + share * (to_x - from_x), from_y + share * (to_y - from_y))
        self.mouse("mouseReleased", *points[-1])

    def mouse(self, kind: str, x: float, y: float) -> None:
        held = kind in ("mousePressed", "mouseReleased")
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, clickCount=int(held),
            button="left" if held else "none", buttons=int(kind != "mouseReleased"),
        )  # fmt: skip

    def middle(self, element: str) -> tuple[float, float]:
        """Where in the window the middle of an element is, once it has been scrolled to."""
        box = self.until(
            f"(() => {{ const e = {element}; if (!e) return null; e.scrollIntoView({{block: 'center'}});"
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return box[0], box[1]

    def type(self, element: str, text: str) -> None:
        """Types a text into a field, in place of what stands there."""
        self.click(element)
        self.value(f"{element}.select()")
        self.call("Input.insertText", text=text)

    def upload(self, element: str, *paths: Path) -> None:
        """Gives files to an input of files."""
        found = self.call("Runtime.evaluate", expression=element)["result"]
        files = [str(path.absolute()) for path in paths]
        self.call("DOM.setFileInputFiles", objectId=found["objectId"], files=files)

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
