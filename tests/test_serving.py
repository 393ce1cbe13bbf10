"""The shipped model on a real server on loopback: both protocols, bad requests, crowds, new versions."""

import base64
import http.client
import io
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from conftest import ROOT, SAMPLE_RATE, tone, write_wav
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import Command

from ganad_tf.cli import arguments, main
from ganad_tf.config.sections import SyntheticData
from ganad_tf.datasets import synthetic
from ganad_tf.datasets.synthetic_machines import MACHINES
from ganad_tf.errors import InputError
from ganad_tf.results import metrics
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.batching import Batcher, Request
from ganad_tf.serving.models.signature import Field, Signature
from ganad_tf.serving.protocols import open_inference, rest

DEMO = ROOT / "exported_models/demo"
PREDICT = "/v1/models/demo:predict"
CLIPS = [
    np.round(tone(seconds, seed=seed) * 32768).astype(np.float32) / 32768 for seed, seconds in enumerate((1, 0.5, 1))
]
FILES = [wav.encode(clip, SAMPLE_RATE) for clip in CLIPS]


def changed(changes: list[tuple[int, int, bytes]]) -> bytes:
    """A WAV file with bytes at some places removed and others added."""
    file = FILES[1]
    for place, n_removed, added in changes:
        file = file[:place] + added + file[place + n_removed :]
    return file


def written(subtype: str = "PCM_16", form: str = "WAV", clip: np.ndarray = CLIPS[0]) -> bytes:
    """The bytes of an audio file."""
    stream = io.BytesIO()
    soundfile.write(stream, clip, SAMPLE_RATE, format=form, subtype=subtype)
    return stream.getvalue()


