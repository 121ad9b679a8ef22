"""The page: a model is chosen, and its tabs appear. What they hold is in `tabs`, which brings TensorFlow."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import typing
from collections.abc import Iterator
from pathlib import Path

# Both are read when Gradio is imported: a page over models of one's own tells nobody, and asks nobody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr

from zoo.demo.uploads import MOST_BYTES
from zoo.errors import ZooError

if typing.TYPE_CHECKING:
    from zoo.demo.shelf import Shelf

#: Visitors whose pages are remembered, questions that wait, and seconds until what they gave is deleted.
SESSIONS, WAITING, KEPT = 100, 32, 3600

#: What of the address says which model is shown.
QUERY = "model"
CHOOSE = f"(name) => {{ const to = new URL(location); to.searchParams.set('{QUERY}', name); location = to; }}"


def page(shelf: Shelf) -> gr.Blocks:
    """The page over the models of a shelf."""
    with gr.Blocks(title="gmzoo demo", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as found:
        gr.HTML(
            '<header class="zoo"><h1>gmzoo</h1><p>Trained generative models: draw with them, and see what '
            "they make of your own pictures.</p></header>"
        )
        chooser = gr.Dropdown(shelf.choices, value=None, label="Model", elem_id="model")
        # Another model loads the page again: rendered anew, components keep values of those before them.
        chooser.input(None, chooser, js=CHOOSE)

        def chosen(request: gr.Request) -> str:
            name = request.query_params.get(QUERY)
            return name if name in shelf.paths else shelf.names[0]

        found.load(chosen, None, chooser, show_progress="hidden")

        @gr.render(inputs=chooser, triggers=[chooser.change], concurrency_limit=1, concurrency_id="models")
        def of_model(name: str) -> None:
            from zoo.demo.tabs import build

            build(shelf, name)

    return found


def theme() -> gr.themes.Base:
    """Colours of the documentation, and letters that every machine has."""
    return gr.themes.Default(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
    ).set(
        body_text_color_subdued="#526069",
        body_text_color_subdued_dark="#a2afb3",
        block_info_text_color="#526069",
        block_info_text_color_dark="#a2afb3",
        block_label_text_color="#526069",
        block_label_text_color_dark="#a2afb3",
        block_title_text_color="#37454c",
        block_title_text_color_dark="#d3dbdd",
        color_accent="#00695c",
        button_primary_background_fill="#00695c",
        button_primary_background_fill_dark="#00796b",
        button_primary_background_fill_hover="#004d40",
        button_primary_background_fill_hover_dark="#00897b",
    )


@contextlib.contextmanager
def served(shelf: Shelf, host: str, port: int | None, browser: bool) -> Iterator[str]:
    """The page on a port, until the block ends.

    Args:
        shelf: the models.
        host: the address that it listens on.
        port: None: the first free one from 7860.
        browser: whether to open it in the browser.

    Yields:
        Its URL.

    Raises:
        ZooError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="gmzoo-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        found = page(shelf)
        try:
            _, url, _ = found.queue(max_size=WAITING, default_concurrency_limit=1).launch(
                server_name=host, server_port=port, inbrowser=browser, share=False, quiet=True,
                prevent_thread_lock=True, show_error=False, max_threads=8, max_file_size=MOST_BYTES,
                state_session_capacity=SESSIONS, footer_links=[], ssr_mode=False, mcp_server=False, pwa=False,
                enable_monitoring=False, theme=theme(), css_paths=Path(__file__).with_name("style.css"),
            )  # fmt: skip
        except OSError as error:
            where = f"port {port}" if port else "all ports from 7860 to 7959"
            raise ZooError(
                f"{host}, {where}: {error.strerror or 'taken'}. Name another one: --port N."
            ) from error
        for name in ("uvicorn.error", "asyncio"):  # what a visitor's browser breaks off is no error here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield url.rstrip("/")
        finally:
            found.close(verbose=False)


def wait() -> None:
    """Waits for Ctrl-C or SIGTERM."""
    threading.Event().wait()
