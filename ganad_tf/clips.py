"""The nouns of the house: a clip, and a listing of clips.

Labels: 0 normal, 1 anomaly, None unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.errors import DataError

LABELS = {0: "normal", 1: "anomaly", None: "unknown"}


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

    def clips_of(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == split)

    def require_clips(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split.

        Raises:
          DataError: If there are none.
        """
        clips = self.clips_of(split)
        if not clips:
            where = self.directory / self.machine
            raise DataError(f"Expected {split} clips of {self.machine} in {where}, but there are none.")
        return clips


def by_id(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """Groups clips by machine ID, in the challenge's order: IDs ascending, normal first, then by name."""
    groups: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (clip.machine_id, clip.label or 0, clip.file)):
        groups.setdefault(clip.machine_id, []).append(clip)
    return groups


def labels_and_scores(scores: Mapping[Clip, float]) -> dict[str, tuple[list[int], list[float]]]:
    """Labels and scores of clips by machine ID, in the order of `by_id`; a clip without a label counts as normal."""
    return {
        machine_id: ([clip.label or 0 for clip in clips], [float(scores[clip]) for clip in clips])
        for machine_id, clips in by_id(scores).items()
    }


def evenly_spread(n_items: int, count: int) -> list[int]:
    """Indices of at most `count` of `n_items`, evenly spread from the first to the last.

    >>> evenly_spread(10, 3), evenly_spread(2, 5)
    ([0, 4, 9], [0, 1])
    """
    return [int(index) for index in np.linspace(0, n_items - 1, min(count, n_items)).round()]
