"""What a model's file says must be what its class does."""

from __future__ import annotations

import json

import pytest

from zoo import registry
from zoo.base import VERBS, ConditionalLikelihood, ExactLikelihood, LikelihoodBound, configure
from zoo.data import CATALOGUE
from zoo.reports.reproductions import published
from zoo.schedules import make_optimizer
from zoo.timetable import Timetable

MODELS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in registry.names()]
PRESETS = [
    pytest.param(name, preset, marks=pytest.mark.xdist_group(name), id=f"{name}-{preset}")
    for name in registry.names()
    for preset in registry.presets(name)
]
PUBLISHED = [*dict.fromkeys(each.model for each in published())]
# The parts of a preset; nothing reads others.
REQUIRED = {"config", "dataset", "batch_size", "optimizers", "expect"}
OPTIONAL = {"image_size", "steps", "epochs", "averages", "patience", "precision", "jit", "published"}


@pytest.mark.parametrize("name", MODELS)
def test_card_says_what_the_class_can(name):
    model = registry.model_class(name)
    card = registry.card(name)
    able = {verb for verb, needed in VERBS.items() if all(issubclass(model, each) for each in needed)}
    assert set(card["capabilities"]) == able
    likelihood = {
        "exact": issubclass(model, ExactLikelihood | ConditionalLikelihood),
        "bound": issubclass(model, LikelihoodBound),
    }
    assert [kind for kind, has in likelihood.items() if has] == [card["likelihood"]] * (
        card["likelihood"] in likelihood
    )


@pytest.mark.parametrize("name", MODELS)
def test_card_says_what_the_model_cannot(name):
    limits = registry.card(name)["limits"]
    assert len(limits.split()) >= 8
    assert limits.endswith(".")


@pytest.mark.parametrize("name", MODELS)
def test_config_is_frozen_and_says_its_defaults(name):
    config_class = registry.model_class(name).config_class()
    config = config_class()
    assert config_class.__dataclass_params__.frozen
    assert hash(config) == hash(config_class())


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_preset_is_complete(name, preset):
    values = registry.presets(name)[preset]
    assert set(values) >= REQUIRED
    assert set(values) <= REQUIRED | OPTIONAL
    model_class = registry.model_class(name)
    config = configure(model_class.config_class(), values["config"])
    # How long a run takes: its phases may say it.
    phased = model_class.phases(config)[-1].steps is not None
    assert ("steps" in values) + ("epochs" in values) == (not phased)
    presets = registry.presets(name)
    # Those of the tiny presets are trained here; options may add turns to those of the plain one.
    tried = {turn for key in presets if key.startswith("tiny") for turn in presets[key]["optimizers"]}
    turns = values["optimizers"].keys()
    assert presets["tiny"]["optimizers"].keys() <= turns <= tried
    assert values.get("averages", {}).keys() <= turns
    for turn, optimizer in values["optimizers"].items():
        make_optimizer(turn, optimizer, 100)
    kind, _, rest = values["dataset"].partition(":")
    assert rest or values["dataset"] in CATALOGUE, f"no data set {kind}"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.xdist_group(path.parents[2].name), id=path.parents[2].name)
        for path in sorted(registry.SHIPPED.glob("*/*/assets.extra/model_card.json"))
    ],
)
def test_shipped_model_is_what_its_command_makes_now(path):
    card = json.loads(path.read_text())
    name, preset = card["model"], card["preset"]
    default = registry.card(name)["default"]
    assert card["command"] == f"gmzoo train {name}" + (f" --preset {preset}" if preset != default else "")
    values = registry.presets(name)[preset]
    config_class = registry.model_class(name).config_class()
    decided = (
        "image_shape",
        "features",
        "classes",
        "attributes",
        "vocabulary",
        "length",
        "domains",
        "values",
    )
    decided += ("groups",)
    of_data = {key: value for key, value in card["config"].items() if value and key.endswith(decided)}
    config = configure(config_class, {**values["config"], **of_data})
    assert configure(config_class, card["config"]) == config  # an option that is newer is at its default
    assert card["dataset"]["spec"] == values["dataset"]
    assert card["batch_size"] == values["batch_size"]
    counting = not values["optimizers"]
    phases = registry.model_class(name).phases(config)
    timetable = Timetable(phases, card["dataset"]["examples"], card["batch_size"], every_row=counting)
    assert card["steps"] == (
        timetable.steps(values["epochs"]) if "epochs" in values else values.get("steps", timetable.length)
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in PUBLISHED]
)
def test_a_published_number_is_what_a_run_measures(name, subject_of):
    """Its metric is in a run's result, in that unit and with that sign."""
    result = subject_of(name, "tiny").run.record["result"]
    for each in published():
        if each.model == name:
            metric = result[each.metric]
            assert each.unit == metric["unit"]
            assert (each.value < 0) == (metric["value"] < 0)
            assert metric["better"] == ("higher" if each.unit == "nats" else "lower")
            assert each.source and each.conditions
            if each.measured is not None:
                assert set(each.measured) == {"value", "standard_error", "command"}
                assert each.measured["command"].startswith(f"gmzoo train {name} --preset {each.preset}")
