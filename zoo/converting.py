"""The part of a SavedModel that draws nothing, for other runtimes: LiteRT and ONNX, one file a signature.

No random operation of TensorFlow converts to either, so that only signatures without a seed go. Each file is
run by its own runtime and compared with TensorFlow before it is written. Where a model takes images of any
size, a file takes those of the size that it was trained on: other runtimes want to know all sizes before.

Shapes: N rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import UsageError, ZooError, nearest
from zoo.files import replacing
from zoo.quiet import held_back
from zoo.sampling import LoadedModel
from zoo.stages import CARD_FILE

log = logging.getLogger("gmzoo")

#: The signatures that are converted, of those that a model has.
PORTABLE = ("decode", "encode", "reconstruct", "translate", "classify")
#: How far an output may be from TensorFlow's, and relatively where it is above 1.
TOLERANCE = 1e-4
#: Rows of the comparison: both differ from the one that a converter may have seen.
ROWS = (2, 3)
ONNX_OPSET = 18
#: How ONNX numbers int64.
LONG = 7

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Format:
    """A runtime.

    Attributes:
        title: its name.
        ending: of its files.
        needs: the packages that convert and check, beside TensorFlow.
        convert: a SavedModel's folder and a signature's name -> the content of a file.
        run: that content, and inputs by name -> outputs by name.
    """

    title: str
    ending: str
    needs: tuple[str, ...]
    convert: Callable[[Path, str], bytes]
    run: Callable[[bytes, Arrays], Arrays]


def to_litert(path: Path, signature: str) -> bytes:
    """A signature as LiteRT reads it, of its own operations alone: those of TensorFlow need a delegate."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=[signature])
    try:
        return converter.convert()
    except Exception as error:  # of a kind of its own, with a dump of the graph
        lacking = re.search(r"TF Select ops: (.+)", str(error))
        if lacking is None:
            raise
        raise ZooError(f"it has no {lacking[1].strip()}") from error


def run_litert(content: bytes, inputs: Arrays) -> Arrays:
    """What LiteRT answers."""
    with warnings.catch_warnings():
        # It says that it will move to a package of its own.
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=content)
    (signature,) = interpreter.get_signature_list()
    return interpreter.get_signature_runner(signature)(**inputs)


def to_onnx(path: Path, signature: str) -> bytes:
    """A signature as an ONNX graph."""
    import tf2onnx

    loaded = tf.saved_model.load(str(path))  # holds the variables that its functions read
    function = loaded.signatures[signature]
    specs = function.structured_input_signature[1]
    ordered = tf.function(lambda *values: function(**dict(zip(specs, values, strict=True))), autograph=False)
    model, _ = tf2onnx.convert.from_function(
        ordered,
        input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()],
        opset=ONNX_OPSET,
        custom_op_handlers={"BroadcastArgs": (broadcast_shapes, [])},
    )
    return model.SerializeToString()


