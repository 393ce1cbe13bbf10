"""The local image of a directory that is a URL, and the index of what is equal on both sides."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ganad_tf.config.sections import Storage
from ganad_tf.errors import StorageError
from ganad_tf.files import atomic, checksummed, lock
from ganad_tf.storage.placeholders import SETTINGS
from ganad_tf.storage.store import Store, Stored
from ganad_tf.storage.units import RECORDS, Record, is_folder, unit_of

PATIENCE_SECONDS = 600.0  # for another process that fetches or publishes the same directory


@dataclass
class Known:
    """A unit as it was when both sides were equal.

    Attributes:
      record: Version of its record in the store; None without one.
      files: Version in the store, local size and local modification time, by name.
    """

    record: str | None = None
    files: dict[str, tuple[str, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """A directory of a run that is a URL.

    Attributes:
      kind: The directory, as a setting: `cache_directory` and so on.
      path: Its local image.
      settings: The section `storage`.
    """

    kind: str
    path: Path
    settings: Storage

    @property
    def url(self) -> str:
        """The URL."""
        return self.settings.location(self.path)

    @functools.cached_property
    def store(self) -> Store:
        """The store that it is in."""
        return Store(self.url, self.settings)

    def url_of(self, name: str) -> str:
        """URL of a file."""
        return f"{self.url}/{name}"

    def record_url(self, unit: str) -> str:
        """URL of a unit's record."""
        return self.url_of(f"{RECORDS}/{unit}.json")

    def find(self, below: str = "") -> dict[str, dict[str, Stored]]:
        """Objects of each unit in the store, by name in the directory; of those in the folder `below` of it."""
        units: dict[str, dict[str, Stored]] = {}
        prefix = f"{below}/" if below else ""
        for name, stored in self.store.find(self.url_of(below) if below else self.url).items():
            unit = unit_of(self.kind, prefix + name)
            if unit is not None:
                units.setdefault(unit, {})[prefix + name] = stored
        return units

    def objects_of(self, unit: str) -> dict[str, Stored]:
        """Objects of one unit in the store, by name in the directory."""
        return self.find(unit if is_folder(self.kind, unit) else "").get(unit, {})

    def is_whole(self, unit: str) -> bool:
        """Whether a unit is in the store, with a record and complete."""
        found = self.read_record(unit)
        return found is not None and found[0].is_whole(self.objects_of(unit))

    def local_units(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Size and modification time of each unit's local files, by name in the directory."""
        units: dict[str, dict[str, tuple[int, int]]] = {}
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            unit = unit_of(self.kind, name)
            if unit is not None and path.is_file():
                status = path.stat()
                units.setdefault(unit, {})[name] = (status.st_size, status.st_mtime_ns)
        return units

    def read_record(self, unit: str) -> tuple[Record, str] | None:
        """Record of a unit in the store and its version; None without one."""
        url = self.record_url(unit)
        found = self.store.read(url)
        return found and (Record.load(url, found[0]), found[1].version)

    @property
    def _index(self) -> Path:
        return self.settings.directory / SETTINGS.parent / f"{checksummed.fingerprint(self.url)}.json"

    @contextmanager
    def index(self) -> Iterator["Index"]:
        """The index of the directory, locked, and saved at the end."""
        self._index.parent.mkdir(parents=True, exist_ok=True)
        with lock.waiting(PATIENCE_SECONDS), lock.exclusive(self._index):
            index = Index(self._index)
            try:
                yield index
            finally:
                index.save()


class Index:
    """Knowledge of each unit, in a file of the scratch directory; none without the file.

    Args:
      path: The file.

    Raises:
      StorageError: If it can't be read. What is in the scratch directory may not have been published yet, so that it is
        not taken for unknown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.units: dict[str, Known] = {}
        if path.exists():
            try:
                for unit, known in json.loads(path.read_text(encoding="utf-8")).items():
                    files = {name: (version, size, time) for name, (version, size, time) in known["files"].items()}
                    self.units[unit] = Known(known["record"], files)
            except checksummed.READ_ERRORS as error:
                raise StorageError(
                    f"Can't read {path} ({error}), by which {path.parents[1]} is compared with the store; set another "
                    "`storage.scratch`, or remove the folder if nothing in it is still to be published."
                ) from error

    def save(self) -> None:
        """Writes the file."""
        atomic.write_text(self._path, json.dumps({unit: vars(known) for unit, known in self.units.items()}))
