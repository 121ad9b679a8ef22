"""SavedModels where nothing of ours is: a Python without our code, and C++ without Python.

One process of each kind runs every signature of every model; one in C++ those of all shipped models.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.attr_value_pb2 import NameAttrList
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from zoo import registry
from zoo.exporting import DEFAULTS, WARM_UP_FILE
from zoo.stages import CARD_FILE

pytestmark = pytest.mark.xdist_group("processes")

HERE = Path(__file__).parent
LOADER = HERE.parent / "serving/run.cc"


@dataclasses.dataclass(frozen=True)
class Call:
    """One signature of one model, what it is asked, and what it gives in this process."""

    path: Path
    signature: str
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def calls(subjects) -> list[Call]:
    """Every signature of every model, called once for all other processes."""
    made = []
    for subject in subjects:
        for signature, inputs in subject.requests.items():
            outputs = subject.raw.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
            given = {name: value.numpy() for name, value in outputs.items()}
            made.append(Call(subject.saved, signature, inputs, given))
    return made


def assert_same(ours: np.ndarray, theirs: np.ndarray, where: str) -> None:
    if theirs.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=where)
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=where)


def test_python_without_our_code_gives_the_same(calls, tmp_path):
    expected, requests = {}, {}
    for call in calls:
        where = f"{call.path}|{call.signature}"
        requests |= {f"{where}|{name}": as_bytes(value) for name, value in call.inputs.items()}
        expected |= {f"{where}|{name}": value for name, value in call.outputs.items()}
    np.savez(tmp_path / "requests.npz", **requests)
    command = [sys.executable, "-I", str(HERE / "clean_process.py"), "requests.npz", "responses.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "responses.npz") as responses:
        assert set(responses.files) == set(expected)
        for key, value in expected.items():
            assert_same(responses[key], as_bytes(value), key)


def as_bytes(value: np.ndarray) -> np.ndarray:
    """Text as fixed-width bytes, which need no pickling; a PNG file ends with no zero byte."""
    return value.astype("S") if value.dtype == object else value


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program, built against the TensorFlow that Python imports."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    libraries = tf.sysconfig.get_lib()
    if not (Path(libraries) / "libtensorflow_cc.so.2").exists():
        pytest.skip("this TensorFlow has no C++ library")
    program = tmp_path_factory.mktemp("serving") / "run"
    # --no-as-needed: nothing but static registration refers to the kernels.
    linked = ["-Wl,--no-as-needed", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    command = [compiler, "-w", *tf.sysconfig.get_compile_flags(), str(LOADER), "-o", str(program)]
    command += [f"-L{libraries}", *linked, f"-Wl,-rpath,{libraries}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return program


def assert_cpp_gives_the_same(program: Path, calls: list[Call], folder: Path, timeout: float) -> None:
    """One process of the C++ program answers all calls as this process did."""
    command = [str(program)]
    for index, call in enumerate(calls):
        request = NameAttrList(name=call.signature)
        for name, value in call.inputs.items():
            request.attr[name].tensor.CopyFrom(tf.make_tensor_proto(value))
        (folder / f"{index}.request").write_bytes(request.SerializeToString())
        command += [str(call.path), f"{index}.request", f"{index}.response"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    for index, call in enumerate(calls):
        response = NameAttrList.FromString((folder / f"{index}.response").read_bytes())
        found = {name: tf.make_ndarray(value.tensor) for name, value in response.attr.items()}
        assert found.keys() == call.outputs.keys()
        for name, value in call.outputs.items():
            assert_same(found[name], value, f"{call.path} {call.signature} {name}")


def test_cpp_gives_the_same(calls, loader, tmp_path):
    assert_cpp_gives_the_same(loader, calls, tmp_path, timeout=300)


# -- the shipped models --------------------------------------------------------------------------------------

SHIPPED = sorted(path.parent for path in registry.SHIPPED.glob("*/*/saved_model.pb"))


def warm_ups(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The requests of one row that a server replays when it loads a model, by signature."""
    records = tf.data.TFRecordDataset(str(path / WARM_UP_FILE)).as_numpy_iterator()
    requests = [PredictionLog.FromString(record).predict_log.request for record in records]
    return {
        each.model_spec.signature_name: {k: tf.make_ndarray(v) for k, v in each.inputs.items()}
        for each in requests
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_model_has_a_warm_up_request_for_each_signature(path):
    signatures = json.loads((path / CARD_FILE).read_text(encoding="utf-8"))["signatures"]
    requests = warm_ups(path)
    assert requests.keys() == signatures.keys()
    for name, inputs in requests.items():
        assert inputs.keys() == signatures[name]["inputs"].keys()
        for tensor, spec in signatures[name]["inputs"].items():
            value = inputs[tensor]
            assert len(value) == 1
            assert value.dtype == (object if spec["dtype"] == "string" else spec["dtype"])
            assert all(size in (None, own) for size, own in zip(spec["shape"], value.shape, strict=True))


def three_rows(request: dict[str, np.ndarray], signature: str, raw) -> dict[str, np.ndarray]:
    """Three rows like the one of a request for warming up, with contents of their own where that may be."""
    random = np.random.default_rng(0)
    found = {name: np.repeat(value, 3, axis=0) for name, value in request.items()}
    for name, value in found.items():
        if name == "seed":
            found[name] = np.array([0, 7, 12_345_678_901])
        elif name == "code" and signature == "decode" and value.dtype.kind == "f":
            if "prior" in raw.signatures:
                found[name] = raw.signatures["prior"](seed=tf.range(3, dtype=tf.int64))["code"].numpy()
        elif value.dtype == np.float32 and name != "temperature":
            found[name] = random.random(value.shape, np.float32)
        elif value.dtype == bool:
            found[name] = random.random(value.shape) < 0.5
        elif name == "tokens":
            found[name] = random.integers(0, 10, value.shape, np.int32)
    return found


@pytest.mark.slow
def test_cpp_runs_every_signature_of_every_shipped_model(loader, tmp_path):
    calls = []
    for path in SHIPPED:
        raw = tf.saved_model.load(str(path))
        requests = warm_ups(path)
        default = next(name for name in DEFAULTS if name in requests)
        requests["serving_default"] = requests[default]
        assert requests.keys() == set(raw.signatures)
        for signature, request in requests.items():
            for inputs in (request, three_rows(request, signature, raw)):
                outputs = raw.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
                given = {name: value.numpy() for name, value in outputs.items()}
                calls.append(Call(path, signature, inputs, given))
    assert_cpp_gives_the_same(loader, calls, tmp_path, timeout=1800)
