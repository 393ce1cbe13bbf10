"""The work itself: several connections, each of which receives, verifies and unpacks one archive after another."""

import filecmp
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.download import archive, record
from ganad_tf.download.catalogue import Part
from ganad_tf.download.manifest import Manifest
from ganad_tf.download.plan import CONNECTIONS, Job
from ganad_tf.download.record import Record
from ganad_tf.download.transfer import (
    Advance,
    Client,
    DifferentFileError,
    Patience,
    Stopped,
    download,
    refuse_different,
)
from ganad_tf.errors import DataError, GanadError, WriteError
from ganad_tf.files import atomic

logger = logging.getLogger(__name__)

TEMPORARY = "unpacking"  # in the names of temporary folders in the root
TICK_SECONDS = 0.2  # between two looks for Ctrl-C


class Source:
    """Lists and files, from a folder of files fetched by hand or from the network.

    Args:
      folder: Folder with the files and, optionally, each record's JSON as `<record>.json`; None for the network.
      mirror: URL in the place of scheme and host.
      patience: Waiting for a server.
    """

    def __init__(self, folder: Path | None = None, mirror: str | None = None, patience: Patience | None = None) -> None:
        self.folder = folder
        self.stop = threading.Event()
        self.client = Client(mirror, patience or Patience(), self.stop)

    def read(self, part: Part) -> Record:
        """The list of files of a part.

        Raises:
          DataError: If it can't be read.
        """
        if not part.record:
            return record.without_record(part)
        url = record.RECORD_URL.format(part.record)
        local = self.folder / f"{part.record}.json" if self.folder else None
        if local and local.is_file():
            return record.parse(local.read_bytes(), str(local))
        return record.parse(self.client.text(url), url)

    def refuse_missing(self, jobs: Sequence[Job]) -> None:
        """Refuses a folder of files fetched by hand that lacks some.

        Raises:
          DataError: Names them all.
        """
        if self.folder is None:
            return
        missing = [file.name for job in jobs for file in job.files if not (self.folder / file.name).is_file()]
        if missing:
            raise DataError(f"Expected these files in {self.folder}, but they are not there: {', '.join(missing)}.")

    def files_of(self, job: Job, root: Path, advance: Advance) -> list[Path]:
        """Verified files of a job, in order: those fetched by hand as they are, others downloaded below `root`.

        Raises:
          DataError: If one can't be had, or is not the one of the record.
        """
        paths = []
        for file in job.files:
            path = self.folder / file.name if self.folder else job.path(root, file)
            if self.folder:
                refuse_different(path, file)
                advance(path.stat().st_size)
            elif _is_intact(path, file):
                advance(path.stat().st_size)
            else:
                download(self.client, file, path, advance)
            paths.append(path)
        return paths


@dataclass(frozen=True)
class Fetcher:
    """Work on the jobs of one root.

    Attributes:
      manifest: Remembers what is done in the root.
      source: Where the files are from.
      keep: Whether archives stay after they are unpacked.
      advance: Called with the number of bytes that have arrived.
      merging: Held while a tree is merged into another.
    """

    manifest: Manifest
    source: Source
    keep: bool
    advance: Advance
    merging: threading.Lock

    @property
    def root(self) -> Path:
        """Folder of the data set."""
        return self.manifest.root

    def do(self, job: Job) -> None:
        """Receives, verifies and unpacks one job, and remembers it.

        Raises:
          DataError: If that fails; nothing of it is among the recordings then.
          Stopped: If another thread asks for it.
        """
        try:
            paths = self.source.files_of(job, self.root, self.advance)
            counts = self._unpack(job, paths) if job.is_archive else self._place(job, paths[0])
            is_kept = self.keep or not job.is_archive
            self.manifest.add_done(job.key, counts, is_kept=is_kept)
            if not is_kept:
                self._remove(paths)
        except OSError as error:
            raise WriteError(
                f"Can't read or write {error.filename or self.root}: {error.strerror or error}."
            ) from error
        logger.debug("%s: done", job.name)

    def _place(self, job: Job, path: Path) -> dict[str, int]:
        place = job.path(self.root, job.files[0])
        if path != place:
            atomic.clear_leftovers(place)
            with atomic.replacing(place) as temporary:
                shutil.copyfile(path, temporary)
        return {place.parent.relative_to(self.root).as_posix(): 1}

    def _unpack(self, job: Job, paths: Sequence[Path]) -> dict[str, int]:
        with atomic.temporary_directory(self.root / TEMPORARY) as temporary:
            try:
                archive.unpack(paths, temporary, self._refuse_to_go_on)
                tree = _only_folder(temporary, job.name) if job.part.url else temporary
                _refuse_count(tree, job)
            except DataError:
                self._remove(paths)  # a bad archive without a checksum would be taken for a good one again
                raise
            counts = _counts(tree, job.folder)
            with self.merging:
                merge(tree, self.root / job.folder, job.name)
        return counts

    def _remove(self, paths: Sequence[Path]) -> None:
        """Deletes archives, unless they were fetched by hand."""
        if not self.source.folder:
            for path in paths:
                path.unlink()

    def _refuse_to_go_on(self) -> None:
        if self.source.stop.is_set():
            raise Stopped


