"""The table of all models: a small part of it runs, and operations are counted as they are."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
#: What must be a positive number in each row of a part.
MEASURED = {
    "training": {
        "examples_per_second", "first_step_seconds", "peak_megabytes", "sample_seconds", "batch_size",
    },
    "variants": {"float32_examples_per_second", "mixed_bfloat16"},
    "batch": {"sizes", "seconds"},
    "startup": {"seconds", "processor_seconds"},
}  # fmt: skip


@pytest.fixture
def benchmark_module(monkeypatch):
    """Imports a benchmark, as another one does."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def tables(text: str) -> dict[str, list[list[str]]]:
    """The cells of each table, by its title."""
    found = {}
    for section in text.split("### ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        found[section.splitlines()[0]] = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]
        ]
    return found


def test_the_quick_part_runs(tmp_path, benchmark_module):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: benchmarks -->\nold\n<!-- end -->\nafter\n")
    line = [
        sys.executable,
        str(BENCHMARKS / "table.py"),
        "--quick",
        "--out",
        str(tmp_path),
        "--docs",
        str(page),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "benchmarks.json").read_text())
    text = (tmp_path / "benchmarks.md").read_text()
    assert done.stdout.strip() == text.strip()
    assert page.read_text() == f"before\n<!-- measured: benchmarks -->\n\n{text}\n<!-- end -->\nafter\n"
    assert found["machine"] in text and found["versions"]["tensorflow"] in text

    for part, keys in MEASURED.items():
        assert found[part], part
        for row in found[part]:
            assert "error" not in row, row
            for key in keys:
                values = row[key] if isinstance(row[key], list) else [row[key]]
                assert values and all(value > 0 for value in values), (part, key, row)
    assert [row["model"] for row in found["training"]] == ["independent", "vae"]
    counted = found["training"][1]
    rate = counted["examples_per_second"] * counted["operations_per_example"] / 1e9
    assert counted["share_of_matrix_product"] == pytest.approx(rate / counted["matrix_product_gigaflops"])

    table = benchmark_module("table")
    written = tables(text)
    for part in MEASURED:
        title, columns = table.TABLES[part]
        assert len(written[title]) == len(found[part])
        for cells, row in zip(written[title], found[part], strict=True):
            for cell, key in zip(cells, columns.values(), strict=True):
                value = row.get(key)
                if isinstance(value, int | float):
                    assert float(cell.replace(",", "")) == pytest.approx(value, rel=0.01)
                elif isinstance(value, str):
                    assert cell == value
                elif value is None:
                    assert cell == "-"


def test_a_model_that_fails_stops_no_other(tmp_path, monkeypatch, benchmark_module):
    """Its row says why, and a variant that takes its process with it is not asked for again."""
    table = benchmark_module("table")
    asked = []

    class Dying(table.Bench):
        def ask(self, what, model, *words):
            asked.append(words)
            if what == ["training"]:
                return {"training": {"error": "MemoryError: "} if model == "vae" else {"preset": "tiny"}}
            left = words[-1].split(",")
            said = {left[0]: {"times_float32": 1.5, "float32_examples_per_second": 10.0}}
            return {"variants": {**said, "error": "signal 11"} if len(left) > 1 else said}

    words = ["--models", "vae,gan", "--parts", "training,variants", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["table.py", *words])
    monkeypatch.setattr(table, "Bench", Dying)
    table.main()
    found = json.loads((tmp_path / "benchmarks.json").read_text())
    assert found["training"][0]["error"] == "MemoryError: "
    assert found["training"][1]["preset"] == "tiny"
    assert [row["error"] for row in found["variants"]] == ["mixed_float16: signal 11"] * 2
    assert [row["jit"] for row in found["variants"]] == [1.5] * 2
    assert len(asked) == 2 + 2 * 2  # each of the two: all three, then what was left
    assert "- `vae`: MemoryError: " in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.parametrize(("name", "preset"), [("dcgan", "tiny"), ("vae", "tiny_conditional")])
def test_operations_are_counted_as_they_are_reckoned(name, preset, benchmark_module, monkeypatch):
    """Beside a formula for the layers; what nobody uses is left out of both."""
    one_model, model = benchmark_module("one_model"), benchmark_module(name)
    each = one_model.Training(name, preset)
    if name == "dcgan":  # its layers at the image, 5x5 with a stride of 2, are computed as 3x3 of 2x2 pixels
        kernels = model.multiply_adds
        monkeypatch.setattr(
            model,
            "multiply_adds",
            lambda net: [adds // 25 * 36 if adds == 5 * 5 * 4 * 4**2 else adds for adds in kernels(net)],
        )
    assert one_model.operations(each) / each.rows == model.operations(each.model)


def test_an_exponent_is_the_slope(benchmark_module):
    exponent = benchmark_module("sampling").exponent
    assert exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2.0)
