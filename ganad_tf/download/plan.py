"""The files to fetch: of the selected parts, machine types and signal-to-noise ratios, without those that are done."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.download.catalogue import CATALOGUE, DataSet, Part
from ganad_tf.download.manifest import Manifest
from ganad_tf.download.record import Record, RemoteFile
from ganad_tf.download.transfer import received_bytes
from ganad_tf.errors import ConfigError, DataError

CONNECTIONS = 4
UNPACKED_RATIO = 2.5  # ToyADMOS: 180 GB of archives hold 440 GB (its README); WAV files of the others compress less


@dataclass(frozen=True)
class Selection:
    """Files that are wanted.

    Attributes:
      mode: `dev` or `eval`; None for both.
      machines: Machine types; empty for all.
      snrs: Signal-to-noise ratios in dB, as in the names of files; empty for all.
    """

    mode: str | None = None
    machines: tuple[str, ...] = ()
    snrs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A document, or an archive with all its volumes.

    Attributes:
      part: Part of the data set.
      name: File name of the document or archive.
      folder: Folder below the root that it is unpacked to; empty for the root itself.
      files: The file, or its volumes in order.
    """

    part: Part
    name: str
    folder: str
    files: tuple[RemoteFile, ...]

    @property
    def key(self) -> str:
        """Identifier in the manifest."""
        return f"{self.part.key}/{self.name}"

    @property
    def is_archive(self) -> bool:
        """Whether it is to be unpacked."""
        return self.files[0].archive is not None

    @property
    def size(self) -> int:
        """Length of all its files in bytes, about if nobody states it."""
        return sum(self.part.n_bytes if file.size is None else file.size for file in self.files)

    def path(self, root: Path, file: RemoteFile) -> Path:
        """Path of a downloaded file."""
        return root / ("archives" if self.is_archive else "documents") / self.part.key / file.name


@dataclass(frozen=True)
class Plan:
    """Work on a data set.

    Attributes:
      data_set: The data set.
      jobs: Selected documents and archives.
      licences: Licence of each part, as its record states it.
    """

    data_set: DataSet
    jobs: tuple[Job, ...]
    licences: dict[str, str]

    def left(self, manifest: Manifest) -> list[Job]:
        """Jobs that are not done."""
        return [job for job in self.jobs if not manifest.is_done(job.key)]


def make(data_set: DataSet, selection: Selection, read: Callable[[Part], Record]) -> Plan:
    """Selects the files of a data set.

    Args:
      data_set: The data set.
      selection: Files that are wanted.
      read: Reads the list of files of a part.

    Raises:
      ConfigError: If an option does not apply to the data set, or no file is of a machine type or ratio.
      DataError: If a list can't be read.
    """
    parts = data_set.parts_of(selection.mode)
    _refuse_snrs(data_set, selection)
    records = {part: read(part) for part in parts}
    jobs = [job for part, record in records.items() for job in _jobs(data_set, part, record)]
    archives = [job.name for job in jobs if job.is_archive]
    missing = [machine for machine in selection.machines if not any(_is_of(machine, name) for name in archives)]
    if missing:
        raise ConfigError(
            f"Expected machine types of {data_set.name} after --machine. Received: {', '.join(missing)}; its archives "
            f"are {', '.join(archives)}."
        )
    return Plan(
        data_set,
        tuple(job for job in jobs if _is_wanted(job, selection)),
        {part.name: record.licence for part, record in records.items()},
    )


def refuse_mixed(data_set: DataSet, manifest: Manifest) -> None:
    """Refuses a root in which another data set fills the same folders, such as another year of the challenge.

    Raises:
      ConfigError: Names it.
    """
    ours = {part.folder for part in data_set.parts}
    others = [
        other.name
        for other in CATALOGUE.values()
        for part in other.parts
        if other != data_set and part.folder in ours and part.key in manifest.records
    ]
    if others:
        raise ConfigError(
            f"Expected another --root for {data_set.name}. Received: {manifest.root}, whose folders hold {others[0]}."
        )


def refuse_full_disk(root: Path, jobs: Sequence[Job], *, keep: bool, has_archives: bool) -> None:
    """Refuses a download for which the disk has no room, before its first byte.

    Archives count with `UNPACKED_RATIO` times their size, because their real one is known only when they are here, and
    themselves as long as they stay: all with `keep`, else as many as are fetched at the same time.

    Args:
      root: Folder of the data set, which need not exist.
      jobs: Work that is left.
      keep: Whether archives stay.
      has_archives: Whether they are somewhere else already.

    Raises:
      DataError: If there is too little room.
    """
    archives = sorted((job for job in jobs if job.is_archive), key=lambda job: job.size)
    staying = archives if keep else archives[-CONNECTIONS:]
    packed = 0 if has_archives else sum(job.size - _received(root, job) for job in staying)
    documents = sum(job.size for job in jobs if not job.is_archive)
    needed = packed + documents + int(UNPACKED_RATIO * sum(job.size for job in archives))
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"Expected {in_words(needed)} of free disk in {root}, for archives and recordings. Received: "
            f"{in_words(free)}; choose another --root, or fewer files with --machine."
        )


def in_words(n_bytes: int) -> str:
    """A size with three digits.

    >>> in_words(999), in_words(1_234_567), in_words(9_870_000_000)
    ('999 B', '1.23 MB', '9.87 GB')
    """
    size, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB", "PB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"


def _jobs(data_set: DataSet, part: Part, record: Record) -> list[Job]:
    grouped: dict[str, list[RemoteFile]] = {}
    for file in record.files:
        grouped.setdefault(file.archive or file.name, []).append(file)
    return [
        Job(part, name, f"{part.folder}/{Path(name).stem}" if data_set.own_folders else part.folder, tuple(files))
        for name, files in grouped.items()
    ]


def _is_wanted(job: Job, selection: Selection) -> bool:
    """Documents belong to no machine type: they are left out if some are selected."""
    if selection.machines and not (job.is_archive and any(_is_of(name, job.name) for name in selection.machines)):
        return False
    return not selection.snrs or any(job.name.startswith(f"{snr}_dB_") for snr in selection.snrs)


def _is_of(machine: str, name: str) -> bool:
    """Whether a file name has a machine type as a word of its own: `dev_ToyCar_r2.zip` is no `ToyCarEmu`."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(machine)}(?![A-Za-z0-9])", name) is not None


def _refuse_snrs(data_set: DataSet, selection: Selection) -> None:
    unknown = [snr for snr in selection.snrs if snr not in data_set.snrs]
    if unknown:
        known = f"{', '.join(data_set.snrs)} after --snr" if data_set.snrs else f"no --snr with {data_set.name}"
        raise ConfigError(f"Expected {known}. Received: {', '.join(unknown)}.")


def _received(root: Path, job: Job) -> int:
    """Bytes of a job that are on the disk already."""
    paths = [job.path(root, file) for file in job.files]
    return sum(path.stat().st_size if path.exists() else received_bytes(path) for path in paths)
