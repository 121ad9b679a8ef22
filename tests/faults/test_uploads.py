"""Broken files as pictures that a visitor of the demo gives: one line, or what can be read of them."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from broken_files import broken

import zoo
from zoo.errors import UsageError

pytest.importorskip("gradio", reason="the extra demo is not installed: pip install .[demo]")

from zoo.demo import uploads, verbs

pytestmark = pytest.mark.slow

SECONDS, MEGABYTES = 20.0, 300

FILES = broken()
EACH = [(kind, name) for kind, files in FILES.items() for name in files]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny one that scores pictures."""
    run = zoo.train("vae", preset="tiny", steps=1, runs=tmp_path_factory.mktemp("models"))
    return zoo.load(run.path)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_a_broken_upload_is_one_line(kind, name, model, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[kind][name])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start = time.monotonic()
    image = refusal = None
    try:
        image = uploads.read(path)
    except UsageError as error:
        refusal = str(error)
    if image is None:
        assert refusal.startswith("This picture ")
        assert len(refusal.splitlines()) == 1
    else:
        assert image.dtype == np.uint8
        shown = verbs.score(model, uploads.example(uploads.fitted(image, model), model))
        assert "nats" in shown.told
    assert time.monotonic() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 < peak + MEGABYTES
    assert [each.name for each in Path(tmp_path).iterdir()] == [name]
