"""A SavedModel as NumPy functions: what all commands run, so that what is tested is what is deployed.

A matrix product changes in its last bit with the size of its batch, and that can flip a discrete draw. So
every signature runs on chunks of `CHUNK` rows, the last one filled up with repeats of its last row: a row's
result depends neither on how many rows are asked for nor on which others they are. There is one exception:
NADE's sampler multiplies only the rows that drew a 1, so that a conditional may differ by some 1e-7 with the
other rows of the chunk, and with it a pixel whose random number lies as close to its probability.

Neither Keras nor TensorFlow Probability is imported here: a picture should come soon.

Shapes: N rows, H x W x C image, d a code.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import latents, registry
from zoo.errors import UsageError, ZooError, nearest
from zoo.latents import Part
from zoo.layers.text import split_words
from zoo.noise import RowNoise
from zoo.plain import table

#: Rows that a signature runs on at a time.
CHUNK = 64
#: Of images of any size as many as have so many pixels together.
CHUNK_PIXELS = CHUNK * 64 * 64
#: Values of rows that are asked for together in other processes: 256 MB of them, of which there are copies.
VALUES_AT_ONCE = 2**26
#: What an example can be: the name of the tensor that holds it.
MODALITIES = ("image", "features", "text", "tokens")

# The signatures whose outputs, and whose inputs, are examples.
DRAWING = ("sample", "sample_with")
READING = ("log_prob", "encode", "complete", "key_patches", "classify", "translate")
#: The value of a condition with which a sample is as without it.
NEUTRAL = {"temperature": 1.0, "top_k": 0, "prompt": ""}
#: What is filled up by reflection has to have something to reflect.
SMALLEST_SIDE = 8

Seeds = Sequence[int] | np.ndarray
Elsewhere = Callable[[Path, str, Sequence[Mapping[str, np.ndarray]]], Iterator[dict[str, np.ndarray]]]


def at_a_time(height: int, width: int) -> int:
    """How many images go through a signature together that takes any size: a matter of theirs alone."""
    return max(1, min(CHUNK, CHUNK_PIXELS // (height * width)))


def load(path: str | os.PathLike[str]) -> LoadedModel:
    """Loads a SavedModel.

    Args:
        path: the folder of a version; `zoo.load` finds it by a name.

    Raises:
        UsageError: there is no SavedModel.
        ZooError: it cannot be read.
    """
    path = Path(path)
    if not (path / "saved_model.pb").is_file():
        raise UsageError(f"{path} holds no SavedModel (saved_model.pb).")
    try:
        return LoadedModel(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ZooError(f"The SavedModel {path} cannot be read: {str(error).splitlines()[0]}") from error


class LoadedModel:
    """The signatures of one SavedModel.

    Attributes:
        path: the folder of its version.
        card: its model card; {} for a SavedModel that has none.
        name: the model's name; the folder's where there is no card.
        signatures: name -> {inputs, outputs}: tensor name -> {dtype, shape}; None is the batch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        card = path / "assets.extra/model_card.json"
        self.card: dict[str, Any] = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
        self.name = str(self.card.get("model", path.name))
        self._loaded = tf.saved_model.load(str(path))  # holds the variables that its functions read
        self._functions = dict(self._loaded.signatures)
        self._inputs = {
            name: dict(sorted(function.structured_input_signature[1].items()))
            for name, function in self._functions.items()
        }
        self.signatures = {
            name: {"inputs": table(self._inputs[name]), "outputs": table(function.structured_outputs)}
            for name, function in self._functions.items()
        }
        #: Runs chunks of a signature in other processes: path, name and inputs -> outputs of each, in order.
        self.elsewhere: Elsewhere | None = None

    # -- generation ----------------------------------------------------------------------------------------

    @functools.cached_property
    def modality(self) -> str:
        """What an example is: image, features, text or tokens."""
        return (self._modalities("outputs", DRAWING) or self._modalities("inputs", READING))[0]

    @functools.cached_property
    def takes(self) -> str:
        """The tensor in which examples are given: the modality's, save that text is given as tokens."""
        return (self._modalities("inputs", READING) or self._modalities("outputs", DRAWING))[0]

    def _modalities(self, side: str, signatures: Sequence[str]) -> list[str]:
        """The modalities on one side of these signatures."""
        tables = [self.signatures[name][side] for name in signatures if name in self.signatures]
        return [name for table in tables for name in MODALITIES if name in table]

    @property
    def draws(self) -> bool:
        """Whether it draws examples."""
        return any(name in self.signatures for name in DRAWING)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What a sample can be conditioned on, among label, prompt, code, temperature, top_k."""
        inputs = self.signatures.get("sample_with", {"inputs": {}})["inputs"]
        return tuple(name for name in inputs if name != "seed")

    def iter_samples(
        self, seeds: Seeds, candidates: int | None = None, *, strict: bool = True, **conditions: Any
    ) -> Iterator[np.ndarray]:
        """One example a seed, in order, `CHUNK` at a time: memory does not grow with their number.

        Args:
            seeds: integers [N], not negative.
            candidates: draw so many for each, and keep the one that fits the conditions best.
            strict: refuse a prompt with what the model does not know, or with more than it reads; captions of
                data are read as far as they can be: see `unread`.
            **conditions: those of the model, each one value for all rows, or [N]. What is left out of
                temperature, top_k and prompt changes nothing.

        Yields:
            Examples [at most CHUNK, ...]: images float32 [.., H, W, C] in [0, 1].

        Raises:
            UsageError: the model cannot, a condition is missing or unknown, or a seed is negative.
        """
        seeds = _seeds(seeds)
        if not self.draws:
            self.require("sample")
        own = self.conditions
        if unknown := [name for name in conditions if name not in own]:
            takes = f"it takes {', '.join(own)}" if own else "it takes no conditions"
            raise UsageError(f"{self.name} cannot be given a {unknown[0]}: {takes}.")
        if candidates is not None:
            self.require("sample_best")
            if candidates < 1:
                raise UsageError("candidates must be at least 1.")
        if conditions or candidates is not None or "sample" not in self.signatures:
            self.require("sample_with")
            # Where nothing can be drawn without a prompt, an empty one is no prompt.
            free = [name for name in NEUTRAL if name != "prompt" or "sample" in self.signatures]
            conditions = {name: NEUTRAL[name] for name in own if name in free} | conditions
            if missing := [name for name in own if name not in conditions]:
                raise UsageError(f"{self.name} can draw nothing without a {' and a '.join(missing)}.")
            values = {name: self._condition(name, value, len(seeds)) for name, value in conditions.items()}
            if strict and "prompt" in values:
                self._check_prompts([*values["prompt"]])
            if candidates is None:
                return self._stream("sample_with", self.modality, {"seed": seeds, **values})
            values["candidates"] = np.full(len(seeds), candidates, np.int32)
            return self._stream("sample_best", self.modality, {"seed": seeds, **values})
        return self._stream("sample", self.modality, {"seed": seeds})

    def sample(self, seeds: Seeds, **conditions: Any) -> np.ndarray:
        """One example a seed, in order: `iter_samples` in one array."""
        return np.concatenate([*self.iter_samples(seeds, **conditions)])

    def prior(self, seeds: Seeds) -> np.ndarray:
        """Codes float32 [N, d] from the prior: `sample(s)` is `decode(prior(s))`."""
        return self.run("prior", seed=_seeds(seeds))["code"]

    def decode(self, code: np.ndarray) -> np.ndarray:
        """The examples of codes [N, d]."""
        return self.run("decode", code=code)[self.modality]

    @functools.cached_property
    def prior_parts(self) -> tuple[Part, ...]:
        """The family of the prior of each unit of the code, in order, as the model card has it."""
        size = self.signatures["decode"]["inputs"]["code"]["shape"][1]
        found = self.card.get("prior")
        if isinstance(found, list):
            return tuple(Part(**each) for each in found)
        # SavedModels of before cards had it: the model's own file says the family of all but the class.
        known = registry.card(self.name) if self.name in registry.names() else {}
        family: latents.Family = known.get("prior", "other")
        classes = self.card.get("config", {}).get("classes") or 0
        parts = (Part(family, size - classes), Part("one_hot", classes))
        return tuple(part for part in parts if part.size)

    @property
    def encoded_parts(self) -> tuple[Part, ...]:
        """What each number of `encode` is, in order; () where nothing is known of them."""
        if found := self.card.get("encodes"):
            return tuple(Part(**each) for each in found)
        if "encode" not in self.signatures or "decode" not in self.signatures:
            return ()
        size = self.signatures["encode"]["outputs"]["code"]["shape"][1]
        parts = self.prior_parts
        return parts if sum(part.size for part in parts) == size else ()

    @functools.cached_property
    def tokens(self) -> dict[str, Any]:
        """Of codes that are grids of tokens their `grid`, [h, w], and the `values` each takes; else {}."""
        return dict(self.card.get("tokens", {}))

    def suppose_prior(self, mean: np.ndarray, factor: np.ndarray, words: str) -> None:
        """Lets a model that decodes, and has no prior, draw examples: from codes of a Gaussian.

        Nothing in its training made such codes decode to anything. From here on it has the signatures `prior`
        and `sample`, and its card says `supposed_prior`.

        Args:
            mean: of the Gaussian, [d].
            factor: F [d, d], where F F^T is its covariance.
            words: what it is, for receipts.

        Raises:
            UsageError: it has a prior of its own, or its codes are no numbers.
        """
        if "prior" in self.signatures:
            raise UsageError(f"{self.name} has a prior of its own, and needs no other.")
        self.require("decode")
        code, modality = self._inputs["decode"]["code"], self.modality
        if not code.dtype.is_floating:
            raise UsageError(f"The codes of {self.name} are tokens: no Gaussian draws them.")
        decode = self._functions["decode"]

        def prior(seed: tf.Tensor) -> dict[str, tf.Tensor]:
            normal = RowNoise(seed).normal("code", (code.shape[1],))
            return {"code": mean.astype(np.float32) + normal @ factor.T.astype(np.float32)}

        def sample(seed: tf.Tensor) -> dict[str, tf.Tensor]:
            return {modality: decode(**prior(seed))[modality]}

        seeds = {"seed": tf.TensorSpec([None], tf.int64, "seed")}
        outputs = {"prior": {"code": code}, "sample": {modality: decode.structured_outputs[modality]}}
        for name, function in (("prior", prior), ("sample", sample)):
            self._functions[name], self._inputs[name] = tf.function(function, autograph=False), seeds
            self.signatures[name] = {"inputs": table(seeds), "outputs": table(outputs[name])}
        self.card = {
            **self.card,
            "prior": [{"family": "other", "size": int(code.shape[1])}],
            "supposed_prior": words,
        }

    def interpolate(self, a: np.ndarray, b: np.ndarray, frames: int) -> np.ndarray:
        """Examples on the way from one code to another: see `zoo.latents.between`.

        Args:
            a, b: codes [d].
            frames: how many, both ends included; at least 2.

        Returns:
            Examples [frames, ...].
        """
        if frames < 2:
            raise UsageError("an interpolation has at least 2 frames.")
        if self.tokens:
            raise UsageError(f"The codes of {self.name} are tokens: nothing lies between two of them.")
        return self.decode(latents.between(a, b, frames, self.prior_parts))

    def interpolate_prompts(self, prompt: str, other: str, frames: int, seed: int = 0) -> np.ndarray:
        """Examples on the way from one prompt to another; what no prompt says stays as it is.

        Args:
            prompt, other: the two ends.
            frames: how many, both ends included; at least 2.
            seed: of what the prompts leave open.

        Returns:
            Examples [frames, ...].
        """
        if frames < 2:
            raise UsageError("an interpolation has at least 2 frames.")
        self.require("sample_between")
        self._check_prompts([prompt, other])
        return self.run(
            "sample_between",
            seed=_seeds([seed] * frames),
            prompt=np.full(frames, prompt, object),
            other_prompt=np.full(frames, other, object),
            share=np.linspace(0.0, 1.0, frames),
        )[self.modality]

    def traverse(self, code: np.ndarray, unit: int, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Examples of a code whose unit takes one value after another: see `zoo.latents.moved`.

        Args:
            code: [d].
            unit: which of its units moves, from 0.
            values: [F].

        Returns:
            Examples [F, ...].
        """
        if not 0 <= unit < len(code):
            raise UsageError(f"the code of {self.name} has the units 0 to {len(code) - 1}, not {unit}.")
        return self.decode(latents.moved(code, unit, np.asarray(values, np.float32), self.prior_parts))

    # -- density -------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str | None:
        """`exact` or `bound`: what `log_prob` gives; None where the model has no likelihood."""
        if "log_prob" not in self.signatures:
            return None
        return "bound" if self.suffix == "_bound" else "exact"

    @property
    def suffix(self) -> str:
        """What the names of the outputs of `log_prob` end with: `_bound`, or what of an example is scored.

        Nothing where it is the likelihood of the example itself.
        """
        outputs = self.signatures["log_prob"]["outputs"]
        return next(name for name in outputs if name.startswith("log_prob")).removeprefix("log_prob")

    def log_prob(
        self,
        x: np.ndarray,
        seeds: Seeds | None = None,
        importance_samples: int = 1,
        prompts: Sequence[str] | np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """The log-likelihood of each example, or a lower bound on it.

        Args:
            x: examples [N, ...]: images float32 in [0, 1].
            seeds: of a bound's draws, [N]; 0 .. N-1 by default.
            importance_samples: draws of the code a row, for a bound; it rises to the likelihood with them.
            prompts: [N], the text that each example is given by, where the likelihood is conditional.

        Returns:
            `log_prob` nats float32 [N] and `bits_per_dim` [N]; or `log_prob_bound` and `bits_per_dim_bound`,
            or `log_prob_tokens` and `bits_per_dim_tokens`: both names end with `suffix`.

        Raises:
            UsageError: the model has no likelihood, or the examples do not fit.
        """
        self.require("log_prob")
        if self.given_text:
            if prompts is None:
                raise UsageError(f"{self.name} scores an example given its text, and no prompts were given.")
            return self.run("log_prob", **{self.takes: x}, prompt=np.asarray(prompts, object))
        if self.kind == "exact":
            return self.run("log_prob", **{self.takes: x})
        if importance_samples < 1:
            raise UsageError("importance_samples must be at least 1.")
        return self.run(
            "log_prob",
            **{self.takes: x},
            seed=_seeds(range(len(x)) if seeds is None else seeds),
            importance_samples=np.full(len(x), importance_samples, np.int32),
        )

    def elbo_terms(self, x: np.ndarray, seeds: Seeds | None = None) -> dict[str, np.ndarray]:
        """The two terms of the evidence lower bound of each example, by one draw of its code.

        Args:
            x: examples [N, ...].
            seeds: of the draws, [N]; 0 .. N-1 by default.

        Returns:
            `log_likelihood`, log p(x|z), and `kl`, KL(q(z|x) || p(z)), nats float32 [N] each: the bound is
            the first less the second.

        Raises:
            UsageError: the model has no such bound.
        """
        return self.run("elbo", **{self.takes: x}, seed=_seeds(range(len(x)) if seeds is None else seeds))

    @property
    def given_text(self) -> bool:
        """Whether the likelihood of an example is one given its text."""
        return "prompt" in self.signatures.get("log_prob", {"inputs": {}})["inputs"]

    def log_conditionals(self, x: np.ndarray) -> np.ndarray:
        """log p of each token given those before it, nats float32 [N, T], of tokens int32 [N, T]."""
        return self.run("log_conditionals", **{self.takes: x})["log_conditionals"]

    # -- representation ------------------------------------------------------------------------------------

    def encode(self, x: np.ndarray, draw_seeds: Seeds | None = None) -> np.ndarray:
        """The code of each example: its mean, or a draw.

        Args:
            x: examples [N, ...].
            draw_seeds: [N]: draw codes with these seeds.

        Returns:
            float32 [N, d].
        """
        if draw_seeds is None:
            return self.run("encode", **{self.takes: x})["code"]
        return self.run("encode_draw", **{self.takes: x}, seed=_seeds(draw_seeds))["code"]

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """What the decoder makes of each example's mean code, like x."""
        return self.run("reconstruct", **{self.takes: x})["reconstruction"]

    def complete(self, x: np.ndarray, known: np.ndarray, seeds: Seeds | None = None) -> np.ndarray:
        """Examples whose unknown values are drawn.

        Args:
            x: examples [N, ...].
            known: [N, H, W] for images, else of the shape of `x`; what is not 0 is known and stays.
            seeds: of the draws, [N]; 0 .. N-1 by default.

        Returns:
            Like x.
        """
        seeds = _seeds(range(len(x)) if seeds is None else seeds)
        return self.run("complete", **{self.takes: x}, known=known, seed=seeds)["completed"]

    @property
    def patches_shape(self) -> tuple[int, ...]:
        """(N, ...): how many patches an example is made of at most, and the shape of each."""
        self.require("assemble")
        return tuple(self.signatures["assemble"]["inputs"]["patches"]["shape"][1:])

    def key_patches(self, x: np.ndarray) -> np.ndarray:
        """The patches [M, N, ...] that tell most of examples [M, ...], the best first."""
        return self.run("key_patches", **{self.modality: x})["patches"]

    def assemble(
        self, patches: np.ndarray, given: np.ndarray | None = None, seeds: Seeds | None = None
    ) -> dict[str, np.ndarray]:
        """Examples that hold patches; the order of these does not count.

        Args:
            patches: [M, N, ...]: see `patches_shape`.
            given: [M, N]; those that are 0 are not there, and what stands in their place does not count; all
                are by default.
            seeds: of the draws, [M]; 0 .. M-1 by default.

        Returns:
            The examples by the name of their modality, `image`, and `places`, where in them the patches lie:
            of images float32 [M, H, W] in [0, 1].
        """
        patches = np.asarray(patches)
        given = np.ones(patches.shape[:2], bool) if given is None else given
        seeds = _seeds(range(len(patches)) if seeds is None else seeds)
        return self.run("assemble", patches=patches, given=given, seed=seeds)

    def classify(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The class of each example.

        Returns:
            `probabilities` float32 [N, K] and `class_index` int32 [N], the likeliest; `class_names` has them
            by name. Of a model that knows attributes `attribute_index` int32 [N, A] too, see `attributes`.
        """
        return self.run("classify", **{self.takes: x})

    # -- translation ---------------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of the domains that it translates between; () where it changes attributes."""
        return tuple(self.card.get("dataset", {}).get("domains", ())) if self.asks == "domain" else ()

    @property
    def asks(self) -> str | None:
        """What is asked for: `domain` or `attributes`; None of a model that does not translate."""
        inputs = self.signatures.get("translate", {"inputs": {}})["inputs"]
        return next((name for name in inputs if name != "image"), None)

    def target(self, to: str | int | Mapping[str, Any] | np.ndarray) -> np.ndarray:
        """What is asked for, as the signature takes it.

        Args:
            to: a domain by its name or number; of attributes a value of each that changes, by name:
                `{"hair": "black", "young": 1}`.

        Returns:
            int32 [], a domain; or [A], the values of attributes, -1 for those that stay as they are. An array
            is given back as it is.

        Raises:
            UsageError: there is no such domain, attribute or value; those that there are are named.
        """
        self.require("translate")
        if isinstance(to, np.ndarray):
            self._check_target(to)
            return to
        if self.asks == "domain":
            if isinstance(to, Mapping):
                raise UsageError(f"{self.name} translates to a domain: {', '.join(self.domains)}.")
            if to in self.domains:
                return np.array(self.domains.index(str(to)), np.int32)
            if str(to).isdecimal() and int(to) < len(self.domains):
                return np.array(int(to), np.int32)
            known = ", ".join(self.domains)
            raise UsageError(
                f"{self.name} knows no domain {to!r}; it knows {known}.{nearest(str(to), self.domains)}"
            )
        names = [*self.attributes]
        told = "; ".join(f"{name}: {', '.join(values)}" for name, values in self.attributes.items())
        if not isinstance(to, Mapping):
            raise UsageError(f"{self.name} changes attributes: say which and how. It knows {told}.")
        found = np.full(len(names), -1, np.int32)
        for name, value in to.items():
            if name not in names:
                raise UsageError(
                    f"{self.name} knows no attribute {name!r}; it knows {told}.{nearest(name, names)}"
                )
            values = self.attributes[name]
            if str(value) not in values:
                raise UsageError(
                    f"{name} is one of {', '.join(values)}, not {value!r}.{nearest(str(value), values)}"
                )
            found[names.index(name)] = values.index(str(value))
        return found

    def _check_target(self, to: np.ndarray) -> None:
        """Refuses numbers of domains [...], or of values of attributes [..., A], that there are not."""
        if self.asks == "domain":
            if self.domains and not ((to >= 0) & (to < len(self.domains))).all():
                raise UsageError(f"{self.name} knows the domains 0 to {len(self.domains) - 1}.")
        elif to.ndim and to.shape[-1] == len(self.attributes):
            for column, (name, values) in enumerate(self.attributes.items()):
                if not ((to[..., column] >= -1) & (to[..., column] < len(values))).all():
                    raise UsageError(
                        f"{self.name} numbers the values of {name} 0 to {len(values) - 1}, and -1 as it is."
                    )

    def translate(self, x: np.ndarray, to: str | int | Mapping[str, Any] | np.ndarray) -> np.ndarray:
        """Images in another domain, or with other attributes.

        Args:
            x: float32 [N, H, W, C] in [0, 1], of any size.
            to: see `target`; or one for each image, int [N] or [N, A].

        Returns:
            Like x.

        Raises:
            UsageError: it cannot, or there is no such domain, attribute or value.
        """
        target = self.target(to)
        if np.ndim(target) < len(self._inputs["translate"][str(self.asks)].shape):
            target = np.broadcast_to(target, (len(x), *np.shape(target)))
        if min(np.shape(x)[1:3], default=0) < SMALLEST_SIDE:
            raise UsageError(f"images to be translated are at least {SMALLEST_SIDE}x{SMALLEST_SIDE}.")
        return self.run("translate", image=x, **{str(self.asks): target})["translated"]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class of the data that the model was trained on."""
        return tuple(self.card.get("dataset", {}).get("class_names", ()))

    @property
    def attributes(self) -> dict[str, list[str]]:
        """The name of each attribute of the data that the model was trained on, and of each of its values."""
        return dict(self.card.get("dataset", {}).get("attributes", {}))

    # -- running a signature -------------------------------------------------------------------------------

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs of a signature, [N, ...] each, for inputs [N, ...] by name.

        Raises:
            UsageError: the model has no such signature, or the inputs do not fit it.
        """
        parts = list(self._chunks(signature, inputs))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _stream(self, signature: str, output: str, inputs: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        return (part[output] for part in self._chunks(signature, inputs))

    def _chunks(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Runs a signature on `CHUNK` rows at a time. What does not fit is refused now, not when iterated."""
        self.require(signature)
        checked = {
            name: self._fitting(name, value, self._inputs[signature][name]) for name, value in inputs.items()
        }
        rows = len(next(iter(checked.values())))
        if rows == 0 or any(len(value) != rows for value in checked.values()):
            counts = ", ".join(f"{len(value)} of {name}" for name, value in checked.items())
            raise UsageError(f"{signature} of {self.name} needs as many rows of each input: got {counts}.")
        function, size = self._functions[signature], CHUNK
        if any(None in self._inputs[signature][name].shape[1:] for name in checked):
            size = min(at_a_time(*value.shape[1:3]) for value in checked.values() if value.ndim > 3)

        def chunk(start: int) -> dict[str, np.ndarray]:
            index = np.minimum(np.arange(start, start + size), rows - 1)
            return {name: value[index] for name, value in checked.items()}

        def work() -> Iterator[dict[str, np.ndarray]]:
            starts = range(0, rows, size)
            # What was supposed of the model is in this process alone.
            if self.elsewhere and len(starts) > 1 and signature in self._loaded.signatures:
                found = self.elsewhere(self.path, signature, [*map(chunk, starts)])
            else:
                found = map(run, map(chunk, starts))
            for start, outputs in zip(starts, found, strict=True):
                yield {name: value[: rows - start] for name, value in outputs.items()}

        def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
            return {name: value.numpy() for name, value in outputs.items()}

        return work()

    def function(self, signature: str) -> Any:
        """What runs a signature on one chunk of tensors."""
        return self._functions[signature]

    @property
    def rows_at_once(self) -> int:
        """How many rows are worth being asked for together: a chunk, or many that run in other processes."""
        if self.elsewhere is None:
            return CHUNK
        specs = [
            spec for table in self.signatures.values() for side in table.values() for spec in side.values()
        ]
        largest = max(math.prod(size or 1 for size in spec["shape"][1:]) for spec in specs)  # values of a row
        return CHUNK * max(1, min(1024, VALUES_AT_ONCE // (largest * CHUNK)))

    def require(self, signature: str) -> None:
        """Raises UsageError, saying which models can, where this one cannot."""
        if signature in self.signatures:
            return
        capability, verb = _VERBS.get(signature, (signature, signature))
        able = [name for name in registry.names() if capability in registry.card(name)["capabilities"]]
        why = f"{self.name} cannot {verb}"
        if signature == "log_prob" and self.card.get("likelihood") == "implicit":
            why = f"{self.name} has no likelihood: it is implicit"
        raise UsageError(f"{why}. Models that can {verb}: {', '.join(able) or 'none'}.")

    def _condition(self, name: str, value: Any, rows: int) -> np.ndarray:
        """A condition's value for each row."""
        spec = self._inputs["sample_with"][name]
        value = np.asarray(value, spec.dtype.as_numpy_dtype)
        if value.ndim < spec.shape.rank:
            value = np.broadcast_to(value, (rows, *value.shape))
        classes = self.card.get("config", {}).get("classes")
        if name == "label" and classes and not ((value >= 0) & (value < classes)).all():
            raise UsageError(f"{self.name} knows the labels 0 to {classes - 1}.")
        if name == "code":
            self._check_code(value)
        return value

    def _check_code(self, code: np.ndarray) -> None:
        """Refuses what a part of a code cannot be; NaN is no value, and leaves the part to the seed.

        Args:
            code: [N, parts]: the number of a category, a number, or 0 or 1.
        """
        column = 0
        for part in self.encoded_parts:
            width = 1 if part.family == "one_hot" else part.size
            values, first = code[:, column : column + width], column
            column += width
            highest = {"one_hot": part.size - 1, "binary": 1}.get(part.family)
            if highest is not None:
                given = values[~np.isnan(values)]
                if not (np.isin(given, np.arange(highest + 1))).all():
                    raise UsageError(
                        f"part {first} of the code of {self.name} is a whole number from 0 to {highest}."
                    )

    @property
    def _known(self) -> tuple[str, ...]:
        """The symbols of a prompt; () where all are."""
        config = self.card.get("config", {})
        return tuple(config.get("vocabulary") or config.get("source_vocabulary") or ())

    def _symbols(self, prompts: Sequence[str]) -> tuple[list[list[str]], str]:
        """The words of each prompt or its characters, and which of them these are."""
        if self.card.get("config", {}).get("text") != "words":
            return [list(prompt) for prompt in prompts], "characters"
        found = split_words(tf.constant([*prompts])).to_list()
        return [[word.decode() for word in words] for words in found], "words"

    def _check_prompts(self, prompts: list[str]) -> None:
        """Refuses what is not in the model's vocabulary, and more tokens than it reads."""
        known, longest = self._known, self.card.get("longest_prompt")
        prompts = list(dict.fromkeys(prompts))
        texts, unit = self._symbols(prompts)
        for prompt, text in zip(prompts, texts, strict=True):
            if known and (lacking := [each for each in dict.fromkeys(text) if each not in known]):
                told = ", ".join(map(repr, lacking[:5]))
                words = [each for each in lacking if unit == "words" and any(map(str.isalnum, each))]
                hint = next(filter(None, (nearest(word, known) for word in words)), "")
                hint = hint or (" Use other words." if words else " Leave out what it does not know.")
                raise UsageError(f"{self.name} knows no {told}, which the prompt {prompt!r} has.{hint}")
            if longest and len(text) > longest:
                raise UsageError(
                    f"{self.name} reads at most {longest} {unit} of a prompt, and {prompt!r} has {len(text)}."
                )

    def unread(self, prompts: Sequence[str] | np.ndarray) -> str:
        """What of texts the model does not read, in words: the shares that it does not know, and cuts.

        Args:
            prompts: [N], not what a user typed, which is refused, but captions of data.

        Returns:
            A line; "" where it reads all of them.
        """
        known, longest = frozenset(self._known), self.card.get("longest_prompt")
        prompts, counts = np.unique(np.asarray(prompts, str), return_counts=True)
        texts, unit = self._symbols(prompts.tolist())
        unknown = [sum(each not in known for each in text) if known else 0 for text in texts]
        cut = [len(text) > (longest or len(text)) for text in texts]
        told = []
        if any(unknown):
            share = counts @ unknown / (counts @ [len(text) for text in texts])
            told.append(f"{share:.2%} of the {unit} of the captions are unknown to {self.name}")
        if any(cut):
            told.append(f"{counts @ cut / counts.sum():.2%} of the captions are cut after {longest} {unit}")
        return ", ".join(told)

    def _fitting(self, name: str, value: Any, spec: tf.TensorSpec) -> np.ndarray:
        """An input as an array of its spec's dtype."""
        value = np.asarray(value)
        if name in ("image", "patches") and value.dtype.kind != "f":
            raise UsageError(
                f"images hold numbers from 0 to 1, got {value.dtype}: divide by the highest level."
            )
        if not spec.shape.is_compatible_with(value.shape):
            wanted, got = (
                " x ".join("any" if size is None else str(size) for size in shape)
                for shape in (spec.shape[1:], value.shape[1:])
            )
            raise UsageError(
                f"{self.name} takes {name} rows of shape {wanted}: got {got or 'single values'}."
            )
        return value.astype(spec.dtype.as_numpy_dtype, copy=False)


# Signature -> the capability in a model's CARD that gives it, and what a user would call it.
_VERBS = {
    "log_prob": ("score", "score"),
    "sample_with": ("sample_with", "be conditioned"),
    "sample_best": ("rank", "choose among candidates"),
    "prior": ("interpolate", "draw codes, which takes a prior"),
    "sample_between": ("blend", "go from one prompt to another"),
    "encode_draw": ("reconstruct", "draw codes"),
    "log_conditionals": ("score", "score tokens"),
    "elbo": ("score", "tell the terms of a bound"),
    "assemble": ("assemble", "be given patches"),
    "key_patches": ("assemble", "be given patches"),
}


def _seeds(seeds: Any) -> np.ndarray:
    """Seeds as int64 [N], none of them negative."""
    values = np.asarray(seeds)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu":
        raise UsageError("seeds are a list of one or more whole numbers.")
    if (values < 0).any():
        raise UsageError(f"seeds must not be negative: got {values.min()}.")
    return values.astype(np.int64)
