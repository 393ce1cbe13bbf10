"""Ogg (Vorbis, Opus, FLAC): checks of each page's checksum and number, and of the stream's end. RFC 3533."""

import struct
import zlib
from typing import BinaryIO

from ganad_tf.audio.containers.sound import Sound, UnknownLength, bytes_at, joined
from ganad_tf.errors import DataError

_HEADER = 27
_BEGIN, _END = 2, 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_sound(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in an Ogg file.

    Raises:
      DataError: If it is incomplete.
    """
    del unknown_length  # the last page is marked as such
    stream = bytes_at(file, start)
    position, number, serial, is_ended = 0, 0, None, False
    while stream.startswith(b"OggS", position):
        size = _page_size(stream, position)
        flags, page_serial, page_number, checksum = struct.unpack_from("<5xB8xIII", stream, position)
        if flags & _BEGIN and serial is not None:
            raise joined("Ogg")
        page = stream[position : position + size]
        if checksum != _checksum(page[:22] + bytes(4) + page[26:]):
            raise DataError(f"expected a whole Ogg file, but its page {page_number} is damaged.")
        if serial is None:
            serial, number = page_serial, page_number
        if (page_serial, page_number) != (serial, number) or is_ended:
            raise DataError(f"expected page {number} of the Ogg stream, but pages are missing before {page_number}.")
        position, number, is_ended = position + size, number + 1, bool(flags & _END)
    if not is_ended:
        raise DataError(
            "expected a whole recording, but the Ogg file is cut off: its last page is not the stream's end."
        )
    if stream.find(b"OggS", position) >= 0:
        raise joined("Ogg")
    return Sound("Ogg", start, position)


def _page_size(stream: bytes, position: int) -> int:
    segments = stream[position + _HEADER : position + _HEADER + _byte(stream, position + 26)]
    size = _HEADER + len(segments) + sum(segments)
    if len(segments) < _byte(stream, position + 26) or position + size > len(stream):
        raise DataError("expected a whole Ogg file, but it is cut off within a page.")
    return size


def _byte(stream: bytes, position: int) -> int:
    if position >= len(stream):
        raise DataError("expected a whole Ogg file, but it is cut off within a page.")
    return stream[position]


def _checksum(page: bytes) -> int:
    """CRC-32 of Ogg: zlib's polynomial with reversed bit order.

    >>> hex(_checksum(b"123456789"))
    '0x89a1897f'
    """
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)
