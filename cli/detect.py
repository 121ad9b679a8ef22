"""`gmzoo detect`."""

from __future__ import annotations

import logging
import typing
from collections.abc import Sequence
from typing import Any

import click

from zoo.cli.command import (
    Command,
    bound_options,
    data_options,
    json_option,
    model_options,
    out_options,
    split_option,
)
from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from zoo.data import Data
    from zoo.evaluation.anomaly import Detector
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

#: The version of what `--json` prints.
SCHEMA = 1
METHODS = ("likelihood", "typicality", "ratio")
#: Examples in each half of the picture, and in a row of it.
SHOWN, COLUMNS = 32, 8


@click.command("detect", cls=Command)
@model_options
@data_options
@split_option
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="likelihood",
    show_default=True,
    help="What the score is made of: see above.",
)
@click.option(
    "--background",
    metavar="M",
    help="For ratio: a model of what is common to all data.  [default: independent]",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="The share of normal examples that may be flagged.",
)
@click.option(
    "--fit-data",
    metavar="SPEC",
    help="What is normal, for the threshold.  [default: the validation part of the model's own data]",
)
@click.option(
    "--against",
    metavar="SPEC",
    help="A set that is known to be anomalous, while --data is normal: says how well the two are told apart.",
)
@bound_options
@out_options
@json_option
def command(
    model: str,
    runs_dir: str | None,
    method: typing.Literal["likelihood", "typicality", "ratio"],
    background: str | None,
    false_alarms: float,
    fit_data: str | None,
    against: str | None,
    importance_samples: int | None,
    seed: int | None,
    out: str | None,
    force: bool,
    as_json: bool,
    **source: Any,
) -> None:
    """Find anomalies.

    Scores each example and flags those above a threshold, which is fitted to normal examples that the model
    was not trained on so that the stated share of them is flagged. A higher score is more anomalous:

        likelihood    -log p(x)
        typicality    how far log p(x) is from its mean over normal examples
        ratio         log q(x) - log p(x), with a --background model q

    Likelihood alone misleads on images: it takes empty ones for the most normal of all.

    Writes a .csv (index, file, score, flag), and of images a .png of the same name: the most and the least
    anomalous, the flagged ones framed. With --against it prints AUROC and average precision too, and the rows
    of both sets have their source. With --json the scores go to stdout instead.

        gmzoo detect --model nade --data folder:scans
        gmzoo detect --model nade --data digits --against glyphs --method typicality
        gmzoo detect --model nade --data folder:scans --method ratio --background markov --out odd.csv
        gmzoo detect --model vae --data glyphs --limit 500 --false-alarms 0.01 --json
    """
    import numpy as np

    from zoo.cli import inputs, output
    from zoo.cli.score import scored
    from zoo.data import check
    from zoo.evaluation import anomaly

    if background is not None and method != "ratio":
        raise UsageError("Only --method ratio has a background model: leave out --background.")
    path = output.check_out(out, force, (".csv",))
    picture = None if path is None else output.check_out(str(path.with_suffix(".png")), force, (".png",))
    for spec in filter(None, (fit_data, against)):
        check(spec, source["data_dir"])
    loaded = inputs.load_model(model, runs_dir, source)
    models = [loaded]
    if method == "ratio":
        models.append(inputs.load_model(background or "independent", runs_dir))
        if models[1].path.resolve() == loaded.path.resolve():
            raise UsageError(f"The background is {loaded.name} itself, and the ratio 1: choose another.")
    for each in models:
        each.require("log_prob")
    if method == "ratio":
        anomaly.require_same_examples(*models)
    if (importance_samples or seed) is not None and all(each.kind == "exact" for each in models):
        raise UsageError(
            f"The likelihood of {loaded.name} is exact: leave out --importance-samples and --seed."
        )
    sets = [inputs.load_data(loaded, "log_prob", **source)]
    if against is not None:
        sets.append(inputs.load_data(loaded, "log_prob", **{**source, "data": against, "split": None}))
    normal = normal_data(loaded, fit_data, source)
    _warn(sets[0], normal)
    if told := sets[0].coarsened(loaded.card.get("levels")):
        log.info(told)

    def likelihoods(data: Data) -> list[np.ndarray]:
        """Of each example under each of the models: [N] nats."""
        columns = (scored(each, data, seed or 0, importance_samples or 50) for each in models)
        return [np.array(found["log_prob"]) for found in columns]

    detector = anomaly.fit(method, false_alarms, *likelihoods(normal))
    scores = [detector.scores(*likelihoods(data)) for data in sets]
    flags = [detector.flags(each) for each in scores]
    if path is None and not as_json:
        path = output.free_name(f"{loaded.name}-anomalies", ".csv", ".png")
        picture = path.with_suffix(".png")
    rows = [
        (index, file, score, flag, data.spec)
        for data, its_scores, its_flags in zip(sets, scores, flags, strict=True)
        for index, (file, score, flag) in enumerate(
            zip(data.info.files or [""] * len(data), its_scores.tolist(), its_flags.tolist(), strict=True)
        )
    ]
    columns = ["index", "file", "score", "flag", *(["source"] if against else [])]
    if path is not None:
        written = (
            [index, file, f"{score:.6f}", int(flag), *spec] for index, file, score, flag, *spec in rows
        )
        output.write_csv(path, columns, (row[: len(columns)] for row in written))
    if picture is not None and loaded.takes == "image":
        draw(sets, scores, flags, picture)
    document = report(models, sets, normal, detector, scores, flags, seed, importance_samples)
    if as_json:
        examples = [
            dict(zip(columns, (index, file or None, *rest), strict=False)) for index, file, *rest in rows
        ]
        output.write_json({**document, "examples": examples})
        return
    _tell(document)
    for written_to in (picture if loaded.takes == "image" else None, path):
        if written_to is not None:
            click.echo(written_to)


