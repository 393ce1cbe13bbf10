"""The two nouns that every stage shares: a clip, and the listing of a machine type's clips.

Labels: 0 normal, 1 anomaly, None unknown.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.errors import DataError

# Called with an iterable of clips or the like and their number, iterates over it and shows how far it is, as tqdm does.
Progress = Callable[[Iterable[Any], int], Iterable[Any]]

COPIES = "augmented"  # the split of changed copies of training clips, which no listing has

# Training, test, and recordings that are kept out of both for a threshold.
SPLITS = ("train", "test", "calibration")
USES = {"train": "training", "test": "the test", "calibration": "calibration"}

Span = tuple[float, float]
_SPAN = re.compile(r"(.*)#(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)s", re.DOTALL)

DOMAINS = ("source", "target")  # of `Clip.domain`, where it is not empty

LABELS = {0: "normal", 1: "anomaly", None: "unknown"}


@dataclass(frozen=True, order=True)
class Clip:
    """One recording.

    Attributes:
      file: Path relative to the data directory, with forward slashes.
      name: Name in score files: the file name, preceded by its folder where the layout needs that.
      machine: Machine type, such as `fan`.
      machine_id: Individual machine, such as `00`.
      split: One of `SPLITS`.
      label: 0 normal, 1 anomaly, None unknown.
      size: File size in bytes; together with `mtime_ns` it shows whether the file has changed.
      mtime_ns: Time of last modification in nanoseconds.
      group: Recording or other set that the clip is a part of; empty if it stands alone. See `recording`.
      channel: The channel, from 0, if each channel of the file is a clip; None for that of the settings.
      span: Begin and end in the file, in seconds, of a clip that is cut from a longer recording; None for the whole.
      domain: Conditions of the recording: `source`, `target` (of which few normal clips are for training), or empty.
      attributes: Names and values of what else is known of the recording, such as `("vel", "16")`, sorted by name.
      copy: Number of the augmented copy of the recording, from 1; 0 for the recording itself.
    """

    file: str
    name: str
    machine: str
    machine_id: str
    split: str
    label: int | None
    size: int
    mtime_ns: int
    group: str = ""
    channel: int | None = None
    span: Span | None = None
    domain: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    copy: int = 0

    @property
    def key(self) -> str:
        """The file, followed by the channel, span and copy that the clip is of it: `fan/a.wav#ch0#10-20s#copy1`."""
        return self.original + copy_suffix(self.copy)

    @property
    def original(self) -> str:
        """Key of the recording that a clip is a copy of; its own key if it is none."""
        return self.file + part_suffix(self.channel, self.span)

    @property
    def recording(self) -> str:
        """Name shared by the clips of one recording, which never lie on both sides of a split."""
        return self.group or self.file

    @property
    def stamp(self) -> tuple[str, int, int]:
        """Key, size and modification time of the file; equal as long as the file is unchanged."""
        return self.key, self.size, self.mtime_ns


@dataclass(frozen=True)
class Listing:
    """The clips of one machine type, sorted by name.

    Attributes:
      machine: Machine type.
      directory: Data directory that each `Clip.file` is relative to.
      clips: All clips, training and test.
      foreign: One line per file that doesn't fit the layout: its path and what was expected.
      note: Assumption about the layout that the user should know; empty if there is none.
    """

    machine: str
    directory: Path
    clips: tuple[Clip, ...]
    foreign: tuple[str, ...] = ()
    note: str = ""

    def clips_of(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == split)

    @property
    def machine_ids(self) -> tuple[str, ...]:
        """IDs of the normal training clips, sorted; of all clips if none is for training."""
        training = [clip for clip in self.clips_of("train") if clip.label == 0]
        return tuple(sorted({clip.machine_id for clip in training or self.clips}))

    def require_clips(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split, at least one.

        Raises:
          DataError: If there are none.
        """
        clips = self.clips_of(split)
        if not clips:
            folder = self.clips[0].file.partition("/")[0] if self.clips else self.machine
            others = " and ".join(USES[split] for split in SPLITS if self.clips_of(split))
            number = "its only clip is" if len(self.clips) == 1 else f"all {len(self.clips)} clips are"
            given = f": {number} for {others}" if self.clips else ""
            raise DataError(
                f"Expected {split} clips of {self.machine} in {self.directory / folder}, but there are none{given}."
            )
        return clips


def part_suffix(channel: int | None, span: Span | None) -> str:
    """End of the names of clips that are single channels, or cut from a longer recording.

    >>> part_suffix(0, None), part_suffix(None, (10, 20.5)), part_suffix(None, None)
    ('#ch0', '#10-20.5s', '')
    """
    of_channel = "" if channel is None else f"#ch{channel}"
    return of_channel if span is None else f"{of_channel}#{span[0]:.10g}-{span[1]:.10g}s"


def copy_suffix(copy: int) -> str:
    """End of the keys of augmented copies.

    >>> copy_suffix(2), copy_suffix(0)
    ('#copy2', '')
    """
    return f"#copy{copy}" if copy else ""


def split_span(name: str) -> tuple[str, Span | None]:
    """The name of the recording that a clip was cut from, and the span; the name itself and None for a whole one.

    >>> split_span("normal/a.wav#10-20.5s"), split_span("a.wav")
    (('normal/a.wav', (10.0, 20.5)), ('a.wav', None))
    """
    match = _SPAN.fullmatch(name)
    return (match[1], (float(match[2]), float(match[3]))) if match else (name, None)


def by_id(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """Groups clips by machine ID, in the challenge's order: IDs ascending, normal clips first, then by file."""
    groups: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (clip.machine_id, clip.label or 0, clip.key)):
        groups.setdefault(clip.machine_id, []).append(clip)
    return groups


def labels_and_scores(scores: Mapping[Clip, float]) -> dict[str, tuple[list[int], list[float]]]:
    """Labels and scores of clips by machine ID, in the order of `by_id`; a clip without a label counts as normal."""
    return {
        machine_id: ([clip.label or 0 for clip in clips], [float(scores[clip]) for clip in clips])
        for machine_id, clips in by_id(scores).items()
    }


def evenly_spread(n_items: int, count: int) -> list[int]:
    """Indices of at most `count` of `n_items` items, evenly spread from the first to the last.

    >>> evenly_spread(10, 3), evenly_spread(2, 5)
    ([0, 4, 9], [0, 1])
    """
    return [int(index) for index in np.linspace(0, n_items - 1, min(count, n_items)).round()]
