"""Units of publication: the files of a run's directory that are made together, and the record that they are complete.

Object stores have no locks and no renames. The record of a unit, `.units/<unit>.json` in the directory, names its files
with size, checksum and version; it is written before the first of them, as incomplete, and again after the last. A
unit is whole if its record is complete and the store has exactly those versions. A unit without a record was put there
by other means, and is taken as it is.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganad_tf.errors import DataError
from ganad_tf.storage.store import Stored

RECORDS = ".units"
LAST = ("manifest.json", "scorer.json", "training.json", "saved_model.pb", "result_modes.json", "models.config")

_BY_ID = re.compile(r"(?:anomaly_score|decision_result|p_value|recording_score)_(.+)_id_[^/]+\.csv")
_BY_MODE = re.compile(r"(?:score_origin|train_score|calibration_score|not_judged)_(?:dev|eval)_(.+)\.(?:csv|json)")
_ELSEWHERE = ("members", "search")  # directories of their own, in those of the run
BLOCKS = "blocks"  # the kind of folders of log-mels that a cache will take over
_DEPTHS = {"cache_directory": 3, "model_directory": 2, "export_directory": 2, BLOCKS: 1}  # folders of a unit


def unit_of(kind: str, name: str) -> str | None:
    """Unit that a file belongs to; None for files that are not published, such as locks and unfinished ones.

    Args:
      kind: The directory, as a setting.
      name: Path of the file in it, with forward slashes.

    >>> unit_of("cache_directory", "dev/fan/train/manifest.json"), unit_of("model_directory", "dev/fan/detector.keras")
    ('dev/fan/train', 'dev/fan')
    >>> unit_of("result_directory", "paper/anomaly_score_fan_id_00.csv"), unit_of("result_directory", "result.csv")
    ('machines/fan', 'tables')
    """
    folders = name.split("/")
    if any(part.startswith(".") for part in folders):
        return None
    depth = _DEPTHS.get(kind)
    if depth is None:
        return _of_results(folders) if kind == "result_directory" else "recordings"
    if folders[0] in _ELSEWHERE and kind != "export_directory":
        return None
    if len(folders) <= depth:
        return "index" if kind == "export_directory" and len(folders) == 1 else None
    return "/".join(folders[:depth])


def is_folder(kind: str, unit: str) -> bool:
    """Whether the files of a unit are those of a folder, which has its name."""
    return kind in _DEPTHS and unit != "index"


def concerns(kind: str, unit: str, mode: str | None, machines: frozenset[str]) -> bool:
    """Whether a unit is of a mode, None for both, and of one of these machine types, of any if there are none."""
    parts = unit.split("/")
    if kind == "result_directory":
        return not machines or parts[0] != "machines" or parts[1] in machines
    if kind in ("cache_directory", "model_directory"):
        return mode in (None, parts[0]) and (not machines or parts[1] in machines)
    return True


def in_order(names: Mapping[str, Any]) -> list[str]:
    """Names of a unit's files, those that say that others are complete last."""
    return sorted(names, key=lambda name: (is_last(name), name))


def is_last(name: str) -> bool:
    """Whether a file says that others are complete."""
    base = name.rpartition("/")[2]
    return base in LAST or base.startswith("score_origin_")


def _of_results(folders: list[str]) -> str | None:
    if folders[0] in _ELSEWHERE:
        return None
    match = _BY_ID.fullmatch(folders[-1]) or _BY_MODE.fullmatch(folders[-1])
    return f"machines/{match[1]}" if match and len(folders) <= 2 else "tables"


@dataclass(frozen=True)
class Content:
    """Size and SHA-256 of a file, and its version in the store; empty while it is not known."""

    size: int
    sha256: str
    version: str = ""


@dataclass(frozen=True)
class Record:
    """The record of a unit.

    Attributes:
      is_complete: Whether all files are in the store.
      by: Token of the publication, other for each.
      files: Contents by name in the directory.
    """

    is_complete: bool
    by: str
    files: Mapping[str, Content]

    def dump(self) -> bytes:
        """The record as JSON."""
        files = {name: vars(content) for name, content in self.files.items()}
        return json.dumps({"is_complete": self.is_complete, "by": self.by, "files": files}, indent=1).encode()

    @classmethod
    def load(cls, url: str, text: bytes) -> "Record":
        """The record that `dump` wrote.

        Raises:
          DataError: If it is none.
        """
        try:
            body = json.loads(text)
            files = {name: Content(**content) for name, content in body["files"].items()}
            return cls(body["is_complete"], body["by"], files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{url} can't be read ({error}); remove it, and publish its unit again.") from error

    def has_contents(self, contents: Mapping[str, Content]) -> bool:
        """Whether it is of the same contents, whatever their versions in the store."""
        here, there = (
            {name: (content.size, content.sha256) for name, content in files.items()}
            for files in (contents, self.files)
        )
        return here == there

    def is_whole(self, there: Mapping[str, Stored]) -> bool:
        """Whether the unit is complete, and the store has the versions of its files."""
        return self.is_complete and all(
            name in there and there[name].version == content.version for name, content in self.files.items()
        )