class Server:
    """`ganad serve` in a process of its own."""

    def __init__(
        self, folder: Path, *options: str, launcher: Sequence[str] = (), until: str = r"http\S+?:(\d+)$"
    ) -> None:
        words = ["serve", str(folder), "--port", "0", *options]
        command = [*launcher, sys.executable, "-m", "ganad_tf", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True) if launcher else Command(*words)
        assert self.process.stderr
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(until, line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise AssertionError("".join(self.lines))
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def ask(self, method: str, path: str, body: object = None, host: str = "127.0.0.1") -> tuple[int, dict]:
        """Status and JSON answer; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection(host, self.port, timeout=60)
        try:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def stop(self) -> int:
        """Interrupts it; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.ended(30)

    def ended(self, seconds: float) -> int:
        """Waits for its end; the exit code."""
        code = self.process.wait(seconds)
        self.reader.join()
        self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(DEMO, folder / "demo")
    running = Server(folder, "--poll", "0.3", "--max-body-mb", "2")
    running.folder = folder
    yield running
    assert running.process.poll() is None, "".join(running.lines)
    assert running.stop() in (0, 130)
    assert "Traceback" not in "".join(running.lines)


@pytest.fixture(scope="module")
def expected() -> list[float]:
    """The scores of the clips, from the artifact in this process."""
    artifact = Artifact(DEMO)
    return [float(artifact("score_waveform", {"waveform": clip[np.newaxis]})["anomaly_score"][0]) for clip in CLIPS]


def test_the_shipped_model_hears_the_faults_of_its_machine_in_new_clips():
    made, faults = SyntheticData(n_ids=2, seconds=4), MACHINES["fan"][1]
    clips = [
        (is_faulty, synthetic.recording("fan", machine_id, fault if is_faulty else None, (9, number, is_faulty), made))
        for machine_id in range(2)
        for number, fault in enumerate(faults * 6)
        for is_faulty in (False, True)
    ]
    outputs = Artifact(DEMO)("score_waveform", {"waveform": np.stack([clip for _, clip in clips]).astype(np.float32)})
    labels = np.array([label for label, _ in clips])
    assert metrics.auc(labels.astype(int).tolist(), outputs["anomaly_score"].tolist()) > 0.95
    assert outputs["is_anomaly"][labels].mean() > 0.9
    assert outputs["is_anomaly"][~labels].mean() < 0.4


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def test_tensorflow_servings_rows_and_columns(server, expected):
    files = [b64(file) for file in FILES]
    for rows in (files, [{"wav_bytes": file} for file in files]):
        status, answer = server.ask("POST", PREDICT, {"signature_name": "score_wav", "instances": rows})
        assert status == 200
        assert [row["anomaly_score"] for row in answer["predictions"]] == pytest.approx(expected, rel=1e-5)
        assert answer["predictions"][0].keys() == {"anomaly_score", "is_anomaly", "threshold"}
    for columns in (files, {"wav_bytes": files}):
        status, answer = server.ask("POST", PREDICT, {"signature_name": "score_wav", "inputs": columns})
        assert status == 200
        assert answer["outputs"]["anomaly_score"] == pytest.approx(expected, rel=1e-5)
    waveform = {"instances": [CLIPS[0].tolist(), CLIPS[2].tolist()]}
    for path in (PREDICT, "/v1/models/demo/versions/1:predict"):
        status, answer = server.ask("POST", path, waveform)
        assert [row["anomaly_score"] for row in answer["predictions"]] == pytest.approx(
            [expected[0], expected[2]], rel=1e-5
        )
    status, answer = server.ask("POST", PREDICT, {"signature_name": "explain", "instances": waveform["instances"][:1]})
    assert np.shape(answer["predictions"][0]["reconstruction"]) == (32, 128)


def with_chunk(file: bytes, place: int) -> bytes:
    """A WAV file with one more chunk, of odd length, at that place."""
    longer = file[:place] + b"LIST" + struct.pack("<I", 5) + b"INFOx" + b"\0" + file[place:]
    return longer[:4] + struct.pack("<I", len(longer) - 8) + longer[8:]


def test_every_whole_16_bit_wav_file_is_scored_by_what_it_holds(server, expected):
    eight = np.stack([CLIPS[0], *[CLIPS[1][:1].repeat(16000)] * 7], axis=1)
    kinds = {
        "extensible": written(form="WAVEX"),
        "a chunk before the samples": with_chunk(FILES[0], 36),
        "a chunk after the samples": with_chunk(FILES[0], len(FILES[0])),
        "eight channels, of which the first is scored": written(clip=eight),
    }
    for kind, file in kinds.items():
        status, answer = server.ask("POST", PREDICT, {**WAV, "instances": [b64(file)]})
        assert status == 200, (kind, answer)
        assert answer["predictions"][0]["anomaly_score"] == pytest.approx(expected[0], rel=1e-5), kind


def test_the_open_inference_protocol(server, expected):
    waveform = {"name": "waveform", "shape": [1, 16000], "datatype": "FP32", "data": CLIPS[0].tolist()}
    status, answer = server.ask("POST", "/v2/models/demo/infer", {"id": "a", "inputs": [waveform]})
    assert (status, answer["id"], answer["model_version"]) == (200, "a", "1")
    outputs = {tensor["name"]: tensor for tensor in answer["outputs"]}
    assert outputs["anomaly_score"]["data"] == pytest.approx(expected[:1], rel=1e-5)
    assert (outputs["is_anomaly"]["datatype"], outputs["is_anomaly"]["shape"]) == ("BOOL", [1])
    files = {"name": "wav_bytes", "shape": [3], "datatype": "BYTES", "data": [b64(file)["b64"] for file in FILES]}
    body = {"inputs": [files], "outputs": [{"name": "anomaly_score"}]}
    status, answer = server.ask("POST", "/v2/models/demo/versions/1/infer", body)
    assert status == 200
    assert [tensor["name"] for tensor in answer["outputs"]] == ["anomaly_score"]
    assert answer["outputs"][0]["data"] == pytest.approx(expected, rel=1e-5)


def test_an_id_that_is_no_text_is_answered(server):
    tensor = {"name": "wav_bytes", "shape": [1], "datatype": "BYTES", "data": [b64(FILES[0])["b64"]]}
    status, answer = server.ask("POST", "/v2/models/demo/infer", {"id": "a\ud800", "inputs": [tensor]})
    assert (status, answer["id"]) == (200, "a?")


def test_a_version_is_asked_for_in_the_path_alone(server):
    status, _ = server.ask("POST", f"{PREDICT}?version=7", {**WAV, "instances": [b64(FILES[0])]})
    assert status == 200


def test_what_is_there_is_told(server):
    assert server.ask("GET", "/v1/models/demo")[1]["model_version_status"][0]["state"] == "AVAILABLE"
    _, answer = server.ask("GET", "/v1/models/demo/versions/1/metadata")
    definition = answer["metadata"]["signature_def"]["signature_def"]["score_wav"]
    assert answer["metadata"]["ganad"] == Artifact(DEMO).about()
    assert definition["inputs"]["wav_bytes"]["dtype"] == "DT_STRING"
    assert definition["outputs"]["anomaly_score"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert server.ask("GET", "/v1/models")[1] == {"models": ["demo"]}
    assert server.ask("GET", "/v2/health/ready")[1] == {"ready": True}
    assert server.ask("GET", "/v2/models/demo/ready") == (200, {"name": "demo", "ready": True})
    assert server.ask("GET", "/v2/models/demo")[1]["inputs"] == [
        {"name": "waveform", "datatype": "FP32", "shape": [-1, -1]}
    ]


WAV = {"signature_name": "score_wav"}
BAD = {
    "not JSON": (PREDICT, b'{"instances": [', 400, "JSON"),
    "NaN in JSON": (PREDICT, b'{"instances": [[NaN, 0.5]]}', 400, "waveform: .*NaN or infinity in clip 0"),
    "infinity in JSON": (PREDICT, b'{"instances": [[0.5, 1e999]]}', 400, "waveform: .*NaN or infinity in clip 0"),
    "whole numbers": (PREDICT, {"instances": [[9000] * 9000]}, 400, "waveform: expected samples from -1 to 1"),
    "a name over two lines": (PREDICT, {"instances": [{"a\nb": 1}]}, 400, r"'a\\nb': not an input"),
    "a list": (PREDICT, [1, 2], 400, "the body"),
    "neither": (PREDICT, {}, 400, "instances"),
    "both": (PREDICT, {"instances": [[1.0]], "inputs": [[1.0]]}, 400, "not both"),
    "empty batch": (PREDICT, {"instances": []}, 400, "instances: expected at least one clip"),
    "empty columns": (PREDICT, {"inputs": []}, 400, "waveform"),
    "empty clip": (PREDICT, {"instances": [[]]}, 400, "waveform: .*empty"),
    "short clip": (
        PREDICT,
        {"instances": [[0.1] * 100]},
        400,
        "waveform: expected at least 2048 samples, received 100",
    ),
    "too large a number": (PREDICT, {"instances": [[1e39] * 4000]}, 400, "waveform: .*infinity in clip 0"),
    "unequal lengths": (PREDICT, {"instances": [[0.1] * 9000, [0.1] * 8000]}, 400, r"waveform\[1\]: .*equal lengths"),
    "rank": (PREDICT, {"instances": [0.1, 0.2]}, 400, "waveform: expected lists nested 2 deep"),
    "strings": (PREDICT, {"instances": [["a", "b"]]}, 400, r"waveform\[0\]: expected numbers"),
    "long strings": (
        PREDICT,
        {"instances": [["a" * 1_000_000] + [""] * 200_000]},  # 800 GB as an array
        400,
        r"waveform\[0\]: expected numbers",
    ),
    "half a character": (PREDICT, b'{"signature_name": "score_wav", "instances": ["\\ud800"]}', 400, r"wav_bytes\[0\]"),
    "signature": (PREDICT, {"signature_name": "nope", "instances": [[0.1]]}, 400, "signature_name: expected one of"),
    "signature's type": (PREDICT, {"signature_name": 3, "instances": [[0.1]]}, 400, "signature_name"),
    "wrong name": (PREDICT, {"instances": [{"sound": [0.1]}]}, 400, "sound: not an input"),
    "base64": (PREDICT, {**WAV, "instances": [{"b64": "*"}]}, 400, r"wav_bytes\[0\]: expected base64"),
    "no base64": (PREDICT, {**WAV, "instances": [7]}, 400, r"wav_bytes\[0\]: expected .*b64"),
    "a text as WAV": (PREDICT, {**WAV, "instances": [b64(b"hello, hello" * 9)]}, 400, r"wav_bytes\[0\]: .*RIFF"),
    "no text as WAV": (PREDICT, {**WAV, "instances": [b64(b"\xff\xfb\x90\x64" * 99)]}, 400, r"wav_bytes\[0\]: .*RIFF"),
    "WAV cut off": (
        PREDICT,
        {**WAV, "instances": [b64(FILES[0]), b64(FILES[0][:9000])]},
        400,
        r"wav_bytes\[1\]: .*cut off",
    ),
    "24-bit WAV": (PREDICT, {**WAV, "instances": [b64(written("PCM_24"))]}, 400, r"wav_bytes\[0\]: .*24-bit PCM"),
    "float WAV": (PREDICT, {**WAV, "instances": [b64(written("FLOAT"))]}, 400, r"wav_bytes\[0\]: .*32-bit floating"),
    "WAV at 2 GHz": (PREDICT, {**WAV, "instances": [b64(changed([(24, 4, b"\0\0\0\x80")]))]}, 400, "makes sense"),
    "WAV at another rate": (
        PREDICT,
        {**WAV, "instances": [b64(wav.encode(CLIPS[0], 8000))]},
        400,
        "wav_bytes: .*16000 Hz",
    ),
    "body too large": (PREDICT, b" " * 3_000_000, 413, "the body: expected at most 2 MB"),
    "no model": ("/v1/models/other:predict", {"instances": [[0.1]]}, 404, "other"),
    "no version": ("/v1/models/demo/versions/7:predict", {"instances": [[0.1]]}, 404, "version 7"),
    "no number": ("/v1/models/demo/versions/x:predict", {"instances": [[0.1]]}, 404, "version"),
    "no path": ("/v1/nothing", {}, 404, "Not Found"),
    "v2: nothing": ("/v2/models/demo/infer", {}, 400, "inputs"),
    "v2: name": ("/v2/models/demo/infer", {"inputs": [{"name": "x"}]}, 400, "inputs: expected a tensor named"),
    "v2: datatype": (
        "/v2/models/demo/infer",
        {"inputs": [{"name": "waveform", "shape": [1, 1], "datatype": "INT8", "data": [1]}]},
        400,
        "waveform.datatype: expected FP32",
    ),
    "v2: shape": (
        "/v2/models/demo/infer",
        {"inputs": [{"name": "waveform", "shape": [2, 9], "datatype": "FP32", "data": [1]}]},
        400,
        "waveform.shape",
    ),
    "v2: an empty shape, but huge": (
        "/v2/models/demo/infer",
        {"inputs": [{"name": "log_mel", "shape": [0, 2**31 - 1, 2**31 - 1], "datatype": "FP32", "data": []}]},
        400,
        "log_mel.shape",
    ),
    "v2: nested otherwise": (
        "/v2/models/demo/infer",
        {"inputs": [{"name": "waveform", "shape": [2, 4000], "datatype": "FP32", "data": [[0.1] * 8000]}]},
        400,
        "waveform.shape",
    ),
    "v2: a name twice": (
        "/v2/models/demo/infer",
        {"inputs": [{"name": "waveform", "shape": [1, 1], "datatype": "FP32", "data": [1]}] * 2},
        400,
        "waveform twice",
    ),
    "v2: too many": (
        "/v2/models/demo/infer",
        {"inputs": [{"name": "waveform"}, {"name": "x"}], "parameters": {"signature_name": "score_waveform"}},
        400,
        "x is not an input of score_waveform",
    ),
    "no such verb": ("/v1/models/demo:explain", {}, 404, "there is :predict"),
    "too long a number": ("/v1/models/demo/versions/00000000000000000001:predict", {}, 404, "version as a number"),
    "v2: no model": ("/v2/models/other/infer", {}, 404, "other"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_answered_in_one_sentence_that_names_the_field(server, case):
    path, body, status, sentence = BAD[case]
    found, answer = server.ask("POST", path, body)
    assert (found, list(answer)) == (status, ["error"])
    assert re.search(sentence, answer["error"]), answer
    assert "\n" not in answer["error"]


def test_a_bad_clip_spoils_nobody_elses_answer(server, expected):
    good, bad = {**WAV, "instances": [b64(FILES[0])]}, {**WAV, "instances": [b64(b"RIFFWAVE" * 99)]}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: server.ask("POST", PREDICT, body), [good, bad, good, good] * 15))
    assert [status for status, _ in answers] == [200, 400, 200, 200] * 15
    scores = {answer["predictions"][0]["anomaly_score"] for status, answer in answers if status == 200}
    assert max(scores) - min(scores) <= 1e-5 * expected[0]


def test_what_goes_wrong_in_a_call_reaches_only_who_asked_and_the_worker_lives_on():
    def model(_: str, inputs: dict) -> dict:
        if (inputs["x"] == 0).any():
            raise ZeroDivisionError
        return {"y": np.float32(1) if (inputs["x"] == 9).any() else inputs["x"][:, 0]}

    batcher = Batcher(n_workers=1, largest=8)
    cancelled = Request(model, "f", {"x": np.array([[5]])})
    cancelled.future.cancel()
    futures = [batcher.submit(Request(model, "f", {"x": np.array([[value]])})) for value in (1, 0, 2, 9, 3)]
    batcher.submit(cancelled)
    results = [future.exception(10) or future.result(10)["y"].tolist() for future in futures]
    assert [results[0], results[2], results[4]] == [[1], [2], [3]]
    assert isinstance(results[1], ZeroDivisionError)
    assert batcher.submit(Request(model, "f", {"x": np.array([[4]])})).result(10)["y"].tolist() == [4]
    batcher.close()


def test_requests_that_wait_together_are_answered_by_one_call():
    calls, gate = [], threading.Event()

    def model(_: str, inputs: dict) -> dict:
        gate.wait()
        calls.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise InputError("x: expected no negative number.")
        return {"y": inputs["x"][:, 0] * 2}

    batcher = Batcher(n_workers=1, largest=8)
    values = [1, 2, 3, -4, 5, 6, 7, 8, 9, 10, 11, 12]
    futures = [batcher.submit(Request(model, "f", {"x": np.array([[value]])})) for value in values]
    other = batcher.submit(Request(model, "f", {"x": np.array([[1, 2]])}))  # another shape
    gate.set()
    for value, future in zip(values, futures, strict=True):
        if value < 0:
            with pytest.raises(InputError, match="negative"):
                future.result(10)
        else:
            assert future.result(10)["y"].tolist() == [2 * value]
    assert other.result(10)["y"].tolist() == [2]
    batcher.close()
    assert max(calls) == 8
    assert len(calls) < len(values)


@pytest.mark.slow
def test_a_crowd_gets_answers_or_503_and_the_next_one_is_served(expected):
    running = Server(DEMO, "--queue", "4")
    body = {**WAV, "instances": [b64(FILES[0])]}
    try:
        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda _: running.ask("POST", PREDICT, body), range(400)))
        statuses = {status for status, _ in answers}
        assert statuses == {200, 503}
        assert {answer["error"] for status, answer in answers if status == 503} == {
            "too many requests at a time; try again in a moment."
        }
        begin = time.monotonic()
        status, answer = running.ask("POST", PREDICT, body)
        assert status == 200
        assert answer["predictions"][0]["anomaly_score"] == pytest.approx(expected[0], rel=1e-5)
        assert time.monotonic() - begin < 2
    finally:
        running.stop()


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_versions_come_and_go_without_a_restart(server):
    def states() -> dict[str, str]:
        found = server.ask("GET", "/v1/models/demo")[1]["model_version_status"]
        return {each["version"]: each["state"] for each in found}

    def served() -> str:
        return server.ask("GET", "/v1/models/demo/metadata")[1]["model_spec"]["version"]

    folder = server.folder / "demo"
    shutil.copytree(DEMO / "1", folder / ".2.tmp")
    (folder / ".2.tmp").rename(folder / "2")
    wait_for(lambda: served() == "2")
    assert states() == {"2": "AVAILABLE", "1": "AVAILABLE"}
    body = {**WAV, "instances": [b64(FILES[0])]}
    assert server.ask("POST", "/v1/models/demo/versions/1:predict", body)[0] == 200
    (folder / "3").mkdir()
    shutil.copytree(DEMO / "1/assets.extra", folder / "3/assets.extra")
    (folder / "3/saved_model.pb").write_bytes(b"half of a mod")
    wait_for(lambda: states().get("3") == "END")
    assert served() == "2"
    assert server.ask("POST", PREDICT, body)[0] == 200
    assert server.ask("POST", "/v1/models/demo/versions/3:predict", body)[0] == 404
    shutil.copytree(DEMO / "1", folder / "3", dirs_exist_ok=True)  # the other half arrives
    wait_for(lambda: served() == "3")
    shutil.copytree(DEMO / "1", server.folder / "broken/1")
    (server.folder / "broken/1/assets.extra/ganad.json").write_text('{"input": {}}')
    shutil.copytree(DEMO, server.folder / "another")
    wait_for(lambda: server.ask("GET", "/v1/models")[1]["models"] == ["another", "demo"])
    assert server.ask("POST", "/v1/models/another:predict", body)[0] == 200
    assert server.ask("POST", "/v1/models/broken:predict", body)[0] == 404
    for version in ("2", "3"):
        shutil.rmtree(folder / version)
    for name in ("another", "broken"):
        shutil.rmtree(server.folder / name)
    wait_for(lambda: served() == "1")
    assert server.ask("POST", "/v1/models/demo/versions/2:predict", body)[0] == 404


