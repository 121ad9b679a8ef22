"""Every model's `tiny` run and its SavedModel, made once for all tests and all processes of a session.

`make test` tries one preset of each model and what no other one tries; `make test-all` tries all.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from zoo import registry
from zoo.files import lock

#: Every preset whose name begins so is made for these tests.
TINY = "tiny"
#: Of the further ones those that are tried always: the only text, and a turn that is played several times.
ALWAYS = {("rnn", "tiny_text"), ("dcgan", "tiny_wgan")}
#: One that samples given a label, which other processes are asked for always.
LABELLED = ("vae", "tiny_conditional")
#: What strains training by several at once: two turns and BatchNorm, three turns, networks that grow, a pool
#: of images, counts.
STRAINING = ("dcgan", "aae", "progan", "cyclegan", "markov")
ROWS = 4
# A repeat, and one above 32 bits.
SEEDS = np.array([0, 7, 7, 12_345_678_901])


@dataclasses.dataclass(frozen=True)
class Subject:
    """One model after a run of a tiny preset.

    Attributes:
        name: of the model.
        preset: of the run.
        run: its finished run.
        runs: where those of all models live.
    """

    name: str
    preset: str
    run: object
    runs: Path

    @property
    def saved(self) -> Path:
        return self.run.saved_model

    @functools.cached_property
    def plan(self):
        from zoo import training

        return training.plan(self.name, preset=self.preset, runs=self.runs)

    @functools.cached_property
    def loaded(self):
        from zoo import sampling

        return sampling.load(self.saved)

    @functools.cached_property
    def raw(self):
        """The SavedModel as TensorFlow loads it."""
        return self.loaded._loaded

    @functools.cached_property
    def model(self):
        """The Python model, with the weights of the SavedModel."""
        from zoo.checkpoints import assign
        from zoo.exporting import saved_weights

        model = self.fresh_model()
        arrays = saved_weights(self.saved)
        ours = model.weights_by_name()
        assert arrays.keys() <= ours.keys()
        assign({name: ours[name] for name in arrays}, arrays)
        model.enter(self.run.record["step"] - 1)
        return model

    def fresh_model(self):
        """A new Python model, compiled, before its first step."""
        from zoo import training

        model = training.build(self.plan)
        training.begin(self.plan, model)
        return model

    def batches(self, steps: int):
        """The first batches of the run, a dataset."""
        return self.plan.batches(steps)

    def first_step(self, strategy) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """All that a checkpoint holds before and after the first step, under a strategy.

        Plain descent: a step is the gradient, and no optimizer blows up the last bit of a small one. A second
        step would: where a loss has kinks, as cyclegan's, rounding puts a value on the other side of one.
        """
        import keras

        from zoo import checkpoints

        with strategy.scope():
            model = self.fresh_model()
            descent = {turn: keras.optimizers.SGD(0.1) for turn in model.turn_optimizers}
            model.compile(descent, seed=1, averages=self.plan.settings["averages"])
        start = checkpoints.values(model.state())
        model.fit(self.batches(1), epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)
        return start, checkpoints.values(model.state())

    def assert_trained_alike(self, start, one, several) -> None:
        """That several replicas came where one did, from `start`."""
        assert one.keys() == several.keys()
        for name, end in one.items():
            told = f"{self.name} {name}"
            if end.dtype.kind != "f":
                np.testing.assert_array_equal(several[name], end, told)
                continue
            moved, apart = np.linalg.norm(end - start[name]), np.linalg.norm(several[name] - end)
            assert apart <= 1e-3 * moved + 1e-6 * np.linalg.norm(end) + 1e-7, (told, moved, apart)

    @functools.cached_property
    def requests(self) -> dict[str, dict[str, np.ndarray]]:
        """Inputs of `ROWS` rows for each signature."""
        return {
            name: {tensor: self._input(name, tensor, spec) for tensor, spec in table["inputs"].items()}
            for name, table in self.loaded.signatures.items()
        }

    def _input(self, signature: str, name: str, spec: Mapping) -> np.ndarray:
        if name == "seed":
            return SEEDS
        if name == self.loaded.takes:
            return next(iter(self.batches(1)))[name][:ROWS].numpy()
        if name == "code" and signature == "decode":
            if "prior" in self.loaded.signatures:
                return self.loaded.prior(SEEDS)
            return self.loaded.encode(self._input("encode", self.loaded.takes, {}))
        if name == "importance_samples":
            return np.array([1, 3, 11, 2], np.int32)
        if name == "candidates":
            return np.array([1, 3, 2, 1], np.int32)
        if name == "label":
            return np.arange(ROWS, dtype=np.int32)
        if name == "domain":
            return np.arange(ROWS, dtype=np.int32) % len(self.loaded.domains)
        if name == "temperature":
            return np.ones(ROWS, np.float32)
        if name == "prompt":
            return np.array(["a red circle", "a", "", "red"], object)
        if name == "other_prompt":
            return np.array(["", "a small blue ring", "a", "red"], object)
        if name == "share":
            return np.array([0.0, 0.25, 0.5, 1.0], np.float32)
        random = np.random.default_rng(0).random([ROWS, *spec["shape"][1:]])
        if name in ("known", "given"):
            return random < 0.5
        if name == "patches":
            return random.astype(np.float32)
        return np.zeros([ROWS, *spec["shape"][1:]], spec["dtype"])


@pytest.fixture(scope="session", autouse=True)
def few_batches_for_statistics():
    """Statistics of BatchNorm, measured at each look at a model, from two batches: twenty take seconds."""
    from zoo import training

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STATISTICS_BATCHES", 2)
        yield


@pytest.fixture(scope="session")
def subject_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Subject]:
    """The subject of a model and a preset; whichever process of the session asks first trains it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    @functools.cache
    def find(name: str, preset: str) -> Subject:
        from zoo import training

        if first := training.first_stage_options(name, preset=preset):
            find(first["name"], first["preset"])  # the same run, where the data is the same
        path = folder / f"{name}-{preset}"
        # Nobody looks at the curves of these runs, which take a second each.
        with lock(path), pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "draw_results", lambda run: None)
            run = training.train(name, preset=preset, run_dir=path, runs=folder)
        return Subject(name, preset, run, folder)

    return find


