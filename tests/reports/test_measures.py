"""What stands in one table can be compared; a bound is never ranked."""

from __future__ import annotations

import json

import pytest

from zoo import registry
from zoo.exporting import CARD_FILE
from zoo.reports import measures
from zoo.reports.measures import Receipts, label, likelihood_tables, measures_tables, of_one, surely_best


def metric(value, error=0.1, unit="nats", kind="exact", better="higher", **receipt):
    about = {"dataset": "digits", "split": "test", "n": 180, "fingerprint": "ab", "levels": 2, "seed": 0}
    return {
        "value": value, "standard_error": error, "unit": unit, "kind": kind, "better": better,
        "receipt": {**about, **receipt},
    }  # fmt: skip


def shape(tables):
    """Of each table the models of its rows."""
    return [[head for head, _, _ in table.rows] for table in tables]


def test_exact_ones_and_bounds_stand_apart_and_only_exact_ones_are_ranked():
    models = [
        ("a", {"log_prob": metric(-20.0)}),
        ("b", {"elbo": metric(-19.0, kind="bound"), "iwae_50": metric(-18.0, kind="bound")}),
        ("c", {"log_prob": metric(-16.0)}),
        ("d", {"elbo": metric(-12.0, kind="bound")}),
        ("e", {}),
    ]
    exact, bounds = likelihood_tables(models, Receipts())
    assert shape([exact, bounds]) == [["c", "a"], ["b", "d"]]
    assert [row[0].best for _, _, row in exact.rows] == [True, False]
    assert bounds.heads == ["model", "ELBO, nats", "bound, 50 draws, nats"]
    assert bounds.rows[1][2][1] is None
    assert not any(cell.best for _, _, row in bounds.rows for cell in row if cell)
    assert "Not a ranking" in bounds.note


@pytest.mark.parametrize(
    "other",
    [
        {"levels": 256},
        {"dataset": "glyphs", "fingerprint": "cd"},
        {"split": "train"},
        {"n": 100},
        {"fingerprint": "x"},
        {"shape": [4, 4, 1]},
        {"vocabulary": 90},
        {"given": "caption"},
    ],
)
def test_other_data_or_levels_are_another_table(other):
    models = [("a", {"log_prob": metric(-20.0)}), ("b", {"log_prob": metric(-16.0, **other)})]
    tables = likelihood_tables(models, Receipts())
    assert shape(tables) == [["a"], ["b"]]
    assert not any(cell.best for table in tables for _, _, row in table.rows for cell in row)


def test_another_seed_is_no_other_data():
    models = [("a", {"log_prob": metric(-20.0, seed=0)}), ("b", {"log_prob": metric(-16.0, seed=1)})]
    receipts = Receipts()
    assert shape(likelihood_tables(models, receipts)) == [["b", "a"]]
    assert [each["seed"] for each in receipts.all] == [1, 0]


def test_what_is_not_finite_comes_last():
    models = [("a", {"log_prob": metric(None)}), ("b", {"log_prob": metric(-16.0)})]
    (table,) = likelihood_tables(models, Receipts())
    assert [(head, row[0].text, row[0].best) for head, _, row in table.rows] == [
        ("b", "−16.00 ± 0.10", False),
        ("a", "not finite", False),
    ]


@pytest.mark.parametrize(
    ("a", "b", "best"),
    [
        (metric(1.0), metric(2.0), "b"),
        (metric(1.0, better="lower"), metric(2.0, better="lower"), "a"),
        (metric(1.0), metric(1.25), None),  # 2.5 errors of one, 1.8 of the difference
        (metric(1.0), metric(1.3), "b"),
        (metric(1.0, None), metric(2.0), None),
        (metric(1.0, better=None), metric(2.0, better=None), None),
        (metric(1.0, kind="bound"), metric(2.0, kind="bound"), None),
    ],
)
def test_best_is_only_what_is_surely_so(a, b, best):
    assert surely_best({"a": a, "b": b}) == best


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([metric(12.0), metric(11.0), metric(10.0)], 0),
        ([metric(10.0), metric(11.0), metric(12.0)], 2),
        ([metric(12.0), metric(11.0), metric(10.0, 5.0)], None),  # the third may well be above both
        ([metric(12.0), metric(11.0), metric(10.0, None)], None),
        ([metric(12.0), metric(11.0), metric(None, None)], None),
        ([metric(12.0), metric(11.95), metric(10.0)], None),
    ],
)
def test_the_best_is_ahead_of_every_other(figures, best):
    found = dict(zip("abc", figures, strict=True))
    assert surely_best(found) == (None if best is None else "abc"[best])


