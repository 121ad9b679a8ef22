"""The page, without a browser: which tabs a model has, and that one line is the worst answer."""

from __future__ import annotations

import asyncio

import pytest

from zoo import registry, sampling
from zoo.demo.shelf import Shelf
from zoo.errors import UsageError

pytest.importorskip("gradio", reason="the extra demo is not installed: pip install .[demo]")

# Gradio's, on import and when a page is made.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("opened_once"),
]

#: What each tab needs of the signatures of a model; the page itself holds no such list by name.
NEEDS = {
    "Sample": {"sample", "sample_with"},
    "Score": {"log_prob"},
    "Classify": {"classify"},
    "Encode": {"encode"},
    "Reconstruct": {"reconstruct"},
    "Complete": {"complete"},
    "Translate": {"translate"},
    "Assemble": {"assemble"},
}


@pytest.fixture(autouse=True)
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each lock that it makes outside of its server Gradio opens an event loop, and closes none."""
    from gradio import queueing, utils

    monkeypatch.setattr(utils, "safe_get_lock", asyncio.Lock)
    monkeypatch.setattr(queueing, "safe_get_lock", asyncio.Lock)
    monkeypatch.setattr(utils, "safe_get_stop_event", asyncio.Event)


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    names = ["shipped:nade", "shipped:rnade", "shipped:infogan", "shipped:vit"]
    return Shelf({name: registry.resolve(name).path for name in names}, sampling.load)


def test_tabs_are_what_the_model_can(shelf):
    from zoo.demo.tabs import ModelPage

    for name in shelf.names:
        page = ModelPage(shelf, name)
        titles = [title for title, _ in page.tabs()]
        can = {*page.model.signatures}
        for title, needs in NEEDS.items():
            assert (title in titles) == bool(needs & can), (name, title)
        assert ("Side by side" in titles) == page.model.draws
    assert [title for title, _ in ModelPage(shelf, "shipped:infogan").tabs()] == [
        "Sample", "Code", "Latent units", "Between seeds", "Encode", "Side by side",
    ]  # fmt: skip


def pressed(blocks, label: str, **given):
    """What the function behind a button gives, its other inputs as they stand at first."""
    import gradio as gr

    [button] = [
        each for each in blocks.blocks.values() if isinstance(each, gr.Button) and each.value == label
    ]
    [event] = [each for each in blocks.fns.values() if (button._id, "click") in each.targets]
    inputs = [given.get(str(each.label), getattr(each, "value", None)) for each in event.inputs]
    return event.fn(*inputs)


def test_a_page_draws_at_first_sight_and_when_asked(shelf):
    import gradio as gr

    from zoo.demo.tabs import build

    with gr.Blocks() as blocks:
        build(shelf, "shipped:nade")
    pictures = [
        each for each in blocks.blocks.values() if isinstance(each, gr.Image) and each.label == "Samples"
    ]
    assert pictures[0].value is not None
    picture, line = pressed(blocks, "Draw", **{"How many": 4})
    assert picture.width > 100 and "4 from nade" in line
    none, line = pressed(blocks, "Draw", **{"First seed": -3})
    assert none is None and 'role="alert"' in line and "whole number" in line
    *_, line = pressed(blocks, "Score", **{"Your picture": None})
    assert "Give a picture first" in line
    *halves, _ = pressed(blocks, "Draw both", **{"The other model": "shipped:rnade", "How many": 2})
    assert "2 from nade" in halves[0] and "2 from rnade" in halves[3]


def test_a_bad_picture_is_a_line_in_every_tab(shelf, tmp_path):
    import gradio as gr

    from zoo.demo.tabs import build

    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with gr.Blocks() as blocks:
        build(shelf, "shipped:nade")
    for label in ("Score", "Complete"):
        given = {"Your picture": str(bad), "Paint over what is to be drawn anew": []}
        found = pressed(blocks, label, **given)
        assert all(each is None for each in found[:-1])
        assert "This picture is no image." in found[-1]


def test_whatever_happens_is_one_line(caplog):
    from zoo.demo.tabs import answered

    def failing(error):
        raise error

    for error, words in (
        (UsageError("Use <another> one."), "Use &lt;another&gt; one."),
        (MemoryError(), "more memory"),
        (RuntimeError("first\nsecond"), "This failed: RuntimeError: first"),
        (ValueError(), "no more is known"),
    ):
        *values, line = answered(failing, 2)(error)
        assert values == [None, None]
        assert words in line and "second" not in line and "Traceback" not in line


def test_a_model_that_cannot_be_read_is_one_line(tmp_path):
    import gradio as gr

    from zoo.demo.tabs import build

    with gr.Blocks() as blocks:
        build(Shelf({"gone": tmp_path / "gone"}, sampling.load), "gone")
    [line] = [each for each in blocks.blocks.values() if isinstance(each, gr.HTML)]
    assert "holds no SavedModel" in line.value


def test_nothing_is_asked_of_another_host(shelf):
    import os

    from zoo.demo.page import page, theme

    found = page(shelf)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not found.analytics_enabled
    assert theme()._stylesheets == []  # no fonts of others
