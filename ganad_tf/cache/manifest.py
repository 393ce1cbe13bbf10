"""`manifest.json` of a cache directory: which clips are in which shard, and whether all of it is sound.

A cache directory holds the log-mels of one machine type's training or test clips. This file needs no
TensorFlow; `records.py` writes and reads the shards.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.clips import Clip
from ganad_tf.errors import DataError
from ganad_tf.files import atomic, checksummed

FILE = "manifest.json"
MEND = "Run `ganad prepare` with the same arguments."


@dataclass(frozen=True)
class Entry:
    """Where the log-mel of `clip` is: record `index` of the file `shard`, `frames` spectra long.

    Attributes:
      clip: The recording.
      shard: The file.
      index: Of the record in it.
      frames: Spectra of the clip.
      sha256: Of the recording's file; empty where it is not known, as in caches of earlier versions.
      remarks: What `sound_checks` says of the sound.
    """

    clip: Clip
    shard: str
    index: int
    frames: int
    sha256: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """A TFRecord file as it was when it was complete."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Skipped:
    """A clip that `on_bad_clip: skip` left out; it has no log-mel and gets no score.

    `sha256` is of its file, empty where that is not known.
    """

    file: str
    size: int
    mtime_ns: int
    reason: str
    sha256: str = ""

    @property
    def stamp(self) -> tuple[str, int, int]:
        """Path, size and time of the file: the same as long as nobody has touched it."""
        return self.file, self.size, self.mtime_ns


@dataclass(frozen=True)
class Statistics:
    """Over all spectra of the cache: count, and mean and standard deviation per mel band in dB."""

    n_frames: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The contents of a cache directory.

    Attributes:
      fingerprint: `Config.feature_fingerprint()` of the settings that made it.
      features: Those settings, for people.
      source: The folder of the recordings, as configured; clips of the same name elsewhere are others.
      is_complete: False while clips are still to be added; nothing but `prepare` loads it then.
      entries: The clips.
      shards: Their files.
      skipped: Clips that could not be used.
      foreign: Files that don't fit the layout and were left out.
      statistics: None until complete.
    """

    fingerprint: str
    features: dict[str, Any]
    source: str
    is_complete: bool = False
    entries: tuple[Entry, ...] = ()
    shards: tuple[Shard, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    foreign: tuple[str, ...] = ()
    statistics: Statistics | None = None

    def digest(self) -> str:
        """Names the cached clips: the same for the same contents of the same files, and the same features.

        Where an earlier version kept no checksum, the time of last modification stands for the contents.
        """
        return self._digest([(clip.file, clip.size, sha256 or clip.mtime_ns) for clip, sha256 in self._contents()])

    def has_digest(self, digest: object) -> bool:
        """Whether `digest` names these clips, as this version or an earlier one does, which went by times alone."""
        by_times = [clip.stamp for clip, _ in self._contents()]
        return digest in (self.digest(), self._digest(by_times))

    def _contents(self) -> list[tuple[Clip, str]]:
        return sorted(((entry.clip, entry.sha256) for entry in self.entries), key=lambda pair: pair[0].file)

    def _digest(self, clips: Sequence[tuple[str, int, str | int]]) -> str:
        return checksummed.fingerprint([self.fingerprint, clips])


def save(directory: Path, manifest: Manifest) -> None:
    """Writes the manifest in one step, sealed with a checksum of its own."""
    atomic.write_text(directory / FILE, checksummed.dumps("manifest", manifest, default=vars))


def load(directory: Path) -> Manifest:
    """Reads the manifest of a cache directory, complete or not.

    Raises:
      DataError: If it is missing, or not as it was written.
    """
    path = directory / FILE
    try:
        body = checksummed.loads("manifest", path.read_text(encoding="utf-8"))
        return Manifest(
            fingerprint=body["fingerprint"],
            features=body["features"],
            source=body["source"],
            is_complete=body["is_complete"],
            entries=tuple(_entry(entry) for entry in body["entries"]),
            shards=tuple(Shard(**shard) for shard in body["shards"]),
            skipped=tuple(Skipped(**clip) for clip in body["skipped"]),
            foreign=tuple(body["foreign"]),
            statistics=_statistics(body["statistics"]),
        )
    except FileNotFoundError as error:
        raise DataError(f"Expected a cache in {directory}, but there is none.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The cache in {directory} is corrupted: {FILE} can't be read ({error}).") from error


def damage(directory: Path, shard: Shard) -> str | None:
    """What is wrong with a shard's file, or None if it is as it was written."""
    path = directory / shard.file
    try:
        if path.stat().st_size != shard.size:
            return f"{shard.file} has {path.stat().st_size} bytes instead of {shard.size}"
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != shard.sha256:
                return f"the checksum of {shard.file} does not match"
    except OSError as error:
        return f"{shard.file} can't be read ({error.strerror})"
    return None


def _entry(body: dict[str, Any]) -> Entry:
    return Entry(**{**body, "clip": Clip(**body["clip"]), "remarks": tuple(body.get("remarks", ()))})


def _statistics(body: dict[str, Any] | None) -> Statistics | None:
    return Statistics(body["n_frames"], tuple(body["mean"]), tuple(body["std"])) if body else None
