"""Writes what `gmzoo evaluate --card` measured into the pages of the models: no figure is typed by hand.

python docs/write_figures.py        (rewrites docs/models/*.md)

A page says where, and of which shipped model:

    <!-- evaluated: vae -->
    <!-- end -->

What stands between the two lines is replaced by a table of the figures in the model card of
`saved_models/vae`, its highest version, that `gmzoo evaluate` wrote: they carry the version of gmzoo in their
receipt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.evaluation.metrics import made_of
from zoo.plain import figures

PAGES = Path(__file__).parent / "models"
BLOCK = re.compile(r"(<!-- evaluated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
# Figures without which a reader would take the others for more than they are.
NOTES = ("caveat", "warning")


def main() -> None:
    """Rewrites all pages."""
    for page in sorted(PAGES.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"wrote {page}")


def filled(page: str) -> str:
    """A page with the table of each of its blocks made anew."""
    return BLOCK.sub(lambda match: f"{match[1]}{table(card(match[2]))}\n{match[3]}", page)


def card(name: str) -> dict[str, Any]:
    """The model card of a shipped model, of its highest version.

    Args:
        name: of its folder.
    """
    versions = sorted((registry.SHIPPED / name).glob("*/assets.extra/model_card.json"), key=_version)
    found: dict[str, Any] = json.loads(versions[-1].read_text(encoding="utf-8"))
    return found


def _version(path: Path) -> int:
    return int(path.parts[-3])


def table(card: Mapping[str, Any]) -> str:
    """The figures in a card, with the command that measures them again, as Markdown."""
    metrics = card["metrics"]
    if not metrics:
        return "\nNot evaluated yet.\n"
    lines = ["", "| measure | value | unit | kind | real examples |", "|---|---|---|---|---|"]
    for name, each in metrics.items():
        value, error = figures(each)
        told = f"{value} +- {error}" if error else value
        receipt = each["receipt"]
        lines.append(f"| `{name}` | {told} | {each['unit']} | {each['kind']} | {receipt['n']:,} |")
    receipts = [each["receipt"] for each in metrics.values()]
    made = "; ".join(f"{name}: {text}" for name, text in made_of(receipts, 1))
    lines += ["", f"*`{command(card, receipts)}`. {made[:1].upper()}{made[1:]}.*", ""]
    notes = {}
    for name, each in metrics.items():
        for key in NOTES:
            if key in each["receipt"]:
                notes.setdefault(each["receipt"][key], []).append(f"`{name}`")
    lines += [f"- {', '.join(names)}: {note}." for note, names in notes.items()]
    return "\n".join(lines + [""] * bool(notes))


def command(card: Mapping[str, Any], receipts: list[Mapping[str, Any]]) -> str:
    """The line that measures this again."""
    own = registry.card(card["model"])["default"] == card["preset"]
    words = [f"gmzoo evaluate --model shipped:{card['model']}{'' if own else ':' + card['preset']}"]
    if receipts[0]["dataset"] != card["dataset"]["spec"]:
        words.append(f"--data {receipts[0]['dataset']}")
    if samples := max((receipt.get("samples", 0) for receipt in receipts), default=0):
        words.append(f"--samples {samples}")
    return " ".join(words)


if __name__ == "__main__":
    main()
