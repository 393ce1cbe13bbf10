"""The Open Inference Protocol's binary tensor data: raw tensors behind the JSON of a body.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension,
the same as Triton's. The header `Inference-Header-Content-Length` is the length of the JSON; a tensor's parameter
`binary_data_size` is its number of bytes behind the JSON. Numbers are little-endian and row-major; each element of
`BYTES` is preceded by its length in four bytes. Imports neither an HTTP library nor TensorFlow.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ganad_tf.errors import InputError
from ganad_tf.serving.models.signature import Field, quote_name, shorten

EXTENSION = "binary_tensor_data"  # name in the server's metadata
HEADER = "Inference-Header-Content-Length"
SIZE = "binary_data_size"
LENGTH_BYTES = 4

Content = bytes | bytearray | memoryview


def split(content: Content, header_length: str | None) -> tuple[Content, memoryview]:
    """Splits a request's body into its JSON and the binary data behind it.

    Args:
      content: Body of the request.
      header_length: Value of `HEADER`; None if the whole body is JSON.

    Raises:
      InputError: If the header is not a number, or larger than the body.
    """
    if header_length is None:
        return content, memoryview(b"")
    text = header_length.strip()
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    if not is_number or int(text) > len(content):
        raise InputError(f"{HEADER}: expected at most the body's {len(content)} bytes. Received: {shorten(text)}.")
    view = memoryview(content)
    return view[: int(text)], view[int(text) :]


def split_by_tensor(tensors: Iterable[Mapping[str, Any]], binary: memoryview) -> dict[str, memoryview]:
    """Splits the binary data by tensor name; tensors without `binary_data_size` are left out.

    Args:
      tensors: Tensors of the request in order, each with a string `name`.
      binary: Bytes behind the JSON.

    Raises:
      InputError: If the tensors' sizes do not add up to the length of `binary`.
    """
    by_tensor = {}
    begin = 0
    for tensor in tensors:
        size = parameters(tensor, tensor["name"]).get(SIZE)
        if size is None:
            continue
        name = f"{quote_name(tensor['name'])}.parameters.{SIZE}"
        if type(size) is not int or size < 0:
            raise InputError(f"{name}: expected a number of bytes. Received: {shorten(size)}.")
        if size > len(binary) - begin:
            raise InputError(
                f"{name}: expected at most the {len(binary) - begin} bytes that are left behind the JSON, which ends "
                f"at the number of bytes in the header {HEADER}. Received: {size}."
            )
        by_tensor[tensor["name"]] = binary[begin : begin + size]
        begin += size
    if begin != len(binary):
        raise InputError(
            f"inputs: expected a {SIZE} for all bytes behind the JSON. Received: {len(binary) - begin} more."
        )
    return by_tensor


def parameters(holder: Mapping[str, Any], name: str = "") -> Mapping[str, Any]:
    """Parameters of a request, or of one of its tensors with this name.

    Raises:
      InputError: If they are not a JSON object.
    """
    value = holder.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        prefix = f"{quote_name(name)}.parameters" if name else "parameters"
        raise InputError(f"{prefix}: expected an object. Received: {shorten(value)}.")
    return value


def decode(name: str, data: memoryview, field: Field, sizes: Sequence[int]) -> np.ndarray:
    """Decodes binary data to an array of the field's dtype.

    Raises:
      InputError: If the data does not fit the sizes; names the tensor.
    """
    if field.dtype == object:
        return _elements(name, data, math.prod(sizes)).reshape(sizes)
    n_bytes = math.prod(sizes) * field.dtype.itemsize
    if len(data) != n_bytes:
        raise InputError(f"{name}.shape: expected {n_bytes} bytes of data for {shorten(sizes)}. Received: {len(data)}.")
    array = np.frombuffer(data, field.dtype.newbyteorder("<")).reshape(sizes)
    if field.dtype == bool and (array.view(np.uint8) > 1).any():
        raise InputError(f"{name}: expected 0 or 1 in each byte.")
    return array.astype(field.dtype)


def encode(values: np.ndarray) -> bytes:
    """Encodes an array as binary data."""
    if values.dtype == object:
        return b"".join(struct.pack("<I", len(element)) + element for element in values.ravel())
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def join(json_part: bytes, binary: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """Joins a response's JSON and binary data; returns body and headers."""
    if not binary:
        return json_part, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(json_part))}
    return b"".join([json_part, *binary]), headers


def _elements(name: str, data: memoryview, count: int) -> np.ndarray:
    """Decodes `BYTES` to an object array `[count]`."""
    elements: list[bytes] = []
    begin = 0
    while begin < len(data):
        end = begin + LENGTH_BYTES
        if end <= len(data):
            length = struct.unpack_from("<I", data, begin)[0]
            begin, end = end, end + length
        if end > len(data):
            raise InputError(
                f"{name}[{len(elements)}]: expected its length in {LENGTH_BYTES} bytes, and as many bytes behind it. "
                f"Received: {len(data) - begin} bytes."
            )
        elements.append(bytes(data[begin:end]))
        begin = end
        if len(elements) > count:
            break
    if len(elements) != count:
        received = "more" if len(elements) > count else len(elements)
        raise InputError(f"{name}.shape: expected {count} elements, as its sizes say. Received: {received}.")
    array = np.empty(count, dtype=object)
    array[:] = elements
    return array
