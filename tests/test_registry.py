"""Names, presets, and where `--model M` leads."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

import zoo
from zoo import registry
from zoo.base import VERBS, Turn, configure
from zoo.errors import UsageError
from zoo.runs import Run, all_runs, next_run, runs_dir


def fake_run(
    folder, name, *, model="vae", preset="glyphs", status="finished", started="2026-01-01", export=True
):
    run = Run(folder / name)
    run.update(model=model, preset=preset, status=status, started=started)
    if export:
        version = run.path / "saved_model/1"
        version.mkdir(parents=True)
        (version / "saved_model.pb").write_bytes(b"")
    return run


@pytest.mark.parametrize("name", registry.names())
def test_literals_agree_with_the_classes(name):
    card, model_class = registry.card(name), registry.model_class(name)
    assert card["default"] in registry.presets(name)
    verbs = [
        verb for verb, capabilities in VERBS.items() if all(issubclass(model_class, c) for c in capabilities)
    ]
    assert sorted(card["capabilities"]) == sorted(verbs)
    for preset in registry.presets(name).values():
        config = configure(model_class.config_class(), preset["config"])
        assert vars(config) == vars(
            configure(model_class.config_class(), registry.defaults(name) | preset["config"])
        )
        assert dataclasses.is_dataclass(config)
        # How long a run takes: its phases may say it.
        phased = model_class.phases(config)[-1].steps is not None
        assert ("epochs" in preset) + ("steps" in preset) == (not phased)
        assert preset["expect"]


@pytest.mark.parametrize("name", registry.names())
def test_every_preset_names_its_turns(name):
    """Only the smallest is built: turns do not depend on sizes; options may add some."""
    presets = registry.presets(name)
    model_class = registry.model_class(name)
    model = model_class(configure(model_class.config_class(), presets["tiny"]["config"]))
    turns = {turn.name for turn in model.turns() if isinstance(turn, Turn)}  # counting needs no optimizer
    for preset in presets.values():
        assert turns <= set(preset["optimizers"])
        assert set(preset.get("averages", {})) <= set(preset["optimizers"])


@pytest.mark.parametrize("name", registry.names())
def test_models_are_attributes_by_file_and_by_class(name):
    module, model_class = registry.module(name), registry.model_class(name)
    assert getattr(zoo.models, name) is module
    assert getattr(zoo.models, model_class.__name__) is model_class


def test_models_load_only_what_is_asked_for():
    code = (
        "import sys, zoo; zoo.models; assert 'tensorflow' not in sys.modules;"
        "from zoo.models import VAE; assert 'zoo.models.gan' not in sys.modules;"
        "assert zoo.models.vae.VAE is VAE and not hasattr(zoo.models, 'Config')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_list_has_what_the_command_prints():
    for item in zoo.list():
        assert list(item) and set(item) == {
            "name",
            "family",
            "likelihood",
            "capabilities",
            "presets",
            "paper",
        }
        assert item["likelihood"] in {"exact", "bound", "implicit", "none"}
    json.dumps(zoo.list())


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UsageError, match=r"no model 'vea'.*Did you mean vae"):
        registry.card("vea")
    with pytest.raises(UsageError, match=r"vae has no preset 'glyph'.*Did you mean glyphs\?"):
        registry.preset("vae", "glyph")


def test_a_name_is_the_newest_finished_run_here(tmp_path):
    fake_run(tmp_path, "vae-001", started="2026-01-01")
    newest = fake_run(tmp_path, "vae-002", started="2026-01-02")
    fake_run(tmp_path, "vae-003", started="2026-01-03", status="stopped")
    fake_run(tmp_path, "gan-001", model="gan", started="2026-01-04")
    found = registry.resolve("vae", tmp_path)
    assert (found.path, found.origin) == (newest.saved_model, "run")


def test_a_preset_narrows_the_choice(tmp_path):
    mnist = fake_run(tmp_path, "vae-001", preset="mnist", started="2026-01-01")
    fake_run(tmp_path, "vae-002", started="2026-01-02")
    assert registry.resolve("vae:mnist", tmp_path).path == mnist.saved_model
    with pytest.raises(UsageError, match="has no preset 'mnits'"):
        registry.resolve("vae:mnits", tmp_path)


def test_shipped_models_are_found_where_no_run_is(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    for base in ("vae", "vae-mnist"):
        for version in ("1", "2", "10"):
            (shipped / base / version).mkdir(parents=True)
            (shipped / base / version / "saved_model.pb").write_bytes(b"")
    monkeypatch.setattr(registry, "SHIPPED", shipped)
    runs = tmp_path / "runs"
    assert registry.resolve("vae", runs).path == shipped / "vae/10"  # as numbers, not as text
    assert registry.resolve("vae:mnist", runs).path == shipped / "vae-mnist/10"
    fake_run(runs, "vae-001")
    assert registry.resolve("vae", runs).origin == "run"
    assert registry.resolve("shipped:vae", runs).origin == "shipped"
    assert registry.shipped() == ["shipped:vae", "shipped:vae:mnist"]
    assert registry.resolve(registry.shipped()[1], runs).path == shipped / "vae-mnist/10"
    with pytest.raises(UsageError, match="Train it first: gmzoo train gan --preset paper"):
        registry.resolve("gan:paper", runs)


def test_a_path_may_be_a_run_a_base_or_a_version(tmp_path):
    run = fake_run(tmp_path, "any")
    for path in (run.path, run.path / "saved_model", run.path / "saved_model/1"):
        assert registry.resolve(str(path)).path == run.saved_model
    stopped = fake_run(tmp_path, "stopped", status="stopped", export=False)
    assert registry.resolve(str(stopped.path)).unfinished
    with pytest.raises(UsageError, match="No such file or folder"):
        registry.resolve("./nowhere")
    with pytest.raises(UsageError, match="neither a run"):
        registry.resolve(str(tmp_path))


def test_runs_are_numbered_and_listed_newest_first(tmp_path, monkeypatch):
    assert next_run(tmp_path, "vae").path.name == "vae-001"
    fake_run(tmp_path, "vae-001", started="2026-01-01")
    fake_run(tmp_path, "vae-007", started="2026-01-02")
    (tmp_path / "vae-broken").mkdir()
    (tmp_path / "vae-broken/run.json").write_text("{")
    assert next_run(tmp_path, "vae").path.name == "vae-008"
    assert [run.path.name for run in all_runs(tmp_path)] == ["vae-007", "vae-001"]
    monkeypatch.setenv("GMZOO_RUNS", str(tmp_path))
    assert runs_dir() == tmp_path
    assert runs_dir("here").name == "here"


def test_a_run_whose_process_died_is_stopped(tmp_path):
    run = fake_run(tmp_path, "vae-001", status="running")
    assert run.status == "stopped"
    with run.held():
        assert run.status == "running"