def fetch(
    jobs: Sequence[Job],
    manifest: Manifest,
    source: Source,
    *,
    keep: bool = False,
    advance: Advance = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Receives, verifies and unpacks, several jobs at a time. Finished jobs are remembered, whatever follows.

    Args:
      jobs: Work; what is done already is passed over.
      manifest: Remembers what is done; under the lock of its root.
      source: Where the files are from.
      keep: Whether archives stay after they are unpacked.
      advance: Called with the number of bytes that have arrived, from several threads, one at a time.
      check: Called several times per second by this thread; an error that it raises ends the work.

    Raises:
      DataError: If jobs fail; names them all, after the others are finished.
    """
    left = [job for job in jobs if not manifest.is_done(job.key)]
    source.refuse_missing(left)
    for path in (manifest.root / TEMPORARY, manifest.path):
        atomic.clear_leftovers(path)
    _remove_finished([job for job in jobs if job not in left], manifest)
    fetcher = Fetcher(manifest, source, keep, _one_at_a_time(advance), threading.Lock())
    with ThreadPoolExecutor(CONNECTIONS) as executor:
        futures = [executor.submit(fetcher.do, job) for job in left]
        try:
            _wait(futures, source.stop, check)
        finally:
            source.stop.set()
            for future in futures:
                future.cancel()
    _remove_empty(manifest.root)  # not by a thread: another one may be about to fill the folder
    errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
    serious = [error for error in errors if not isinstance(error, GanadError | Stopped)]
    if serious:
        raise serious[0]
    messages = sorted(str(error) for error in errors if isinstance(error, GanadError))
    if messages:
        raise DataError("\n  ".join(messages))


def merge(tree: Path, target: Path, archive_name: str) -> None:
    """Moves the content of a folder into another one; files that are there already must be the same.

    Raises:
      DataError: If other files have the names; nothing is moved then.
      OSError: If something can't be moved.
    """
    files = [path.relative_to(tree) for path in tree.rglob("*") if path.is_file()]
    others = [str(target / file) for file in files if _is_other(tree / file, target / file)]
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise DataError(f"Expected no other files where those of {archive_name} belong. Received: {shown}; move them.")
    _move(tree, target)


def _move(tree: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        tree.rename(target)
    elif tree.is_dir():
        for path in sorted(tree.iterdir()):
            _move(path, target / path.name)
    else:
        tree.replace(target)


def _is_other(ours: Path, there: Path) -> bool:
    """Whether something else than our file is there, or in the place of one of its folders."""
    if there.exists():
        return not there.is_file() or not filecmp.cmp(ours, there, shallow=False)
    above = next(path for path in there.parents if path.exists())
    return not above.is_dir()


def _wait(futures: Sequence[Future[None]], stop: threading.Event, check: Callable[[], None]) -> None:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, TICK_SECONDS, FIRST_COMPLETED)
        check()
        if any(isinstance(future.exception(), WriteError) for future in done):
            return  # the others would fail too
        if stop.is_set():
            return


def _one_at_a_time(advance: Advance) -> Advance:
    lock = threading.Lock()

    def locked(n_bytes: int) -> None:
        with lock:
            advance(n_bytes)

    return locked


def _is_intact(path: Path, file: record.RemoteFile) -> bool:
    """Whether a file is complete from an earlier run; another one is deleted."""
    if not path.exists():
        return False
    try:
        refuse_different(path, file)
    except DifferentFileError:
        path.unlink()
        return False
    return True


def _only_folder(tree: Path, name: str) -> Path:
    folders = list(tree.iterdir())
    if len(folders) != 1 or not folders[0].is_dir():
        raise DataError(f"Expected one folder in {name}. Received: {len(folders)} files and folders.")
    return folders[0]


def _refuse_count(tree: Path, job: Job) -> None:
    """Checks the number of recordings in an archive whose checksum nobody publishes."""
    expected, received = job.part.n_recordings, sum(1 for _ in tree.rglob("*.wav"))
    if expected and received != expected:
        raise DataError(f"Expected {expected} recordings in {job.name}. Received: {received}.")


def _counts(tree: Path, folder: str) -> dict[str, int]:
    """Number of files per folder, by the path that it will have below the root."""
    parents = Counter(path.parent.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    return {(Path(folder) / parent).as_posix(): n for parent, n in sorted(parents.items())}


def _remove_finished(jobs: Sequence[Job], manifest: Manifest) -> None:
    """Removes archives that a process was killed before it could remove."""
    for job in jobs:
        if not manifest.is_kept(job.key):
            for file in job.files:
                job.path(manifest.root, file).unlink(missing_ok=True)


def _remove_empty(root: Path) -> None:
    """Removes folders for archives that hold none."""
    archives = root / "archives"
    for folder in (*archives.glob("*/"), archives):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
