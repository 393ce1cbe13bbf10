"""Folders of exported models, `<folder>/<model>/<version>/`, in TensorFlow Serving's layout.

Folders may appear and vanish during a scan: a vanished folder is treated as absent, never as an error, and kept apart
from one that can't be read. Hidden folders (`.x`, `..data` of Kubernetes) are not models, but links may lead into them.
"""

import errno
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganad_tf.errors import DataError

METADATA = Path("assets.extra", "ganad.json")
HEALTHY = Path("assets.extra", "healthy.json")
SAVED_MODEL = "saved_model.pb"
NUMBER = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)  # name of a version's folder
_GONE = (errno.ENOENT, errno.ENOTDIR)

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class State:
    """State of a version in TensorFlow Serving's terms.

    Attributes:
      name: `AVAILABLE`, `LOADING`, or `END` for an unusable version.
      reason: Reason why its files can't be used; empty if they can. An `AVAILABLE` version with a reason is served from
        its earlier files.
    """

    name: Literal["AVAILABLE", "LOADING", "END"]
    reason: str = ""


@dataclass(frozen=True)
class Scan:
    """Result of scanning a folder of models.

    Attributes:
      models: Folders of the versions by model name and number, newest first.
      unreadable: Names of folders that could not be read, for example for lack of permission.
    """

    models: dict[str, dict[int, Path]]
    unreadable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Policy:
    """Versions of a model to serve, after TensorFlow Serving's version policy.

    Attributes:
      latest: Number of newest usable versions; None for all.
      specific: Version numbers; None for any.
    """

    latest: int | None = None
    specific: frozenset[int] | None = None

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Parses `all`, `latest:N` or `specific:N,N`.

        Raises:
          ValueError: If the text has another form.

        >>> Policy.parse("latest:2")
        Policy(latest=2, specific=None)
        """
        kind, _, numbers = text.partition(":")
        if text == "all":
            return cls()
        if kind == "latest" and NUMBER.fullmatch(numbers) and int(numbers):
            return cls(latest=int(numbers))
        if kind == "specific" and all(map(NUMBER.fullmatch, numbers.split(","))):
            return cls(specific=frozenset(map(int, numbers.split(","))))
        raise ValueError(f"expected all, latest:N or specific:N,N. Received: {text}.")


def scan(folder: Path, name: str | None = None) -> Scan:
    """Scans a folder for models.

    Args:
      folder: Folder of `<model>/<version>/` folders or, with a name, of the versions of one model.
      name: Name of that one model.

    Raises:
      OSError: If the folder itself can't be listed.
    """
    return Scan({name: versions(folder)}) if name else _all_models(folder)


def single_model(folder: Path) -> str | None:
    """Name of the model whose versions a folder holds: that of the folder or link; None for other folders.

    Raises:
      OSError: If the folder can't be listed.
    """
    if not any(_holds_model(path) for path in versions(folder).values()):
        return None
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def versions(model: Path) -> dict[int, Path]:
    """Folders of a model's versions by number, newest first, unreadable ones included.

    Raises:
      OSError: If the folder can't be listed.
    """
    numbered = {int(path.name): path for path in _folders(model) if NUMBER.fullmatch(path.name)}
    return {number: numbered[number] for number in sorted(numbered, reverse=True) if _may_hold_model(numbered[number])}


def models(folder: Path) -> dict[str, Path]:
    """Folders of models by name; empty if `folder` does not exist.

    Raises:
      OSError: If the folder can't be listed.
    """
    try:
        return {name: folder / name for name in _all_models(folder).models}
    except OSError as error:
        if error.errno in _GONE:
            return {}
        raise


def next_version(model: Path) -> int:
    """One more than the highest version number in use, incomplete versions included."""
    try:
        names = [path.name for path in model.iterdir()]
    except FileNotFoundError:
        names = []
    return 1 + max((int(name) for name in names if NUMBER.fullmatch(name)), default=0)


def newest(path: Path) -> Path:
    """Folder of a version: `path` itself, or the newest version in it.

    Raises:
      DataError: If there is none, or the folder can't be read.
    """
    try:
        if (path / SAVED_MODEL).exists():
            return path
        numbered = versions(path) if path.is_dir() else {}
        named = {} if numbered else models(path)
    except OSError as error:
        raise DataError(f"Expected an exported model in {path}, but it can't be read ({error.strerror}).") from error
    if not numbered:
        hint = f"; it holds the models {', '.join(named)}, name one of them" if named else ""
        raise DataError(f"Expected an exported model in {path}, such as exported_models/demo, but there is none{hint}.")
    return next(iter(numbered.values()))


def stamp(version: Path) -> Stamp:
    """Names, sizes and modification times of a version's files, to detect changes; -1 and the error number if unknown.

    Covers the folder and its direct sub-folders, links followed; a SavedModel has no others.
    """
    outer = _listed(version)
    inner = [path for folder in outer for path in _listed(folder)]
    return tuple(stamped for path in (*outer, *inner) if (stamped := _stamp(path, version)))


def _all_models(folder: Path) -> Scan:
    found_models: dict[str, dict[int, Path]] = {}
    unreadable = set()
    for path in sorted(_folders(folder)):
        try:
            found_models[path.name] = versions(path)
        except OSError as error:
            if error.errno not in _GONE:
                unreadable.add(path.name)
    return Scan({model: numbers for model, numbers in found_models.items() if numbers}, frozenset(unreadable))


def _stamp(path: Path, version: Path) -> tuple[str, int, int] | None:
    name = str(path.relative_to(version))
    try:
        status = path.stat()
    except OSError as error:
        return name, -1, error.errno or 0
    return None if stat.S_ISDIR(status.st_mode) else (name, status.st_size, status.st_mtime_ns)


def _listed(folder: Path) -> list[Path]:
    """Sorted content of a folder; empty if it can't be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(folder: Path) -> Iterator[Path]:
    """Sub-folders that are not hidden, and entries that can't be checked."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and _is_or_may_be(path, stat.S_ISDIR):
            yield path


def _may_hold_model(version: Path) -> bool:
    return _is_or_may_be(version / SAVED_MODEL, lambda mode: not stat.S_ISDIR(mode))


def _holds_model(version: Path) -> bool:
    try:
        return (version / SAVED_MODEL).is_file()
    except OSError:
        return False


def _is_or_may_be(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except OSError as error:
        return error.errno not in _GONE
