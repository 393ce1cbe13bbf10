"""Detection of the container format by a file's first bytes, never by its name."""

from collections.abc import Callable
from typing import BinaryIO

from ganad_tf.audio.containers import flac, iff, mp3, ogg, riff
from ganad_tf.audio.containers.sound import Sound, UnknownLength, bytes_at, uncheckable
from ganad_tf.errors import DataError

NAMES = "WAV, RF64, W64, AIFF, AU, CAF, FLAC, Ogg, MP3"
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_HEAD = 16  # bytes that identify the format
MOST_TAGS = 8

Reader = Callable[[BinaryIO, int, UnknownLength], Sound]

CONTAINERS: tuple[tuple[Callable[[bytes], bool], Reader], ...] = (
    (riff.is_wave, riff.find_sound),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), iff.aiff),
    (lambda head: head == _W64, iff.w64),
    (lambda head: head[:4] == b"caff", iff.caf),
    (lambda head: head[:4] in (b".snd", b"dns."), iff.au),
    (lambda head: head[:4] == b"fLaC", flac.find_sound),
    (lambda head: head[:4] == b"OggS", ogg.find_sound),
    (mp3.is_mp3, mp3.find_sound),
)
# Formats that libsndfile reads, but in which truncation can't be detected.
_UNCHECKABLE = {b"NIST_1A": "NIST", b"Creative Voice": "VOC"}


def find_sound(file: BinaryIO, unknown_length: UnknownLength) -> Sound:
    """Locates the complete recording in a file.

    Args:
      file: The opened file.
      unknown_length: For a header that leaves the length open: `read` up to the end of the file, or `refuse`.

    Raises:
      DataError: If it is incomplete, or that can't be determined; the message does not name the file.
    """
    start = after_tags(file)
    head = bytes_at(file, start, _HEAD)
    for is_it, reader in CONTAINERS:
        if is_it(head):
            return reader(file, start, unknown_length)
    for mark, name in _UNCHECKABLE.items():
        if head.startswith(mark):
            raise uncheckable(name)
    if not head:
        raise DataError("expected an audio file, but it is empty.")
    raise DataError(f"expected an audio file that can be read ({NAMES}). Received: a file that is none of these.")


def after_tags(file: BinaryIO) -> int:
    """Position after the ID3v2 tags with which a file of any format may begin."""
    position = 0
    for _ in range(MOST_TAGS):
        tag = bytes_at(file, position, 10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:]) > 0x7F:
            break
        size = 0
        for byte in tag[6:]:
            size = size << 7 | byte
        position += 10 + size + (10 if tag[5] & 0x10 else 0)  # a footer repeats the header
    return position
