"""FLAC: completeness check, and the length of a stream that does not declare it, by its last frame. RFC 9639.

libFLAC checks the checksum of each frame and the number of samples, but not the checksum of all samples, and stops
at the end of the first of several concatenated files.
"""

import struct
from typing import BinaryIO

from ganad_tf.audio.containers.sound import Sound, UnknownLength, bytes_at, joined, unknown_sound_size
from ganad_tf.errors import DataError

_HEADER = 42  # bytes up to the end of STREAMINFO
_JOINED = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_SYNC = (b"\xff\xf8", b"\xff\xf9")  # start of a frame, with fixed or variable block size
_LONGEST_HEADER = 16  # bytes of a frame's header
MAX_TRIES = 8  # positions that look like the start of the last frame


def find_sound(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in a FLAC file.

    Raises:
      DataError: If it is incomplete.
    """
    stream = bytes_at(file, start)
    if len(stream) < _HEADER or stream[4] & 0x7F:
        raise DataError("expected a whole FLAC file, but it is cut off in its header.")
    if any(stream.find(mark, 4) >= 0 for mark in _JOINED):
        raise joined("FLAC")
    packed = int.from_bytes(stream[18:26])  # rate 20 bits, channels - 1 in 3, bits - 1 in 5, total in 36
    bits, total, md5 = (packed >> 36 & 31) + 1, packed & (2**36 - 1), stream[26:42]
    header = stream[:_HEADER]
    if not total:
        unknown_sound_size("FLAC", len(stream), unknown_length)
        header = header[:18] + (packed | _samples(stream)).to_bytes(8) + header[26:]
    known_md5 = md5 if any(md5) else None
    return Sound("FLAC", start + _HEADER, len(stream) - _HEADER, header, known_md5, bits)


def _samples(stream: bytes) -> int:
    """Number of samples by the last frame, which has to end where the stream ends.

    Raises:
      DataError: If no frame ends there.
    """
    largest_block = struct.unpack_from(">H", stream, 10)[0]
    position, tries = len(stream), 0
    while tries < MAX_TRIES:
        position = max(stream.rfind(sync, _HEADER, position + 1) for sync in _SYNC)
        if position < 0:
            break
        end = _end_of_frame(stream, position, largest_block)
        if end is not None:
            if _crc_16(stream[position:]) == 0 and end < 2**36:
                return end
            tries += 1
    raise DataError("expected a FLAC file that ends with a whole frame, but it is cut off.")


def _end_of_frame(stream: bytes, position: int, largest_block: int) -> int | None:
    """Number of the first sample after the frame at `position`; None if there is no frame."""
    code, offset = stream[position + 2 : position + 3], position + 4
    if not code or offset >= len(stream):
        return None
    # Leading ones of the frame or sample number, which is coded as in UTF-8.
    ones = 8 - (stream[offset] ^ 0xFF).bit_length()
    extra = max(ones - 1, 0)
    if ones == 1 or ones > 7:
        return None
    number = stream[offset] & (0xFF >> (ones + 1)) if ones else stream[offset]
    for byte in stream[offset + 1 : offset + 1 + extra]:
        number = number << 6 | byte & 0x3F
    offset += 1 + extra
    size_code, rate_code = code[0] >> 4, code[0] & 15
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    block = int.from_bytes(stream[offset : offset + size_bytes]) + 1 if size_bytes else _block(size_code)
    offset += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if offset - position > _LONGEST_HEADER or offset >= len(stream) or not block:
        return None
    if _crc_8(stream[position : offset + 1]):
        return None
    is_variable = stream[position + 1] & 1
    return block + (number if is_variable else number * largest_block)


def _block(code: int) -> int:
    """Samples in a frame by its block size code; 0 for a reserved code.

    >>> [_block(code) for code in (0, 1, 2, 5, 8, 15)]
    [0, 192, 576, 4608, 256, 32768]
    """
    if code == 1:
        return 192
    return 576 << (code - 2) if 2 <= code <= 5 else 256 << (code - 8) if code >= 8 else 0


def _crc_8(data: bytes) -> int:
    """CRC-8 with the polynomial 0x07.

    >>> hex(_crc_8(b"123456789"))
    '0xf4'
    """
    crc = 0
    for byte in data:
        crc = _TABLE_8[crc ^ byte]
    return crc


def _crc_16(data: bytes) -> int:
    """CRC-16 with the polynomial 0x8005.

    >>> hex(_crc_16(b"123456789"))
    '0xfee8'
    """
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _TABLE_16[crc >> 8 ^ byte]
    return crc


def _table(polynomial: int, width: int) -> tuple[int, ...]:
    top, mask = 1 << (width - 1), (1 << width) - 1

    def remainder(byte: int) -> int:
        crc = byte << (width - 8)
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
        return crc

    return tuple(remainder(byte) for byte in range(256))


_TABLE_8, _TABLE_16 = _table(0x07, 8), _table(0x8005, 16)
