"""The verb `prepare`: recordings → log-mels in the cache. Reads what is new, keeps what is not.

What is done is never done again: after a crash, after adding clips, after a shard was damaged, only
the missing clips are read.
"""

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import audio, lengths, locks, manifest, memory, records
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError, MemoryShortageError
from ganad_tf.features import LogMel, fewest_samples, log_mel_of
from ganad_tf.interrupted import Sparingly
from ganad_tf.manifest import Manifest, Skipped

logger = logging.getLogger(__name__)

CLIPS_PER_SHARD = 64
SHARD_BYTES = 2**25  # of log-mels, beyond which a shard takes no more clips: those of 3.5 minutes each have 64
THREADS = (os.cpu_count() or 1) + 1  # one may wait for its file
AHEAD = 64  # clips that are made ready while a shard is written
LONG = 2**21  # samples of all channels together, 8 MB in float32: as many threads as there are may have one

LogMels = Iterator[tuple[Clip, np.ndarray | DataError]]
Progress = Callable[[Iterable, int], Iterable]  # wraps an iterable of known length, as tqdm does


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did, in clips: newly read, kept from before, dropped, and left out as unusable."""

    n_new: int
    n_kept: int
    n_dropped: int
    skipped: tuple[Skipped, ...]


def prepare(
    config: Config,
    listing: Listing,
    mode: Mode,
    split: str,
    *,
    progress: Progress = lambda items, _: items,
    fresh: bool = False,
    threads: int = THREADS,
) -> Prepared:
    """Brings the cache of one machine type's training or test clips up to date with the recordings.

    Args:
      config: Audio and feature settings, the cache directory, and `on_bad_clip`.
      listing: The machine type's clips.
      mode: `dev` or `eval`.
      split: `train` or `test`.
      progress: Shows how far it is.
      fresh: Whether to read every clip again.
      threads: Clips that are worked on at the same time; long ones take turns, whatever their number.

    Raises:
      DataError: Names every clip that can't be used, unless `on_bad_clip` is `skip`. What could be
        read is kept, so that the next call goes on from there. If another process is at it, or memory is short.
      ConfigError: If no spectrum can be computed with these feature settings.
    """
    cache = config.cache_path(mode, listing.machine, split)
    if config.dataset.name == "imported":  # can't be made again: it is right as it is, or nothing is touched
        found = current_cache(config, listing, mode, split)
        return Prepared(0, len(found.entries), 0, found.skipped)
    with locks.alone_at(cache):
        return _bring_up_to_date(config, listing, mode, split, progress, fresh=fresh, threads=threads)


def _bring_up_to_date(
    config: Config, listing: Listing, mode: Mode, split: str, progress: Progress, *, fresh: bool, threads: int
) -> Prepared:
    cache, clips = config.cache_path(mode, listing.machine, split), listing.of(split)
    empty = Manifest(config.feature_fingerprint(), config.feature_settings(), _source(config, mode))
    before = empty if fresh else _reusable(cache, empty)
    kept, todo, skipped = _compare(before, clips, config)
    n_dropped = len(before.entries) - len(kept)
    if (
        before.is_complete
        and not todo
        and not n_dropped
        and (skipped, listing.foreign) == (before.skipped, before.foreign)
    ):
        return Prepared(0, len(kept), 0, skipped)

    current = dataclasses.replace(
        before, is_complete=False, entries=kept, skipped=skipped, foreign=listing.foreign, statistics=None
    )
    manifest.save(cache, current)
    sums = records.Sums()
    for _, log_mel in records.read(cache, kept):
        sums.add(log_mel)
    bad: list[Skipped] = []
    sparingly = Sparingly()
    log_mels = progress(_log_mels(config, todo, listing.directory, threads), len(todo))
    try:
        for good in _shards(iter(log_mels), bad):
            current = records.append(cache, current, good, sums)
            sparingly(functools.partial(manifest.save, cache, current))
    finally:
        manifest.save(cache, current)
    if bad and config.on_bad_clip == "error":
        raise DataError(_name_all(bad, len(clips)))
    if not current.entries:
        raise DataError(
            f"None of the {len(clips)} {split} clips of {listing.machine} can be used:\n  "
            + "\n  ".join(c.reason for c in bad)
        )
    for clip in bad:
        logger.warning("left out: %s", clip.reason)
    records.finish(cache, dataclasses.replace(current, skipped=(*skipped, *bad)), sums)
    return Prepared(len(todo) - len(bad), len(kept), n_dropped, (*skipped, *bad))


def current_cache(config: Config, listing: Listing, mode: Mode, split: str) -> Manifest:
    """The manifest of a cache that is up to date with the recordings.

    Raises:
      DataError: If it is missing, stale, unfinished or corrupted, or lacks clips that may not be left
        out; with the command that mends it.
    """
    cache = config.cache_path(mode, listing.machine, split)
    mend = "Import the log-mels again with these settings." if config.dataset.name == "imported" else records.MEND
    try:
        found = manifest.load_current(cache, listing.of(split), config.feature_fingerprint(), _source(config, mode))
        if found.skipped and config.on_bad_clip == "error":
            raise DataError(f"The cache in {cache} leaves out {len(found.skipped)} clips that can't be used.")
    except DataError as error:
        raise DataError(f"{error} {mend}") from error
    return found


def _source(config: Config, mode: Mode) -> str:
    """The recordings' folder as the configuration has it, so that a project may be moved as a whole."""
    return "" if config.dataset.name == "imported" else config.data_directory(mode).as_posix()


