"""Parsing of request bodies: gzip within a size limit, and JSON that is bounded before it is parsed.

A parser makes a Python object of every two or three bytes, which takes twenty times their memory. A valid request has
few lists, objects and strings, and no more numbers than the model takes. The characters that begin or separate them
are therefore counted first, in blocks, with NumPy, which releases the GIL. Characters inside strings count too, which
is harmless: long strings are base64, which contains none of them.

The parser is msgspec's because it raises MemoryError when memory is short; equally fast ones abort the process.
"""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ganad_tf.errors import InputError
from ganad_tf.serving.models.signature import Signature
from ganad_tf.serving.refusals import TooLargeError

DEPTH = 32  # the deepest request, nested tensors of the Open Inference Protocol, has 7
FEW = 1_000_000  # lists other than rows, and characters of objects and strings; about 100 MB when parsed
MOST_NUMBERS = 10_000_000  # ten minutes at 16 kHz; about 600 MB while parsed
LONGEST_WITH_NAN = 1 << 20  # bytes; the parser that accepts NaN holds the GIL for a second per ten megabytes
BLOCK = 1 << 20  # bytes
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1

Content = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Bound:
    """Maximum size of a JSON request.

    Attributes:
      numbers: Maximum number of numbers.
      row: Numbers in the shortest innermost list among inputs with a list per frame; None without such inputs.
    """

    numbers: int
    row: int | None

    @classmethod
    def of(cls, signatures: Mapping[str, Signature], *, clips: int, samples: int) -> "Bound":
        """Bound for the inputs of a model.

        Args:
          signatures: Signatures of the model.
          clips: Maximum number of clips per request.
          samples: Maximum number of samples per clip.
        """
        shapes = [field.shape for signature in signatures.values() for field in signature.inputs.values()]
        rows = [shape[-1] or 1 for shape in shapes if len(shape) > 2]
        return cls(min(clips * samples, MOST_NUMBERS), min(rows, default=None))

    def check(self, content: Content) -> None:
        """Refuses a body that is larger or nested deeper than any valid request.

        Raises:
          InputError: If it is nested too deep.
          TooLargeError: If it has too many numbers, lists, objects or strings.
        """
        if len(content) <= BLOCK and _brackets(content) <= DEPTH:
            return  # the usual case: a few files in base64
        array = np.frombuffer(content, np.uint8)
        commas = lists = others = depth = 0
        for begin in range(0, array.size, BLOCK):
            block = array[begin : begin + BLOCK]
            commas += _count(block, ",")
            lists += _count(block, "[")
            others += sum(_count(block, mark) for mark in '{:"')
            if commas > FEW + self.numbers:
                raise TooLargeError(f"the body: expected at most {self.numbers} numbers; send fewer or shorter clips.")
            if lists > FEW + (commas // self.row if self.row else 0):
                raise TooLargeError(f"the body: expected at most {FEW} lists; one for each clip, or frame, is enough.")
            if others > FEW:
                raise TooLargeError("the body: expected few names and texts beside numbers or files.")
            steps = _STEPS[block]
            depths = depth + np.cumsum(steps[steps != 0], dtype=np.int64)
            if depths.size:
                if depths.max() > DEPTH:
                    raise InputError(f"the body: expected lists and objects nested at most {DEPTH} deep.")
                depth = int(depths[-1])


def json_value(content: Content, bound: Bound) -> Any:
    """Parses a JSON body.

    Raises:
      InputError: If it is not JSON, or nested too deep.
      TooLargeError: If it exceeds the bound.
    """
    bound.check(content)
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            if len(content) <= LONGEST_WITH_NAN:
                return json.loads(bytes(content))  # accepts NaN and Infinity, as TensorFlow Serving does
        except (ValueError, RecursionError):
            pass  # not JSON with NaN either
        raise InputError(f"the body: expected JSON ({error}).") from error


def inflate(content: Content, largest: int) -> bytes:
    """Inflates a body with `Content-Encoding: gzip`.

    Raises:
      InputError: If it is not complete gzip data.
      TooLargeError: If it inflates to more than `largest` bytes.
    """
    parts, bytes_left, rest = [], largest + 1, bytes(content)
    while rest:  # gzip data may have several members
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            parts.append(inflater.decompress(rest, bytes_left))
        except zlib.error as error:
            raise InputError(f"the body: expected gzip data, as Content-Encoding says ({error}).") from error
        bytes_left -= len(parts[-1])
        if bytes_left <= 0:
            raise TooLargeError(f"the body: expected at most {largest / 1e6:g} MB when inflated.")
        if not inflater.eof:
            raise InputError("the body: expected gzip data, as Content-Encoding says, but it is cut off.")
        rest = inflater.unused_data
    return b"".join(parts)


def _brackets(content: Content) -> int:
    content = bytes(content)
    return content.count(b"[") + content.count(b"{")


def _count(block: np.ndarray, mark: str) -> int:
    return int(np.count_nonzero(block == ord(mark)))


def samples(seconds: float, sample_rate: int) -> int:
    """Number of samples of a clip, rounded up."""
    return math.ceil(seconds * sample_rate)