def broadcast_shapes(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """BroadcastArgs, which tf2onnx does not know: the shape that two shapes broadcast to.

    The shorter one gets ones in front; then a size is the larger of the two: they differ where one is 1.
    """
    kind = graph.get_dtype(node.input[0])
    longs = [graph.make_node("Cast", [each], attr={"to": LONG}).output[0] for each in node.input]
    ranks = [graph.make_node("Shape", [each]).output[0] for each in longs]
    rank = graph.make_node("Max", ranks).output[0]
    one = graph.make_const(f"{name}/one", np.array([1], np.int64)).output[0]
    filled = []
    for shape, own in zip(longs, ranks, strict=True):
        missing = graph.make_node("Sub", [rank, own]).output[0]
        ones = graph.make_node("Expand", [one, missing]).output[0]
        filled.append(graph.make_node("Concat", [ones, shape], attr={"axis": 0}).output[0])
    largest = graph.make_node("Max", filled).output[0]
    (output,) = node.output
    shape = graph.get_shape(output)
    graph.remove_node(node.name)
    graph.make_node(
        "Cast", [largest], attr={"to": kind}, name=name, outputs=[output], shapes=[shape], dtypes=[kind]
    )


def run_onnx(content: bytes, inputs: Arrays) -> Arrays:
    """What ONNX Runtime answers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


FORMATS = {
    "litert": Format("LiteRT", ".tflite", (), to_litert, run_litert),
    "onnx": Format("ONNX", ".onnx", ("tf2onnx", "onnxruntime"), to_onnx, run_onnx),
}


def check_installed(kind: str) -> None:
    """Looks whether a format can be written here.

    Raises:
        ZooError: a package is missing.
    """
    wanted = FORMATS[kind]
    if missing := [name for name in wanted.needs if importlib.util.find_spec(name) is None]:
        raise ZooError(
            f"{wanted.title} needs {' and '.join(missing)}, which is not installed.\n"
            f"Install it: pip install {' '.join(wanted.needs)}"
        )


def convert(model: LoadedModel, out: Path, kind: str) -> dict[Path, float]:
    """Writes the signatures of a model that draw nothing, a file each, and its model card.

    Args:
        model: a SavedModel.
        out: the folder, which must not exist.
        kind: of `FORMATS`.

    Returns:
        Each file, and how far its outputs were from TensorFlow's at most.

    Raises:
        UsageError: there is no such format or signature, or the folder exists.
        ZooError: the converter is not installed, converts none of them, or a file would give other numbers.
    """
    if kind not in FORMATS:
        raise UsageError(f"no format {kind!r}; there are {', '.join(FORMATS)}.{nearest(kind, FORMATS)}")
    check_installed(kind)
    wanted = FORMATS[kind]
    names = [name for name in PORTABLE if name in model.signatures]
    if not names:
        raise UsageError(
            f"{model.name} has no part that draws nothing ({', '.join(PORTABLE)}): "
            f"{wanted.title} cannot hold it."
        )
    if out.exists():
        raise UsageError(f"{out} exists. Choose another --out.")
    found, failed = {}, {}
    with replacing(out) as folder:
        folder.mkdir()
        for name in names:
            try:
                content = converted(model, wanted, name)
            except ZooError as error:
                failed[name] = str(error)
                continue
            difference = float(np.max([compare(model, wanted, name, content, rows) for rows in ROWS]))
            (folder / f"{name}{wanted.ending}").write_bytes(content)
            found[out / f"{name}{wanted.ending}"] = difference
        if not found:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
            raise ZooError(f"no part of {model.name} converts to {wanted.title}. {reasons}")
        for card in (CARD_FILE, CARD_FILE.replace(".json", ".md")):
            if (model.path / card).is_file():
                shutil.copy(model.path / card, folder)
    for name, reason in failed.items():
        log.warning("%s does not convert to %s: %s", name, wanted.title, reason)
    return found


def converted(model: LoadedModel, wanted: Format, name: str) -> bytes:
    """One signature in another format.

    Raises:
        ZooError: the converter fails; it says why.
    """
    with sized(model, name) as path:
        content, error = quietly(lambda: wanted.convert(path, name))
    if error is not None:
        raise ZooError(first_line(error)) from error
    return content


@contextlib.contextmanager
def sized(model: LoadedModel, name: str) -> Iterator[Path]:
    """A SavedModel whose signature takes images of one size: the model, or one that calls it."""
    specs = model.signatures[name]["inputs"]
    if all(None not in spec["shape"][1:] for spec in specs.values()):
        yield model.path
        return
    module = tf.Module()
    module.loaded = tf.saved_model.load(str(model.path))
    function = module.loaded.signatures[name]
    inputs = {
        each: tf.TensorSpec([None, *of_one_size(model, spec)], spec["dtype"], each)
        for each, spec in specs.items()
    }
    module.run = tf.function(lambda **values: function(**values), autograph=False)
    with tempfile.TemporaryDirectory(prefix="gmzoo-sized-") as folder:
        signature = module.run.get_concrete_function(**inputs)
        plain = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        _, error = quietly(lambda: tf.saved_model.save(module, folder, {name: signature}, plain))
        if error is not None:
            raise ZooError(first_line(error)) from error
        yield Path(folder)


def of_one_size(model: LoadedModel, spec: Mapping[str, Any]) -> list[int]:
    """The shape of a row of an input; sides that may be any are those of the training images."""
    sides = model.card.get("config", {}).get("image_shape", ())
    return [size if size is not None else sides[index] for index, size in enumerate(spec["shape"][1:])]


def quietly(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What the work gives or raises, without what converters and runtimes write of their steps."""
    told = logging.getLogger("tf2onnx")
    level = told.level
    told.setLevel(logging.CRITICAL)
    try:
        with held_back():
            try:
                return work(), None
            except Exception as error:  # they raise what they like
                return None, error
    finally:
        told.setLevel(level)


def first_line(error: Exception) -> str:
    """What an error says first, cut where it goes on and on."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def compare(model: LoadedModel, wanted: Format, name: str, content: bytes, rows: int) -> float:
    """How far the outputs of a file are from TensorFlow's at most, relatively where these are above 1.

    Raises:
        ZooError: it does not run, lacks an output, or gives other numbers.
    """
    inputs = examples(model, name, rows)
    expected = model.run(name, **inputs)
    given, error = quietly(lambda: wanted.run(content, inputs))
    if error is not None:
        raise ZooError(
            f"{name} of {model.name} does not run in {wanted.title}: {first_line(error)}"
        ) from error
    if given.keys() != expected.keys():
        raise ZooError(f"{name} of {model.name} gives {', '.join(given)} in {wanted.title}.")
    differences = []
    for output, ours in expected.items():
        theirs = given[output]
        if theirs.shape != ours.shape:
            raise ZooError(f"{name} of {model.name} gives another shape of {output} in {wanted.title}.")
        apart = np.abs(theirs.astype(np.float64) - ours) / np.maximum(1.0, np.abs(ours))
        differences.append(float(apart.max()))
    largest = float(np.max(differences))  # which is no number where one of them is none
    if not largest <= TOLERANCE:
        raise ZooError(
            f"{name} of {model.name} differs by {largest:.2g} in {wanted.title}: nothing was written."
        )
    return largest


def examples(model: LoadedModel, name: str, rows: int) -> Arrays:
    """Inputs of a signature for the comparison: noise, and codes such as the model itself makes."""
    random = np.random.default_rng(rows)
    found = {}
    for tensor, spec in model.signatures[name]["inputs"].items():
        shape = [rows, *of_one_size(model, spec)]
        if tensor == "code":
            made = (
                model.prior(range(rows))
                if "prior" in model.signatures
                else model.encode(examples(model, "encode", rows)[model.takes])
            )
            found[tensor] = made
        elif spec["dtype"].startswith("float"):
            found[tensor] = random.random(shape, np.float32)
        else:  # the first of the domains, attributes or tokens
            found[tensor] = np.zeros(shape, spec["dtype"])
    return found
