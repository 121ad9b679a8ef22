"""`gmzoo serve`, with a program in the place of TensorFlow Serving, and the files that a server reads."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from zoo import registry, serving
from zoo.errors import UsageError

FAKE = Path(__file__).with_name("fake_server.py")
GMZOO = [sys.executable, "-P", "-c", "from zoo.cli.main import main; main()"]
VAE, RNN, NADE = (registry.SHIPPED / name for name in ("vae", "rnn", "nade"))


def parsed(text: str) -> list[dict]:
    """The models of a `models.config`, read as the server reads it."""
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return [
        {
            "name": each.name,
            "base_path": each.base_path,
            "platform": each.model_platform,
            "versions": list(each.model_version_policy.specific.versions),
        }
        for each in config.model_config_list.config
    ]


def batching_parameters(text: str) -> dict:
    """A `batching.config` as the server's BatchingParameters, whose module no package holds."""
    wrappers = "google/protobuf/wrappers.proto"
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", package="test", syntax="proto3", dependency=[wrappers]
    )
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in enumerate(
        {
            "max_batch_size": "Int64Value",
            "batch_timeout_micros": "Int64Value",
            "max_enqueued_batches": "Int64Value",
            "num_batch_threads": "Int64Value",
            "enable_large_batch_splitting": "BoolValue",
            "max_execution_batch_size": "Int64Value",
        }.items(),
        start=1,
    ):
        message.field.add(
            name=name, number=number, type="TYPE_MESSAGE", label="LABEL_OPTIONAL",
            type_name=f".google.protobuf.{kind}",
        )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    wrapper = descriptor_pb2.FileDescriptorProto()
    from google.protobuf import wrappers_pb2

    wrappers_pb2.DESCRIPTOR.CopyToProto(wrapper)
    pool.Add(wrapper)
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.BatchingParameters"))()
    text_format.Parse(text, made)
    return {field.name: value.value for field, value in made.ListFields()}


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two free ports."""
    with socket.socket() as a, socket.socket() as b:
        a.bind(("", 0))
        b.bind(("", 0))
        return a.getsockname()[1], b.getsockname()[1]


@pytest.fixture
def started(
    tmp_path: Path, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts `gmzoo serve` in an empty folder, with the program on its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "tensorflow_model_server"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_RECORD", str(tmp_path / "record.json"))
    monkeypatch.delenv("GMZOO_RUNS", raising=False)
    processes = []

    def start(*words: object, **environment: str) -> subprocess.Popen:
        numbers = ["--rest-port", str(ports[0]), "--grpc-port", str(ports[1])]
        process = subprocess.Popen(
            [*GMZOO, "serve", *map(str, words), *numbers],
            cwd=tmp_path, env={**os.environ, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the server too, which holds the pipes
        process.communicate()


def told(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_server_gets_its_arguments_and_ends_with_the_command(started, ports, tmp_path, sent, code):
    rest, grpc = ports
    process = started("--model", VAE, "--model", f"{RNN}/1")
    lines = [process.stdout.readline() for _ in range(3)]  # waits until it is ready
    assert lines == [
        f"http://localhost:{rest}/v1/models/vae:predict\n",
        f"http://localhost:{rest}/v1/models/rnn:predict\n",
        f"grpc://localhost:{grpc}\n",
    ]
    found = told(tmp_path)
    assert found["flags"].keys() == {
        "rest_api_port", "port", "model_config_file", "enable_batching", "batching_parameters_file",
    }  # fmt: skip
    assert (found["flags"]["rest_api_port"], found["flags"]["port"]) == (str(rest), str(grpc))
    assert found["flags"]["enable_batching"] == "true"
    assert parsed(found["files"]["model_config_file"]) == [
        {"name": "vae", "base_path": str(VAE), "platform": "tensorflow", "versions": []},
        {"name": "rnn", "base_path": str(RNN), "platform": "tensorflow", "versions": [1]},
    ]
    assert batching_parameters(found["files"]["batching_parameters_file"])["max_execution_batch_size"] == 64
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert not alive(found["pid"])
    assert not Path(found["flags"]["model_config_file"]).exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bin", "record.json"]


@pytest.mark.parametrize(
    ("environment", "words", "said"),
    [
        ({"FAKE_END": "early:3"}, [], "ended with exit code 3 before it was ready"),
        ({"FAKE_END": "late:1"}, [], "ended with exit code 1; what it said stands above"),
        ({"FAKE_STATE": "LOADING"}, ["--timeout", "1.5"], "was not ready with vae in 1.5 s"),
        ({"FAKE_VERSION": "2.20.1"}, [], "is of TensorFlow 2.20.1, and a model was made with 2.21.0"),
    ],
)
def test_a_server_that_does_not_serve_is_a_failure(started, environment, words, said):
    process = started("--model", VAE, "--no-batching", *words, **environment)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said in errors
    assert "Traceback" not in errors
    assert out == "" or "late" in environment.get("FAKE_END", "")


def test_a_port_that_is_taken_is_told(started, ports):
    with socket.socket() as taken:
        taken.bind(("", ports[0]))
        taken.listen()
        process = started("--model", VAE)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert f"port {ports[0]} is taken; choose another --rest-port." in errors


# -- without a server ----------------------------------------------------------------------------------------


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs `gmzoo serve` in an empty folder where no server is on the PATH."""
    from click.testing import CliRunner

    from zoo.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GMZOO_RUNS", raising=False)
    monkeypatch.setattr(serving, "executable", lambda: None)

    def run(*words: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["serve", *map(str, words)])
        return result.exit_code, result.stdout, result.stderr

    return run


