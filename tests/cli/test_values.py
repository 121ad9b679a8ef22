"""What the user types as values, and results in pieces."""

from __future__ import annotations

import errno
import json
import math
import os
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.cli import output, progress, samples, startup
from zoo.cli.inputs import parse_code, parse_labels, parse_seeds, parse_settings
from zoo.errors import UsageError

RANGES = st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 20)), min_size=1, max_size=5)


@given(RANGES)
def test_seeds_are_inclusive_ordered_and_repeat(ranges):
    text = ",".join(f"{low}-{low + more}" if more else f"{low}" for low, more in ranges)
    expected = [low + i for low, more in ranges for i in range(more + 1)]
    found = parse_seeds(text, None, None)
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_seeds_by_number():
    assert parse_seeds(None, None, None).tolist() == list(range(64))
    assert parse_seeds(None, 3, None).tolist() == [0, 1, 2]
    assert parse_seeds(None, 2, 2**63 - 2).tolist() == [2**63 - 2, 2**63 - 1]


def test_labels():
    names = ("T-shirt", "3-4", "dog")
    assert parse_labels("dog", names).tolist() == [2]
    assert parse_labels("3-4", names).tolist() == [1]  # a name comes before a range
    assert parse_labels("T-shirt,0-2,7", names).tolist() == [0, 0, 1, 2, 7]
    with pytest.raises(UsageError, match="Did you mean dog"):
        parse_labels("dig", names)


def test_codes():
    assert parse_code("0=3,1=-1.5", 2) == {0: [3.0], 1: [-1.5]}
    assert parse_code("0=0-3, 1=1e-3", 2) == {0: [0.0, 1.0, 2.0, 3.0], 1: [1e-3]}
    for wrong in ("0", "a=1", "0=x", "2=1", "-1=1", "0=3-1"):
        with pytest.raises(UsageError):
            parse_code(wrong, 2)


def test_settings_are_read_as_yaml():
    found = parse_settings(["a=1e-3", "b=[16, 8]", "c=true", "d=relu", "turn.e=2", "f=a=b", "g=-1E5"])
    assert found == {"a": 1e-3, "b": [16, 8], "c": True, "d": "relu", "turn.e": 2, "f": "a=b", "g": -1e5}


def test_json_has_null_for_what_is_not_finite(capsys):
    output.write_json({"a": [math.nan, np.float32(np.inf), np.int64(3)], "b": Path("x"), 1: np.arange(2)})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 3], "b": "x", "1": [0, 1]}


def test_free_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in ("vae-samples.png", "vae-samples-2.png", "vae-samples-3.png"):
        path = output.free_name("vae-samples", ".png")
        assert str(path) == expected
        path.touch()


