"""WAV in all its forms: RIFF, RIFX (most significant byte first), RF64 and BW64 (sizes of 64 bits)."""

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
_MOST = 2**32 - 256  # bytes of samples that a size of 32 bits can count


@dataclass(frozen=True)
class Wave:
    """A whole WAV file.

    Attributes:
      order: `<` or `>`, as `struct` has it.
      fmt: Content of the chunk `fmt `.
      kind: Format code, that of the extension where there is one.
      channels, rate, bits: As the header says; channels and rate are not 0.
      start, size: Place of the samples in the file, in bytes.
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
    """Whether a file that begins so is one."""
    return head[:4] in MAGIC and head[8:12] == b"WAVE"


def wave_of(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Wave:
    """Reads the header of a WAV file.

    Args:
      file: The opened file.
      start: Byte where it begins.
      unknown_length: Whether a sound of open length is read up to the file's end.

    Raises:
      DataError: If it is not whole, or its header makes no sense.
    """
    head = bytes_at(file, start, 12)
    order = _ORDER.get(head[:4], "<")
    outer_size = struct.unpack_from(f"{order}I", head, 4)[0] if head[:4] in (b"RIFF", b"RIFX") else 0
    layout = Layout("WAV", 4, f"{order}I", False, 2, b"data", frozenset({b"fmt ", b"ds64"}))
    found = chunks.read(file, start + 12, layout, unknown_length=unknown_length, outer_size=outer_size)
    fmt = found.settings.get(b"fmt ", b"")
    if len(fmt) < 16:
        raise DataError("expected a WAV file that says how its samples are coded, but it has no whole chunk `fmt `.")
    kind, channels, rate, _, _, bits = struct.unpack_from(f"{order}HHIIHH", fmt)
    if kind == EXTENSIBLE and len(fmt) >= 26:
        (kind,) = struct.unpack_from(f"{order}H", fmt, 24)  # the first bytes of the format's GUID
    if not channels or not rate:
        raise DataError(f"expected a header that makes sense. Received: {channels} channels, {rate} Hz.")
    return Wave(order, fmt, kind, channels, rate, bits, found.start, found.size)


def sound_of(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """The whole recording in a WAV file.

    Raises:
      DataError: If it is not whole.
    """
    wave = wave_of(file, start, unknown_length)
    if wave.kind == MP3:
        return mp3.sound_in(bytes_at(file, wave.start, wave.size), wave.start)
    return Sound("WAV", wave.start, wave.size, header(wave.fmt, wave.size, wave.order))


def header(fmt: bytes, size: int, order: str = "<") -> bytes:
    """The plainest header: the chunk `fmt ` and so many bytes of samples."""
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
