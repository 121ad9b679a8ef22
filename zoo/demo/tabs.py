"""The tabs of a model: one for each thing that its signatures let it do, and nothing of what it computes.

Whatever a visitor gives, the answer is a result or one plain line.
"""

from __future__ import annotations

import functools
import html
import io
import logging
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from zoo.demo import uploads, verbs
from zoo.errors import UsageError, ZooError

if typing.TYPE_CHECKING:
    from zoo.demo.shelf import Shelf
    from zoo.sampling import LoadedModel

log = logging.getLogger("gmzoo")

#: What everybody waits for in turn: two models that run together take the memory of both, and no less time.
TURN: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models"}
#: What follows a slider while it moves.
LIVE: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden"}
#: Drawings that a visitor sent and nobody has asked about yet.
DRAWINGS = 8
PAINT = "#e6550d"
SPARED = "all but the"


# -- what Gradio lacks ---------------------------------------------------------------------------------------


# Gradio writes a file of types beside the source of each class of components that there is; so what has to be
# other than in Gradio's own is said of single components. `gr.update` would make a new one of them.


def _ask(kind: type[Any], *arguments: Any, **settings: Any) -> Any:
    """A component that a visitor can change: in a page that is rendered anew Gradio takes the others for
    results.
    """
    return kind(*arguments, interactive=True, **settings)


def _upload(**settings: Any) -> gr.Image:
    """A picture that is given on as the path of its file. Gradio would decode it, whatever it is."""
    found = _ask(gr.Image, **settings)
    found.preprocess = lambda payload: None if payload is None else payload.path
    return found


def _easel(**settings: Any) -> gr.ImageEditor:
    """A picture to paint on, of which only the paint is given on: arrays uint8 [h, w, 4]."""
    found = _ask(gr.ImageEditor, **settings)
    waiting = found.blob_storage

    def paint(payload: Any) -> list[np.ndarray]:
        if payload is None:
            return []
        sent = payload if payload.id is None else waiting.pop(payload.id, None)
        while len(waiting) > DRAWINGS:
            waiting.pop(next(iter(waiting)))
        return [_glass(layer) for layer in (sent.layers if sent else None) or []]

    found.preprocess = paint
    return found


def _glass(layer: Any) -> np.ndarray:
    """A layer of paint, bytes or a file, with its transparency."""
    from PIL import Image

    raw = layer if isinstance(layer, bytes) else Path(layer.path).read_bytes()
    uploads.decoded(raw, "The painting")  # refuses what is damaged or too large
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGBA"))


def answered(function: Callable[..., Any], results: int) -> Callable[..., Any]:
    """A function for Gradio, whose last result is a line: of an error in place of all results.

    Args:
        function: gives `results` values and what is told of them.
        results: how many there are, the line left out.
    """

    @functools.wraps(function)
    def run(*inputs: Any) -> Any:
        try:
            return function(*inputs)
        except Exception as error:
            return (*[None] * results, wrong(told(error)))

    return run


def told(error: Exception) -> str:
    """One line of an error, whatever it is."""
    if isinstance(error, ZooError):
        return str(error)
    if isinstance(error, MemoryError):
        return "This takes more memory than there is: ask for less."
    why = str(error).strip().splitlines() or ["no more is known"]
    line = f"This failed: {type(error).__name__}: {why[0]}"
    log.warning("%s", line)
    log.debug("where it failed", exc_info=error)
    return line


def _or_as_before(function: Callable[..., Any]) -> Callable[..., Any]:
    """`answered`, for a function of as many values as it gives: after an error all of them stay."""

    def run(*values: Any) -> Any:
        found = answered(function, len(values))(*values)
        return found if found[0] is not None else (*values, found[-1])

    return run


def wrong(line: str) -> str:
    """An error as it stands in the page."""
    return f'<div class="words"><p class="wrong" role="alert">{html.escape(line)}</p></div>'


def said(line: str) -> str:
    """What is told under a result, which may be HTML."""
    words = line if line.startswith("<") else f'<p class="told">{line}.</p>'
    return f'<div class="words">{words}</div>'


def build(shelf: Shelf, name: str) -> None:
    """The tabs of a model, in the place where Gradio is; or why there are none."""
    try:
        ModelPage(shelf, name).build()
    except Exception as error:
        gr.HTML(wrong(told(error)))


