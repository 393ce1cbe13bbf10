"""Chunks with a name and a size, as in WAV, AIFF, W64 and CAF, and rules for the bytes after the sound.

Sources: Microsoft's RIFF (1991), EBU Tech 3306 and ITU-R BS.2088 (RF64, BW64), Apple's AIFF-C (1991) and CAF 1.0
specifications, Sonic Foundry's W64.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from ganad_tf.audio.containers.sound import UnknownLength, bytes_at, cut_off, file_size, joined, unknown_sound_size
from ganad_tf.errors import DataError

# Sizes that writers use while the length is unknown: in a pipe, or until the recording ends.
PLACEHOLDERS = frozenset({0xFFFFFFFF, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 2**63 - 1, 2**64 - 1})
LARGEST_SETTINGS = 2**20  # bytes of a chunk that describes the sound
SMALL_GARBAGE = 1024  # trailing bytes that are tolerated: 32 ms of 16-bit samples at 16 kHz
_JOINED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b".snd", b"fLaC", b"OggS")
# Accepted as chunks even if cut off: no sound is lost.
_ABOUT_THE_SOUND = (b"LIST", b"bext", b"iXML", b"id3 ", b"ID3 ", b"guan", b"cue ", b"JUNK", b"PAD ", b"FLLR", b"ANNO")
_BLOCK = 2**20
MOST_CHUNKS = 10_000


@dataclass(frozen=True)
class Layout:
    """The chunk layout of a container format.

    Attributes:
      container: Name of the format in messages.
      name_bytes: Length of a chunk's name; the first four bytes are letters.
      size_format: `struct` format of the size.
      header_counts: Whether the size includes the name and the size itself.
      alignment: Chunks begin at multiples of this number of bytes.
      sound: First four letters of the name of the chunk with the samples.
      settings: First four letters of the names of the chunks that describe the samples.
      smallest: Bytes in the chunk with the samples when there are none.
    """

    container: str
    name_bytes: int
    size_format: str
    header_counts: bool
    alignment: int
    sound: bytes
    settings: frozenset[bytes]
    smallest: int = 0

    @property
    def header_bytes(self) -> int:
        """Length of name and size, in bytes."""
        return self.name_bytes + struct.calcsize(self.size_format)


@dataclass(frozen=True)
class Chunk:
    """A chunk: first four letters of its name, first byte of its content, and the declared number of content bytes."""

    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class Chunks:
    """The chunks of a file that matter: its settings and the bytes of its sound.

    Attributes:
      settings: Contents of the chunks that describe the samples, by the first four letters of their names.
      start: First byte of the sound chunk's content.
      size: Bytes of that content: as declared, or up to the end of the file where the header leaves the length open.
      is_open: Whether the header leaves the length open.
    """

    settings: dict[bytes, bytes]
    start: int
    size: int
    is_open: bool


def read(file: BinaryIO, first: int, layout: Layout, *, unknown_length: UnknownLength, outer_size: int = 0) -> Chunks:
    """Reads a file's chunks and checks that its sound is complete.

    Args:
      file: The opened file.
      first: Byte where the first chunk begins.
      layout: The format's chunk layout.
      unknown_length: Whether a sound of open length is read up to the end of the file.
      outer_size: Size of the whole file as declared in its header.

    Raises:
      DataError: If there is no sound, it is cut off, or undeclared sound follows it.
    """
    end = file_size(file)
    settings: dict[bytes, bytes] = {}
    sound: Chunks | None = None
    position = first
    for _ in range(MOST_CHUNKS):
        chunk = _chunk_at(file, position, end, layout)
        if chunk is None or (sound and not _is_chunk(chunk, end, layout)):
            break
        size = _size_in_ds64(chunk, settings)
        if chunk.name == layout.sound:
            if sound:
                raise DataError(
                    f"expected a {layout.container} file with one `{layout.sound.decode()}` chunk, but it has several."
                )
            sound = _sound(file, Chunk(chunk.name, chunk.start, size), end, layout, unknown_length, outer_size)
            size = sound.size
        elif chunk.name in layout.settings and size <= LARGEST_SETTINGS:
            settings.setdefault(chunk.name, bytes_at(file, chunk.start, size))
        position = _next(file, chunk.start + size, first, end, layout)
    if sound is None:
        raise DataError(
            f"expected a whole {layout.container} file, but it has no `{layout.sound.decode()}` chunk, or is cut off "
            "before its samples."
        )
    refuse_lost_sound(file, min(position, end), end)
    return Chunks(settings, sound.start, sound.size, sound.is_open)


def _sound(
    file: BinaryIO, chunk: Chunk, end: int, layout: Layout, unknown_length: UnknownLength, outer_size: int
) -> Chunks:
    """Start and size of the samples in their chunk, without settings."""
    held, size = end - chunk.start, chunk.size
    if size <= layout.smallest:
        behind = _chunk_at(file, chunk.start + size, end, layout)
        is_open = held > layout.smallest and not (behind and _is_chunk(behind, end, layout))
    else:
        is_outer_open = outer_size in PLACEHOLDERS and size >= 2**31 - 2**16
        is_open = size > held and (size in PLACEHOLDERS or is_outer_open)
    if is_open:
        size = unknown_sound_size(layout.container, held, unknown_length)
    elif size > held:
        raise cut_off(size, held)
    return Chunks({}, chunk.start, size, is_open)


def refuse_lost_sound(file: BinaryIO, position: int, end: int) -> None:
    """Refuses bytes after the last chunk, unless they are padding or too few to be sound.

    Raises:
      DataError: If the header declares fewer bytes than the recorder wrote.
    """
    if bytes_at(file, position, 4) in _JOINED:
        raise joined("sound")
    if end - position < SMALL_GARBAGE or _is_silent(file, position, end):
        return
    raise DataError(
        f"expected the file's end or another chunk after its samples, but {end - position} more bytes follow: the "
        "header counts fewer than the file holds, as when a recorder was interrupted. Mend the header."
    )


def _chunk_at(file: BinaryIO, position: int, end: int, layout: Layout) -> Chunk | None:
    head = bytes_at(file, position, layout.header_bytes) if position < end else b""
    if len(head) < layout.header_bytes:
        return None
    (size,) = struct.unpack(layout.size_format, head[layout.name_bytes :])
    if layout.header_counts and size not in PLACEHOLDERS:
        size = max(size - layout.header_bytes, 0)
    return Chunk(head[:4], position + layout.header_bytes, size)


def _size_in_ds64(chunk: Chunk, settings: dict[bytes, bytes]) -> int:
    """Size of a chunk; for the samples of RF64, the 64-bit size from its `ds64` chunk."""
    ds64 = settings.get(b"ds64", b"")
    if chunk.name == b"data" and chunk.size == 0xFFFFFFFF and len(ds64) >= 16:
        return int(struct.unpack_from("<Q", ds64, 8)[0])
    return chunk.size


def _next(file: BinaryIO, position: int, first: int, end: int, layout: Layout) -> int:
    """Position of the next chunk: aligned, unless the writer did not align it."""
    aligned = position + (first - position) % layout.alignment
    at_once, later = _chunk_at(file, position, end, layout), _chunk_at(file, aligned, end, layout)
    is_forgotten = at_once and _is_chunk(at_once, end, layout) and not (later and _is_chunk(later, end, layout))
    return position if is_forgotten else aligned


def _is_chunk(chunk: Chunk, end: int, layout: Layout) -> bool:
    """Whether these bytes are a chunk that fits into the file, rather than samples that look like one."""
    if chunk.name in _JOINED:
        return False
    if chunk.name == layout.sound or chunk.name in _ABOUT_THE_SOUND:
        return True
    is_name = all(0x20 <= letter < 0x7F for letter in chunk.name) and chunk.name.strip() != b""
    return is_name and chunk.start + chunk.size <= end


def _is_silent(file: BinaryIO, position: int, end: int) -> bool:
    """Whether only zeros follow, such as space that a recorder reserved in advance."""
    file.seek(position)
    while position < end:
        block = file.read(_BLOCK)
        if not block or block.count(0) < len(block):
            return not block
        position += len(block)
    return True
