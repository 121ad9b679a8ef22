"""A model as a SavedModel that needs no code of ours: signatures, a model card, requests for warming up.

Each capability gives its signatures in one small function; `SIGNATURES` names them. All inputs are
batch-major and required, and no output of a signature is named as an input of it is. What is stored is
exactly the weights that the signatures read: discriminators, optimizers and averages stay behind.

Shapes: N rows, H x W x C image, d a code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.base import (
    Assembles,
    Blends,
    Classifies,
    Completes,
    ConditionalLikelihood,
    Conditions,
    Decodes,
    Describes,
    Encodes,
    ExactLikelihood,
    GenerativeModel,
    LikelihoodBound,
    Predicts,
    Ranks,
    Represents,
    Restores,
    Samples,
    Tokenises,
    Translates,
)
from zoo.distributions import draw_categorical
from zoo.errors import UsageError
from zoo.files import replacing
from zoo.layers.text import decode_text
from zoo.noise import RowNoise
from zoo.plain import plain, table, tensors
from zoo.stages import CARD_FILE

#: The version of what `model_card.json` holds.
SCHEMA = 1
WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
# Where the checkpoint inside a SavedModel keeps the value of a variable.
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

SEED = tf.TensorSpec([None], tf.int64, "seed")
COUNT = tf.TensorSpec([None], tf.int32, "importance_samples")
CANDIDATES = tf.TensorSpec([None], tf.int32, "candidates")
PROMPT = tf.TensorSpec([None], tf.string, "prompt")
EXAMPLE_DTYPES = {"image": tf.float32, "features": tf.float32, "text": tf.string, "tokens": tf.int32}
PNG_CHANNELS = (1, 3, 4)
#: A side of the image of a request for warming up, where images may be of any size.
ANY_SIDE = 16


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of a SavedModel.

    Attributes:
        inputs: their specs by name, in the order of the arguments of `run`.
        run: tensors [N, ...] -> outputs by name, each [N, ...].
    """

    inputs: dict[str, tf.TensorSpec]
    run: Callable[..., dict[str, tf.Tensor]]


Found = Iterator[tuple[str, Signature]]


def example_spec(model: GenerativeModel) -> dict[str, tf.TensorSpec]:
    """The input that takes examples: named by the model's modality, [N, *example shape]."""
    shape = [None, *model.example_shape()]
    return {model.modality: tf.TensorSpec(shape, EXAMPLE_DTYPES[model.modality], model.modality)}


def encode_png(image: tf.Tensor) -> tf.Tensor:
    """Images float32 [N, H, W, C] in [0, 1] -> PNG files, string [N]."""
    pixels = tf.cast(tf.round(255.0 * tf.clip_by_value(image, 0.0, 1.0)), tf.uint8)
    return tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.TensorSpec([], tf.string))


def bits_per_dim(model: GenerativeModel, log_prob: tf.Tensor) -> tf.Tensor:
    """Nats [N] -> -log_prob / (D ln 2)."""
    return -log_prob / (model.dimensions * math.log(2.0))


def exact_scores(model: GenerativeModel, log_prob: tf.Tensor) -> dict[str, tf.Tensor]:
    """The outputs of an exact likelihood, in nats [N]; of tokens `log_prob_tokens` and so on."""
    suffix = f"_{model.scored.what}" if model.scored else ""
    return {f"log_prob{suffix}": log_prob, f"bits_per_dim{suffix}": bits_per_dim(model, log_prob)}


def drawn(model: GenerativeModel, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """Examples as an output: tokens that have symbols are text, string [N]."""
    if model.modality == "tokens" and model.vocabulary:
        return {"text": decode_text(examples, model.vocabulary)}
    return {model.modality: examples}


def samples(model: Any) -> Found:
    """Examples from seeds, for images as PNG files too."""
    yield "sample", Signature({"seed": SEED}, lambda seed: drawn(model, model.sample(RowNoise(seed))))
    if model.modality == "image" and model.example_shape()[-1] in PNG_CHANNELS:
        yield (
            "sample_png",
            Signature({"seed": SEED}, lambda seed: {"png_bytes": encode_png(model.sample(RowNoise(seed)))}),
        )


def condition_specs(model: Any) -> dict[str, tf.TensorSpec]:
    """The inputs that this instance takes as conditions."""
    return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in model.conditions().items()}


