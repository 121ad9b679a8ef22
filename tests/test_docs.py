"""The code in the documentation does what the documentation says."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from zoo.base import configure
from zoo.noise import RowNoise
from zoo.schedules import make_optimizer

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def coins(monkeypatch, tmp_path):
    """The model of docs/add-a-model.md, as a module."""
    page = (DOCS / "add-a-model.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'```python title="zoo/models/coins.py"\n(.*?)```', page, flags=re.DOTALL)
    path = tmp_path / "coins.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("zoo.models.coins", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    return module


def test_the_model_of_the_howto_is_a_distribution(coins):
    model = coins.Coins(configure(coins.Config, {"image_shape": [2, 3, 1]}))
    model.logits.assign(np.linspace(-2, 2, 6).reshape(2, 3, 1))
    states = np.array(list(itertools.product([0.0, 1.0], repeat=6)), np.float32).reshape(-1, 2, 3, 1)
    assert tf.reduce_logsumexp(model.log_prob(states)).numpy() == pytest.approx(0.0, abs=1e-5)
    draw = tf.function(lambda seeds: model.sample(RowNoise(seeds)))
    samples = draw(tf.range(4000, dtype=tf.int64))
    assert np.allclose(tf.reduce_mean(samples, 0), tf.sigmoid(model.logits), atol=0.04)


def test_the_model_of_the_howto_learns(coins):
    preset = coins.PRESETS["tiny"]
    model = coins.Coins(configure(coins.Config, {**preset["config"], "image_shape": [2, 2, 1]}))
    model.compile({turn: make_optimizer(turn, each, 20) for turn, each in preset["optimizers"].items()})
    image = np.zeros((16, 2, 2, 1), np.float32)
    image[:, 0] = 1.0
    before = model.log_prob(image).numpy().mean()
    model.fit(tf.data.Dataset.from_tensors({"image": image}).repeat(20), shuffle=False, verbose=0)
    after = model.log_prob(image).numpy().mean()
    assert before == pytest.approx(-4 * np.log(2), abs=1e-5)
    assert after > -1.5