def test_npz_holds_one_piece_at_a_time(tmp_path):
    alive = 0

    class Piece(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def pieces():
        nonlocal alive
        for index in range(50):
            piece = np.full((3, 2), index, np.float32).view(Piece)
            alive += 1
            assert alive <= 3
            yield piece
            del piece

    output.write_npz(tmp_path / "a.npz", {"image": (150, pieces()), "seed": (4, [np.arange(4)])})
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["image"].shape == (150, 2)
        np.testing.assert_array_equal(arrays["image"][::3, 0], np.arange(50, dtype=np.float32))
        np.testing.assert_array_equal(arrays["seed"], np.arange(4))


def test_equal_results_are_equal_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        output.write_npz(tmp_path / name, {"code": (2, [np.eye(2)])})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("ending", [".npz", ".csv", ".txt", ""])
def test_what_fails_leaves_nothing(tmp_path, ending):
    """As when the disk is full: the old file stays, and no piece of the new one."""
    out = tmp_path / f"out{ending}"
    if ending:
        out.write_text("before")

    def failing():
        yield np.zeros(2)
        raise OSError(errno.ENOSPC, "No space left on device")

    write = {
        ".npz": lambda: output.write_npz(out, {"image": (9, failing())}),
        ".csv": lambda: output.write_csv(out, ["a", "b"], failing()),
        ".txt": lambda: output.write_lines(out, (str(each) for each in failing())),
        "": lambda: output.write_folder(out, (("a", each.tobytes()) for each in failing())),
    }[ending]
    with pytest.raises(OSError, match="No space"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ([out.name] if ending else [])
    assert not ending or out.read_text() == "before"


def test_a_folder_that_is_there_keeps_its_other_files_and_says_so(tmp_path, caplog):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "a").write_text("old")
    output.write_folder(tmp_path, [("a", b"1"), ("b", b"2")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "mine.txt"]
    assert (tmp_path / "a").read_text() == "1"
    assert caplog.messages == [f"{tmp_path}: other files, from before, stay there (1)"]
    (tmp_path / "mine.txt").unlink()
    output.write_folder(tmp_path, [("a", b"1"), ("b", b"2")])
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("out", ["file/a.png", "file/deep/a.png", "file/b/"])
def test_an_out_below_a_file_is_refused_before_any_work(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        output.check_out(out, False, (".png", ""))


def test_an_out_where_nothing_may_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "locked").mkdir()
    assert str(output.check_out("new/deep/a.png", False, (".png",))) == "new/deep/a.png"
    may = os.access
    # Root may write everywhere, so the system's answer is put in its mouth.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and may(path, mode))
    assert str(output.check_out("there/a.png", False, (".png",))) == "there/a.png"
    for out in ("locked/a.png", "locked/deep/a.png", "locked/"):
        with pytest.raises(UsageError, match="no permission to write in"):
            output.check_out(out, True, (".png", ""))
    monkeypatch.chdir(tmp_path / "locked")
    with pytest.raises(UsageError, match="no permission"):
        output.free_name("vae-samples", ".png")


class Text:
    """A model that draws text, as far as writing looks at it."""

    modality = "text"
    card: dict = {}  # noqa: RUF012
    signatures = {"sample": {"outputs": {"text": {"shape": [None]}}}}  # noqa: RUF012


@pytest.mark.parametrize("ending", samples.ENDINGS["text"])
def test_text_is_written(tmp_path, ending):
    pieces = [np.array([b"one\ntwo", "zwölf".encode()], object), np.array([b"three"], object)]
    out = tmp_path / f"out{ending}"
    samples.write(out, ending, Text(), np.array([4, 5, 6]), pieces)
    if ending == ".txt":
        assert out.read_text(encoding="utf-8") == "one two\nzwölf\nthree\n"
    elif ending == ".csv":
        assert out.read_text(encoding="utf-8") == 'seed,text\n4,"one\ntwo"\n5,zwölf\n6,three\n'
    else:
        assert (out / "1-seed-5.txt").read_text(encoding="utf-8") == "zwölf"


class Coin:
    """A model that draws one pixel, as far as writing looks at it."""

    modality = "image"
    name = "coin"
    card = {"dataset": {"levels": 2}}  # noqa: RUF012
    signatures = {"sample": {"outputs": {"image": {"shape": [None, 1, 1, 1]}}}}  # noqa: RUF012


@pytest.mark.parametrize(
    ("ending", "written"), [(".npz", 100_000), (".csv", 100_000), (".gif", 512), ("", 2_000)]
)
def test_many_samples_are_written_a_chunk_at_a_time(tmp_path, ending, written):
    seeds = parse_seeds(None, written if ending == "" else 100_000, 0)
    alive: list[weakref.ref] = []
    drawn = 0

    def pieces(seeds):
        nonlocal alive, drawn
        for start in range(0, len(seeds), 64):
            piece = np.zeros((min(64, len(seeds) - start), 1, 1, 1), np.float32)
            alive = [each for each in alive if each() is not None] + [weakref.ref(piece)]
            assert len(alive) <= 3
            drawn += len(piece)
            yield piece
            del piece

    out = tmp_path / f"out{ending}"
    seeds = samples.limited(Coin(), seeds, ending)
    samples.write(out, ending, Coin(), seeds, pieces(seeds))
    assert drawn == written
    assert out.exists()


# -- progress ------------------------------------------------------------------------------------------------


class Clock:
    """A clock that every look moves by a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def lines(monkeypatch) -> list[str]:
    """What is told; a second passes at each look at the clock."""
    found: list[str] = []
    monkeypatch.setattr(progress, "time", Clock())
    monkeypatch.setattr(startup.Lines, "write", staticmethod(found.append))
    return found


def test_long_work_tells_every_ten_seconds(lines):
    pieces = [np.zeros(10)] * 30
    assert list(progress.follow(iter(pieces), 300, "sampling")) == pieces
    assert lines == ["sampling: 110 of 300, 0:19 left", "sampling: 220 of 300, 0:08 left"]


def test_training_tells_without_a_terminal(lines):
    with progress.TrainingProgress() as shown:
        shown.start(100, 0, 64, "vae (tiny) on digits")
        for step in range(1, 26):
            shown.step(step, {"loss": 2.0, "kl_term": 1.0})
        shown.epoch(1, {"validation_nll": 90.0})
        shown.message("resuming")
        shown.finish({"elbo": 1.0})
    assert lines[0] == "vae (tiny) on digits"
    assert lines[1] == "step 11 of 100  loss 2  kl term 1  64 examples/s  1:29 left"
    assert len(lines) == 5
    assert lines[-2:] == ["epoch 1  step 25 of 100  loss 2  kl term 1  validation nll 90", "resuming"]


def test_training_draws_a_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_in_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    before = startup.Lines.write
    with progress.TrainingProgress() as shown:
        shown.start(4, 2, 64, "a title")
        for step in (3, 4):
            shown.step(step, {"loss": 2.0})
        shown.message("a message")
        assert startup.Lines.write is not before
    assert startup.Lines.write is before
    told = capsys.readouterr().err
    assert "4/4" in told
    assert "loss 2" in told
    assert told.index("a title") < told.index("a message")
