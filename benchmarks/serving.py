"""Does a served model answer for long, how fast, and does memory grow?

    python benchmarks/serving.py
    python benchmarks/serving.py --protocol rest --requests 2000 --model gan

Clients send `sample` requests of mixed sizes, one after another each, to the servicer of the tests, which is
Python over `tf.saved_model` in a process of its own: it is *not* TensorFlow Serving. Every image that comes
back is compared with the one that its seed gives here. Prints latencies by the size of the request, and by
how much the servicer's resident memory grew, with its slope over the second half of the requests. Ends with 1
if a request failed or an image was another one. Linux: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import platform
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from zoo import registry, sampling

SERVICER = Path(__file__).parents[1] / "tests/serving/servicer.py"
SIZES = (1, 2, 4, 8, 16, 32, 64)
#: Seeds that are asked for: the image of each is known here.
SEEDS = 1024
TOLERANCE = 1e-5

Ask = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Answer:
    """One request: its rows, when it was answered and after how long, in seconds, and what was wrong."""

    rows: int
    at: float
    latency: float
    wrong: str | None


def grpc_client(model: str, ports: dict[str, int]) -> Ask:
    """Asks over a connection of its own."""
    # Channels of equal options would share one.
    own = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}", options=own)
    )

    def ask(seeds: np.ndarray) -> np.ndarray:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, "sample"
        request.inputs["seed"].CopyFrom(tf.make_tensor_proto(seeds, tf.int64))
        return tf.make_ndarray(stub.Predict(request, timeout=120).outputs["image"])

    return ask


def rest_client(model: str, ports: dict[str, int]) -> Ask:
    """Asks with a new connection for each request."""
    url = f"http://127.0.0.1:{ports['rest']}/v1/models/{model}:predict"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(seeds: np.ndarray) -> np.ndarray:
        body = json.dumps({"signature_name": "sample", "inputs": {"seed": seeds.tolist()}})
        with opener.open(url, body.encode(), timeout=120) as reply:
            return np.array(json.load(reply)["outputs"], np.float32)

    return ask


PROTOCOLS = {"grpc": grpc_client, "rest": rest_client}


def resident(pid: int) -> float:
    """The resident memory of a process in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(options: argparse.Namespace, pid: int, ports: dict[str, int], images: np.ndarray) -> int:
    """Sends all requests and prints what came of them; the number of failures."""
    random = np.random.default_rng(0)
    seeds = [random.integers(0, SEEDS, size) for size in random.choice(SIZES, options.requests)]
    make = PROTOCOLS[options.protocol]
    make(options.model, ports)(np.arange(SIZES[-1]))  # the first one prepares
    answers: list[Answer] = []
    memory: list[tuple[int, float]] = []  # requests that were answered, megabytes
    ended = threading.Event()
    begun = time.perf_counter()

    def work(client: int) -> None:
        ask = make(options.model, ports)
        for asked in seeds[client :: options.clients]:
            start = time.perf_counter()
            try:
                got = ask(asked)
                near = got.shape == images[asked].shape and np.abs(got - images[asked]).max() <= TOLERANCE
                wrong = None if near else "another image"
            except Exception as error:  # any failure counts, whatever it is
                wrong = f"{type(error).__name__}: {error}"
            end = time.perf_counter()
            answers.append(Answer(len(asked), end - begun, end - start, wrong))

    def watch() -> None:
        while not ended.wait(0.5):
            memory.append((len(answers), resident(pid)))

    with concurrent.futures.ThreadPoolExecutor(options.clients + 1) as pool:
        pool.submit(watch)
        for client in [pool.submit(work, client) for client in range(options.clients)]:
            client.result()
        ended.set()
    return report(options, answers, memory)


def report(options: argparse.Namespace, answers: list[Answer], memory: list[tuple[int, float]]) -> int:
    """Prints the tables; the number of failures."""
    seconds = max(each.at for each in answers)
    failures = [each.wrong for each in answers if each.wrong]
    rows = sum(each.rows for each in answers)
    cores = len(os.sched_getaffinity(0))
    print(
        f"{len(answers):,} requests to {options.model} over {options.protocol} by {options.clients} clients "
        f"in {seconds:.0f} s: {len(answers) / seconds:.0f} requests/s, {rows / seconds:,.0f} images/s; "
        f"{len(failures)} failures. {cores} cores, {platform.machine()}.\n"
    )
    print("| rows in a request | requests | p50 ms | p95 ms | p99 ms |")
    print("|---|---:|---:|---:|---:|")
    for size in (*SIZES, None):
        times = [1000 * each.latency for each in answers if size in (None, each.rows)]
        if times:
            cells = " | ".join(f"{each:.1f}" for each in np.percentile(times, [50, 95, 99]))
            print(f"| {size or 'all'} | {len(times):,} | {cells} |")
    half = [each for each in memory if each[0] >= len(answers) // 2]
    if len(half) >= 2:
        slope = np.polyfit(*zip(*half, strict=True), 1)[0]
        start, middle, end = (round(each[1]) for each in (memory[0], half[0], half[-1]))
        print(
            f"\nMemory of the servicer: {start} MB at the start, {middle} MB after half of the requests, "
            f"{end} MB at the end; slope over the second half {1e6 * slope:+.0f} kB per 1,000 requests."
        )
    for wrong in sorted({*failures}):
        print(f"{failures.count(wrong)} times: {wrong}", file=sys.stderr)
    return len(failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vae", help="a shipped model of images")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="grpc")
    options = parser.parse_args()
    base = registry.resolve(f"shipped:{options.model}").path.parent
    images = sampling.load(registry.resolve(f"shipped:{options.model}").path).sample(np.arange(SEEDS))
    process = subprocess.Popen(
        [sys.executable, str(SERVICER), f"{options.model}={base}"], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        failures = run(options, process.pid, ports, images)
    finally:
        process.terminate()
        process.wait()
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