def conditions(model: Any) -> Found:
    """Examples from seeds and the conditions that this instance takes, if it takes any."""
    own = condition_specs(model)
    if own:
        yield (
            "sample_with",
            Signature(
                {"seed": SEED, **own},
                lambda seed, *values: drawn(
                    model, model.sample_with(RowNoise(seed), **dict(zip(own, values, strict=True)))
                ),
            ),
        )


def blends(model: Any) -> Found:
    """Examples from seeds and two prompts, between which they lie."""
    other, share = (
        tf.TensorSpec([None], tf.string, "other_prompt"),
        tf.TensorSpec([None], tf.float32, "share"),
    )
    yield (
        "sample_between",
        Signature(
            {"seed": SEED, "prompt": PROMPT, "other_prompt": other, "share": share},
            lambda seed, *ends: drawn(model, model.sample_between(RowNoise(seed), *ends)),
        ),
    )


def ranks(model: Any) -> Found:
    """The best of several candidates under the conditions, and by how much it fits them, in nats."""
    own = condition_specs(model)

    def choose(seed: tf.Tensor, candidates: tf.Tensor, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        given = dict(zip(own, values, strict=True))
        best, fit = model.sample_best(RowNoise(seed), candidates, **given)
        return {**drawn(model, best), "fit": fit}

    if model.ranks():
        yield "sample_best", Signature({"seed": SEED, "candidates": CANDIDATES, **own}, choose)


def decodes(model: Any) -> Found:
    """Codes from seeds."""
    yield "prior", Signature({"seed": SEED}, lambda seed: {"code": model.prior(RowNoise(seed))})


def restores(model: Any) -> Found:
    """Examples from codes, which are such as its prior draws, or as it encodes examples."""
    example, seed = (
        tf.zeros([1, *spec.shape[1:]], spec.dtype) for spec in (*example_spec(model).values(), SEED)
    )
    has_prior = isinstance(model, Decodes)
    make = (lambda: model.prior(RowNoise(seed))) if has_prior else (lambda: code_of(model.encode(example)))
    made = tf.function(make, autograph=False).get_concrete_function().structured_outputs
    code = tf.TensorSpec([None, *made.shape[1:]], made.dtype, "code")
    yield "decode", Signature({"code": code}, lambda code: drawn(model, model.decode(code)))


def code_of(posterior: Any) -> tf.Tensor:
    """The one code [B, d] that stands for a posterior: its mean, or the likeliest tokens."""
    return posterior.mode() if posterior.dtype.is_integer else posterior.mean()


def exact_likelihood(model: Any) -> Found:
    """log p(x)."""

    def score(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return exact_scores(model, model.log_prob(x))

    yield "log_prob", Signature(example_spec(model), score)


def conditional_likelihood(model: Any) -> Found:
    """log p(x) given a text; or that of what the model scores of x, named by it."""

    def score(x: tf.Tensor, prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        return exact_scores(model, model.log_prob_given(x, prompt))

    yield "log_prob", Signature({**example_spec(model), "prompt": PROMPT}, score)


def predicts(model: Any) -> Found:
    """log p of each token of a text given those before it."""
    if model.modality == "tokens":
        yield (
            "log_conditionals",
            Signature(example_spec(model), lambda x: {"log_conditionals": model.log_conditionals(x)}),
        )


def likelihood_bound(model: Any) -> Found:
    """The importance-weighted bound on log p(x), with its own seed and number of draws a row; and the terms
    of the evidence lower bound, which is that of one draw with the divergence in closed form.
    """

    def score(x: tf.Tensor, seed: tf.Tensor, importance_samples: tf.Tensor) -> dict[str, tf.Tensor]:
        bound = model.importance_weighted_bound(x, RowNoise(seed), importance_samples)
        return {"log_prob_bound": bound, "bits_per_dim_bound": bits_per_dim(model, bound)}

    def terms(x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        log_likelihood, divergence = model.elbo_terms(x, RowNoise(seed))
        return {"log_likelihood": log_likelihood, "kl": divergence}

    example = {**example_spec(model), "seed": SEED}
    yield "log_prob", Signature({**example, "importance_samples": COUNT}, score)
    yield "elbo", Signature(example, terms)


def encodes(model: Any) -> Found:
    """The mean code of an example, a draw of it, and what the decoder makes of the mean.

    Of tokens it is the likeliest ones.
    """

    def encode(x: tf.Tensor) -> dict[str, tf.Tensor]:
        code = model.encode(x)
        outputs = {"code": code_of(code)}
        if code.dtype.is_integer:
            return outputs
        with contextlib.suppress(NotImplementedError):  # a deterministic code has none
            outputs["code_scale"] = code.stddev()
        return outputs

    def draw(x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        code = model.encode(x)
        if code.dtype.is_integer:
            uniform = RowNoise(seed).uniform("posterior", code.event_shape)
            return {"code": draw_categorical(code.distribution.logits_parameter(), uniform)}
        normal = RowNoise(seed).normal("posterior", code.event_shape)
        return {"code": code.mean() + code.stddev() * normal}

    def reconstruct(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"reconstruction": model.decode(code_of(model.encode(x)))}

    example = example_spec(model)
    yield "encode", Signature(example, encode)
    yield "encode_draw", Signature({**example, "seed": SEED}, draw)
    if isinstance(model, Restores):
        yield "reconstruct", Signature(example, reconstruct)


def represents(model: Any) -> Found:
    """What is seen in an example, which is no code to decode."""
    yield "encode", Signature(example_spec(model), lambda x: {"code": model.represent(x)})


def completes(model: Any) -> Found:
    """Examples whose unknown values are drawn, given those that `known` says are known."""
    example = example_spec(model)
    shape = example[model.modality].shape
    known = tf.TensorSpec(shape[:3] if model.modality == "image" else shape, tf.bool, "known")
    yield (
        "complete",
        Signature(
            {**example, "known": known, "seed": SEED},
            lambda x, known, seed: {"completed": model.complete(x, known, RowNoise(seed))},
        ),
    )


def assembles(model: Any) -> Found:
    """Examples that hold patches, and where these lie; the patches of an example that tell most of it."""

    def assemble(patches: tf.Tensor, given: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        examples, places = model.assemble(patches, given, RowNoise(seed))
        return {model.modality: examples, "places": places}

    count, *shape = model.patches_shape()
    patches = tf.TensorSpec([None, count, *shape], tf.float32, "patches")
    given = tf.TensorSpec([None, count], tf.bool, "given")
    yield "assemble", Signature({"patches": patches, "given": given, "seed": SEED}, assemble)
    yield "key_patches", Signature(example_spec(model), lambda x: {"patches": model.key_patches(x)})


def classifies(model: Any) -> Found:
    """The probability of each class of an example, and the likeliest one; that of each attribute's values."""

    def classify(x: tf.Tensor) -> dict[str, tf.Tensor]:
        described = model.describe(x) if isinstance(model, Describes) else [model.classify(x)]
        likeliest = [tf.argmax(logits, -1, output_type=tf.int32) for logits in described]
        probabilities = tf.nn.softmax(tf.cast(described[0], tf.float32))
        outputs = {"probabilities": probabilities, "class_index": likeliest[0]}
        if likeliest[1:]:
            outputs["attribute_index"] = tf.stack(likeliest[1:], -1)  # [N, A]
        return outputs

    yield "classify", Signature(example_spec(model), classify)


def translates(model: Any) -> Found:
    """Images in another domain, or with other attributes. They may be of any size: one that does not fit is
    filled up by reflection, and cut back.
    """
    name, choices = model.asks()
    image = tf.TensorSpec([None, None, None, model.example_shape()[-1]], tf.float32, "image")
    asked = tf.TensorSpec([None] if name == "domain" else [None, len(choices)], tf.int32, name)

    def translate(x: tf.Tensor, to: tf.Tensor) -> dict[str, tf.Tensor]:
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        missing = [[0, 0], [0, -height % model.multiple], [0, -width % model.multiple], [0, 0]]
        made = model.translate(tf.pad(x, missing, "REFLECT"), to)[:, :height, :width]
        return {"translated": tf.ensure_shape(made, image.shape)}

    yield "translate", Signature({"image": image, name: asked}, translate)


#: The signatures that a capability gives. A new capability is one function above and one line here.
SIGNATURES: dict[type, Callable[[Any], Found]] = {
    Samples: samples,
    Conditions: conditions,
    Blends: blends,
    Ranks: ranks,
    Decodes: decodes,
    Restores: restores,
    ExactLikelihood: exact_likelihood,
    ConditionalLikelihood: conditional_likelihood,
    Predicts: predicts,
    LikelihoodBound: likelihood_bound,
    Encodes: encodes,
    Represents: represents,
    Completes: completes,
    Assembles: assembles,
    Classifies: classifies,
    Translates: translates,
}
# What a request without a signature's name runs: the first of these.
DEFAULTS = ("sample", "sample_with", "translate", "classify", "reconstruct", "assemble")


def signatures(model: GenerativeModel) -> dict[str, Signature]:
    """The signatures that the model's capabilities give, by name."""
    return {
        name: signature
        for capability, make in SIGNATURES.items()
        if isinstance(model, capability)
        for name, signature in make(model)
    }


@contextlib.contextmanager
def full_precision(model: keras.Model) -> Iterator[None]:
    """Lets a model that was trained in half precision compute in float32, as serving on a CPU should."""
    layers = [layer for layer in model._flatten_layers() if layer.compute_dtype != layer.variable_dtype]
    policies = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = layer.variable_dtype
    try:
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


@contextlib.contextmanager
def any_device(model: keras.Model) -> Iterator[None]:
    """Lets recurrent layers take kernels that every device has: those of cuDNN run on a GPU alone."""
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "use_cudnn")]
    kept = [layer.use_cudnn for layer in layers]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, value in zip(layers, kept, strict=True):
            layer.use_cudnn = value


def trace(model: GenerativeModel) -> dict[str, Any]:
    """The concrete functions of the model's signatures, by name."""
    with full_precision(model), any_device(model):
        return {
            name: tf.function(each.run, autograph=False).get_concrete_function(*each.inputs.values())
            for name, each in signatures(model).items()
        }


def describe(functions: Mapping[str, Any]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Signature name -> {inputs, outputs}: tensor name -> {dtype, shape}; None is the batch."""
    return {
        name: {
            "inputs": table({spec.name: spec for spec in function.structured_input_signature[0]}),
            "outputs": table(function.structured_outputs),
        }
        for name, function in functions.items()
    }


def next_version(base: str | os.PathLike[str]) -> Path:
    """The folder of the next version below `base`, TensorFlow Serving's base path: the highest + 1."""
    base = Path(base)
    versions = [int(each.name) for each in base.iterdir() if each.name.isdecimal()] if base.is_dir() else []
    return base / str(max(versions, default=0) + 1)


def export(model: GenerativeModel, path: str | os.PathLike[str], card: Mapping[str, Any]) -> Path:
    """Writes the model as a SavedModel, whole or not at all.

    Args:
        model: its present weights are written: enter `evaluation_weights` first where averages are kept.
        path: the version's folder, which must not exist: a version is never replaced.
        card: what the model card says besides what is known here: model, preset, config, dataset, command,
            metrics, limits.

    Returns:
        The path.

    Raises:
        UsageError: the version exists.
    """
    path = Path(path)
    functions = trace(model)
    read = {id(variable): variable for function in functions.values() for variable in function.variables}
    archive = tf.Module()
    own = {
        # Under a strategy a variable is one for each replica, and a function reads the first.
        name: (variable.value, [id(each) for each in getattr(variable.value, "values", [variable.value])])
        for name, variable in model.weights_by_name().items()
    }
    archive.weights = {
        name.removeprefix("weights/"): value
        for name, (value, copies) in own.items()
        if read.keys() & {*copies}
    }
    known = {each for _, copies in own.values() for each in copies}
    first_stage = [variable for key, variable in read.items() if key not in known]
    if first_stage:
        archive.first_stage = first_stage
    default = next(name for name in DEFAULTS if name in functions)
    parts = model.prior_parts() if isinstance(model, Decodes) else ()
    seen = model.representation_parts() if isinstance(model, Represents) else ()
    laws = {
        name: [dataclasses.asdict(part) for part in each]
        for name, each in (("prior", parts), ("encodes", seen))
        if each
    }
    scored = {"scored": dataclasses.asdict(model.scored)} if model.scored else {}
    longest = model.longest_prompt if isinstance(model, Conditions) else None
    tokens = (
        {"tokens": {"grid": list(model.token_grid()), "values": model.token_values()}}
        if isinstance(model, Tokenises)
        else {}
    )
    full_card = {
        "schema": SCHEMA,
        **card,
        **laws,
        **tokens,
        **scored,
        **({"longest_prompt": longest} if longest else {}),
        "stored_parameters": sum(v.shape.num_elements() for v in [*archive.weights.values(), *first_stage]),
        "signatures": describe(functions),
    }
    with replacing(path) as temporary:
        tf.saved_model.save(
            archive,
            str(temporary),
            signatures={**functions, "serving_default": functions[default]},
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        write_warm_up(temporary / WARM_UP_FILE, functions)
        write_card(temporary / CARD_FILE, full_card)
        refuse_existing(path)
    return path


def refuse_existing(path: Path) -> None:
    """Raises UsageError where the version exists."""
    if path.exists():
        raise UsageError(
            f"{path} exists, and a version is never replaced: the next is {next_version(path.parent)}."
        )


def publish(saved_model: str | os.PathLike[str], base: str | os.PathLike[str]) -> Path:
    """Copies a SavedModel to the next version below `base`.

    Args:
        saved_model: the folder of a version.
        base: TensorFlow Serving's base path; made where it is missing.

    Returns:
        The folder of the new version.
    """
    path = next_version(base)
    with replacing(path) as temporary:
        shutil.copytree(saved_model, temporary)
        refuse_existing(path)
    return path


def saved_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The weights of a SavedModel, under the names of `weights_by_name()` of the model that it was.

    Args:
        path: the folder of a version.
    """
    reader = tf.train.load_checkpoint(str(Path(path) / "variables/variables"))
    return {
        key.removesuffix(VALUE): reader.get_tensor(key)
        for key in sorted(reader.get_variable_to_shape_map())
        if key.startswith("weights/") and key.endswith(VALUE)
    }


def warm_up_value(spec: tf.TensorSpec) -> tf.Tensor:
    """One row of fixed content for an input: ones for counts and temperatures, else zeros or empty text."""
    shape = [1, *(size or ANY_SIDE for size in spec.shape[1:])]
    ones = spec.name in ("importance_samples", "candidates", "temperature")
    return tf.ones(shape, spec.dtype) if ones else tf.zeros(shape, spec.dtype)


def write_warm_up(path: Path, functions: Mapping[str, Any]) -> None:
    """Writes one request of one row for each signature, which TensorFlow Serving replays when it loads."""
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, function in functions.items():
            request = PredictRequest()
            request.model_spec.signature_name = name
            for spec in function.structured_input_signature[0]:
                request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(warm_up_value(spec)))
            writer.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString())


# -- the model card ----------------------------------------------------------------------------------------


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Writes the model card: JSON at `path`, for people as Markdown beside it."""
    card = plain(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(card), encoding="utf-8")


def add_metrics(saved_model: str | os.PathLike[str], metrics: Mapping[str, Any]) -> None:
    """Writes metrics into the model card of a SavedModel, in place of those of the same names.

    Args:
        saved_model: the folder of a version.
        metrics: name -> {value, standard_error, unit, kind, better, receipt}.

    Raises:
        UsageError: it has no model card.
    """
    path = Path(saved_model) / CARD_FILE
    if not path.is_file():
        raise UsageError(f"{saved_model} has no model card ({CARD_FILE}) to write metrics into.")
    card = json.loads(path.read_text(encoding="utf-8"))
    card["metrics"] = {**card.get("metrics", {}), **metrics}
    with replacing(path) as temporary:
        write_card(temporary, card)
        os.replace(temporary.with_suffix(".md"), path.with_suffix(".md"))


def markdown(card: Mapping[str, Any]) -> str:
    """The model card for people."""
    preset = f", preset {card['preset']}" if card.get("preset") else ""
    lines = [f"# {card.get('model', 'model')}{preset}", ""]
    for key, value in card.items():
        if key in ("model", "preset", "schema", "signatures"):
            continue
        if isinstance(value, Mapping):
            lines += [f"## {key.replace('_', ' ').capitalize()}", ""]
            lines += [f"- {name}: {inline(item)}" for name, item in value.items()]
            lines.append("")
        elif value not in (None, "", []):
            lines += [f"**{key.replace('_', ' ').capitalize()}**: {inline(value)}", ""]
    lines += ["## Signatures", "", "| name | inputs | outputs |", "|---|---|---|"]
    for name, each in card["signatures"].items():
        inputs, outputs = (
            ", ".join(f"`{tensor}`" for tensor in tensors(each[side])) for side in ("inputs", "outputs")
        )
        lines.append(f"| `{name}` | {inputs} | {outputs} |")
    return "\n".join(lines) + "\n"


def inline(value: Any) -> str:
    """A card's value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inline(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list):
        return ", ".join(inline(item) for item in value)
    if isinstance(value, str) and not value.isprintable():
        return repr(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
