"""Files that are whole or absent."""

from __future__ import annotations

import pytest

from zoo.files import replacing


def test_a_folder_that_is_there_is_never_removed(tmp_path):
    path = tmp_path / "1"
    path.mkdir()
    (path / "mine").write_text("kept")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "new").write_text("new")

    with pytest.raises(OSError, match="not empty"):
        write()
    assert [each.name for each in tmp_path.iterdir()] == ["1"]
    assert (path / "mine").read_text() == "kept"


def test_what_fails_leaves_nothing_and_what_stood_there_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
