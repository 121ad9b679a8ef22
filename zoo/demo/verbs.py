"""What a model does for a visitor: a picture or a text, and a line that says what it is, units and all.

Each function runs the signatures that the commands run, through `zoo.sampling`. None knows of the page.

Shapes: N examples, d units of a code.
"""

from __future__ import annotations

import dataclasses
import html
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zoo.demo import uploads
from zoo.errors import UsageError
from zoo.evaluation.assembly import enlarged
from zoo.evaluation.effects import effects, spans
from zoo.evaluation.examples import example_shape
from zoo.evaluation.examples import load as load_examples
from zoo.latents import Family, placed
from zoo.plain import figures
from zoo.reports import pictures, texts
from zoo.reports.examples import drawn, feature_names, image_shape

if TYPE_CHECKING:
    from zoo.data import Data
    from zoo.sampling import LoadedModel

#: Examples at once, and the pixels that they may have together.
MOST, MOST_PIXELS = 64, 2**22
#: Units of a code with a slider each; codes that say which change most; frames from one code to another.
UNITS, CODES, FRAMES = 12, 4, 9
#: Draws for a bound; numbers of a code, and classes, that are shown.
IMPORTANCE_SAMPLES, NUMBERS, CLASSES = 50, 64, 10
#: How often a hole is filled; and how many examples of the data a visitor can go through.
WAYS, EXAMPLES = 4, 100
#: The longer side of a picture to paint on; and what a picture of several images fills on a wide screen.
EASEL = 320
WIDTH, HEIGHT = 720, 544

EACH = "each in turn"
FREE = "as the seed has it"
KEPT = "as it is"
KINDS = {
    "exact": "exact likelihood",
    "bound": "a bound on the likelihood",
    "implicit": "no likelihood: it is implicit",
    "none": "no likelihood",
}


@dataclasses.dataclass(frozen=True)
class Shown:
    """What came of it.

    Attributes:
        told: what it is, as HTML.
        picture: of what was drawn, if that can be seen.
        text: what was written.
    """

    told: str
    picture: Image.Image | None = None
    text: str | None = None


# -- generation ----------------------------------------------------------------------------------------------


