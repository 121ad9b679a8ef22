"""Counting models in training: every example once, whatever the batch, on as many devices as there are."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

import zoo
from zoo import checkpoints, training
from zoo.errors import UsageError
from zoo.exporting import saved_weights

pytestmark = pytest.mark.usefixtures("no_curves")

EXAMPLES = 1438  # of the training split of `digits`


def counts(run) -> np.ndarray:
    (found,) = (value for key, value in saved_weights(run.saved_model).items() if key.endswith("counts"))
    return found


@pytest.mark.parametrize("batch_size", [400, 719, 5000])
def test_every_example_is_counted_once(tmp_path, batch_size):
    run = zoo.train("independent", batch_size=batch_size, runs=tmp_path)
    table = counts(run)
    assert table.shape == (64, 2)
    images = zoo.data.load("digits", "train").fields["image"].reshape(EXAMPLES, 64)
    np.testing.assert_array_equal(table[:, 1], (images >= 7.5).sum(0))
    np.testing.assert_array_equal(table.sum(1), EXAMPLES)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("examples", 0) for line in lines) == EXAMPLES


def test_two_devices_count_as_one(tmp_path):
    one, two = (
        zoo.train("markov", batch_size=400, strategy=strategy, runs=tmp_path / strategy)
        for strategy in ("one", "mirrored")
    )
    np.testing.assert_array_equal(counts(one), counts(two))
    assert one.record["result"] == two.record["result"]


def test_the_pass_over_the_data_is_the_whole_training(tmp_path):
    for wrong in ({"epochs": 2}, {"steps": 1}):
        with pytest.raises(
            UsageError, match="joint counts every example once: leave out --epochs and --steps"
        ):
            training.plan("joint", **wrong)
    with pytest.raises(UsageError, match="no option 'learning_rate'; valid: image_shape, levels, smoothing"):
        training.plan("joint", settings={"learning_rate": 1e-3})
    with pytest.raises(UsageError, match="no turn 'count'; this model has none with an optimizer"):
        training.plan("joint", settings={"count.learning_rate": 1e-3})


def test_the_card_says_how_many_parameters_are_free(tmp_path):
    for name, settings, expected in [
        ("joint", {}, 2**16 - 1),
        ("independent", {"levels": 16}, 64 * 15),
        ("markov", {}, 2 * 64 - 1),
    ]:
        run = zoo.train(name, settings=settings, runs=tmp_path)
        card = zoo.load(run.path).card
        assert card["free_parameters"] == card["parameters"] == expected, name


def test_what_was_never_seen_is_told_under_maximum_likelihood(tmp_path, caplog):
    run = zoo.train("joint", settings={"smoothing": 0.0}, runs=tmp_path)
    assert "of 180 test examples have probability 0" in caplog.text
    assert "smoothing=1" in caplog.text
    result = run.record["result"]["log_prob"]
    assert (result["value"], result["standard_error"]) == (None, None)  # JSON has no infinity
    caplog.set_level(logging.INFO, "gmzoo")
    zoo.train("joint", settings={"smoothing": 0.0}, runs=tmp_path)
    assert "is finished: log_prob not finite nats" in caplog.text


def test_a_larger_image_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"2\^64 images of 8x8, and 2\^16 is the most: .* --image-size 4"):
        training.plan("joint", image_size=8)


def test_counts_of_another_model_may_be_gone_on_with(tmp_path):
    first = zoo.train("markov", limit=500, runs=tmp_path)
    more = zoo.train("markov", init_from=str(first.path), runs=tmp_path)
    np.testing.assert_array_equal(counts(more)[0].sum(), 500 + EXAMPLES)
    assert checkpoints.newest(more.checkpoints, "markov")[1]["step"] == 3
