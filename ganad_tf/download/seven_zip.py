"""7z archives in volumes, as ToyADMOS has them, by py7zr (the extra `sevenzip`)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ganad_tf.download import archive
from ganad_tf.errors import ConfigError, DataError


def refuse_missing_library() -> None:
    """Checks that py7zr is installed, before hours of downloading.

    Raises:
      ConfigError: If it is not.
    """
    try:
        import py7zr  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "Expected py7zr for 7z archives; install it with: pip install 'ganad_tf[sevenzip]'."
        ) from error


class Volumes(io.RawIOBase):
    """Several files as one, for reading.

    Args:
      paths: The files, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._streams: list[IO[bytes]] = [path.open("rb") for path in paths]
        sizes = [path.stat().st_size for path in paths]
        self._begins = [sum(sizes[:number]) for number in range(len(sizes))]
        self._size = sum(sizes)
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset from the beginning, the position or the end; returns the new position."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Reads from one file, up to its end; returns the number of bytes."""
        if self._position >= self._size:
            return 0
        number = max(n for n, begin in enumerate(self._begins) if begin <= self._position)
        stream = self._streams[number]
        stream.seek(self._position - self._begins[number])
        n_bytes = stream.readinto(buffer)  # type: ignore[attr-defined]
        self._position += n_bytes
        return int(n_bytes)

    def close(self) -> None:
        """Closes the files."""
        for stream in self._streams:
            stream.close()
        super().close()


def unpack(volumes: Sequence[Path], into: Path, limit: int) -> None:
    """Unpacks an archive into an empty folder, after all its entries are checked.

    Args:
      volumes: Volumes in order.
      into: Folder; whatever is in it after an error is to be thrown away.
      limit: Most bytes that the entries may declare.

    Raises:
      DataError: If the archive is damaged or holds something unsafe.
    """
    refuse_missing_library()
    import py7zr

    name = volumes[0].name
    try:
        with Volumes(volumes) as raw, py7zr.SevenZipFile(io.BufferedReader(raw)) as seven_zip:
            if seven_zip.needs_password():
                raise DataError(f"Expected {name} to need no password, but it does.")
            entries = seven_zip.list()
            for entry in entries:
                archive.refuse_unsafe_name(entry.filename, name)
                if not (entry.is_file or entry.is_directory):
                    raise DataError(f"Expected files and folders in {name}. Received: a link, {entry.filename!r}.")
            if sum(entry.uncompressed for entry in entries) > limit:
                raise archive.too_large(name)
            seven_zip.extractall(into)
    except (py7zr.exceptions.ArchiveError, *archive.DAMAGE) as error:
        raise DataError(f"Expected {name} to be an undamaged archive, but it is not ({error}).") from error