def test_predict_says_the_same_from_an_artifact_and_from_a_server(server, ganad, tmp_path, expected):
    for number, clip in enumerate(CLIPS):
        write_wav(tmp_path / f"{number}.wav", clip)
    names = ["0.wav", "1.wav", "2.wav"]
    url = f"http://127.0.0.1:{server.port}/v1/models/demo"
    local = ganad("predict", DEMO, *names, "--json", cwd=tmp_path)
    remote = ganad("predict", url, *names, "--csv", cwd=tmp_path)
    assert [row["anomaly_score"] for row in json.loads(local.stdout)] == pytest.approx(expected, rel=1e-5)
    header, *rows = [line.split(",") for line in remote.stdout.splitlines()]
    assert header == ["file", "anomaly_score", "is_anomaly", "threshold", "p_value", "not_judged"]
    assert [row[0] for row in rows] == names
    assert [float(row[1]) for row in rows] == pytest.approx(expected, rel=1e-5)
    table = ganad("predict", DEMO, "0.wav", cwd=tmp_path).stdout
    assert re.search(r"0\.wav +\S+ +\S+  (normal|ANOMALY)", table)


def test_predict_takes_folders_for_the_recordings_in_them(server, ganad, tmp_path):
    for name, clip in zip(("b/2.wav", "b/2026/1.wav", "a.wav"), CLIPS, strict=False):
        write_wav(tmp_path / "new" / name, clip)
    for left in ("Thumbs.db", ".DS_Store", "b/._2.wav", "b/2.wav:Zone.Identifier", "b/@eaDir/2.wav", "b/notes.txt"):
        (tmp_path / "new" / left).parent.mkdir(exist_ok=True)
        (tmp_path / "new" / left).write_bytes(b"x")
    write_wav(tmp_path / "z.wav", CLIPS[0])
    (tmp_path / "empty" / "lost+found").mkdir(parents=True)
    for model in (DEMO, f"http://127.0.0.1:{server.port}/v1/models/demo"):
        done = ganad("predict", model, "z.wav", "new", "new/b", "--csv", cwd=tmp_path)
        found = [line.split(",")[0] for line in done.stdout.splitlines()[1:]]
        in_b = ["new/b/2.wav", "new/b/2026/1.wav"]
        assert found == ["z.wav", "new/a.wav", *in_b, *in_b]
        assert "left out: new/b/notes.txt: expected a recording" in done.stderr
        done = ganad("predict", model, "empty", "z.wav", "--csv", cwd=tmp_path, check=2)
        assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["z.wav"]
        sentence = "ganad: empty: expected recordings (WAV, FLAC, OGG, ...) in this folder, but there are none.\n"
        assert done.stderr == sentence
        assert ganad("predict", model, "empty", cwd=tmp_path, check=2).stderr == sentence


