"""Files and directories that are complete or not there, whenever the process dies."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganad_tf.errors import WriteError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place when the block ends well.

    Raises:
      WriteError: If the directory can't be written or the disk is full. `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as stream:  # Windows writes through only what may be written
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # the place itself may be what is wrong
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


@contextmanager
def new_directory(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a temporary directory beside `path` that is renamed to `path` when the block ends well.

    Args:
      path: Where it goes.
      replace: Whether it may take the place of another, which is then gone.

    Raises:
      WriteError: If `path` exists and is not empty and may not be replaced, or can't be written.
    """
    temporary = _temporary_directory(path)
    try:
        yield temporary
        if replace and path.exists():
            former = _temporary_directory(path)
            former.rmdir()  # the name is free: Windows renames onto nothing
            path.rename(former)
            temporary.rename(path)
            shutil.rmtree(former, ignore_errors=True)
        else:
            temporary.rename(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def temporary_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary directory beside `path`, to be renamed by whoever is done with it, and removed otherwise.

    Raises:
      WriteError: If something can't be written there.
    """
    temporary = _temporary_directory(path)
    try:
        yield temporary
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def clear_leftovers(path: Path) -> None:
    """Removes what processes that were killed while they wrote `path` have left beside it; nobody may be writing it."""
    named = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]+\.tmp")
    for temporary in path.parent.iterdir() if path.parent.exists() else ():
        if not named.fullmatch(temporary.name):
            continue
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Makes sure that `path` can be made, before time is spent on what shall be written there.

    Raises:
      WriteError: If it can't.
    """
    _temporary_directory(path).rmdir()


def _temporary_directory(path: Path) -> Path:
    """A new empty directory beside `path`, named after it."""
    try:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        temporary.mkdir(parents=True)
        return temporary
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> WriteError:
    return WriteError(f"Can't write {path}: {error.strerror or error}. Nothing that was there before has changed.")
