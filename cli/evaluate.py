"""`gmzoo evaluate`."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from zoo.cli.command import (
    Command,
    codes_option,
    data_options,
    json_option,
    model_options,
    out_options,
    split_option,
)
from zoo.cli.shards import check_engine, engine_options
from zoo.errors import UsageError, ZooError

if typing.TYPE_CHECKING:
    from pathlib import Path

    from zoo.evaluation.metrics import Metrics
    from zoo.evaluation.supposed import Codes
    from zoo.sampling import LoadedModel

RUNS = "--runs"
# What --out needs, and how it is asked for.
SOUGHT = {"copies", "train_distance"}
NOT_SOUGHT = "measure copies, of a model that draws images without a prompt, on the data it was trained on"


class Several(Command):
    """A command in which all words behind `--runs` are models."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found, models, listing = [], [], False
        for word in args:
            if word.startswith("-"):
                name, equals, value = word.partition("=")
                listing = name == RUNS and not equals
                if name == RUNS:
                    models += [value] if equals else []
                else:
                    found.append(word)
            elif listing:
                models.append(word)
            else:
                found.append(word)
        if RUNS in args and not models and not ctx.resilient_parsing:
            raise click.UsageError(f"{RUNS} needs models; try: {ctx.command_path} {RUNS} RUN RUN", ctx)
        if models and not any(word.partition("=")[0] == "--model" for word in found):
            found += ["--model", models[0]]
        elif models:
            raise click.UsageError(f"{RUNS} names all models: leave out --model", ctx)
        return super().parse_args(ctx, found + [part for model in models for part in (RUNS, model)])


@click.command("evaluate", cls=Several)
@model_options
@click.option(
    RUNS,
    "several",
    metavar="M M ...",
    multiple=True,
    help="Several models instead of one: the mean and the standard deviation over them.",
)
@data_options
@split_option
@click.option("--metrics", metavar="LIST", help="These only, as in fid,kid.  [default: all that apply]")
@click.option("--samples", type=click.IntRange(min=1), help="How many samples are drawn.  [default: 5000]")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the first sample, and of every choice.  [default: 0]"
)
@click.option(
    "--extractor",
    metavar="M",
    help="What makes features of images: a model with encode, or inception.  [default: the zoo's vit that "
    "was trained on the data]",
)
@codes_option
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    help="Of the samples, of a model that has one; below 1: likelier, less varied.",
)
@engine_options
@click.option("--card", is_flag=True, help="Write the figures into the model card, too.")
@out_options
@json_option
def command(
    model: str,
    several: tuple[str, ...],
    runs_dir: str | None,
    metrics: str | None,
    samples: int | None,
    seed: int | None,
    extractor: str | None,
    codes: Codes | None,
    temperature: float | None,
    card: bool,
    out: str | None,
    force: bool,
    as_json: bool,
    engine: str,
    actors: int | None,
    split: str | None,
    **source: Any,
) -> None:
    """Measure a model by what it can do.

    Likelihoods and bounds; of samples FID, KID, precision, recall, density, coverage, classes, copies of
    training images; of texts nats per character and variety; of classifiers accuracy and calibration.

    The data is that which the model was trained on, unless --data names another. Every number has a receipt,
    which --json shows: data, how many, the features and their weights, seed, version.

    With --out NAME.png the samples that are nearest to training images are drawn above these.

        gmzoo evaluate --model dcgan
        gmzoo evaluate --model vae --metrics elbo,iwae_50,fid --samples 10000 --json
        gmzoo evaluate --model gan --metrics copies --out nearest.png
        gmzoo evaluate --runs runs/vae-001 runs/vae-002 runs/vae-003
        gmzoo evaluate --model runs/dcgan-001 --extractor inception --card
    """
    from zoo.cli import inputs, output
    from zoo.cli.progress import follow

    path = output.check_out(out, force, (".png",))
    check_engine(engine, actors)
    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    if names == []:
        raise UsageError("--metrics names nothing: use a list as in --metrics fid,kid.")
    if path is not None and len(several) > 1:
        raise UsageError("A picture shows the samples of one model: leave out --out or --runs.")
    if path is not None and names is not None and not SOUGHT.intersection(names):
        raise UsageError(f"--out draws samples above the training images nearest to them: {NOT_SOUGHT}.")
    if codes is not None and card:
        raise UsageError("Figures of a prior that was supposed do not belong to the model: leave out --card.")
    if temperature is not None and card:
        raise UsageError("Figures of another temperature do not belong to the model: leave out --card.")
    loaded = [inputs.load_model(each, runs_dir, source) for each in several or (model,)]
    if codes is not None:
        from zoo.evaluation.supposed import suppose

        for each in loaded:
            suppose(each, codes, follow=follow, **{key: source[key] for key in ("data_dir", "skip_bad")})
    if card:
        for each in loaded:
            check_card(each, source["data"], split, source["limit"])

    from zoo.evaluation import evaluate

    options = {
        "metrics": names,
        "split": split,
        "extractor": extractor,
        "runs": runs_dir,
        "follow": follow,
        "memory": {},
        **{key: source[key] for key in ("limit", "data_dir", "skip_bad")},
        **({} if samples is None else {"samples": samples}),
        "seed": seed or 0,
        "temperature": temperature,
    }
    evaluate.check_alike(loaded, source["data"], split)
    with spread_over(engine, actors, loaded):
        found = [evaluate.evaluate(each, source["data"], **options) for each in loaded]
    document = evaluate.document(loaded, found)
    if path is not None:
        draw_nearest(loaded[0], found[0], path, data_dir=source["data_dir"], skip_bad=source["skip_bad"])
    if as_json:
        output.write_json(document)
    else:
        show(document["metrics"], len(loaded))
        if path is not None:
            click.echo(path)
    if card:
        write_cards(loaded, found)


