"""The nouns of the house: a clip, a listing of clips, and the challenge's score files.

Labels: 0 normal, 1 anomaly, None unknown. Scores: higher is more anomalous.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf import atomic
from ganad_tf.errors import DataError


@dataclass(frozen=True, order=True)
class Clip:
    """One recording.

    Attributes:
      file: Path below the data directory, with forward slashes.
      name: What score files call it: the file name, with its folder where the layout needs that.
      machine: Machine type, such as `fan`.
      machine_id: Which individual machine, such as `00`.
      split: `train` or `test`.
      label: 0 normal, 1 anomaly, None unknown.
      size: File size in bytes; with `mtime_ns` it tells whether the file has changed.
      mtime_ns: Time of last modification in nanoseconds.
    """

    file: str
    name: str
    machine: str
    machine_id: str
    split: str
    label: int | None
    size: int
    mtime_ns: int

    @property
    def stamp(self) -> tuple[str, int, int]:
        """Path, size and time of the file: the same as long as nobody has touched it."""
        return self.file, self.size, self.mtime_ns


@dataclass(frozen=True)
class Listing:
    """The clips of one machine type, in the order of their names.

    Attributes:
      machine: Machine type.
      directory: What every `Clip.file` is relative to.
      clips: All clips, training and test.
      foreign: Files that don't fit the layout, with what was expected.
    """

    machine: str
    directory: Path
    clips: tuple[Clip, ...]
    foreign: tuple[str, ...] = ()

    def of(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == split)

    def need(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split.

        Raises:
          DataError: If there are none.
        """
        clips = self.of(split)
        if not clips:
            where = self.directory / self.machine
            raise DataError(f"Expected {split} clips of {self.machine} in {where}, but there are none.")
        return clips


@dataclass(frozen=True)
class ClipScore:
    """The anomaly score of one clip; `name` is the clip's."""

    name: str
    score: float


def by_id(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """Groups clips by machine ID, in the challenge's order: IDs ascending, normal first, then by name."""
    groups: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (clip.machine_id, clip.label or 0, clip.file)):
        groups.setdefault(clip.machine_id, []).append(clip)
    return groups


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file as the challenge's baseline does: no header of its own, line feeds alone at line ends."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def write_scores(path: Path, scores: Iterable[ClipScore]) -> None:
    """Writes `file name,score` lines (the challenge's submission layout).

    Raises:
      DataError: If a score is not a finite number.
    """
    rows = [(score.name, float(score.score)) for score in scores]
    for name, score in rows:
        if not math.isfinite(score):
            raise DataError(
                f"The anomaly score of {name} is {score}, not a number to rank by; nothing was written to {path}."
            )
    write_rows(path, rows)


def read_scores(path: Path) -> list[ClipScore]:
    """Reads what `write_scores` or any other participant of the challenge wrote.

    Raises:
      DataError: If the file is missing or a line is not `file name,score`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Can't read the scores in {path}: {error}. Run `ganad score` first.") from error
    scores = []
    for number, row in enumerate(rows, start=1):
        try:
            name, score = row
            scores.append(ClipScore(name, _finite(score)))
        except ValueError as error:
            raise DataError(
                f"Expected `file name,score` in line {number} of {path}. Received: {','.join(row)!r}."
            ) from error
    return scores


def write_origin(path: Path, origin: Mapping[str, Any], *, is_complete: bool = True) -> None:
    """Writes with what settings the scores beside it are made; incomplete until they are all there."""
    atomic.write_text(path, json.dumps({**origin, "is_complete": is_complete}, indent=1))


def read_origin(path: Path) -> dict[str, Any] | None:
    """What `write_origin` wrote; None if there is nothing, as beside scores from elsewhere.

    Raises:
      DataError: If it can't be read, or the scores were not all written.
    """
    if not path.exists():
        return None
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        is_complete, _ = origin["is_complete"], origin["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} can't be read ({error}); run `ganad score` again.") from error
    if not is_complete:
        raise DataError(f"The scores beside {path} were not all written; run `ganad score` again.")
    return dict(origin)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