# -- the page of one model -----------------------------------------------------------------------------------


class ModelPage:
    """The tabs of one model. A method builds the inside of a tab and says what its buttons do.

    Attributes:
        pictures: where a visitor gives a picture, in each tab that reads one, and the event that puts an
            example there.
    """

    def __init__(self, shelf: Shelf, name: str) -> None:
        """
        Raises:
            ZooError: the model cannot be read.
        """
        self.shelf, self.name = shelf, name
        self.pictures: list[tuple[gr.Image, Any]] = []
        self._data: Any = None
        self.image = uploads.image_shape(self.model) if self._reads else None

    @property
    def model(self) -> LoadedModel:
        """The model, opened where it is not: a page that nobody looks at any more keeps none open."""
        return self.shelf.open(self.name)

    @property
    def _reads(self) -> bool:
        reading = {"log_prob", "encode", "reconstruct", "complete", "classify", "translate", "key_patches"}
        return bool(reading & {*self.model.signatures})

    def tabs(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The title of each tab, and what fills it, by what the model can."""
        can = {*self.model.signatures}
        if self.model.draws:
            yield "Sample", self.sample
        if "code" in self.model.conditions:
            yield "Code", self.code
        if verbs.moves(self.model):
            yield "Latent units", self.units
            yield "Between seeds", self.between
        if "sample_between" in can:
            yield "Between texts", self.blend
        for signature, title, function in (
            ("log_prob", "Score", verbs.score),
            ("classify", "Classify", verbs.classify),
            ("encode", "Encode", verbs.encode),
            ("reconstruct", "Reconstruct", verbs.reconstruct),
        ):
            if signature in can:
                yield title, functools.partial(self.read, signature, title, function)
        if "complete" in can:
            yield "Complete", self.complete
        if "translate" in can:
            yield "Translate", self.translate
        if "assemble" in can:
            yield "Assemble", self.assemble
        if self.model.draws and len(self.shelf.drawing()) > 1:
            yield "Side by side", self.beside

    def build(self) -> None:
        """All of it, in the place where Gradio is."""
        gr.HTML(verbs.about(self.model))
        with gr.Tabs():
            for title, fill in self.tabs():
                with gr.Tab(title):
                    fill()
        # One picture for all tabs: it is given once.
        for each, taken in self.pictures:
            others = [other for other, _ in self.pictures if other is not each]
            if others:
                copies = functools.partial(_copies, count=len(others))
                for event in (taken.then, each.upload, each.clear):
                    event(copies, each, others, show_progress="hidden")

    # -- what it draws -----------------------------------------------------------------------------------

    def _conditions(self) -> dict[str, gr.components.Component]:
        """A component for each condition that the model takes, the code left out."""
        found: dict[str, gr.components.Component] = {}
        if "prompt" in self.model.conditions:
            writes = self.model.modality == "text"
            found["prompt"] = _ask(
                gr.Textbox,
                label="It begins with" if writes else "What to draw",
                info=None if writes else self._words(),
                lines=1,
                max_lines=4,
            )
        if "label" in self.model.conditions:
            names = verbs.classes(self.model)
            found["label"] = _ask(gr.Dropdown, [verbs.EACH, *names], value=verbs.EACH, label="Class")
        if "temperature" in self.model.conditions:
            found["temperature"] = _ask(
                gr.Slider,
                0.1,
                2,
                value=1,
                step=0.05,
                label="Temperature",
                info="Below 1: likelier, less varied.",
            )
        if "top_k" in self.model.conditions:
            found["top_k"] = _ask(
                gr.Slider,
                0,
                50,
                value=0,
                step=1,
                label="Top k",
                info="Among the k likeliest values only; 0: among all.",
            )
        if "sample_best" in self.model.signatures:
            found["candidates"] = _ask(
                gr.Slider,
                1,
                16,
                value=1,
                step=1,
                label="Candidates",
                info="Draw so many, keep what fits best.",
            )
        return found

    def _words(self) -> str | None:
        config = self.model.card.get("config", {})
        known = config.get("vocabulary") or config.get("source_vocabulary") or ()
        words = sorted(word for word in known if word.isalpha())
        return f"It knows these words: {', '.join(words)}." if 0 < len(words) <= 60 else None

    def _result(self, label: str, alt: str, value: Any = None) -> gr.components.Component:
        """Where the model's examples appear: a picture, or a text."""
        if self.model.modality in ("image", "features"):
            return _picture(label, alt, value=value)
        return gr.Textbox(
            value, label=label, lines=12, max_lines=30, buttons=["copy"], elem_classes="written"
        )

    def _examples(self, shown: verbs.Shown) -> tuple[Any, str]:
        return shown.picture or shown.text, said(shown.told)

    def sample(self) -> None:
        """Seeds, how many, conditions; and samples at first sight, where nothing has to be said first."""
        count = 4 if self.model.modality == "text" else verbs.room(self.model, 16)

        def draw(seed: float, count: float, *values: Any) -> tuple[Any, str]:
            given = dict(zip(conditions, values, strict=True))
            return self._examples(verbs.sample(self.model, seed, int(count), **given))

        run = answered(draw, 1)
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                seed = _seed("First seed")
                number = _ask(
                    gr.Slider,
                    1, verbs.room(self.model, verbs.MOST), value=count, step=1, label="How many",
                    info="One example a seed: the same seed gives the same example.",
                )  # fmt: skip
                conditions = self._conditions()
                with gr.Row():
                    go = gr.Button("Draw", variant="primary")
                    on = gr.Button("Other seeds")
                offer = self._offer_caption(conditions.get("prompt"))
            with gr.Column(scale=3, min_width=300):
                value, told = None, ""
                if "sample" in self.model.signatures:
                    value, told = run(0, count, *(each.value for each in conditions.values()))
                result = self._result("Samples", f"Samples of {self.model.name}", value)
                line = _line(told)

        def further(seed: float | None, count: float) -> float:
            return (seed or 0) + count

        inputs, outputs = [seed, number, *conditions.values()], [result, line]
        go.click(run, inputs, outputs, **TURN)
        on.click(further, [seed, number], seed, show_progress="hidden").then(run, inputs, outputs, **TURN)
        if "prompt" in conditions:
            conditions["prompt"].submit(run, inputs, outputs, **TURN)
        if offer is not None:
            offer.then(run, inputs, outputs, **TURN)

    def _offer_caption(self, prompt: Any) -> Any:
        """A button that takes a caption of the data as the prompt, where the data has captions."""
        if prompt is None or self.model.modality == "text":
            return None
        turn, button = gr.State(-1), gr.Button("A caption of its data")
        line = _line()

        def take(turn: int, _: str) -> tuple[int, str, str]:
            caption = verbs.example_caption(self._examples_of_data(), turn + 1)
            if not caption:
                raise UsageError("Its data has no captions.")
            return turn + 1, caption, ""

        return button.click(_or_as_before(take), [turn, prompt], [turn, prompt, line], **TURN)

    def code(self) -> None:
        """A value for each part of a code that means something, and samples under it."""
        parts: list[gr.components.Component] = []
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                seed = _seed("First seed")
                for part in self.model.encoded_parts:
                    if part.family == "one_hot":
                        choices = [verbs.FREE, *map(str, range(part.size))]
                        parts.append(
                            _ask(gr.Dropdown, choices, value="0", label=f"Part {len(parts)}, a category")
                        )
                        continue
                    for _ in range(part.size):
                        name = f"Part {len(parts)}"
                        if part.family == "binary":
                            parts.append(_ask(gr.Radio, [verbs.FREE, "0", "1"], value=verbs.FREE, label=name))
                        else:
                            parts.append(_ask(gr.Slider, -2, 2, value=0, step=0.05, label=name))
                go = gr.Button("Draw", variant="primary")
            with gr.Column(scale=3, min_width=300):
                result = self._result(
                    "Samples with this code", f"Samples of {self.model.name} with this code"
                )
                line = _line(said("All share the code; what it leaves open comes from the seed"))

        def draw(seed: float, *values: Any) -> tuple[Any, str]:
            code = [None if value in (verbs.FREE, None) else float(value) for value in values]
            return self._examples(verbs.sample(self.model, seed, 16, code=code))

        run = answered(draw, 1)
        outputs = [result, line]
        go.click(run, [seed, *parts], outputs, **TURN)
        for each in parts:
            each.input(run, [seed, *parts], outputs, **LIVE, **TURN)

    def units(self) -> None:
        """A slider for each unit that changes most, from the code of a seed."""
        controls = verbs.controls(self.model)
        start = verbs.positions(self.model, controls, 0)

        def move(seed: float, *values: Any) -> tuple[Any, str]:
            return self._examples(verbs.decoded(self.model, controls, seed, values))

        run = answered(move, 1)
        sliders: list[gr.components.Component] = []
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                seed = _seed("Seed")
                for control, value in zip(controls, start, strict=True):
                    if control.choices:
                        choices, name = control.choices, control.name.title()
                        sliders.append(_ask(gr.Dropdown, choices, value=value, label=name))
                        continue
                    sliders.append(
                        _ask(
                            gr.Slider, control.low, control.high, value=value, step=control.step,
                            label=f"{control.name.capitalize()} ({control.family})",
                        )
                    )  # fmt: skip
                back = gr.Button("Back to the seed")
            with gr.Column(scale=3, min_width=300):
                value, told = run(0, *start)
                label, alt = "The seed's own, and with your changes", "Two images beside one another"
                result = self._result(label, alt, value)
                line = _line(told)
                size = self.model.signatures["decode"]["inputs"]["code"]["shape"][1]
                gr.HTML(
                    f'<p class="soft">The code has {size} units; these {len(controls)} change the example '
                    "most, the first one most of all.</p>"
                )

        def restart(seed: float) -> tuple[Any, ...]:
            values = verbs.positions(self.model, controls, seed)
            return (*values, *move(seed, *values))

        outputs = [result, line]
        begin = answered(restart, len(sliders) + 1)
        for each in sliders:
            each.input(run, [seed, *sliders], outputs, **LIVE, **TURN)
        for trigger in (back.click, seed.submit, seed.blur):
            trigger(begin, seed, [*sliders, *outputs], **TURN)

    def between(self) -> None:
        """The way from one seed to another."""
        with gr.Row():
            seed, other = _seed("From seed"), _seed("To seed", 1)
        go = gr.Button("Go from one to the other", variant="primary")
        result = self._result("On the way", "Images on the way from one seed to another")
        line = _line()

        def walk(seed: float, other: float) -> tuple[Any, str]:
            return self._examples(verbs.interpolated(self.model, seed, other))

        go.click(answered(walk, 1), [seed, other], [result, line], **TURN)

    def blend(self) -> None:
        """The way from one prompt to another."""
        with gr.Row():
            prompt = _ask(gr.Textbox, label="From", info=self._words())
            other = _ask(gr.Textbox, label="To")
            seed = _seed("Seed")
        go = gr.Button("Go from one to the other", variant="primary")
        result = self._result("On the way", "Images on the way from one text to another")
        line = _line()

        def walk(prompt: str, other: str, seed: float) -> tuple[Any, str]:
            return self._examples(verbs.blended(self.model, prompt, other, seed))

        go.click(answered(walk, 1), [prompt, other, seed], [result, line], **TURN)

    def beside(self) -> None:
        """Another model with the same seeds."""
        others = [each for each in self.shelf.drawing() if each != self.name]
        choices = [(self.shelf.label(each), each) for each in others]
        free = [each for each in others if self.shelf.draws_freely(each)] or others
        with gr.Row():
            other = _ask(gr.Dropdown, choices, value=free[0], label="The other model")
            seed = _seed("First seed")
            number = _ask(gr.Slider, 1, verbs.MOST, value=16, step=1, label="How many")
        prompt = _ask(gr.Textbox, label="What both are told", info="For models that draw what a text says.")
        go = gr.Button("Draw both", variant="primary")
        halves: list[Any] = []
        with gr.Row():
            for _ in range(2):
                with gr.Column(min_width=280):
                    head = _line()
                    # Which of them shows is known when the other model is.
                    picture = _picture("Samples", "Samples of one of two models")
                    text = gr.Textbox(
                        label="Samples", lines=8, max_lines=20, visible=False, elem_classes="written"
                    )
                    halves += [head, picture, text]
        line = _line()

        def half(name: str, seed: float, count: float, prompt: str) -> list[Any]:
            model = self.shelf.open(name)
            kind = verbs.KINDS.get(str(model.card.get("likelihood")), "")
            title = html.escape(name.removeprefix("shipped:"))
            head = f'<h3>{title}</h3><p class="soft">{html.escape(kind)}</p>'
            try:
                shown = verbs.sample(model, seed, int(count), prompt=prompt)
            except UsageError as error:  # the other one may well draw
                return [
                    head + wrong(str(error)),
                    gr.update(value=None, visible=True),
                    gr.update(visible=False),
                ]
            return [
                head + said(shown.told),
                gr.update(value=shown.picture, visible=shown.picture is not None),
                gr.update(value=shown.text, visible=shown.picture is None),
            ]

        def draw(other: str, seed: float, count: float, prompt: str) -> tuple[Any, ...]:
            return (*half(self.name, seed, count, prompt), *half(other, seed, count, prompt), "")

        go.click(answered(draw, len(halves)), [other, seed, number, prompt], [*halves, line], **TURN)

    # -- what it reads -----------------------------------------------------------------------------------

    def _examples_of_data(self) -> Any:
        if self._data is None:
            self._data = verbs.examples(self.model)
        return self._data

    def _give(self) -> tuple[list[Any], Any, Any]:
        """Where a visitor gives an example: a picture, a row of numbers or a text.

        Returns:
            The components that hold it; the button that takes one of the data; where an error stands.
        """
        given: list[Any]
        if self.image is not None:
            picture = _upload(
                label="Your picture", sources=["upload", "clipboard"], height=240,
                placeholder=self._wanted(), buttons=[], elem_classes="upload",
            )  # fmt: skip
            flip = _ask(gr.Checkbox, False, label="Dark on white: swap dark and light")
            given = [picture, flip]
        elif self.model.takes == "tokens":
            given = [_ask(gr.Textbox, label="Your text", lines=5, max_lines=12, elem_classes="written")]
        else:
            rows = [[name, ""] for name in verbs.column_names(self.model)]
            given = [
                gr.Dataframe(
                    rows, headers=["feature", "value"], datatype="str", type="array", label="Your numbers",
                    row_count=len(rows), column_count=2, static_columns=[0], interactive=True, buttons=[],
                )
            ]  # fmt: skip
        button = gr.Button("Take an example of its data", size="sm")
        return given, button, _line()

    def _wanted(self) -> str:
        assert self.image is not None
        height, width, channels = self.image
        colours = "gray" if channels == 1 else "colour"
        fit = "as it is" if "translate" in self.model.signatures else f"made {height} x {width}, {colours}"
        return f"Drop a picture here\nor click to choose one.\nIt is {fit}."

    def _take(self, turn: int, part: bool) -> tuple[Any, ...]:
        """The next example of the data, or the first half of it, as the components of `_give` hold it."""
        data = self._examples_of_data()
        if self.image is not None:
            return verbs.example_picture(self.model, data, turn), False
        if self.model.takes == "tokens":
            text = verbs.example_text(self.model, data, turn)
            return (text[: len(text) // 2] if part else text,)
        values = verbs.example_numbers(data, turn)
        if part:
            values[len(values) // 2 :] = [""] * (len(values) - len(values) // 2)
        return ([*map(list, zip(verbs.column_names(self.model), values, strict=True))],)

    def _offering(
        self, given: list[Any], button: Any, line: Any, extra: Sequence[Any] = (), part: bool = False
    ) -> Any:
        """Lets the button give the next example of the data; `extra` gets its caption, `part` leaves
        something to be drawn.

        Returns:
            The event, to go on from.
        """
        turn = gr.State(-1)

        def take(turn: int, *_: Any) -> tuple[Any, ...]:
            caption = [verbs.example_caption(self._examples_of_data(), turn + 1)] * len(extra)
            return (turn + 1, *self._take(turn + 1, part), *caption, "")

        held = [turn, *given, *extra]
        taken = button.click(_or_as_before(take), held, [*held, line], **TURN)
        if self.image is not None:
            self.pictures.append((given[0], taken))
        return taken

    def _example(self, values: Sequence[Any]) -> np.ndarray:
        """What a visitor gave, as a row that the model takes."""
        if self.image is not None:
            path, inverted = values
            return uploads.example(uploads.fitted(uploads.read(path), self.model, inverted), self.model)
        if self.model.takes == "tokens":
            return uploads.tokens(values[0] or "", self.model)[0]
        return uploads.numbers(_values(values[0]), verbs.column_names(self.model))[0]

    def read(self, signature: str, title: str, function: Callable[..., verbs.Shown]) -> None:
        """One example in, a result out."""
        scores_text = signature == "log_prob" and self.model.takes == "tokens"
        captioned = signature == "log_prob" and self.model.given_text
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                given, offer, trouble = self._give()
                caption = [_ask(gr.Textbox, label="Its caption", info=self._words())] if captioned else []
                go = gr.Button(title, variant="primary")
            with gr.Column(scale=3, min_width=300):
                eye = [_picture("What the model sees", "The picture as the model sees it", 200)]
                pictured = signature == "reconstruct" or (signature == "encode" and bool(self.model.tokens))
                eye[0].visible = self.image is not None and signature != "reconstruct"
                result = [_picture("Result", title)] if pictured else []
                line = _line()

        def work(*values: Any) -> tuple[Any, ...]:
            own, words = values[: len(given)], values[len(given) :]
            if scores_text:
                return None, said(verbs.score_text(self.model, own[0] or "").told)
            x = self._example(own)
            view = None
            if self.image is not None:
                view = verbs.seen(self.model, uploads.fitted(uploads.read(own[0]), self.model, own[1]))
            shown = function(self.model, x, *words)
            told = said(shown.told)
            if shown.text:
                told += f'<pre class="numbers">{html.escape(shown.text)}</pre>'
            return (view, *([shown.picture] if pictured else []), told)

        run = answered(work, 1 + len(result))
        inputs, outputs = [*given, *caption], [*eye, *result, line]
        go.click(run, inputs, outputs, **TURN)
        self._offering(given, offer, trouble, caption).then(run, inputs, outputs, **TURN)
        if self.image is not None and not captioned:
            given[0].upload(run, inputs, outputs, **TURN)
            given[1].input(run, inputs, outputs, **TURN)

    def complete(self) -> None:
        """A hole, and ways to fill it."""
        if self.image is not None:
            self._complete_picture()
            return
        text = self.model.takes == "tokens"
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                given, offer, trouble = self._give()
                how = (
                    f"Write {uploads.GAP} where a character is to be drawn; its end is drawn, too."
                    if text
                    else "Empty the cells that are to be drawn."
                )
                gr.HTML(f'<p class="soft">{how}</p>')
                seed = _seed("First seed")
                go = gr.Button("Complete", variant="primary")
            with gr.Column(scale=3, min_width=300):
                if text:
                    result: Any = gr.Textbox(
                        label="Completions", lines=12, max_lines=30, elem_classes="written"
                    )
                else:
                    result = gr.Dataframe(
                        headers=["feature", *(f"way {way + 1}" for way in range(verbs.WAYS))],
                        interactive=False, label="Completions", datatype="str",
                    )  # fmt: skip
                line = _line()

        def work(value: Any, seed: float) -> tuple[Any, str]:
            if text:
                shown = verbs.complete_text(self.model, value or "", seed)
                return shown.text, said(shown.told)
            rows, shown = verbs.complete_numbers(self.model, _values(value), seed)
            return rows, said(shown.told)

        go.click(answered(work, 1), [*given, seed], [result, line], **TURN)
        self._offering(given, offer, trouble, part=True)

    def _complete_picture(self) -> None:
        from zoo.data.known import PARTS, part

        shape = self.image
        assert shape is not None
        side = verbs.seen(self.model, np.zeros(shape, np.uint8)).size
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                given, offer, trouble = self._give()
                choices = [f"{SPARED} {name}" for name in PARTS]
                where = _ask(gr.Radio, choices, value=choices[0], label="Without paint, hide")
                seed = _seed("First seed")
                go = gr.Button("Complete", variant="primary")
            with gr.Column(scale=3, min_width=300):
                easel = _easel(
                    label="Paint over what is to be drawn anew", sources=[], transforms=[], layers=False,
                    brush=gr.Brush(default_size=max(side) // 8, colors=[PAINT], color_mode="fixed"),
                    canvas_size=side, fixed_canvas=True, format="png", height=max(side) + 120, buttons=[],
                )  # fmt: skip
                result = _picture("Completions", "What the model is given, and ways to complete it")
                line = _line()

        def put(path: str | None, inverted: bool) -> tuple[Any, str]:
            if path is None:
                return None, ""
            fit = uploads.fitted(uploads.read(path), self.model, inverted)
            return {
                "background": verbs.seen(self.model, fit).convert("RGB"),
                "layers": [],
                "composite": None,
            }, ""

        def work(
            path: str | None, inverted: bool, paint: list[np.ndarray], where: str, seed: float
        ) -> tuple[Any, str]:
            known = ~verbs.painted(paint, shape)
            if known.all():
                known = part(where.removeprefix(f"{SPARED} "), shape[:2])
            shown = verbs.complete_picture(self.model, uploads.read(path), known, seed, inverted)
            return shown.picture, said(shown.told)

        place = answered(put, 1)
        given[0].change(place, given, [easel, trouble], show_progress="hidden", **TURN)
        given[1].change(place, given, [easel, trouble], show_progress="hidden", **TURN)
        go.click(answered(work, 1), [*given, easel, where, seed], [result, line], **TURN)
        self._offering(given, offer, trouble)

    def translate(self) -> None:
        """A domain, or values of attributes."""
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                given, offer, trouble = self._give()
                targets: list[gr.components.Component] = []
                if self.model.asks == "domain":
                    domains = [*self.model.domains]
                    targets.append(_ask(gr.Radio, domains, value=domains[-1], label="To"))
                else:
                    for name, values in self.model.attributes.items():
                        targets.append(
                            _ask(
                                gr.Dropdown, [verbs.KEPT, *values], value=verbs.KEPT, label=name.capitalize()
                            )
                        )
                go = gr.Button("Translate", variant="primary")
            with gr.Column(scale=3, min_width=300):
                result = _picture("Picture and translation", "A picture and its translation")
                line = _line()

        def work(path: str | None, inverted: bool, *values: str) -> tuple[Any, str]:
            image = uploads.read(path)
            to: Any = values[0]
            if self.model.asks != "domain":
                pairs = zip(self.model.attributes, values, strict=True)
                to = {name: value for name, value in pairs if value != verbs.KEPT}
            shown = verbs.translate(self.model, 255 - image if inverted else image, to)
            return shown.picture, said(shown.told)

        go.click(answered(work, 1), [*given, *targets], [result, line], **TURN)
        self._offering(given, offer, trouble)

    def assemble(self) -> None:
        """Patches of the visitor's own, or those that tell most of a picture."""
        count = self.model.patches_shape[0]
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                patches = _ask(
                    gr.File, label=f"1 to {count} patches", file_count="multiple", type="filepath", height=120
                )
                seed = _seed("First seed")
                go = gr.Button("Assemble these patches", variant="primary")
                given, offer, trouble = self._give()
                take = gr.Button("Assemble the patches that tell most of the picture")
            with gr.Column(scale=3, min_width=300):
                result = _picture(
                    "Patches and pictures", "Patches, their places, and pictures that hold them"
                )
                line = _line()

        def own(files: list[str] | None, seed: float) -> tuple[Any, str]:
            if not files:
                raise UsageError("Give patches first: pictures of parts.")
            found = [uploads.read(file, Path(file).name) for file in files[: count + 1]]
            shown = verbs.assemble(self.model, found, seed)
            return shown.picture, said(shown.told)

        def whole(path: str | None, inverted: bool, seed: float) -> tuple[Any, str]:
            shown = verbs.assemble_from(self.model, self._example([path, inverted]), seed)
            return shown.picture, said(shown.told)

        go.click(answered(own, 1), [patches, seed], [result, line], **TURN)
        take.click(answered(whole, 1), [*given, seed], [result, line], **TURN)
        self._offering(given, offer, trouble).then(answered(whole, 1), [*given, seed], [result, line], **TURN)


def _copies(value: Any, count: int) -> Any:
    return value if count == 1 else [value] * count


def _values(table: Sequence[Sequence[Any]]) -> list[Any]:
    """The values of a table of features, a row each."""
    return [row[-1] for row in table]


def _line(value: str = "") -> gr.HTML:
    return gr.HTML(value, elem_classes="line")


def _seed(label: str, value: int = 0) -> gr.Number:
    return _ask(gr.Number, value=value, precision=0, minimum=0, label=label)


def _picture(label: str, alt: str, height: int | None = None, value: Any = None) -> gr.Image:
    return gr.Image(
        value, label=label, alt_text=alt, format="png", type="pil", interactive=False, height=height,
        show_label=height is not None,  # where it fills the width, the label would lie on it
        buttons=["download", "fullscreen"], elem_classes="shown",
    )  # fmt: skip
