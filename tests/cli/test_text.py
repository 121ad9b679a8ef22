"""Text in, text out: a model of characters is trained on a file, drawn from and scored with another file."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zoo.cli.main import main

pytestmark = pytest.mark.xdist_group("cli")

LINES = ["It is said;\n", "a line, another line\n", "and the end: so be it.\n"]
NEW = 20  # characters that the tiny preset draws


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, another text, and the run of a model of the first."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "first.txt").write_text("".join(random.Random(0).choices(LINES, k=300)))
    (folder / "other.txt").write_text("é" * 9 + "".join(LINES * 16))
    line = ["train", "rnn", "--preset", "tiny_text", "--data", f"text:{folder}/first.txt", "--steps", 8]
    done = CliRunner().invoke(main, [*map(str, line), "--runs-dir", str(folder / "runs")])
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture
def use(library: Path, gmzoo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command line with the model, in an empty folder."""
    monkeypatch.setenv("GMZOO_RUNS", str(library / "runs"))
    return lambda command, *words: gmzoo(command, "--model", "rnn", *words)


def test_the_run_tells_what_a_character_costs(library):
    run = library / "runs/rnn-001"
    record = json.loads((run / "run.json").read_text())
    assert set(record["config"]["vocabulary"]) == {"\ufffd", *"".join(LINES)}
    assert record["config"]["length"] == 128
    nats, bits = (record["result"][f"{unit}_per_character"] for unit in ("nats", "bits"))
    assert 0 < nats["value"] < 4
    assert bits["value"] == pytest.approx(nats["value"] / math.log(2))
    assert (nats["kind"], nats["better"], nats["unit"]) == ("exact", "lower", "nats/character")
    assert nats["receipt"]["split"] == "test"
    assert nats["receipt"]["least_context"] == 64
    page = (run / "samples/epoch-0001.txt").read_text()
    assert [line for line in page.split("\n") if line.startswith("== ")] == [
        f"== seed {i} ==" for i in range(8)
    ]


def test_a_sample_begins_with_its_prompt(use):
    prompt = "It is\nand"
    line = ["--prompt", prompt, "--temperature", 0.8, "--top-k", 5, "-n", 1, "--out", "x.txt"]
    assert use("sample", *line).out == "x.txt\n"
    text = Path("x.txt").read_text()
    assert text.startswith(prompt)
    assert len(text) == len(prompt) + NEW + 1
    assert use("sample", *line, "--force").code == 0
    assert Path("x.txt").read_text() == text


def test_texts_are_the_same_in_every_form(use):
    assert use("sample", "--seeds", "4,2").out == "rnn-samples.txt\n"
    for out in ("x.csv", "x/"):
        assert use("sample", "--seeds", "4,2", "--out", out).code == 0
    with Path("x.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["seed", "text"]
    assert [row[0] for row in rows] == ["4", "2"]
    texts = [row[1] for row in rows]
    assert {len(text) for text in texts} == {NEW}
    assert Path("rnn-samples.txt").read_text() == f"== seed 4 ==\n{texts[0]}\n\n== seed 2 ==\n{texts[1]}\n"
    assert [path.read_text() for path in sorted(Path("x").iterdir())] == texts


def test_prompts_of_a_file_take_turns(use):
    Path("prompts.txt").write_text("a line\nso be\n")
    assert use("sample", "--prompt-file", "prompts.txt", "-n", 3, "--out", "x/").code == 0
    texts = [path.read_text() for path in sorted(Path("x").iterdir())]
    assert [text[: len(text) - NEW] for text in texts] == ["a line", "so be", "a line"]


def test_each_line_of_a_file_is_drawn_once_and_told(use):
    lines = [f"a line{' so' * index}" for index in range(66)]
    Path("prompts.txt").write_text("\n".join(lines))
    assert use("sample", "--prompt-file", "prompts.txt", "--seed", 7, "--out", "x.csv").code == 0
    with Path("x.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["seed", "prompt", "text"]
    assert [row[:2] for row in rows] == [[str(7 + index), line] for index, line in enumerate(lines)]
    assert all(text.startswith(line) for _, line, text in rows)
    done = use("sample", "--prompt-file", "prompts.txt", "--seeds", "3,5", "--out", "y.csv")
    assert "2 seeds: the last 64 lines of --prompt-file are left out" in done.err
    assert use("sample", "--prompt", "a line", "-n", 1, "--out", "z.csv").code == 0
    assert Path("z.csv").read_text().startswith("seed,prompt,text\n0,a line,a line")


def test_a_character_that_the_model_does_not_know_is_told(use):
    done = use("sample", "--prompt", "a line, naïve", "-n", 1)
    assert done.code == 2
    assert "knows no 'ï', 'v', which the prompt 'a line, naïve' has. Leave out what" in done.err
    assert not list(Path().iterdir())


def test_labels_are_nothing_for_a_text(use):
    done = use("sample", "--label", 3, "-n", 1)
    assert done.code == 2
    assert "it takes prompt, temperature, top_k" in done.err


def test_the_score_of_the_test_split_is_that_of_the_run(use, library):
    found = use("score", "--split", "test", "--json").json
    result = json.loads((library / "runs/rnn-001/run.json").read_text())["result"]
    for name in ("nats_per_character", "log_prob"):
        ours, theirs = found[name], result[name]
        assert ours["mean"] == pytest.approx(theirs["value"], rel=1e-4)
        assert ours["standard_error"] == pytest.approx(theirs["standard_error"], rel=1e-2)
        assert ours["unit"] == theirs["unit"]
    assert found["bits_per_character"] == pytest.approx(result["bits_per_character"]["value"], rel=1e-4)


def test_a_temperature_of_samples_is_in_their_receipt_and_not_in_the_card(use):
    def of(*words):
        return use("evaluate", "--metrics", "variety", "--samples", 8, "--split", "test", *words)

    cold, usual = (of("--json", *words).json for words in (["--temperature", 0.01], []))
    for name, each in cold["metrics"].items():
        assert each["receipt"].get("temperature") == 0.01, name
        assert "temperature" not in usual["metrics"][name]["receipt"]
    assert any(each["value"] != usual["metrics"][name]["value"] for name, each in cold["metrics"].items())
    assert ", temperature 0.01\n" in of("--temperature", 0.01).out
    assert of("--temperature", 0.01, "--card").code == 2


def test_another_text_is_scored_in_the_tokens_of_the_model(use, library):
    done = use("score", "--data", f"text:{library}/other.txt", "--out", "x.csv")
    assert done.code == 0, done.err
    assert "9 characters are none that the model knows" in done.err
    assert "nats_per_character  " in done.out
    with Path("x.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "file", "log_prob", "bits_per_dim", "nats_per_character", "bits_per_character"]
    for row in rows:
        assert float(row[5]) == pytest.approx(float(row[4]) / math.log(2), abs=1e-5)
    # The first window has nothing before it: there the two ways of counting agree.
    assert float(rows[0][3]) == pytest.approx(float(rows[0][5]), abs=1e-5)
    assert float(rows[1][3]) != pytest.approx(float(rows[1][5]), abs=1e-5)
