"""Placeholders: sparse files with size and time of an object that is fetched when its content is needed.

A listing sees every recording of a URL by its placeholder, which takes no room on the disk. A placeholder is known by
having a size but no blocks; `present` and `ensure` replace it by the object. The scratch directory, which has a folder
`SETTINGS` with the settings of the store, tells which URL a file is of.
"""

import functools
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganad_tf.config import paths
from ganad_tf.config.sections import Storage
from ganad_tf.files import atomic
from ganad_tf.storage.store import ConflictError, Store, Stored, changed

SETTINGS = Path(".ganad", "settings.json")


def is_placeholder(path: Path) -> bool:
    """Whether a file has a size and no content; False if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size > 0 and getattr(status, "st_blocks", 1) == 0


def make(path: Path, stored: Stored) -> None:
    """Makes a placeholder in one step, in the place of what is there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as stream:
            stream.truncate(stored.size)
        os.utime(temporary, ns=(stored.mtime_ns, stored.mtime_ns))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def ensure(path: Path) -> None:
    """Replaces a placeholder by its object; leaves other files as they are.

    Raises:
      StorageError: If the object can't be fetched, or is another one than was listed.
    """
    if not is_placeholder(path):
        return
    scratch = _scratch_of(path.absolute().parent)
    if scratch is None:  # a file of the user's, which happens to be sparse
        return
    url = paths.url_of(path.absolute(), scratch)
    assert url is not None
    settings = (scratch / SETTINGS).read_text(encoding="utf-8")
    status, store = path.stat(), _store(url.partition("://")[0], settings, os.getpid())
    there = store.info(url)
    try:
        if there is None or (there.size, there.mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise ConflictError(url)
        store.fetch(url, path, there, is_shared=False)
    except ConflictError as error:
        raise changed(url) from error


@contextmanager
def present(path: Path, *, keep: bool) -> Iterator[None]:
    """Context in which a file is there; one that was fetched for it is a placeholder again afterwards, unless `keep`.

    Raises:
      StorageError: As `ensure`.
    """
    was_placeholder = is_placeholder(path)
    ensure(path)
    try:
        yield
    finally:
        if was_placeholder and not keep:
            status = path.stat()
            make(path, Stored(status.st_size, "", status.st_mtime_ns))


def describe_scratch(settings: Storage) -> None:
    """Writes the settings of the store into the scratch directory, which makes it one."""
    names = ("attempts", "pause_seconds", "timeout_seconds")
    text = json.dumps({name: getattr(settings, name) for name in names})
    path = settings.directory / SETTINGS
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        atomic.write_text(path, text)


@functools.lru_cache(maxsize=1024)
def _scratch_of(folder: Path) -> Path | None:
    return next((parent for parent in (folder, *folder.parents) if (parent / SETTINGS).is_file()), None)


@functools.lru_cache(maxsize=8)
def _store(scheme: str, settings: str, process: int) -> Store:
    del process  # a store does not outlive a fork
    return Store(f"{scheme}://", Storage(**json.loads(settings)))
