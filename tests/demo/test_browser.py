"""`gmzoo demo` in a browser: every tab of every shipped model, pictures that are none, a phone, the dark."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo import registry

pytest.importorskip("gradio", reason="the extra demo is not installed: pip install .[demo]")

# A minute and more for all models.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]

EXAMPLE = "Take an example of its data"
#: Seconds of processor time until the page answers; the clock says more where others work, too.
STARTED = 10.0
#: Of one model, with what it reads and draws.
SECONDS = 240.0
WORKING = "[...document.querySelectorAll('[data-testid=status-tracker]:not(.hide)')].length"
TABS = "[...document.querySelectorAll('[role=tab]')].map((e) => e.innerText.trim())"
SHOWN = "[...document.querySelectorAll('[role=tabpanel]')].filter((e) => e.offsetParent)[0]"
#: Questions that a visitor could not answer.
SHUT = (
    f"[...{SHOWN}.querySelectorAll('input:disabled, textarea:disabled')]"
    ".filter((e) => e.offsetParent && !e.closest('.written')).map((e) => e.ariaLabel || e.type)"
)
#: What the component to paint on, and a browser without a graphics card, say of its library.
PIXI = re.compile("Pixi|assets/|groupEnd|WebGL|ReadPixels")
PROMPT = "a small red circle at the top left"


def command(port: int) -> list[str]:
    code = "from zoo.cli.main import main; main()"
    return [sys.executable, "-P", "-c", code, "demo", "--port", str(port), "--no-browser"]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, subprocess.Popen, float]]:
    """The URL of a page over all shipped models, its process, and what its start took of the processor."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        command(port),
        cwd=tmp_path_factory.mktemp("demo"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + SECONDS
        while True:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end, "the page does not answer"
            try:
                with urllib.request.urlopen(url, timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield url, process, seconds_of(process.pid)
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert out.strip() == url
    assert "Traceback" not in err, err
    assert process.returncode == 143


def seconds_of(process: int) -> float:
    """Processor time of a process; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes_of(process: int) -> float:
    """What a process holds in memory; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def show(browser, url: str, name: str, width: int = 1280, dark: bool = False) -> None:
    """Opens the page of a model and waits for its tabs."""
    browser.open(f"{url}/?model={name}", width, dark=dark)
    browser.until("document.querySelectorAll('[role=tab]').length > 0", SECONDS)
    settle(browser)


def settle(browser) -> None:
    """Waits until nothing works any more: what follows an answer begins a moment later."""
    quiet = 0
    end = time.monotonic() + SECONDS
    while quiet < 4:
        assert time.monotonic() < end, "the page does not come to rest"
        time.sleep(0.1)
        quiet = 0 if browser.value(WORKING) else quiet + 1


def button(text: str) -> str:
    """The button with this text in the tab that is shown."""
    return (
        f"[...{SHOWN}.querySelectorAll('button')].filter((e) => e.innerText.trim() === {json.dumps(text)})[0]"
    )


def press(browser, text: str) -> None:
    browser.click(button(text))
    settle(browser)


def turn_to(browser, title: str) -> None:
    """Shows a tab; on a phone some of them are in a menu."""
    wanted = f"filter((e) => e.innerText.trim() === {json.dumps(title)})[0]"
    if title in browser.value(TABS):
        browser.click(f"[...document.querySelectorAll('[role=tab]')].{wanted}")
    else:
        browser.click("document.querySelector('.overflow-menu > button')")
        browser.click(f"[...document.querySelectorAll('.overflow-dropdown button')].{wanted}")
    browser.until(f"!!{SHOWN}")
    settle(browser)


def upload(browser, path: Path) -> None:
    browser.upload(f"{SHOWN}.querySelector('input[type=file]')", path)
    time.sleep(1)
    settle(browser)


def wrong(browser) -> list[str]:
    """The errors in the tab that is shown."""
    return browser.value(f"[...{SHOWN}.querySelectorAll('.wrong')].map((e) => e.innerText)")


def results(browser) -> list[str]:
    """What the tab that is shown tells, shows and writes as its result."""
    return browser.value(
        f"[...{SHOWN}.querySelectorAll('.words, .shown img, .written textarea:disabled')]"
        ".map((e) => e.innerText || e.currentSrc || e.value).filter((each) => each)"
    )


def test_it_starts_soon(server):
    _, _, seconds = server
    assert seconds < STARTED


def test_a_taken_port_is_one_line(server, tmp_path):
    url, *_ = server
    port = int(url.rpartition(":")[2])
    done = subprocess.run(command(port), cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Error: 127.0.0.1, port {port}: ") and "--port N" in line


@pytest.mark.parametrize("name", registry.shipped())
def test_every_tab_answers(browser, server, name, tmp_path):
    url, process, _ = server
    signatures = registry.model_card(registry.resolve(name).path)["signatures"]
    needed = () if "sample" in signatures else signatures.get("sample_with", {}).get("inputs", ())
    show(browser, url, name)
    titles = browser.value(TABS)
    assert titles
    for title in titles:
        turn_to(browser, title)
        assert wrong(browser) == [], title
        for each in ("A caption of its data", EXAMPLE):
            if browser.value(f"!!{button(each)}"):
                press(browser, each)
        assert browser.value(SHUT) == [], title
        if title == "Side by side" and "prompt" in needed:
            browser.type(f"{SHOWN}.querySelector('textarea')", PROMPT)
        main = f"[...{SHOWN}.querySelectorAll('button.primary')][0]"
        if browser.value(f"!!{main}"):  # units move without one
            browser.click(main)
            settle(browser)
        assert wrong(browser) == [], title
        assert results(browser), title
        browser.picture(tmp_path / f"{title}.png")
    assert [each for each in browser.requests if not each.startswith((url, "blob:"))] == []
    assert [each for each in browser.complaints if not PIXI.search(each)] == []
    assert megabytes_of(process.pid) < 4000


def test_another_model_is_chosen(browser, server):
    url, *_ = server
    show(browser, url, "shipped:joint")
    browser.click("document.querySelector('#model input')")
    option = (
        "[...document.querySelectorAll('[role=option]')].filter((e) => e.innerText.includes('nade: NADE'))[0]"
    )
    browser.until(f"!!{option}")
    x, y = browser.middle(option)
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.mouse(kind, x, y)
    browser.until("location.search.includes('nade')")
    browser.until(f"document.readyState === 'complete' && {TABS}.includes('Complete')", SECONDS)
    assert browser.value("document.querySelector('#model input').value") == "nade: NADE"


def test_what_is_painted_is_drawn_anew(browser, server, tmp_path):
    url, *_ = server
    show(browser, url, "shipped:nade")
    turn_to(browser, "Complete")
    press(browser, EXAMPLE)
    x, y = browser.middle(f"{SHOWN}.querySelector('canvas')")
    browser.drag((x - 80, y), (x + 80, y))
    time.sleep(1)
    press(browser, "Complete")
    assert wrong(browser) == []
    given = re.search(r"given, (\d+)% of the picture", " ".join(results(browser)))
    assert 50 < int(given[1]) < 100  # without paint it is 50
    turn_to(browser, "Score")  # the same picture
    press(browser, "Score")
    assert wrong(browser) == []


def test_units_move(browser, server):
    url, *_ = server
    show(browser, url, "shipped:vae")
    turn_to(browser, "Latent units")
    assert "untouched" in " ".join(results(browser))
    browser.arrow_right(f"{SHOWN}.querySelector('input[type=range]')", 5)
    settle(browser)
    browser.until(f"/unit \\d+ = /.test({SHOWN}.innerText)")
    press(browser, "Back to the seed")
    browser.until(f"{SHOWN}.innerText.includes('untouched')")


def test_bad_pictures_are_one_line_each(browser, server, tmp_path):
    url, process, _ = server
    show(browser, url, "shipped:vit")
    before = megabytes_of(process.pid)
    uploads = pytest.importorskip("zoo.demo.uploads")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "good.png")
    good = (tmp_path / "good.png").read_bytes()
    files = {
        "empty.png": b"",
        "text.png": b"no picture at all",
        "cut.png": good[: len(good) // 2],
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "archive.zip": b"PK\x03\x04" + bytes(40),
    }
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    Image.new("1", (6000, 6000)).save(tmp_path / "bomb.png")  # small on the disk
    assert (tmp_path / "bomb.png").stat().st_size < 100_000 and uploads.MOST_PIXELS < 6000**2
    for name in [*files, "bomb.png"]:
        upload(browser, tmp_path / name)
        press(browser, "Classify")
        [line] = wrong(browser)
        assert len(line.splitlines()) == 1 and "Traceback" not in line, name
    show(browser, url, "shipped:vit")
    upload(browser, tmp_path / "good.png")
    assert wrong(browser) == []
    assert "%" in " ".join(results(browser))
    assert megabytes_of(process.pid) < before + 500


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_can_be_read(browser, server, width, dark):
    url, *_ = server
    show(browser, url, "shipped:nade", width, dark)
    for title in ("Sample", "Score", "Complete"):
        turn_to(browser, title)
        if title != "Sample":
            press(browser, EXAMPLE)
        assert browser.value("document.documentElement.scrollWidth") == width
        assert browser.low_contrast() == [], title
