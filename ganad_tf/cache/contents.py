"""The recordings' contents, by which a cache knows them, also in a copy of a project, whose files have other times."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ganad_tf.audio import sound_checks
from ganad_tf.audio.sound_checks import Examined
from ganad_tf.cache import manifest
from ganad_tf.cache.manifest import Manifest, Skipped
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError, WriteError

logger = logging.getLogger(__name__)

Stamped = TypeVar("Stamped", Clip, Skipped)


def with_contents(current: Manifest, n_new: int, looked_at: Mapping[str, Examined]) -> Manifest:
    """The manifest with what is known of the contents of its last `n_new` clips."""
    old, new = current.entries[: len(current.entries) - n_new], current.entries[len(current.entries) - n_new :]
    known = [looked_at[entry.clip.file] for entry in new]
    described = (
        dataclasses.replace(entry, sha256=contents.sha256, remarks=contents.remarks)
        for entry, contents in zip(new, known, strict=True)
    )
    return dataclasses.replace(current, entries=(*old, *described))


def recognised(known: Manifest, clips: Sequence[Clip], recordings: Path) -> Manifest:
    """The manifest with the clips' present times, where a file has another time but the same contents.

    A copy of a project has other times; reading its recordings tells that they are the same. Files without a known
    checksum, and those whose size has changed, stay as the manifest has them.

    Args:
      known: Of a cache.
      clips: What there is now.
      recordings: The folder that `Clip.file` is relative to.
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


def note_times(cache: Path, current: Manifest) -> None:
    """Spares the next call comparing the contents of recordings that have other times, where that can be noted."""
    try:
        manifest.save(cache, current)
    except WriteError as error:  # nothing is lost
        logger.debug("%s The recordings' contents will be compared again.", error)


def load_current(directory: Path, clips: Sequence[Clip], fingerprint: str, source: str, recordings: Path) -> Manifest:
    """The manifest, if the cache is complete, sound, and holds just these clips with these features.

    Args:
      directory: The cache directory.
      clips: What it should hold.
      fingerprint: Of the feature settings.
      source: The folder that the recordings are in, as configured.
      recordings: The folder that `Clip.file` is relative to.

    Returns:
      It, with the clips as they are in `clips`.

    Raises:
      DataError: Otherwise; says what is the matter, to be followed by what to do.
    """
    found = manifest.load(directory)
    if found.fingerprint != fingerprint:
        raise DataError(f"The cache in {directory} was made with other feature settings.")
    if found.source != source:
        raise DataError(f"The cache in {directory} is of recordings in {found.source}, not in {source}.")
    if not found.is_complete:
        raise DataError(f"The cache in {directory} is not finished.")
    found = recognised(found, clips, recordings)
    known = {entry.clip for entry in found.entries}
    left_out = {clip.stamp for clip in found.skipped}
    expected = {clip for clip in clips if clip.stamp not in left_out}
    if known != expected:
        changed = sorted(clip.file for clip in known ^ expected)
        raise DataError(
            f"The cache in {directory} is stale: {len(set(changed))} clips were added, changed or removed, "
            f"such as {changed[0]}."
        )
    for shard in found.shards:
        fault = manifest.damage(directory, shard)
        if fault:
            raise DataError(f"The cache in {directory} is corrupted: {fault}.")
    return found


def _at_time(known: Stamped, mtime_ns: int | None) -> Stamped:
    return known if mtime_ns is None else dataclasses.replace(known, mtime_ns=mtime_ns)