def normal_data(model: LoadedModel, spec: str | None, source: dict[str, Any]) -> Data:
    """The examples that the threshold is fitted to: held out from training, or all of another source.

    Raises:
        UsageError: nothing says what is normal.
    """
    from zoo.cli import inputs
    from zoo.data import default_split

    trained_on = model.card.get("dataset", {}).get("spec")
    if spec is None and trained_on is None:
        raise UsageError(f"The card of {model.name} names no data. What is normal? Use --fit-data SPEC.")
    own = spec is None or spec == trained_on
    split = "validation" if own or default_split(str(spec)) != "all" else "all"
    wanted = {**source, "data": spec or trained_on, "split": split, "limit": None}
    return inputs.load_data(model, "log_prob", **wanted)


def _warn(data: Data, normal: Data) -> None:
    """Says where the threshold was fitted to the very examples that are judged."""
    same = data.info.fingerprint == normal.info.fingerprint
    if same and ("all" in (data.split, normal.split) or data.split == normal.split):
        log.warning("the threshold is fitted to examples of this split: its false alarms are as asked for")


def report(
    models: Sequence[LoadedModel],
    sets: Sequence[Data],
    normal: Data,
    detector: Detector,
    scores: Sequence[np.ndarray],
    flags: Sequence[np.ndarray],
    seed: int | None,
    importance_samples: int | None,
) -> dict[str, Any]:
    """What was found, with its receipts.

    Args:
        models: the one that scores, and perhaps the background.
        sets: what was judged, and perhaps the anomalous set.
        normal: what the threshold was fitted to.
        detector: what was fitted.
        scores, flags: [N] of each of `sets`.
        seed, importance_samples: of bounds, where they were given.
    """
    from zoo.evaluation import anomaly
    from zoo.evaluation.metrics import mean_of, metric
    from zoo.evaluation.receipts import of_data

    model, *background = models
    takes = model.takes
    kinds = ["exact" if each.kind == "exact" and not normal.info.dequantised else "bound" for each in models]
    receipt = {
        **of_data(sets[0], takes),
        "method": detector.method,
        "background": background[0].name if background else None,
        "kind": kinds[0],
        "background_kind": kinds[1] if background else None,
        "levels": model.card.get("levels"),
        "seed": (seed or 0) if "bound" in (each.kind for each in models) else None,
        "importance_samples": (importance_samples or 50)
        if "bound" in (each.kind for each in models)
        else None,
        "false_alarms": detector.false_alarms,
        "threshold": detector.threshold,
        "fitted_to": {**of_data(normal, takes), "selected_on": _selected_on(model, normal)},
    }
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "model": model.name,
        "source": sets[0].spec,
        "split": sets[0].split,
        "n": len(sets[0]),
        "method": detector.method,
        "kind": "bound" if "bound" in kinds else "exact",
        "unit": "nats",
        "higher_is": "more anomalous",
        "threshold": detector.threshold,
        "flagged": int(flags[0].sum()),
        "receipt": receipt,
    }
    if len(sets) == 1:
        return found
    receipt = {**receipt, "against": of_data(sets[1], takes), "resamples": anomaly.RESAMPLES}
    found["against"] = sets[1].spec
    found["metrics"] = {
        **{
            name: metric(each["value"], each["standard_error"], "share", "higher", receipt)
            for name, each in anomaly.separation(scores[0], scores[1]).items()
        },
        "false_alarm_rate": mean_of(flags[0], "share", "lower", receipt, "estimate"),
        "detection_rate": mean_of(flags[1], "share", "higher", receipt, "estimate"),
    }
    return found


