"""The Open Inference Protocol (v2) as JSON values: requests → arrays by name, arrays by name → responses.

Source: https://github.com/kserve/open-inference-protocol. The signature is the request's parameter
`signature_name` or else the first that takes the inputs' names. `BYTES` are in base64 where they are in the JSON, and
as they are where they are behind it: see `binary_tensors`. Other parameters mean nothing here and are passed over,
except those that ask for what there is not: shared memory and classification.
"""

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganad_tf import __version__
from ganad_tf.errors import InputError
from ganad_tf.serving.models.signature import Field, Signature, named, short
from ganad_tf.serving.protocols import binary_tensors
from ganad_tf.serving.protocols.rest import array_of

DATATYPES = {"FP32": "f", "BYTES": "O", "BOOL": "b"}
LARGEST_SIZE = 2**31 - 1
NOTHING = memoryview(b"")


def server_metadata() -> dict[str, Any]:
    """The answer to `GET /v2`: product, version, and what it can beyond the protocol."""
    return {"name": "ganad_tf", "version": __version__, "extensions": [binary_tensors.EXTENSION]}


def read_request(
    body: Any, signatures: Mapping[str, Signature], binary: memoryview = NOTHING
) -> tuple[str, dict[str, np.ndarray]]:
    """An `infer` body → signature name and the inputs by name.

    Args:
      body: Its JSON value.
      signatures: Of the model.
      binary: The bytes behind the JSON.

    Raises:
      InputError: If it is not one; names the field.
    """
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list) or not body["inputs"]:
        raise InputError("inputs: expected a list of tensors with name, shape, datatype and data.")
    tensors = {}
    for tensor in body["inputs"]:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise InputError(f"inputs: expected tensors with a name. Received: {short(tensor)}.")
        if tensor["name"] in tensors:
            raise InputError(f"inputs: expected each name once. Received: {named(tensor['name'])} twice.")
        tensors[tensor["name"]] = tensor
    name = _signature_name(binary_tensors.parameters(body).get("signature_name"), tensors, signatures)
    fields = signatures[name].inputs
    for key in sorted(tensors.keys() - fields.keys()):
        raise InputError(f"inputs: {named(key)} is not an input of {name}; it takes {', '.join(sorted(fields))}.")
    data = binary_tensors.shares(tensors.values(), binary)
    return name, {key: _array(key, tensor, fields[key], data.get(key)) for key, tensor in tensors.items()}


def response(
    name: str, version: int, body: Mapping[str, Any], outputs: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], list[bytes]]:
    """The answer: the outputs that the request names, or all.

    Returns:
      The JSON value, and the binary data of the tensors that the request wants so, to go behind it in this order.

    Raises:
      InputError: If it names one that there is not.
    """
    wanted = body.get("outputs")
    if wanted is not None and not (isinstance(wanted, list) and all(isinstance(each, dict) for each in wanted)):
        raise InputError(f"outputs: expected a list of objects with a name. Received: {short(wanted)}.")
    wanted = wanted or [{"name": each} for each in outputs]
    if len(wanted) > len(outputs):
        raise InputError(f"outputs: expected each of {', '.join(outputs)} once at most. Received: {len(wanted)} names.")
    all_binary = _flag(binary_tensors.parameters(body), "binary_data_output", "parameters", default=False)
    request_id = {"id": body["id"].encode(errors="replace").decode()} if isinstance(body.get("id"), str) else {}
    tensors, binary = [], []
    for each in wanted:
        key = each.get("name")
        if not isinstance(key, str) or key not in outputs:
            raise InputError(f"outputs: expected names among {', '.join(outputs)}. Received: {short(key)}.")
        asked = binary_tensors.parameters(each, key)
        _refuse_unknown_ways(key, asked)
        if _flag(asked, "binary_data", f"{key}.parameters", default=all_binary):
            binary.append(binary_tensors.encode(outputs[key]))
            content: dict[str, Any] = {"parameters": {binary_tensors.SIZE: len(binary[-1])}}
        else:
            content = {"data": _json_values(outputs[key])}
        tensors.append(_described(key, Field(outputs[key].dtype, outputs[key].shape)) | content)
    return {"model_name": name, "model_version": str(version), **request_id, "outputs": tensors}, binary


