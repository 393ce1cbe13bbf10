"""The Open Inference Protocol: tensors as JSON and as binary data, written out by hand as its text has them."""

import json
import struct
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton_client
from conftest import ROOT, SAMPLE_RATE, tone
from serving_process import ServingProcess
from tritonclient.utils import InferenceServerException

from ganad_tf import __version__
from ganad_tf.errors import InputError
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.signature import Field, Signature
from ganad_tf.serving.protocols import binary_tensors, open_inference

DEMO = ROOT / "exported_models/demo"
SIGNATURES = {
    "score_waveform": Signature({"waveform": Field(np.dtype("f4"), (None, None))}, {}),
    "score_wav": Signature({"wav_bytes": Field(np.dtype("O"), (None,))}, {}),
}
WAVEFORM = np.array([[0.5, -1.0, 0.25], [1e-3, 0.0, 1.0]], np.float32)
FILES = [b"RIFF\0\xff", b"", b"x" * 300]
OUTPUTS = {
    "anomaly_score": np.array([1.5, 2.5], np.float32),
    "is_anomaly": np.array([True, False]),
    "name": np.array([b"a\0", b""], dtype=object),
}


def tensor(name: str, shape: list[int], datatype: str, size: object = None, **more: object) -> dict:
    parameters = {} if size is None else {"parameters": {"binary_data_size": size}}
    return {"name": name, "shape": shape, "datatype": datatype, **parameters, **more}


def read(inputs: list[dict], binary: bytes = b"", **more: object) -> tuple[str, dict]:
    """A request from the body that a client sends."""
    head = json.dumps({"inputs": inputs, **more}).encode()
    json_part, rest = binary_tensors.split(head + binary, str(len(head)))
    return open_inference.read_request(json.loads(bytes(json_part)), SIGNATURES, rest)


def test_binary_numbers_are_little_endian_rows():
    binary = struct.pack("<6f", *WAVEFORM.ravel())
    name, inputs = read([tensor("waveform", [2, 3], "FP32", 24)], binary)
    assert (name, inputs["waveform"].dtype) == ("score_waveform", np.float32)
    np.testing.assert_array_equal(inputs["waveform"], WAVEFORM)


def test_binary_texts_begin_with_their_length():
    binary = b"".join(struct.pack("<I", len(file)) + file for file in FILES)
    name, inputs = read([tensor("wav_bytes", [3], "BYTES", len(binary))], binary)
    assert (name, inputs["wav_bytes"].tolist()) == ("score_wav", FILES)


def test_without_the_header_the_whole_body_is_json():
    body = b'{"inputs": []}'
    assert binary_tensors.split(body, None) == (body, b"")
    _, inputs = open_inference.read_request({"inputs": [tensor("waveform", [1, 2], "FP32", data=[0.5, 1])]}, SIGNATURES)
    assert inputs["waveform"].tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("header", ["x", "-1", "15", "", "1e1", "²", "9" * 30, "0x2"])
def test_a_header_that_is_no_size_of_the_bodys_beginning_is_refused(header):
    with pytest.raises(InputError, match="^Inference-Header-Content-Length: expected at most the body's 14 bytes"):
        binary_tensors.split(b'{"inputs": []}', header)


