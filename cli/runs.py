"""`gmzoo runs`."""

from __future__ import annotations

import typing
from typing import Any

import click

from zoo.cli.command import Command, json_option, name_argument, runs_option

if typing.TYPE_CHECKING:
    from zoo.runs import Run


@click.command("runs", cls=Command)
@name_argument("name", required=False)
@runs_option
@json_option
def command(name: str | None, runs_dir: str | None, as_json: bool) -> None:
    """List the training runs.

    Newest first, with status, measure and path; with NAME, those of one model.

        gmzoo runs
        gmzoo runs vae --json
    """
    from zoo import registry, runs
    from zoo.cli.output import measure, write_json, write_table

    if name is not None:
        registry.card(name)  # an unknown name is told
    folder = runs.runs_dir(runs_dir)
    found = [described(run) for run in runs.all_runs(folder, name)]
    if as_json:
        write_json(found)
    elif not found:
        click.echo(f"No runs in {folder}. Train one: gmzoo train {name or 'dcgan'}", err=True)
    else:
        write_table(
            ["run", "status", "preset", "dataset", "step", "measure", "started"],
            [
                [
                    each["path"],
                    _status(each),
                    each["preset"],
                    each["dataset"],
                    f"{each['step']:,} of {each['steps']:,}",
                    next((f"{name} {measure(metric)}" for name, metric in each["metrics"].items()), ""),
                    each["started"][:16].replace("T", " "),
                ]
                for each in found
            ],
        )


def _status(each: dict[str, Any]) -> str:
    """`finished`, or `finished, 2 warnings`."""
    count = len(each["warnings"])
    return each["status"] + (f", {count} warning{'s' * (count > 1)}" if count else "")


def described(run: Run) -> dict[str, Any]:
    """What programs want to know of a run."""
    record = run.record
    return {
        "path": str(run.path),
        "model": record["model"],
        "preset": record["preset"],
        "dataset": record["dataset"]["spec"],
        "status": run.status,
        "step": run.step,
        "steps": record["steps"],
        "metrics": record.get("result") or {},
        "warnings": [each["text"] for each in record.get("warnings", []) if each["over"] is None],
        "seconds": record.get("seconds"),
        "started": record["started"],
        "finished": record.get("finished"),
        "saved_model": None if run.saved_model is None else str(run.saved_model),
    }
