"""`gmzoo compare` and `gmzoo reproduce`."""

from __future__ import annotations

import re

import pytest

from zoo import registry
from zoo.errors import UsageError
from zoo.evaluation import evaluate
from zoo.reports import comparison

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture(autouse=True)
def timed_once(monkeypatch):
    """What a sample costs is of no interest here: one timing of each model is enough."""
    monkeypatch.setattr(comparison, "TIMING_SECONDS", 0.0)


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


def test_one_that_cannot_be_measured_is_told_and_the_others_are_compared(trained, tmp_path, monkeypatch):
    measure = evaluate.evaluate

    def of_all_but_nade(model, *words, **options):
        if model.name == "nade":
            raise UsageError("its data is gone.")
        return measure(model, *words, **options)

    monkeypatch.setattr(evaluate, "evaluate", of_all_but_nade)
    done = trained("compare", "dcgan", "nade", "--evaluate", "--samples", 70)
    assert done.code == 0, done.err
    assert "nade cannot be measured: its data is gone." in done.err
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "nade was not measured now: its data is gone." in html
    assert 'scope="row">FID<' in html
    assert "Exact, digits, test split" in html  # what its card holds is there all the same


def test_data_that_fits_no_model_is_wrong_use(trained, tmp_path):
    done = trained("compare", "dcgan", "nade", "--evaluate", "--data", "npz:none.npz")
    assert done.code == 2
    assert "none.npz" in done.err
    assert not (tmp_path / "report.html").exists()


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