GOOD = struct.pack("<I", 2) + b"ab"
BAD = {
    "more than there is": ([tensor("waveform", [2, 3], "FP32", 24)], b"\0" * 23, r"waveform.*at most the 23 bytes"),
    "left over": ([tensor("waveform", [2, 3], "FP32", 24)], b"\0" * 25, "Received: 1 more"),
    "nobody's": ([tensor("waveform", [1, 1], "FP32", data=[0])], b"\0", "Received: 1 more"),
    "a size that is none": ([tensor("waveform", [2, 3], "FP32", "24")], b"\0" * 24, "expected a number of bytes"),
    "true as a size": ([tensor("waveform", [1, 1], "FP32", True)], b"\0", "expected a number of bytes. Received: True"),
    "less than nothing": ([tensor("waveform", [1, 1], "FP32", -4)], b"", "expected a number of bytes. Received: -4"),
    "another shape": ([tensor("waveform", [2, 4], "FP32", 24)], b"\0" * 24, r"waveform.shape: expected 32 bytes"),
    "a huge shape": ([tensor("waveform", [2**31 - 1] * 2, "FP32", 4)], b"\0" * 4, "waveform.shape: expected"),
    "an empty shape": ([tensor("waveform", [0, 3], "FP32", 0)], b"", "waveform.shape: .*none of them 0"),
    "another rank": ([tensor("waveform", [6], "FP32", 24)], b"\0" * 24, "waveform.shape: expected 2 sizes"),
    "a datatype": ([tensor("waveform", [2, 3], "FP64", 48)], b"\0" * 48, "waveform.datatype: expected FP32"),
    "both": ([tensor("waveform", [1, 1], "FP32", 4, data=[0])], b"\0" * 4, "either data or binary_data_size"),
    "neither": ([tensor("waveform", [1, 1], "FP32")], b"", "waveform.data: expected a list"),
    "a text cut off": ([tensor("wav_bytes", [1], "BYTES", 5)], GOOD[:-1], r"wav_bytes\[0\]: expected its length"),
    "a length cut off": ([tensor("wav_bytes", [2], "BYTES", 9)], GOOD + b"\0" * 3, r"wav_bytes\[1\]: expected its"),
    "a huge length": ([tensor("wav_bytes", [1], "BYTES", 6)], b"\xff" * 4 + b"ab", r"wav_bytes\[0\]: expected"),
    "too few texts": ([tensor("wav_bytes", [2], "BYTES", 6)], GOOD, "wav_bytes.shape: expected 2 .*Received: 1"),
    "too many texts": ([tensor("wav_bytes", [1], "BYTES", 12)], GOOD * 2, "wav_bytes.shape: .*Received: more"),
    "parameters": ([tensor("waveform", [1, 1], "FP32", parameters=[])], b"", "waveform.parameters: expected an object"),
    "shared memory": (
        [tensor("waveform", [1, 1], "FP32", parameters={"shared_memory_region": "a"})],
        b"",
        "waveform.parameters.shared_memory_region: not known",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_binary_data_that_is_not_as_it_says_is_refused_in_a_sentence(case):
    inputs, binary, sentence = BAD[case]
    with pytest.raises(InputError, match=sentence):
        read(inputs, binary)


def answer(**body: object) -> tuple[dict, bytes, dict]:
    value, binary = open_inference.response("demo", 3, {"inputs": [], **body}, OUTPUTS)
    content, headers = binary_tensors.join(json.dumps(value).encode(), binary)
    length = int(headers.get("Inference-Header-Content-Length", len(content)))
    return json.loads(content[:length]), content[length:], headers


def test_outputs_are_json_unless_the_request_wants_them_otherwise():
    value, binary, headers = answer(id="a")
    assert (binary, headers) == (b"", {"Content-Type": "application/json"})
    assert (value["model_name"], value["model_version"], value["id"]) == ("demo", "3", "a")
    assert value["outputs"][1] == {"name": "is_anomaly", "datatype": "BOOL", "shape": [2], "data": [True, False]}
    assert value["outputs"][2]["data"] == ["YQA=", ""]


def test_all_outputs_are_binary_if_the_request_says_so():
    value, binary, headers = answer(parameters={"binary_data_output": True})
    assert headers["Content-Type"] == "application/octet-stream"
    assert value["outputs"] == [
        tensor("anomaly_score", [2], "FP32", 8),
        tensor("is_anomaly", [2], "BOOL", 2),
        tensor("name", [2], "BYTES", 10),
    ]
    assert binary == struct.pack("<2f", 1.5, 2.5) + b"\1\0" + b"\2\0\0\0a\0" + b"\0\0\0\0"


def test_an_output_says_for_itself_whether_it_is_binary():
    wanted = [
        {"name": "is_anomaly", "parameters": {"binary_data": True}},
        {"name": "anomaly_score"},
    ]
    value, binary, _ = answer(outputs=wanted)
    assert binary == b"\1\0"
    assert value["outputs"][1]["data"] == [1.5, 2.5]
    wanted = [{"name": "is_anomaly", "parameters": {"binary_data": False}}, {"name": "anomaly_score"}]
    value, binary, _ = answer(outputs=wanted, parameters={"binary_data_output": True})
    assert value["outputs"][0]["data"] == [True, False]
    assert binary == struct.pack("<2f", 1.5, 2.5)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"outputs": [{"name": "x"}]}, "outputs: expected names among anomaly_score, is_anomaly, name. Received: 'x'"),
        ({"outputs": [{"name": "name", "parameters": {"binary_data": 1}}]}, "name.parameters.binary_data: .*true or"),
        ({"outputs": [{"name": "name", "parameters": {"classification": 2}}]}, "classification: not known here"),
        ({"parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output: expected true or false"),
    ],
)
def test_a_wish_that_can_not_be_met_is_refused(body, sentence):
    with pytest.raises(InputError, match=sentence):
        answer(**body)


