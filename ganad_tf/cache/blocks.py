"""Blocks of clips whose log-mels are computed elsewhere, for a cache that many workers prepare.

A block is a folder below the cache with shards as `prepare` writes them, and what their manifest needs. It appears by
one rename when it is complete. The cache then takes over its shards, in the order of the clips, and adds up sums clip
by clip: the result is, to the last bit, that of one process.
"""

import dataclasses
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.audio.sound_checks import Examination
from ganad_tf.cache import contents, extraction, manifest, records
from ganad_tf.cache.manifest import Manifest, SkippedClip
from ganad_tf.cache.sums import RunningStatistics
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.errors import DataError, WriteError
from ganad_tf.files import atomic, checksummed

logger = logging.getLogger(__name__)

FOLDER = ".blocks"  # below the cache
SUMS = "sums.json"
CLIPS_PER_SHARD = 64
SHARD_BYTES = 2**25  # of log-mels, from which a shard is full, such as 64 clips of 33 s
CLIPS_PER_BLOCK = 4 * CLIPS_PER_SHARD


@dataclass(frozen=True)
class Block:
    """Clips to be processed together.

    Attributes:
      cache: The cache directory.
      fingerprint: That of the cache's feature settings.
      source: That of the cache's manifest.
      config: Settings of audio and features.
      directory: Directory that `Clip.file` is relative to.
      clips: The clips, in the order of `extraction.in_order`.
    """

    cache: Path
    fingerprint: str
    source: str
    config: Config
    directory: Path
    clips: tuple[Clip, ...]

    @property
    def path(self) -> Path:
        """Folder of the block; other clips or settings give another one."""
        stamps = [clip.stamp for clip in self.clips]
        return self.cache / FOLDER / checksummed.fingerprint([self.fingerprint, self.source, stamps])

    def read(self) -> tuple[Manifest, RunningStatistics]:
        """The manifest and the sums of a finished block.

        Raises:
          DataError: If it is damaged, or not finished.
        """
        found = manifest.load(self.path)
        for shard in found.shards:
            path = self.path / shard.file
            if not path.exists() or path.stat().st_size != shard.size:
                raise DataError(f"Expected {path} of {shard.size} bytes.")
        return found, RunningStatistics.load(self.path / SUMS)


def of_clips(block: Block) -> Iterator[Block]:
    """Splits a block of all clips that are to be read into blocks of `CLIPS_PER_BLOCK`."""
    clips = extraction.in_order(block.config, block.clips, block.directory)
    for begin in range(0, len(clips), CLIPS_PER_BLOCK):
        yield dataclasses.replace(block, clips=tuple(clips[begin : begin + CLIPS_PER_BLOCK]))


def process(block: Block, threads: int = extraction.THREADS) -> int:
    """Computes the log-mels of a block, unless that is done.

    Returns:
      Number of its clips.

    Raises:
      WriteError: If the folder can't be written.
      MemoryShortageError: If memory runs out.
    """
    if block.path.exists():
        try:
            block.read()
        except DataError as error:
            logger.debug("%s Its clips are read again.", error)
            shutil.rmtree(block.path, ignore_errors=True)
        else:
            return len(block.clips)
    examinations: dict[str, Examination] = {}
    log_mels = extraction.log_mels(block.config, block.clips, block.directory, examinations, threads)
    write(block, log_mels, examinations)
    return len(block.clips)


def write(block: Block, log_mels: extraction.LogMels, examinations: Mapping[str, Examination]) -> None:
    """Writes the folder of a block.

    Args:
      block: The block.
      log_mels: The log-mels of its clips, in order, or the errors of reading them.
      examinations: Those of its clips so far, by `Clip.key`.

    Raises:
      WriteError: If the folder can't be written.
    """
    bad: list[SkippedClip] = []
    sums, current = RunningStatistics(), Manifest(block.fingerprint, {}, block.source)
    with atomic.temporary_directory(block.path) as temporary:
        for good in shards(log_mels, bad, examinations):
            current = records.append(temporary, current, good, sums, block.config.cache.dtype)
            current = contents.with_contents(current, len(good), examinations)
        sums.save(temporary / SUMS)
        manifest.save(temporary, dataclasses.replace(current, skipped=tuple(bad), is_complete=True))
        if not (block.path / manifest.FILE).exists():  # a worker that was believed to be lost may have been faster
            temporary.rename(block.path)


def take_over(block: Block, current: Manifest, bad: list[SkippedClip], sums: RunningStatistics) -> Manifest:
    """Moves the shards of a finished block into its cache.

    Args:
      block: The block.
      current: Manifest of the cache.
      bad: Receives the block's unusable clips.
      sums: Receives the sums of its clips.

    Returns:
      The manifest with the block's clips, for the caller to save.

    Raises:
      DataError: If the block is damaged.
      WriteError: If a shard can't be moved.
    """
    found, of_block = block.read()
    names: dict[str, str] = {}
    for shard in found.shards:
        name = records.free_name(current, Path(shard.file).suffix)
        try:
            (block.path / shard.file).rename(block.cache / name)
        except OSError as error:
            raise WriteError(f"Can't write {block.cache / name}: {error.strerror or error}.") from error
        names[shard.file] = name
        current = dataclasses.replace(current, shards=(*current.shards, dataclasses.replace(shard, file=name)))
    entries = (dataclasses.replace(entry, shard=names[entry.shard]) for entry in found.entries)
    sums.merge(of_block)
    bad.extend(found.skipped)
    return dataclasses.replace(current, entries=(*current.entries, *entries))


def remove(cache: Path) -> None:
    """Removes all blocks of a cache."""
    shutil.rmtree(cache / FOLDER, ignore_errors=True)


def shards(
    log_mels: extraction.LogMels, bad: list[SkippedClip], examinations: Mapping[str, Examination]
) -> Iterator[list[tuple[Clip, np.ndarray]]]:
    """Groups usable log-mels into shards, and ends one at the end of each block; adds unusable clips to `bad`."""
    good: list[tuple[Clip, np.ndarray]] = []
    n_clips = n_bytes = 0
    for position, (clip, log_mel) in enumerate(log_mels, start=1):
        n_clips += 1
        if isinstance(log_mel, DataError):
            sha256 = examinations[clip.key].sha256
            part = (clip.channel, clip.span, clip.copy)
            bad.append(SkippedClip(clip.file, clip.size, clip.mtime_ns, str(log_mel), sha256, *part))
        else:
            good.append((clip, log_mel))
            n_bytes += log_mel.nbytes
        if n_clips == CLIPS_PER_SHARD or n_bytes >= SHARD_BYTES or position % CLIPS_PER_BLOCK == 0:
            if good:
                yield good
            good, n_clips, n_bytes = [], 0, 0
    if good:
        yield good
