"""What the documentation takes from the code: the list of models, so that nobody keeps it by hand."""

from __future__ import annotations

import re

from mkdocs.exceptions import PluginError

from zoo import registry

ORDER = ["exact", "bound", "implicit", "none"]


def models() -> list[str]:
    """Model names, the explicit ones first."""
    return sorted(registry.names(), key=lambda name: (ORDER.index(registry.card(name)["likelihood"]), name))


def on_config(config):
    """Puts the models' pages into the navigation."""
    section = next(item for item in config.nav if "Models" in item)
    section["Models"] += [f"models/{name}.md" for name in models()]
    return config


def on_page_markdown(markdown, page, **_):
    """Draws the table of the models' overview."""
    if page.file.src_uri != "models/index.md":
        return markdown
    lines = ["| model | what it is | likelihood | can | paper |", "|---|---|---|---|---|"]
    for name in models():
        card = registry.card(name)
        can = ", ".join(card["capabilities"])
        lines.append(
            f"| [{name}]({name}.md) | {card['summary']} | {card['likelihood']} | {can} | {card['paper']} |"
        )
    return markdown + "\n" + "\n".join(lines) + "\n"


def on_post_page(output, page, **_):
    """Refuses a page that would load something from elsewhere: the site works without a network."""
    outside = re.findall(r'(?:\ssrc="|<link[^>]+href=")(https?://[^"]+)', output)
    if outside:
        raise PluginError(f"{page.file.src_uri} loads {outside[0]}")
    return output