def test_predict_names_the_files_that_it_cannot_score_and_scores_the_others(server, ganad, tmp_path):
    write_wav(tmp_path / "good.wav", CLIPS[0])
    write_wav(tmp_path / "deep.wav", CLIPS[0], subtype="PCM_24")
    (tmp_path / "text.wav").write_text("not a recording")
    url = f"http://127.0.0.1:{server.port}/v1/models/demo"
    names = ["text.wav", "good.wav", "missing.wav"]
    for model in (DEMO, url):
        done = ganad("predict", model, *names, "--csv", cwd=tmp_path, check=2)
        assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["file", "good.wav"]
        assert re.search("text.wav: .*\n.*missing.wav: ", done.stderr)
        assert ganad("predict", model, "deep.wav", cwd=tmp_path).returncode == 0
    done = ganad("predict", url.replace("demo", "other"), "good.wav", cwd=tmp_path, check=2)
    assert "404: Model other is not here" in done.stderr
    done = ganad("predict", "http://127.0.0.1:9/v1/models/demo", "good.wav", cwd=tmp_path, check=2)
    assert "refused" in done.stderr
    done = ganad("predict", tmp_path, "good.wav", cwd=tmp_path, check=2)
    assert "Expected an exported model" in done.stderr


def test_a_version_that_is_not_there_has_no_status(server):
    assert server.ask("GET", "/v1/models/demo/versions/99") == (404, {"error": "Model demo has no version 99."})
    status, answer = server.ask("GET", "/v1/models/demo/versions/1")
    assert (status, [row["version"] for row in answer["model_version_status"]]) == (200, ["1"])


