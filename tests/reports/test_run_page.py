"""`report.html` of a run, from what its folder holds."""

from __future__ import annotations

import json
import re

import pytest

from zoo.errors import ZooError
from zoo.reports import run_page
from zoo.reports.run_page import write_run_page


def page_of(run):
    return write_run_page(run).read_text(encoding="utf-8")


def test_it_tells_what_was_trained_and_how(made_run, tmp_path):
    html = page_of(made_run(tmp_path))
    for told in (
        "VAE on glyphs", "Run vae-007, preset glyphs", "gmzoo train vae", "−61.47 ± 0.14",
        "bound on the likelihood", "3 min 10 s", "2 cores of a processor", "2026-01-31", "fe03",
        "10000", "code size", "encoder units", "name adam, learning_rate 0.002", "gmzoo 0.1.0",
    ):  # fmt: skip
        assert told in html, told
    assert html.count("<svg class=") == 2
    assert len(re.findall(r'<img class="samples" src="data:image/(png|gif);base64,', html)) == 2
    assert "Warnings" not in html


def test_it_asks_nothing_of_anybody(made_run, tmp_path):
    html = page_of(made_run(tmp_path))
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert "url(" not in html
    assert "<script" not in html
    assert "default-src 'none'" in html


def test_warnings_are_told(made_run, tmp_path):
    warnings = [
        {
            "name": "classes",
            "text": "the generator covers 3 of 10 classes",
            "step": 14,
            "epoch": 1,
            "over": None,
        },
        {"name": "spread", "text": "two samples are alike", "step": 28, "epoch": 2, "over": 4},
    ]
    html = page_of(made_run(tmp_path, warnings=warnings))
    assert "Epoch 1: the generator covers 3 of 10 classes</li>" in html
    assert "Epoch 2: two samples are alike (over in epoch 4)</li>" in html


def test_a_large_film_is_linked(made_run, tmp_path, monkeypatch):
    monkeypatch.setattr(run_page, "LARGEST_FILM", 100)
    html = page_of(made_run(tmp_path))
    assert html.count("<img") == 1
    assert 'href="samples/progress.gif"' in html


def test_texts_are_shown_as_they_are(made_run, tmp_path):
    html = page_of(made_run(tmp_path, text=True))
    assert "== seed 0 ==\n&lt;b&gt;epoch 3&lt;/b&gt;" in html
    assert "<img" not in html


def test_a_run_without_samples_result_or_log_has_a_page_too(made_run, tmp_path):
    run = made_run(tmp_path, epochs=0, model="gan", result={}, command=None)
    (run.path / "metrics.jsonl").unlink()
    html = page_of(run)
    assert "can only be sampled" in html
    assert "<h2>Samples" not in html
    assert "<svg" not in html


def test_nothing_of_a_record_becomes_markup(made_run, tmp_path):
    evil = '"><script>alert(1)</script>'
    run = made_run(
        tmp_path, model=evil, preset=evil, command=evil, config={evil: evil}, machine=evil,
        result={evil: {"value": 1.0, "unit": evil, "kind": evil, "receipt": {evil: evil}}},
        warnings=[{"text": evil, "epoch": 1}],
    )  # fmt: skip
    line = {"kind": "train", "step": 1, "epoch": 1, evil: 1.0}
    (run.path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    html = page_of(run)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 8


def test_a_damaged_record_is_an_error_and_the_old_page_stays(made_run, tmp_path):
    run = made_run(tmp_path)
    before = page_of(run)
    (run.path / "run.json").write_text("{")
    with pytest.raises(ZooError, match="no run that can be read"):
        write_run_page(run)
    assert (run.path / "report.html").read_text(encoding="utf-8") == before
