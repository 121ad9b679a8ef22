"""`gmzoo list`."""

from __future__ import annotations

import click

from zoo.cli.command import Command, json_option


@click.command("list", cls=Command)
@json_option
def command(as_json: bool) -> None:
    """List the models.

    The likelihood says what a model knows of log p(x): it is exact, a lower bound, implicit (the model only
    draws), or none.

        gmzoo list
        gmzoo list --json
    """
    import zoo
    from zoo import registry
    from zoo.cli.output import write_json, write_table

    models = zoo.list()
    if as_json:
        write_json(models)
        return
    write_table(
        ["model", "likelihood", "what it is", "presets"],
        [
            [
                each["name"],
                each["likelihood"],
                registry.card(each["name"])["summary"],
                ", ".join(each["presets"]),
            ]
            for each in models
        ],
    )
