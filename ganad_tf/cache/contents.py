"""Recognition of unchanged recordings by their contents, where modification times differ, as in a copied project."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ganad_tf.audio import sound_checks
from ganad_tf.audio.sound_checks import Examination
from ganad_tf.cache import manifest
from ganad_tf.cache.manifest import Manifest, SkippedClip
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError, WriteError

logger = logging.getLogger(__name__)

StampedClip = TypeVar("StampedClip", Clip, SkippedClip)


def with_contents(current: Manifest, n_new: int, examinations: Mapping[str, Examination]) -> Manifest:
    """The manifest with checksums, remarks and statistics added to its last `n_new` entries.

    Args:
      current: The manifest.
      n_new: Number of entries that were added last.
      examinations: Those by `Clip.key`.
    """
    old, new = current.entries[: len(current.entries) - n_new], current.entries[len(current.entries) - n_new :]
    known = [examinations[entry.clip.key] for entry in new]
    described = (
        dataclasses.replace(entry, sha256=contents.sha256, remarks=contents.remarks, sound=contents.sound)
        for entry, contents in zip(new, known, strict=True)
    )
    return dataclasses.replace(current, entries=(*old, *described))


def with_current_times(known: Manifest, clips: Sequence[Clip], recordings: Path) -> Manifest:
    """The manifest with current modification times, where a file's time has changed but its contents have not.

    In a copied project all times differ; comparing checksums shows that the recordings are the same. Entries without a
    checksum, or whose file size has changed, are left unchanged.

    Args:
      known: The manifest of a cache.
      clips: The current clips.
      recordings: Directory that `Clip.file` is relative to.
    """
    listed = {clip.file: clip for clip in clips}
    stamps = [(entry.clip.file, entry.clip.size, entry.clip.mtime_ns, entry.sha256) for entry in known.entries]
    stamps += [(clip.file, clip.size, clip.mtime_ns, clip.sha256) for clip in known.skipped]
    expected = {
        file: sha256
        for file, size, mtime_ns, sha256 in stamps
        if sha256 and file in listed and listed[file].size == size and listed[file].mtime_ns != mtime_ns
    }
    if not expected:
        return known
    with ThreadPoolExecutor() as pool:
        received = dict(
            zip(expected, pool.map(sound_checks.checksum, [recordings / file for file in expected]), strict=True)
        )
    times = {file: listed[file].mtime_ns for file in expected if received[file] == expected[file]}
    return dataclasses.replace(
        known,
        entries=tuple(
            dataclasses.replace(entry, clip=_at_time(entry.clip, times.get(entry.clip.file))) for entry in known.entries
        ),
        skipped=tuple(_at_time(clip, times.get(clip.file)) for clip in known.skipped),
    )


def as_listed(known: Manifest, clips: Sequence[Clip], recordings: Path) -> Manifest:
    """The manifest with its clips as they are listed now, where the recordings have not changed.

    Modification times, labels, groups and machine types are those of the listing: a cache may be older than the
    settings that they follow from.

    Args:
      known: The manifest of a cache.
      clips: The current clips.
      recordings: Directory that `Clip.file` is relative to.
    """
    current = with_current_times(known, clips, recordings)
    listed = {clip.stamp: clip for clip in clips}
    return dataclasses.replace(
        current,
        entries=tuple(
            dataclasses.replace(entry, clip=listed.get(entry.clip.stamp, entry.clip)) for entry in current.entries
        ),
    )


def save_times(cache: Path, current: Manifest) -> None:
    """Saves a manifest with current clips, if possible, so that the next call need not compare contents."""
    try:
        manifest.save(cache, current)
    except WriteError as error:  # nothing is lost
        logger.debug("%s The recordings' contents will be compared again.", error)


def load_current(directory: Path, clips: Sequence[Clip], fingerprint: str, source: str, recordings: Path) -> Manifest:
    """Loads the manifest of a cache that is complete, intact, and holds exactly these clips with these features.

    Args:
      directory: The cache directory.
      clips: The clips that it should hold.
      fingerprint: Fingerprint of the feature settings.
      source: Directory of the recordings, as configured.
      recordings: Directory that `Clip.file` is relative to.

    Returns:
      The manifest, with its clips as in `clips`.

    Raises:
      DataError: If the cache is not so. The message says why; the caller appends what to do.
    """
    current = manifest.load(directory)
    if current.fingerprint != fingerprint:
        raise DataError(f"The cache in {directory} was made with other feature settings.")
    if current.source != source:
        raise DataError(f"The cache in {directory} is of recordings in {current.source}, not in {source}.")
    if not current.is_complete:
        raise DataError(f"The cache in {directory} is not finished.")
    current = as_listed(current, clips, recordings)
    known = {entry.clip for entry in current.entries}
    left_out = {clip.stamp for clip in current.skipped}
    expected = {clip for clip in clips if clip.stamp not in left_out}
    if known != expected:
        changed = sorted(clip.file for clip in known ^ expected)
        raise DataError(
            f"The cache in {directory} is stale: {len(set(changed))} clips were added, changed or removed, "
            f"such as {changed[0]}."
        )
    for shard in current.shards:
        fault = manifest.damage(directory, shard)
        if fault:
            raise DataError(f"The cache in {directory} is corrupted: {fault}.")
    return current


def _at_time(known: StampedClip, mtime_ns: int | None) -> StampedClip:
    return known if mtime_ns is None else dataclasses.replace(known, mtime_ns=mtime_ns)
