"""Measures every model and writes one table: Markdown and JSON, with the machine that it was measured on.

    python benchmarks/table.py                                 all, which takes hours
    python benchmarks/table.py --models vae,dcgan --seconds 1
    python benchmarks/table.py --parts training,startup
    python benchmarks/table.py --quick                         a small part, to see that it works
    python benchmarks/table.py --torch /path/to/python         an interpreter that has PyTorch
    python benchmarks/table.py --docs docs/benchmarks.md       writes the tables into the page, too

Each model is measured in a process of its own (`benchmarks/one_model.py`), so that it starts from nothing,
its peak memory is its own, and one that fails, or takes longer than `--limit`, stops no other: its row says
why. What is done is written after each row. docs/benchmarks.md explains the columns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.files import replacing
from zoo.machine import cores, processor

HERE = Path(__file__).parent
OUT = HERE.parent / "build/bench"
#: What `--quick` measures of which model.
QUICK = {"independent": ["training", "batch"], "vae": ["training", "variants"]}
VARIANTS = ("mixed_bfloat16", "mixed_float16", "jit")
#: Those whose networks take images of every side.
CONVOLUTIONAL = ("cyclegan", "dcgan", "progan", "vae")
#: Those of `benchmarks/sampling.py`.
ONE_BY_ONE = ("imagegpt", "nade", "pixelcnn", "pixelrnn")
PEERS = ("dcgan", "nade", "progan", "vae")
#: `python` and `gmzoo` are those of this environment; SAMPLES stands for a file that is removed.
STARTS = {
    "gmzoo --help": ["gmzoo", "--help"],
    "gmzoo list": ["gmzoo", "list"],
    "import zoo": ["python", "-c", "import zoo"],
    "gmzoo sample --model vae": [
        "gmzoo", "sample", "--model", "shipped:vae", "--force", "--out", "SAMPLES",
    ],
}  # fmt: skip

Row = dict[str, Any]

#: Of each part the title, and of each column the heading and the key.
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "training": (
        "Training and sampling",
        {
            "model": "model",
            "preset": "preset",
            "data": "dataset",
            "batch": "batch_size",
            "examples/s": "examples_per_second",
            "Mflop an example": "megaflop_per_example",
            "share of GEMM": "share_of_matrix_product",
            "first step, s": "first_step_seconds",
            "peak memory, MB": "peak_megabytes",
            "64 samples, s": "sample_seconds",
            "by": "drawing",
        },
    ),
    "variants": (
        "Precision and compilation",
        {
            "model": "model",
            "float32, examples/s": "float32_examples_per_second",
            "mixed_bfloat16, times": "mixed_bfloat16",
            "mixed_float16, times": "mixed_float16",
            "--jit, times": "jit",
            "first step with --jit, s": "jit_first_step_seconds",
        },
    ),
    "batch": (
        "Growth with the batch",
        {"model": "model", "examples": "sizes", "seconds of a step": "seconds", "exponent": "exponent"},
    ),
    "image": (
        "Growth with the image",
        {"model": "model", "sides": "sizes", "seconds of a step": "seconds", "exponent": "exponent"},
    ),
    "pixels": (
        "Growth of sampling with the pixels",
        {"model": "model", "sides": "sizes", "seconds of 64 samples": "seconds", "exponent": "exponent"},
    ),
    "startup": (
        "Start-up",
        {"what": "what", "seconds": "seconds", "processor seconds": "processor_seconds"},
    ),
    "peers": (
        "Beside PyTorch",
        {
            "model": "model",
            "examples/s": "examples_per_second",
            "PyTorch's": "pytorch_examples_per_second",
            "times PyTorch": "times_pytorch",
            "share of GEMM": "share_of_matrix_product",
            "PyTorch": "version",
        },
    ),
}


class Bench:
    """What was found out so far, and the options.

    Attributes:
        found: what is written as JSON.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.found: dict[str, Any] = {
            "schema": 1,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": f"{cores()} cores of {processor()}",  # until TensorFlow tells of GPUs
            "versions": {},
            "seconds": options.seconds,
            "quick": options.quick,
        }

    def ask(self, what: Sequence[str], model: str, *words: str) -> dict[str, Row]:
        """What a process of its own says of a model, by measurement; with `error`, why it said no more."""
        options = self.options
        print(f"{model}: {', '.join(what)}", file=sys.stderr, flush=True)
        line = [sys.executable, str(HERE / "one_model.py"), ",".join(what), model, *words]
        line += ["--seconds", str(options.seconds), *(["--preset", "tiny"] if options.quick else [])]
        died = ""
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as told:
            try:
                code = subprocess.run(line, stdout=said, stderr=told, timeout=options.limit).returncode
            except subprocess.TimeoutExpired:
                died = f"it took more than {options.limit:g} s"
            else:
                if code:
                    told.seek(0)
                    last = (told.read().strip().splitlines() or [""])[-1]
                    died = f"signal {-code}" if code < 0 else last[:200]
            said.seek(0)
            lines = [json.loads(each) for each in said if each.startswith("{")]
        found: dict[str, Row] = {name: {} for name in what}
        for each in lines:
            for key, value in each.items():
                if key in found:
                    found[key].update(value)
                else:  # the machine and the versions
                    self.found[key] = value
        if died:
            found[what[-1]]["error"] = died
        return found

    # -- the parts: each gives its rows --------------------------------------------------------------------

    def training(self) -> Iterator[Row]:
        for model in self.options.models:
            yield training_row(model, self.ask(["training"], model)["training"])

    def variants(self) -> Iterator[Row]:
        for model in self.options.models:
            found: Row = {}
            left = [*VARIANTS]
            while left:  # one that dies takes the process with it: the next ones get another
                said = self.ask(["variants"], model, "--variants", ",".join(left))["variants"]
                missing = [name for name in left if name not in said]
                if missing:
                    said[missing[0]] = {"error": said.pop("error", "nothing was said")}
                found |= said
                left = missing[1:]
            yield variants_row(model, found)

    def batch(self) -> Iterator[Row]:
        for model in self.options.models:
            yield {"model": model, **self.ask(["batch"], model)["batch"]}

    def image(self) -> Iterator[Row]:
        for model in self.options.models:
            if model in CONVOLUTIONAL:
                yield {"model": model, **self.ask(["image"], model)["image"]}

    def pixels(self) -> Iterator[Row]:
        for model in self.options.models:
            if model in ONE_BY_ONE:
                found = self.ask(["pixels"], model, "--sides", "14", "28", "56")["pixels"]
                error = found.pop("error", None)
                yield from ({"model": name, **each} for name, each in found.items())
                if error:
                    yield {"model": model, "error": error}

    def quick(self) -> dict[str, list[Row]]:
        """The rows of three parts, by two processes: to start one costs more than to measure."""
        rows: dict[str, list[Row]] = {"training": [], "variants": [], "batch": []}
        for model in self.options.models:
            what = QUICK.get(model, ["training"])
            found = self.ask(what, model, "--variants", VARIANTS[0])
            rows["training"].append(training_row(model, found["training"]))
            if "variants" in found:
                rows["variants"].append(variants_row(model, found["variants"]))
            if "batch" in found:
                rows["batch"].append({"model": model, **found["batch"]})
        return rows

    def startup(self) -> Iterator[Row]:
        """Medians over three starts after one that fills the caches."""
        tries = 1 if self.options.quick else 3
        with tempfile.TemporaryDirectory() as folder:
            for what, words in STARTS.items():
                if self.options.quick and "sample" in what:
                    continue
                print(what, file=sys.stderr, flush=True)
                named = {
                    "python": sys.executable,
                    "gmzoo": str(Path(sys.executable).with_name("gmzoo")),
                    "SAMPLES": f"{folder}/samples.png",
                }
                line = [named.get(each, each) for each in words]
                times = [started(line) for _ in range(1 + tries)][1:]
                wall, processor = (statistics.median(each) for each in zip(*times, strict=True))
                yield {"what": what, "seconds": wall, "processor_seconds": processor}

    def peers(self) -> Iterator[Row]:
        """By the benchmarks that stand beside PyTorch."""
        for model in PEERS:
            if model in self.options.models:
                print(f"{model}: beside PyTorch", file=sys.stderr, flush=True)
                line = [sys.executable, str(HERE / f"{model}.py"), "--torch", self.options.torch]
                line += ["--json"] if model == "nade" else []
                try:
                    done = subprocess.run(
                        line, capture_output=True, text=True, check=True, timeout=2 * self.options.limit
                    )
                except subprocess.TimeoutExpired as error:
                    yield {"model": model, "error": f"it took more than {error.timeout:g} s"}
                except subprocess.CalledProcessError as error:
                    last = (error.stderr.strip().splitlines() or [""])[-1]
                    yield {"model": model, "error": last[:200]}
                else:
                    yield peer_row(model, json.loads(done.stdout))

    def run(self) -> None:
        """Measures the parts, and writes what there is after each row; the page when all is done."""
        if self.options.quick:
            self.found |= self.quick()
            self.write()
        for part in self.options.parts:
            self.found[part] = []
            for row in getattr(self, part)():
                self.found[part].append(row)
                self.write()
        text = markdown(self.found)
        print(text)
        if self.options.docs:
            page = filled(self.options.docs.read_text(encoding="utf-8"), text)
            with replacing(self.options.docs) as path:
                path.write_text(page, encoding="utf-8")

    def write(self) -> None:
        with replacing(self.options.out / "benchmarks.json") as path:
            path.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        with replacing(self.options.out / "benchmarks.md") as path:
            path.write_text(markdown(self.found), encoding="utf-8")


