"""Measures of translators whose truth is known: one that knows the counterparts, a lazy one, a random one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import zoo.data
from zoo.data import Data, Info
from zoo.evaluation import extractors
from zoo.evaluation.evaluate import evaluate
from zoo.evaluation.extractors import Extractor, Seen

DOMAINS, DIGITS = ("light", "dark", "red"), ("0", "1", "2", "3")
COUNT = 240


def paint(domain: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """Images uint8 [N, 4, 4, 3]: a bar at the place of the digit, in the colours of the domain."""
    ink = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]])[domain]
    paper = np.array([[255, 255, 255], [0, 0, 0], [255, 255, 255]])[domain]
    bar = (np.arange(4)[None, None, :, None] == digit[:, None, None, None]) & np.ones((1, 4, 1, 1), bool)
    return np.where(bar, ink[:, None, None], paper[:, None, None]).astype(np.uint8)


def made(names: tuple[str, ...] = DOMAINS) -> Data:
    """Files of one name in each domain show one digit."""
    row = np.arange(COUNT)
    domain, thing = (row % len(names)).astype(np.int32), row // len(names)
    digit = (thing % 4).astype(np.int32)
    info = Info(
        levels=256,
        class_names=names,
        domain_names=names,
        attribute_names=("digit",),
        attribute_values=(DIGITS,),
        files=tuple(f"{names[each]}/{number}.png" for each, number in zip(domain, thing, strict=True)),
        fingerprint="f00d",
        local=True,
    )
    fields = {"image": paint(domain, digit), "label": domain, "domain": domain, "attributes": digit[:, None]}
    return Data("folder:made", "test", fields, info)


def seen_domain(images: np.ndarray) -> np.ndarray:
    """Which domain images are of."""
    corner = np.stack([images[:, 0].mean((1, 2)), images[:, 0, :, 1].mean(1)], -1)
    return np.where(corner[:, 0] < 0.5, 1, np.where(corner[:, 1] + 0.05 < corner[:, 0], 2, 0))


class DomainEye(Extractor):
    """Sees the domain."""

    name, weights_hash, image_shape, size, interpolation = "eye", "e1e", (4, 4, 3), 4, "bicubic"
    class_names = DOMAINS

    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        return Seen(images[:, 0, :, 0], np.eye(3, dtype=np.float32)[seen_domain(images)])


DOMAIN_EYE = DomainEye()


class DigitEye(Extractor):
    """Reads the digit of dark images, and 0 in all others."""

    name, weights_hash, image_shape, size, interpolation = "reader", "d1g", (4, 4, 3), 4, "bicubic"
    class_names = DIGITS

    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        place = np.where(seen_domain(images) == 1, images[:, 0, :, 0].argmax(1), 0)
        return Seen(images[:, 0, :, 0], np.eye(4, dtype=np.float32)[place])


@dataclasses.dataclass
class Translator:
    """What `evaluate` needs of a SavedModel that translates."""

    way: str
    domains: tuple[str, ...] = DOMAINS

    def __post_init__(self) -> None:
        self.name, self.takes, self.modality, self.kind, self.asks = (
            "translator",
            "image",
            "image",
            None,
            "domain",
        )
        self.signatures, self.draws = {"translate": {"inputs": {}, "outputs": {}}}, False
        self.conditions, self.given_text, self.class_names, self.attributes = (), False, (), {}
        self.card = {"model": "translator", "config": {"image_shape": [4, 4, 3]}, "dataset": {"spec": "made"}}

    def translate(self, x: np.ndarray, to: np.ndarray) -> np.ndarray:
        if self.way == "lazy":
            return x
        own = seen_domain(x)
        bar = np.where(own == 1, x[:, 0, :, 0].argmax(1), x[:, 0, :, 2].argmin(1))
        if self.way == "deaf":  # the next one, whatever is asked for
            to = (own + 1) % 3
        if self.way == "forgetful":
            bar = np.zeros_like(bar)
        return paint(np.array([DOMAINS.index(self.domains[each]) for each in to]), bar) / np.float32(255)


@pytest.fixture
def measured(monkeypatch):
    """Measures a translator on the made data, whose domains an extractor knows."""

    def measure(
        way: str, domains: tuple[str, ...] = DOMAINS, judge: Extractor | None = DOMAIN_EYE, **options
    ):
        monkeypatch.setattr(zoo.data, "load", lambda *_, **__: made())
        monkeypatch.setattr(zoo.data, "default_split", lambda spec: "test")
        monkeypatch.setattr(extractors, "own", lambda *_: judge)
        monkeypatch.setattr(extractors, "choose", lambda *_: DigitEye())
        return evaluate(Translator(way, domains), "folder:made", **options)

    return measure


def value(found: dict, name: str) -> float:
    return found[name]["value"]


def test_one_that_knows_the_truth_has_no_error(measured):
    found = measured("honest")
    assert value(found, "translation_error") == value(found, "cycle_error") == 0.0
    assert value(found, "translation_accuracy") == 1.0
    assert found["translation_error"]["receipt"]["n"] == 2 * COUNT
    told = found["unchanged_error"]["receipt"]["found"]
    assert {*told} == {f"{a} to {b}" for a in DOMAINS for b in DOMAINS if a != b}
    # Of light and dark every value differs; light and red differ in two of three colours of a quarter.
    assert told["light to dark"] == told["dark to light"] == 1.0
    assert told["light to red"] == pytest.approx(1 / 4 / 3)
    assert value(found, "unchanged_error") == pytest.approx(np.mean(list(told.values())))
    assert found["translation_error"]["better"] == "lower"
    assert found["translation_accuracy"]["receipt"]["extractor"] == "eye"


def test_one_that_does_nothing_is_as_good_as_the_unchanged_image(measured):
    found = measured("lazy")
    assert value(found, "translation_error") == value(found, "unchanged_error") > 0.2
    assert value(found, "translation_accuracy") == 0.0
    assert value(found, "cycle_error") == 0.0


def test_one_that_does_not_listen_is_found_out(measured):
    found = measured("deaf")
    assert value(found, "translation_accuracy") == 0.5  # by chance the next one is asked for
    by_pair = found["translation_accuracy"]["receipt"]["found"]
    assert by_pair["light to dark"] == 1.0
    assert by_pair["light to red"] == 0.0


def test_between_two_of_the_domains_others_are_left_out(measured):
    found = measured("honest", ("dark", "light"))
    assert {*found["translation_error"]["receipt"]["found"]} == {"light to dark", "dark to light"}
    assert value(found, "translation_error") == 0.0
    assert found["translation_error"]["receipt"]["n"] == 2 * COUNT // 3


def test_what_should_have_stayed_is_read_by_a_classifier_of_it(measured):
    found = measured("honest", ("light", "dark"), extractor="digits")
    told = found["kept_digit_accuracy"]["receipt"]["found"]
    assert told["light to dark"] == 1.0
    assert told["light to dark, unchanged"] == pytest.approx(0.25)
    assert told["dark to light"] == pytest.approx(0.25)  # it cannot read light ones
    forgot = measured("forgetful", ("light", "dark"), extractor="digits")
    assert forgot["kept_digit_accuracy"]["receipt"]["found"]["light to dark"] == pytest.approx(0.25)


def test_without_a_classifier_the_errors_are_left(measured, caplog):
    caplog.set_level("INFO", "gmzoo")
    found = measured("honest", judge=None)
    assert {*found} == {"translation_error", "unchanged_error", "cycle_error"}
    assert any("gmzoo train vit --preset styles --dataset folder:made" in text for text in caplog.messages)
    assert measured("honest", metrics=["cycle_error"]).keys() == {"cycle_error"}


class Painter(Translator):
    """Changes the digit, which is an attribute."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asks, self.domains, self.attributes = "attributes", (), {"digit": [*DIGITS]}

    def translate(self, x: np.ndarray, to: np.ndarray) -> np.ndarray:
        wanted = np.zeros_like(to[:, 0]) if self.way == "deaf" else to[:, 0]
        return paint(seen_domain(x), wanted) / np.float32(255)


