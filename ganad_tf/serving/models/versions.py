"""Where exported models are: `<folder>/<model>/<version>/`, as TensorFlow Serving looks for them.

Folders may come and go while they are looked at: what is gone is not there, and never an error. What is there but
can't be looked into is told apart from that. Hidden folders (`.x`, the `..data` of Kubernetes) are nobody's model;
a link may lead into them.
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
SAVED_MODEL = "saved_model.pb"
_NUMBER = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
_GONE = (errno.ENOENT, errno.ENOTDIR)

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class State:
    """A version's state in TensorFlow Serving's words.

    Attributes:
      name: `AVAILABLE` can be asked for, `LOADING` will be, `END` can't be used.
      reason: Why its files can't be used; empty if they can. An `AVAILABLE` one is then served as it was before.
    """

    name: Literal["AVAILABLE", "LOADING", "END"]
    reason: str = ""


@dataclass(frozen=True)
class Look:
    """The models in a folder at one moment.

    Attributes:
      models: The versions by number, the newest first, by model.
      unreadable: Folders of which nothing can be said, such as for want of permission.
    """

    models: dict[str, dict[int, Path]]
    unreadable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Policy:
    """Which versions of a model are served, in the spirit of TensorFlow Serving's version policy.

    Attributes:
      latest: So many of the newest that can be used; None for all.
      specific: Only these numbers; None for any.
    """

    latest: int | None = None
    specific: frozenset[int] | None = None

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """`all`, `latest:N` or `specific:N,N`.

        Raises:
          ValueError: If it is none of them.

        >>> Policy.parse("latest:2")
        Policy(latest=2, specific=None)
        """
        kind, _, numbers = text.partition(":")
        if text == "all":
            return cls()
        if kind == "latest" and _NUMBER.fullmatch(numbers) and int(numbers):
            return cls(latest=int(numbers))
        if kind == "specific" and all(map(_NUMBER.fullmatch, numbers.split(","))):
            return cls(specific=frozenset(map(int, numbers.split(","))))
        raise ValueError(f"expected all, latest:N or specific:N,N. Received: {text}.")


def look(folder: Path, name: str | None = None) -> Look:
    """The models in a folder.

    Args:
      folder: `<model>/<version>/` folders; or one model's folder of versions, if it has a name.
      name: What that one model is called.

    Raises:
      OSError: If the folder itself can't be listed.
    """
    return Look({name: versions(folder)}) if name else _all_models(folder)


def single_model(folder: Path) -> str | None:
    """The name of the one model whose versions are in a folder: the folder's, a link's its own; None for other folders.

    Raises:
      OSError: If the folder can't be listed.
    """
    if not any(_holds_model(path) for path in versions(folder).values()):
        return None
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def versions(model: Path) -> dict[int, Path]:
    """The versions of a model by number, the newest first; one that can't be looked into is there.

    Raises:
      OSError: If the folder can't be listed.
    """
    numbered = {int(path.name): path for path in _folders(model) if _NUMBER.fullmatch(path.name)}
    return {number: numbered[number] for number in sorted(numbered, reverse=True) if _may_hold_model(numbered[number])}


def models(folder: Path) -> dict[str, Path]:
    """The models in a folder by name; none if it is not there.

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
    """One above the highest number that is there, complete or not."""
    try:
        names = [path.name for path in model.iterdir()]
    except FileNotFoundError:
        names = []
    return 1 + max((int(name) for name in names if _NUMBER.fullmatch(name)), default=0)


def newest(path: Path) -> Path:
    """The folder of a version: `path` itself, or the newest version below it.

    Raises:
      DataError: If there is none, or the folder can't be read.
    """
    try:
        if (path / SAVED_MODEL).exists():
            return path
        found = versions(path) if path.is_dir() else {}
        inside = {} if found else models(path)
    except OSError as error:
        raise DataError(f"Expected an exported model in {path}, but it can't be read ({error.strerror}).") from error
    if not found:
        hint = f"; it holds the models {', '.join(inside)}, name one of them" if inside else ""
        raise DataError(f"Expected an exported model in {path}, such as exported_models/demo, but there is none{hint}.")
    return next(iter(found.values()))


def stamp(version: Path) -> Stamp:
    """Changes with any of the files of a version: name, size and time of change of each; -1 and the error if unknown.

    Of the folder and the folders in it, links followed; a SavedModel has no others.
    """
    outer = _listed(version)
    inner = [path for folder in outer for path in _listed(folder)]
    return tuple(stamped for path in (*outer, *inner) if (stamped := _stamp(path, version)))


def _all_models(folder: Path) -> Look:
    found: dict[str, dict[int, Path]] = {}
    unreadable = set()
    for path in sorted(_folders(folder)):
        try:
            found[path.name] = versions(path)
        except OSError as error:
            if error.errno not in _GONE:
                unreadable.add(path.name)
    return Look({model: numbers for model, numbers in found.items() if numbers}, frozenset(unreadable))


def _stamp(path: Path, version: Path) -> tuple[str, int, int] | None:
    name = str(path.relative_to(version))
    try:
        status = path.stat()
    except OSError as error:
        return name, -1, error.errno or 0
    return None if stat.S_ISDIR(status.st_mode) else (name, status.st_size, status.st_mtime_ns)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing if that can't be told."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in one, without hidden ones; what can't be told to be a folder may be one."""
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
