"""A model that decodes says which family its prior belongs to, and its draws are of that family."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from zoo import registry, sampling
from zoo.base import Decodes
from zoo.latents import RANGES, Part, placed

DRAWS = 2000
#: A right family fails with this probability in one of all units.
SIGNIFICANCE = 1e-4

of_models_with_codes = pytest.mark.parametrize(
    "subject",
    [
        pytest.param(
            (name, preset),
            marks=[pytest.mark.xdist_group(name), *([pytest.mark.slow] if preset != "tiny" else [])],
            id=f"{name}-{preset}",
        )
        for name in registry.names()
        if "interpolate" in registry.card(name)["capabilities"]
        for preset in registry.presets(name)
        if preset.startswith("tiny")
    ],
    indirect=True,
)


def check(draws: np.ndarray, parts: tuple[Part, ...]) -> None:
    """Holds draws [N, d] against the families of their units."""
    assert sum(part.size for part in parts) == draws.shape[1]
    for part, units in placed(parts):
        of_part = draws[:, units]
        if part.family == "one_hot":
            assert np.isin(of_part, (0.0, 1.0)).all()
            np.testing.assert_array_equal(of_part.sum(1), 1.0)
            assert stats.chisquare(of_part.sum(0)).pvalue > SIGNIFICANCE
        elif part.family == "binary":
            assert np.isin(of_part, (0.0, 1.0)).all()
            pvalues = [stats.binomtest(int(unit.sum()), len(unit)).pvalue for unit in of_part.T]
            assert min(pvalues) > SIGNIFICANCE / part.size
        elif part.family != "other":
            low, high = RANGES["uniform"]
            family = stats.norm() if part.family == "gaussian" else stats.uniform(low, high - low)
            pvalues = [stats.kstest(unit, family.cdf).pvalue for unit in of_part.T]
            assert min(pvalues) > SIGNIFICANCE / part.size


@of_models_with_codes
def test_draws_are_of_the_family_that_the_model_names(subject):
    assert isinstance(subject.model, Decodes)
    parts = subject.model.prior_parts()
    check(subject.loaded.prior(range(DRAWS)), parts)
    assert subject.loaded.prior_parts == parts
    assert subject.loaded.card["prior"] == [{"family": part.family, "size": part.size} for part in parts]
    if subject.preset == "tiny":  # an option may choose another one
        assert registry.card(subject.name)["prior"] == parts[0].family


@pytest.mark.parametrize("family", ["gaussian", "uniform"])
def test_the_check_can_fail(family):
    rng = np.random.default_rng(0)
    draws = {"gaussian": rng.normal(size=(DRAWS, 3)), "uniform": rng.uniform(-1, 1, (DRAWS, 3))}
    check(draws[family], (Part(family, 3),))
    (other,) = draws.keys() - {family}
    with pytest.raises(AssertionError):
        check(draws[other], (Part(family, 3),))
    with pytest.raises(AssertionError):
        check(draws[family], (Part(family, 2),))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path.parent, marks=pytest.mark.xdist_group(path.parts[-3]), id=path.parts[-3])
        for path in sorted(registry.SHIPPED.glob("*/*/saved_model.pb"))
        if "interpolate" in registry.card(path.parts[-3].split("-")[0])["capabilities"]
    ],
)
def test_shipped_models_have_the_prior_that_is_taken_for_theirs(path):
    model = sampling.load(path)
    assert all(part.family != "other" for part in model.prior_parts)
    check(model.prior(range(DRAWS)), model.prior_parts)


@of_models_with_codes
def test_a_saved_model_without_a_card_has_a_prior_that_nothing_is_known_of(subject):
    bare = sampling.load(subject.saved)
    bare.card, bare.name = {}, bare.path.name
    assert bare.prior_parts == (Part("other", bare.prior([0]).shape[1]),)
