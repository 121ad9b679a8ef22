"""The servicer in TensorFlow Serving's place."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from zoo import registry


@pytest.fixture(scope="session")
def servicer() -> ModuleType:
    """The module of the servicer."""
    spec = importlib.util.spec_from_file_location("servicer", Path(__file__).with_name("servicer.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def served(servicer: ModuleType) -> Iterator[tuple[int, int]]:
    """The models of the pages, served; the ports of REST and gRPC."""
    with servicer.serving({name: registry.SHIPPED / name for name in ("vae", "rnn")}) as ports:
        yield ports