def metadata(name: str, versions: list[int], signature: Signature) -> dict[str, Any]:
    """The answer to `GET /v2/models/<model>`: what the default signature takes and returns."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": "tensorflow_savedmodel",
        "inputs": [_described(key, field) for key, field in signature.inputs.items()],
        "outputs": [_described(key, field) for key, field in signature.outputs.items()],
    }


def _signature_name(chosen: Any, tensors: Mapping[str, Any], signatures: Mapping[str, Signature]) -> str:
    if chosen is not None and chosen != "":
        if isinstance(chosen, str) and chosen in signatures:
            return chosen
        known = ", ".join(sorted(signatures))
        raise InputError(f"parameters.signature_name: expected one of {known}. Received: {short(chosen)}.")
    by_score = sorted(signatures, key=lambda name: (not name.startswith("score"), name))
    for name in by_score:
        if signatures[name].inputs.keys() == tensors.keys():
            return name
    known = ", ".join(sorted({key for signature in signatures.values() for key in signature.inputs}))
    raise InputError(f"inputs: expected a tensor named one of {known}. Received: {short(sorted(tensors))}.")


def _array(name: str, tensor: Mapping[str, Any], field: Field, binary: memoryview | None) -> np.ndarray:
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    wanted = _datatype(field)
    if datatype != wanted:
        raise InputError(f"{name}.datatype: expected {wanted}. Received: {short(datatype)}.")
    sizes: list[int] = shape if isinstance(shape, list) else []
    if not sizes or not all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in sizes):
        raise InputError(f"{name}.shape: expected a list of sizes. Received: {short(shape)}.")
    if len(sizes) != len(field.shape) or 0 in sizes:
        raise InputError(f"{name}.shape: expected {len(field.shape)} sizes, none of them 0. Received: {short(shape)}.")
    _refuse_unknown_ways(name, binary_tensors.parameters(tensor, name))
    if binary is None:
        return _array_of_json(name, tensor.get("data"), field, sizes)
    if "data" in tensor:
        raise InputError(f"{name}: expected either data or {binary_tensors.SIZE}, and not both.")
    return binary_tensors.decode(name, binary, field, sizes)


def _array_of_json(name: str, data: Any, field: Field, sizes: list[int]) -> np.ndarray:
    if not isinstance(data, list):
        raise InputError(f"{name}.data: expected a list. Received: {short(data)}.")
    values = [{"b64": each} if isinstance(each, str) else each for each in data] if field.dtype == object else data
    is_flat = not any(isinstance(each, list) for each in values)
    array = array_of(name, values, Field(field.dtype, (None,)) if is_flat else field)
    fits = array.size == math.prod(sizes) if is_flat else array.shape == tuple(sizes)
    if not fits:
        raise InputError(f"{name}.shape: expected sizes that fit the data. Received: {short(sizes)}.")
    return array.reshape(sizes)


def _refuse_unknown_ways(name: str, parameters: Mapping[str, Any]) -> None:
    for key in ("shared_memory_region", "classification"):
        if key in parameters:
            raise InputError(f"{name}.parameters.{key}: not known here; send and ask for the tensor itself.")


def _flag(parameters: Mapping[str, Any], key: str, place: str, *, default: bool) -> bool:
    given = parameters.get(key, default)
    if not isinstance(given, bool):
        raise InputError(f"{place}.{key}: expected true or false. Received: {short(given)}.")
    return given


def _json_values(values: np.ndarray) -> list[Any]:
    flat = values.ravel().tolist()
    return [base64.b64encode(value).decode() for value in flat] if values.dtype == object else flat


def _described(name: str, field: Field) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in field.shape]
    return {"name": name, "datatype": _datatype(field), "shape": shape}


def _datatype(field: Field) -> str:
    return next(name for name, kind in DATATYPES.items() if kind == field.dtype.kind)
