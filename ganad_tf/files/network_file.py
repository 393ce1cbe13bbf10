"""The file or folder that holds a user's own network, identified by its contents wherever it lies."""

import functools
import hashlib
import os
from pathlib import Path
from typing import Literal

from ganad_tf.errors import DataError

Form = Literal["SavedModel", "Keras", "ONNX"]

FORMS: dict[str, Form] = {".keras": "Keras", ".onnx": "ONNX"}
SAVED_MODEL = "saved_model.pb"  # in the folder of a SavedModel


def form(path: Path) -> Form:
    """Format of a network: a folder with a SavedModel, a `.keras` or an `.onnx` file.

    Raises:
      DataError: If there is nothing, or something else.
    """
    if (path / SAVED_MODEL).is_file():
        return "SavedModel"
    if path.suffix in FORMS and path.is_file():
        return FORMS[path.suffix]
    received = "another kind of file" if path.is_file() else "a folder without one" if path.is_dir() else "nothing"
    raise DataError(
        f"Expected a network in {path}, the folder of a SavedModel, or a .keras or .onnx file. Received: {received}."
    )


def checksum(path: Path) -> str:
    """SHA-256 of a network's file, or of the names and contents of all files of a SavedModel; hexadecimal digits.

    Raises:
      DataError: If there is no network, or it can't be read.
    """
    files = sorted(file for file in path.rglob("*") if file.is_file()) if form(path) == "SavedModel" else [path]
    try:
        stamps = tuple((os.fspath(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        return _checksum(path, stamps)
    except OSError as error:
        raise DataError(f"The network in {path} can't be read ({error.strerror}).") from error


@functools.lru_cache(maxsize=16)
def _checksum(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """The checksum, computed again where a file's size or time has changed."""
    total = hashlib.sha256()
    for name, size, _ in stamps:
        file = Path(name)
        if file != path:
            total.update(f"{file.relative_to(path).as_posix()} {size}\n".encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
