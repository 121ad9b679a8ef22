"""Pages that stand alone: one HTML file, its pictures inside, nothing asked of anybody, no script.

A page forbids itself every request (Content-Security-Policy), follows the reader's choice of light or dark,
and prints. What it shows of a model card is escaped: a card may come from anywhere.
"""

from __future__ import annotations

import base64
import datetime
import functools
import io
import os
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from zoo.files import replacing
from zoo.plain import figures

#: A picture that is larger as PNG, in bytes, is inlined as JPEG.
LARGE = 600_000
MINUS = "\N{MINUS SIGN}"


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> Path:
    """Writes a page, whole or not at all.

    Args:
        path: the `.html`.
        template: its name in `zoo/reports/templates`.
        **values: what it shows.
    """
    html = _templates().get_template(template).render(values)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(path)


@functools.cache
def _templates() -> jinja2.Environment:
    folder = resources.files("zoo.reports") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "duration": duration,
        "number": number,
        "moment": moment,
        "setting": setting,
    }
    environment.globals |= {"version": metadata.version("gmzoo"), "now": now}
    return environment


# -- pictures ----------------------------------------------------------------------------------------------


def inlined(data: bytes, kind: str) -> str:
    """Bytes as a data URI; `kind` as in `image/gif`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def inlined_picture(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A picture file as `uri`, `width` and `height`: as PNG, or as JPEG where that is much smaller."""
    with Image.open(path) as image:
        image.load()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    kind = "image/png"
    if buffer.tell() > LARGE:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=88, optimize=True)
        kind = "image/jpeg"
    return {"uri": inlined(buffer.getvalue(), kind), "width": image.width, "height": image.height}


# -- words for numbers -------------------------------------------------------------------------------------


def measured(metric: Mapping[str, Any]) -> str:
    """`-61.47 ± 0.14`, as `zoo.plain.figures` tells a value and its error."""
    return " ± ".join(filter(None, figures(metric))).replace("-", MINUS)


def number(value: float | None) -> str:
    """`435,873`."""
    return "" if value is None else f"{value:,}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """`0.0 s`, `12 s`, `3 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return ""
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def moment(text: str | None) -> str:
    """An ISO time as `2026-01-31 12:00 UTC`."""
    if not text:
        return ""
    when = datetime.datetime.fromisoformat(text)
    return when.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def now() -> str:
    """This moment, as `moment` tells it."""
    return moment(datetime.datetime.now(datetime.UTC).isoformat())


def setting(value: Any) -> str:
    """A setting in one line: `schedule cosine, start 0.002, end 0.0`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting(each)}" for key, each in value.items())
    if isinstance(value, list | tuple) and value:
        shown = [setting(each) for each in value[:12]]
        more = f", ... ({len(value)} in all)" if len(value) > 12 else ""
        return ", ".join(shown) + more
    if value is None or value in ("", [], ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
