"""The interface of a dataset module, `machine_types(directory, mode, settings)`, and helpers to implement it.

It names the machine types without looking at their files where the layout allows it, so that a command for one machine
type among thousands lists that one alone.

A file whose name doesn't fit is never silently ignored: it goes into `Listing.foreign`. Only files beside the
machines' folders, such as the downloaded archives, are ignored.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.audio import extensions
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.errors import ConfigError, DataError

N_NAMED = 5  # files named of many

MachineTypes = dict[str, Callable[[], Listing]]  # functions that list the clips, by machine type
OfLayout = Callable[[Path, Mode, Dataset], MachineTypes]


@dataclass(frozen=True)
class Recording:
    """A file of a machine's folder, before it is decided whether it is for training or for the test.

    Attributes:
      path: The file.
      within: The folder of its label or split, such as `fan/normal`.
      label: 0 normal, 1 anomaly, None unknown.
      split: One of `clips.SPLITS`; None for a normal recording that is to be divided.
      machine_id: Individual machine.
      part: Folder of the individual machine in the machine's folder; empty if there is only one.
    """

    path: Path
    within: Path
    label: int | None
    split: str | None
    machine_id: str
    part: str = ""

    @property
    def sub_folder(self) -> str:
        """Folders between `within` and the file, after the folder of the individual machine; empty if none."""
        inner = self.path.parent.relative_to(self.within).parts
        return "/".join((*([self.part] if self.part and inner else []), *inner))


# Files that file managers, archivers, disks and network drives leave in folders. Hidden files, such as `.DS_Store` and
# the `._x.wav` beside an `x.wav`, begin with a dot. Linux shows the colon of Windows' streams as it is or as U+F03A.
_OF_THE_SYSTEM = re.compile(
    r"\..*|Thumbs\.db|ehthumbs\.db|desktop\.ini|.*[:\uf03a]Zone\.Identifier"
    r"|@eaDir|__MACOSX|lost\+found|\$RECYCLE\.BIN|System Volume Information",
    re.IGNORECASE | re.DOTALL,
)


def make_clip(
    path: Path,
    directory: Path,
    *,
    machine: str,
    machine_id: str,
    split: str,
    label: int | None,
    name: str | None = None,
    group: str = "",
    domain: str = "",
    attributes: Mapping[str, str] | None = None,
) -> Clip:
    """Constructs the clip of the file `path` in the data directory `directory`; its name defaults to the file name."""
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
        group=group,
        domain=domain,
        attributes=tuple(sorted((attributes or {}).items())),
    )


def folders(directory: Path) -> list[Path]:
    """Folders in a data directory, sorted by name, one per machine type in most layouts.

    Raises:
      DataError: If the directory can't be read.
    """
    return [path for path in visible_entries(directory) if path.is_dir()]


def not_there(table: Path, names: Iterable[str], folder: Path) -> str:
    """Line of `Listing.foreign` for a list that names files which are not there."""
    return f"{table}: expected files that are in {folder}. Received: {some(names)}"


def some(names: Iterable[str]) -> str:
    """Enumeration of the first few names.

    >>> some(["a", "b"]), some("abcdefg")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    everything = list(names)
    more = len(everything) - N_NAMED
    return ", ".join(everything[:N_NAMED]) + (f" and {more} more" if more > 0 else "")


def refuse_evaluation(mode: Mode, layout: str) -> None:
    """Refuses `--eval` for a layout without evaluation data.

    Raises:
      ConfigError: If the mode is `eval`.
    """
    if mode == "eval":
        raise ConfigError(f"Expected --dev: the layout `{layout}` has no evaluation data.")


def visible_entries(directory: Path) -> Iterator[Path]:
    """Files and folders in `directory`, sorted by name, without those of file managers and operating systems.

    Raises:
      DataError: If the directory can't be read.
    """
    try:
        return iter(sorted(path for path in directory.iterdir() if not _OF_THE_SYSTEM.fullmatch(path.name)))
    except OSError as error:
        raise DataError(f"Can't read the folder {directory}: {error.strerror}.") from error


def recordings(folder: Path) -> tuple[list[Path], list[str]]:
    """Audio files in a folder and its subfolders, sorted by name, and a line for each other file.

    Links to folders are followed, except those that lead back to a parent folder.

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
    for path in visible_entries(folder):
        if not path.is_dir():
            yield path
        elif (real := path.resolve()) not in above:
            yield from _files(path, (*above, real))
