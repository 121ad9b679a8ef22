"""`gmzoo info`."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import click

from zoo.cli.command import Command, json_option, name_argument, runs_option
from zoo.errors import UsageError

if typing.TYPE_CHECKING:
    from zoo.registry import Resolved

#: What of a model card belongs to the trained model, not to its kind.
TRAINED = (
    "preset",
    "config",
    "dataset",
    "seed",
    "status",
    "step",
    "steps",
    "parameters",
    "free_parameters",
    "metrics",
    "limits",
    "command",
    "versions",
)


@click.command("info", cls=Command)
@name_argument("model", metavar="NAME-or-M")
@runs_option
@json_option
def command(model: str, runs_dir: str | None, as_json: bool) -> None:
    """Tell all about a model.

    Its presets and its paper; of a trained one, its signatures and measures too.

        gmzoo info vae
        gmzoo info runs/vae-001
        gmzoo info shipped:dcgan --json
    """
    from zoo.cli.output import write_json

    found = described(model, runs_dir)
    if as_json:
        write_json(found)
    else:
        _write(found)


def described(model: str, runs_dir: str | None) -> dict[str, Any]:
    """All that is known: of the kind of model, and of the trained one that the name leads to, if any."""
    from zoo import registry

    name = model.removeprefix("shipped:").partition(":")[0]
    if name in registry.names():
        try:
            resolved = registry.resolve(model, runs_dir)
        except UsageError:
            if name != model:  # a certain trained model was asked for
                raise
            resolved = None
    else:
        resolved = registry.resolve(model, runs_dir)
    card = _card(resolved) if resolved else {}
    name = card.get("model", name)
    known = name in registry.names()
    kind = {
        "name": name,
        "reads": reads(name) if known else [],
        **{
            key: value
            for key, value in (registry.card(name) if known else card).items()
            if key not in TRAINED
        },
        "presets": registry.presets(name) if known else {},
    }
    for key in ("model", "schema", "signatures", "stored_parameters"):
        kind.pop(key, None)
    if resolved:
        card = {"status": "finished", **card}
    trained = {key: card[key] for key in TRAINED if key in card}
    return {
        **kind,
        "path": str(resolved.path) if resolved else None,
        "origin": resolved.origin if resolved else None,
        **trained,
        "signatures": card.get("signatures", {}),
    }


def reads(name: str) -> list[str]:
    """What kinds of examples a model is trained on, judged by its presets: image, features, tokens."""
    from zoo import registry
    from zoo.data import CATALOGUE

    kinds = ("image", "features", "tokens")
    of_files = {"csv": "features", "text": "tokens"}  # folder:, npz:, idx: and tfds: hold images
    found = set()
    for preset in registry.presets(name).values():
        scheme, colon, _ = preset["dataset"].partition(":")
        if colon:
            found.add(of_files.get(scheme, "image"))
        else:
            fields = CATALOGUE.get(scheme, CATALOGUE[scheme.partition("/")[0]])["fields"]
            found.add(next(kind for kind in kinds if kind in fields))
    return [kind for kind in kinds if kind in found]


def _card(resolved: Resolved) -> dict[str, Any]:
    """The model card; what the SavedModel itself says, where it has none; run.json of an unfinished run."""
    path = resolved.path / "assets.extra/model_card.json"
    if path.is_file():
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return card
    if resolved.unfinished:
        from zoo.runs import Run

        run = Run(resolved.path)
        record = run.record
        kept = {key: record[key] for key in TRAINED if key in record}
        return {"model": record["model"], **kept, "status": run.status, "step": run.step}
    from zoo.cli import startup

    startup.tensorflow()
    from zoo import sampling

    loaded = sampling.load(resolved.path)
    return {"model": loaded.name, "signatures": loaded.signatures}


def _write(found: dict[str, Any]) -> None:
    from zoo.cli.inputs import shown
    from zoo.cli.output import write_measures, write_table
    from zoo.plain import tensors

    click.echo(f"{found.get('title', found['name'])}: {found.get('summary', 'a SavedModel')}")
    for label, key in (("family", "family"), ("likelihood", "likelihood"), ("paper", "paper")):
        if key in found:
            click.echo(f"{label:<12}{found[key]}")
    if found["reads"]:
        click.echo(f"{'reads':<12}{', '.join(found['reads'])}")
    if "capabilities" in found:
        click.echo(f"{'can':<12}{', '.join(found['capabilities'])}")
    if found["presets"]:
        click.echo()
        write_table(
            ["preset", "dataset", "batch", "length", "expect"],
            [
                [
                    f"{name} (default)" if name == found.get("default") else name,
                    preset["dataset"],
                    preset["batch_size"],
                    _length(preset),
                    preset.get("expect", ""),
                ]
                for name, preset in found["presets"].items()
            ],
        )
    click.echo()
    if found["path"] is None:
        click.echo(f"None is trained here, and none came with the installation: gmzoo train {found['name']}")
        return
    if found["status"] == "finished":
        click.echo(f"{'trained':<12}{shown(Path(found['path']))}")
    else:
        click.echo(f"{'unfinished':<12}{shown(Path(found['path']))}")
        click.echo(f"{'status':<12}{found['status']}, step {found['step']:,} of {found.pop('steps'):,}")
    for key in ("preset", "steps", "seed", "parameters", "command"):
        if found.get(key) is not None:
            value = found[key]
            click.echo(f"{key:<12}{value:,}" if isinstance(value, int) else f"{key:<12}{value}")
    if "spec" in found.get("dataset", {}):
        click.echo(f"{'dataset':<12}{found['dataset']['spec']}")
    if found.get("metrics"):
        click.echo()
        write_measures(found["metrics"])
    if found["signatures"]:
        click.echo()
        write_table(
            ["signature", "inputs", "outputs"],
            [
                [name, ", ".join(tensors(each["inputs"])), ", ".join(tensors(each["outputs"]))]
                for name, each in found["signatures"].items()
            ],
        )


def _length(preset: dict[str, Any]) -> str:
    unit = next((each for each in ("epochs", "steps") if each in preset), None)
    if unit is None:
        return "its phases"
    return f"{preset[unit]:,} {unit if preset[unit] != 1 else unit[:-1]}"
