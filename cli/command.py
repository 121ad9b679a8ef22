"""What the commands share: how they refuse, and the options that several of them have."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from zoo.errors import nearest

Function = TypeVar("Function", bound=Callable[..., Any])

#: `--debug` stands before or after the command; `main` looks for it among all words.
DEBUG = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")


def laid_out(text: str | None) -> str:
    """Help in which indented paragraphs keep their lines; Click marks such a paragraph with a backspace."""
    return re.sub(r"\n\n(?=    )", "\n\n\b\n", inspect.cleandoc(text or ""))


class Command(click.Command):
    """A command that offers the line which was probably meant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = laid_out(self.help)
        for param in self.params:
            if isinstance(param.type, click.IntRange | click.FloatRange) and param.metavar is None:
                param.metavar = "N" if isinstance(param.type, click.IntRange) else "X"
        self.params.append(DEBUG)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [
            option for param in self.params if isinstance(param, click.Option) for option in param.opts
        ]
        line = f"try: {ctx.command_path}"
        try:
            given, words, _ = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption as error:
            message = f"no option {error.option_name}.{nearest(error.option_name, options)}"
            if error.option_name == "--model":  # only commands that take a name do not have it
                name = args[args.index("--model") + 1 :][:1] if "--model" in args else []
                message = f"{ctx.info_name} takes the name alone; {line} {name[0] if name else 'NAME'}"
            raise click.UsageError(message, ctx) from error
        helped = any(word in ctx.help_option_names for word in args)
        asked = any("--model" in each.opts and (words or not each.multiple) for each in self.params)
        if asked and not {"model", "models"} & {*given} and not helped and not ctx.resilient_parsing:
            more = "" if words else " (`gmzoo list` and `gmzoo runs` show what there is)"
            name = words[:1] or ["vae"]
            raise click.UsageError(f"{ctx.info_name} needs a model; {line} --model {name[0]}{more}", ctx)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            if error.param is None or not isinstance(error.param, click.Argument):
                raise
            wanted = error.param.make_metavar(ctx)
            raise click.UsageError(f"{ctx.info_name} needs {wanted}; {line} vae", ctx) from error


def _stacked(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Several options in one decorator, in the order in which help shows them."""

    def decorate(function: Function) -> Function:
        return functools.reduce(lambda made, option: option(made), reversed(options), function)

    return decorate


def _models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from zoo import registry

    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="dir")]
    return [
        CompletionItem(name, help=registry.card(name)["summary"])
        for name in registry.names()
        if name.startswith(incomplete)
    ]


def _presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from zoo import registry

    # Behind an option that still lacks its value, Click has not read the name yet.
    known = [word for word in (ctx.params.get("name"), *ctx.args) if word in registry.names()]
    return [name for word in known[:1] for name in registry.presets(word) if name.startswith(incomplete)]


def _datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from zoo.data import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


runs_option = click.option(
    "--runs-dir",
    type=click.Path(file_okay=False),
    help="Where runs live.  [default: GMZOO_RUNS, else ./runs]",
)

_WHICH = (
    "NAME or NAME:PRESET (the newest finished run here, else the shipped model), shipped:NAME, or the path "
    "of a run or SavedModel."
)
#: `--model M`, and where its runs are looked for.
model_options = _stacked(
    click.option("--model", metavar="M", shell_complete=_models, help=_WHICH), runs_option
)
#: `--model M --model N`, and the same.
models_options = _stacked(
    click.option(
        "--model",
        "models",
        metavar="M",
        multiple=True,
        shell_complete=_models,
        help=f"{_WHICH} May be given several times.",
    ),
    runs_option,
)

name_argument = functools.partial(click.argument, shell_complete=_models)
preset_option = click.option(
    "--preset", metavar="NAME", shell_complete=_presets, help="One of the model's presets (see `gmzoo info`)."
)

data_option = click.option(
    "--data",
    "--dataset",
    "data",
    metavar="SPEC",
    shell_complete=_datasets,
    help="A named set (`gmzoo datasets`), tfds:NAME, or folder:, idx:, npz:, csv:, text: and a PATH.",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Where prepared data is kept.  [default: TFDS_DATA_DIR, else ~/tensorflow_datasets]",
)

#: The data and how to read it; `--split` comes beside, where a command lets it be chosen.
data_options = _stacked(
    data_option,
    click.option("--limit", type=click.IntRange(min=1), help="At most this many examples."),
    click.option("--skip-bad", is_flag=True, help="Go on without files that cannot be read."),
    data_dir_option,
)

split_option = click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Which part of the data.  [default: test where there is one, else all]",
)

#: How a bound on a likelihood is drawn.
bound_options = _stacked(
    click.option(
        "--importance-samples",
        type=click.IntRange(min=1),
        help="Draws of the code for each example, for a bound: more are closer to log p(x).  [default: 50]",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        help="Of these draws: example i has seed SEED + i.  [default: 0]",
    ),
)

#: What codes a model without a prior is given.
codes_option = click.option(
    "--codes",
    type=click.Choice(["normal", "fitted"]),
    help="Of a model without a prior, as autoencoder: draw its codes from N(0, I), or from a Gaussian fitted "
    "to the codes of its training images.",
)

#: Where results go.
out_options = _stacked(
    click.option(
        "--out",
        metavar="PATH",
        type=click.Path(),
        help="Where to; its ending says what.  [default: the first free name, which is printed]",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Replace what stands at --out; in a folder, only files of the same names.",
    ),
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, for programs."
)
