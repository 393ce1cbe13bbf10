"""TensorFlow Serving's gRPC messages ↔ model names, versions and arrays."""

import math
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from tensorflow.core.framework import types_pb2

from ganad_tf.errors import InputError
from ganad_tf.serving.models.batching import Arrays
from ganad_tf.serving.models.signature import quote_name, shorten


def parse(kind: type[Message], content: bytes) -> Message:
    """Parses the bytes of a message.

    Raises:
      InputError: If they are not a message of this type.
    """
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise InputError(f"the message: expected a {kind.DESCRIPTOR.full_name}.") from error


def read_model_spec(spec: Any) -> tuple[str, int | None]:
    """Model and version of a `ModelSpec`; None for the newest version.

    Raises:
      InputError: If it names no model, or names the version by a label.
    """
    if not spec.name:
        raise InputError("model_spec.name: expected the name of a model.")
    if spec.WhichOneof("version_choice") == "version_label":
        raise InputError("model_spec.version_label: not known here; name a version by its number.")
    return spec.name, spec.version.value if spec.HasField("version") else None


def fill_model_spec(spec: Any, name: str, version: int, signature: str = "") -> None:
    """Sets model, version and signature in the `ModelSpec` of a response."""
    spec.name, spec.signature_name = name, signature
    spec.version.value = version


def metric_labels(answer: Any) -> dict[str, str]:
    """Model, version and signature of a response, as labels of the metrics."""
    if "model_spec" not in answer.DESCRIPTOR.fields_by_name:
        return {}
    spec = answer.model_spec
    return {"model": spec.name, "version": str(spec.version.value), "signature": spec.signature_name}


def to_arrays(inputs: Any, most_clips: int) -> Arrays:
    """Converts tensors to arrays. A tensor must hold every value of its shape; none is filled in.

    Args:
      inputs: `TensorProto` by name.
      most_clips: Maximum number of values in a tensor of strings.

    Raises:
      InputError: If a tensor's type, shape or number of values is wrong; names the tensor.
    """
    return {name: _array(quote_name(name), tensor, most_clips) for name, tensor in inputs.items()}


def _array(name: str, tensor: Any, most_clips: int) -> np.ndarray:
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or any(size < 1 for size in sizes):
        raise InputError(f"{name}.tensor_shape: expected sizes, none of them 0. Received: {shorten(sizes)}.")
    content = tensor.tensor_content
    if tensor.dtype == types_pb2.DT_STRING:
        n_values = len(tensor.string_val)
        if n_values > most_clips:
            raise InputError(f"{name}: expected at most {most_clips} clips. Received: {n_values}.")
    elif tensor.dtype == types_pb2.DT_FLOAT:
        if len(content) % 4:
            raise InputError(f"{name}.tensor_content: expected 4 bytes per value. Received: {len(content)} bytes.")
        n_values = len(content) // 4 or len(tensor.float_val)
    else:
        raise InputError(f"{name}.dtype: expected DT_FLOAT or DT_STRING. Received: {_dtype(tensor.dtype)}.")
    if n_values != math.prod(sizes):
        raise InputError(
            f"{name}.tensor_shape: expected sizes that fit the {n_values} values. Received: {shorten(sizes)}."
        )
    if tensor.dtype == types_pb2.DT_STRING:
        return np.array([*tensor.string_val, None], dtype=object)[:-1].reshape(sizes)
    values = np.frombuffer(content, "<f4") if content else np.array(tensor.float_val, np.float32)
    return values.reshape(sizes)


def _dtype(number: int) -> str:
    known = types_pb2.DataType.values()
    return str(types_pb2.DataType.Name(number)) if number in known else str(number)