# -- rows --------------------------------------------------------------------------------------------------


def training_row(model: str, found: Row) -> Row:
    count = found.get("operations_per_example")
    return {"model": model, **found, "megaflop_per_example": None if count is None else count / 1e6}


def variants_row(model: str, found: Mapping[str, Any]) -> Row:
    """The ratios of all variants in one row; what failed says why."""
    row: Row = {"model": model}
    errors = []
    for name in VARIANTS:
        each = found.get(name, {})
        row[name] = each.get("times_float32")
        row.setdefault("float32_examples_per_second", each.get("float32_examples_per_second"))
        if "error" in each:
            errors.append(f"{name}: {each['error']}")
    row["jit_first_step_seconds"] = found.get("jit", {}).get("first_step_seconds")
    if "error" in found:
        errors.append(found["error"])
    return {**row, "error": "; ".join(errors)} if errors else row


def peer_row(model: str, found: Any) -> Row:
    """Of what a benchmark printed; of nade the mode that is the default, at the density of MNIST."""
    if model == "nade":
        ours, peer = found[0], next(row for row in found if "PyTorch" in row["mode"])
        return {
            "model": model,
            "examples_per_second": ours["examples_per_second"],
            "pytorch_examples_per_second": peer["examples_per_second"],
            "times_pytorch": ours["times_pytorch"],
            "version": peer["mode"].removeprefix("PyTorch "),
        }
    return {
        "model": model,
        "examples_per_second": found["images_per_second"],
        "pytorch_examples_per_second": found["pytorch"]["images_per_second"],
        "times_pytorch": found["times_pytorch"],
        "share_of_matrix_product": found["share_of_matrix_product"],
        "version": found["pytorch"]["version"],
    }


