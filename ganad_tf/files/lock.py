"""One process at a time where something is written; whoever comes second is told who is there.

The lock is the operating system's (`filelock`): it goes with the process that holds it, however that ends, so that a
file left behind locks nobody out. The holder's name stands in a file of its own, for people only: a locked file can't
be read by others everywhere.
"""

import errno
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ganad_tf.errors import DataError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.2  # whoever has finished may be taking the lock's file away at this moment
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def alone_at(path: Path) -> Iterator[None]:
    """Holds the lock beside `path`, a file or folder that is about to be written.

    Where nothing can be written there is nothing to lock, and whoever tries to write says so.

    Raises:
      DataError: If another process holds it; names the process and its host.
    """
    file = path.with_name(f".{path.name}.lock")
    holder = path.with_name(f".{path.name}.holder")
    lock = FileLock(file, timeout=PATIENCE_SECONDS, fallback_to_soft=False)  # a soft lock outlives a killed process
    if not _is_acquired(lock, path, holder):
        yield
        return
    try:
        with suppress(OSError):  # on a full disk the lock holds without a name too
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        for leftover in (holder, file):  # before the release: afterwards they may be another process's
            with suppress(OSError):  # Windows keeps a file that is open
                leftover.unlink()
        lock.release()


def _is_acquired(lock: FileLock, path: Path, holder: Path) -> bool:
    """Whether the lock is held now; not where there are no locks or nothing can be written."""
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
    with suppress(OSError):  # not written yet, or not by us to read
        return holder.read_text(encoding="utf-8", errors="replace") or "another process"
    return "another process"
