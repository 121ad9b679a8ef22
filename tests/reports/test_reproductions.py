"""Published numbers beside ours, and which runs may stand for a preset."""

from __future__ import annotations

import dataclasses

import pytest

from zoo import registry
from zoo.base import configure
from zoo.errors import UsageError
from zoo.models import nade
from zoo.reports.reproductions import Published, chosen, described, finished_run, published, table
from zoo.runs import Run

NATS = Published("nade", "mnist", "log_prob", -88.33, "nats", "a paper", "fixed binarization")
BITS = Published("pixelcnn", "paper", "log_prob_bits_per_dim", 3.14, "bits/dim", "a paper", "256 levels")


@pytest.mark.parametrize(
    ("number", "value", "error", "line"),
    [
        (NATS, -87.75, 0.23, "paper 88.33 nats, here 87.75 +- 0.23, difference -0.58 (fixed binarization)"),
        (NATS, -88.93, None, "paper 88.33 nats, here 88.93, difference +0.60 (fixed binarization)"),
        (NATS, None, None, "paper 88.33 nats, here not finite (fixed binarization)"),
        (BITS, 3.2, 0.004, "paper 3.14 bits/dim, here 3.2000 +- 0.0040, difference +0.06 (256 levels)"),
    ],
)  # fmt: skip
def test_the_line(number, value, error, line):
    assert number.line({"value": value, "standard_error": error}) == line


def test_difference_above_0_is_what_we_lack():
    assert described(NATS, {"value": -90.0}, "a run")["difference"] == pytest.approx(1.67)
    assert described(BITS, {"value": 3.0}, "a run")["difference"] == pytest.approx(-0.14)
    assert described(NATS, None, None)["here"] is None


def test_a_model_without_a_number_names_those_that_have_one():
    assert chosen("nade", None).preset == "mnist"
    assert chosen("nade", "eonade").value == -89.17
    with pytest.raises(UsageError, match="No published number of gan.*nade"):
        chosen("gan", None)
    with pytest.raises(UsageError, match="digits of nade follows no published number.*mnist"):
        chosen("nade", "digits")
    with pytest.raises(UsageError, match="no model 'nada'"):
        chosen("nada", None)


def test_only_the_preset_itself_stands_for_it(tmp_path):
    values = registry.presets("nade")["mnist"]
    config = {**dataclasses.asdict(nade.Config()), **values["config"], "image_shape": [28, 28, 1]}
    record = {
        "model": "nade", "preset": "mnist", "config": config, "averages": {}, "precision": "float32",
        "patience": values.get("patience"), "jit": values.get("jit", False),
        "dataset": {"spec": "npz:mine", "limit": None, "image_size": None},
        "optimizers": values["optimizers"], "init_from": None,
        "batch_size": values["batch_size"], "steps": 20_000, "epochs": float(values["epochs"]), "seed": 0,
        "status": "finished", "started": "2026-01-01",
        "result": {"log_prob": {"value": -88.0, "standard_error": 0.2}},
    }  # fmt: skip
    wrong = {
        "stopped": {"status": "stopped"},
        "shorter": {"epochs": 1.0},
        "smaller": {"config": {**record["config"], "hidden_units": 10}},
        "slower": {"optimizers": {"likelihood": {"name": "adam", "learning_rate": 0.1}}},
        "few": {"dataset": {**record["dataset"], "limit": 100}},
        "shrunk": {"dataset": {**record["dataset"], "image_size": 14}},
        "set": {"config": {**config, "activation": "relu"}},  # which the preset leaves as it is
        "averaged": {"averages": {"likelihood": 0.999}},
        "patient": {"patience": 1000},
        "rounded": {"precision": "mixed_bfloat16"},
        "helped": {"init_from": "shipped:nade"},
        "unmeasured": {"result": {}},
        "preset": {"preset": "digits"},
    }
    for name, changes in wrong.items():
        Run(tmp_path / name).update(**record | changes | {"started": "2026-01-02"})
    assert finished_run(NATS, tmp_path) is None
    Run(tmp_path / "right").update(**record)
    found = finished_run(NATS, tmp_path)
    assert found is not None and found.path.name == "right"
    assert finished_run(NATS, tmp_path, "npz:mine", 0) is not None
    assert finished_run(NATS, tmp_path, "binarized_mnist") is None
    assert finished_run(NATS, tmp_path, None, 1) is None
    row = next(each for each in table(tmp_path) if (each["model"], each["preset"]) == ("nade", "mnist"))
    assert (row["here"], row["measured_by"]) == (88.0, str(tmp_path / "right"))


@pytest.mark.parametrize("number", published(), ids=lambda each: f"{each.model}-{each.preset}")
def test_a_run_of_the_preset_is_one_whatever_its_data_decided(number, tmp_path):
    preset = registry.presets(number.model)[number.preset]
    config_class = registry.model_class(number.model).config_class()
    config = dataclasses.asdict(configure(config_class, preset["config"]))
    decided = {"image_shape": [5, 5, 1]} | ({"classes": 7} if config.get("classes") else {})
    settings = {key: preset.get(key, unsaid) for key, unsaid in registry.UNSAID.items()}
    record = {
        **settings, "model": number.model, "preset": number.preset, "config": config | decided, "seed": 0,
        "dataset": {"spec": "npz:mine", "limit": None, "image_size": preset.get("image_size")},
        "optimizers": preset["optimizers"], "batch_size": preset["batch_size"], "init_from": None,
        "steps": preset.get("steps"), "epochs": preset.get("epochs"), "status": "finished",
        "started": "2026-01-01", "result": {number.metric: {"value": 1.0, "standard_error": 0.1}},
    }  # fmt: skip
    Run(tmp_path / "one").update(**record)
    assert finished_run(number, tmp_path) is not None


def test_the_table_has_what_is_on_record_and_what_is_not_yet_measured(tmp_path):
    rows = {(each["model"], each["preset"]): each for each in table(tmp_path)}
    assert len(rows) == len(published())
    for number in published():
        row = rows[number.model, number.preset]
        assert row["paper"] > 0
        if number.measured is None:
            assert row["here"] is row["difference"] is row["measured_by"] is None
        else:
            assert row["measured_by"] == number.measured["command"]
            assert row["difference"] == pytest.approx(row["here"] - row["paper"])
