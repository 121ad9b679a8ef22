"""The page of a comparison, from entries of every kind."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np

from zoo.evaluation.metrics import newest
from zoo.reports.comparison import expected_time, notes, run_of, told, write_comparison


def test_all_of_it_is_there_and_nothing_is_asked_of_anybody(entries, tmp_path):
    html = write_comparison(entries, np.arange(64), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "64 samples, seeds 0 to 63" in html
    assert html.count('<img class="samples" src="data:image/png;base64,') == 4
    assert "&lt;i&gt;once&lt;/i&gt;" in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert "<script" not in html
    assert html.count("<svg class=") == 2
    bounds, exact = html.index("Bounds, glyphs"), html.index("Exact, glyphs")
    assert exact < html.index('scope="row">pixelcnn') < html.index('scope="row">nade') < bounds
    assert bounds < html.index("−61.50 ± 0.10")
    for figure in ("435,873", "6,000 steps", "3 min 10 s", "4.6 ms", "2 cores of a processor"):
        assert figure in html
    assert "rnn is unfinished." in html


def test_what_was_measured_now_takes_the_place_of_what_is_recorded_but_for_a_better_likelihood():
    def figure(value, n, fingerprint="ab"):
        receipt = {"n": n, "split": "test", "fingerprint": fingerprint}
        return {"value": value, "kind": "bound", "unit": "nats", "receipt": receipt}

    recorded = {"elbo": figure(1, 100), "iwae_50": figure(2, 10), "fid": figure(3, 100)}
    measured = {"elbo": figure(4, 100), "iwae_50": figure(5, 100), "fid": figure(6, 10), "kid": figure(7, 10)}
    found = newest(recorded, measured)
    assert {name: each["value"] for name, each in found.items()} == {
        "elbo": 1,
        "iwae_50": 5,
        "fid": 6,
        "kid": 7,
    }
    assert newest(recorded, {"elbo": figure(4, 10, "other")})["elbo"]["value"] == 4


def test_a_reader_is_told_that_the_data_differ(entries):
    assert notes(entries[:4]) == []
    other = dataclasses.replace(entries[1], dataset="digits")
    assert notes([entries[0], other]) == [
        "They were trained on different data: vae on glyphs; gan on digits."
    ]


def test_seeds_in_words():
    assert told(np.arange(5, 9)) == "4 samples, seeds 5 to 8"
    assert told(np.array([7])) == "one sample, seed 7"
    assert told(np.array([1, 3, 9])) == "3 samples, the same seeds"


def test_the_cost_that_a_preset_names(monkeypatch):
    preset = {}
    monkeypatch.setattr("zoo.registry.presets", lambda name: {"p": preset})
    for preset["expect"], time in (
        ("test ELBO -61.4 nats; 4 min on 2 cores", "4 min on 2 cores, says the preset"),
        ("not measured yet; about 12 min on 2 cores", "about 12 min on 2 cores, says the preset"),
        ("test NLL 23.9 nats; seconds", "not told"),
    ):
        assert expected_time({"model": "vae", "preset": "p"}) == time
    assert expected_time({"model": "another", "preset": "p"}) == "not told"


def test_a_saved_model_of_a_run_leads_to_it(tmp_path):
    version = tmp_path / "vae-001/saved_model/1"
    version.mkdir(parents=True)
    assert run_of(version) is None
    (tmp_path / "vae-001/run.json").write_text(json.dumps({}))
    found = run_of(version)
    assert found is not None and found.path == tmp_path / "vae-001"