class AttributeEye(DigitEye):
    """Knows the digit as an attribute, wherever it stands."""

    class_names = DOMAINS
    attributes = {"other": ["x"], "digit": [*DIGITS]}  # noqa: RUF012

    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        digit = np.abs(images[:, 0, :, 1] - np.median(images[:, 0, :, 1], 1, keepdims=True)).argmax(1)
        probabilities = np.eye(3, dtype=np.float32)[seen_domain(images)]
        return Seen(images[:, 0, :, 0], probabilities, np.stack([np.zeros_like(digit), digit], -1))


@pytest.mark.parametrize("way", ["honest", "deaf"])
def test_attributes_are_changed_one_at_a_time_to_other_values(monkeypatch, way):
    monkeypatch.setattr(zoo.data, "load", lambda *_, **__: made())
    monkeypatch.setattr(zoo.data, "default_split", lambda spec: "test")
    monkeypatch.setattr(extractors, "own", lambda *_: AttributeEye())
    found = evaluate(Painter(way), "folder:made")
    assert "translation_error" not in found
    accuracy, told = found["translation_accuracy"], found["translation_accuracy"]["receipt"]["found"]
    assert {*told} == {"digit"}
    assert accuracy["receipt"]["n"] == COUNT
    if way == "honest":
        assert accuracy["value"] == 1.0
        assert value(found, "cycle_error") == 0.0
    else:
        assert accuracy["value"] == pytest.approx(0.25, abs=0.1)
        assert value(found, "cycle_error") > 0.0


def test_a_judge_that_numbers_the_values_otherwise_is_none(monkeypatch, caplog):
    class Otherwise(AttributeEye):
        @property
        def attributes(self) -> dict[str, list[str]]:
            return {"other": ["x"], "digit": [*DIGITS[::-1]]}

    caplog.set_level("INFO", "gmzoo")
    monkeypatch.setattr(zoo.data, "load", lambda *_, **__: made())
    monkeypatch.setattr(zoo.data, "default_split", lambda spec: "test")
    monkeypatch.setattr(extractors, "choose", lambda *_: Otherwise())
    assert "translation_accuracy" not in evaluate(Painter("honest"), "folder:made", extractor="other")
    assert any("no vit here can say" in text for text in caplog.messages)
