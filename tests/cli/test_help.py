"""Help, versions, errors: what needs no trained model."""

from __future__ import annotations

import ast
import errno
import json
import os
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest

from zoo import registry
from zoo.cli.info import reads
from zoo.cli.main import SECTIONS, main
from zoo.data import CATALOGUE

NAMES = [name for names in SECTIONS.values() for name in names]
ROOT = Path(__file__).parents[2]


def get(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def examples(name: str) -> list[str]:
    """The lines of a command's help that a user can copy."""
    return [line.strip() for line in (get(name).help or "").splitlines() if line.startswith("    gmzoo")]


def test_help_lists_the_commands_that_exist(gmzoo):
    """Every file that holds a command is in a section, and the other way round."""
    defining = {
        path.stem
        for path in (ROOT / "cli").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "command"
    }
    assert defining == set(NAMES)
    done = gmzoo("--help")
    assert done.code == 0
    for name in NAMES:
        assert f"\n  {name} " in done.out
    assert gmzoo().out == done.out


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_help_are_valid(name):
    assert get(name).name == name
    lines = examples(name)
    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)
        words = words[: next((i for i, word in enumerate(words) if word.startswith(">")), None)]
        assert words[:2] == ["gmzoo", name]
        get(name).make_context(name, words[2:])


def test_examples_keep_their_lines(gmzoo):
    done = gmzoo("sample", "--help")
    for line in examples("sample"):
        assert line in map(str.strip, done.out.splitlines())
    assert "\b" not in done.out


def test_version(gmzoo):
    assert gmzoo("--version").out == f"gmzoo {metadata.version('gmzoo')}\n"


