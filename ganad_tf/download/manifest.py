"""The file in the root that remembers lists of files and finished work, so that a second run downloads nothing."""

import logging
import threading
from pathlib import Path
from typing import Any

from ganad_tf.download.record import Record
from ganad_tf.files import atomic, checksummed

logger = logging.getLogger(__name__)

NAME = "download.json"


class Manifest:
    """Lists of files by part, and the folders that each finished file has filled. Safe to use from several threads.

    Args:
      root: Folder of the data set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / NAME
        self._lock = threading.Lock()
        self._body: dict[str, Any] = {"records": {}, "done": {}}
        if self.path.exists():
            try:
                self._body = checksummed.load("download", self.path.read_text(encoding="utf-8"))
            except checksummed.READ_ERRORS as error:
                logger.warning("%s is damaged (%s); what it lists is downloaded again.", self.path, error)

    @property
    def records(self) -> dict[str, Any]:
        """Lists of files by part, as JSON."""
        return dict(self._body["records"])

    def record(self, key: str) -> Record | None:
        """List of files of a part, if an earlier run has read it."""
        value = self._body["records"].get(key)
        return Record.from_json(value) if value else None

    def add_record(self, key: str, record: Record) -> None:
        """Remembers the list of files of a part."""
        self._update("records", key, record.as_json())

    def is_done(self, key: str) -> bool:
        """Whether a file is finished, and what it has filled is still there."""
        done = self._body["done"].get(key)
        return done is not None and all(_n_files(self.root / folder) >= n for folder, n in done["counts"].items())

    def is_kept(self, key: str) -> bool:
        """Whether a finished file was to stay after it was unpacked."""
        return bool(self._body["done"][key]["is_kept"])

    def add_done(self, key: str, counts: dict[str, int], *, is_kept: bool) -> None:
        """Remembers that a file is finished.

        Args:
          key: The file.
          counts: Number of files that it has put into each folder, by path below the root.
          is_kept: Whether it stays.
        """
        self._update("done", key, {"counts": counts, "is_kept": is_kept})

    def _update(self, section: str, key: str, value: Any) -> None:
        with self._lock:
            self._body[section][key] = value
            atomic.write_text(self.path, checksummed.dump("download", self._body))


def _n_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.iterdir()) if folder.is_dir() else 0
