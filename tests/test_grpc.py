"""TensorFlow Serving's gRPC API on a real server, asked by tensorflow-serving-api's stubs and by `ganad predict`."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, SAMPLE_RATE, tone, write_wav
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_process import ServingProcess
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ganad_tf.errors import InputError
from ganad_tf.serving.grpc import messages
from ganad_tf.serving.models import wav
from ganad_tf.serving.predict import grpc_client

DEMO = ROOT / "exported_models/demo"
CLIPS = np.stack([tone(seed=seed) for seed in range(3)])
FILES = [wav.encode(clip, SAMPLE_RATE) for clip in CLIPS]
BODY_SECONDS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(DEMO, folder / "demo")
    running = ServingProcess(
        folder, "--max-body-mb", 2, "--body-seconds", BODY_SECONDS, "--head-seconds", 1, "--access-log"
    )
    yield running
    assert running.process.poll() is None, "".join(running.lines)
    assert running.stop() == 0
    assert "Traceback" not in "".join(running.lines)


@pytest.fixture(scope="module")
def channel(server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as open_channel:
        yield open_channel


@pytest.fixture(scope="module")
def stub(channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(signature: str = "", name: str = "demo", **inputs: object) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = name, signature
    for key, values in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(values))
    return message


def arrays(response: predict_pb2.PredictResponse) -> dict[str, list]:
    return {key: tf.make_ndarray(tensor).tolist() for key, tensor in response.outputs.items()}


def rest(server: ServingProcess, signature: str, values: list) -> dict[str, list]:
    """The same question over REST."""
    body = json.dumps({"signature_name": signature, "inputs": values}).encode()
    url = f"http://127.0.0.1:{server.port}/v1/models/demo:predict"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
        return json.loads(answer.read())["outputs"]


def test_scores_are_those_of_rest(server, stub):
    expected = rest(server, "score_waveform", CLIPS.tolist())
    assert len(set(expected["anomaly_score"])) == 3
    for signature in ("", "serving_default", "score_waveform"):
        found = stub.Predict(request(signature, waveform=CLIPS))
        assert found.model_spec.version.value == 1
        assert found.model_spec.signature_name == (signature or "serving_default")
        assert arrays(found).keys() == {"anomaly_score", "is_anomaly", "threshold"}
        for key, values in arrays(found).items():
            assert values == pytest.approx(expected[key], rel=1e-6)
    found = arrays(stub.Predict(request("score_wav", wav_bytes=FILES)))
    assert found["anomaly_score"] == pytest.approx(expected["anomaly_score"], rel=1e-4)


def test_numbers_may_be_listed_one_by_one(stub):
    message = request(waveform=CLIPS[:1])
    expected = arrays(stub.Predict(message))
    message.inputs["waveform"].ClearField("tensor_content")
    message.inputs["waveform"].float_val.extend(CLIPS[0].tolist())
    assert arrays(stub.Predict(message)) == expected


def test_outputs_are_those_asked_for_and_a_version_may_be_named(stub):
    message = request(waveform=CLIPS)
    message.output_filter.append("is_anomaly")
    message.model_spec.version.value = 1
    assert list(arrays(stub.Predict(message))) == ["is_anomaly"]


def changed(change, **inputs: object) -> predict_pb2.PredictRequest:
    message = request(**(inputs or {"waveform": CLIPS}))
    change(message)
    return message


def shape(*sizes: int):
    def change(message: predict_pb2.PredictRequest) -> None:
        tensor_shape = message.inputs["waveform"].tensor_shape
        tensor_shape.ClearField("dim")
        for size in sizes:
            tensor_shape.dim.add(size=size)

    return change


def one_value(message: predict_pb2.PredictRequest) -> None:
    message.inputs["waveform"].ClearField("tensor_content")
    message.inputs["waveform"].float_val.append(0.5)


WRONG = grpc.StatusCode.INVALID_ARGUMENT
NOT_HERE = grpc.StatusCode.NOT_FOUND
EIGHT_KHZ = wav.encode(CLIPS[0], 8000)
BAD = {
    "no model": (request(name="other", waveform=CLIPS), NOT_HERE, "Model other is not here"),
    "no version": (
        changed(lambda message: setattr(message.model_spec.version, "value", 7)),
        NOT_HERE,
        "has no version 7; there are: 1",
    ),
    "a label": (
        changed(lambda message: setattr(message.model_spec, "version_label", "x")),
        WRONG,
        "version_label: not",
    ),
    "no name": (request(name="", waveform=CLIPS), WRONG, "model_spec.name: expected"),
    "no signature": (
        request("nope", waveform=CLIPS),
        WRONG,
        "signature_name: expected one of audio_format, explain, score_frames",
    ),
    "no input": (request(), WRONG, "waveform: expected, but missing"),
    "another input": (request(waveform=CLIPS, x=[1.0]), WRONG, "x: not an input of this signature"),
    "a name over two lines": (request(**{"a\nb": [1.0]}), WRONG, r"'a\\nb': not an input"),
    "dtype": (request(waveform=CLIPS.astype(float)), WRONG, "waveform.dtype: expected DT_FLOAT .* Received: DT_DOUBLE"),
    "rank": (request(waveform=CLIPS[0]), WRONG, r"waveform: expected the shape \[\?, \?\]. Received: \[16000\]"),
    "an empty batch": (request(waveform=CLIPS[:0]), WRONG, "waveform.tensor_shape: .*none of them 0"),
    "a short clip": (
        request(waveform=CLIPS[:1, :100]),
        WRONG,
        "waveform: expected at least 2048 samples, received 100",
    ),
    "NaN": (request(waveform=np.stack([CLIPS[0], CLIPS[1] * np.nan])), WRONG, "waveform: .*NaN or infinity in clip 1"),
    "the second file": (
        request("score_wav", wav_bytes=[FILES[0], EIGHT_KHZ]),
        WRONG,
        r"^wav_bytes\[1\]: expected a sample rate of 16000 Hz, received 8000\.$",
    ),
    "no WAV": (request("score_wav", wav_bytes=[FILES[0], b"hello"]), WRONG, r"^wav_bytes\[1\]: expected a WAV file"),
    "a huge shape": (changed(shape(2**40, 2**40)), WRONG, "waveform.tensor_shape: expected sizes that fit the 48000"),
    "less than nothing": (
        changed(shape(-3, -16000)),
        WRONG,
        "waveform.tensor_shape: expected sizes, none of them 0. Received",
    ),
    "one value for all": (changed(one_value), WRONG, "waveform.tensor_shape: expected sizes that fit the 1 values"),
    "half a number": (
        changed(lambda message: setattr(message.inputs["waveform"], "tensor_content", b"\0" * 7)),
        WRONG,
        "waveform.tensor_content: expected 4 bytes per value",
    ),
    "many clips": (request("score_wav", wav_bytes=[b""] * 257), WRONG, "wav_bytes: expected at most 256 clips"),
    "an output": (
        changed(lambda message: message.output_filter.append("x")),
        WRONG,
        "output_filter: expected names among anomaly_score, is_anomaly, threshold. Received: 'x'",
    ),
    "a large message": (
        request(waveform=np.zeros([2, 400_000], np.float32)),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "larger than max",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_one_sentence_under_the_right_code(stub, case):
    message, code, sentence = BAD[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(message)
    assert caught.value.code() == code
    with pytest.raises(InputError, match=sentence):
        raise InputError(caught.value.details())
    assert "\n" not in caught.value.details()


TENSORS = st.builds(
    lambda dtype, sizes, content, numbers, texts: tf.make_tensor_proto(0.0).__class__(
        dtype=dtype,
        tensor_shape={"dim": [{"size": size} for size in sizes]},
        tensor_content=content,
        float_val=numbers,
        string_val=texts,
    ),
    st.sampled_from([1, 7]) | st.integers(0, 200),
    st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3),
    st.binary(max_size=24),
    st.lists(st.floats(width=32), max_size=6),
    st.lists(st.binary(max_size=3), max_size=6),
)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(TENSORS)
def test_a_tensor_is_an_array_of_what_it_holds_or_refused(tensor):
    try:
        array = messages.to_arrays({"x": tensor}, most_clips=4)["x"]
    except InputError as error:
        assert "\n" not in str(error)
    else:
        expected = list(tensor.string_val)
        if tensor.dtype == tf.float32.as_datatype_enum:
            expected = np.frombuffer(tensor.tensor_content, "<f4").tolist() or list(tensor.float_val)
        np.testing.assert_array_equal(array.ravel().tolist(), expected)
        assert list(array.shape) == [dim.size for dim in tensor.tensor_shape.dim]


def code_of(call, *arguments: object, **options: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code()


def test_noise_is_no_message(channel):
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for noise in (b"\xff" * 9, b"hello, hello", b"\0"):
        assert code_of(predict, noise) == WRONG


def test_signatures_and_states_are_told(channel, stub):
    question = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    question.model_spec.name = "demo"
    answer = stub.GetModelMetadata(question)
    told = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(told)
    assert answer.model_spec.version.value == 1
    definition = told.signature_def["score_wav"]
    assert (definition.method_name, definition.inputs["wav_bytes"].dtype) == (
        "tensorflow/serving/predict",
        tf.string.as_datatype_enum,
    )
    assert [dim.size for dim in told.signature_def["serving_default"].inputs["waveform"].tensor_shape.dim] == [-1, -1]
    question.ClearField("metadata_field")
    assert code_of(stub.GetModelMetadata, question) == WRONG

    models = model_service_pb2_grpc.ModelServiceStub(channel)
    question = get_model_status_pb2.GetModelStatusRequest()
    question.model_spec.name = "demo"
    (state,) = models.GetModelStatus(question).model_version_status
    assert (state.version, state.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    question.model_spec.version.value = 9
    assert code_of(models.GetModelStatus, question) == NOT_HERE
    absent = grpc.StatusCode.UNIMPLEMENTED
    assert code_of(models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()) == absent
    assert code_of(stub.Classify, classification_pb2.ClassificationRequest()) == absent


def test_calls_are_counted_and_logged_like_requests(server, stub):
    assert arrays(stub.Predict(request("score_wav", wav_bytes=FILES)))
    assert code_of(stub.Predict, request(name="made_up", waveform=CLIPS)) == NOT_HERE
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
        counts = answer.read().decode()
    series = 'ganad_requests_total{model="demo",signature="score_wav",status="200",version="1"}'
    assert series in counts
    assert 'status="404"' in counts
    assert "made_up" not in counts
    log = "".join(server.lines)
    assert re.search(r"client=127\.0\.0\.1 method=gRPC path=Predict status=200 .* signature=score_wav", log)
    assert re.search(r"path=Predict status=404 .*error=Model made_up is not here", log)


def test_health_is_what_kubernetes_asks_for(channel):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"  # SERVING


def test_calls_whose_message_does_not_come_take_nobodys_place_and_end(server, stub):
    """More of them than there are places in the queue."""
    done = threading.Event()

    def silent() -> Iterator[bytes]:
        done.wait(30)
        yield b""

    path = "/tensorflow.serving.PredictionService/Predict"
    address, alone = f"127.0.0.1:{server.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, alone) for _ in range(2)]
    try:
        calls = [channels[number % 2].stream_unary(path).future(silent()) for number in range(100)]
        begin = time.monotonic()
        time.sleep(0.2)
        assert arrays(stub.Predict(request(waveform=CLIPS)))
        assert time.monotonic() - begin < BODY_SECONDS
        codes = {call.exception(30).code() for call in calls}
        assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert time.monotonic() - begin < BODY_SECONDS + 3
    finally:
        done.set()
        for each in channels:
            each.close()


def test_a_connection_that_says_nothing_ends(server):
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=20) as connection:
        begin = time.monotonic()
        while connection.recv(1 << 16):
            pass
        assert time.monotonic() - begin < 10


def test_a_deadline_of_the_client_ends_its_call_alone(stub):
    assert code_of(stub.Predict, request(waveform=CLIPS), timeout=0.001) == grpc.StatusCode.DEADLINE_EXCEEDED
    assert arrays(stub.Predict(request(waveform=CLIPS), timeout=30))


def test_predict_says_the_same_over_grpc_and_over_rest(server, ganad, tmp_path):
    for number, clip in enumerate(CLIPS):
        write_wav(tmp_path / f"{number}.wav", clip)
    names = ["0.wav", "1.wav", "missing.wav", "2.wav"]
    urls = [
        f"http://127.0.0.1:{server.port}/v1/models/demo",
        f"grpc://127.0.0.1:{server.grpc_port}/demo",
        f"grpc://localhost:{server.grpc_port}/demo/versions/1/",
    ]
    found = [ganad("predict", url, *names, "--json", cwd=tmp_path, check=2) for url in urls]
    assert all("missing.wav" in done.stderr for done in found)
    expected, *others = [json.loads(done.stdout) for done in found]
    assert [row["file"] for row in expected] == ["0.wav", "1.wav", "2.wav"]
    assert others == [expected, expected]
    done = ganad("predict", urls[1].replace("demo", "other"), "0.wav", cwd=tmp_path, check=2)
    assert "answered NOT_FOUND: Model other is not here" in done.stderr
    done = ganad("predict", "grpc://127.0.0.1:9/demo", "0.wav", cwd=tmp_path, check=2)
    assert "answered UNAVAILABLE" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["grpc://me:secret@127.0.0.1:1/demo", "grpc://127.0.0.1/demo", "grpc://127.0.0.1:1/a/b", "grpc://127.0.0.1:1"],
)
def test_a_url_that_names_no_model_is_refused_without_its_password(url):
    with pytest.raises(InputError, match=r"^Expected the URL of a model, grpc://HOST:PORT/NAME") as caught:
        grpc_client.connect(url)
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    """A folder with a certificate, its key and a token."""
    folder = tmp_path_factory.mktemp("secrets")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", "cert.pem", "-keyout", "key.pem"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    (folder / "token").write_text("open-sesame\n")
    return folder


@pytest.fixture(scope="module")
def guarded(secrets) -> Iterator[ServingProcess]:
    """A server with TLS, a token, and two places in its queue."""
    tls = ["--tls-cert", secrets / "cert.pem", "--tls-key", secrets / "key.pem"]
    running = ServingProcess(DEMO, *tls, "--token-file", secrets / "token", "--queue", 2)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def guarded_channel(guarded, secrets) -> Iterator[grpc.Channel]:
    roots = grpc.ssl_channel_credentials((secrets / "cert.pem").read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{guarded.grpc_port}", roots, [("grpc.enable_retries", 0)]) as channel:
        yield channel


TOKEN = "Authorization: Bearer open-sesame"


@pytest.mark.slow
def test_tls_and_a_token_hold_for_grpc_too(guarded, guarded_channel, secrets, tmp_path, ganad):
    write_wav(tmp_path / "a.wav", CLIPS[0])
    url = f"grpcs://127.0.0.1:{guarded.grpc_port}/demo"
    ask = ["predict", url, "a.wav", "--csv", "--ca-cert", secrets / "cert.pem"]
    assert ganad(*ask, "--header", TOKEN, cwd=tmp_path).stdout.splitlines()[1].startswith("a.wav,")
    for wrong in ([], ["--header", TOKEN[:-1]]):
        done = ganad(*ask, *wrong, cwd=tmp_path, check=2)
        assert "answered UNAUTHENTICATED: expected the header `Authorization: Bearer TOKEN`" in done.stderr
        assert "sesam" not in done.stderr
    assert guarded_channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"


@pytest.mark.slow
def test_a_crowd_gets_answers_or_unavailable(guarded_channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(guarded_channel)
    metadata = [("authorization", "Bearer open-sesame")]
    expected = arrays(stub.Predict(request(waveform=CLIPS), metadata=metadata))["anomaly_score"]

    def ask(_: int) -> str:
        try:
            response = stub.Predict(request(waveform=CLIPS), metadata=metadata)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        assert arrays(response)["anomaly_score"] == pytest.approx(expected, rel=1e-5)
        return "OK"

    with ThreadPoolExecutor(32) as pool:
        answers = set(pool.map(ask, range(200)))
    assert answers == {"OK", "UNAVAILABLE: too many requests at a time; try again in a moment."}
    assert ask(0) == "OK"


def test_a_port_that_is_taken_is_one_sentence(server, ganad, tmp_path):
    done = ganad("serve", DEMO, "--port", 0, "--grpc-port", server.grpc_port, cwd=tmp_path, check=2)
    assert f"Can't listen on 127.0.0.1:{server.grpc_port} for gRPC" in done.stderr
