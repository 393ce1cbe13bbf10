"""Atomic writes: files and directories that are either complete or absent, whenever the process dies."""

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
    """Yields a temporary path beside `path`, which replaces `path` if the block ends without an error.

    Raises:
      WriteError: If the directory can't be written or the disk is full. `path` is unchanged then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as stream:  # fsync needs write access on Windows
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # the directory itself may be inaccessible
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


@contextmanager
def new_directory(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a temporary directory beside `path`, renamed to `path` if the block ends without an error.

    Args:
      path: Final path of the directory.
      replace: Whether an existing directory is replaced and deleted.

    Raises:
      WriteError: If `path` exists, is not empty and may not be replaced, or can't be written.
    """
    temporary = _temporary_directory(path)
    try:
        yield temporary
        if replace and path.exists():
            former = _temporary_directory(path)
            former.rmdir()  # Windows does not rename onto an existing directory
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
    """Yields a temporary directory beside `path`, which is deleted at the end unless the caller has renamed it.

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
    """Deletes temporary files that killed writers of `path` have left beside it; call it only under `path`'s lock."""
    named = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]+\.tmp")
    for temporary in path.parent.iterdir() if path.parent.exists() else ():
        if not named.fullmatch(temporary.name):
            continue
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Checks that `path` can be created, before time is spent on its content.

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
