"""`gmzoo reproduce`."""

from __future__ import annotations

import logging
import typing
from typing import Any

import click

from zoo.cli.command import (
    Command,
    data_dir_option,
    data_option,
    json_option,
    name_argument,
    preset_option,
    runs_option,
)
from zoo.errors import UsageError
from zoo.plain import figures

if typing.TYPE_CHECKING:
    from zoo.reports.reproductions import Published
    from zoo.runs import Run

log = logging.getLogger("gmzoo")


@click.command("reproduce", cls=Command)
@name_argument("model", required=False, metavar="[MODEL]")
@preset_option
@data_option
@data_dir_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness.")
@runs_option
@click.option("--new", is_flag=True, help="Train afresh, also where a finished run is here.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and do nothing.")
@json_option
def command(
    model: str | None,
    preset: str | None,
    data: str | None,
    runs_dir: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train what a paper measured, and lay both numbers side by side.

    Takes the preset that follows a published number, trains it, or goes on where it stopped, and prints the
    paper's number, ours and the difference: above 0, ours is worse. Where a finished run is here it only
    prints. Without MODEL it lists all such numbers and what was measured of them.

        gmzoo reproduce
        gmzoo reproduce nade
        gmzoo reproduce pixelcnn --dataset npz:binarized_mnist --dry-run
    """
    from zoo.cli import output
    from zoo.cli.inputs import shown
    from zoo.reports import reproductions
    from zoo.runs import runs_dir as folder

    if model is None:
        if preset or data or dry_run or options["new"]:
            raise UsageError("reproduce needs a model for that; try: gmzoo reproduce nade")
        found = reproductions.table(folder(runs_dir))
        output.write_json(found) if as_json else _write_table(found)
        return
    number = reproductions.chosen(model, preset)
    log.info("%s, preset %s, after %s", model, number.preset, number.source)
    run = None
    if not options["new"]:
        run = reproductions.finished_run(number, folder(runs_dir), data, options["seed"])
    if run is not None:
        log.info("%s is finished", shown(run.path))
    elif (run := _trained(number, data, runs_dir, dry_run, **options)) is None:
        return
    ours = run.record["result"][number.metric]
    if as_json:
        output.write_json(reproductions.described(number, ours, shown(run.path)))
        return
    receipt = ours["receipt"]
    click.echo(number.line(ours))
    click.echo(f"{receipt['n']:,} examples of {receipt['dataset']}, {receipt['split']} split")
    click.echo(shown(run.path))


def _trained(
    number: Published, data: str | None, runs_dir: str | None, dry_run: bool, **options: Any
) -> Run | None:
    from zoo import registry
    from zoo.cli.train import trained

    papers = registry.presets(number.model)[number.preset]["dataset"]
    if data not in (None, papers):
        log.warning("the paper's data is %s: whether %s holds the same, only you can know", papers, data)
    return trained(number.model, data, runs_dir, preset=number.preset, dry_run=dry_run, **options)


def _write_table(found: list[dict[str, Any]]) -> None:
    from zoo.cli.output import write_table

    def here(each: dict[str, Any]) -> str:
        if each["here"] is None:
            return "not yet measured"
        metric = {"value": each["here"], "standard_error": each["standard_error"]}
        return " +- ".join(filter(None, figures(metric)))

    write_table(
        ["model", "preset", "paper", "here", "difference", "unit", "conditions", "measured by"],
        [
            [
                each["model"],
                each["preset"],
                f"{each['paper']:.2f}",
                here(each),
                "" if each["difference"] is None else f"{each['difference']:+.2f}",
                each["unit"],
                each["conditions"],
                each["measured_by"] or "",
            ]
            for each in found
        ],
    )
