"""What the page does with a model is what the library does: the same signatures, the same numbers."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.demo import uploads, verbs
from zoo.demo.shelf import Shelf
from zoo.errors import UsageError

LOADED: dict[str, object] = {}


def model_of(name: str):
    """A shipped model, opened once."""
    if name not in LOADED:
        LOADED[name] = zoo.load(f"shipped:{name}")
    return LOADED[name]


def cells(picture: Image.Image, rows: int, columns: int, shape: tuple[int, int], gap: int = 2) -> np.ndarray:
    """The images of a grid, in their own size: uint8 [rows * columns, H, W]."""
    array = np.asarray(picture.convert("L"))
    scale = (array.shape[0] - gap) // rows // shape[0]
    step = np.array(shape) * scale + gap
    found = [
        array[gap + r * step[0] : gap + r * step[0] + shape[0] * scale : scale][
            :, gap + c * step[1] : gap + c * step[1] + shape[1] * scale : scale
        ]
        for r in range(rows)
        for c in range(columns)
    ]
    return np.stack(found)


def as_bytes(images: np.ndarray) -> np.ndarray:
    return (images[..., 0] * 255 + 0.5).astype(np.uint8)


def test_samples_are_those_of_the_seeds():
    model = model_of("nade")
    shown = verbs.sample(model, 5, 4)
    np.testing.assert_array_equal(cells(shown.picture, 2, 2, (8, 8)), as_bytes(model.sample(range(5, 9))))
    assert shown.told.startswith("4 from nade, seeds 5 to 8")
    warm = verbs.sample(model, 5, 4, temperature=0.5)
    wanted = model.sample(range(5, 9), temperature=0.5)
    np.testing.assert_array_equal(cells(warm.picture, 2, 2, (8, 8)), as_bytes(wanted))
    for seed in (-1, None, float("nan"), 2**60):
        with pytest.raises(UsageError, match="A seed is"):
            verbs.sample(model, seed, 1)
    assert verbs.room(model, 1000) == verbs.MOST


def test_a_code_is_given_part_by_part():
    model = model_of("infogan")
    shown = verbs.sample(model, 0, 4, code=[3, None, 1.5])
    wanted = model.sample(range(4), code=np.array([[3, np.nan, 1.5]] * 4, np.float32))
    np.testing.assert_array_equal(cells(shown.picture, 2, 2, (28, 28)), as_bytes(wanted))


def test_units_move_from_the_code_of_a_seed():
    model = model_of("infogan")
    controls = verbs.controls(model)
    assert len(controls) == verbs.UNITS
    assert controls[0].choices == [str(each) for each in range(10)]
    places = verbs.positions(model, controls, 3)
    same = verbs.decoded(model, controls, 3, places)
    left, right = cells(same.picture, 1, 2, (28, 28))
    np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(left, as_bytes(model.sample([3]))[0])
    moved = [str((int(str(places[0])) + 1) % 10), 0.9, *places[2:]]
    shown = verbs.decoded(model, controls, 3, moved)
    code = model.prior([3])
    code[0, controls[0].units] = np.eye(10)[int(moved[0])]
    code[0, controls[1].units] = 0.9
    np.testing.assert_array_equal(cells(shown.picture, 1, 2, (28, 28))[1], as_bytes(model.decode(code))[0])
    assert f"{controls[1].name} = 0.90" in shown.told


def test_the_way_between_seeds():
    model = model_of("infogan")
    shown = verbs.interpolated(model, 0, 1)
    ends = cells(shown.picture, 1, verbs.FRAMES, (28, 28))[[0, -1]]
    np.testing.assert_array_equal(ends, as_bytes(model.sample([0, 1])))


def test_scores_have_units_and_say_what_they_are():
    model = model_of("nade")
    x = model.sample([0])
    told = verbs.score(model, x).told
    found = model.log_prob(x)
    assert f"{found['log_prob'][0]:,.2f} nats" in told
    assert f"{found['bits_per_dim'][0]:.3f} bits/dim" in told
    assert "<dd>exact</dd>" in told and "digits" in told and "≥" not in told
    bounded = model_of("vae")
    told = verbs.score(bounded, bounded.sample([0])).told
    assert re.search(r"≥ -?[\d.]+ nats", told) and re.search(r"≤ [\d.]+ bits/dim", told)
    assert "a lower bound, from 50 draws" in told


def test_codes_and_reconstructions():
    model = model_of("vae")
    x = model.sample([0])
    told = verbs.encode(model, x).told
    for value in model.encode(x)[0]:
        assert f"<b>{value:.2f}</b>" in told
    shown = verbs.reconstruct(model, x)
    pair = cells(shown.picture, 1, 2, (28, 28))
    np.testing.assert_array_equal(pair, as_bytes(np.concatenate([x, model.reconstruct(x)])))
    assert "a code of 16 numbers" in shown.told
    assert "category 9" in verbs.encode(model_of("infogan"), x).told


def test_what_is_known_stays():
    model = model_of("nade")
    image = as_bytes(model.sample([0]))[0][..., None]
    known = np.arange(8)[:, None].repeat(8, 1) < 4
    shown = verbs.complete_picture(model, image, known, 7)
    _, *made = cells(shown.picture, 1, verbs.WAYS + 1, (8, 8))
    x = np.repeat(image[None] / np.float32(255), verbs.WAYS, 0)
    wanted = model.complete(x, np.repeat(known[None], verbs.WAYS, 0), range(7, 7 + verbs.WAYS))
    np.testing.assert_array_equal(made, as_bytes(wanted))
    with pytest.raises(UsageError, match="hide something"):
        verbs.complete_picture(model, image, np.ones((8, 8), bool), 0)


def test_a_model_of_numbers():
    model = model_of("rnade")
    names = verbs.column_names(model)
    assert names[0] == "alcohol"
    assert verbs.sample(model, 0, 8).picture.width > 100
    row = [f"{value:.6g}" for value in model.sample([3])[0]]
    x, _ = uploads.numbers(row, names)
    assert f"{model.log_prob(x)['log_prob'][0]:,.2f} nats" in verbs.score(model, x).told
    rows, shown = verbs.complete_numbers(model, [*row[:10], "", "", ""], 0)
    assert [each[0] for each in rows] == names
    assert all(
        each[1:] == [f"{float(value):.4g}"] * verbs.WAYS for each, value in zip(rows[:10], row, strict=False)
    )
    assert len({*rows[12][1:]}) > 1
    assert "3 of 13 numbers" in shown.told


def test_a_model_of_text():
    model = model_of("rnn")
    shown = verbs.score_text(model, "The <b>")
    tokens, _ = uploads.tokens("The <b>", model)
    nats = model.log_conditionals(tokens)[0, :7]
    assert f"{nats.sum():,.2f} nats" in shown.told and "exact, of 7 characters" in shown.told
    assert "<b>" not in shown.told and "&lt;" in shown.told
    assert shown.told.count("<span") == 7
    made = verbs.complete_text(model, f"The {uploads.GAP}uick", 0).text
    assert made.count("== seed") == verbs.WAYS
    assert len(re.findall(r"^The .uick", made, flags=re.MULTILINE | re.DOTALL)) == verbs.WAYS


def test_classes_and_attributes():
    model = model_of("vit:shapes")
    x = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    told = verbs.classify(model, x).told
    found = model.classify(x)
    name = model.class_names[int(found["class_index"][0])]
    assert told.index(f"<dt>{name}</dt>") < 40  # the likeliest first
    assert "<dt>colour</dt>" in told


def test_tokens_are_shown_as_shades():
    model = model_of("dvae")
    x = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    shown = verbs.encode(model, x)
    assert shown.text.split() == [str(int(value)) for value in model.encode(x)[0]]
    assert shown.picture.size == (320, 320)


def test_a_stranger_s_card_cannot_write_into_the_page():
    card = {"summary": "<script>alert(1)</script>", "limits": "<b>", "dataset": {"spec": "<u>"}}
    told = verbs.about(SimpleNamespace(name="<i>x</i>", card=card))
    assert "<script" not in told and "<b>" not in told and "<u>" not in told
    assert "<i>" not in verbs.bars({"<i>": 1.0}, "{:.1f}").replace("<i class", "")
    assert "no model card" in verbs.about(SimpleNamespace(card={}))


def test_few_models_are_open_at_once(tmp_path):
    opened = []
    paths = {name: tmp_path / name for name in "abcd"}
    shelf = Shelf(paths, lambda path: opened.append(path.name) or path.name, most=2)
    for name in "abacab":
        assert shelf.open(name) == name
    assert "".join(opened) == "abcb"
    assert shelf.drawing() == [*"abcd"]  # of models without a card nothing is known
    assert shelf.label("a") == "a"