@contextlib.contextmanager
def spread_over(engine: str, actors: int | None, models: Sequence[LoadedModel]) -> Iterator[None]:
    """Runs the signatures of models on a Ray cluster, within the block, where that was asked for."""
    if engine == "local":
        yield
        return
    from zoo import engines

    with engines.cluster() as ray:
        for each in models:
            each.elsewhere = engines.spread(ray, actors)
        try:
            yield
        finally:
            for each in models:
                each.elsewhere = None


def check_card(model: LoadedModel, data: str | None, split: str | None, limit: int | None) -> None:
    """Checks, before anything is measured, that the figures belong into the model card and can be written.

    Raises:
        UsageError: they do not, or there is no card.
        ZooError: it cannot be written.
    """
    import os

    from zoo.exporting import CARD_FILE

    path = model.path / CARD_FILE
    if not path.is_file():
        raise UsageError(f"{model.path} has no model card ({CARD_FILE}) to write metrics into.")
    own = data in (None, model.card.get("dataset", {}).get("spec"))
    if limit is not None or split in ("train", "all") or not own:
        raise UsageError(
            "--card takes figures of unseen data of the model's own, all of it: leave out --limit, --data "
            f"and --split {split or 'train'}."
        )
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise ZooError(f"{path} cannot be written: leave out --card.")


def write_cards(models: Sequence[LoadedModel], found: Sequence[Metrics]) -> None:
    """Writes what was found into the cards, save where training knows a likelihood better."""
    from zoo.evaluation.metrics import newest
    from zoo.exporting import add_metrics

    for model, measured in zip(models, found, strict=True):
        add_metrics(model.path, newest(model.card.get("metrics", {}), measured))


def show(metrics: Mapping[str, Mapping[str, Any]], models: int) -> None:
    """Prints a table, and below it what the figures are made of."""
    from zoo.cli.output import write_measures
    from zoo.evaluation.metrics import made_of

    if not metrics:
        click.echo("Nothing here can be measured.")
        return
    write_measures(metrics, "standard error" if models == 1 else "standard deviation")
    click.echo()
    for name, text in made_of([each["receipt"] for each in metrics.values()], models):
        click.echo(f"{name:<10}{text}")


def draw_nearest(model: LoadedModel, metrics: Metrics, path: Path, **options: Any) -> None:
    """A row of the samples that are nearest to training images, and below it these.

    Args:
        model: that was measured.
        metrics: what was found.
        path: the picture.
        **options: data_dir, skip_bad: how the data is read.

    Raises:
        UsageError: they were not looked for.
    """
    import numpy as np

    import zoo.data
    from zoo.data.order import rows
    from zoo.evaluation.examples import example_shape
    from zoo.reports import pictures

    receipt = metrics.get("train_distance", {}).get("receipt")
    if receipt is None or "sample" not in model.signatures:
        raise UsageError(f"--out draws samples above the training images nearest to them: {NOT_SOUGHT}.")
    height, width, channels = example_shape(model)
    train = zoo.data.load(
        receipt["dataset"],
        "train",
        image_size=height if height == width else None,
        channels=channels,
        limit=model.card["dataset"].get("limit"),
        **options,
    )
    nearest = receipt["found"]["nearest"]
    seen = rows(train, np.array([each["train_index"] for each in nearest]))["image"]
    pictures.write_picture(pictures.stacks(model.sample([each["seed"] for each in nearest]), seen), path)
