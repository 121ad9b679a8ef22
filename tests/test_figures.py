"""The figures on the models' pages are those of the shipped cards, which `gmzoo evaluate` wrote."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from zoo import registry
from zoo.evaluation.metrics import metric

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """docs/write_figures.py."""
    spec = importlib.util.spec_from_file_location("write_figures", DOCS / "write_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", sorted(DOCS.glob("models/*.md")), ids=lambda path: path.stem)
def test_pages_and_cards_agree(writer, page):
    text = page.read_text(encoding="utf-8")
    assert writer.filled(text) == text, "run: python docs/write_figures.py"


def test_what_was_evaluated_stands_on_the_page(writer, monkeypatch, tmp_path):
    receipt = {"dataset": "glyphs", "split": "test", "n": 10_000, "seed": 0, "version": "0.1.0"}
    drawn = {
        **receipt,
        "samples": 5000,
        "extractor": "vit trained on glyphs",
        "extractor_hash": "a1",
        "resizer": "none",
    }
    card = {
        "model": "vae",
        "preset": "mnist",
        "dataset": {"spec": "glyphs"},
        "metrics": {
            "elbo": metric(-61.4, 0.1, "nats", "higher", receipt, "bound"),
            "fid": metric(12.3456, None, "squared distance", "lower", {**drawn, "warning": "few images"}),
            "kid": metric(
                0.01234, 0.0021, "squared discrepancy", "lower", {**drawn, "warning": "few images"}
            ),
        },
    }
    for version in ("1", "9", "10"):
        path = tmp_path / "vae-mnist" / version / "assets.extra/model_card.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**card, "metrics": card["metrics"] if version == "10" else {}}))
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    page = "# VAE\n\n<!-- evaluated: vae-mnist -->\nold\n<!-- end -->\n\nmore <!-- end -->\n"
    found = writer.filled(page)
    assert "old" not in found
    assert "| `fid` | 12.35 | squared distance | estimate | 10,000 |" in found
    assert "| `kid` | 0.0123 +- 0.0021 | squared discrepancy | estimate | 10,000 |" in found
    assert "| `elbo` | -61.40 +- 0.10 | nats | bound | 10,000 |" in found  # measured by training
    assert "*`gmzoo evaluate --model shipped:vae:mnist --samples 5000`. Examples: 10,000 of glyphs" in found
    assert "- `fid`, `kid`: few images." in found
    assert found.endswith("<!-- end -->\n\nmore <!-- end -->\n")
    assert writer.filled(found) == found