def test_the_server_names_the_product_and_what_it_can():
    assert open_inference.server_metadata() == {
        "name": "ganad_tf",
        "version": __version__,
        "extensions": ["binary_tensor_data"],
    }


@pytest.fixture(scope="module")
def server() -> Iterator[ServingProcess]:
    running = ServingProcess(DEMO)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in "".join(running.lines)


@pytest.fixture(scope="module")
def triton(server) -> Iterator[triton_client.InferenceServerClient]:
    with triton_client.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def given(name: str, values: np.ndarray, datatype: str, *, binary: bool = True) -> triton_client.InferInput:
    tensor = triton_client.InferInput(name, list(values.shape), datatype)
    return tensor.set_data_from_numpy(values, binary_data=binary)


CLIPS = np.stack([tone(seed=seed) for seed in range(3)])


def test_tritons_client_gets_the_same_scores_whatever_it_sends_and_wants(triton):
    clips = [wav.encode(clip, SAMPLE_RATE) for clip in CLIPS]
    results = [
        triton.infer("demo", [given("waveform", CLIPS, "FP32")]),  # binary, both ways
        triton.infer("demo", [given("waveform", CLIPS, "FP32", binary=False)], model_version="1"),
        triton.infer("demo", [given("wav_bytes", np.array(clips, dtype=object), "BYTES")], request_id="a"),
        triton.infer(
            "demo",
            [given("waveform", CLIPS, "FP32")],
            outputs=[triton_client.InferRequestedOutput("anomaly_score", binary_data=False)],
            request_compression_algorithm="gzip",
            response_compression_algorithm="gzip",
        ),
    ]
    expected = results[0].as_numpy("anomaly_score")
    assert (expected.dtype, expected.shape, len(set(expected.tolist()))) == (np.float32, (3,), 3)
    for result in results:
        np.testing.assert_allclose(result.as_numpy("anomaly_score"), expected, rtol=1e-4)
    assert results[0].as_numpy("is_anomaly").dtype == bool
    assert results[2].get_response()["id"] == "a"
    assert [output["name"] for output in results[3].get_response()["outputs"]] == ["anomaly_score"]


def test_tritons_client_is_told_what_is_wrong_and_what_is_there(triton):
    with pytest.raises(InferenceServerException, match=r"wav_bytes\[1\]: expected a WAV file"):
        files = np.array([wav.encode(CLIPS[0], SAMPLE_RATE), b"hello"], dtype=object)
        triton.infer("demo", [given("wav_bytes", files, "BYTES")])
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("demo")
    assert not triton.is_model_ready("other")
    assert triton.get_server_metadata() == open_inference.server_metadata()
    assert triton.get_model_metadata("demo")["inputs"] == [{"name": "waveform", "datatype": "FP32", "shape": [-1, -1]}]