def _reusable(cache: Path, empty: Manifest) -> Manifest:
    """What is in the cache and can stay: all, some, or nothing of it."""
    if not (cache / manifest.FILE).exists():
        return empty
    try:
        found = manifest.load(cache)
    except DataError as error:
        logger.warning("%s All clips are read again.", error)
        return empty
    if (found.fingerprint, found.source) != (empty.fingerprint, empty.source):
        logger.info("%s: other feature settings or another folder, all clips are read again", cache)
        return empty
    sound = []
    for shard in found.shards:
        fault = manifest.damage(cache, shard)
        if fault:
            logger.warning("%s: %s, its clips are read again", cache, fault)
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
    stamps = {(clip.file, clip.size, clip.mtime_ns) for clip in todo}
    skipped = tuple(clip for clip in before.skipped if (clip.file, clip.size, clip.mtime_ns) in stamps)
    unusable = {clip.file for clip in skipped}
    return kept, [clip for clip in todo if clip.file not in unusable], skipped


def _log_mels(config: Config, clips: Sequence[Clip], directory: Path, threads: int) -> LogMels:
    """Each clip's `[frames, mels]` float32 in dB, or what is wrong with its file.

    On all cores, in order; long clips come last and one by one, so that memory does not grow with the cores.
    """
    long = {clip for clip in clips if lengths.may_be_long(directory / clip.file, clip.size, LONG)}
    layer = log_mel_of(config.audio, config.feature)
    yield from _in_parallel(layer, config, [clip for clip in clips if clip not in long], directory, threads)
    yield from _one_by_one(layer, config, [clip for clip in clips if clip in long], directory)


def _one_by_one(layer: LogMel, config: Config, clips: Sequence[Clip], directory: Path) -> LogMels:
    """The same of clips so long that one at a time is in memory."""
    log_mel = tf.function(layer.in_pieces, input_signature=[tf.TensorSpec([None], tf.float32)])
    for clip in clips:
        path = directory / clip.file
        try:
            with memory.enough_for(path):
                values = log_mel(memory.tensor_of(_read(path, config))).numpy()
        except MemoryShortageError:  # no fault of the clip's
            raise
        except DataError as error:
            yield clip, error
        else:
            yield clip, _finite(values, path)


def _in_parallel(layer: LogMel, config: Config, clips: Sequence[Clip], directory: Path, threads: int) -> LogMels:
    """The same of clips of which each thread has one."""
    if not clips:
        return
    fewest = fewest_samples(config.feature)
    faults: dict[int, DataError] = {}

    def read(number: np.ndarray) -> np.ndarray:
        try:
            return _read(directory / clips[int(number)].file, config)
        except DataError as error:
            faults[int(number)] = error
            return np.zeros(fewest, np.float32)  # any will do: it is not used

    def log_mel(number: tf.Tensor) -> tf.Tensor:
        return layer.in_pieces(tf.ensure_shape(tf.numpy_function(read, [number], tf.float32), [None]))

    options = tf.data.Options()
    options.autotune.enabled = False  # nothing is left to choose, and its thread takes its time to end
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1  # threads that share one clip's work wait for each other
    dataset = tf.data.Dataset.range(len(clips)).map(log_mel, num_parallel_calls=threads, deterministic=True)
    log_mels = dataset.prefetch(AHEAD).with_options(options).as_numpy_iterator()
    for number, clip in enumerate(clips):
        path = directory / clip.file
        with memory.enough_for(path):
            values = next(log_mels)
        yield clip, faults.pop(number) if number in faults else _finite(values, path)


def _read(path: Path, config: Config) -> np.ndarray:
    """A recording's samples; enough of them."""
    return audio.read(path, config.audio, fewest_samples=fewest_samples(config.feature))


def _finite(values: np.ndarray, path: Path) -> np.ndarray | DataError:
    if np.isfinite(values).all():
        return values
    return DataError(f"{path}: expected samples whose spectrum is finite; it is not.")


def _shards(log_mels: LogMels, bad: list[Skipped]) -> Iterator[list[tuple[Clip, np.ndarray]]]:
    """Groups the usable log-mels by shard; adds the others to `bad`."""
    good: list[tuple[Clip, np.ndarray]] = []
    n_clips = n_bytes = 0
    for clip, log_mel in log_mels:
        n_clips += 1
        if isinstance(log_mel, DataError):
            bad.append(Skipped(clip.file, clip.size, clip.mtime_ns, str(log_mel)))
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
