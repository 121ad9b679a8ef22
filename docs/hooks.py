"""What the documentation takes from the code, so that nobody keeps it by hand: models and commands."""

from __future__ import annotations

import re

import click
from mkdocs.exceptions import PluginError

from zoo import registry
from zoo.cli.info import reads
from zoo.cli.main import main
from zoo.reports.reproductions import described, published

ORDER = ["exact", "bound", "implicit", "none"]


def models() -> list[str]:
    """Model names, the explicit ones first."""
    return sorted(registry.names(), key=lambda name: (ORDER.index(registry.card(name)["likelihood"]), name))


def table_of_models() -> str:
    """One line for each model."""
    lines = ["| model | what it is | likelihood | reads | can | paper |", "|---|---|---|---|---|---|"]
    for name in models():
        card = registry.card(name)
        can = ", ".join(card["capabilities"])
        cells = [
            f"[{name}]({name}.md)",
            card["summary"],
            card["likelihood"],
            ", ".join(reads(name)),
            can,
            card["paper"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_numbers() -> str:
    """Published numbers, and what is on record of ours: runs of this machine do not count here."""
    lines = [
        "| model | preset | paper | here | difference | conditions | source |",
        "|---|---|---|---|---|---|---|",
    ]
    commands = []
    for number in published():
        each = described(number, number.measured, (number.measured or {}).get("command"))
        here, difference = "not yet measured", ""
        if each["here"] is not None:
            error = f" +- {each['standard_error']:.2g}" if each["standard_error"] else ""
            here, difference = f"{each['here']:.2f}{error}", f"{each['difference']:+.2f}"
            commands.append(f"- {number.model}, {number.preset}: `{each['measured_by']}`")
        model = f"[{number.model}](models/{number.model}.md)"
        paper = f"{each['paper']:.2f} {number.unit}"
        cells = [model, number.preset, paper, here, difference, number.conditions, number.source]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Measured by", "", *commands])


def help_of_commands() -> str:
    """What `--help` prints, for each command."""
    context = click.Context(main, info_name="gmzoo", terminal_width=100, **main.context_settings)
    parts = [("gmzoo", main.get_help(context))]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        own = click.Context(command, info_name=name, parent=context, terminal_width=100)
        parts.append((f"gmzoo {name}", command.get_help(own)))
    return "\n\n".join(f"## {title}\n\n```text\n{text}\n```" for title, text in parts)


MADE = {
    "models/index.md": table_of_models,
    "commands.md": help_of_commands,
    "reproductions.md": table_of_numbers,
}


def on_config(config):
    """Puts the models' pages into the navigation."""
    section = next(item for item in config.nav if "Models" in item)
    section["Models"] += [f"models/{name}.md" for name in models()]
    return config


def on_page_markdown(markdown, page, **_):
    """Ends the pages that are made from the code."""
    make = MADE.get(page.file.src_uri)
    return f"{markdown}\n{make()}\n" if make else markdown


def on_post_page(output, page, **_):
    """Refuses a page that would load something from elsewhere: the site works without a network."""
    outside = re.findall(r'(?:\ssrc="|<link[^>]+href=")(https?://[^"]+)', output)
    if outside:
        raise PluginError(f"{page.file.src_uri} loads {outside[0]}")
    return output
