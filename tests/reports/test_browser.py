"""The pages in a browser: they render, ask for nothing, fit a phone, can be read in light and dark, print."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zoo.reports.comparison import write_comparison
from zoo.reports.run_page import write_run_page

# Of each text the contrast with what lies under it, as WCAG 2 computes it; those below 4.5.
LOW_CONTRAST = """
(() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const linear = (v) => v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const under = (e) => {
    for (; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color[3] > 0) return color;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text) continue;
    const style = getComputedStyle(e);
    const a = light(parse(e.ownerSVGElement ? style.fill : style.color)), b = light(under(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push(text.slice(0, 30) + ' ' + ratio.toFixed(2));
  }
  return JSON.stringify(found);
})()
"""


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
    assert json.loads(browser.value(LOW_CONTRAST)) == []
    assert browser.picture(tmp_path / "page.png").stat().st_size > 10_000


def test_it_prints_what_is_folded_on_the_screen(browser, page, tmp_path):
    browser.open(page, 1280, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    height = "document.querySelector('details > :not(summary)').getBoundingClientRect().height"
    assert browser.value(height) > 10
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.print(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
