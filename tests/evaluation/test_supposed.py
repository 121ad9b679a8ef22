"""A prior that is supposed: its codes are those of the Gaussian that was named, and receipts say so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
import zoo.data
from zoo import sampling
from zoo.base import configure
from zoo.cli.main import main
from zoo.errors import UsageError
from zoo.evaluation.reconstruction import METRIC
from zoo.evaluation.supposed import suppose
from zoo.exporting import export
from zoo.models.autoencoder import Autoencoder, Config

pytestmark = pytest.mark.xdist_group("supposed")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An autoencoder of digits that was never trained: its codes lie anywhere."""
    config = {"image_shape": [8, 8, 1], "code_size": 3, "encoder_units": [8], "decoder_units": [8]}
    card = {"model": "autoencoder", "config": config, "dataset": {"spec": "digits"}}
    return export(Autoencoder(configure(Config, config)), tmp_path_factory.mktemp("saved") / "1", card)


def test_codes_of_a_standard_normal_decode_to_samples(saved):
    model = sampling.load(saved)
    suppose(model, "normal")
    codes = model.prior(range(4000))
    np.testing.assert_allclose(codes.mean(0), 0.0, atol=0.08)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=0.12)
    np.testing.assert_allclose(model.sample([5, 7]), model.decode(codes[[5, 7]]), atol=1e-6)
    np.testing.assert_array_equal(model.sample([7]), model.sample([5, 7])[1:])


def test_codes_of_a_fitted_gaussian_are_spread_as_those_of_images(saved):
    model = sampling.load(saved)
    suppose(model, "fitted")
    train = zoo.data.load("digits", "train")
    images = train.fields["image"] / np.float32(train.info.levels - 1)
    real, drawn = model.encode(images), model.prior(range(8000))
    scale = real.std(0)
    np.testing.assert_allclose((drawn.mean(0) - real.mean(0)) / scale, 0.0, atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T) / np.outer(scale, scale), np.corrcoef(real.T), atol=0.08)
    assert model.card["supposed_prior"] == f"a Gaussian fitted to the codes of {len(train)} training images"


def test_a_model_with_a_prior_needs_no_other():
    with pytest.raises(UsageError, match="vae has a prior of its own"):
        suppose(zoo.load("shipped:vae"), "normal")


def gmzoo(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_commands_take_the_supposed_prior(saved, tmp_path):
    refused = gmzoo("sample", "--model", saved, "--out", tmp_path / "a.npz")
    assert refused.exit_code == 2
    assert "cannot sample: its codes have no prior" in refused.stderr
    drawn = gmzoo("sample", "--model", saved, "--codes", "normal", "-n", 3, "--out", tmp_path / "a.npz")
    assert drawn.exit_code == 0, drawn.stderr
    model = sampling.load(saved)
    suppose(model, "normal")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["image"], model.sample(range(3)))
    words = ["evaluate", "--model", saved, "--limit", 50, "--samples", 40, "--json"]
    alone, supposed = (
        json.loads(gmzoo(*words, *more).stdout)["metrics"] for more in ([], ["--codes", "fitted"])
    )
    assert set(alone) >= {METRIC}
    assert "fid" not in alone
    assert supposed["fid"]["receipt"]["codes"].startswith("a Gaussian fitted to the codes of")
    refused = gmzoo("evaluate", "--model", saved, "--codes", "fitted", "--card")
    assert refused.exit_code == 2
    assert "do not belong to the model" in refused.stderr


def test_the_error_of_reconstructions_is_that_of_the_images(saved):
    from zoo.evaluation import evaluate

    model = sampling.load(saved)
    (error,) = evaluate.evaluate(model, metrics=[METRIC], split="test", limit=70).values()
    test = zoo.data.load("digits", "test", limit=70)
    images = test.fields["image"] / np.float32(test.info.levels - 1)
    assert error["value"] == pytest.approx(np.mean((model.reconstruct(images) - images) ** 2), rel=1e-5)
    assert error["receipt"]["n"] == len(test)
