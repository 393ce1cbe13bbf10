"""Spectra of the clips in a cache: read from its shards, or computed from the recordings if it keeps none.

The one place that tells the two apart (`cache.dtype`); both give the same values, to the last bit, in the same order.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.cache import extraction, records
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry, Manifest
from ganad_tf.cache.sums import RunningStatistics
from ganad_tf.config import Config
from ganad_tf.errors import DataError


@dataclass(frozen=True)
class Stream:
    """Spectra in a tf.data pipeline, group of clips by group.

    Attributes:
      of_group: Function from a group's number to a dataset with an element for each of its clips, a tuple.
      log_mel: Function from the parts of an element to the clip's spectra, `[frames, mels]` float32.
    """

    of_group: Callable[[tf.Tensor], tf.data.Dataset]
    log_mel: Callable[..., tf.Tensor]


@dataclass(frozen=True)
class KeptSpectra:
    """Spectra that are read from the shards of a cache.

    Attributes:
      path: The cache directory.
      dtype: That of the values in the shards.
    """

    path: Path
    dtype: str = "float32"

    def read(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, np.ndarray]]:
        """The spectra of `entries`, `[frames, mels]` float32 in dB each, in the order of the shards.

        Raises:
          DataError: If a shard is damaged.
        """
        return records.read(self.path, entries)

    def sums(self, cached: Manifest, kept: Sequence[Entry]) -> RunningStatistics:  # noqa: ARG002
        """Sums of the spectra of `kept`, some of the cached clips; raises as `read`."""
        return _sums(self.read(kept))

    def stream(self, groups: Sequence[Sequence[Entry]], n_mels: int) -> Stream:
        """Stream of the spectra of `groups`, each of one shard in the order of its records."""
        paths = tf.constant([os.fspath(self.path / group[0].shard) for group in groups])
        indices = tf.ragged.constant([[entry.index for entry in group] for group in groups], tf.int64)
        prefixes = tf.ragged.constant(
            [[records.record_prefix(entry, n_mels, self.dtype) for entry in group] for group in groups]
        )
        frames = tf.ragged.constant([[entry.frames for entry in group] for group in groups])

        @tf.autograph.experimental.do_not_convert
        def of_group(number: tf.Tensor) -> tf.data.Dataset:
            numbered = tf.data.TFRecordDataset(paths[number]).enumerate()
            used = numbered.filter(lambda index, _: tf.reduce_any(index == indices[number])).map(
                lambda _, record: record
            )
            facts = (tf.data.Dataset.from_tensor_slices(of[number]) for of in (prefixes, frames))
            return tf.data.Dataset.zip(used, *facts)

        def log_mel(record: tf.Tensor, prefix: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
            return records.parse_spectra(record, prefix, frames, n_mels, self.dtype)

        return Stream(of_group, log_mel)

    def raise_fault(self) -> None:
        """Does nothing: damage to shards shows in their checksums."""


class ComputedSpectra:
    """Spectra that are computed from the recordings each time.

    Args:
      path: The cache directory, which has their sums.
      config: Settings of audio and features.
      directory: Directory that `Clip.file` is relative to.
    """

    def __init__(self, path: Path, config: Config, directory: Path) -> None:
        self.path, self._config, self._directory = path, config, directory
        self._fault: DataError | None = None

    def read(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, np.ndarray]]:
        """As `KeptSpectra.read`.

        Raises:
          DataError: If a recording has changed or can't be read, or memory runs out.
        """
        ordered = [entry for group in records.by_shard(entries).values() for entry in group]
        clips = [entry.clip for entry in ordered]
        computed = extraction.log_mels_again(self._config, clips, self._directory)
        for entry, (clip, log_mel) in zip(ordered, computed, strict=True):
            if len(log_mel) != entry.frames:
                raise DataError(f"{clip.file}: expected {entry.frames} spectra as before. Received: {len(log_mel)}.")
            yield entry, log_mel

    def sums(self, cached: Manifest, kept: Sequence[Entry]) -> RunningStatistics:
        """As `KeptSpectra.sums`: as the shards have them, if all their clips are kept.

        Raises:
          DataError: If a shard is damaged, or as `read`.
        """
        of_shards, before = records.by_shard(kept), records.by_shard(cached.entries)
        whole = {shard for shard, group in of_shards.items() if len(group) == len(before[shard])}
        sums = _sums(self.read([entry for entry in kept if entry.shard not in whole]))
        for shard in whole:
            sums.merge(RunningStatistics.load(self.path / shard))
        return sums

    def stream(self, groups: Sequence[Sequence[Entry]], n_mels: int) -> Stream:
        """As `KeptSpectra.stream`; after an error in the pipeline, `raise_fault` says what it was."""
        clips = [entry.clip for group in groups for entry in group]
        edges = tf.constant(np.cumsum([0, *map(len, groups)]), tf.int64)
        are_long = [extraction.may_be_long(clip, self._directory, self._config) for clip in clips]
        reader = extraction.Reader(self._config, self._directory)
        computation = extraction.Computation.of(self._config)

        def waveform(number: np.ndarray) -> np.ndarray:
            with self._kept_fault():
                return reader.read(clips[int(number)])

        def log_mel_of_long(number: np.ndarray) -> np.ndarray:
            with self._kept_fault():
                return extraction.log_mel_of_long(computation, reader, clips[int(number)])

        @tf.autograph.experimental.do_not_convert
        def of_group(number: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.range(edges[number], edges[number + 1]).map(lambda number: (number,))

        def log_mel(number: tf.Tensor) -> tf.Tensor:
            def of_short() -> tf.Tensor:
                return computation.of_waveform(tf.ensure_shape(_called(waveform, number), [None]))[0]

            if not any(are_long):
                return tf.ensure_shape(of_short(), [None, n_mels])
            is_long = tf.gather(tf.constant(are_long), number)
            return tf.ensure_shape(tf.cond(is_long, lambda: _called(log_mel_of_long, number), of_short), [None, n_mels])

        return Stream(of_group, log_mel)

    @contextmanager
    def _kept_fault(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            self._fault = error
            raise

    def raise_fault(self) -> None:
        """Raises the error of reading a recording that ended a pipeline, if there was one.

        Raises:
          DataError: If so.
        """
        if self._fault:
            raise self._fault


Spectra = KeptSpectra | ComputedSpectra


def of(cache: Cache) -> Spectra:
    """The spectra of a cache's clips."""
    config = cache.run.config
    if config.cache.dtype == "none":
        return ComputedSpectra(cache.path, config, cache.run.listing.directory)
    return KeptSpectra(cache.path, config.cache.dtype)


def read(cache: Cache, entries: Sequence[Entry]) -> Iterator[tuple[Entry, np.ndarray]]:
    """The spectra of `entries` of a cache, `[frames, mels]` float32 in dB each, in the order of the shards.

    Raises:
      DataError: If a shard is damaged, or a recording has changed.
    """
    return of(cache).read(entries)


def _sums(read: Iterator[tuple[Entry, np.ndarray]]) -> RunningStatistics:
    sums = RunningStatistics()
    for _, log_mel in read:
        sums.add(log_mel)
    return sums


def _called(function: Callable[[np.ndarray], np.ndarray], number: tf.Tensor) -> tf.Tensor:
    """Values of a Python function; without state, so that calls stay parallel where operations are deterministic."""
    return tf.numpy_function(function, [number], tf.float32, stateful=False)
