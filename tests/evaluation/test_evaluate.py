"""Measures of made models whose truth is known: honest, collapsed, copying, deaf; and of shipped ones."""

from __future__ import annotations

import copy
import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest

import zoo.data
from zoo.data import Data, Info
from zoo.errors import UsageError
from zoo.evaluation import densities, examples, extractors, subject, summaries, variety
from zoo.evaluation.evaluate import MEASURES, check_alike, check_names, document, evaluate
from zoo.evaluation.extractors import Extractor, Seen
from zoo.evaluation.metrics import made_of, over_models
from zoo.evaluation.obedience import says
from zoo.reports.measures import Receipts, measures_tables

COLOURS = ("red", "green", "blue")
SHADES = ("dark", "light")
INFO = Info(
    levels=256,
    class_names=COLOURS,
    attribute_names=("shade", "secret"),
    attribute_values=(SHADES, ("yes", "no")),
    fingerprint="f00d",
)
SIZES = {"train": 900, "validation": 300, "test": 600}
KEYS = {"value", "standard_error", "unit", "kind", "better", "receipt"}


def paint(label: np.ndarray, shade: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Images float32 [N, 4, 4, 3]: one colour in one shade, each pixel a little different."""
    colour = np.eye(3)[label] * np.where(shade, 0.9, 0.5)[:, None]
    noise = random.normal(0.0, 0.05, (len(label), 4, 4, 3))
    return np.clip(0.05 + colour[:, None, None] + noise, 0, 1).astype(np.float32)


def made(split: str = "test") -> Data:
    random = np.random.default_rng(list(SIZES).index(split))
    label, shade, secret = (random.integers(0, n, SIZES[split]).astype(np.int32) for n in (3, 2, 2))
    fields = {
        "image": np.round(255 * paint(label, shade, random)).astype(np.uint8),
        "label": label,
        "attributes": np.stack([shade, secret], -1),
        "caption": np.array([f"a {SHADES[s]} {COLOURS[c]} thing" for s, c in zip(shade, label, strict=True)]),
    }
    return Data("made", split, fields, INFO)


class Eye(Extractor):
    """Sees the colour and the shade of each image rightly."""

    name = "eye"
    weights_hash = "e1e"
    image_shape = (4, 4, 3)
    size = 12
    class_names = COLOURS
    attributes = {"shade": list(SHADES), "secret": ["yes", "no"]}  # noqa: RUF012
    interpolation = "bicubic"

    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        images = self.fitted(images)
        features = images[:, ::2, ::2].reshape(len(images), -1)
        if not classes:
            return Seen(features)
        mean = images.mean((1, 2))
        probabilities = np.eye(3, dtype=np.float32)[mean.argmax(1)]
        shade = (mean.max(1) > 0.7).astype(np.int32)
        return Seen(features, probabilities, np.stack([shade, np.zeros_like(shade)], -1))


@dataclasses.dataclass
class Painter:
    """What `evaluate` needs of a SavedModel that draws images."""

    way: str = "honest"
    conditions: tuple[str, ...] = ()
    levels: int | None = None
    name: str = "painter"
    path: str = "runs/painter-001"
    modality: str = "image"
    draws: bool = True
    takes: str = "image"
    kind: str | None = None
    given_text: bool = False
    class_names: tuple[str, ...] = COLOURS
    asks: str | None = None

    def unread(self, prompts: np.ndarray) -> str:
        return "half of it"

    @property
    def signatures(self) -> dict[str, Any]:
        output = {"inputs": {}, "outputs": {"image": {"dtype": "float32", "shape": [None, 4, 4, 3]}}}
        names = ["sample_with"] if "prompt" in self.conditions else ["sample"]
        return dict.fromkeys([*names, *(["sample_with"] if self.conditions else [])], output)

    @property
    def card(self) -> dict[str, Any]:
        data = {"spec": "made", "fingerprint": "f00d"}
        return {"dataset": data, "levels": self.levels, "config": {"classes": len(COLOURS)}}

    def iter_samples(
        self,
        seeds: np.ndarray,
        label: Any = None,
        prompt: Any = None,
        strict: bool = True,
        temperature: float | None = None,
    ):
        if temperature is not None and "label" in self.conditions:
            assert label is not None, "can draw nothing without a label"
        assert strict == (prompt is None)  # nobody typed the captions of data
        for start in range(0, len(seeds), 64):
            rows = slice(start, start + 64)
            random = np.random.default_rng(seeds[rows])
            count = len(seeds[rows])
            colour, shade = random.integers(0, 3, count), random.integers(0, 2, count)
            if self.way != "deaf" and label is not None:
                colour = label[rows]
            if self.way != "deaf" and prompt is not None:
                colour = np.array(
                    [next(i for i, c in enumerate(COLOURS) if c in p.lower()) for p in prompt[rows]]
                )
                shade = np.array([SHADES[1] in p.lower() for p in prompt[rows]])
            images = paint(colour, shade, random)
            if self.way == "collapsed":
                images = np.repeat(
                    paint(np.zeros(1, int), np.zeros(1, int), np.random.default_rng(0)), count, 0
                )
            if self.way == "copying":
                images = made("train").fields["image"][seeds[rows] % SIZES["train"]] / np.float32(255)
            if self.levels == 2:
                images = (images >= 0.5).astype(np.float32)
            yield images


@pytest.fixture(autouse=True)
def only_what_is_made(request, monkeypatch):
    """The made data and the eye, save where a test takes what is shipped."""
    if "shipped" not in request.keywords.get("usefixtures", ()) and "shipped" not in request.fixturenames:
        monkeypatch.setattr(zoo.data, "load", lambda spec, split, **_: made(split))
        monkeypatch.setattr(extractors, "choose", lambda *_: Eye())


@pytest.fixture
def shipped(opened_once):
    """A shipped model by its name."""
    return lambda name: zoo.load(f"shipped:{name}")


def values(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: each["value"] for name, each in metrics.items()}


# -- what is found of images ---------------------------------------------------------------------------------


def test_an_honest_painter():
    found = evaluate(Painter(), samples=600)
    value = values(found)
    assert value["fid"] < 3 * value["fid_floor"]
    assert abs(value["kid"]) < 3 * found["kid"]["standard_error"]
    assert min(value["precision"], value["recall"], value["coverage"]) > 0.8
    assert value["density"] == pytest.approx(1.0, abs=0.15)
    assert abs(found["nearer_than_held_out"]["receipt"]["found"]["z"]) < 3
    assert (value["modes"], value["inception_score"]) == (3, pytest.approx(3.0, abs=0.1))
    assert value["class_entropy"] == pytest.approx(np.log(3), abs=0.01)
    assert value["class_distance"] < 0.06
    # Nothing else can be said of it.
    applying = ("parzen", "fid", "kid", "neighbours", "copies", "classes")
    assert set(found) == {name for measure in applying for name in MEASURES[measure].gives}


def test_a_collapsed_painter():
    value = values(evaluate(Painter("collapsed"), samples=600))
    assert value["recall"] < 0.1
    assert value["coverage"] < 0.1
    assert (value["modes"], value["inception_score"], value["class_entropy"]) == (1, 1.0, 0.0)
    honest = values(evaluate(Painter(), samples=600, metrics=["fid", "kid"]))
    assert value["fid"] > 10 * honest["fid"]
    assert value["kid"] > 10 * abs(honest["kid"])


def test_a_copying_painter_is_found_out():
    found = evaluate(Painter("copying"), samples=600, seed=5, metrics=["copies", "recall"])
    assert found["recall"]["value"] > 0.8  # nothing else looks wrong with it
    assert found["nearer_than_held_out"]["value"] > 0.99
    assert found["nearer_than_held_out"]["receipt"]["found"]["z"] > 20
    assert found["train_distance"]["value"] == pytest.approx(0.0, abs=1e-6)
    for each in found["train_distance"]["receipt"]["found"]["nearest"]:
        assert each["train_index"] == each["seed"] % SIZES["train"]
        assert each["distance"] == 0.0
    assert found["train_distance"]["receipt"]["found"]["held_out"] > 0.01


def test_copies_are_not_looked_for_with_data_that_was_seen():
    with pytest.raises(UsageError, match="copies of painter cannot be measured: it needs"):
        evaluate(Painter(), samples=9, split="train", metrics=["copies"])
    assert "train_distance" not in evaluate(Painter(), samples=9, split="train")


def test_what_a_caption_leaves_open_cannot_be_got_wrong(monkeypatch):
    """Nor is a thing that is tired red."""

    def lacking(*_, **__) -> Data:
        data = made()
        caption = np.array([text.title() for text in data.fields["caption"]], object)
        attributes = data.fields["attributes"].copy()
        attributes[:9, 0] = -1
        caption[9:18] = "a tired thing of delight"
        return dataclasses.replace(data, fields={**data.fields, "caption": caption, "attributes": attributes})

    monkeypatch.setattr(zoo.data, "load", lacking)
    found = evaluate(Painter("honest", ("prompt",)), samples=600, metrics=["captions"])
    for name, count in (("class", 591), ("shade", 582)):
        assert found[f"caption_{name}_accuracy"]["receipt"]["samples"] == count
        assert found[f"caption_{name}_accuracy"]["value"] == 1.0
    assert says("A Red thing", "red")
    assert not says("a tired thing", "red")
    assert says("a red, dark-blue thing", "dark-blue")
    assert says("at the top left", "at the top left")


@pytest.mark.parametrize(("way", "expected"), [("honest", 1.0), ("deaf", 1 / 3)])
def test_labels(way, expected):
    found = evaluate(Painter(way, ("label",)), samples=600, metrics=["label_accuracy"])
    assert found["label_accuracy"]["value"] == pytest.approx(expected, abs=0.06)
    assert found["label_accuracy"]["receipt"]["found"]["oracle_accuracy"] == 1.0


def test_samples_of_another_temperature_have_labels_in_turn_and_say_so():
    painter = Painter(conditions=("label", "temperature"))
    found = evaluate(painter, samples=600, temperature=0.5)
    drawn = {name: each["receipt"] for name, each in found.items() if "samples" in each["receipt"]}
    assert {"fid", "parzen", "label_accuracy"} <= drawn.keys()
    assert {each.get("temperature") for each in drawn.values()} == {0.5}
    assert found["class_entropy"]["value"] == pytest.approx(np.log(3), abs=1e-3)
    with pytest.raises(UsageError, match="painter has no temperature"):
        evaluate(Painter(), temperature=0.5)


@pytest.mark.parametrize(("way", "colour", "shade"), [("honest", 1.0, 1.0), ("deaf", 1 / 3, 1 / 2)])
def test_captions(way, colour, shade):
    """What a caption leaves open, "secret", is no accuracy."""
    found = evaluate(Painter(way, ("prompt",)), samples=900, metrics=["captions"])
    assert set(found) == {"caption_class_accuracy", "caption_shade_accuracy"}
    assert found["caption_class_accuracy"]["value"] == pytest.approx(colour, abs=0.06)
    assert found["caption_shade_accuracy"]["value"] == pytest.approx(shade, abs=0.06)
    receipt = found["caption_shade_accuracy"]["receipt"]
    assert (receipt["samples"], receipt["unread"]) == (900, "half of it")


class Puzzler(Painter):
    """Makes of patches their mean, and black of none; the first patch of a blue image is a dull red one."""

    @property
    def signatures(self) -> dict[str, Any]:
        return {**super().signatures, "assemble": {}}

    @property
    def patches_shape(self) -> tuple[int, ...]:
        return 2, 4, 4, 3

    def key_patches(self, x: np.ndarray) -> np.ndarray:
        blue = x.mean((1, 2)).argmax(-1) == 2
        red = np.broadcast_to(np.float32([0.2, 0.0, 0.0]), x.shape)
        return np.stack([np.where(blue[:, None, None, None], red, x), x], 1)

    def assemble(self, patches: np.ndarray, given: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
        there = given[:, :, None, None, None]
        assert len(seeds) == len(patches)
        return {"image": (there * patches).sum(1) / np.maximum(there.sum(1), 1)}


def test_what_is_made_of_patches_is_named_by_how_many_there_are():
    found = evaluate(Puzzler(), samples=500, metrics=["patches"])
    label = made().fields["label"][examples.chosen_rows(600, 500, 0)]
    expected = {0: np.mean(label == 0), 1: np.mean(label != 2), 2: 1.0}  # black counts as the first class
    assert values(found) == {f"patches_{number}_accuracy": share for number, share in expected.items()}
    receipt = found["patches_2_accuracy"]["receipt"]
    assert (receipt["samples"], receipt["n"], receipt["found"]["oracle_accuracy"]) == (500, 600, 1.0)
    with pytest.raises(UsageError, match="patches of painter cannot be measured: it needs"):
        evaluate(Painter(), metrics=["patches"])


def test_real_images_are_rounded_as_samples_are(monkeypatch):
    """Binary samples are compared with binary images: else the rounding would be all that is measured."""
    found = evaluate(Painter(levels=2), samples=600, metrics=["fid"])
    assert found["fid"]["receipt"]["levels"] == 2
    assert found["fid"]["value"] < 3 * found["fid_floor"]["value"]
    # A model of two levels that draws means is compared as it draws.
    gray = Painter()
    monkeypatch.setattr(Painter, "card", property(lambda self: {"dataset": {"spec": "made"}, "levels": 2}))
    assert evaluate(gray, samples=600, metrics=["fid"])["fid"]["receipt"]["levels"] is None


def test_memory_does_not_grow(monkeypatch):
    monkeypatch.setattr(summaries, "KEPT", 50)
    taken = []
    monkeypatch.setattr(
        subject,
        "summarise",
        lambda *args, **kwargs: taken.append(summaries.summarise(*args, **kwargs)) or taken[-1],
    )
    found = evaluate(Painter(), samples=333)
    assert len(taken) == 2
    for each, count in zip(sorted(taken, key=lambda each: each.count), (333, 600), strict=True):
        assert each.count == each.moments.count == each.tally.counts.sum() == count
        assert each.kept.shape == (50, 12)
        assert len(each.rows) == len(each.classes) == 50
    assert found["precision"]["receipt"]["compared"] == 50
    assert found["fid"]["receipt"]["n"] == 600

    def peak(count: int) -> int:
        image = np.full((64, 4, 4, 3), 0.5, np.float32)
        tracemalloc.start()
        summaries.summarise(Eye(), (image for _ in range(count // 64)), count, images=True)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # The order in which rows are chosen takes some bytes a row; features and images of all would take 240.
    assert (peak(4 * 16_384) - peak(16_384)) / (3 * 16_384) < 30


# -- what is asked for ---------------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_measured(monkeypatch):
    monkeypatch.setattr(Painter, "iter_samples", lambda *_: pytest.fail("no samples were asked for"))
    with pytest.raises(
        UsageError, match=r"elbo of painter cannot be measured: it needs a model with a lower"
    ):
        evaluate(Painter(), metrics=["elbo"])


def test_metrics_by_name_and_by_measure():
    assert list(evaluate(Painter(), samples=60, metrics=["recall", "kid"])) == ["kid", "recall"]
    # A distance without its floor says little.
    assert list(evaluate(Painter(), samples=60, metrics=["fid"])) == ["fid", "fid_floor"]
    asked = list(evaluate(Painter(), samples=60, metrics=["neighbours"]))
    assert asked == ["precision", "recall", "density", "coverage"]
    with pytest.raises(UsageError, match=r"no metric 'fidd'.*Did you mean fid"):
        check_names(["kid", "fidd"])
    check_names([*MEASURES, "caption_colour_accuracy", "iwae_50_bits_per_dim"])
    with pytest.raises(UsageError, match="at least 1"):
        evaluate(Painter(), samples=0)


def test_every_number_has_a_receipt(caplog):
    found = evaluate(Painter(), samples=200, seed=7)
    for name, metric in found.items():
        assert set(metric) == KEYS, name
        assert metric["kind"] in ("exact", "bound", "estimate")
        assert metric["better"] in ("higher", "lower", None)
        receipt = metric["receipt"]
        assert (receipt["dataset"], receipt["split"], receipt["fingerprint"]) == ("made", "test", "f00d")
        assert receipt["seed"] == 7
        assert receipt["version"]
        if name != "parzen":
            assert (receipt["extractor"], receipt["extractor_hash"], receipt["resizer"]) == (
                "eye",
                "e1e",
                "none",
            )
    assert found["fid"]["receipt"]["n"] == 600
    assert found["fid"]["receipt"]["samples"] == 200
    assert found["fid_floor"]["receipt"]["n"] + found["fid_floor"]["receipt"]["other_part"] == 600
    assert "arXiv 1511.01844" in found["parzen"]["receipt"]["caveat"]
    assert "200 images are few for a Frechet distance" in found["fid"]["receipt"]["warning"]
    assert "fid, fid_floor: 200 images are few" in caplog.text


def test_two_models_that_were_measured_alike_share_every_row():
    """What was found of each, as the shares of its classes, is no other way to measure."""
    models = [(way, evaluate(Painter(way), samples=600)) for way in ("honest", "collapsed")]
    assert models[0][1]["class_distance"]["receipt"] != models[1][1]["class_distance"]["receipt"]
    (table,) = measures_tables(models, Receipts())
    assert table.title == "made, test split, 4x4x3 values"
    assert table.heads == ["measure", "honest", "collapsed"]
    assert len(table.rows) == len(models[0][1]) > 10
    assert all(None not in cells for _, _, cells in table.rows)


def test_measured_otherwise_they_share_only_what_is_of_the_data_alone():
    models = [("few", evaluate(Painter(), samples=300)), ("many", evaluate(Painter(), samples=600))]
    (table,) = measures_tables(models, Receipts())
    assert [head for head, _, cells in table.rows if None not in cells] == ["FID floor"]


def test_enough_images_need_no_warning(monkeypatch):
    many = {**SIZES, "test": 4200}
    monkeypatch.setitem(globals(), "SIZES", many)
    found = evaluate(Painter(), samples=2100, metrics=["fid", "kid", "classes"])
    assert not [name for name, each in found.items() if "warning" in each["receipt"]]


def test_a_classifier_that_errs_is_told_of(monkeypatch):
    def blind(self: Eye, images: np.ndarray, classes: bool = True) -> Seen:
        return Seen(images.reshape(len(images), -1)[:, :12], np.tile([0.8, 0.1, 0.1], (len(images), 1)))

    monkeypatch.setattr(Eye, "see", blind)
    found = evaluate(Painter(), samples=300, metrics=["modes"])
    assert "names only 3" in found["modes"]["receipt"]["warning"]


def test_a_floor_has_as_many_images_as_the_distance_as_far_as_there_are():
    for samples, part in ((100, 100), (2000, 300)):
        receipt = evaluate(Painter(), samples=samples, metrics=["fid"])["fid_floor"]["receipt"]
        assert (receipt["n"], receipt["other_part"]) == (600 - part, part)


def test_of_too_few_images_nothing_is_made_up(monkeypatch):
    alone = evaluate(Painter(), samples=1, metrics=["kid"])["kid"]
    assert (alone["value"], alone["standard_error"]) == (None, None)
    assert "takes 2 images" in alone["receipt"]["warning"]
    assert evaluate(Painter(), samples=2, metrics=["kid"])["kid"]["value"] is not None
    for rows, known in ((1, False), (3, False), (4, True)):
        monkeypatch.setitem(SIZES, "test", rows)
        floor = evaluate(Painter(), samples=5, metrics=["fid_floor"])["fid_floor"]
        assert (floor["value"] is not None) == known
        assert ("take 4 of them" in floor["receipt"]["warning"]) == (not known)


def test_labels_that_mean_something_else_to_the_extractor_are_not_compared():
    other = Painter(conditions=("label",), class_names=COLOURS[::-1])
    with pytest.raises(UsageError, match="label_accuracy of painter cannot be measured"):
        evaluate(other, samples=9, metrics=["label_accuracy"])


def test_a_window_tells_where_its_width_is_no_free_choice(monkeypatch):
    monkeypatch.setattr(densities, "SIGMAS", np.array([0.01, 0.1, 1.0]))
    for split, sigma, said in (
        ("test", 0.1, None),
        ("validation", 0.1, "chosen on examples that are measured"),
        ("test", 1.0, "the width 1 is at an end"),
    ):
        monkeypatch.setattr(densities, "parzen", lambda x, *_, sigma=sigma: (np.zeros(len(x)), sigma))
        receipt = evaluate(Painter(), samples=20, split=split, metrics=["parzen"])["parzen"]["receipt"]
        assert said in receipt["warning"] if said else "warning" not in receipt


def test_real_texts_are_told_by_their_characters_and_have_no_padding(monkeypatch):
    tokens = np.array([[0, 1, 0], [1, -1, -1]], np.int32)
    data = Data("texts", "test", {"tokens": tokens}, Info(vocabulary=("a", " "), fingerprint="f00d"))
    monkeypatch.setattr(
        Painter, "iter_samples", lambda self, seeds: iter([np.array([b"a a a"] * len(seeds))])
    )
    painter = Painter(modality="text", takes="tokens")
    found = variety.runs_of_words(subject.Subject(painter, data, subject.Options(50), {}))
    receipt = found["distinct_1"]["receipt"]
    assert receipt["samples"] == 2  # no more than there are texts
    told = {key: receipt["found"][key] for key in ("characters", "real_characters", "real")}
    assert told == {"characters": 10, "real_characters": 4, "real": 0.5}


def test_a_word_that_found_nothing_is_an_error():
    with pytest.raises(UsageError, match=r"caption_colour_accuracy of painter was not found: there are"):
        evaluate(
            Painter("honest", ("prompt",)),
            samples=60,
            metrics=["caption_shade_accuracy", "caption_colour_accuracy"],
        )


def test_the_same_seed_gives_the_same_figures():
    first, again, other = (values(evaluate(Painter(), samples=100, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert first["fid"] != other["fid"]


def test_several_models():
    memory: dict[Any, Any] = {}
    models = [Painter(path=f"runs/painter-00{i}") for i in range(3)]
    names = ["fid", "modes"]
    found = [
        evaluate(model, samples=100, seed=seed, metrics=names, memory=memory)
        for seed, model in enumerate(models)
    ]
    mean = over_models(found)
    fids = [each["fid"]["value"] for each in found]
    assert mean["fid"]["value"] == pytest.approx(np.mean(fids))
    assert mean["fid"]["standard_deviation"] == pytest.approx(np.std(fids, ddof=1))
    assert mean["fid"]["standard_error"] == pytest.approx(np.std(fids, ddof=1) / np.sqrt(3))
    assert mean["fid"]["values"] == fids
    assert mean["fid"]["receipt"]["models"] == 3
    assert "seed" not in mean["fid"]["receipt"]  # they do not agree in it
    found[2]["fid"]["receipt"]["warning"] = "one more"
    assert mean["fid"]["receipt"]["warning"] == found[0]["fid"]["receipt"]["warning"]
    assert over_models(found)["fid"]["receipt"]["warning"].endswith("too large; one more")
    found[1]["modes"]["value"] = None
    assert set(over_models(found)) == {"fid", "fid_floor"}
    told = document(models, found)
    assert told["models"] == [each.path for each in models]
    assert (told["schema"], told["dataset"], told["split"]) == (1, "made", "test")


@pytest.mark.parametrize(
    "key", ["dataset", "split", "n", "fingerprint", "shape", "levels", "extractor_hash", "kind"]
)
def test_a_mean_of_what_was_not_measured_alike_is_refused(key):
    found = [copy.deepcopy(evaluate(Painter(), samples=60, metrics=["modes"])) for _ in range(2)]
    over_models(found)
    (found[1]["modes"] if key == "kind" else found[1]["modes"]["receipt"])[key] = "other"
    with pytest.raises(UsageError, match=f"No mean of modes over these models: their {key} differs .*other"):
        over_models(found)


def test_models_over_which_there_will_be_no_mean_are_refused_before_they_are_measured(monkeypatch):
    class Stranger(Painter):
        @property
        def card(self) -> dict[str, Any]:
            return {"dataset": {"spec": "others"}}

    models = [Painter(), Stranger()]
    check_alike([Painter(), Painter()], None, None)
    with pytest.raises(
        UsageError, match=r"their dataset differs \(made and others\). Measure them one by one"
    ):
        check_alike(models, None, None)
    check_alike(models, "others", "test")
    shapes = iter([[8, 8, 1], [9, 9, 1], [8, 8, 1], [None, None, 1]])
    monkeypatch.setattr(examples, "example_shape", lambda _: next(shapes))
    with pytest.raises(UsageError, match=r"their shape differs \(\[8, 8, 1\] and \[9, 9, 1\]\)"):
        check_alike(models, "others", "test")
    check_alike(models, "others", "test")


def test_figures_that_rest_on_different_numbers_are_told_so():
    receipt = {"dataset": "made", "split": "test"}
    assert made_of([receipt], 2)[0] == ("examples", "some of made, split test")
    assert made_of([{**receipt, "n": 60}, {**receipt, "n": 2000}], 1) == [
        ("examples", "60 to 2,000 of made, split test")
    ]


def test_real_images_are_looked_at_once_for_several_models():
    memory: dict[Any, Any] = {}
    first = evaluate(Painter(), samples=50, metrics=["fid"], memory=memory)
    kept = dict(memory)
    again = evaluate(Painter("collapsed"), samples=50, metrics=["fid"], memory=memory)
    assert memory == kept
    assert first["fid_floor"] == again["fid_floor"]
    assert first["fid"] != again["fid"]


# -- shipped models ------------------------------------------------------------------------------------------


def test_the_likelihood_is_that_of_the_card(shipped):
    """Training measured the Python model, this the SavedModel: the same to the last digits of float32."""
    for name in ("nade", "rnade"):
        model = shipped(name)
        found = evaluate(model, metrics=["log_prob"])
        for key, metric in found.items():
            told = model.card["metrics"][key]
            assert metric["value"] == pytest.approx(told["value"], rel=1e-5), name
            assert metric["standard_error"] == pytest.approx(told["standard_error"], rel=1e-4)
            assert (metric["kind"], metric["unit"]) == (told["kind"], told["unit"])
            assert metric["receipt"]["n"] == told["receipt"]["n"]


def test_the_classifier_is_as_good_as_its_card_says(shipped):
    model = shipped("vit")
    found = evaluate(model)
    assert set(found) == {"accuracy", "cross_entropy", "calibration_error"}
    for name in ("accuracy", "cross_entropy"):
        assert found[name]["value"] == pytest.approx(model.card["metrics"][name]["value"], rel=1e-5)
    assert 0 < found["calibration_error"]["value"] < 0.25


def test_features_of_no_images_are_not_compared(shipped):
    assert set(evaluate(shipped("rnade"), samples=9)) == {"log_prob", "log_prob_bits_per_dim"}


def test_the_vit_of_the_data_is_chosen_and_another_is_not_believed(shipped, caplog):
    data = zoo.data.load("digits", "test")
    chosen = extractors.choose(None, "digits", data.info, (8, 8, 1), "no-runs")
    assert chosen.name == "vit trained on digits"
    assert extractors.knows_classes(chosen, data.info)
    other = extractors.choose(
        None, "npz:mine", dataclasses.replace(data.info, fingerprint="1", local=True), (8, 8, 1), "no"
    )
    assert "no vit was trained on npz:mine here" in caplog.text
    assert not extractors.knows_classes(other, data.info)  # though its classes have the same names


def test_two_halves_of_real_digits_are_alike(shipped, monkeypatch):
    """All measures of images: a painter draws one half of the real digits, the other half is the data."""
    whole = zoo.data.load("digits", "all")
    half = dataclasses.replace(whole, fields={name: each[::2] for name, each in whole.fields.items()})
    others = whole.fields["image"][1::2] / np.float32(15)
    monkeypatch.setattr(zoo.data, "load", lambda *_, **__: half)

    class Other(Painter):
        card = {"dataset": {"spec": "digits", "fingerprint": "other"}, "levels": None}  # noqa: RUF012
        signatures = {"sample": {"outputs": {"image": {"shape": [None, 8, 8, 1]}}}}  # noqa: RUF012

        def iter_samples(self, seeds: np.ndarray):
            return iter([others[seeds]])

    found = evaluate(Other(), "digits", samples=len(others))
    assert abs(found["kid"]["value"]) < 3 * found["kid"]["standard_error"]
    assert min(found[name]["value"] for name in ("precision", "recall", "coverage")) > 0.75
    assert found["fid"]["value"] < found["fid_floor"]["value"]  # which rests on half as many
    assert found["modes"]["value"] == 10
