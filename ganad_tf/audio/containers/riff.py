"""WAV in all its variants: RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes)."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ganad_tf.audio.containers import chunks, mp3
from ganad_tf.audio.containers.chunks import Layout
from ganad_tf.audio.containers.sound import Sound, UnknownLength, bytes_at
from ganad_tf.errors import DataError

PCM, FLOAT, MP3, EXTENSIBLE = 1, 3, 0x55, 0xFFFE
MAGIC = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_ORDER = {b"RIFX": ">"}
_MOST = 2**32 - 256  # bytes of samples that a 32-bit size can declare


@dataclass(frozen=True)
class Wave:
    """The header of a complete WAV file.

    Attributes:
      order: Byte order as in `struct`, `<` or `>`.
      fmt: Content of the chunk `fmt `.
      kind: Format code; that of the extension in WAVE_FORMAT_EXTENSIBLE.
      channels, rate, bits: As declared; channels and rate (in hertz) are not 0.
      start, size: Position and number of the bytes of the samples in the file.
    """

    order: str
    fmt: bytes
    kind: int
    channels: int
    rate: int
    bits: int
    start: int
    size: int


def is_wave(head: bytes) -> bool:
    """Whether a file with these first bytes is WAV."""
    return head[:4] in MAGIC and head[8:12] == b"WAVE"


def read_wave(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Wave:
    """Reads the header of a WAV file.

    Args:
      file: The opened file.
      start: Byte where it begins.
      unknown_length: Whether a sound of open length is read up to the end of the file.

    Raises:
      DataError: If it is incomplete, or its header is invalid.
    """
    head = bytes_at(file, start, 12)
    order = _ORDER.get(head[:4], "<")
    outer_size = struct.unpack_from(f"{order}I", head, 4)[0] if head[:4] in (b"RIFF", b"RIFX") else 0
    layout = Layout("WAV", 4, f"{order}I", False, 2, b"data", frozenset({b"fmt ", b"ds64"}))
    riff_chunks = chunks.read(file, start + 12, layout, unknown_length=unknown_length, outer_size=outer_size)
    fmt = riff_chunks.settings.get(b"fmt ", b"")
    if len(fmt) < 16:
        raise DataError("expected a WAV file that says how its samples are coded, but it has no whole chunk `fmt `.")
    kind, channels, rate, _, _, bits = struct.unpack_from(f"{order}HHIIHH", fmt)
    if kind == EXTENSIBLE and len(fmt) >= 26:
        (kind,) = struct.unpack_from(f"{order}H", fmt, 24)  # the first bytes of the format's GUID
    if not channels or not rate:
        raise DataError(f"expected a header that makes sense. Received: {channels} channels, {rate} Hz.")
    return Wave(order, fmt, kind, channels, rate, bits, riff_chunks.start, riff_chunks.size)


def find_sound(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in a WAV file.

    Raises:
      DataError: If it is incomplete.
    """
    wave = read_wave(file, start, unknown_length)
    if wave.kind == MP3:
        return mp3.sound_in(bytes_at(file, wave.start, wave.size), wave.start)
    return Sound("WAV", wave.start, wave.size, header(wave.fmt, wave.size, wave.order))


def header(fmt: bytes, size: int, order: str = "<") -> bytes:
    """Minimal WAV header: the chunk `fmt `, then a data chunk of `size` bytes; RF64 from 4 GiB."""
    outer, inner = (size + 20 + len(fmt), size) if size < _MOST else (0xFFFFFFFF, 0xFFFFFFFF)
    name, ds64 = (b"RIFX" if order == ">" else b"RIFF"), b""
    if size >= _MOST:
        if order == ">":
            raise DataError(f"expected a RIFX file of less than 4 GiB. Received: {size} bytes of samples.")
        name, ds64 = b"RF64", struct.pack("<4sIQQQI", b"ds64", 28, size + 56 + len(fmt), size, 0, 0)
    fmt_chunk = struct.pack(f"{order}4sI", b"fmt ", len(fmt)) + fmt + bytes(len(fmt) % 2)
    return (
        struct.pack(f"{order}4sI4s", name, outer, b"WAVE")
        + ds64
        + fmt_chunk
        + struct.pack(f"{order}4sI", b"data", inner)
    )