def test_the_container_says_what_the_command_line_takes(server, expected):
    folder = ROOT / "tools/kubernetes"
    command = json.loads(re.search(r"^CMD (.*)$", (folder / "Dockerfile").read_text(), re.M)[1])
    options = arguments.parser(main.VERBS).parse_args(command)
    service = yaml.safe_load((folder / "inference_service.yaml").read_text())
    container = service["spec"]["predictor"]["containers"][0]
    assert (options.port, options.host) == (container["ports"][0]["containerPort"], "0.0.0.0")
    assert container["name"] == "kserve-container"
    assert container["env"] == [{"name": "STORAGE_URI", "value": "pvc://models"}]  # mounted where the command looks
    assert str(options.folder) == "/mnt/models"
    given = vars(arguments.parser(main.VERBS).parse_args(container["args"]))
    assert given == vars(options) | {"loaded": 20}  # whose 70 MB each fit into the limit
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == options.port
        assert server.ask("GET", asked["path"])[0] == 200
    assert container["resources"].keys() == {"requests", "limits"}
    longest = options.limit_drain_seconds + int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert service["spec"]["predictor"]["terminationGracePeriodSeconds"] > longest
    tensor = {"name": "wav_bytes", "shape": [1], "datatype": "BYTES", "data": [b64(FILES[0])["b64"]]}
    for path, body, scores in (  # the addresses of KServe's protocols
        (
            "/v1/models/demo:predict",
            {**WAV, "instances": [b64(FILES[0])]},
            lambda of: of["predictions"][0]["anomaly_score"],
        ),
        (
            "/v2/models/demo/infer",
            {"inputs": [tensor], "outputs": [{"name": "anomaly_score"}]},
            lambda of: of["outputs"][0]["data"][0],
        ),
    ):
        status, answer = server.ask("POST", path, body)
        assert (status, scores(answer)) == (200, pytest.approx(expected[0], rel=1e-5))
    for path in ("/", "/v1/models", "/v1/models/demo", "/v2", "/v2/models/demo", "/v2/models/demo/ready"):
        assert server.ask("GET", path)[0] == 200, path
    deployment = yaml.safe_load((folder / "tensorflow_serving.yaml").read_text())
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["resources"].keys() == {"requests", "limits"}


