"""What all tests share: a quiet TensorFlow with two devices, a place for prepared data, the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
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


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets: `GMZOO_REAL_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("GMZOO_REAL_DATA") or ROOT.parent / "shared/data")
    if not folder.is_dir():
        pytest.skip(f"no real data: GMZOO_REAL_DATA names no folder, and there is none at {folder}")
    return folder
