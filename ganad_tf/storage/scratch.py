"""The scratch directory of a worker: one of its own, whatever other workers the node has."""

import functools
import itertools
from pathlib import Path

from filelock import FileLock, Timeout

from ganad_tf.errors import WriteError

WORKERS = "workers"  # below the scratch directory of the node


def own_scratch(directory: Path) -> Path:
    """The first numbered folder below a scratch directory that no other process has, until this one ends.

    Args:
      directory: Scratch directory of the node.

    Raises:
      WriteError: If it can't be written.
    """
    return _claimed(directory)[0]


@functools.cache
def _claimed(directory: Path) -> tuple[Path, FileLock]:
    """The folder, and the lock that goes with this process, however that dies."""
    folder = directory / WORKERS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            lock = FileLock(folder / f".{number}.lock", timeout=0, fallback_to_soft=False)
            try:
                lock.acquire()
            except Timeout:
                continue
            return folder / str(number), lock
    except OSError as error:
        raise WriteError(f"Can't write {folder}: {error.strerror or error}.") from error
    raise AssertionError("numbers do not end")