def started(line: Sequence[str]) -> tuple[float, float]:
    """Seconds of a command, and of the processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


# -- Markdown ----------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A cell: numbers with three digits that count."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def markdown(found: Mapping[str, Any]) -> str:
    """All tables, and under each what could not be measured and why."""
    versions = [f"{name} {version}" for name, version in found["versions"].items()]
    lines = [f"Measured on {found['date']}: {'; '.join([found['machine'], *versions])}."]
    if found["quick"]:
        lines += ["", "**Quick: the smallest networks, for an instant. These figures say nothing.**"]
    for part, (title, columns) in TABLES.items():
        if part not in found:
            continue
        rows = found[part]
        numbers = {key for row in rows for key in columns.values() if isinstance(row.get(key), int | float)}
        lines += ["", f"### {title}", "", f"| {' | '.join(columns)} |"]
        lines.append("|" + "".join("---:|" if key in numbers else "---|" for key in columns.values()))
        lines += [f"| {' | '.join(shown(row.get(key)) for key in columns.values())} |" for row in rows]
        errors = [
            f"- `{row.get('model', row.get('what'))}`: {row['error']}" for row in rows if "error" in row
        ]
        lines += ["", *errors] if errors else []
    return "\n".join(lines) + "\n"


def filled(page: str, text: str) -> str:
    """A page with the tables in its block."""
    block = re.compile(r"(<!-- measured: benchmarks -->\n).*?(<!-- end -->)", re.DOTALL)
    page, count = block.subn(lambda match: f"{match[1]}\n{text}\n{match[2]}", page)
    if count != 1:
        raise SystemExit(f"the page has {count} places for the tables")
    return page


def words(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", type=lambda text: text.split(","), help="with commas between; all if left out"
    )
    parser.add_argument("--parts", type=lambda text: text.split(","), help=f"of {', '.join(TABLES)}")
    parser.add_argument("--seconds", type=float, default=5.0, help="that each measurement takes, when warm")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds of one process at most")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    parser.add_argument("--quick", action="store_true", help="tiny presets, two models, an instant")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="a page with a place for the tables")
    options = parser.parse_args()
    options.torch = options.torch or (sys.executable if find_spec("torch") else None)
    if options.quick:
        options.seconds = min(options.seconds, 0.1)
    options.models = options.models or [*(QUICK if options.quick else registry.names())]
    options.parts = options.parts or (["startup"] if options.quick else [*TABLES])
    if unknown := {*options.models} - {*registry.names()} or {*options.parts} - {*TABLES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if not options.torch:
        options.parts = [part for part in options.parts if part != "peers"]
        print("without PyTorch: --torch names an interpreter that has it", file=sys.stderr)
    Bench(options).run()


if __name__ == "__main__":
    main()
