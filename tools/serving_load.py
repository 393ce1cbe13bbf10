"""An exported model under load: in a process of its own, then behind `ganad serve`. Part of tools/benchmark.py."""

import base64
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from process_memory import RESIDENT, megabytes

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_RATE, CLIP_SECONDS = 16000, 10
CLIENTS, CROWD = 8, 200


def measure(model: Path, seconds: float) -> dict[str, object]:
    """The rows: one process without a server, a steady load for so many seconds, a crowd."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"}
    command = [sys.executable, __file__, str(model), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout) | over_http(model, seconds)


def in_process(model: Path, seconds: float) -> dict[str, object]:
    """Scores 10 s clips from waveform to score: latency of one, throughput of batches; so many seconds each at most."""
    import tensorflow as tf

    from ganad_tf import runtime
    from ganad_tf.serving.models.artifact import Artifact

    runtime.full_float32()
    artifact = Artifact(model)
    noise = np.random.default_rng(0).normal(0, 0.05, [32, CLIP_SECONDS * SAMPLE_RATE]).astype(np.float32)
    one = _times(lambda: artifact("score_waveform", {"waveform": noise[:1]}), 200, seconds)
    batch = _times(lambda: artifact("score_waveform", {"waveform": noise}), 20, seconds)
    return {
        "tensorflow": tf.__version__,
        "in process, batch 1: median ms": 1e3 * statistics.median(one),
        "in process, batch 1: 90th percentile ms": 1e3 * _percentile(one, 90),
        "in process, batch 1: times real time": CLIP_SECONDS / statistics.median(one),
        "in process, batch 32: clips/s": len(noise) / statistics.median(batch),
    }


def over_http(model: Path, seconds: float) -> dict[str, object]:
    """WAV bytes over loopback: a steady load, then a crowd."""
    with _server(model) as (port, pid):
        _load(port, model.name, CLIENTS, min(10.0, seconds))  # warm-up
        before = megabytes(RESIDENT, pid)
        statuses, times = _load(port, model.name, CLIENTS, seconds)
        after = megabytes(RESIDENT, pid)
        rows: dict[str, object] = {
            f"HTTP, {CLIENTS} clients: clips/s": len(times) / seconds,
            f"HTTP, {CLIENTS} clients: answers by status": dict(statuses),
            f"HTTP, {CLIENTS} clients: median ms": 1e3 * statistics.median(times),
            f"HTTP, {CLIENTS} clients: 99th percentile ms": 1e3 * _percentile(times, 99),
            f"HTTP, {CLIENTS} clients: 99th percentile / median": _percentile(times, 99) / statistics.median(times),
            f"HTTP, {CLIENTS} clients: memory before, after (MB)": [before, after],
        }
        statuses, _ = _load(port, model.name, CROWD, min(10.0, seconds))
        begin = time.perf_counter()
        status = _post(_connection(port), model.name, _body())
        rows[f"HTTP, {CROWD} clients: answers by status"] = dict(statuses)
        rows["HTTP, the next one after the crowd: status, ms"] = [status, 1e3 * (time.perf_counter() - begin)]
        return rows


def _load(port: int, name: str, clients: int, seconds: float) -> tuple[Counter, list[float]]:
    """Clients that ask again as soon as they have their answer: answers by status, and seconds of each 200."""
    end, body = time.perf_counter() + seconds, _body()
    statuses: Counter = Counter()
    times: list[float] = []
    lock = threading.Lock()

    def ask(_: int) -> None:
        connection = _connection(port)
        while time.perf_counter() < end:
            begin = time.perf_counter()
            try:
                status = _post(connection, name, body)
            except OSError as error:
                status, connection = type(error).__name__, _connection(port)
            with lock:
                statuses[str(status)] += 1
                if status == 200:
                    times.append(time.perf_counter() - begin)
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return statuses, times


@contextmanager
def _server(model: Path) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "ganad_tf", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = next(filter(None, (re.search(r"http://[\d.]+:(\d+)", line) for line in process.stderr or ())))
            yield int(address[1]), process.pid
        finally:
            process.terminate()


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def _post(connection: http.client.HTTPConnection, name: str, body: bytes) -> int:
    connection.request("POST", f"/v1/models/{name}:predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _body() -> bytes:
    from ganad_tf.serving.models import wav

    noise = np.random.default_rng(0).normal(0, 0.05, CLIP_SECONDS * SAMPLE_RATE)
    file = base64.b64encode(wav.encode(noise, SAMPLE_RATE)).decode()
    return json.dumps({"signature_name": "score_wav", "instances": [{"b64": file}]}).encode()


def _times(call, repetitions: int, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    for _ in range(5):
        call()
    times: list[float] = []
    while len(times) < repetitions and (not times or time.perf_counter() < end):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def _percentile(times: list[float], share: float) -> float:
    return float(np.percentile(times, share))


if __name__ == "__main__":
    print(json.dumps(in_process(Path(sys.argv[1]), float(sys.argv[2]))))
