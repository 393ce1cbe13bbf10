"""One process at a time where something is written; whoever comes second is told who is there.

The lock is the operating system's: it goes with the process that holds it, however that ends, so that a file left
behind locks nobody out. What stands in the file is for people only.
"""

import errno
import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganad_tf.errors import DataError

logger = logging.getLogger(__name__)

BUSY = (errno.EAGAIN, errno.EACCES)


@contextmanager
def alone_at(path: Path) -> Iterator[None]:
    """Holds the lock beside `path`, a file or folder that is about to be written.

    Where nothing can be written there is nothing to lock, and whoever tries to write says so.

    Raises:
      DataError: If another process holds it; names the process and its host.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        place = _open(lock)
    except OSError as error:
        logger.debug("no lock on %s: %s", path, error)
        yield
        return
    try:
        _acquire(place, path)
        while not _is_at(place, lock):  # whoever held it has taken the file away
            os.close(place)
            place = _open(lock)
            _acquire(place, path)
        with suppress(OSError):  # on a full disk the lock holds without a name too
            os.ftruncate(place, 0)
            os.pwrite(place, f"process {os.getpid()} on {platform.node()}".encode(), 0)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(place)  # and with it the lock


def _open(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)


def _is_at(place: int, lock: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(place), lock.stat())
    return False


def _acquire(place: int, path: Path) -> None:
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in BUSY:  # a file system without locks
            logger.warning("%s can't be locked (%s); let no other process write there.", path, error.strerror)
            return
        holder = os.pread(place, 200, 0).decode(errors="replace") or "another process"
        raise DataError(f"{path} is being written by {holder}; wait for it, or choose another directory.") from error
