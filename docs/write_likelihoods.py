"""Writes the tables of all models with an exact likelihood into docs/likelihoods.md, from finished runs.

    python docs/write_likelihoods.py RUNS_DIR

Each table holds the newest finished run of each model and preset on the same data with the same levels, best
first. Parameters, nats, bits, and time come from the runs; how long 64 samples take is measured here.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.machine import machine
from zoo.reports.comparison import TIMED, timed
from zoo.runs import Run, all_runs
from zoo.sampling import DRAWING, load

PAGE = Path(__file__).with_name("likelihoods.md")
#: The name of each table's block in the page: which data, of which size (None: its own), of how many levels.
TABLES: dict[str, tuple[str, int | None, int | None]] = {
    "digits, binary": ("digits", None, 2),
    "digits, 16 levels": ("digits", None, 16),
    "glyphs, binary": ("glyphs", None, 2),
    "wine": ("wine", None, None),
    "digits, 4x4": ("digits", 4, 2),
}
HEAD = (
    f"| model | parameters | test, nats | bits/dim | training, processor time | {TIMED} samples | command |\n"
    "|---|---:|---:|---:|---:|---:|---|"
)


def main() -> None:
    """Rewrites the blocks of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, metavar="RUNS_DIR")
    runs = [run for run in all_runs(parser.parse_args().runs) if run.status == "finished" and run.saved_model]
    page = PAGE.read_text(encoding="utf-8")
    for name, place in TABLES.items():
        block = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = "\n".join([HEAD, *rows(newest(runs, place))])
        page, found = block.subn(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", page)
        assert found == 1, f"{PAGE} has {found} places for {name}"
    page, _ = re.subn(r"(?m)^Measured on: .*$", f"Measured on: {machine()}.", page)
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE}")


def newest(runs: Iterable[Run], place: tuple[str, int | None, int | None]) -> list[Mapping[str, Any]]:
    """The records of the newest runs on some data, one for each model and config, the best first."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        record = run.record
        metric = (record["result"] or {}).get("log_prob")
        if not metric or metric["kind"] != "exact" or metric["value"] is None or "tiny" in record["preset"]:
            continue
        dataset = record["dataset"]
        if (dataset["spec"], dataset["image_size"], metric["receipt"]["levels"]) == place:
            config = {key: value for key, value in record["config"].items() if key != "image_shape"}
            found.setdefault(f"{record['model']} {config}", {**record, "saved_model": run.saved_model})
    return sorted(found.values(), key=lambda record: -record["result"]["log_prob"]["value"])


def rows(records: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """A line for each; two of one model are told apart by their presets."""
    records = [*records]
    often = Counter(record["model"] for record in records)
    for record in records:
        model, result = load(record["saved_model"]), record["result"]
        nats, bits = result["log_prob"], result["log_prob_bits_per_dim"]
        seconds = timed(model) if any(name in model.signatures for name in DRAWING) else None
        variant = f", {record['preset']}" if often[record["model"]] > 1 else ""
        density = result["log_prob"]["receipt"]["levels"] is None  # another unit gives another number of bits
        cells = [
            f"[`{record['model']}`](models/{record['model']}.md){variant}",
            f"{model.card['parameters']:,}",
            f"{nats['value']:.2f} +- {nats['standard_error']:.2f}",
            "" if density else f"{bits['value']:.3f}",
            cost(record["processor_seconds"]),
            "" if seconds is None else f"{seconds:.2g} s",
            f"`{record['command'].replace(' --new', '')}`",  # which changes nothing of the result
        ]
        yield f"| {' | '.join(cells)} |"


def cost(seconds: float) -> str:
    """Processor time as people say it."""
    if seconds < 1:
        return "below 1 s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    main()
