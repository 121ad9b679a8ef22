"""What TensorFlow Serving answers, from Python: its addresses, its formats, its rules; not its speed.

    python tests/serving/servicer.py vae=saved_models/vae [NAME=BASE ...] --rest-port 8501 --grpc-port 8500

The server itself cannot be had from a package index, so clients are tried against this one: gRPC's
PredictionService and ModelService, and the REST interface, over `tf.saved_model`. It holds clients to what
the real one holds them to: every input of a signature, no other one, of its type, with rows as the first axis
and equally many in each.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import contextlib
import http.server
import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

DEFAULT = "serving_default"
#: An output whose name ends so is bytes: base64 in JSON.
BYTES = "_bytes"


class Refused(Exception):
    """A request that the real server refuses, with the code and the status that it answers."""

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.code = code
        self.status = 404 if code == grpc.StatusCode.NOT_FOUND else 400


class Model:
    """The highest version below a base path."""

    def __init__(self, name: str, base: Path) -> None:
        self.name = name
        self.version = max(int(each.name) for each in base.iterdir() if each.name.isdecimal())
        path = base / str(self.version)
        self.loaded = tf.saved_model.load(str(path))
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        self.definitions: Mapping[str, meta_graph_pb2.SignatureDef] = dict(saved.meta_graphs[0].signature_def)

    def specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """The inputs of a signature."""
        if signature not in self.loaded.signatures:
            raise Refused(f'Serving signature name: "{signature}" not found in signature def')
        return self.loaded.signatures[signature].structured_input_signature[1]

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name; refuses what the real server refuses."""
        specs = self.specs(signature)
        if inputs.keys() != specs.keys():
            raise Refused(f"input names do not match signature: {sorted(inputs)}, expected {sorted(specs)}")
        rows = set()
        for name, spec in specs.items():
            value = inputs[name]
            kind = tf.string if value.dtype.kind in "OSU" else tf.as_dtype(value.dtype)
            if kind != spec.dtype:
                raise Refused(f"{name} is {kind.name}, and {spec.dtype.name} was expected")
            if value.ndim == 0:
                raise Refused(f"Batching input tensors must have at least one dimension: {name}")
            if not spec.shape.is_compatible_with(value.shape):
                raise Refused(f"{name} has shape {value.shape}, and {spec.shape} was expected")
            rows.add(len(value))
        if len(rows) != 1:
            raise Refused("Batching input tensors must have equal 0th-dimension size")
        tensors = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in self.loaded.signatures[signature](**tensors).items()}


class Models:
    """All models by name."""

    def __init__(self, bases: Mapping[str, Path]) -> None:
        self.by_name = {name: Model(name, base) for name, base in bases.items()}

    def find(self, name: str, version: int | None = None) -> Model:
        model = self.by_name.get(name)
        if model is None or version not in (None, 0, model.version):
            raise Refused(f"Servable not found for request: {name}", grpc.StatusCode.NOT_FOUND)
        return model


# -- gRPC --------------------------------------------------------------------------------------------------


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def Predict(self, request, context):
        spec = request.model_spec
        try:
            model = self.models.find(spec.name, spec.version.value)
            signature = spec.signature_name or DEFAULT
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            outputs = model.predict(signature, inputs)
        except Refused as error:
            context.abort(error.code, str(error))
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = model.name, signature
        response.model_spec.version.value = model.version
        for name, value in outputs.items():
            if request.output_filter and name not in request.output_filter:
                continue
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):
        try:
            model = self.models.find(request.model_spec.name)
        except Refused as error:
            context.abort(error.code, str(error))
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = model.name, model.version
        table = get_model_metadata_pb2.SignatureDefMap(signature_def=model.definitions)
        response.metadata["signature_def"].Pack(table)
        return response