def tiny_presets() -> list[tuple[str, str]]:
    """Model and preset of all that is tested."""
    return [
        (name, preset)
        for name in registry.names()
        for preset in registry.presets(name)
        if preset.startswith(TINY)
    ]


def always(name: str, preset: str) -> bool:
    """Whether it is tested where slow tests are left out."""
    return preset == TINY or (name, preset) in ALWAYS


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(
            (name, preset),
            marks=[pytest.mark.xdist_group(name), *([] if always(name, preset) else [pytest.mark.slow])],
            id=name if preset == TINY else f"{name}-{preset.removeprefix(TINY).strip('_')}",
        )
        for name, preset in tiny_presets()
    ],
)
def subject(request: pytest.FixtureRequest, subject_of: Callable[[str, str], Subject]) -> Subject:
    """Each model in turn."""
    return subject_of(*request.param)


@pytest.fixture(scope="session", params=["always", pytest.param("others", marks=pytest.mark.slow)])
def subjects(request: pytest.FixtureRequest, subject_of: Callable[[str, str], Subject]) -> list[Subject]:
    """Models for what starts one process for all of them: those that are tested always, or the others."""
    chosen = [each for each in tiny_presets() if always(*each) or each == LABELLED]
    if request.param == "others":
        chosen = [each for each in tiny_presets() if each not in chosen]
    return [subject_of(*each) for each in chosen]


@pytest.fixture(scope="session", params=["straining", pytest.param("others", marks=pytest.mark.slow)])
def subjects_together(
    request: pytest.FixtureRequest, subject_of: Callable[[str, str], Subject]
) -> list[Subject]:
    """Models for workers that train them together: those that strain most, or the others."""
    straining = [(name, TINY) for name in STRAINING]
    others = [each for each in tiny_presets() if always(*each) and each not in straining]
    return [subject_of(*each) for each in (straining if request.param == "straining" else others)]