def room(model: LoadedModel, count: int) -> int:
    """How many of `count` examples are drawn at once."""
    shape = image_shape(model)
    pixels = int(np.prod(shape[:2])) if shape else 1
    return max(1, min(count, MOST, MOST_PIXELS // pixels))


def classes(model: LoadedModel) -> list[str]:
    """The names of the classes that can be asked for, or their numbers."""
    count = model.card.get("config", {}).get("classes") or len(model.class_names)
    names = model.class_names
    return [*names] if len(names) == count else [str(each) for each in range(count)]


def sample(
    model: LoadedModel,
    seed: float,
    count: int,
    *,
    label: str = EACH,
    prompt: str | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    candidates: int = 1,
    code: Sequence[float | None] | None = None,
) -> Shown:
    """Examples of the seeds from `seed` on.

    Args:
        model: that draws.
        seed: the first.
        count: how many; fewer are drawn where they are large.
        label: a class by its name, or `EACH`.
        prompt: a text, where the model is given one.
        temperature, top_k: where it has them; 1 and 0 change nothing.
        candidates: draw so many for each and keep the best, where the model ranks them.
        code: a value for each part of the code, None where the seed says it.
    """
    seeds = _seeds(seed, room(model, count))
    conditions: dict[str, Any] = {}
    if "label" in model.conditions:
        names = classes(model)
        chosen = range(len(names)) if label == EACH else [names.index(label)]
        conditions["label"] = np.resize(np.array(chosen), len(seeds))
    prompt = prompt or ""  # an empty field may be either
    if "prompt" in model.conditions and (prompt.strip() or "sample" not in model.signatures):
        if not prompt.strip():
            raise UsageError(f"{model.name} draws what a text says: write one first.")
        conditions["prompt"] = prompt if model.modality == "text" else prompt.strip()
    if "temperature" in model.conditions and temperature != 1.0:
        conditions["temperature"] = temperature
    if "top_k" in model.conditions and top_k:
        conditions["top_k"] = int(top_k)
    if code is not None:
        given = [np.nan if value is None else value for value in code]
        conditions["code"] = np.tile(np.array(given, np.float32), (len(seeds), 1))
    ranked = candidates if "sample_best" in model.signatures and candidates > 1 else None
    start = time.perf_counter()
    examples = np.concatenate([*model.iter_samples(seeds, ranked, **conditions)])
    return _of_examples(model, examples, seeds, time.perf_counter() - start)


def _of_examples(model: LoadedModel, examples: np.ndarray, seeds: np.ndarray, seconds: float) -> Shown:
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    told = f"{len(seeds)} from {html.escape(model.name)}, {span}, drawn in {seconds:.1f} s"
    if model.modality in ("image", "features"):
        return _pictured(model, examples, told)
    if model.modality == "text":
        written = (row.decode("utf-8", "replace") for row in examples)
        return Shown(told, text="".join(texts.pages(written, seeds.tolist(), headed=len(seeds) > 1)))
    return Shown(told, text="\n".join(" ".join(map(str, row.ravel().tolist())) for row in examples))


def _seeds(seed: float | None, count: int) -> np.ndarray:
    """Seeds from one on; a cell for numbers may be empty, and may hold a fraction."""
    if seed is None or seed != seed or not 0 <= seed < 2**53:  # what a browser can hold
        raise UsageError("A seed is a whole number from 0 on.")
    return np.arange(int(seed), int(seed) + count, dtype=np.int64)


@dataclasses.dataclass(frozen=True)
class Control:
    """A unit of a code, or all units of one class, that a visitor moves.

    Attributes:
        name: what it is called.
        units: which.
        family: of their prior.
        low, high: from where to where.
    """

    name: str
    units: slice
    family: Family
    low: float
    high: float

    @property
    def choices(self) -> list[str]:
        """The classes among which one is chosen; [] where the value is a number."""
        return [str(each) for each in range(self.units.stop - self.units.start)] * (self.family == "one_hot")

    @property
    def step(self) -> float:
        """The smallest move of a slider."""
        return 1.0 if self.family == "binary" else (self.high - self.low) / 100

    def value(self, code: np.ndarray) -> float | str:
        """Where it stands in a code [d]."""
        part = code[self.units]
        return (
            str(int(part.argmax()))
            if self.choices
            else round(float(np.clip(part[0], self.low, self.high)), 2)
        )

    def moved(self, code: np.ndarray, value: float | str) -> None:
        """Sets it in a code [d]."""
        if self.choices:
            code[self.units] = np.eye(len(self.choices), dtype=np.float32)[int(value)]
        else:
            code[self.units] = float(value)


def moves(model: LoadedModel) -> bool:
    """Whether it decodes numbers that it has a prior for: what sliders can move."""
    return {"prior", "decode"} <= {*model.signatures} and not model.tokens


def controls(model: LoadedModel) -> list[Control]:
    """The classes of a code and the units that change an example most, these first."""
    change = effects(model, model.prior(range(CODES)))
    ends = spans(model)
    found: list[tuple[float, Control]] = []
    for part, units in placed(model.prior_parts):
        if part.family == "one_hot":
            name = "category"
            found.append((np.inf, Control(name, units, part.family, 0.0, 1.0)))
            continue
        for unit in range(units.start, units.stop):
            control = Control(f"unit {unit}", slice(unit, unit + 1), part.family, *ends[unit])
            found.append((float(change[unit]), control))
    found.sort(key=lambda each: -each[0])  # a stable sort: classes stay in their order
    return [control for _, control in found[:UNITS]]


def positions(model: LoadedModel, parts: Sequence[Control], seed: float) -> list[float | str]:
    """Where each control stands in the code of a seed."""
    code = model.prior(_seeds(seed, 1))[0]
    return [each.value(code) for each in parts]


def decoded(
    model: LoadedModel, parts: Sequence[Control], seed: float, values: Sequence[float | str]
) -> Shown:
    """The example of a seed, and beside it the one of its code with some units moved.

    A unit that was not touched stays exactly where the seed has it.
    """
    codes = np.repeat(model.prior(_seeds(seed, 1)), 2, axis=0)
    touched = []
    for each, value in zip(parts, values, strict=True):
        before = each.value(codes[0])
        if before == value or (not each.choices and abs(float(before) - float(value)) < 0.51 * each.step):
            continue  # a slider rounds where it stands
        each.moved(codes[1], value)
        touched.append(f"{each.name} = {value if each.choices else format(float(value), '.2f')}")
    told = f"Left: seed {int(seed)}. Right: " + (", ".join(touched) if touched else "the same, untouched")
    return _in_a_row(model, model.decode(codes), told)


def _pictured(model: LoadedModel, examples: np.ndarray, told: str, columns: int | None = None) -> Shown:
    """Examples as a picture; images in so many columns, about as many as rows if None."""
    if model.modality == "image":
        return Shown(told, _grid(examples, columns))
    return Shown(told, drawn(model, examples))


def _in_a_row(model: LoadedModel, examples: np.ndarray, told: str) -> Shown:
    return _pictured(model, examples, told, len(examples))


def _grid(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """Images [N, H, W, C] as large as there is room on a wide screen."""
    count, height, width, _ = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    scale = max(1, min(WIDTH // (columns * width), HEIGHT // (rows * height)))
    return pictures.grid(images, columns, scale)


def _scale(shape: tuple[int, ...]) -> int:
    """How many times larger a pixel is shown in a picture of few images [N, H, W, C]."""
    return max(1, EASEL // max(shape[1:3]))


def interpolated(model: LoadedModel, seed: float, other: float) -> Shown:
    """Examples on the way from one seed's code to another's."""
    start, end = (model.prior(_seeds(each, 1))[0] for each in (seed, other))
    examples = model.interpolate(start, end, FRAMES)
    told = f"From seed {int(seed)} to seed {int(other)} in {FRAMES} steps through the space of codes"
    return _in_a_row(model, examples, told)


def blended(model: LoadedModel, prompt: str, other: str, seed: float) -> Shown:
    """Examples on the way from one prompt to another."""
    [first] = _seeds(seed, 1)
    examples = model.interpolate_prompts(prompt.strip(), other.strip(), FRAMES, int(first))
    return _in_a_row(model, examples, f"From the first text to the second in {FRAMES} steps, seed {first}")


# -- what it makes of an example -----------------------------------------------------------------------------


def seen(model: LoadedModel, image: np.ndarray) -> Image.Image:
    """A fitted picture, uint8 [H, W, C], large enough to be looked at and painted on."""
    return pictures.grid(image[None] / np.float32(255), scale=_scale((1, *image.shape)), gap=0)


def score(model: LoadedModel, x: np.ndarray, prompt: str = "") -> Shown:
    """log p of one example in nats and bits per dimension, exact or a bound; and what is usual."""
    given = None
    if model.given_text:
        if not prompt.strip():
            raise UsageError(f"{model.name} scores a picture given its caption: write that first.")
        given = [prompt.strip()]
    found = model.log_prob(x, [0], IMPORTANCE_SAMPLES, given)
    nats, bits = (float(found[f"{name}{model.suffix}"][0]) for name in ("log_prob", "bits_per_dim"))
    bound = model.kind == "bound" or bool(model.card.get("dataset", {}).get("dequantised"))
    of = "" if model.kind == "bound" else model.suffix.removeprefix("_")
    what = f"log p({of or 'x'}{' | caption' if model.given_text else ''})"
    rows = [
        (what, f"{'≥ ' if bound else ''}{nats:,.2f} nats"),
        ("per dimension", f"{'≤ ' if bound else ''}{bits:.3f} bits/dim"),
        ("this number is", "a lower bound" if bound else "exact"),
    ]
    if model.kind == "bound":
        rows[-1] = ("this number is", f"a lower bound, from {IMPORTANCE_SAMPLES} draws of the code")
    if levels := model.card.get("levels"):
        rows.append(("it reads", f"{levels} levels a value"))
    usual = model.card.get("metrics", {}).get(
        f"iwae_{IMPORTANCE_SAMPLES}" if model.kind == "bound" else f"log_prob{model.suffix}"
    )
    if usual and usual.get("value") is not None:
        value, error = figures(usual)
        data = html.escape(str(usual["receipt"].get("dataset", "")))
        rows.append((f"its test data, {data}", f"{value}{f' ± {error}' if error else ''} nats on average"))
    return Shown(_pairs(rows, "score"))


def score_text(model: LoadedModel, text: str) -> Shown:
    """log p of a text, and how much each of its characters surprised the model."""
    tokens, said = uploads.tokens(text, model)
    count = int(said.sum())
    if "log_conditionals" not in model.signatures:
        if count < tokens.shape[1]:
            raise UsageError(f"{model.name} scores {tokens.shape[1]} characters at a time, not {count}.")
        return score(model, tokens)
    nats = model.log_conditionals(tokens)[0, :count]  # what follows a character does not change its own
    total, each = float(nats.sum()), float(-nats.mean())
    rows = [
        ("log p(x)", f"{total:,.2f} nats"),
        ("per character", f"{each:.3f} nats, {each / np.log(2):.3f} bits"),
        ("this number is", f"exact, of {count} characters"),
    ]
    usual = model.card.get("metrics", {}).get("nats_per_character")
    if usual and usual.get("value") is not None:
        value, error = figures(usual)
        data = html.escape(str(usual["receipt"].get("dataset", "")))
        rows.append((f"its test data, {data}", f"{value} ± {error} nats a character"))
    marks = "".join(
        f'<span style="--s:{min(1.0, -log / 8):.2f}" title="{-log:.2f} nats">{html.escape(letter)}</span>'
        for letter, log in zip(text.replace("\r\n", "\n"), nats.tolist(), strict=False)
    )
    note = '<p class="soft">The darker a character, the less the model expected it.</p>'
    return Shown(f'{_pairs(rows, "score")}<pre class="surprise">{marks}</pre>{note}')


def encode(model: LoadedModel, x: np.ndarray) -> Shown:
    """The code of one example: its numbers as bars, tokens as a grid of shades."""
    code = model.encode(x)[0]
    if tokens := model.tokens:
        height, width = tokens["grid"]
        grid = code.reshape(1, height, width, 1) / max(1, tokens["values"] - 1)
        told = (
            f"{len(code)} tokens, each one of {tokens['values']}: {len(np.unique(code))} different ones. A "
            "shade is the number of a token"
        )
        lines = "\n".join(" ".join(f"{int(v):3d}" for v in row) for row in code.reshape(height, width))
        return Shown(told, pictures.grid(grid, scale=_scale(grid.shape), gap=0), lines)
    names = _names(model)
    names = names if len(names) == len(code) else [f"unit {unit}" for unit in range(len(code))]
    shown = code[:NUMBERS].tolist()
    rest = f", the first {NUMBERS} are shown" if len(code) > NUMBERS else ""
    told = f'<p class="soft">A code of {len(code):,} numbers: its mean{rest}.</p>'
    return Shown(told + bars(dict(zip(names, shown, strict=False)), "{:.2f}"))


def _names(model: LoadedModel) -> list[str]:
    """What each number of `encode` is called: a category by its own number, as `sample --code` counts."""
    found: list[str] = []
    count = 0
    for part in model.encoded_parts:
        if part.family == "one_hot":
            found += [f"category {each}" for each in range(part.size)]
            count += 1
        else:
            word = "part" if "code" in model.conditions else "unit"
            found += [f"{word} {count + each}" for each in range(part.size)]
            count += part.size
    return found


def reconstruct(model: LoadedModel, x: np.ndarray) -> Shown:
    """One example and what the decoder makes of its code."""
    again = model.reconstruct(x)
    error = float(np.mean((again.astype(np.float64) - x) ** 2))
    size = model.signatures["encode"]["outputs"]["code"]["shape"][-1]
    told = (
        f"Left: what the model reads. Right: what it restores from a code of {size} "
        f"{'tokens' if model.tokens else 'numbers'}. Mean squared error of a value: {error:.4f}"
    )
    return _in_a_row(model, np.concatenate([x, again]), told)


def complete(model: LoadedModel, x: np.ndarray, known: np.ndarray, seed: float) -> np.ndarray:
    """One example whose unknown values are drawn in `WAYS` ways, [WAYS, ...]."""
    if known.all():
        raise UsageError("Nothing is to be drawn: hide something first.")
    return model.complete(np.repeat(x, WAYS, 0), np.repeat(known, WAYS, 0), _seeds(seed, WAYS))


def complete_picture(
    model: LoadedModel, image: np.ndarray, known: np.ndarray, seed: float, inverted: bool = False
) -> Shown:
    """A picture whose hidden part is drawn.

    Args:
        model: that completes.
        image: uint8 [h, w, c], of any size.
        known: bool [H, W], of the size that the model reads.
        seed: of the first way.
        inverted: see `uploads.fitted`.
    """
    fit = uploads.fitted(image, model, inverted)
    x = uploads.example(fit, model)
    mask = known[None] if model.takes == "image" else known[None, ..., None].repeat(fit.shape[-1], -1)
    made = complete(model, x, mask if model.takes == "image" else mask.reshape(1, -1), seed)
    if model.takes == "features":
        made = np.clip(np.floor(made) / ((model.card["dataset"]["levels"] or 256) - 1), 0, 1)
        made = made.reshape(-1, *fit.shape)
    hidden = np.where(known[..., None], fit / np.float32(255), pictures.BACKGROUND / 255)
    told = (
        f"First: what the model is given, {known.mean():.0%} of the picture. Then: {WAYS} ways to draw the "
        f"rest, seeds {int(seed)} to {int(seed) + WAYS - 1}"
    )
    examples = np.concatenate([hidden[None], made])
    return Shown(told, _grid(examples, WAYS + 1))


def painted(layers: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """Which part of a picture was painted over.

    Args:
        layers: uint8 [h, w, 4], what was painted on glass over it.
        shape: (H, W) of the picture that the model reads.

    Returns:
        bool [H, W]: at least a third of the pixel is covered.
    """
    height, width = shape[:2]
    cover = np.zeros((height, width), bool)
    for layer in layers:
        glass = Image.fromarray(layer[..., 3]).resize((width, height), Image.Resampling.BOX)
        cover |= np.asarray(glass) > 255 / 3
    return cover


def complete_numbers(model: LoadedModel, row: Sequence[Any], seed: float) -> tuple[list[list[str]], Shown]:
    """A row for each feature: its name, and its value in each way to draw what is empty."""
    x, known = uploads.numbers(row, column_names(model), gaps=True)
    made = complete(model, x, known, seed)
    told = f"{int((~known).sum())} of {known.size} numbers drawn in {WAYS} ways, seeds {int(seed)} on"
    columns = zip(column_names(model), *made.tolist(), strict=True)
    return [[name, *(f"{value:.4g}" for value in values)] for name, *values in columns], Shown(told)


def complete_text(model: LoadedModel, text: str, seed: float) -> Shown:
    """A text whose gaps are filled, and that goes on to the length that the model reads."""
    tokens, known = uploads.tokens(text, model, gaps=True)
    made = complete(model, tokens, known, seed)
    vocabulary = model.card["config"]["vocabulary"]
    written = ("".join(vocabulary[token] for token in row) for row in made.tolist())
    seeds = _seeds(seed, WAYS).tolist()
    told = f"{int((~known).sum())} of {known.size} characters drawn in {WAYS} ways"
    return Shown(told, text="".join(texts.pages(written, seeds, headed=True)))


def classify(model: LoadedModel, x: np.ndarray) -> Shown:
    """The classes of one example with their probabilities, the likeliest first; and its attributes."""
    found = model.classify(x)
    chances = found["probabilities"][0]
    names = [*model.class_names] or [str(each) for each in range(len(chances))]
    order = np.argsort(-chances, kind="stable")[:CLASSES].tolist()
    told = bars({names[each]: float(chances[each]) for each in order}, "{:.1%}")
    if "attribute_index" in found:
        values = zip(model.attributes.items(), found["attribute_index"][0].tolist(), strict=False)
        told += _pairs([(html.escape(name), html.escape(each[index])) for (name, each), index in values])
    return Shown(told)


def translate(model: LoadedModel, image: np.ndarray, to: str | Mapping[str, str]) -> Shown:
    """A picture, uint8 [h, w, c], and its translation."""
    if not to:
        raise UsageError("Nothing is to be changed: choose a value first.")
    x = uploads.example(uploads.fitted(image, model), model)
    made = model.translate(x, to)
    words = to if isinstance(to, str) else ", ".join(f"{name}: {value}" for name, value in to.items())
    told = f"Left: the picture. Right: {html.escape(str(words))}"
    return _in_a_row(model, np.concatenate([x, made]), told)


def assemble(model: LoadedModel, patches: Sequence[np.ndarray], seed: float) -> Shown:
    """A picture that holds the given patches, uint8 [h, w, c] each."""
    count, size, _, channels = model.patches_shape
    if not 1 <= len(patches) <= count:
        raise UsageError(f"{model.name} makes a picture of 1 to {count} patches: you gave {len(patches)}.")
    from zoo.data.convert import recolour

    x = np.zeros((1, *model.patches_shape), np.float32)
    for place, patch in enumerate(patches):
        x[0, place] = enlarged(recolour(patch, channels), size)
    return _assembled(model, x, len(patches), seed)


def assemble_from(model: LoadedModel, x: np.ndarray, seed: float) -> Shown:
    """A picture of the patches that tell most of another one, [1, H, W, C]."""
    patches = model.key_patches(x)
    return _assembled(model, patches, patches.shape[1], seed)


def _assembled(model: LoadedModel, patches: np.ndarray, there: int, seed: float) -> Shown:
    given = np.arange(patches.shape[1])[None] < there
    ways = _seeds(seed, WAYS)
    found = model.assemble(np.repeat(patches, WAYS, 0), np.repeat(given, WAYS, 0), ways)
    image, places = found["image"], found["places"][..., None]
    shown = np.concatenate([patches[0, :there], places[:1].repeat(image.shape[-1], -1), image])
    told = (
        f"First: {there} {'patch' if there == 1 else 'patches'}, and where the model puts them. Then: {WAYS} "
        f"pictures that hold them, seeds {ways[0]} to {ways[-1]}"
    )
    return Shown(told, _grid(shown, there + 1))


# -- examples of the data ------------------------------------------------------------------------------------


def examples(model: LoadedModel) -> Data:
    """A few examples that the model was not trained on, of the data that it was trained with.

    Raises:
        ZooError: its card names none, or they are not to be had here.
    """
    import zoo.data

    spec = model.card.get("dataset", {}).get("spec")
    if spec is None:
        raise UsageError(f"{model.name} does not say what it was trained on: give an example of your own.")
    if model.card["dataset"].get("limit"):
        raise UsageError(f"{model.name} was trained on a part of its data: give an example of your own.")
    shape: list[int | None] = [*example_shape(model)]
    return load_examples(model, shape, spec, zoo.data.default_split(spec), limit=EXAMPLES)


def example_picture(model: LoadedModel, data: Data, index: int) -> Image.Image:
    """One image of the data in its own size."""
    from zoo.data.order import rows

    x = rows(data, np.array([index % len(data)]))
    if "image" in x:
        return pictures.picture(x["image"][0])
    levels = (data.info.levels or 256) - 1
    return pictures.picture(np.floor(x["features"][0]).reshape(data.info.dequantised) / levels)


def example_numbers(data: Data, index: int) -> list[str]:
    """One row of features of the data."""
    return [f"{value:.5g}" for value in data.fields["features"][index % len(data)].tolist()]


def example_text(model: LoadedModel, data: Data, index: int) -> str:
    """One window of the text."""
    vocabulary = model.card["config"]["vocabulary"]
    return "".join(vocabulary[token] for token in data.fields["tokens"][index % len(data)].tolist())


def example_caption(data: Data, index: int) -> str:
    """The caption of one example; empty where there is none."""
    return str(data.fields["caption"][index % len(data)]) if "caption" in data.fields else ""


def column_names(model: LoadedModel) -> list[str]:
    """The names of the features of a model, or their numbers."""
    size = example_shape(model)[0] or 0
    return feature_names(model) or [f"feature {index}" for index in range(size)]


# -- words ---------------------------------------------------------------------------------------------------


def about(model: LoadedModel) -> str:
    """What a model is, as HTML: its kind, its likelihood, its data, its limits."""
    card = model.card
    if not card:
        return "<p>This SavedModel tells nothing of itself: it has no model card.</p>"
    data = card.get("dataset", {})
    kind = str(card.get("likelihood", ""))
    badges = "".join(
        f'<span class="badge {html.escape(mark)}">{html.escape(text)}</span>'
        for mark, text in (
            (kind, KINDS.get(kind, kind)),
            ("", f"trained on {data.get('spec')}" if data.get("spec") else ""),
            ("", f"{card['parameters']:,} parameters" if card.get("parameters") else ""),
        )
        if text
    )
    summary = html.escape(str(card.get("summary", "")))
    limits = html.escape(str(card.get("limits", "")))
    return (
        f'<div class="about"><p>{summary[:1].upper()}{summary[1:]}.</p>'
        f'<p class="badges">{badges}</p>'
        f"<details><summary>What it cannot do</summary><p>{limits}</p></details></div>"
    )


def bars(values: Mapping[str, float], form: str) -> str:
    """Numbers by name, each with a bar from 0, as HTML."""
    largest = max((abs(value) for value in values.values() if np.isfinite(value)), default=0.0) or 1.0
    rows = "".join(
        f'<div><dt>{html.escape(name)}</dt><dd><i class="{"less" if value < 0 else ""}" '
        f'style="width:{100 * min(1.0, abs(value) / largest):.1f}%"></i></dd><b>{form.format(value)}</b>'
        "</div>"
        for name, value in values.items()
    )
    return f'<dl class="bars">{rows}</dl>'


def _pairs(rows: Sequence[tuple[str, str]], kind: str = "") -> str:
    """Names with values, as HTML; what stands in them has been escaped."""
    found = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="pairs {kind}">{found}</dl>'
