"""SavedModels where nothing of ours is: a Python without our code, and C++ without Python.

One process of each kind runs every signature of every model.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.attr_value_pb2 import NameAttrList

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


def test_cpp_gives_the_same(calls, loader, tmp_path):
    command = [str(loader)]
    for index, call in enumerate(calls):
        request = NameAttrList(name=call.signature)
        for name, value in call.inputs.items():
            request.attr[name].tensor.CopyFrom(tf.make_tensor_proto(value))
        (tmp_path / f"{index}.request").write_bytes(request.SerializeToString())
        command += [str(call.path), f"{index}.request", f"{index}.response"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for index, call in enumerate(calls):
        response = NameAttrList.FromString((tmp_path / f"{index}.response").read_bytes())
        found = {name: tf.make_ndarray(value.tensor) for name, value in response.attr.items()}
        assert found.keys() == call.outputs.keys()
        for name, value in call.outputs.items():
            assert_same(found[name], value, f"{call.path} {call.signature} {name}")
