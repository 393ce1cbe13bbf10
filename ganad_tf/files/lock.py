"""Locks that let one process at a time write a file or folder; the error of the second names the first.

The lock is the operating system's (`filelock`): it ends with the process that holds it, however that dies, so that a
leftover lock file locks nobody out. The holder's name is in a separate file, for the error message only, because
some systems do not let others read a locked file.
"""

import errno
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

from ganad_tf.errors import DataError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.2  # a process that has just finished may be deleting the lock file
_patience = ContextVar("patience", default=PATIENCE_SECONDS)
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Lets `exclusive` wait for another process, in this thread while the block runs."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the lock of `path`, a file or folder that is about to be written.

    Where the lock file can't be created, nothing is locked: the write itself fails and reports why.

    Raises:
      DataError: If another process holds the lock; names the process and its host.
    """
    file = path.with_name(f".{path.name}.lock")
    holder = path.with_name(f".{path.name}.holder")
    lock = FileLock(file, timeout=_patience.get(), fallback_to_soft=False)  # a soft lock outlives a killed process
    if not _is_acquired(lock, path, holder):
        yield
        return
    try:
        with suppress(OSError):  # on a full disk the lock works without a holder file too
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        for leftover in (holder, file):  # before the release: afterwards another process may own them
            with suppress(OSError):  # Windows does not delete open files
                leftover.unlink()
        lock.release()


def _is_acquired(lock: FileLock, path: Path, holder: Path) -> bool:
    """Acquires the lock; False where locks are not supported or the lock file can't be created."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise DataError(
            f"{path} is being written by {_name(holder)}; wait for it, or choose another directory."
        ) from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            logger.warning("%s can't be locked (%s); let no other process write there.", path, error.strerror)
        else:
            logger.debug("no lock on %s: %s", path, error)
        return False
    return True


def _name(holder: Path) -> str:
    with suppress(OSError):  # not written yet, or not readable
        return holder.read_text(encoding="utf-8", errors="replace") or "another process"
    return "another process"