class Status(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def GetModelStatus(self, request, context):
        try:
            model = self.models.find(request.model_spec.name)
        except Refused as error:
            context.abort(error.code, str(error))
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(
            version=model.version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
        )
        return response


# -- REST --------------------------------------------------------------------------------------------------


def array(value: Any, spec: tf.TensorSpec) -> np.ndarray:
    """A tensor from JSON: strings are UTF-8, or bytes as `{"b64": ...}`."""

    def plain(item: Any) -> Any:
        if isinstance(item, list):
            return [plain(each) for each in item]
        if isinstance(item, dict) and item.keys() == {"b64"}:
            return base64.b64decode(item["b64"])
        return item.encode() if isinstance(item, str) else item

    def leaves(item: Any) -> Iterator[Any]:
        for each in item if isinstance(item, list) else [item]:
            yield from leaves(each) if isinstance(each, list) else [each]

    value = plain(value)
    wanted = {tf.string: bytes, tf.bool: bool}.get(
        spec.dtype, (int, float) if spec.dtype.is_floating else int
    )
    for leaf in leaves(value):
        if not isinstance(leaf, wanted) or (isinstance(leaf, bool) and spec.dtype != tf.bool):
            raise Refused(f"JSON Value: {leaf!r} Type: not of expected type: {spec.dtype.name}")
    try:
        return np.array(value, object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype)
    except (ValueError, OverflowError) as error:
        raise Refused(f"JSON Value is no tensor: {error}") from error


def jsoned(name: str, value: np.ndarray) -> Any:
    """A tensor for JSON."""

    def plain(item: Any) -> Any:
        if isinstance(item, list):
            return [plain(each) for each in item]
        if isinstance(item, bytes):
            return {"b64": base64.b64encode(item).decode()} if name.endswith(BYTES) else item.decode()
        return item

    return plain(value.tolist())


def answer(model: Model, body: Mapping[str, Any]) -> dict[str, Any]:
    """The reply to `:predict`, by rows (`instances`) or by columns (`inputs`)."""
    signature = body.get("signature_name") or DEFAULT
    specs = model.specs(signature)
    if ("instances" in body) == ("inputs" in body):
        raise Refused("Request must hold one of 'instances' and 'inputs'")
    if "instances" in body:
        rows = body["instances"]
        if not isinstance(rows, list) or not rows:
            raise Refused("'instances' must be a list with at least one item")
        named = [
            row if isinstance(row, dict) and row.keys() != {"b64"} else {next(iter(specs)): row}
            for row in rows
        ]
        if any(row.keys() != named[0].keys() for row in named):
            raise Refused("instances must hold the same names")
        columns = {name: [row[name] for row in named] for name in named[0]}
    else:
        columns = body["inputs"] if isinstance(body["inputs"], dict) else {next(iter(specs)): body["inputs"]}
    if unknown := columns.keys() - specs.keys():
        raise Refused(f"no input {sorted(unknown)[0]} in signature {signature}")
    outputs = model.predict(signature, {name: array(value, specs[name]) for name, value in columns.items()})
    found = {name: jsoned(name, value) for name, value in outputs.items()}
    only = next(iter(found.values())) if len(found) == 1 else None
    if "inputs" in body:
        return {"outputs": found if only is None else only}
    if only is not None:
        return {"predictions": only}
    return {"predictions": [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]}


class Handler(http.server.BaseHTTPRequestHandler):
    """The REST interface; a subclass holds the models."""

    models: Models
    protocol_version = "HTTP/1.1"
    # Heads and bodies go out in pieces, which Nagle's algorithm would hold back for 40 ms.
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        found = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata)?", self.path)
        self.reply(found, lambda model: metadata(model) if found and found[3] else status(model))

    def do_POST(self) -> None:
        found = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict", self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def respond(model: Model) -> dict[str, Any]:
            try:
                body = json.loads(content)
            except ValueError as error:
                raise Refused(f"JSON Parse error: {error}") from error
            if not isinstance(body, dict):
                raise Refused("Request must be a JSON object")
            return answer(model, body)

        self.reply(found, respond)

    def reply(self, found: re.Match[str] | None, respond: Any) -> None:
        try:
            if found is None:
                raise Refused(f"Malformed request: {self.command} {self.path}", grpc.StatusCode.NOT_FOUND)
            model = self.models.find(found[1], int(found[2]) if found[2] else None)
            code, document = 200, respond(model)
        except Refused as error:
            code, document = error.status, {"error": str(error)}
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def status(model: Model) -> dict[str, Any]:
    entry = {
        "version": str(model.version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return {"model_version_status": [entry]}


def metadata(model: Model) -> dict[str, Any]:
    signatures = {
        name: {
            side: {
                tensor: {"dtype": info.dtype, "shape": [dim.size for dim in info.tensor_shape.dim]}
                for tensor, info in getattr(definition, side).items()
            }
            for side in ("inputs", "outputs")
        }
        for name, definition in model.definitions.items()
    }
    return {
        "model_spec": {"name": model.name, "version": str(model.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


class Server(http.server.ThreadingHTTPServer):
    """Threads that end with the process; a queue for clients that come at the same time."""

    daemon_threads = True
    request_queue_size = 64


@contextlib.contextmanager
def serving(
    bases: Mapping[str, Path], rest: int = 0, grpc_port: int = 0, threads: int = 8
) -> Iterator[tuple[int, int]]:
    """Serves models on this machine alone, inside the block.

    Args:
        bases: their base paths by name.
        rest, grpc_port: the ports; free ones, where they are 0.
        threads: of gRPC.

    Yields:
        The ports.
    """
    models = Models(bases)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(threads))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(models), server)
    grpc_port = server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    web = Server(("127.0.0.1", rest), type("Handler", (Handler,), {"models": models}))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield web.server_address[1], grpc_port
    finally:
        web.shutdown()
        web.server_close()
        server.stop(None).wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="NAME=BASE")
    parser.add_argument("--rest-port", type=int, default=0)
    parser.add_argument("--grpc-port", type=int, default=0)
    options = parser.parse_args()
    bases = {name: Path(base) for name, base in (each.split("=", 1) for each in options.models)}
    with serving(bases, options.rest_port, options.grpc_port) as (rest, grpc_port):
        print(json.dumps({"rest": rest, "grpc": grpc_port}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
