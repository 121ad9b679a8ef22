"""`gmzoo train`."""

from __future__ import annotations

import sys
import typing
from typing import Any

import click

from zoo.cli.command import Command, data_options, name_argument, preset_option, runs_option
from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    from zoo.runs import Run


@click.command("train", cls=Command)
@name_argument("name")
@preset_option
@data_options
@click.option("--image-size", type=click.IntRange(min=1), help="Resize images to this height and width.")
@click.option("--epochs", type=click.IntRange(min=1), help="How many epochs in all.")
@click.option("--steps", type=click.IntRange(min=1), help="How many steps in all, instead of --epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Examples a step.")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Another value of an option of the model, of learning_rate, or of an optimizer (TURN.KEY=VALUE). "
    "Several times for several.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness.")
@click.option("--init-from", metavar="M", help="Begin with the weights of another model, wherever they fit.")
@click.option("--run-dir", type=click.Path(file_okay=False), help="This run directory and no other.")
@runs_option
@click.option("--new", is_flag=True, help="Start afresh, also where an equal run could be resumed.")
@click.option(
    "--strategy",
    type=click.Choice(["auto", "one", "mirrored", "multi-worker"]),
    default="auto",
    show_default=True,
    help="On which devices: auto takes all GPUs, multi-worker those of all processes that TF_CONFIG or Slurm "
    "describes (see gmzoo launch).",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    help="Of the computation.  [default: the preset's]",
)
@click.option("--jit/--no-jit", default=None, help="Compile with XLA, or not.  [default: as the preset says]")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done and do nothing, but prepare data that is missing."
)
def command(
    name: str,
    data: str | None,
    settings: tuple[str, ...],
    runs_dir: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Train a model, or go on with a run that was stopped.

    Without options it takes the model's default preset, which needs minutes and no download. The same line
    again resumes the newest run with these settings. Ctrl-C saves first.

        gmzoo train dcgan
        gmzoo train vae --preset mnist --set code_size=8
        gmzoo train dcgan --data folder:my-images --image-size 32 --epochs 20
        gmzoo train nade --dry-run
    """
    from zoo import cluster
    from zoo.cli.inputs import parse_settings, shown

    if options["strategy"] == "multi-worker" and not dry_run:
        cluster.find()
    run = trained(name, data, runs_dir, settings=parse_settings(settings), dry_run=dry_run, **options)
    if run is not None:
        _write_result(run, shown(run.path))


def trained(name: str, data: str | None, runs_dir: str | None, **options: Any) -> Run | None:
    """A run trained to its end, or gone on with, with its progress on the screen; None for a dry run.

    Args:
        name, data, runs_dir: as typed.
        **options: of `zoo.training.train`.
    """
    from zoo import cluster, registry
    from zoo import data as datasets
    from zoo.cli import startup
    from zoo.cli.progress import TrainingProgress

    # What is wrong with a name, a path or the network is told before TensorFlow is waited for.
    preset, chosen = registry.preset(name, options["preset"])
    kind = chosen["dataset"].partition(":")[0]
    if data is None and kind in datasets.LOCAL:
        raise UsageError(
            f"The preset {preset} of {name} is for files of your own: give --dataset {kind}:PATH."
        )
    datasets.check(data or chosen["dataset"], options["data_dir"])
    startup.tensorflow()
    from zoo.callbacks import Stopped
    from zoo.training import command_line, train

    with TrainingProgress() as progress:
        try:
            return train(name, dataset=data, runs=runs_dir, progress=progress, **options)
        except Stopped as stopped:
            if options["strategy"] != "multi-worker" or cluster.find().index == 0:
                progress.message(
                    f"Stopped at step {stopped.step}; everything is saved. Go on with: {command_line()}"
                )
            sys.exit(stopped.code)


def _write_result(run: Run, path: str) -> None:
    from zoo.cli.output import measure

    for name, metric in (run.record.get("result") or {}).items():
        click.echo(f"{name} {measure(metric)} ({metric['kind']}, {metric['receipt']['split']} split)")
    click.echo(path)
