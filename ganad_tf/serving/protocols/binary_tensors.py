"""The Open Inference Protocol's binary tensor data: raw tensors behind the JSON of a body.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension,
the same as Triton's. The header `Inference-Header-Content-Length` says where the JSON ends; a tensor's parameter
`binary_data_size` says how many of the bytes behind it are its own. Numbers are little-endian and row-major; an
element of `BYTES` begins with its length, four bytes. Bytes and texts only: no HTTP library, no TensorFlow.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ganad_tf.errors import InputError
from ganad_tf.serving.models.signature import Field, named, short

EXTENSION = "binary_tensor_data"  # the name by which a server says that it knows it
HEADER = "Inference-Header-Content-Length"
SIZE = "binary_data_size"
LENGTH_BYTES = 4

Content = bytes | bytearray | memoryview


def split(content: Content, header_length: str | None) -> tuple[Content, memoryview]:
    """A request's body → its JSON, and the binary data behind it.

    Args:
      content: The body.
      header_length: The value of `HEADER`, or None if the request has none: all of the body is JSON then.

    Raises:
      InputError: If the header is not a number of bytes, or of more than there are.
    """
    if header_length is None:
        return content, memoryview(b"")
    text = header_length.strip()
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    if not is_number or int(text) > len(content):
        raise InputError(f"{HEADER}: expected at most the body's {len(content)} bytes. Received: {short(text)}.")
    view = memoryview(content)
    return view[: int(text)], view[int(text) :]


def shares(tensors: Iterable[Mapping[str, Any]], binary: memoryview) -> dict[str, memoryview]:
    """The binary data of each tensor of a request that says that it has some, by name.

    Args:
      tensors: The request's, with a text as `name`, in order.
      binary: The bytes behind the JSON.

    Raises:
      InputError: If they are together not as many as the tensors say.
    """
    found = {}
    begin = 0
    for tensor in tensors:
        size = parameters(tensor, tensor["name"]).get(SIZE)
        if size is None:
            continue
        name = f"{named(tensor['name'])}.parameters.{SIZE}"
        if type(size) is not int or size < 0:
            raise InputError(f"{name}: expected a number of bytes. Received: {short(size)}.")
        if size > len(binary) - begin:
            raise InputError(
                f"{name}: expected at most the {len(binary) - begin} bytes that are left behind the JSON, which ends "
                f"at the number of bytes in the header {HEADER}. Received: {size}."
            )
        found[tensor["name"]] = binary[begin : begin + size]
        begin += size
    if begin != len(binary):
        raise InputError(
            f"inputs: expected a {SIZE} for all bytes behind the JSON. Received: {len(binary) - begin} more."
        )
    return found


def parameters(holder: Mapping[str, Any], name: str = "") -> Mapping[str, Any]:
    """The parameters of a request, or of one of its tensors, whose name the message then begins with.

    Raises:
      InputError: If they are no JSON object.
    """
    given = holder.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict):
        place = f"{named(name)}.parameters" if name else "parameters"
        raise InputError(f"{place}: expected an object. Received: {short(given)}.")
    return given


def decode(name: str, data: memoryview, field: Field, sizes: Sequence[int]) -> np.ndarray:
    """Binary data → an array of the field's dtype.

    Raises:
      InputError: If it is not what the sizes say; names the tensor.
    """
    if field.dtype == object:
        return _elements(name, data, math.prod(sizes)).reshape(sizes)
    wanted = math.prod(sizes) * field.dtype.itemsize
    if len(data) != wanted:
        raise InputError(f"{name}.shape: expected {wanted} bytes of data for {short(sizes)}. Received: {len(data)}.")
    array = np.frombuffer(data, field.dtype.newbyteorder("<")).reshape(sizes)
    if field.dtype == bool and (array.view(np.uint8) > 1).any():
        raise InputError(f"{name}: expected 0 or 1 in each byte.")
    return array.astype(field.dtype)


def encode(values: np.ndarray) -> bytes:
    """An array as binary data."""
    if values.dtype == object:
        return b"".join(struct.pack("<I", len(element)) + element for element in values.ravel())
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def joined(json_part: bytes, binary: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """A response's JSON and the binary data of its tensors → its body and headers."""
    if not binary:
        return json_part, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(json_part))}
    return b"".join([json_part, *binary]), headers


def _elements(name: str, data: memoryview, count: int) -> np.ndarray:
    """`BYTES` → that many elements, `[count]`."""
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
