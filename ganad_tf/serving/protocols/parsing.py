"""Bodies of requests: inflated within a limit, and JSON that is bounded before it is parsed.

A parser makes a Python object of every two or three bytes, which takes twenty times their room. A request has few
lists, objects and texts, and no more numbers than the model takes; so their marks are counted in the bytes first, in
blocks, by NumPy, which lets other threads run meanwhile. Marks inside of texts count too: a request has no long texts
but base64, which has none of these.

The parser is msgspec's: where memory is short, it raises MemoryError; the others that are as fast end the process.
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
FEW = 1_000_000  # lists that hold no row of a model, and marks of objects and texts; some 100 MB when they are parsed
MOST_NUMBERS = 10_000_000  # ten minutes at 16 kHz; some 600 MB while they are parsed
LONGEST_WITH_NAN = 1 << 20  # bytes; the parser that knows it lets no other thread run, a second for each ten megabytes
BLOCK = 1 << 20  # bytes
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1

Content = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Bound:
    """Most marks of a JSON request.

    Attributes:
      numbers: In one request.
      row: Numbers in the shortest innermost list of those inputs that have a list for each frame; None if none has.
    """

    numbers: int
    row: int | None

    @classmethod
    def of(cls, signatures: Mapping[str, Signature], *, clips: int, samples: int) -> "Bound":
        """The bound that follows from a model's inputs.

        Args:
          signatures: Of the model.
          clips: In one request.
          samples: Of the longest clip.
        """
        shapes = [field.shape for signature in signatures.values() for field in signature.inputs.values()]
        rows = [shape[-1] or 1 for shape in shapes if len(shape) > 2]
        return cls(min(clips * samples, MOST_NUMBERS), min(rows, default=None))

    def check(self, content: Content) -> None:
        """Refuses a body that would take more room, or be nested deeper, than a request can.

        Raises:
          InputError: If it is nested too deep.
          TooLargeError: If there are too many numbers, lists, objects or texts.
        """
        if len(content) <= BLOCK and _brackets(content) <= DEPTH:
            return  # as nearly all are: a few files in base64
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
            course = depth + np.cumsum(steps[steps != 0], dtype=np.int64)
            if course.size:
                if course.max() > DEPTH:
                    raise InputError(f"the body: expected lists and objects nested at most {DEPTH} deep.")
                depth = int(course[-1])


def json_value(content: Content, bound: Bound) -> Any:
    """The value in a body.

    Raises:
      InputError: If it is not JSON, or nested too deep.
      TooLargeError: If it is larger than a request can be.
    """
    bound.check(content)
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            if len(content) <= LONGEST_WITH_NAN:
                return json.loads(bytes(content))  # knows NaN and Infinity, as TensorFlow Serving does
        except (ValueError, RecursionError):
            pass  # it is no JSON in this sense either
        raise InputError(f"the body: expected JSON ({error}).") from error


def inflated(content: Content, largest: int) -> bytes:
    """A body that was sent with `Content-Encoding: gzip`.

    Raises:
      InputError: If it is not whole gzip data.
      TooLargeError: If it inflates to more than `largest` bytes.
    """
    parts, room, rest = [], largest + 1, bytes(content)
    while rest:  # members may follow one another
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            parts.append(inflater.decompress(rest, room))
        except zlib.error as error:
            raise InputError(f"the body: expected gzip data, as Content-Encoding says ({error}).") from error
        room -= len(parts[-1])
        if room <= 0:
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
    """Samples of a clip of so many seconds."""
    return math.ceil(seconds * sample_rate)
