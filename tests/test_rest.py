"""Requests as TensorFlow Serving reads them: base64, numbers, names; and sentences for what it refuses."""

import base64
import json

import numpy as np
import pytest

from ganad_tf.errors import InputError
from ganad_tf.serving.models import bad_clip
from ganad_tf.serving.models.signature import Field, Signature
from ganad_tf.serving.protocols import base64_text, rest

WAVEFORM = Field(np.dtype("f4"), (None, None))
FILES = Field(np.dtype("O"), (None,))
SIGNATURES = {
    "serving_default": Signature({"waveform": WAVEFORM}, {}),
    "score_wav": Signature({"wav_bytes": FILES}, {}),
}
CONTENT = bytes(range(256)) * 3 + b"x"  # two characters of padding
ENCODED = base64.b64encode(CONTENT).decode()


@pytest.mark.parametrize(
    "text",
    [
        ENCODED,
        base64.encodebytes(CONTENT).decode(),  # as MIME has it: a line break every 76 characters
        ENCODED.replace("A", "A\r\n\t "),
        ENCODED.rstrip("="),
        base64.encodebytes(CONTENT).decode().replace("=", ""),
    ],
    ids=["plain", "lines", "white space", "no padding", "lines without padding"],
)
def test_base64_is_taken_with_line_breaks_and_without_padding(text):
    body = json.loads(json.dumps({"signature_name": "score_wav", "instances": [{"b64": text}]}))
    name, _, inputs = rest.read_request(body, SIGNATURES)
    assert (name, inputs["wav_bytes"].tolist()) == ("score_wav", [CONTENT])


@pytest.mark.parametrize(
    "text", ["*", "A", ENCODED + "=", ENCODED[:-1], ENCODED.replace("+", "-"), "é", "AA=A", "\ud800", "AA\0A"]
)
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(ValueError, match="."):
        base64_text.decode(text)
    with pytest.raises(InputError, match=r"^wav_bytes\[1\]: expected base64 \(.*\)\.$"):
        rest.to_array("wav_bytes", [{"b64": "AAAA"}, {"b64": text}], FILES)


HUGE = 10**400
REFUSED = {
    "true": ([[0.5, 1], [True, 0.5]], r"^waveform\[1\]: expected numbers. Received: True\."),
    "null": ([[None, 0.5]], r"^waveform\[0\]: expected numbers. Received: None\."),
    "text": ([[0.5], ["0.5"]], r"^waveform\[1\]: expected numbers. Received: '0.5'\."),
    "object": ([[0.5], [{"b64": "AA=="}]], r"^waveform\[1\]: expected numbers"),
    "binary value": ([{"b64": "AA=="}], r"^waveform\[0\]: expected numbers"),
    "a number beside a list": (
        [[0.5, 0.5], 0.5],
        r"^waveform\[1\]: .*equal lengths, 2, as in waveform\[0\]. .*a number",
    ),
    "a longer clip": ([[0.5], [0.5], [0.5, 1]], r"^waveform\[2\]: .*equal lengths, 1, as in waveform\[0\]. .*: 2\."),
    "a scalar": (0.5, r"^waveform: expected lists nested 2 deep. Received: 0 deep\."),
    "flat": ([0.5, 1], r"^waveform: expected lists nested 2 deep. Received: 1 deep\."),
    "nothing": ([], r"^waveform: expected lists nested 2 deep"),
    "deep": ([[[0.5]]], r"^waveform\[0\]: expected lists nested 2 deep. Received: \[0.5\]\."),
    "too large for any float": ([[HUGE]], r"^waveform: expected numbers that fit float32\."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_batch_of_numbers_is_refused_in_a_sentence_that_names_the_clip(case):
    values, sentence = REFUSED[case]
    with pytest.raises(InputError, match=sentence):
        rest.to_array("waveform", values, WAVEFORM)


def test_depth_is_bounded_by_what_the_input_takes():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(InputError, match=r"^waveform\[0\]: expected lists nested 2 deep"):
        rest.to_array("waveform", nested, WAVEFORM)


def test_numbers_are_what_they_say():
    whole, large = 2**70, 1e39
    array = rest.to_array("waveform", [[1, 0.1], [whole, large], [float("nan"), -float("inf")]], WAVEFORM)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array([[1, 0.1], [2.0**70, np.inf], [np.nan, -np.inf]], np.float32))


def test_the_empty_signature_name_is_the_default_and_keys_that_mean_nothing_are_passed_over():
    for extra in ({}, {"signature_name": ""}, {"parameters": {"a": 1}, "id": 7, "a\nb": None}):
        name, form, inputs = rest.read_request({"instances": [[0.5, 1.0]], **extra}, SIGNATURES)
        assert (name, form, inputs["waveform"].tolist()) == ("serving_default", "instances", [[0.5, 1.0]])
    for wrong in (None, 3, "nope", ["score_wav"]):
        with pytest.raises(InputError, match=r"^signature_name: expected one of score_wav, serving_default"):
            rest.read_request({"instances": [[0.5]], "signature_name": wrong}, SIGNATURES)


def test_inputs_that_the_signature_does_not_have_are_refused_in_rows_and_in_columns():
    for body in (
        {"instances": [{"waveform": [0.5], "sample_rate": 8000}]},
        {"inputs": {"waveform": [[0.5]], "sample_rate": 8000}},
    ):
        with pytest.raises(InputError, match=r"^sample_rate: not an input of this signature; it takes waveform\."):
            rest.read_request(body, SIGNATURES)


def test_a_refusal_names_which_clip_of_several_it_is_about():
    def model(_: str, inputs: dict) -> dict:
        for value in inputs["x"]:
            if value < 0:
                raise InputError(f"x: expected no negative number, received {value}.")
            if value > 9:
                raise InputError("x: NaN or infinity in clip 2.")
        return {"y": inputs["x"]}

    def call(*values: int) -> dict:
        return bad_clip.call(model, "f", {"x": np.array(values)})

    assert call(1, 2)["y"].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"^x\[2\]: expected no negative number, received -3\."):
        call(1, 2, -3, -4)
    with pytest.raises(InputError, match=r"^x: expected no negative"):
        call(-3)
    with pytest.raises(InputError, match=r"^x: NaN or infinity in clip 2\."):
        call(1, 2, 10)
