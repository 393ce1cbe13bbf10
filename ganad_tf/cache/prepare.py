"""The verb `prepare`: recordings → log-mels in the cache, incrementally.

Only missing clips are read: after a crash, after clips were added, or after a shard was damaged.
"""

import dataclasses
import functools
import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.audio import augment
from ganad_tf.audio.sound_checks import Examination
from ganad_tf.cache import blocks, contents, copies, extraction, manifest, records, spectra
from ganad_tf.cache.blocks import Block
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Manifest, SkippedClip
from ganad_tf.cache.sums import RunningStatistics
from ganad_tf.clips import COPIES, Clip, Progress
from ganad_tf.config import Config
from ganad_tf.errors import DataError
from ganad_tf.files import lock
from ganad_tf.files.throttle import Throttle
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparationResult:
    """Result of `prepare`: numbers of clips read, kept and dropped, and the clips left out as unusable."""

    n_new: int
    n_kept: int
    n_dropped: int
    skipped: tuple[SkippedClip, ...]


def cache_paths(run: MachineRun, split: str) -> tuple[Path, ...]:
    """Directories that `prepare_cache` writes: that of the clips and, of training clips, that of augmented copies."""
    has_copies = split == "train" and run.config.augmentation.waveform.copies > 0
    return (Cache(run, split).path, *([Cache(run, COPIES).path] if has_copies else []))


def prepare_cache(
    run: MachineRun,
    split: str,
    *,
    progress: Progress = lambda items, _: items,
    fresh: bool = False,
    threads: int = extraction.THREADS,
) -> PreparationResult:
    """Brings the cache of one machine type's training or test clips up to date with the recordings.

    With training clips, their augmented copies too, if `augmentation.waveform` says so.

    Args:
      run: The machine type's run.
      split: `train` or `test`.
      progress: Displays the progress.
      fresh: Whether all clips are read again.
      threads: Clips that are processed at the same time; long ones are processed one by one.

    Raises:
      DataError: If clips can't be used, unless `on_bad_clip` is `skip`; names them all. Clips that could be read are
        kept, and the next call goes on from there. Also if another process writes the cache, or memory runs out.
      ConfigError: If the feature settings are not valid.
    """
    with closing(preparing(run, split, fresh=fresh)) as steps:
        while True:
            try:
                missing = next(steps)
            except StopIteration as end:
                result: PreparationResult = end.value
                return result
            missing.read(progress, threads)


class MissingClips:
    """Clips that a cache lacks; the cache is locked until they are there.

    Attributes:
      block: The clips.
      current: Manifest of the cache, not complete.
      bad: Clips that turned out to be unusable.
      sums: Sums of the cached spectra.
    """

    def __init__(self, block: Block, current: Manifest, sums: RunningStatistics) -> None:
        self.block, self.current, self.sums = block, current, sums
        self.bad: list[SkippedClip] = []

    def read(self, progress: Progress, threads: int) -> None:
        """Reads the clips in this process, shard by shard."""
        path, block, throttle = self.block.cache, self.block, Throttle()
        examinations: dict[str, Examination] = {}
        log_mels = extraction.log_mels(block.config, block.clips, block.directory, examinations, threads)
        shown = progress(log_mels, len(block.clips))
        for good in blocks.shards(iter(shown), self.bad, examinations):
            appended = records.append(path, self.current, good, self.sums, block.config.cache.dtype)
            self.current = contents.with_contents(appended, len(good), examinations)
            throttle(functools.partial(manifest.save, path, self.current))

    def take_over(self, finished: Sequence[Block]) -> None:
        """Takes the clips from blocks, all of them and in their order, that other processes have finished.

        Raises:
          DataError: If a block is damaged.
        """
        for block in finished:
            self.current = blocks.take_over(block, self.current, self.bad, self.sums)
        manifest.save(self.block.cache, self.current)
        blocks.remove(self.block.cache)


def preparing(run: MachineRun, split: str, *, fresh: bool = False) -> Generator[MissingClips, None, PreparationResult]:
    """Brings a cache up to date as `prepare_cache`; yields what has to be read by the caller, once or more often.

    The caller closes the generator. What has been read until then is kept.
    """
    cache = Cache(run, split)
    if run.config.dataset.name == "imported":  # can't be recomputed, so it is only checked
        current = cache.current()
        return PreparationResult(0, len(current.entries), 0, current.skipped)
    with lock.exclusive(cache.path):
        result = yield from _bringing_up_to_date(cache, fresh=fresh)
    copied = copies.run_of_copies(run, cache.load().entries) if split == "train" else None
    if copied:
        if run.config.augmentation.waveform.background:
            augment.background_files(run.config.augmentation.waveform.background)  # before the first copy
        of_copies = Cache(copied, COPIES)
        with lock.exclusive(of_copies.path):
            yield from _bringing_up_to_date(of_copies, fresh=fresh)
    return result


