"""The part of a file that libsndfile decodes, and error messages that several containers share."""

import io
import os
from dataclasses import dataclass
from typing import BinaryIO, Literal

from ganad_tf.errors import DataError

UnknownLength = Literal["read", "refuse"]


@dataclass(frozen=True)
class Sound:
    """A complete recording as libsndfile decodes it: a header, then a part of the file.

    Attributes:
      container: Name of the format in messages, such as `WAV`.
      start: First byte of the part.
      size: Length of the part, in bytes.
      header: Bytes that replace everything before the part.
      md5: Checksum of the decoded samples, if the file has one.
      bits: Bits per sample of that checksum.
    """

    container: str
    start: int
    size: int
    header: bytes = b""
    md5: bytes | None = None
    bits: int = 0

    def stream(self, file: BinaryIO) -> "SoundStream":
        """Header and part of the opened file as one readable stream."""
        return SoundStream(self, file)


class SoundStream(io.RawIOBase):
    """A rewritten header, followed by a part of a file.

    Attributes:
      error: Read error or lack of memory that libsndfile could not pass on, because it reads through callbacks.
    """

    def __init__(self, sound: Sound, file: BinaryIO) -> None:
        super().__init__()
        self._sound = sound
        self._file = file
        self._position = 0
        self.error: OSError | MemoryError | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Current position, in bytes from the start of the header."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Sets the position, relative to the start, the current position or the end."""
        length = len(self._sound.header) + self._sound.size
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: length}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills the buffer as far as possible; returns the number of bytes."""
        header, count = self._sound.header, 0
        if self._position < len(header):
            some = header[self._position : self._position + len(buffer)]
            buffer[: len(some)] = some
            count = len(some)
        behind = self._position + count - len(header)
        wanted = min(len(buffer) - count, self._sound.size - behind)
        if wanted > 0:
            try:
                self._file.seek(self._sound.start + behind)
                more = self._file.read(wanted)
            except (OSError, MemoryError) as error:
                self.error = error
                return 0
            buffer[count : count + len(more)] = more
            count += len(more)
        self._position += count
        return count


def cut_off(expected: int, received: int) -> DataError:
    """Error for a file that ends before its sound; both arguments in bytes."""
    return DataError(f"expected {expected} bytes as its header says, but the file is cut off after {received}.")


def unknown_sound_size(container: str, rest: int, unknown_length: UnknownLength) -> int:
    """Size of the sound where the header does not declare it: all the rest of the file.

    Raises:
      DataError: If such recordings are to be refused.
    """
    if unknown_length == "refuse":
        raise DataError(
            f"expected a header that counts the samples, but this {container} file leaves the length open, as "
            "recordings from a pipe do; convert it, or set `audio.unknown_length: read`."
        )
    return rest


def uncheckable(what: str) -> DataError:
    """Error for a format in which truncation can't be detected."""
    return DataError(f"expected WAV, FLAC or another format that shows whether a file is whole, not {what}.")


def joined(container: str) -> DataError:
    """Error for several recordings in one file."""
    return DataError(f"expected one recording, but several {container} files or streams are joined in this one.")


def file_size(file: BinaryIO) -> int:
    """Size of an opened file, in bytes."""
    return file.seek(0, os.SEEK_END)


def bytes_at(file: BinaryIO, position: int, count: int = -1) -> bytes:
    """Reads `count` bytes from a position, or all the rest."""
    file.seek(position)
    return file.read(count)
