"""`gmzoo compare`."""

from __future__ import annotations

import logging
from typing import Any

import click

from zoo.cli.command import Command, data_dir_option, data_option, name_argument, out_options, runs_option
from zoo.errors import UsageError

log = logging.getLogger("gmzoo")


@click.command("compare", cls=Command)
@name_argument("models", metavar="M1 M2 ...", nargs=-1)
@runs_option
@click.option(
    "-n", "count", type=click.IntRange(min=1, max=256), help="Samples of each model.  [default: 64]"
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="The first seed; the others follow it.  [default: 0]"
)
@click.option("--seeds", metavar="LIST", help="These seeds, as in 0-63,70, instead of -n and --seed.")
@click.option("--prompt", help="A text for the models that are given one.")
@click.option("--evaluate", is_flag=True, help="Measure each model now, too: FID and all that applies.")
@click.option(
    "--samples", type=click.IntRange(min=1), help="With --evaluate: how many are drawn.  [default: 5000]"
)
@data_option
@data_dir_option
@out_options
def command(
    models: tuple[str, ...],
    runs_dir: str | None,
    count: int | None,
    seed: int | None,
    seeds: str | None,
    prompt: str | None,
    evaluate: bool,
    samples: int | None,
    data: str | None,
    data_dir: str | None,
    out: str | None,
    force: bool,
) -> None:
    """Lay trained models side by side, on one page.

    Each M is what --model takes: NAME or NAME:PRESET (the newest finished run here, else the shipped model),
    shipped:NAME, or a path.

    The page is one .html file that asks nothing from elsewhere: samples of the same seeds, what was measured,
    with its receipts, the curves of runs, and what training and sampling cost; sampling is timed here.
    Exact likelihoods, and bounds on them, stand in tables of their own.

    What was measured is what training wrote into the model's card. With --evaluate each is measured now as
    well, as by `gmzoo evaluate`: a minute or so for each model of images, on --data or on what it was trained
    on.

        gmzoo compare vae gan dcgan --out report.html
        gmzoo compare vae gan dcgan --evaluate --samples 2000
        gmzoo compare nade nade:glyphs runs/nade-003
    """
    from zoo import registry
    from zoo.cli import inputs, output
    from zoo.cli.progress import follow

    if len(set(models)) < 2:
        given = f" {models[0]}" if models else ""
        raise UsageError(
            f"compare needs two models or more; try: gmzoo compare{given or ' vae'} "
            f"{'gan' if given != ' gan' else 'vae'}"
        )
    if not evaluate and (samples or data or data_dir):
        raise UsageError("--samples, --data and --data-dir say how to measure: add --evaluate.")
    chosen = inputs.parse_seeds(seeds, count, seed)
    path = output.check_out(out, force, (".html",)) or output.free_name("report", ".html")
    for name in models:  # a wrong name is told before TensorFlow is waited for
        registry.resolve(name, runs_dir)
    source = {"data": data, "data_dir": data_dir}
    loaded = {model: inputs.load_model(model, runs_dir, source) for model in dict.fromkeys(models)}
    from zoo.evaluation.evaluate import evaluate as measure
    from zoo.reports import comparison

    options: dict[str, Any] = {"data_dir": data_dir, "runs": runs_dir, "memory": {}, "follow": follow}
    options |= {} if samples is None else {"samples": samples}
    measured: dict[str, Any] = {}
    unmeasured: dict[str, str] = {}
    for title, model in loaded.items() if evaluate else ():
        try:
            measured[title] = measure(model, data, **options)
        except UsageError as error:  # the others can be compared all the same
            unmeasured[title] = str(error)
            log.warning("%s cannot be measured: %s", title, error)
    if evaluate and not measured:
        raise UsageError(next(iter(unmeasured.values())))
    entries = [
        comparison.entry(
            title,
            model,
            chosen,
            prompt=prompt,
            measured=measured.get(title),
            unmeasured=unmeasured.get(title, ""),
            follow=follow,
        )
        for title, model in loaded.items()
    ]
    comparison.write_comparison(entries, chosen, path)
    click.echo(path)
