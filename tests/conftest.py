"""What all tests share: a quiet TensorFlow with two devices, a place for prepared data, the real data."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# There is a test process for each core: threads of NumPy would wait for one another, spinning all the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Not the user's own cache; kept between runs, since drawing a set takes seconds.
os.environ.setdefault("TFDS_DATA_DIR", str(ROOT / "build/test-data"))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Splits the processor into two devices, for the tests with replicas; later TensorFlow refuses to."""
    if getattr(session.config.option, "numprocesses", None):
        return  # the process that only hands the tests out
    from zoo.memory import keep_freed

    keep_freed()
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


#: SavedModels that `opened_once` keeps open, the last used last.
OPENED: collections.OrderedDict[tuple[Any, ...], Any] = collections.OrderedDict()
MOST_OPENED = 12


@pytest.fixture
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow opens a SavedModel once for all tests that ask for this, as long as its files are the same.

    Every command opens its own, which takes most of its time where the model is small.
    """
    import tensorflow as tf

    load = tf.saved_model.load

    def once(path: str) -> Any:
        files = sorted(each for each in Path(path).rglob("*") if each.is_file())
        stats = [(str(each.resolve()), (stat := each.stat()).st_size, stat.st_mtime_ns) for each in files]
        key = (os.path.realpath(path), *stats)
        found = OPENED.pop(key, None)
        OPENED[key] = load(path) if found is None else found
        while len(OPENED) > MOST_OPENED:
            OPENED.popitem(last=False)
        return OPENED[key]

    monkeypatch.setattr(tf.saved_model, "load", once)


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have no `curves.png`, which takes a second, where nobody looks at it."""
    from zoo import callbacks

    monkeypatch.setattr(callbacks, "curves", lambda *_: None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets: `GMZOO_REAL_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("GMZOO_REAL_DATA") or ROOT.parent / "shared/data")
    if not folder.is_dir():
        pytest.skip(f"no real data: GMZOO_REAL_DATA names no folder, and there is none at {folder}")
    return folder
