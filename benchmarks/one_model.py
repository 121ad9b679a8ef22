"""Measures one model, in a process of its own, for `benchmarks/table.py`.

    python benchmarks/one_model.py training dcgan --seconds 5

Each line that is printed is a JSON object, what was found out by the name of the measurement: it is known
from then on, whatever comes after.

Operations are those of matrix products and convolutions that a training step executes, counted one by one as
the step runs without a graph: a multiply-add as two, each tap of a kernel at each position of the smaller
image, those over the padding too. So loops count as often as they run, and a layer that is computed in
another way than it is defined counts as it is computed. A product whose result nobody uses does not count,
since a graph leaves it out. All else counts as nothing, and so does a first stage, which is one function of
another program.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zoo import memory

memory.keep_freed()  # as the commands do, before TensorFlow starts its threads

import keras  # noqa: E402
import sampling  # noqa: E402
import tensorflow as tf  # noqa: E402
from peers import Product, Trainer  # noqa: E402
from tensorflow.python.framework import op_callbacks  # noqa: E402

from zoo import registry, training  # noqa: E402
from zoo.base import Conditions, Counts, Samples, Translates  # noqa: E402
from zoo.errors import UsageError  # noqa: E402
from zoo.machine import machine  # noqa: E402
from zoo.noise import RowNoise  # noqa: E402
from zoo.sampling import CHUNK, NEUTRAL  # noqa: E402

Found = Iterator[dict[str, Any]]
#: A measurement is the median over so many rounds, in which all that is compared takes turns.
ROUNDS = 5
#: What training can be told, beside float32 without XLA.
VARIANTS: dict[str, dict[str, Any]] = {
    "mixed_bfloat16": {"precision": "mixed_bfloat16"},
    "mixed_float16": {"precision": "mixed_float16"},
    "jit": {"jit": True},
}
#: Sides of images, all of which the convolutional models take; more examples would only take longer to read.
SIDES, EXAMPLES = [16, 32, 64], 1000


class Training:
    """A model in training, in the last phase of its preset, whose networks are the largest."""

    def __init__(self, name: str, preset: str | None, **options: Any) -> None:
        options = {"precision": "float32", "jit": False, **options}
        self.plan = training.plan(name, preset=preset, first_stage=first_stage(name, preset), **options)
        stretch = self.plan.timetable.stretches[-1]
        with self.policy():
            self.model = training.build(self.plan)
            training.begin(self.plan, self.model)
            self.model.choose_turns(stretch.start)
        self.trainer = Trainer(self.model, self.plan.batches, stretch.batch_size, stretch.start)
        #: After so many steps the same turns are due again.
        self.period = math.lcm(*(turn.every for turn in self.model.turns()))
        self.rows = stretch.batch_size

    def policy(self) -> Any:
        return training.policy(self.plan.settings["precision"])

    def seconds(self, steps: int) -> float:
        """Of one step, the mean over so many: not all need play the same turns."""
        with self.policy():
            return statistics.mean(self.trainer.seconds(steps))

    def warm_up(self) -> float:
        """Traces all that there is to trace. Returns the seconds of the first step."""
        start = time.perf_counter()
        with self.policy():
            self.trainer.seconds(0)
        first = self.trainer.moments[0] - start
        self.seconds(2 * self.period)
        return first

    def steps(self, seconds: float) -> int:
        """How many take so long: whole periods, one at least."""
        return self.period * max(1, round(seconds / (self.period * self.seconds(self.period))))


def first_stage(name: str, preset: str | None) -> Any:
    """The SavedModel that a model of two stages stands on: the shipped one, else one that is trained now."""
    wanted = training.first_stage_options(name, preset=preset)
    if wanted is None:
        return None
    try:
        return registry.resolve(f"shipped:{wanted['name']}:{wanted['preset']}").path
    except UsageError:
        run = training.train(**wanted, runs=tempfile.mkdtemp())
        assert run is not None
        return run.saved_model


def in_turns(trainings: Sequence[Training], seconds: float) -> list[float]:
    """Of a step of each the median over rounds, which take so long together for each of them."""
    steps = [each.steps(seconds / ROUNDS) for each in trainings]
    rounds = [
        [each.seconds(count) for each, count in zip(trainings, steps, strict=True)] for _ in range(ROUNDS)
    ]
    return [statistics.median(each) for each in zip(*rounds, strict=True)]


# -- what is measured --------------------------------------------------------------------------------------


def measure_training(options: argparse.Namespace) -> Found:
    """Examples a second, beside a matrix product; memory; sampling; operations."""
    each = Training(options.model, options.preset)
    yield {"preset": each.plan.preset, "dataset": each.plan.train.spec, "batch_size": each.rows}
    yield {"first_step_seconds": each.warm_up()}
    product = None if isinstance(each.model, Counts) else Product()  # there is none to compare
    repeats = 3 if options.seconds >= 1.0 else 1
    steps = each.steps(options.seconds / ROUNDS)
    times: list[float] = []
    products: list[float] = []
    for _ in range(ROUNDS):
        times.append(each.seconds(steps))
        products += product.rates(repeats) if product else []
    rate = each.rows / statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield {
        "examples_per_second": rate,
        "peak_megabytes": peak / (2**20 if sys.platform == "darwin" else 2**10),
    }
    if sampler := make_sampler(each):
        drawing, draw = sampler
        yield {"drawing": drawing, "sample_seconds": sampling.seconds(draw, 3)}
    if products:
        count, gemm = operations(each) / each.rows, statistics.median(products)
        yield {
            "operations_per_example": count,
            "matrix_product_gigaflops": gemm / 1e9,
            "share_of_matrix_product": rate * count / gemm,
        }


def measure_variants(options: argparse.Namespace) -> Found:
    """Times float32 without XLA: each variant beside that in turns."""
    plain = Training(options.model, options.preset)
    if isinstance(plain.model, Counts):
        yield {each: {"error": "it counts: there is no product to be shortened"} for each in options.variants}
        return
    plain.warm_up()
    for variant in options.variants:
        try:
            other = Training(options.model, options.preset, **VARIANTS[variant])
            first = other.warm_up()
            ours, theirs = in_turns([plain, other], options.seconds)
        except Exception as error:  # whatever keeps this one from training: the next one is tried
            yield {variant: {"error": told(error)}}
        else:
            yield {
                variant: {
                    "times_float32": ours / theirs,
                    "examples_per_second": plain.rows / theirs,
                    "float32_examples_per_second": plain.rows / ours,
                    "first_step_seconds": first,
                }
            }


def measure_batch(options: argparse.Namespace) -> Found:
    """A step with a quarter, a half and all of the batch."""
    whole = Training(options.model, options.preset)
    sizes = sorted({max(1, whole.rows // part) for part in (4, 2)})
    smaller = {size: Training(options.model, options.preset, batch_size=size) for size in sizes}
    return growth({**smaller, whole.rows: whole}, options.seconds, power=1)


def measure_image(options: argparse.Namespace) -> Found:
    """A step with images of several sides; the exponent is that over the number of pixels."""
    made = {
        side: Training(options.model, options.preset, image_size=side, limit=EXAMPLES)
        for side in options.sides
    }
    return growth(made, options.seconds, power=2)


def measure_pixels(options: argparse.Namespace) -> Found:
    """Sampling one value after another, by `benchmarks/sampling.py`; the exponent is that over the pixels."""
    for name, make in sampling.MODELS.items():
        if name.partition(",")[0] in options.model.split(","):
            keras.utils.set_random_seed(0)
            times = [
                sampling.seconds(sampling.sampling(make(side), options.rows), 3) for side in options.sides
            ]
            slope = sampling.exponent([side**2 for side in options.sides], times)
            yield {name: {"sizes": options.sides, "seconds": times, "exponent": slope}}


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "training": measure_training,
    "variants": measure_variants,
    "batch": measure_batch,
    "image": measure_image,
    "pixels": measure_pixels,
}


def growth(trainings: Mapping[int, Training], seconds: float, power: int) -> Found:
    """Seconds of a step at each size, and the exponent over the sizes to a power."""
    for each in trainings.values():
        each.warm_up()
    times = in_turns([*trainings.values()], seconds)
    slope = sampling.exponent([size**power for size in trainings], times)
    yield {"sizes": [*trainings], "seconds": times, "exponent": slope}


# -- how ---------------------------------------------------------------------------------------------------


def make_sampler(each: Training) -> tuple[str, Callable[[], object]] | None:
    """How a chunk of examples is made, and what makes it; None for a model that makes none."""
    model, data = each.model, each.plan.train.fields
    seeds = tf.range(CHUNK, dtype=tf.int64)
    if isinstance(model, Samples):
        return "sample", sampling.sampling(model, CHUNK)
    if isinstance(model, Conditions):
        values = {**NEUTRAL, "label": 0, "prompt": data["caption"][:CHUNK] if "caption" in data else ""}
        given = {
            name: tf.broadcast_to(tf.constant(values[name], spec.dtype), [CHUNK, *spec.shape[1:]])
            for name, spec in model.conditions().items()
        }
        draw = tf.function(lambda: model.sample_with(RowNoise(seeds), **given), autograph=False)
        return "sample_with", lambda: tf.nest.map_structure(lambda x: x.numpy(), draw())
    if isinstance(model, Translates):
        image = next(iter(each.plan.batches(1, each.trainer.step)))["image"]
        images = tf.gather(image, tf.range(CHUNK) % len(image))
        asked, count = model.asks()
        to = tf.range(CHUNK) % count[0] if asked == "domain" else tf.zeros((CHUNK, len(count)), tf.int32)
        turn = tf.function(lambda: model.translate(images, to), autograph=False)
        return "translate", lambda: turn().numpy()
    return None


def operations(each: Training) -> float:
    """Of one step, the mean over a period."""
    total = 0
    unused: dict[int, tuple[Any, int]] = {}  # the results themselves too, lest their ids be given again

    def count(kind: str, inputs: Any, attributes: Any, outputs: Any, *name: Any, **graph: Any) -> None:
        nonlocal total
        total += sum(unused.pop(id(x), (None, 0))[1] for x in inputs)
        if adds := multiply_adds(tf.compat.as_str(kind), inputs, attributes, outputs):
            unused[id(outputs[0])] = outputs[0], 2 * adds

    start = each.trainer.step + -each.trainer.step % each.period
    batches = [*each.plan.batches(each.period, start)]
    tf.config.run_functions_eagerly(True)
    op_callbacks.add_op_callback(count)
    try:
        for index, batch in enumerate(batches):
            each.model.choose_turns(start + index)
            each.model.train_step(batch)
    finally:
        op_callbacks.remove_op_callback(count)
        tf.config.run_functions_eagerly(False)
    return total / each.period


def multiply_adds(kind: str, inputs: Sequence[Any], attributes: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Of one operation of TensorFlow; 0 of all but products and convolutions."""
    if kind in ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        rows = max(1, outputs[0].shape[-2])
        inner = math.prod(inputs[0].shape[-2:]) // rows  # whether it is transposed or not
        return math.prod(outputs[0].shape) * inner
    if kind == "Einsum":
        settings = dict(zip(attributes[::2], attributes[1::2], strict=True))
        terms = tf.compat.as_str(settings["equation"]).partition("->")[0].split(",")
        if any("." in term for term in terms):
            raise ValueError(f"{terms} cannot be counted")
        letters = {
            letter: length
            for term, x in zip(terms, inputs, strict=True)
            for letter, length in zip(term, x.shape, strict=True)
        }
        return math.prod(letters.values())
    # A kernel is [H, W, C, filters], and each output has H * W * C of its weights; if depthwise, H * W.
    weights = -1 if kind.startswith("Conv") else 2
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        return math.prod(outputs[0].shape) * math.prod(inputs[1].shape[:weights])
    if kind in ("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"):  # as a layer the transposed one
        return math.prod(inputs[2].shape) * math.prod(inputs[1].shape[:weights])
    if kind in ("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"):
        return math.prod(inputs[2].shape) * math.prod(outputs[0].shape[:weights])
    if kind.startswith(("Conv", "DepthwiseConv", "SparseMatMul", "SparseTensorDense")):
        raise ValueError(f"{kind} cannot be counted")
    return 0


def told(error: Exception) -> str:
    """The first line of an error, and of which kind it is."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", type=words, help=f"of {', '.join(MEASUREMENTS)}, with commas between them")
    parser.add_argument("model", help="of `pixels` several, with commas between them")
    parser.add_argument("--preset", help="the default one if left out")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--variants", type=words, default=[*VARIANTS])
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--rows", type=int, default=CHUNK, help="images drawn at a time")
    options = parser.parse_args()
    print(json.dumps({"machine": machine(), "versions": training.versions()}), flush=True)
    for what in options.what:
        try:
            for found in MEASUREMENTS[what](options):
                print(json.dumps({what: found}), flush=True)
        except Exception as error:  # what fails says why in its row
            traceback.print_exc()
            print(json.dumps({what: {"error": told(error)}}), flush=True)


def words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
