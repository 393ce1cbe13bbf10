"""What a dataset module offers: `list_clips(directory, mode, settings)`, one `Listing` per machine type.

A file whose name doesn't fit is never passed over in silence: it goes into `Listing.foreign`. Only files
that lie beside the machines' folders, such as the archives that they came in, are nobody's clips.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.errors import DataError
from ganad_tf.input_sections import Dataset

ListClips = Callable[[Path, Mode, Dataset], list[Listing]]


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
    """What is in `directory`, by name, without the hidden files that file managers leave behind.

    Raises:
      DataError: If it can't be read.
    """
    try:
        return iter(sorted(path for path in directory.iterdir() if not path.name.startswith(".")))
    except OSError as error:
        raise DataError(f"Can't read the folder {directory}: {error.strerror}.") from error
