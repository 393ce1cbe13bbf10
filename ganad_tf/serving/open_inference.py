"""The Open Inference Protocol (v2) as JSON values: requests → arrays by name, arrays by name → responses.

Source: https://github.com/kserve/open-inference-protocol. The signature is the request's parameter
`signature_name` or else the first that takes the inputs' names. `BYTES` are in base64.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganad_tf.errors import InputError
from ganad_tf.serving.fields import Field, Signature, named, short
from ganad_tf.serving.rest import array_of

DATATYPES = {"FP32": "f", "BYTES": "O", "BOOL": "b"}
LARGEST_SIZE = 2**31 - 1


def read_request(body: Any, signatures: Mapping[str, Signature]) -> tuple[str, dict[str, np.ndarray]]:
    """An `infer` body → signature name and the inputs by name.

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
    name = _signature_name(body.get("parameters"), tensors, signatures)
    fields = signatures[name].inputs
    for key in sorted(tensors.keys() - fields.keys()):
        raise InputError(f"inputs: {named(key)} is not an input of {name}; it takes {', '.join(sorted(fields))}.")
    return name, {key: _array(key, tensor, fields[key]) for key, tensor in tensors.items()}


def response(name: str, version: int, body: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The answer: the outputs that the request names, or all.

    Raises:
      InputError: If it names one that there is not.
    """
    wanted = body.get("outputs")
    if wanted is not None and not (isinstance(wanted, list) and all(isinstance(each, dict) for each in wanted)):
        raise InputError(f"outputs: expected a list of objects with a name. Received: {short(wanted)}.")
    names = [each.get("name") for each in wanted] if wanted else list(outputs)
    if len(names) > len(outputs):
        raise InputError(f"outputs: expected each of {', '.join(outputs)} once at most. Received: {len(names)} names.")
    for each in names:
        if not isinstance(each, str) or each not in outputs:
            raise InputError(f"outputs: expected names among {', '.join(outputs)}. Received: {short(each)}.")
    request_id = {"id": body["id"].encode(errors="replace").decode()} if isinstance(body.get("id"), str) else {}
    tensors = [_tensor(each, outputs[each]) for each in names]
    return {"model_name": name, "model_version": str(version), **request_id, "outputs": tensors}


def metadata(name: str, versions: list[int], signature: Signature) -> dict[str, Any]:
    """The answer to `GET /v2/models/<model>`: what the default signature takes and returns."""
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": "tensorflow_savedmodel",
        "inputs": [_described(key, field) for key, field in signature.inputs.items()],
        "outputs": [_described(key, field) for key, field in signature.outputs.items()],
    }


def _signature_name(parameters: Any, tensors: Mapping[str, Any], signatures: Mapping[str, Signature]) -> str:
    if not isinstance(parameters, dict | None):
        raise InputError(f"parameters: expected an object. Received: {short(parameters)}.")
    chosen = (parameters or {}).get("signature_name")
    if chosen is not None:
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


def _array(name: str, tensor: Mapping[str, Any], field: Field) -> np.ndarray:
    datatype, shape, data = (tensor.get(key) for key in ("datatype", "shape", "data"))
    wanted = _datatype(field)
    if datatype != wanted:
        raise InputError(f"{name}.datatype: expected {wanted}. Received: {short(datatype)}.")
    sizes: list[int] = shape if isinstance(shape, list) else []
    if not sizes or not all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in sizes):
        raise InputError(f"{name}.shape: expected a list of sizes. Received: {short(shape)}.")
    if not isinstance(data, list):
        raise InputError(f"{name}.data: expected a list. Received: {short(data)}.")
    values = [{"b64": each} if isinstance(each, str) else each for each in data] if wanted == "BYTES" else data
    is_flat = not any(isinstance(each, list) for each in values)
    array = array_of(name, values, Field(field.dtype, (None,)) if is_flat else field)
    fits = array.size == math.prod(sizes) if is_flat else array.shape == tuple(sizes)
    if not fits or not array.size or len(sizes) != len(field.shape):
        raise InputError(
            f"{name}.shape: expected {len(field.shape)} sizes that fit the data. Received: {short(shape)}."
        )
    return array.reshape(sizes)


def _tensor(name: str, values: np.ndarray) -> dict[str, Any]:
    return _described(name, Field(values.dtype, values.shape)) | {"data": values.ravel().tolist()}


def _described(name: str, field: Field) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in field.shape]
    return {"name": name, "datatype": _datatype(field), "shape": shape}


def _datatype(field: Field) -> str:
    return next(name for name, kind in DATATYPES.items() if kind == field.dtype.kind)
