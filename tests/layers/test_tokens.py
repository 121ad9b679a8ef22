"""Images and their tokens are one another's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import UsageError
from zoo.layers.tokens import Tokens


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 3])),
    levels=st.integers(2, 8),
    data=st.data(),
)
def test_an_image_of_levels_is_one_sequence_of_tokens(shape, levels, data):
    size = int(np.prod(shape))
    group = data.draw(st.sampled_from([g for g in range(1, size + 1) if size % g == 0 and levels**g <= 4096]))
    tokens = Tokens(shape, levels, group)
    level = np.random.default_rng(size).integers(0, levels, (5, *shape))
    image = (level / (levels - 1)).astype(np.float32)
    read = tokens.read(image).numpy()
    assert read.shape == (5, size // group) == (5, tokens.places)
    assert (read >= 0).all()
    assert (read < tokens.values).all()
    np.testing.assert_array_equal(tokens.draw(read), image)
    flat = level.reshape(5, -1, group)
    np.testing.assert_array_equal(tokens.digits[read], flat)
    np.testing.assert_array_equal(read, (flat * levels ** np.arange(group)[::-1]).sum(-1))


def test_every_token_is_another_image():
    tokens = Tokens((1, 2, 3), 3, 6)
    drawn = tokens.draw(np.arange(3**6)[:, None]).numpy()
    assert len(np.unique(drawn.reshape(3**6, -1), axis=0)) == 3**6


@pytest.mark.parametrize(("levels", "group", "why"), [(2, 4, "does not divide"), (256, 3, "at most 4096")])
def test_impossible_groups_are_refused(levels, group, why):
    with pytest.raises(UsageError, match=why):
        Tokens((3, 3, 1), levels, group)
