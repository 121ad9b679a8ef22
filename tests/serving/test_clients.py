"""The clients of docs/deploy.md, as they stand there, against a servicer in Python: its answers are those of
`tf.saved_model`, and its rules those of TensorFlow Serving, which itself is not here.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from zoo import registry, sampling

pytestmark = pytest.mark.xdist_group("servicer")

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def vae() -> sampling.LoadedModel:
    return sampling.load(registry.SHIPPED / "vae/1")


@pytest.fixture(scope="module")
def clients(served) -> dict[str, str]:
    """The code blocks of the page by title, with the ports of the servicer in place of the usual ones."""
    text = (DOCS / "deploy.md").read_text(encoding="utf-8")
    found = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', text, flags=re.DOTALL))
    rest, grpc_port = served
    return {
        name: code.replace("localhost:8501", f"localhost:{rest}").replace(
            "localhost:8500", f"localhost:{grpc_port}"
        )
        for name, code in found.items()
    }


@pytest.fixture
def shell(clients, tmp_path):
    """Runs a block of the page in an empty folder."""
    if not (shutil.which("curl") and shutil.which("bash")):
        pytest.skip("no curl or bash")

    def run(name: str) -> str:
        command = ["bash", "-euo", "pipefail", "-c", clients[name]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def ask(port: int, body: object, model: str = "vae") -> dict:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(
        f"http://localhost:{port}/v1/models/{model}:predict", content, timeout=60
    ) as reply:
        return json.load(reply)


def refusal(port: int, body: object, model: str = "vae") -> tuple[int, str]:
    """The status and the words with which a request is refused."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(port, body, model)
    with refused.value as reply:
        return reply.code, json.load(reply)["error"]


def test_every_client_of_the_page_is_tried(clients):
    assert clients.keys() == {
        "sample.sh", "sample_png.sh", "sample_with.sh", "rest.py", "grpc_client.py", "onnx_client.py",
    }  # fmt: skip


def test_curl_sample(shell, vae):
    images = json.loads(shell("sample.sh"))["outputs"]
    np.testing.assert_allclose(images, vae.sample([0, 1, 2]), atol=1e-5)


def test_curl_png(shell, vae, tmp_path):
    shell("sample_png.sh")
    with Image.open(tmp_path / "seven.png") as picture:
        pixels = np.asarray(picture)
    assert np.abs(pixels - vae.sample([7])[0, ..., 0] * 255).max() <= 0.51


def test_curl_with_conditions(shell):
    rows = json.loads(shell("sample_with.sh"))["predictions"]
    assert [row[:4] for row in rows] == ["The ", "A li"]
    assert all(len(row) > 20 for row in rows)


def test_python_without_a_library(clients, vae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(clients["rest.py"], names)
    assert len(names["seeds"]) == 4
    assert all(seed < 2**53 for seed in names["seeds"])
    for seed, image in zip(names["seeds"], vae.sample(names["seeds"]), strict=True):
        with Image.open(tmp_path / f"{seed}.png") as picture:
            assert np.abs(np.asarray(picture) - image[..., 0] * 255).max() <= 0.51


def test_python_grpc(clients, vae):
    names: dict = {}
    exec(clients["grpc_client.py"], names)
    np.testing.assert_allclose(names["images"], vae.sample([0, 1, 2**62]), atol=1e-5)


def test_onnx(clients, vae, tmp_path, monkeypatch):
    if not all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnxruntime")):
        pytest.skip("the extra onnx is not installed")
    from zoo import converting

    monkeypatch.setattr(converting, "PORTABLE", ("decode",))
    monkeypatch.chdir(tmp_path)
    converting.convert(vae, Path("vae-onnx"), "onnx")
    names: dict = {}
    exec(clients["onnx_client.py"], names)
    np.testing.assert_allclose(names["images"], vae.decode(names["code"]), atol=1e-4)


# -- the rules of the server ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"signature_name": "sample", "inputs": {"seed": 3}}, "at least one dimension"),
        ({"signature_name": "sample", "inputs": {"seed": [0.5]}}, "expected type: int64"),
        ({"signature_name": "sample", "inputs": {"sed": [1]}}, "no input sed"),
        ({"signature_name": "smaple", "inputs": {"seed": [1]}}, "not found in signature def"),
        ({"signature_name": "decode", "inputs": {"code": [[0.0, 1.0]]}}, "was expected"),
        ({"signature_name": "elbo", "inputs": {"seed": [1]}}, "do not match"),
        ({"signature_name": "sample"}, "must hold one of"),
        (b"{", "JSON Parse error"),
    ],
)
def test_what_the_server_would_refuse_is_refused(served, body, said):
    code, words = refusal(served[0], body)
    assert code == 400
    assert said in words


def test_rows_and_columns_and_the_default(served, vae):
    images = vae.sample([4, 5])
    np.testing.assert_allclose(ask(served[0], {"instances": [4, 5]})["predictions"], images, atol=1e-5)
    np.testing.assert_allclose(ask(served[0], {"inputs": [4, 5]})["outputs"], images, atol=1e-5)
    x = np.zeros((2, 28, 28, 1))
    rows = [{"image": each.tolist(), "seed": seed} for each, seed in zip(x, (4, 5), strict=True)]
    by_row = ask(served[0], {"signature_name": "elbo", "instances": rows})["predictions"]
    by_column = ask(served[0], {"signature_name": "elbo", "inputs": {"image": x.tolist(), "seed": [4, 5]}})[
        "outputs"
    ]
    assert [row["kl"] for row in by_row] == by_column["kl"]
    assert by_row[0].keys() == {"log_likelihood", "kl"}


def test_a_file_comes_as_base64(served):
    (image,) = ask(served[0], {"signature_name": "sample_png", "instances": [{"seed": 1}]})["predictions"]
    with Image.open(io.BytesIO(base64.b64decode(image["b64"]))) as picture:
        assert picture.size == (28, 28)


def test_an_unknown_model_is_not_found(served):
    assert refusal(served[0], {"instances": [1]}, "none")[0] == 404


def test_status_and_metadata(served):
    with urllib.request.urlopen(f"http://localhost:{served[0]}/v1/models/vae/metadata", timeout=60) as reply:
        table = json.load(reply)["metadata"]["signature_def"]["signature_def"]
    assert table["sample"]["inputs"]["seed"]["shape"] == [-1]
    with grpc.insecure_channel(f"localhost:{served[1]}") as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "vae"
        found = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=60)
        assert found.model_version_status[0].state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
        wanted = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        wanted.model_spec.name = "vae"
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        described = get_model_metadata_pb2.SignatureDefMap()
        service.GetModelMetadata(wanted, timeout=60).metadata["signature_def"].Unpack(described)
        assert "sample_png" in described.signature_def
        predict = predict_pb2.PredictRequest()
        predict.model_spec.name = "vae"
        predict.inputs["seed"].CopyFrom(tf.make_tensor_proto(3, tf.int64))
        with pytest.raises(grpc.RpcError) as refused:
            service.Predict(predict, timeout=60)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_gmzoo_serve_would_see_that_it_is_ready(served):
    from zoo import serving

    assert serving.available("vae", served[0])
    assert not serving.available("none", served[0])
