"""What a dataset module offers: `list_clips(directory, mode, settings)`, one `Listing` per machine type.

A file whose name doesn't fit is never passed over in silence: it goes into `Listing.foreign`. Only files
that lie beside the machines' folders, such as the archives that they came in, are nobody's clips.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ganad_tf.audio import extensions
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.input_sections import Dataset
from ganad_tf.errors import DataError

ListClips = Callable[[Path, Mode, Dataset], list[Listing]]

# What file managers, archivers, disks and network drives leave in folders; hidden files, such as `.DS_Store` and the
# `._x.wav` beside an `x.wav`, begin with a dot. Linux shows the colon of Windows' streams as it is or as U+F03A.
_OF_THE_SYSTEM = re.compile(
    r"\..*|Thumbs\.db|ehthumbs\.db|desktop\.ini|.*[:\uf03a]Zone\.Identifier"
    r"|@eaDir|__MACOSX|lost\+found|\$RECYCLE\.BIN|System Volume Information",
    re.IGNORECASE | re.DOTALL,
)


def clip_of(
    path: Path,
    directory: Path,
    *,
    machine: str,
    machine_id: str,
    split: str,
    label: int | None,
    name: str | None = None,
) -> Clip:
    """The clip in the file `path`, below the data directory `directory`; called by its file name unless `name`."""
    stat = path.stat()
    return Clip(
        file=path.relative_to(directory).as_posix(),
        name=name or path.name,
        machine=machine,
        machine_id=machine_id,
        split=split,
        label=label,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )


def visible(directory: Path) -> Iterator[Path]:
    """What is in `directory`, by name, without what file managers and operating systems leave behind.

    Raises:
      DataError: If it can't be read.
    """
    try:
        return iter(sorted(path for path in directory.iterdir() if not _OF_THE_SYSTEM.fullmatch(path.name)))
    except OSError as error:
        raise DataError(f"Can't read the folder {directory}: {error.strerror}.") from error


def recordings(folder: Path) -> tuple[list[Path], list[str]]:
    """The audio files in a folder and the folders in it, by name, and what else lies there with what was expected.

    Links to folders are followed, but for those that lead back to a folder that they are in.

    Raises:
      DataError: If a folder can't be read.
    """
    known = extensions()
    files: list[Path] = []
    others: list[str] = []
    for path in _files(folder, (folder.resolve(),)):
        if not path.relative_to(folder).as_posix().isprintable():
            others.append(f"{path}: expected a name in printable characters")
        elif path.is_file() and path.suffix.lower() in known:
            files.append(path)
        else:
            others.append(f"{path}: expected a recording (WAV, FLAC, OGG, ...)")
    return files, others


def _files(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    for path in visible(folder):
        if not path.is_dir():
            yield path
        elif (real := path.resolve()) not in above:
            yield from _files(path, (*above, real))
