"""TensorFlow Serving's REST API as JSON values: request → named arrays, named arrays → response.

Source: https://www.tensorflow.org/tfx/serving/api_rest. `instances` (row format) has one value or object per
clip, `inputs` (column format) one list per field. In both, a signature with a single input needs no names.
Binary values are `{"b64": "..."}`. Imports neither TensorFlow nor a server.

As in TensorFlow Serving's `json_tensor.cc`, unknown keys of the body are ignored, and `""` is the default signature.
Deliberately stricter: an unknown input is refused in the column format too, since its sender expects it to be used.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from ganad_tf.errors import InputError
from ganad_tf.serving.models.signature import Field, Signature, check_names, find_signature, shorten
from ganad_tf.serving.models.versions import State
from ganad_tf.serving.protocols import base64_text

Format = Literal["instances", "inputs"]
DEFAULT = "serving_default"
_NUMBERS = frozenset({int, float})


def read_request(body: Any, signatures: Mapping[str, Signature]) -> tuple[str, Format, dict[str, np.ndarray]]:
    """Parses a `:predict` body into signature name, format and inputs by name.

    Raises:
      InputError: If the body is invalid; names the field.
    """
    if not isinstance(body, dict):
        raise InputError("the body: expected a JSON object with `instances` or `inputs`.")
    formats = [key for key in ("instances", "inputs") if key in body]
    if len(formats) != 1:
        received = "both" if formats else "neither"
        raise InputError(f"the body: expected either `instances` or `inputs`, and not both. Received: {received}.")
    name = body.get("signature_name", DEFAULT)
    name = DEFAULT if name == "" else name
    fields = find_signature(signatures, name).inputs
    if formats[0] == "instances":
        columns = _columns(body["instances"], fields)
        return name, "instances", {key: to_array(key, values, fields[key]) for key, values in columns.items()}
    values = body["inputs"]
    if not _is_named(values, fields):
        values = {_single_name(fields): values}
    check_names(values, fields)
    return name, "inputs", {key: to_array(key, values[key], field) for key, field in fields.items()}


def response(form: Format, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Response in the format of the request: `predictions` for rows, `outputs` for columns."""
    lists = {name: values.tolist() for name, values in outputs.items()}
    if form == "inputs":
        return {"outputs": next(iter(lists.values())) if len(lists) == 1 else lists}
    if len(lists) == 1:
        return {"predictions": next(iter(lists.values()))}
    return {"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


def metadata(
    name: str, version: int, signatures: Mapping[str, Signature], about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Response to `GET .../metadata`; `about` becomes the entry `ganad` beside TensorFlow Serving's `signature_def`."""
    definitions = {
        key: {
            "inputs": {field: _tensor_info(field, of) for field, of in signature.inputs.items()},
            "outputs": {field: _tensor_info(field, of) for field, of in signature.outputs.items()},
            "method_name": "tensorflow/serving/predict",
        }
        for key, signature in signatures.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": definitions}} | ({"ganad": dict(about)} if about else {}),
    }


def status(versions: Mapping[int, State]) -> dict[str, Any]:
    """Response to `GET /v1/models/<model>`: state of each version, newest first, with the reason if it is unusable."""
    rows = []
    for version, state in versions.items():
        code = "UNKNOWN" if state.name == "END" else "OK"
        status_entry = {"error_code": code, "error_message": state.reason}
        rows.append({"version": str(version), "state": state.name, "status": status_entry})
    return {"model_version_status": rows}


def to_array(name: str, values: Any, field: Field) -> np.ndarray:
    """Converts a JSON value to an array of the field's dtype and rank.

    Raises:
      InputError: If it does not fit; names the field.
    """
    return _strings(name, values) if field.dtype == object else _numbers(name, values, field)


def _columns(instances: Any, fields: Mapping[str, Field]) -> dict[str, list[Any]]:
    """Converts rows to one list per field."""
    if not isinstance(instances, list):
        raise InputError(f"instances: expected a list with one entry per clip. Received: {shorten(instances)}.")
    if not instances:
        raise InputError("instances: expected at least one clip, received none.")
    have_names = [_is_named(row, fields) for row in instances]
    if not any(have_names):
        return {_single_name(fields): instances}
    if not all(have_names):
        raise InputError("instances: expected names in all entries, or in none.")
    for row in instances:
        check_names(row, fields)
    return {name: [row[name] for row in instances] for name in fields}


def _is_named(values: Any, fields: Mapping[str, Field]) -> bool:
    """Whether a JSON value is an object of named fields rather than a binary value."""
    return isinstance(values, dict) and (values.keys() != {"b64"} or "b64" in fields)


def _single_name(fields: Mapping[str, Field]) -> str:
    if len(fields) != 1:
        raise InputError(f"the body: expected values by name: {', '.join(sorted(fields))}.")
    return next(iter(fields))


def _strings(name: str, values: Any) -> np.ndarray:
    if not isinstance(values, list):
        raise InputError(f"{name}: expected a list of binary values. Received: {shorten(values)}.")
    result = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        result[index] = _decode(f"{name}[{index}]", value)
    return result


def _decode(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="replace")
    if not isinstance(value, dict) or value.keys() != {"b64"} or not isinstance(value["b64"], str):
        raise InputError(f'{name}: expected {{"b64": "..."}}, the file in base64. Received: {shorten(value)}.')
    try:
        return base64_text.decode(value["b64"])
    except ValueError as error:
        raise InputError(f"{name}: expected base64 ({error}).") from error


def _numbers(name: str, values: Any, field: Field) -> np.ndarray:
    rank = len(field.shape)
    for number, value in _non_numbers(values, rank):  # NumPy would take true for 1 and null for NaN
        clip = name if number is None else f"{name}[{number}]"
        expected = f"lists nested {rank} deep" if isinstance(value, list) else "numbers"
        raise InputError(f"{clip}: expected {expected}. Received: {shorten(value)}.")
    try:
        with np.errstate(over="ignore"):  # too large numbers become infinite, which the model refuses
            array = np.asarray(values, field.dtype)
    except OverflowError as error:
        raise InputError(f"{name}: expected numbers that fit {field.dtype.name}.") from error
    except ValueError as error:
        raise InputError(_unequal_lengths(name, values)) from error
    if array.ndim != rank:
        raise InputError(f"{name}: expected lists nested {rank} deep. Received: {array.ndim} deep.")
    return array


def _non_numbers(values: Any, depth: int, number: int | None = None) -> Iterator[tuple[int | None, Any]]:
    """Yields the values that are not numbers in lists nested `depth` deep, with the index of their clip."""
    if depth == 0 or not isinstance(values, list):
        if type(values) not in _NUMBERS:
            yield number, values
    elif not _NUMBERS.issuperset(map(type, values)):
        for index, value in enumerate(values):
            yield from _non_numbers(value, depth - 1, index if number is None else number)


def _unequal_lengths(name: str, values: list[Any]) -> str:
    """Message about lists of unequal lengths; names the first clip that differs from clip 0, if any."""
    lengths = [len(clip) if isinstance(clip, list) else None for clip in values]
    for number, length in enumerate(lengths):
        if length != lengths[0]:
            expected, received = ("a number" if size is None else f"{size}" for size in (lengths[0], length))
            first = f"{expected}, as in {name}[0]"
            return f"{name}[{number}]: expected numbers in lists of equal lengths, {first}. Received: {received}."
    return f"{name}: expected numbers in lists of equal lengths."


def _tensor_info(name: str, field: Field) -> dict[str, Any]:
    kinds = {"f": "DT_FLOAT", "b": "DT_BOOL", "O": "DT_STRING"}
    sizes = [{"size": str(-1 if size is None else size), "name": ""} for size in field.shape]
    shape = {"dim": sizes, "unknown_rank": False}
    return {"dtype": kinds[field.dtype.kind], "tensor_shape": shape, "name": name}
