"""TensorFlow Serving: the files that tell a server what to serve, and the server itself.

`models.config` names the models and where their versions lie; `batching.config` says how rows of several
requests are computed together. Beside the versions of one model they say what a server in a container reads,
which sees the model as `/models/NAME`; for several models `run` and `docker_line` write them together.

No TensorFlow is needed here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import json
import logging
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import UsageError, ZooError
from zoo.files import replacing

log = logging.getLogger("gmzoo")

SERVER = "tensorflow_model_server"
MODELS_FILE, BATCHING_FILE = "models.config", "batching.config"
#: Where a container sees the models, and the two files where there are several.
MODELS_INSIDE, CONFIG_INSIDE = "/models", "/config"
REST_PORT, GRPC_PORT = 8501, 8500
#: Rows that are computed together, as many as the commands take at a time.
ROWS = 64
#: The largest request, in rows; it is computed in pieces.
MOST_ROWS = 1024
#: How long a server that is told to end may take, in seconds.
PATIENCE = 10.0

BATCHING = f"""\
# How TensorFlow Serving computes rows of several requests together. A row's result depends on its own seed
# and inputs alone, so that this changes only how fast the answers come.
max_batch_size {{ value: {MOST_ROWS} }}
max_execution_batch_size {{ value: {ROWS} }}
enable_large_batch_splitting {{ value: true }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 1000 }}
"""


@dataclasses.dataclass(frozen=True)
class Served:
    """A model as a server knows it.

    Attributes:
        name: in addresses.
        base: the folder that holds its versions, absolute.
        version: the only one to serve; None for the highest, and for higher ones that come later.
        tensorflow: the release that wrote it; None where its card does not say.
        batches: whether rows of several requests fit together: not where images may be of any size.
    """

    name: str
    base: Path
    version: int | None = None
    tensorflow: str | None = None
    batches: bool = True


def find(model: str, runs: str | os.PathLike[str] | None = None) -> Served:
    """What `--model` names, as a server needs it.

    A name is served as it is typed, without `shipped:` and with `-` for `:`; a path by the name of its base
    folder, or of the run that it lies in.

    Raises:
        UsageError: nothing is there, or a server could not find a version in it.
    """
    resolved = registry.resolve(model, runs)
    path = resolved.path.resolve()
    is_path = os.sep in model or "/" in model or model.startswith(".")
    base = path.parent
    of_run = base.name == "saved_model" and (base.parent / "run.json").is_file()
    name = (base.parent if of_run else base).name if is_path else model.removeprefix("shipped:")
    name = address(name)
    if resolved.unfinished or not path.name.isdecimal():
        what = "is a run that has not finished" if resolved.unfinished else "is no version of a base path"
        command = f"gmzoo export --model {model} --out serving/{name}"
        raise UsageError(f"{model} {what}: a server cannot load it.\nTry: {command}")
    card = registry.model_card(path)
    pinned = is_path and Path(model).resolve() == path
    return Served(name, base, int(path.name) if pinned else None, _made_with(card), can_batch(card))


def address(name: str) -> str:
    """A name that needs no escaping in an address: other than letters, digits, `.`, `_`, `-` is a `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "model"


def _made_with(card: dict[str, Any]) -> str | None:
    return card.get("versions", {}).get("tensorflow")


def can_batch(card: dict[str, Any]) -> bool:
    """Whether every input has a fixed shape but for its rows, as a server's batching needs it."""
    inputs = [spec for each in card.get("signatures", {}).values() for spec in each["inputs"].values()]
    return all(size is not None for spec in inputs for size in spec["shape"][1:])


# -- the two files -----------------------------------------------------------------------------------------


def models_config(models: Sequence[Served], inside: bool) -> str:
    """The text of `models.config`.

    Args:
        models: what is served.
        inside: of a container, where a model is `/models/NAME`, and not of this machine.
    """
    entries = []
    for each in models:
        base = f"{MODELS_INSIDE}/{each.name}" if inside else str(each.base)
        policy = (
            ""
            if each.version is None
            else f"    model_version_policy {{ specific {{ versions: {each.version} }} }}\n"
        )
        entries.append(
            "  config {\n"
            f"    name: {json.dumps(each.name)}\n"
            f"    base_path: {json.dumps(base, ensure_ascii=False)}\n"
            '    model_platform: "tensorflow"\n'
            f"{policy}"
            "  }\n"
        )
    return "model_config_list {\n" + "".join(entries) + "}\n"


def write_beside(version: Path) -> None:
    """Writes both files beside the versions of a model; one that is there is left as it is.

    Args:
        version: the folder of the newest one.
    """
    base = version.resolve().parent
    model = Served(address(base.name), base, batches=can_batch(registry.model_card(version)))
    inside = f"{MODELS_INSIDE}/{model.name}"
    head = f"# For a server that sees this folder as {inside}: --model_config_file={inside}/{MODELS_FILE}\n"
    texts = {MODELS_FILE: head + models_config([model], inside=True)}
    if model.batches:
        texts[BATCHING_FILE] = BATCHING
    for name, text in texts.items():
        if not (base / name).exists():
            write_text(base / name, text)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_together(models: Sequence[Served], folder: Path, inside: bool, batching: bool) -> None:
    """Writes the files of several models into a folder.

    Raises:
        UsageError: other ones are there.
    """
    texts = _together(models, inside, batching)
    if not _fits(folder, texts):
        raise UsageError(
            f"{folder} holds another {MODELS_FILE} or {BATCHING_FILE}, which is left as it is.\n"
            "Choose another --config, or remove it."
        )
    for name, text in texts.items():
        if not (folder / name).exists():
            write_text(folder / name, text)


def _together(models: Sequence[Served], inside: bool, batching: bool) -> dict[str, str]:
    return {MODELS_FILE: models_config(models, inside), **({BATCHING_FILE: BATCHING} if batching else {})}


def _fits(folder: Path, texts: dict[str, str]) -> bool:
    """Whether what is in a folder does not differ from these files."""
    return all(
        not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") == text
        for name, text in texts.items()
    )


def free_folder(models: Sequence[Served], batching: bool) -> Path:
    """The first of `serving`, `serving-2`, ... here that holds no other files of these names."""
    texts = _together(models, True, batching)
    names = itertools.chain(["serving"], (f"serving-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if _fits(path, texts))


# -- what is started ---------------------------------------------------------------------------------------


def release(version: str) -> tuple[int, ...]:
    """`2.21.0-rc1` as (2, 21, 0)."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(each or 0) for each in found.groups()) if found else ()


def needed_release(models: Sequence[Served]) -> str:
    """The newest TensorFlow that wrote one of the models; of one that does not say, the one installed."""
    versions = [each.tensorflow or metadata.version("tensorflow") for each in models]
    return ".".join(map(str, max(map(release, versions))))


def arguments(folder: str, batching: bool) -> list[str]:
    """What the server is told, beside its ports.

    Args:
        folder: where it finds the two files.
        batching: whether it computes rows of several requests together.
    """
    told = [f"--model_config_file={folder}/{MODELS_FILE}"]
    if batching:
        told += ["--enable_batching=true", f"--batching_parameters_file={folder}/{BATCHING_FILE}"]
    return told


def docker_line(
    models: Sequence[Served], folder: Path, *, image: str | None, rest: int, grpc: int, batching: bool
) -> str:
    """The line that starts the server in a container, for a shell.

    Args:
        models: what is served.
        folder: which holds the two files.
        image: the container's; that of the release that the models need, where it is None.
        rest, grpc: the ports on this machine.
        batching: whether it computes rows of several requests together.
    """
    words = ["docker", "run", "--rm", "-p", f"{rest}:{REST_PORT}", "-p", f"{grpc}:{GRPC_PORT}"]
    mounts = {f"{MODELS_INSIDE}/{each.name}": each.base for each in models}
    for target, source in {**mounts, CONFIG_INSIDE: folder.resolve()}.items():
        words += ["--mount", f"type=bind,source={source},target={target},readonly"]
    words.append(image or f"tensorflow/serving:{needed_release(models)}")
    return shlex.join([*words, *arguments(CONFIG_INSIDE, batching)])


def check_server(executable: str, models: Sequence[Served]) -> None:
    """Refuses a server that is older than the TensorFlow that wrote a model.

    Raises:
        ZooError: it is, or it does not run.
    """
    try:
        told = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ZooError(f"{executable} does not run: {error}") from error
    found = re.search(r"TensorFlow Library:\s*(\S+)", told.stdout + told.stderr)
    if found is None or not release(found[1]):
        log.warning("%s does not say its version; these models need %s", executable, needed_release(models))
    elif release(found[1]) < release(needed_release(models)):
        raise ZooError(
            f"{executable} is of TensorFlow {found[1]}, and a model was made with {needed_release(models)}.\n"
            "A server has to be at least as new: it may not know what an older one does not know."
        )


def check_ports(rest: int, grpc: int) -> None:
    """Refuses ports that are taken, by a server whose answers would be mistaken for ours.

    Raises:
        UsageError: one is, or they are the same.
    """
    if rest == grpc:
        raise UsageError(f"--rest-port and --grpc-port are both {rest}; choose two.")
    for option, port in (("--rest-port", rest), ("--grpc-port", grpc)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                raise UsageError(f"port {port} is taken; choose another {option}.") from error


def run(
    executable: str,
    models: Sequence[Served],
    *,
    rest: int,
    grpc: int,
    batching: bool,
    timeout: float,
    ready: Callable[[], None],
) -> None:
    """Runs the server until it ends, or this process is told to.

    Args:
        executable: the server.
        models: what is served.
        rest, grpc: the ports.
        batching: whether it computes rows of several requests together.
        timeout: how long it may take until all models can be asked, in seconds.
        ready: is called then.

    Raises:
        ZooError: it ended with an error, or was not ready in time.
    """
    check_server(executable, models)
    with tempfile.TemporaryDirectory(prefix="gmzoo-serve-") as folder:
        write_together(models, Path(folder), inside=False, batching=batching)
        command = [executable, f"--rest_api_port={rest}", f"--port={grpc}", *arguments(folder, batching)]
        with started(command) as process:
            wait_until_ready(process, [each.name for each in models], rest, timeout)
            ready()
            code = process.wait()
        if code:
            raise ZooError(f"{SERVER} {_ended(code)}; what it said stands above.")


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the block."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(
    process: subprocess.Popen[bytes], names: Sequence[str], port: int, timeout: float
) -> None:
    """Waits until each model has a version that can be asked.

    Raises:
        ZooError: the server ended, or one has none in time.
    """
    end = time.monotonic() + timeout
    waiting = [*names]
    while waiting:
        code = process.poll()
        if code is not None:
            raise ZooError(f"{SERVER} {_ended(code)} before it was ready; what it said stands above.")
        if available(waiting[0], port):
            waiting.pop(0)
        elif time.monotonic() > end:
            raise ZooError(f"{SERVER} was not ready with {waiting[0]} in {timeout:g} s, and was ended.")
        else:
            time.sleep(0.1)


def available(name: str, port: int) -> bool:
    """Whether a server on this machine says that a version of a model can be asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine needs no proxy
    try:
        with opener.open(f"http://127.0.0.1:{port}/v1/models/{name}", timeout=5) as reply:
            found = json.load(reply)
    except urllib.error.HTTPError as error:  # not known, or not yet
        error.close()
        return False
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return any(each.get("state") == "AVAILABLE" for each in found.get("model_version_status", []))


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def executable() -> str | None:
    """The server on the PATH, if there is one."""
    return shutil.which(SERVER)