def test_a_client_needs_no_tensorflow():
    code = "import sys, ganad_tf.cli.main, ganad_tf.serving.predict.client; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Requests that are nearly right, and some that are nothing at all.
NAMES = st.sampled_from(["waveform", "wav_bytes", "log_mel", "b64", "instances", "x", ""])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("\ud800")
)
VALUES = st.recursive(
    SCALARS | st.just({"b64": "UklGRg=="}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SIGNATURE_NAMES = st.sampled_from(["score_waveform", "score_wav", "score_frames", "explain", "nope"]) | SCALARS
V1 = st.fixed_dictionaries(
    {}, optional={"instances": VALUES, "inputs": VALUES, "signature_name": SIGNATURE_NAMES, "x": VALUES}
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | SCALARS,
        "shape": st.lists(st.integers(-2, 5) | st.just(2**31 - 1), max_size=4) | SCALARS,
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "INT8"]) | SCALARS,
        "data": VALUES,
    },
)
V2 = st.fixed_dictionaries(
    {},
    optional={"inputs": st.lists(TENSOR, max_size=2) | VALUES, "outputs": VALUES, "parameters": VALUES, "id": VALUES},
)
NEARLY = st.one_of(V1, VALUES).map(lambda body: (PREDICT, body)) | V2.map(lambda body: ("/v2/models/demo/infer", body))
FEW, MANY = (
    settings(max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    for n in (400, 1500)
)
by_numbers_of_examples = pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)


