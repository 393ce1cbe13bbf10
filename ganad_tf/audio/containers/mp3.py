"""MP3: the number of frames compared with that in the first one, the Xing or Info frame that encoders write.

Sources: ISO/IEC 11172-3 and 13818-3 (frame headers), and the Xing header as LAME documents it.
"""

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from ganad_tf.audio.containers.sound import Sound, UnknownLength, bytes_at, joined, uncheckable
from ganad_tf.errors import DataError

MPEG_1, LAYER_3 = 3, 1
_KILOBITS = {
    MPEG_1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_COUNTED = re.compile(rb"Xing|Info")
_HEADER = 4
_SIDE = 64  # bytes of the first frame that are searched for `Xing` or `Info`


@dataclass(frozen=True)
class _Frame:
    """A frame's header: MPEG version, layer, sample rate in hertz, and length in bytes, 0 if undeclared."""

    version: int
    layer: int
    rate: int
    size: int

    def follows(self, other: "_Frame") -> bool:
        """Whether both frames belong to one stream."""
        return (self.version, self.layer, self.rate) == (other.version, other.layer, other.rate)


def is_mp3(head: bytes) -> bool:
    """Whether a file with these first bytes is MP3."""
    return _frame(head, 0) is not None


def find_sound(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in an MP3 file.

    Raises:
      DataError: If it is incomplete, or does not declare its length.
    """
    del unknown_length  # an undeclared length is always refused
    return sound_in(bytes_at(file, start), start)


def sound_in(stream: bytes, start: int) -> Sound:
    """Locates the complete recording in a stream of MP3 frames.

    Args:
      stream: The frames.
      start: Position of the stream in its file, in bytes.

    Raises:
      DataError: If it is incomplete, or does not declare its length.
    """
    first = _frame(stream, 0)
    counted = first and first.layer == LAYER_3 and first.size and _COUNTED.search(stream, 0, _SIDE)
    if not first or not counted or len(stream) < counted.end() + 8:
        raise uncheckable("MP3 without a Xing or Info frame, which counts the others")
    flags, expected = struct.unpack_from(">II", stream, counted.end())
    if not flags & 1 or not expected:
        raise uncheckable("MP3 whose Xing or Info frame does not count the others")
    position, received = first.size, 0
    while (frame := _frame(stream, position)) and frame.follows(first) and frame.size:
        if position + frame.size > len(stream):
            break
        position += frame.size
        received += 1
    if received < expected:
        raise DataError(
            f"expected {expected} MP3 frames as its first says, but the file is cut off, or damaged, after {received}."
        )
    if received > expected or _goes_on(stream, position, first):
        raise joined("MP3")
    return Sound("MP3", start, position)


def _goes_on(stream: bytes, position: int, first: _Frame) -> bool:
    """Whether more frames follow after other bytes, such as the tags of a concatenated file."""
    while (position := stream.find(b"\xff", position)) >= 0:
        frame = _frame(stream, position)
        if frame and frame.follows(first) and frame.size:
            after = _frame(stream, position + frame.size)
            if after and after.follows(first):
                return True
        position += 1
    return False


def _frame(stream: bytes, position: int) -> _Frame | None:
    """Header of the frame at `position`; None if there is no frame."""
    if position + _HEADER > len(stream):
        return None
    (bits,) = struct.unpack_from(">I", stream, position)
    version, layer, rate = bits >> 19 & 3, bits >> 17 & 3, bits >> 10 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer == 0 or rate == 3 or bits >> 12 & 15 == 15:
        return None
    hertz = _RATES[version][rate]
    kilobits = _KILOBITS[MPEG_1 if version == MPEG_1 else 2][bits >> 12 & 15]
    size = (144 if version == MPEG_1 else 72) * kilobits * 1000 // hertz + (bits >> 9 & 1) if kilobits else 0
    return _Frame(version, layer, hertz, size)
