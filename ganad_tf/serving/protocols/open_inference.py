"""The Open Inference Protocol (v2) as JSON values: request → named arrays, named arrays → response.

Source: https://github.com/kserve/open-inference-protocol. The signature is the request's parameter `signature_name`
or else the first one with these input names. `BYTES` are base64 inside the JSON and raw behind it, see
`binary_tensors`. Unknown parameters are ignored, except those for missing features: shared memory and classification.
"""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganad_tf import __version__
from ganad_tf.errors import InputError
from ganad_tf.serving.models.signature import Field, Signature, find_signature, quote_name, shorten
from ganad_tf.serving.protocols import binary_tensors
from ganad_tf.serving.protocols.rest import to_array

DATATYPES = {"FP32": "f", "BYTES": "O", "BOOL": "b"}
LARGEST_SIZE = 2**31 - 1
NO_BYTES = memoryview(b"")


def server_metadata() -> dict[str, Any]:
    """Response to `GET /v2`: name, version and protocol extensions of the server."""
    return {"name": "ganad_tf", "version": __version__, "extensions": [binary_tensors.EXTENSION]}


def read_request(
    body: Any, signatures: Mapping[str, Signature], binary: memoryview = NO_BYTES
) -> tuple[str, dict[str, np.ndarray]]:
    """Parses an `infer` body into signature name and inputs by name.

    Args:
      body: JSON value of the body.
      signatures: Signatures of the model.
      binary: Bytes behind the JSON.

    Raises:
      InputError: If the body is invalid; names the field.
    """
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list) or not body["inputs"]:
        raise InputError("inputs: expected a list of tensors with name, shape, datatype and data.")
    tensors = {}
    for tensor in body["inputs"]:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise InputError(f"inputs: expected tensors with a name. Received: {shorten(tensor)}.")
        if tensor["name"] in tensors:
            raise InputError(f"inputs: expected each name once. Received: {quote_name(tensor['name'])} twice.")
        tensors[tensor["name"]] = tensor
    name = _signature_name(binary_tensors.parameters(body).get("signature_name"), tensors, signatures)
    fields = signatures[name].inputs
    for key in sorted(tensors.keys() - fields.keys()):
        raise InputError(f"inputs: {quote_name(key)} is not an input of {name}; it takes {', '.join(sorted(fields))}.")
    data = binary_tensors.split_by_tensor(tensors.values(), binary)
    return name, {key: _array(key, tensor, fields[key], data.get(key)) for key, tensor in tensors.items()}


def response(
    name: str, version: int, body: Mapping[str, Any], outputs: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], list[bytes]]:
    """Response with the outputs that the request names, by default all.

    Returns:
      JSON value, and the binary data of tensors requested as such, in the order in which they follow the JSON.

    Raises:
      InputError: If the request names an unknown output.
    """
    chosen = body.get("outputs")
    if chosen is not None and not (isinstance(chosen, list) and all(isinstance(output, dict) for output in chosen)):
        raise InputError(f"outputs: expected a list of objects with a name. Received: {shorten(chosen)}.")
    chosen = chosen or [{"name": key} for key in outputs]
    if len(chosen) > len(outputs):
        raise InputError(f"outputs: expected each of {', '.join(outputs)} once at most. Received: {len(chosen)} names.")
    all_binary = _flag(binary_tensors.parameters(body), "binary_data_output", "parameters", default=False)
    request_id = {"id": body["id"].encode(errors="replace").decode()} if isinstance(body.get("id"), str) else {}
    tensors, binary = [], []
    for output in chosen:
        key = output.get("name")
        if not isinstance(key, str) or key not in outputs:
            raise InputError(f"outputs: expected names among {', '.join(outputs)}. Received: {shorten(key)}.")
        parameters = binary_tensors.parameters(output, key)
        _refuse_missing_features(key, parameters)
        if _flag(parameters, "binary_data", f"{key}.parameters", default=all_binary):
            binary.append(binary_tensors.encode(outputs[key]))
            content: dict[str, Any] = {"parameters": {binary_tensors.SIZE: len(binary[-1])}}
        else:
            content = {"data": _json_values(outputs[key])}
        tensors.append(_tensor(key, Field(outputs[key].dtype, outputs[key].shape)) | content)
    return {"model_name": name, "model_version": str(version), **request_id, "outputs": tensors}, binary