# WAV files with a few bytes that are others, missing or doubled.
PLACES = st.integers(0, 60) | st.integers(0, len(FILES[1]))
CHANGES = st.lists(st.tuples(PLACES, st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4)


@by_numbers_of_examples
def test_no_request_breaks_the_server(server, examples):
    @examples
    @given(NEARLY, st.binary(max_size=80), CHANGES)
    def holds(nearly, noise, changes):
        path, body = nearly
        for content in (body, noise, {**WAV, "instances": [b64(noise)]}):
            status, answer = server.ask("POST", path, content)
            assert status == 400, (status, answer)
            assert answer["error"]
        status, answer = server.ask("POST", PREDICT, {**WAV, "instances": [b64(changed(changes))]})
        assert status in (200, 400), answer  # 200 where samples alone are others

    holds()


SIGNATURES = {
    "serving_default": Signature({"waveform": Field(np.dtype("f4"), (None, None))}, {}),
    "score_wav": Signature({"wav_bytes": Field(np.dtype("O"), (None,))}, {}),
    "two": Signature({"a": Field(np.dtype("f4"), (None,)), "b": Field(np.dtype("O"), (None,))}, {}),
}


@by_numbers_of_examples
def test_a_request_is_read_into_what_the_signature_takes_or_refused(examples):
    @examples
    @given(NEARLY, st.sampled_from([*SIGNATURES, None]))
    def holds(nearly, name):
        path, body = nearly
        if isinstance(body, dict) and name:
            body = {**body, "signature_name": name}
        read = rest.read_request if path == PREDICT else open_inference.read_request
        try:
            name, *_, inputs = read(body, SIGNATURES)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            for key, values in inputs.items():
                assert values.dtype == SIGNATURES[name].inputs[key].dtype

    holds()