def test_images_of_another_size_are_no_other_model_of_the_same():
    """The shipped cards, whether or not their receipts tell the shape: `joint` has images of 4x4."""
    cards = {
        name: json.loads((registry.SHIPPED / name / "1" / CARD_FILE).read_text(encoding="utf-8"))
        for name in ("joint", "nade", "markov", "rnn", "rnade")
    }
    shapes = {name: measures.of_card(card)["log_prob"]["receipt"]["shape"] for name, card in cards.items()}
    assert shapes == {
        "joint": [4, 4, 1], "nade": [8, 8, 1], "markov": [8, 8, 1], "rnn": [128], "rnade": [13],
    }  # fmt: skip
    models = [(name, measures.of_card(card)) for name, card in cards.items()]
    tables = likelihood_tables(models, Receipts())
    ranked = [{head for head, _, _ in table.rows} for table in tables if len(table.rows) > 1]
    assert ranked == [{"nade", "markov"}]
    assert any("8x8x1 values" in table.title for table in tables)
    for table in measures_tables(models, Receipts()):
        assert not {"joint", "nade"} <= set(table.heads)


def test_other_measures_are_rows_with_a_column_for_each_model_that_has_one():
    fid = {"unit": "", "kind": "estimate", "better": "lower", "extractor": "vit"}
    models = [
        ("a", {"fid": metric(9.0, **fid), "cross_entropy": metric(0.1, better="lower")}),
        ("b", {"fid": metric(8.9, **fid, seed=5)}),
        ("c", {"fid": metric(3.0, **{**fid, "extractor": "inception"})}),
        ("e", {"fid": metric(5.0, **fid, fingerprint="other")}),
        ("d", {"log_prob": metric(-1.0)}),
    ]
    table, other = measures_tables(models, Receipts())
    assert (other.heads, len(other.rows)) == (["measure", "e"], 1)
    assert table.title == "digits, test split, 2 levels"
    assert table.heads == ["measure", "a", "b", "c"]
    assert [(head, [cell.text if cell else None for cell in row]) for head, _, row in table.rows] == [
        ("FID", ["9.00 ± 0.10", "8.90 ± 0.10", None]),
        ("FID", [None, None, "3.00 ± 0.10"]),  # of other features
        ("cross entropy", ["0.10 ± 0.10", None, None]),  # in nats, and no likelihood of the data
    ]
    assert [under for _, under, _ in table.rows] == [
        "lower is better, vit",
        "lower is better, inception",
        "nats, lower is better",
    ]
    assert measures_tables(models[-1:], Receipts()) == []


def test_warnings_stand_below_the_table_and_not_in_the_receipts():
    few = {"warning": "70 images are few", "found": {"nearest": [{"seed": 1}], "sigma": 0.1}}
    models = [
        (title, {"fid": metric(value, **few, samples=70), "kid": metric(value, **few, samples=70)})
        for title, value in (("a", 1.0), ("b", 3.0))
    ]
    models[1][1]["fid"]["receipt"]["found"] = {"sigma": 0.2}  # what was found does not make another measure
    receipts = Receipts()
    (table,) = measures_tables(models, receipts)
    assert table.told == ["FID, KID: 70 images are few"]
    assert [[cell.best for cell in row] for _, _, row in table.rows] == [[False, True]] * 2
    assert all("warning" not in each and "found" not in each for each in receipts.all)
    assert of_one(models[0][1], receipts).told == table.told


def test_equal_receipts_have_one_number():
    receipts = Receipts()
    table = of_one({"log_prob": metric(-1.0), "elbo": metric(-2.0), "fid": metric(3.0, n=5)}, receipts)
    assert [row[0].receipt for _, _, row in table.rows] == [1, 1, 2]
    assert receipts.all[1]["n"] == 5


def test_names_for_people():
    assert label("iwae_50_bits_per_dim") == "bound, 50 draws"
    assert label("log_prob_bits_per_dim") == "log p(x)"
    assert label("nearer_than_held_out") == "nearer than held out"