def loaded_by(*words: str) -> set[str]:
    """The packages that a process has loaded when it ends."""
    code = (
        "import sys\n"
        "from zoo.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_help_and_list_start_light():
    assert not {"tensorflow", "keras", "numpy", "rich", "yaml"} & loaded_by("--help")
    assert not {"tensorflow", "keras", "numpy", "scipy", "yaml"} & loaded_by("list")


# -- wrong use -----------------------------------------------------------------------------------------------

WRONG = [
    ("smaple", "sample"),
    ("vae", "try: gmzoo info vae"),
    ("sample vae", "try: gmzoo sample --model vae"),
    ("score vae --limit 3", "try: gmzoo score --model vae"),
    ("sample", "try: gmzoo sample --model"),
    ("sample --modle vae", "--model"),
    ("sample --model vaee", "Did you mean vae"),
    ("sample --model vae:tinny", "Did you mean tiny?"),
    ("sample --model vae -n 0", "-n"),
    ("sample --model vae -n many", "-n"),
    ("sample --model vae --seed -1", "--seed"),
    ("sample --model vae --seeds -1", "--seeds"),
    ("sample --model vae --seeds 3-1", "backwards"),
    ("sample --model vae --seeds 0-9 -n 3", "leave out"),
    ("sample --model vae --seeds 0-9 --seed 3", "leave out"),
    ("sample --model vae --seed 9223372036854775807 -n 2", "9223372036854775807"),
    ("sample --model vae --seeds 0-99999999999", "at most"),
    ("sample --model vae --out x.jpg", ".png"),
    ("sample --model vae --prompt a --prompt-file b", "not both"),
    ("sample --model ./nothing", "nothing"),
    ("sample --model .", "neither a run"),
    ("score --model vae --split tset", "test"),
    ("score --model vae --out scores.txt", ".csv"),
    ("score --model vae --importance-samples 0", "--importance-samples"),
    ("encode --model vae --seed 1", "--draw"),
    ("evaluate vae", "try: gmzoo evaluate --model vae"),
    ("evaluate --model vae --samples 0", "--samples"),
    ("evaluate --model vae --metrics ,", "names nothing"),
    ("evaluate --runs", "--runs needs models"),
    ("interpolate --model vae", "--seeds A,B"),
    ("interpolate --model vae --seeds 1", "two whole numbers"),
    ("interpolate --model vae --seeds 1,2 --frames 1", "--frames"),
    ("interpolate --model vae --seeds 1,2 --data digits", "leave out"),
    ("interpolate --model vae --seeds 1,2 --index 3,4", "--index"),
    ("interpolate --model vae --seeds 1,2 --prompts a b", "--prompts A B"),
    ("interpolate --model vae --seeds 1,2 --seed 3", "goes with --prompts"),
    ("interpolate --model vae --prompts a b --data digits", "leave out"),
    ("export --model vae", "--out"),
    ("info vaee", "Did you mean vae"),
    ("info", "try: gmzoo info vae"),
    ("runs vaee", "Did you mean vae"),
    ("train", "try: gmzoo train vae"),
    ("train --model vae", "try: gmzoo train vae"),
    ("train vaee", "Did you mean vae"),
    ("train vae --preset tinny", "Did you mean tiny?"),
    ("train dcgan --preset paper", "give --dataset folder:PATH"),
    ("train vae --data folder:nothing", "There is no nothing"),
    ("train vae --data digist", "digits"),
    ("score --model vae --data npz:nothing.npz", "There is no nothing.npz"),
    ("encode --model vae --out file/a.npz", "is a file"),
    ("train vae --epochs 0", "--epochs"),
    ("train vae --set code_size", "KEY=VALUE"),
    ("train vae --set code_size=[", "YAML"),
    ("train vae --strategy two", "auto"),
    ("train vae --strategy multi-worker", "TF_CONFIG or Slurm"),
    ("train vae --precision float8", "float32"),
    ("launch --workers 2", "try: gmzoo launch --workers 2 -- train dcgan"),
    ("launch --workers 2 -- sample --model vae", "starts a training"),
    ("launch --workers 2 -- train vae --strategy one", "leave out --strategy"),
    ("sample --model vae --shard 3/2 --out a/", "as in 3/16"),
    ("sample --model vae --shard 1/2", "as in --out samples/"),
    ("sample --model vae --shard 1/2 --out a.png", "as in --out samples/"),
    ("sample --model vae --actors 2 --out a/", "goes with --engine ray"),
    ("score --model vae --shard 1/2 --threshold 3 --out a/", "leave out --threshold"),
    ("evaluate --model vae --actors 2", "goes with --engine ray"),
    ("compare", "try: gmzoo compare vae gan"),
    ("compare gan", "try: gmzoo compare gan vae"),
    ("compare vae vae", "two models or more"),
    ("compare vae gann", "Did you mean gan"),
    ("compare vae gan --out x.png", ".html"),
    ("compare vae gan --out file/x.html", "is a file"),
    ("compare vae gan -n 0", "-n"),
    ("compare vae gan --samples 10", "add --evaluate"),
    ("reproduce vaee", "Did you mean vae"),
    ("reproduce gan", "No published number of gan"),
    ("reproduce nade --preset digits", "mnist, eonade"),
    ("reproduce --dry-run", "try: gmzoo reproduce nade"),
    ("completion tcsh", "bash"),
    ("list vae", "vae"),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_use_is_two_plain_lines(gmzoo, tmp_path, line, said):
    (tmp_path / "file").write_text("")
    done = gmzoo(*line.split())
    assert done.code == 2
    assert done.out == ""
    assert said in done.err
    assert done.err.startswith("Error: ")
    assert len(done.err.splitlines()) <= 2
    assert "Traceback" not in done.err


def test_no_network_is_told_before_tensorflow_is_waited_for(tmp_path):
    """As are wrong names and paths: everybody makes these errors, and an import takes seconds."""
    code = (
        "import sys\n"
        "from zoo.data import network\n"
        "from zoo.cli.main import main\n"
        "def refuse(*_, **__): raise OSError('Name or service not known')\n"
        "network.urllib.request.urlopen = refuse\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)\n"
    )
    for line in (
        "train vae --data mnist",
        "train vae --preset mnist",
        "score --model shipped:vae --data mnist",
    ):
        words = [*line.split(), "--data-dir", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "1 False\n", done.stderr
        assert "mnist has to be downloaded, and there is no network" in done.stderr


def test_debug_shows_the_traceback_before_and_after_the_command(gmzoo):
    for words in (["--debug", "info", "vaee"], ["info", "vaee", "--debug"]):
        done = gmzoo(*words)
        assert done.code == 2
        assert "Traceback" in done.err


def test_ctrl_c_is_130(gmzoo, monkeypatch):
    monkeypatch.setattr("zoo.list", _raising(KeyboardInterrupt()))
    done = gmzoo("list")
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err


def test_an_unforeseen_error_is_two_lines_and_1(gmzoo, monkeypatch):
    monkeypatch.setattr(
        "zoo.list", _raising(RuntimeError("in user code:\n\n  some line\n  what it is about"))
    )
    done = gmzoo("list")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == "Error: RuntimeError: what it is about"
    assert "--debug" in done.err


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device", "a.npz"), ValueError("x.h5; No space left on device")],
)
def test_a_full_disk_is_told(gmzoo, monkeypatch, error):
    monkeypatch.setattr("zoo.list", _raising(error))
    done = gmzoo("list")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: the disk is full")
    assert len(done.err.splitlines()) == 2


def _raising(error: BaseException):
    def raises(*_: object) -> None:
        raise error

    return raises


def test_a_reader_that_has_seen_enough_is_no_error():
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -c 'from zoo.cli.main import main; main()' completion bash | true",
        shell=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""


# -- tables and JSON -----------------------------------------------------------------------------------------


def test_list(gmzoo):
    models = gmzoo("list", "--json").json
    assert [each["name"] for each in models] == list(registry.names())
    for each in models:
        assert set(each) == {"name", "family", "likelihood", "capabilities", "presets", "paper"}
        assert each["likelihood"] in {"exact", "bound", "implicit", "none"}
        assert "tiny" in each["presets"]
    table = gmzoo("list").out.splitlines()
    assert len(table) == 1 + len(models)
    column = table[0].index("likelihood")
    assert [line[column:].split()[0] for line in table[1:]] == [each["likelihood"] for each in models]
    assert "\x1b" not in "".join(table)


def test_datasets(gmzoo):
    listed = gmzoo("datasets", "--json").json
    assert {each["name"] for each in listed} == set(CATALOGUE)
    assert all({"summary", "fields", "counts", "embedded", "licence"} <= set(each) for each in listed)
    assert len(gmzoo("datasets").out.splitlines()) == 1 + len(CATALOGUE)


def test_info_of_a_model_that_is_not_trained(gmzoo, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    done = gmzoo("info", "vae", "--json")
    assert done.json["name"] == "vae"
    assert done.json["presets"] == json.loads(json.dumps(registry.presets("vae")))
    assert done.json["signatures"] == {}
    assert done.json["reads"] == ["image"]
    text = gmzoo("info", "vae").out
    assert registry.card("vae")["paper"] in text
    assert "gmzoo train vae" in text
    assert gmzoo("info", "shipped:vae").code == 2


def test_info_knows_what_every_model_reads():
    for name in registry.names():
        kinds = reads(name)
        assert kinds
        assert set(kinds) <= {"image", "features", "tokens"}


def test_no_runs(gmzoo):
    assert gmzoo("runs", "--json").json == []
    done = gmzoo("runs")
    assert (done.code, done.out) == (0, "")
    assert "gmzoo train" in done.err


# -- completion ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(gmzoo, monkeypatch, shell):
    script = gmzoo("completion", shell).out
    assert f"_GMZOO_COMPLETE={shell}_complete" in script
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert gmzoo("completion").out == script


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        ("gmzoo ", 1, "interpolate"),
        ("gmzoo sample --model v", 3, "vae"),
        ("gmzoo train vae --preset t", 4, "tiny"),
        ("gmzoo train vae --data gly", 4, "glyphs"),
        ("gmzoo train vae --strat", 3, "--strategy"),
    ],
)
def test_completion_of_names(gmzoo, monkeypatch, words, last, expected):
    for name, value in {"_GMZOO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": last}.items():
        monkeypatch.setenv(name, str(value))
    assert f"plain,{expected}" in gmzoo().out.splitlines()


@pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="there is no bash")
def test_bash_reads_its_script(gmzoo):
    script = gmzoo("completion", "bash").out
    done = subprocess.run(["/bin/bash", "-n"], input=script, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