def _bringing_up_to_date(cache: Cache, *, fresh: bool) -> Generator[MissingClips, None, PreparationResult]:
    run, split, path = cache.run, cache.split, cache.path
    config, listing = run.config, run.listing
    clips = listing.clips_of(split)
    if fresh:
        blocks.remove(path)  # of an earlier command
    empty = Manifest(cache.fingerprint, cache.settings, cache.source)
    reusable = empty if fresh else _reusable(cache, empty)
    before = contents.as_listed(reusable, clips, listing.directory)
    kept, todo, skipped = _compare(before, clips, config)
    n_dropped = len(before.entries) - len(kept)
    if (
        before.is_complete
        and not todo
        and not n_dropped
        and (skipped, listing.foreign) == (before.skipped, before.foreign)
    ):
        if before != reusable:
            contents.save_times(path, before)
        return PreparationResult(0, len(kept), 0, skipped)

    current = dataclasses.replace(
        before, is_complete=False, entries=kept, skipped=skipped, foreign=listing.foreign, statistics=None
    )
    manifest.save(path, current)
    sums = spectra.of(cache).sums(before, kept)
    block = Block(path, cache.fingerprint, cache.source, config, listing.directory, tuple(todo))
    missing = MissingClips(block, current, sums)
    try:
        yield missing
    finally:
        manifest.save(path, missing.current)
    bad = missing.bad
    if bad and config.on_bad_clip == "error":
        raise DataError(_name_all(bad, len(clips)))
    if not missing.current.entries:
        raise DataError(
            f"None of the {len(clips)} {split} clips of {run.machine} can be used:\n  "
            + "\n  ".join(c.reason for c in bad)
        )
    for clip in bad:
        logger.warning("left out: %s", clip.reason)
    records.finish(path, dataclasses.replace(missing.current, skipped=(*skipped, *bad)), sums)
    blocks.remove(path)  # of an earlier command
    return PreparationResult(len(todo) - len(bad), len(kept), n_dropped, (*skipped, *bad))


def _reusable(cache: Cache, empty: Manifest) -> Manifest:
    """The manifest of the clips in the cache that can be kept; `empty` if there are none."""
    if not cache.exists():
        return empty
    try:
        cached = cache.load(with_damage=True)
    except DataError as error:
        logger.warning("%s All clips are read again.", error)
        return empty
    if (cached.fingerprint, cached.source) != (empty.fingerprint, empty.source):
        logger.info("%s: other feature settings or another folder, all clips are read again", cache.path)
        return empty
    sound = []
    for shard in cached.shards:
        fault = manifest.damage(cache.path, shard)
        if fault:
            logger.warning("%s: %s, its clips are read again", cache.path, fault)
        else:
            sound.append(shard)
    names = {shard.file for shard in sound}
    entries = tuple(entry for entry in cached.entries if entry.shard in names)
    is_complete = cached.is_complete and len(sound) == len(cached.shards)
    return dataclasses.replace(cached, is_complete=is_complete, entries=entries, shards=tuple(sound))


def _compare(
    before: Manifest, clips: Sequence[Clip], config: Config
) -> tuple[tuple, list[Clip], tuple[SkippedClip, ...]]:
    """Entries to keep, clips to read, and clips known to be unusable."""
    wanted = set(clips)
    kept = tuple(entry for entry in before.entries if entry.clip in wanted)
    known = {entry.clip for entry in kept}
    todo = [clip for clip in clips if clip not in known]
    if config.on_bad_clip == "error":
        return kept, todo, ()
    stamps = {clip.stamp for clip in todo}
    skipped = tuple(clip for clip in before.skipped if clip.stamp in stamps)
    unusable = {clip.stamp for clip in skipped}
    return kept, [clip for clip in todo if clip.stamp not in unusable], skipped


def _name_all(bad: Sequence[SkippedClip], n_clips: int) -> str:
    reasons = "\n  ".join(clip.reason for clip in bad)
    return f"{len(bad)} of {n_clips} clips can't be used; fix or remove them, or set `on_bad_clip: skip`:\n  {reasons}"
