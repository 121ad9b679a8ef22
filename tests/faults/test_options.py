"""Any words after any command: an exit code of 0, 1 or 2 and at most two lines, never a traceback."""

from __future__ import annotations

import click
import pytest
from command_line import command_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.cli.main import main

pytestmark = pytest.mark.slow

#: They answer until they are stopped, start processes, or train for as long as they are told.
RUNS_ON = {"serve", "demo", "launch", "reproduce"}
#: What keeps a command short, whatever else it is told.
SHORT = {"train": ["--dry-run"], "sample": ["-n", "2"], "score": ["--limit", "2"], "detect": ["--limit", "4"],
         "evaluate": ["--limit", "4"], "compare": ["--limit", "4"]}  # fmt: skip

ODD = [
    *("vae", "vae:tiny", "shipped:vae", "digits", "shapes", "folder:", "npz:.", "idx:/dev/null", "a=b", "="),
    *("..", "/", "/dev/null", "/proc/self/mem", "*", "~", "-", "--", "0-9", "9-0", "1,,2", "0=3,1=-1.5"),
    *("a.png", "x" * 5000, "\udcff", "[1,2", "{", "!!python/object/apply:os.system [ls]"),
]

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.sampled_from(["0", "-1", "1e400", "0x10", "1_000", "٣", "", "nan", "-0"]),
)
#: No command line holds a null byte: the system ends each word with one. "\udcff" is a byte that is no text.
WORDS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
    NUMBERS,
    st.sampled_from(ODD),
)


def commands() -> dict[str, click.Command]:
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: command for name, command in found.items() if command and name not in RUNS_ON}


@pytest.mark.parametrize("name", commands())
def test_any_words_are_answered_in_plain_lines(name, tmp_path, monkeypatch, opened_once):
    monkeypatch.chdir(tmp_path)
    command = commands()[name]
    options = [param for param in command.params if isinstance(param, click.Option)]
    flags = [param.opts[-1] for param in options if param.is_flag and "debug" not in param.opts[-1]]
    valued = [param for param in options if not param.is_flag]

    def values(param: click.Option) -> st.SearchStrategy[str]:
        if isinstance(param.type, click.Choice):
            return st.one_of(st.sampled_from([str(each) for each in param.type.choices]), WORDS)
        return WORDS

    parts = [
        *(st.tuples(st.just(param.opts[-1]), values(param)) for param in valued),
        *(st.just((flag,)) for flag in flags),
        st.tuples(WORDS),
    ]

    @settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
    @given(st.lists(st.one_of(parts), max_size=5))
    def answered(words: list[tuple[str, ...]]) -> None:
        line = [name, *SHORT.get(name, []), *(word for part in words for word in part)]
        done = command_line(*line)
        assert done.code in (0, 1, 2), line
        assert "Traceback" not in done.err
        if done.code:
            assert 1 <= len(done.told) <= 2, (line, done.err)
            assert "--debug shows where" not in done.err, (line, done.err)

    answered()
