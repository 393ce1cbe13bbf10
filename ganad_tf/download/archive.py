"""Untrusted zip, tar and 7z archives into a folder, with every entry checked before it is written.

An entry is refused if its name leads out of the folder or if it is a link or a device. Nothing is written beyond the
size that an entry declares, nor beyond `LARGEST_RATIO` times the size of the archive.
"""

import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from ganad_tf.errors import DataError

LARGEST_RATIO = 20  # of WAV files; recordings reach about 2.5, digital silence 1000
ALLOWANCE = 1 << 20  # bytes, for archives of a few small files
CHUNK = 1 << 20

# Raised by the readers for damaged archives; OSError, which gzip raises too, is separated from that of writing.
_FORMATS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error)
DAMAGE = (*_FORMATS, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError)
# Left by file managers, in several archives with different content.
_IS_LITTER = re.compile(r"(^|/)(__MACOSX|\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)(/|$)")
_IS_LEADING_OUT = re.compile(r"^[/\\]|^[A-Za-z]:|\\|\0|(^|/)\.\.(/|$)")

Check = Callable[[], None]  # raises to stop


@dataclass(frozen=True)
class _Entry:
    """A file or folder in an archive; `kind` is `file`, `folder`, or a word for what it should not be."""

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(volumes: Sequence[Path], into: Path, check: Check) -> None:
    """Unpacks an archive into an empty folder.

    Args:
      volumes: The archive, or the volumes of a 7z archive in order.
      into: Folder; whatever is in it after an error is to be thrown away.
      check: Called between pieces; an error that it raises ends the work.

    Raises:
      DataError: If the archive is damaged, encrypted, or holds something unsafe.
      OSError: If a file can't be written.
    """
    name = volumes[0].name
    limit = LARGEST_RATIO * sum(volume.stat().st_size for volume in volumes) + ALLOWANCE
    try:
        if re.search(r"\.7z(\.\d+)?$", name):
            from ganad_tf.download import seven_zip

            seven_zip.unpack(volumes, into, limit)
            return
        for entry in _without_oserror(_entries(volumes[0])):
            limit -= entry.size
            _refuse_unsafe(entry, name, limit)
            if _IS_LITTER.search(entry.name):
                continue
            try:
                _write(entry, into.joinpath(*PurePosixPath(entry.name).parts), check)
            except (FileExistsError, NotADirectoryError) as error:
                raise ValueError(f"{entry.name} is in it twice") from error
    except DAMAGE as error:
        raise DataError(f"Expected {name} to be an undamaged archive, but it is not ({error}).") from error


def refuse_unsafe_name(entry: str, archive: str) -> None:
    """Refuses the name of an entry that leads out of the folder it is unpacked to.

    Raises:
      DataError: Names it.

    >>> refuse_unsafe_name("fan/train/normal_id_00_00000000.wav", "fan.zip")
    >>> refuse_unsafe_name("fan/../../x", "fan.zip")
    Traceback (most recent call last):
    ganad_tf.errors.DataError: Expected names inside of the archive's folder in fan.zip. Received: 'fan/../../x'.
    """
    if _IS_LEADING_OUT.search(entry):
        raise DataError(f"Expected names inside of the archive's folder in {archive}. Received: {entry!r}.")


def too_large(archive: str) -> DataError:
    """The error for an archive that declares more than recordings can be compressed to."""
    return DataError(
        f"Expected at most {LARGEST_RATIO} times its size in {archive}, which is more than recordings compress to. "
        "Received: more; nothing of it is kept."
    )


def _refuse_unsafe(entry: _Entry, archive: str, limit: int) -> None:
    refuse_unsafe_name(entry.name, archive)
    if entry.kind not in ("file", "folder") or not (entry.kind == "folder" or PurePosixPath(entry.name).parts):
        raise DataError(f"Expected files and folders in {archive}. Received: {entry.kind}, {entry.name!r}.")
    if limit < 0:
        raise too_large(archive)


def _write(entry: _Entry, path: Path, check: Check) -> None:
    if entry.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(entry) as source, path.open("xb") as stream:
        left = entry.size
        while chunk := _read(source, min(CHUNK, left + 1)):  # one byte more shows that an entry lies about its size
            check()
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"{entry.name} is longer than it says")
            stream.write(chunk)
        if left:
            raise ValueError(f"{entry.name} is shorter than it says")


def _opened(entry: _Entry) -> IO[bytes]:
    try:
        source = entry.open()
    except OSError as error:  # such as for an offset before the file
        raise ValueError(str(error)) from error
    assert source is not None  # as for links, which are refused
    return source


def _read(source: IO[bytes], n_bytes: int) -> bytes:
    try:
        return source.read(n_bytes)
    except OSError as error:
        raise ValueError(str(error)) from error


def _without_oserror(entries: Iterator[_Entry]) -> Iterator[_Entry]:
    """Entries whose reader's OSError is a ValueError."""
    try:
        yield from entries
    except OSError as error:
        raise ValueError(str(error)) from error


def _entries(path: Path) -> Iterator[_Entry]:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                yield _Entry(info.filename, _kind(info), info.file_size, partial(archive.open, info))
        return
    with tarfile.open(path) as tar:
        for member in tar:
            kind = "file" if member.isfile() else "folder" if member.isdir() else "a link or a device"
            yield _Entry(member.name, kind, member.size, partial(tar.extractfile, member))


def _kind(info: zipfile.ZipInfo) -> str:
    """Kind of an entry of a zip file; the mode in the upper half of its attributes is 0 if Windows made it."""
    mode = info.external_attr >> 16
    if info.flag_bits & 1:
        return "an encrypted file"
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    return "folder" if info.is_dir() else "file"