def _selected_on(model: LoadedModel, normal: Data) -> bool:
    """Whether the model was chosen by these examples: those of descent keep what is best on validation."""
    same = model.card.get("dataset", {}).get("fingerprint") == normal.info.fingerprint
    return same and normal.split in ("validation", "all") and bool(model.card.get("optimizers"))


def _tell(found: dict[str, Any]) -> None:
    """The report for people."""
    receipt, normal = found["receipt"], found["receipt"]["fitted_to"]
    background = f", background {receipt['background']}" if receipt["background"] else ""
    lines = [
        ("method", f"{found['method']}{background} ({found['kind']}); higher is more anomalous"),
        (
            "threshold",
            f"{found['threshold']:.4f} nats: {receipt['false_alarms']:g} of {normal['dataset']}, "
            f"split {normal['split']} ({normal['n']:,} examples)"
            + (", by which the model was selected too" if normal["selected_on"] else ""),
        ),
        ("flagged", f"{found['flagged']:,} of {found['n']:,} of {found['source']}, split {found['split']}"),
    ]
    metrics = found.get("metrics", {})
    if metrics:
        against = metrics["auroc"]["receipt"]["against"]
        lines.append(("against", f"{against['n']:,} of {against['dataset']}, split {against['split']}"))
    for name, each in metrics.items():
        error = "" if each["standard_error"] is None else f" +- {each['standard_error']:.2g}"
        lines.append((name.replace("_", " "), f"{each['value']:.4f}{error}"))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        click.echo(f"{name:<{width}}  {text}")


def draw(sets: Sequence[Data], scores: Sequence[np.ndarray], flags: Sequence[np.ndarray], path: Path) -> None:
    """The most and the least anomalous images of all sets, the flagged ones framed."""
    import numpy as np

    from zoo.data.order import rows
    from zoo.reports import captions, pictures

    score, flag = np.concatenate(scores), np.concatenate(flags)
    place = np.concatenate([np.arange(len(data)) for data in sets])
    of_set = np.repeat(np.arange(len(sets)), [len(data) for data in sets])
    order = np.argsort(-score, kind="stable")
    most = order[: min(SHOWN, -(-len(order) // 2))]
    least = order[len(most) :][-SHOWN:][::-1]

    def cells(chosen: np.ndarray) -> np.ndarray:
        images = [rows(sets[of_set[each]], place[each : each + 1])["image"][0] for each in chosen.tolist()]
        return captions.framed(np.stack(images), flag[chosen])

    parts = [("most anomalous (flagged: framed)", most), ("least anomalous", least)]
    pictures.write_picture(
        captions.above(
            *(
                (title, pictures.grid(cells(chosen), columns=COLUMNS, scale=1))
                for title, chosen in parts
                if len(chosen)
            )
        ),
        path,
    )
