"""The part of a model that draws nothing, as LiteRT and ONNX; `gmzoo export --format`."""

from __future__ import annotations

import dataclasses
import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import converting, registry, sampling
from zoo.base import configure
from zoo.cli.main import main
from zoo.errors import UsageError, ZooError
from zoo.exporting import export

pytestmark = pytest.mark.xdist_group("converting")

ONNX = all(importlib.util.find_spec(name) for name in converting.FORMATS["onnx"].needs)
FORMATS = [
    "litert",
    pytest.param("onnx", marks=pytest.mark.skipif(not ONNX, reason="the extra onnx is not installed")),
]


def make(folder, name: str, **config) -> sampling.LoadedModel:
    """A small model with fresh weights, as a SavedModel."""
    keras.utils.set_random_seed(0)
    values = {**registry.presets(name)["tiny"]["config"], "image_shape": [8, 8, 1], **config}
    model = registry.model_class(name)(configure(registry.model_class(name).config_class(), values))
    return sampling.load(export(model, folder / name / "1", {"model": name, "config": values}))


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> sampling.LoadedModel:
    return make(tmp_path_factory.mktemp("converting"), "gan")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_parts_without_a_seed_are_written_and_give_the_same(gan, kind, tmp_path):
    found = converting.convert(gan, tmp_path / "out", kind)
    wanted = converting.FORMATS[kind]
    assert [path.stem for path in found] == ["decode", "encode"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(path.name for path in found), "model_card.json", "model_card.md",
    }  # fmt: skip
    assert all(difference <= converting.TOLERANCE for difference in found.values())
    code = gan.prior(range(5, 12))
    content = (tmp_path / f"out/decode{wanted.ending}").read_bytes()
    given, error = converting.quietly(lambda: wanted.run(content, {"code": code}))
    assert error is None
    np.testing.assert_allclose(given["image"], gan.decode(code), atol=1e-4)
    with pytest.raises(UsageError, match="out exists"):
        converting.convert(gan, tmp_path / "out", kind)


def test_other_numbers_are_refused_and_nothing_is_left(gan, tmp_path, monkeypatch):
    wrong = dataclasses.replace(
        converting.FORMATS["litert"],
        convert=lambda path, signature: b"",
        run=lambda content, inputs: {"image": gan.decode(inputs["code"]) + np.float32(2e-4)},
    )
    monkeypatch.setitem(converting.FORMATS, "litert", wrong)
    with pytest.raises(ZooError, match="decode of gan differs by 0.0002 in LiteRT: nothing was written."):
        converting.convert(gan, tmp_path / "out", "litert")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shapes", [((3, 1), (1, 4)), ((1,), (2, 3, 5)), ((4, 5), (4, 5))])
@pytest.mark.skipif(not ONNX, reason="the extra onnx is not installed")
def test_broadcast_args_in_onnx(shapes):
    """The operation that tf2onnx lacks, of shapes that are known only when it runs."""
    import tf2onnx

    function = tf.function(lambda a, b: {"shape": tf.broadcast_dynamic_shape(a, b)}, autograph=False)
    specs = [tf.TensorSpec([len(shape)], tf.int32, name) for shape, name in zip(shapes, "ab", strict=True)]
    made, error = converting.quietly(
        lambda: tf2onnx.convert.from_function(
            function, specs, opset=18, custom_op_handlers={"BroadcastArgs": (converting.broadcast_shapes, [])}
        )
    )
    assert error is None
    inputs = {name: np.array(shape, np.int32) for shape, name in zip(shapes, "ab", strict=True)}
    assert "BroadcastArgs" not in {node.op_type for node in made[0].graph.node}
    outputs = converting.run_onnx(made[0].SerializeToString(), inputs)
    assert tuple(outputs["shape"]) == np.broadcast_shapes(*shapes)


# -- the command ---------------------------------------------------------------------------------------------


def refused(words: str) -> tuple[int, str]:
    from click.testing import CliRunner

    result = CliRunner().invoke(main, ["export", *words.split()])
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if not line.startswith("using ")]
    assert len(errors) <= 2
    return result.exit_code, " ".join(errors)


def test_a_model_without_such_a_part_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = refused("--model shipped:markov --out out --format litert")
    assert code == 2
    assert "markov has no part that draws nothing" in said
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_is_not_installed_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else object())
    code, said = refused("--model shipped:gan --out out --format onnx")
    assert code == 1
    assert "ONNX needs tf2onnx, which is not installed. Install it: pip install tf2onnx onnxruntime" in said
    (tmp_path / "there").mkdir()
    code, said = refused("--model shipped:gan --out there --format onnx")
    assert (code, "there exists." in said) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "path",
    sorted(path.parent for path in registry.SHIPPED.glob("*/*/saved_model.pb")),
    ids=lambda path: path.parent.name,
)
def test_shipped_models_convert(path, kind, tmp_path):
    model = sampling.load(path)
    parts = [name for name in converting.PORTABLE if name in model.signatures]
    if not parts:
        pytest.skip("it has no part that draws nothing")
    if kind == "litert" and model.name == "vit":
        with pytest.raises(ZooError, match="no Erf"):
            converting.convert(model, tmp_path / "out", kind)
        return
    assert [each.stem for each in converting.convert(model, tmp_path / "out", kind)] == parts


TRANSLATORS = [name for name in registry.names() if "translate" in registry.card(name)["capabilities"]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_convert(name, kind, tmp_path):
    model = make(tmp_path, name, image_shape=[16, 16, 3])
    if name == "cyclegan":  # chooses between two networks as it runs, whose sizes no converter follows
        with pytest.raises(ZooError, match="translate"):
            converting.convert(model, tmp_path / "out", kind)
        assert not (tmp_path / "out").exists()
        return
    assert [each.stem for each in converting.convert(model, tmp_path / "out", kind)] == ["translate"]
