"""`gmzoo compare` and `gmzoo reproduce`."""

from __future__ import annotations

import re

import pytest

from zoo import registry

pytestmark = pytest.mark.xdist_group("cli")


def test_models_stand_side_by_side(trained, tmp_path):
    done = trained("compare", "vae", "nade", "dcgan", "-n", 9, "--seed", 3)
    assert done.code == 0, done.err
    assert done.out == "report.html\n"
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "9 samples, seeds 3 to 11" in html
    assert html.count('<img class="samples"') == 3
    assert html.index("Exact, digits, test split") < html.index("Bounds, digits, test split")
    assert "No likelihood: dcgan." in html
    assert '<svg class="plot"' in html  # they are runs, and have curves
    assert len(re.findall(r">[\d.]+ m?s</td>", html)) == 3  # the cost of sampling was measured
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    again = trained("compare", "vae", "nade")
    assert again.out == "report-2.html\n"
    assert trained("compare", "vae", "nade", "--out", "report.html").code == 2
    assert trained("compare", "vae", "nade", "--out", "report.html", "--force").code == 0


def test_they_can_be_measured_now(trained, tmp_path):
    done = trained("compare", "dcgan", "nade", "--evaluate", "--samples", 70)
    assert done.code == 0, done.err
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for measure in ("FID", "KID", "recall"):
        assert f'scope="row">{measure}<' in html
    assert "are few" in html  # and the page says that they rest on little
    assert "extractor" in html


def test_a_finished_run_is_told_beside_the_paper(trained, workshop, monkeypatch):
    number = {
        "metric": "log_prob",
        "value": -20.0,
        "unit": "nats",
        "source": "a paper",
        "conditions": "of digits",
    }
    monkeypatch.setitem(registry.presets("nade")["tiny"], "published", number)
    done = trained("reproduce", "nade", "--preset", "tiny")
    assert done.code == 0, done.err
    line, data, path = done.out.splitlines()
    match = re.fullmatch(
        r"paper 20\.00 nats, here ([\d.]+) \+- [\d.]+, difference ([+-][\d.]+) \(of digits\)", line
    )
    assert match
    assert float(match[2]) == pytest.approx(float(match[1]) - 20.0, abs=0.011)
    assert data == "180 examples of digits, test split"
    assert path == str(workshop / "nade-001")
    assert "is finished" in done.err
    found = trained("reproduce", "nade", "--preset", "tiny", "--json").json
    assert (found["paper"], found["measured_by"]) == (20.0, path)
    assert found["difference"] == pytest.approx(found["here"] - 20.0)
    listed = trained("reproduce", "--json").json
    assert next(each for each in listed if each["preset"] == "tiny") == found


def test_what_is_not_here_is_trained_and_then_told(gmzoo, tmp_path, monkeypatch):
    number = {
        "metric": "elbo",
        "value": -30.0,
        "unit": "nats",
        "source": "a paper",
        "conditions": "of digits",
    }
    monkeypatch.setitem(registry.presets("vae")["tiny"], "published", number)
    plan = gmzoo("reproduce", "vae", "--dry-run")
    assert (plan.code, plan.out) == (0, "")
    assert "would start runs/vae-001" in plan.err
    done = gmzoo("reproduce", "vae", "--seed", 5)
    assert done.code == 0, done.err
    assert done.out.startswith("paper 30.00 nats, here ")
    assert done.out.splitlines()[-1] == "runs/vae-001"
    assert (tmp_path / "runs/vae-001/report.html").is_file()
    other = gmzoo("reproduce", "vae", "--dry-run")  # another seed is another run
    assert "would start runs/vae-002" in other.err


def test_all_published_numbers_are_listed(gmzoo):
    lines = gmzoo("reproduce").out.splitlines()
    assert lines[0].split()[:4] == ["model", "preset", "paper", "here"]
    nade = next(line for line in lines if line.split()[:2] == ["nade", "mnist"])
    assert "88.33" in nade
    assert "gmzoo train nade --preset mnist" in nade
    assert any("not yet measured" in line for line in lines)
