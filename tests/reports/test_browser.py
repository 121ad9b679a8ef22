"""The pages in a browser: they render, ask for nothing, fit a phone, can be read in light and dark, print."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.reports.comparison import write_comparison
from zoo.reports.run_page import write_run_page


@pytest.fixture(params=["run", "comparison"])
def page(request, tmp_path, entries, made_run):
    if request.param == "run":
        return write_run_page(made_run(tmp_path, warnings=[{"text": "covers 3 of 10 classes", "epoch": 1}]))
    return write_comparison(entries, np.arange(64), tmp_path / "report.html")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_renders_fits_and_can_be_read(browser, page, width, dark, tmp_path):
    browser.open(page, width, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value("[...document.images].every((each) => each.naturalWidth > 0 && each.alt)")
    assert browser.value(
        "[...document.querySelectorAll('svg.plot')].every((e) => e.getBoundingClientRect().height > 50)"
    )
    browser.value("document.querySelectorAll('details').forEach((each) => each.open = true)")
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.low_contrast() == []
    assert browser.picture(tmp_path / "page.png").stat().st_size > 10_000


def test_it_prints_what_is_folded_on_the_screen(browser, page, tmp_path):
    browser.open(page, 1280, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    height = "document.querySelector('details > :not(summary)').getBoundingClientRect().height"
    assert browser.value(height) > 10
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.print(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
