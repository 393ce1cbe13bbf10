"""AIFF, AIFF-C, W64, CAF and AU: completeness checks."""

import struct
from typing import BinaryIO

from ganad_tf.audio.containers import chunks
from ganad_tf.audio.containers.chunks import Layout
from ganad_tf.audio.containers.sound import Sound, UnknownLength, bytes_at, cut_off, file_size, unknown_sound_size
from ganad_tf.errors import DataError

AIFF = Layout("AIFF", 4, ">I", False, 2, b"SSND", frozenset({b"COMM"}), smallest=8)
W64 = Layout("W64", 16, "<Q", True, 8, b"data", frozenset({b"fmt "}))
CAF = Layout("CAF", 4, ">Q", False, 1, b"data", frozenset({b"desc"}), smallest=4)
_UNPACKED = (b"NONE", b"twos", b"sowt", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")
_AU_OPEN = 0xFFFFFFFF
_AU_HEADER = 24


def aiff(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in an AIFF or AIFF-C file.

    Raises:
      DataError: If it is incomplete.
    """
    form = bytes_at(file, start, 12)[8:]
    sound_chunks = chunks.read(file, start + 12, AIFF, unknown_length=unknown_length)
    comm, offsets = sound_chunks.settings.get(b"COMM", b""), bytes_at(file, sound_chunks.start, AIFF.smallest)
    if len(comm) < 18 or len(offsets) < AIFF.smallest:
        raise DataError("expected a whole AIFF file, but it does not say how its samples are coded.")
    skipped = AIFF.smallest + struct.unpack_from(">I", offsets)[0]
    size = max(sound_chunks.size - skipped, 0)
    channels, frames, bits = struct.unpack_from(">hIh", comm)
    if form == b"AIFF" or comm[18:22] in _UNPACKED:
        expected = frames * channels * ((bits + 7) // 8)
        if expected > size:
            raise cut_off(expected, size)
    described = struct.pack(">4sI", b"COMM", len(comm)) + comm + bytes(len(comm) % 2)
    ssnd = struct.pack(">4sIII", b"SSND", min(size + AIFF.smallest, 0xFFFFFFFF), 0, 0)
    outer = min(4 + len(described) + len(ssnd) + size, 0xFFFFFFFF)
    header = struct.pack(">4sI4s", b"FORM", outer, form) + described + ssnd
    return Sound("AIFF", sound_chunks.start + skipped, size, header)


def w64(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in a Sonic Foundry W64 file.

    Raises:
      DataError: If it is incomplete.
    """
    sound_chunks = chunks.read(file, start + 40, W64, unknown_length=unknown_length)
    before = bytearray(bytes_at(file, start, sound_chunks.start - start))
    struct.pack_into("<Q", before, 16, len(before) + sound_chunks.size)
    struct.pack_into("<Q", before, len(before) - 8, sound_chunks.size + W64.header_bytes)
    return Sound("W64", sound_chunks.start, sound_chunks.size, bytes(before))


def caf(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in a file of Apple's Core Audio Format.

    Raises:
      DataError: If it is incomplete.
    """
    sound_chunks = chunks.read(file, start + 8, CAF, unknown_length=unknown_length)
    before = bytearray(bytes_at(file, start, sound_chunks.start - start))
    struct.pack_into(">Q", before, len(before) - 8, sound_chunks.size)
    rest = file_size(file) - sound_chunks.start  # a table of compressed packets may follow the sound
    return Sound("CAF", sound_chunks.start, rest, bytes(before))


def au(file: BinaryIO, start: int, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in a Sun or NeXT AU file.

    Raises:
      DataError: If it is incomplete.
    """
    head, end = bytes_at(file, start, _AU_HEADER), file_size(file)
    if len(head) < _AU_HEADER:
        raise DataError("expected a whole AU file, but it is cut off before its samples.")
    order = ">" if head[:4] == b".snd" else "<"
    offset, size, encoding, rate, channels = struct.unpack_from(f"{order}5I", head, 4)
    begin = start + offset
    held = max(end - begin, 0)
    if size == _AU_OPEN or (size == 0 and held):
        size = unknown_sound_size("AU", held, unknown_length)
    if size > held:
        raise cut_off(size, held)
    chunks.refuse_lost_sound(file, begin + size, end)
    counts = (_AU_HEADER, min(size, _AU_OPEN), encoding, rate, channels)
    return Sound("AU", begin, size, struct.pack(f"{order}4s5I", head[:4], *counts))