def metadata(name: str, versions: list[int], signature: Signature) -> dict[str, Any]:
    """Response to `GET /v2/models/<model>`: inputs and outputs of the default signature."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": "tensorflow_savedmodel",
        "inputs": [_tensor(key, field) for key, field in signature.inputs.items()],
        "outputs": [_tensor(key, field) for key, field in signature.outputs.items()],
    }


def _signature_name(chosen: Any, tensors: Mapping[str, Any], signatures: Mapping[str, Signature]) -> str:
    if chosen is not None and chosen != "":
        find_signature(signatures, chosen, "parameters.signature_name")
        return str(chosen)
    by_score = sorted(signatures, key=lambda name: (not name.startswith("score"), name))
    for name in by_score:
        if signatures[name].inputs.keys() == tensors.keys():
            return name
    known = ", ".join(sorted({key for signature in signatures.values() for key in signature.inputs}))
    raise InputError(f"inputs: expected a tensor named one of {known}. Received: {shorten(sorted(tensors))}.")


def _array(name: str, tensor: Mapping[str, Any], field: Field, binary: memoryview | None) -> np.ndarray:
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    expected = _datatype(field)
    if datatype != expected:
        raise InputError(f"{name}.datatype: expected {expected}. Received: {shorten(datatype)}.")
    sizes: list[int] = shape if isinstance(shape, list) else []
    if not sizes or not all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in sizes):
        raise InputError(f"{name}.shape: expected a list of sizes. Received: {shorten(shape)}.")
    if len(sizes) != len(field.shape) or 0 in sizes:
        raise InputError(
            f"{name}.shape: expected {len(field.shape)} sizes, none of them 0. Received: {shorten(shape)}."
        )
    _refuse_missing_features(name, binary_tensors.parameters(tensor, name))
    if binary is None:
        return _array_of_json(name, tensor.get("data"), field, sizes)
    if "data" in tensor:
        raise InputError(f"{name}: expected either data or {binary_tensors.SIZE}, and not both.")
    return binary_tensors.decode(name, binary, field, sizes)


def _array_of_json(name: str, data: Any, field: Field, sizes: list[int]) -> np.ndarray:
    if not isinstance(data, list):
        raise InputError(f"{name}.data: expected a list. Received: {shorten(data)}.")
    values = [{"b64": item} if isinstance(item, str) else item for item in data] if field.dtype == object else data
    is_flat = not any(isinstance(item, list) for item in values)
    array = to_array(name, values, Field(field.dtype, (None,)) if is_flat else field)
    fits = array.size == math.prod(sizes) if is_flat else array.shape == tuple(sizes)
    if not fits:
        raise InputError(f"{name}.shape: expected sizes that fit the data. Received: {shorten(sizes)}.")
    return array.reshape(sizes)


def _refuse_missing_features(name: str, parameters: Mapping[str, Any]) -> None:
    for key in ("shared_memory_region", "classification"):
        if key in parameters:
            raise InputError(f"{name}.parameters.{key}: not known here; send and ask for the tensor itself.")


def _flag(parameters: Mapping[str, Any], key: str, prefix: str, *, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise InputError(f"{prefix}.{key}: expected true or false. Received: {shorten(value)}.")
    return value


def _json_values(values: np.ndarray) -> list[Any]:
    flat = values.ravel().tolist()
    return [base64.b64encode(value).decode() for value in flat] if values.dtype == object else flat


def _tensor(name: str, field: Field) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in field.shape]
    return {"name": name, "datatype": _datatype(field), "shape": shape}


def _datatype(field: Field) -> str:
    return next(name for name, kind in DATATYPES.items() if kind == field.dtype.kind)