def test_without_a_server_its_line_is_printed_and_nothing_is_pretended(serve, tmp_path):
    code, out, errors = serve("--model", VAE, "--model", RNN, "--rest-port", 9501)
    assert code == 1
    assert "nothing is being served" in errors
    words = shlex.split(out)
    assert words[:3] == ["docker", "run", "--rm"]
    image = words.index("tensorflow/serving:2.21.0")
    ports = [words[index + 1] for index, word in enumerate(words) if word == "-p"]
    assert ports == ["9501:8501", "8500:8500"]
    mounts = [
        dict(part.split("=", 1) for part in words[index + 1].split(",") if "=" in part)
        for index, word in enumerate(words)
        if word == "--mount"
    ]
    inside = {each["target"]: Path(each["source"]) for each in mounts}
    assert all(each["type"] == "bind" for each in mounts)
    # What the container sees is what the server is told of.
    flags = dict(word.removeprefix("--").split("=", 1) for word in words[image + 1 :])
    assert flags["model_config_file"] == "/config/models.config"
    config = (inside["/config"] / "models.config").read_text()
    for model in parsed(config):
        assert (inside[model["base_path"]] / "1/saved_model.pb").is_file()
    assert [each["name"] for each in parsed(config)] == ["vae", "rnn"]
    assert flags["batching_parameters_file"] == "/config/batching.config"
    assert batching_parameters((inside["/config"] / "batching.config").read_text())
    assert inside["/config"] == tmp_path / "serving"
    # Again: the same files. Other models: files of their own.
    assert serve("--model", VAE, "--model", RNN, "--rest-port", 9501)[1] == out
    assert f"source={tmp_path}/serving-2," in serve("--model", VAE)[1]


def test_files_for_a_container_on_request(serve, tmp_path):
    code, out, _ = serve("--model", VAE, "--config", "files", "--image", "mine:1", "--no-batching")
    assert code == 0
    assert " mine:1 --model_config_file=/config/models.config\n" in out
    assert [each.name for each in (tmp_path / "files").iterdir()] == ["models.config"]
    (tmp_path / "files/models.config").write_text("# mine\n")
    code, out, errors = serve("--model", VAE, "--config", "files")
    assert (code, out) == (2, "")
    assert "which is left as it is" in errors
    assert (tmp_path / "files/models.config").read_text() == "# mine\n"


def version(base: Path, number: int, card: dict | None = None, name: str = "vae") -> Path:
    """A folder that looks like a version to who does not open it."""
    folder = base / str(number)
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    if card is not None:
        (folder / "assets.extra/model_card.json").write_text(json.dumps({"model": name, **card}))
    return folder


def test_names_and_versions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = {"versions": {"tensorflow": "2.22.1"}}
    version(tmp_path / "served/my digits", 1)
    version(tmp_path / "served/my digits", 3, card)
    found = serving.find("served/my digits")
    assert (found.name, found.base, found.version) == ("my-digits", tmp_path / "served/my digits", None)
    assert serving.find("./served/my digits/1").version == 1
    assert (serving.find("shipped:vae").name, serving.find("vit:glyphs").name) == ("vae", "vit-glyphs")
    assert serving.needed_release([found, serving.find("shipped:vae")]) == "2.22.1"
    assert serving.needed_release([serving.find("./served/my digits/1")]).startswith("2.")
    version(tmp_path / "loose", 1).rename(tmp_path / "loose/model")
    with pytest.raises(UsageError, match="no version of a base path.*\n.*gmzoo export --model ./loose/model"):
        serving.find("./loose/model")


def test_a_run_is_served_under_its_name(tmp_path):
    run = tmp_path / "runs/vae-007"
    version(run / "saved_model", 1)
    record = {"model": "vae", "preset": "tiny", "status": "finished", "started": "2026-01-01T00:00:00"}
    (run / "run.json").write_text(json.dumps(record))
    found = serving.find(str(run))
    assert (found.name, found.base, found.version) == ("vae-007", run / "saved_model", None)


def test_two_models_of_one_name_are_refused(serve):
    code, out, errors = serve("--model", VAE, "--model", "shipped:vae")
    assert (code, out) == (2, "")
    assert "two of these models would be called vae" in errors


def test_images_of_any_size_are_not_batched(serve, tmp_path):
    image = {"dtype": "float32", "shape": [None, None, None, 3]}
    card = {"signatures": {"translate": {"inputs": {"image": image}, "outputs": {"translated": image}}}}
    folder = version(tmp_path / "served/cyclegan", 1, card, "cyclegan")
    code, out, errors = serve("--model", "served/cyclegan")
    assert code == 1
    assert "batching" not in out
    assert "no batching" in errors
    serving.write_beside(folder)
    assert not (folder.parent / "batching.config").exists()
    assert (folder.parent / "models.config").exists()


def test_export_writes_the_files_and_leaves_those_of_the_user(tmp_path):
    base = tmp_path / "served/digits"
    shutil.copytree(NADE / "1", base / "1")
    serving.write_beside(base / "1")
    (model,) = parsed((base / "models.config").read_text())
    assert (model["name"], model["base_path"], model["versions"]) == ("digits", "/models/digits", [])
    assert batching_parameters((base / "batching.config").read_text())["max_batch_size"] == 1024
    (base / "batching.config").write_text("max_batch_size { value: 8 }\n")
    before = (base / "models.config").stat().st_mtime_ns
    time.sleep(0.01)
    serving.write_beside(base / "1")
    assert (base / "batching.config").read_text() == "max_batch_size { value: 8 }\n"
    assert (base / "models.config").stat().st_mtime_ns == before
