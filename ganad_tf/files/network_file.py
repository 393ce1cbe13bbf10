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
    """SHA-256 of a network's file, or of the names and contents of all its files; hexadecimal digits.

    A SavedModel has several files, and so may a network in ONNX, whose weights can be in others beside it.

    Raises:
      DataError: If there is no network, or it can't be read.
    """
    kind = form(path)
    try:
        if kind == "SavedModel":
            files = sorted(file for file in path.rglob("*") if file.is_file())
        else:
            files = [path, *(_weights_of_onnx(*_stamp(path)) if kind == "ONNX" else ())]
        return _checksum(path, tuple(_stamp(file) for file in files))
    except OSError as error:
        raise DataError(f"The network in {path} can't be read ({error.strerror}).") from error


def _stamp(file: Path) -> tuple[str, int, int]:
    """Path, size and time of a file, which change with its contents."""
    facts = file.stat()
    return os.fspath(file), facts.st_size, facts.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _weights_of_onnx(name: str, *_: int) -> tuple[Path, ...]:
    """Files beside an `.onnx` file that hold weights; none if it can't be read, as whoever loads it will say."""
    try:
        import onnx
    except ModuleNotFoundError:
        return ()
    from google.protobuf.message import DecodeError

    try:
        tensors = onnx.load(name, load_external_data=False).graph.initializer
    except DecodeError:
        return ()
    elsewhere = [tensor for tensor in tensors if onnx.external_data_helper.uses_external_data(tensor)]
    entries = [entry for tensor in elsewhere for entry in tensor.external_data]
    return tuple(sorted({Path(name).parent / entry.value for entry in entries if entry.key == "location"}))


@functools.lru_cache(maxsize=16)
def _checksum(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """The checksum, computed again where a file's size or time has changed."""
    total = hashlib.sha256()
    for name, size, _ in stamps:
        file = Path(name)
        if file != path:
            total.update(f"{Path(os.path.relpath(file, path)).as_posix()} {size}\n".encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
