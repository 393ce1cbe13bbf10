"""`manifest.json` of a cache directory: which clips are in which shard, and whether the shards are intact.

A cache directory holds the log-mels of one machine type's training or test clips. Many clips are in tables beside
it (`tables.py`). This module needs no TensorFlow; `records.py` writes and reads the shards.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.cache import tables
from ganad_tf.cache.entry import Entry as Entry
from ganad_tf.cache.tables import Table
from ganad_tf.clips import Clip, Span, copy_suffix, part_suffix
from ganad_tf.errors import DataError
from ganad_tf.files import atomic, checksummed

logger = logging.getLogger(__name__)

FILE = "manifest.json"
ADVICE = "Run `ganad prepare` with the same arguments."


@dataclass(frozen=True)
class Shard:
    """A TFRecord file: its name, and its size and checksum when it was complete."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class SkippedClip:
    """A clip that `on_bad_clip: skip` left out; it has no log-mel and gets no score.

    Attributes:
      file, size, mtime_ns: As in `Clip`.
      reason: Error message of reading it.
      sha256: Checksum of its file; empty if unknown.
      channel, span, copy: As in `Clip`.
    """

    file: str
    size: int
    mtime_ns: int
    reason: str
    sha256: str = ""
    channel: int | None = None
    span: Span | None = None
    copy: int = 0

    @property
    def stamp(self) -> tuple[str, int, int]:
        """As `Clip.stamp`."""
        return self.file + part_suffix(self.channel, self.span) + copy_suffix(self.copy), self.size, self.mtime_ns


@dataclass(frozen=True)
class Statistics:
    """Number of spectra in the cache, and mean and standard deviation per mel band in dB."""

    n_frames: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The contents of a cache directory.

    Attributes:
      fingerprint: `Config.feature_fingerprint()` of the settings that made it.
      features: Those settings, for human readers.
      source: Directory of the recordings, as configured; it tells clips of the same name apart.
      is_complete: False while clips are still to be added; only `prepare` uses such a cache.
      entries: One per cached clip.
      shards: The files that hold them.
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
    skipped: tuple[SkippedClip, ...] = ()
    foreign: tuple[str, ...] = ()
    statistics: Statistics | None = None

    @property
    def normal(self) -> tuple[Entry, ...]:
        """Entries of the normal clips."""
        return tuple(entry for entry in self.entries if entry.clip.label == 0)

    def digest(self) -> str:
        """Fingerprint of the cached clips: equal for equal file names, contents, recordings and feature settings.

        Entries of earlier versions without a checksum count by modification time instead of contents.
        """
        return self._digest(
            [(clip.key, clip.size, sha256 or clip.mtime_ns, *_group(clip)) for clip, sha256 in self._contents()]
        )

    def has_digest(self, digest: object) -> bool:
        """Whether `digest` is that of these clips, by this version or by earlier ones, which used times alone."""
        by_times = [clip.stamp for clip, _ in self._contents()]
        return digest in (self.digest(), self._digest(by_times))

    def _contents(self) -> list[tuple[Clip, str]]:
        return sorted(((entry.clip, entry.sha256) for entry in self.entries), key=lambda pair: pair[0].key)

    def _digest(self, clips: Sequence[tuple[str | int, ...]]) -> str:
        return checksummed.fingerprint([self.fingerprint, clips])


def save(directory: Path, manifest: Manifest) -> None:
    """Writes the manifest in one step, with a checksum of itself."""
    written = tables.save(directory, manifest.entries)
    n_clips = sum(table.n_clips for table in written)
    body = vars(dataclasses.replace(manifest, entries=manifest.entries[n_clips:]))
    of_tables = {"tables": written} if written else {}
    atomic.write_text(directory / FILE, checksummed.dump("manifest", {**body, **of_tables}, default=vars))
    tables.remove_others(directory, written)


def load(directory: Path, *, with_damage: bool = False) -> Manifest:
    """Loads the manifest of a cache directory, complete or not.

    Args:
      directory: The cache directory.
      with_damage: Whether clips in damaged tables are left out, after a warning. The manifest then is not complete.

    Raises:
      DataError: If it is missing or damaged.
    """
    path = directory / FILE
    try:
        body = checksummed.load("manifest", path.read_text(encoding="utf-8"))
        written = [Table(**table) for table in body.get("tables", ())]
        current = Manifest(
            fingerprint=body["fingerprint"],
            features=body["features"],
            source=body["source"],
            is_complete=body["is_complete"],
            entries=tuple(_entry(entry) for entry in body["entries"]),
            shards=tuple(Shard(**shard) for shard in body["shards"]),
            skipped=tuple(SkippedClip(**{**clip, "span": _span(clip)}) for clip in body["skipped"]),
            foreign=tuple(body["foreign"]),
            statistics=_statistics(body["statistics"]),
        )
    except FileNotFoundError as error:
        raise DataError(f"Expected a cache in {directory}, but there is none.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The cache in {directory} is corrupted: {FILE} can't be read ({error}).") from error
    return _with_tables(directory, current, written, with_damage=with_damage)


def _with_tables(directory: Path, current: Manifest, written: Sequence[Table], *, with_damage: bool) -> Manifest:
    """The manifest with the entries of its tables before its own."""
    entries: list[Entry] = []
    is_complete = current.is_complete
    for table in written:
        try:
            entries.extend(tables.load(directory, table))
        except DataError as error:
            if not with_damage:
                raise
            logger.warning("%s Its %d clips are read again.", error, table.n_clips)
            is_complete = False
    return dataclasses.replace(current, entries=(*entries, *current.entries), is_complete=is_complete)


def damage(directory: Path, shard: Shard) -> str | None:
    """Description of the damage to a shard's file, or None if it is intact."""
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


def _group(clip: Clip) -> list[str]:
    """The clip's group, if it has one and results depend on it."""
    return [clip.group] if clip.group and clip.split != "test" else []


def _entry(body: dict[str, Any]) -> Entry:
    lists = {name: tuple(body.get(name, ())) for name in ("remarks", "sound")}
    clip = body["clip"]
    attributes = tuple((name, value) for name, value in clip.get("attributes", ()))
    return Entry(**{**body, **lists, "clip": Clip(**{**clip, "span": _span(clip), "attributes": attributes})})


def _span(clip: dict[str, Any]) -> Span | None:
    begin_and_end = clip.get("span")
    return (begin_and_end[0], begin_and_end[1]) if begin_and_end else None


def _statistics(body: dict[str, Any] | None) -> Statistics | None:
    return Statistics(body["n_frames"], tuple(body["mean"]), tuple(body["std"])) if body else None
