"""The verb `prepare`: recordings → log-mels in the cache. Reads what is new, keeps what is not.

What is done is never done again: after a crash, after adding clips, after a shard was damaged, only
the missing clips are read.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganad_tf.audio.sound_checks import Examined
from ganad_tf.cache import contents, extraction, manifest, records
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.extraction import LogMels
from ganad_tf.cache.manifest import Manifest, Skipped
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.errors import DataError
from ganad_tf.files import lock
from ganad_tf.files.throttle import Sparingly
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)

CLIPS_PER_SHARD = 64
SHARD_BYTES = 2**25  # of log-mels, beyond which a shard takes no more clips: those of 3.5 minutes each have 64

Progress = Callable[[Iterable, int], Iterable]  # wraps an iterable of known length, as tqdm does


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did, in clips: newly read, kept from before, dropped, and left out as unusable."""

    n_new: int
    n_kept: int
    n_dropped: int
    skipped: tuple[Skipped, ...]


def prepare_cache(
    run: MachineRun,
    split: str,
    *,
    progress: Progress = lambda items, _: items,
    fresh: bool = False,
    threads: int = extraction.THREADS,
) -> Prepared:
    """Brings the cache of one machine type's training or test clips up to date with the recordings.

    Args:
      run: The machine type's run.
      split: `train` or `test`.
      progress: Shows how far it is.
      fresh: Whether to read every clip again.
      threads: Clips that are worked on at the same time; long ones take turns, whatever their number.

    Raises:
      DataError: Names every clip that can't be used, unless `on_bad_clip` is `skip`. What could be
        read is kept, so that the next call goes on from there. If another process is at it, or memory is short.
      ConfigError: If no spectrum can be computed with these feature settings.
    """
    cache = Cache(run, split)
    if run.config.dataset.name == "imported":  # can't be made again: it is right as it is, or nothing is touched
        current = cache.current()
        return Prepared(0, len(current.entries), 0, current.skipped)
    with lock.alone_at(cache.path):
        return _bring_up_to_date(cache, progress, fresh=fresh, threads=threads)


def _bring_up_to_date(cache: Cache, progress: Progress, *, fresh: bool, threads: int) -> Prepared:
    run, split, path = cache.run, cache.split, cache.path
    config, listing = run.config, run.listing
    clips = listing.clips_of(split)
    empty = Manifest(config.feature_fingerprint(), config.feature_settings(), cache.source)
    found = empty if fresh else _reusable(cache, empty)
    before = contents.recognised(found, clips, listing.directory)
    kept, todo, skipped = _compare(before, clips, config)
    n_dropped = len(before.entries) - len(kept)
    if (
        before.is_complete
        and not todo
        and not n_dropped
        and (skipped, listing.foreign) == (before.skipped, before.foreign)
    ):
        if before != found:
            contents.note_times(path, before)
        return Prepared(0, len(kept), 0, skipped)

    current = dataclasses.replace(
        before, is_complete=False, entries=kept, skipped=skipped, foreign=listing.foreign, statistics=None
    )
    manifest.save(path, current)
    sums = records.Sums()
    for _, log_mel in records.read(path, kept):
        sums.add(log_mel)
    bad: list[Skipped] = []
    looked_at: dict[str, Examined] = {}
    sparingly = Sparingly()
    log_mels = progress(extraction.log_mels(config, todo, listing.directory, looked_at, threads), len(todo))
    try:
        for good in _shards(iter(log_mels), bad, looked_at):
            current = contents.with_contents(records.append(path, current, good, sums), len(good), looked_at)
            sparingly(functools.partial(manifest.save, path, current))
    finally:
        manifest.save(path, current)
    if bad and config.on_bad_clip == "error":
        raise DataError(_name_all(bad, len(clips)))
    if not current.entries:
        raise DataError(
            f"None of the {len(clips)} {split} clips of {run.machine} can be used:\n  "
            + "\n  ".join(c.reason for c in bad)
        )
    for clip in bad:
        logger.warning("left out: %s", clip.reason)
    records.finish(path, dataclasses.replace(current, skipped=(*skipped, *bad)), sums)
    return Prepared(len(todo) - len(bad), len(kept), n_dropped, (*skipped, *bad))


def _reusable(cache: Cache, empty: Manifest) -> Manifest:
    """What is in the cache and can stay: all, some, or nothing of it."""
    if not cache.exists():
        return empty
    try:
        found = cache.load()
    except DataError as error:
        logger.warning("%s All clips are read again.", error)
        return empty
    if (found.fingerprint, found.source) != (empty.fingerprint, empty.source):
        logger.info("%s: other feature settings or another folder, all clips are read again", cache.path)
        return empty
    sound = []
    for shard in found.shards:
        fault = manifest.damage(cache.path, shard)
        if fault:
            logger.warning("%s: %s, its clips are read again", cache.path, fault)
        else:
            sound.append(shard)
    names = {shard.file for shard in sound}
    entries = tuple(entry for entry in found.entries if entry.shard in names)
    is_complete = found.is_complete and len(sound) == len(found.shards)
    return dataclasses.replace(found, is_complete=is_complete, entries=entries, shards=tuple(sound))


def _compare(before: Manifest, clips: Sequence[Clip], config: Config) -> tuple[tuple, list[Clip], tuple[Skipped, ...]]:
    """Entries that stay, clips that are to be read, and clips known to be unusable."""
    wanted = set(clips)
    kept = tuple(entry for entry in before.entries if entry.clip in wanted)
    known = {entry.clip for entry in kept}
    todo = [clip for clip in clips if clip not in known]
    if config.on_bad_clip == "error":
        return kept, todo, ()
    stamps = {clip.stamp for clip in todo}
    skipped = tuple(clip for clip in before.skipped if clip.stamp in stamps)
    unusable = {clip.file for clip in skipped}
    return kept, [clip for clip in todo if clip.file not in unusable], skipped


def _shards(
    log_mels: LogMels, bad: list[Skipped], looked_at: Mapping[str, Examined]
) -> Iterator[list[tuple[Clip, np.ndarray]]]:
    """Groups the usable log-mels by shard; adds the others to `bad`."""
    good: list[tuple[Clip, np.ndarray]] = []
    n_clips = n_bytes = 0
    for clip, log_mel in log_mels:
        n_clips += 1
        if isinstance(log_mel, DataError):
            sha256 = looked_at[clip.file].sha256
            bad.append(Skipped(clip.file, clip.size, clip.mtime_ns, str(log_mel), sha256))
        else:
            good.append((clip, log_mel))
            n_bytes += log_mel.nbytes
        if n_clips == CLIPS_PER_SHARD or n_bytes >= SHARD_BYTES:
            if good:
                yield good
            good, n_clips, n_bytes = [], 0, 0
    if good:
        yield good


def _name_all(bad: Sequence[Skipped], n_clips: int) -> str:
    reasons = "\n  ".join(clip.reason for clip in bad)
    return f"{len(bad)} of {n_clips} clips can't be used; mend or remove them, or set `on_bad_clip: skip`:\n  {reasons}"
