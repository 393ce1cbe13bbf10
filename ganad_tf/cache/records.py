"""Shards of per-clip log-mels, TFRecord files, or of the sums of log-mels alone: writing and reading.

A shard is written under a temporary name, renamed when complete, and only then entered in the manifest;
`is_complete` is set last. So whenever the process dies, the cache is either valid or refused.
"""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from ganad_tf.cache import manifest
from ganad_tf.cache.manifest import Entry, Manifest, Shard
from ganad_tf.cache.sums import RunningStatistics
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError
from ganad_tf.files import atomic, tensorflow_errors

VALUES = {"float32": "log_mel", "float16": "log_mel_float16"}  # name of a record's values, by their type
LOG_MELS, SUMS = ".tfrecord", ".sums"  # endings of shards that hold log-mels, and of those that hold sums alone


def append(
    cache: Path,
    current: Manifest,
    log_mels: Sequence[tuple[Clip, np.ndarray]],
    sums: RunningStatistics,
    dtype: str = "float32",
) -> Manifest:
    """Writes one shard of log-mels, `[frames, mels]` float32 in dB each.

    Args:
      cache: The cache directory.
      current: Its manifest.
      log_mels: The clips with their log-mels.
      sums: Receives the log-mels as they are kept.
      dtype: `float32`; `float16`, to which the values are rounded; or `none`, to keep their sums alone.

    Returns:
      The manifest with the new entries, for the caller to save.
    """
    name, of_shard = free_name(current, SUMS if dtype == "none" else LOG_MELS), RunningStatistics()
    with atomic.replacing(cache / name) as temporary:
        if dtype == "none":
            _write_sums(temporary, log_mels, of_shard)
        else:
            _write_log_mels(temporary, log_mels, of_shard, dtype)
        with temporary.open("rb") as stream:
            shard = Shard(name, temporary.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
    sums.merge(of_shard)
    entries = (Entry(clip, name, index, len(log_mel)) for index, (clip, log_mel) in enumerate(log_mels))
    return dataclasses.replace(current, entries=(*current.entries, *entries), shards=(*current.shards, shard))


def _write_log_mels(
    path: Path, log_mels: Sequence[tuple[Clip, np.ndarray]], sums: RunningStatistics, dtype: str
) -> None:
    with tensorflow_errors.as_oserror(), tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for clip, log_mel in log_mels:
            kept = log_mel.astype(dtype, copy=False)
            writer.write(_serialise(clip, kept))
            sums.add(kept)


def _write_sums(path: Path, log_mels: Sequence[tuple[Clip, np.ndarray]], sums: RunningStatistics) -> None:
    for _, log_mel in log_mels:
        sums.add(log_mel)
    sums.save(path)


def free_name(current: Manifest, ending: str) -> str:
    """File name of the next shard."""
    taken = {shard.file for shard in current.shards}
    numbered = (f"{current.fingerprint}-{number:05d}{ending}" for number in itertools.count())
    return next(name for name in numbered if name not in taken)


def finish(cache: Path, current: Manifest, sums: RunningStatistics) -> Manifest:
    """Saves the manifest as complete, with its statistics, and deletes unused shards."""
    used = {entry.shard for entry in current.entries}
    complete = dataclasses.replace(
        current,
        is_complete=True,
        entries=tuple(sorted(current.entries, key=_position)),
        shards=tuple(shard for shard in current.shards if shard.file in used),
        statistics=sums.statistics(),
    )
    manifest.save(cache, complete)
    for path in (*cache.glob(f"*{LOG_MELS}"), *cache.glob(f"*{SUMS}"), *cache.glob(".*.tmp")):
        if path.name not in used:
            path.unlink()
    return complete


def read(cache: Path, entries: Sequence[Entry]) -> Iterator[tuple[Entry, np.ndarray]]:
    """Reads the log-mels of `entries`, `[frames, mels]` float32 in dB, in the order of the shards.

    Raises:
      DataError: If a shard is damaged.
    """
    for shard, group in by_shard(entries).items():
        wanted = {entry.index: entry for entry in group}
        try:
            for index, record in enumerate(tf.data.TFRecordDataset(os.fspath(cache / shard)).as_numpy_iterator()):
                if index in wanted:
                    entry = wanted.pop(index)
                    log_mel = _parse(record, entry)
                    del record  # as large as the log-mel
                    yield entry, log_mel
        except (tf.errors.OpError, DecodeError, IndexError, ValueError) as error:
            raise DataError(f"The cache in {cache} is corrupted: {shard} can't be read. {manifest.ADVICE}") from error
        if wanted:
            raise DataError(f"The cache in {cache} is corrupted: {shard} ends too early. {manifest.ADVICE}")


def by_shard(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Groups entries by shard, in the order of its records."""
    return {
        shard: list(group)
        for shard, group in itertools.groupby(sorted(entries, key=_position), key=lambda entry: entry.shard)
    }


def record_prefix(entry: Entry, n_mels: int, dtype: str = "float32") -> bytes:
    """Serialized bytes of a clip's record up to its spectra (file name and length fields)."""
    spectra = np.zeros([entry.frames, n_mels], dtype)
    record = _serialise(entry.clip, spectra)
    return record[: len(record) - spectra.nbytes]


def parse_spectra(
    record: tf.Tensor, prefix: tf.Tensor, frames: tf.Tensor, n_mels: int, dtype: str = "float32"
) -> tf.Tensor:
    """Parses a record in the graph, by comparing its prefix with the expected one.

    TensorFlow's own parser of examples crashes on records with wrong lengths.

    Args:
      record: The record, a string.
      prefix: Its `record_prefix`.
      frames: Number of spectra.
      n_mels: Mel bands of a spectrum.
      dtype: That of the values in the record.

    Returns:
      `[frames, mels]` float32 in dB.
    """
    size = tf.strings.length(prefix)
    is_right = tf.strings.substr(record, 0, size) == prefix
    with tf.control_dependencies([tf.debugging.Assert(is_right, ["the record is not that of the clip"])]):
        values = tf.strings.substr(record, size, tf.strings.length(record) - size)
    return tf.reshape(tf.cast(tf.io.decode_raw(values, dtype), tf.float32), [frames, n_mels])


def _serialise(clip: Clip, log_mel: np.ndarray) -> bytes:
    values = np.ascontiguousarray(log_mel, dtype=log_mel.dtype.newbyteorder("<")).tobytes()
    feature = {
        "file": tf.train.Feature(bytes_list=tf.train.BytesList(value=[clip.key.encode()])),
        VALUES[log_mel.dtype.name]: tf.train.Feature(bytes_list=tf.train.BytesList(value=[values])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)  # fields sorted by name


def _parse(record: bytes, entry: Entry) -> np.ndarray:
    """Log-mel of a record, `[frames, mels]` float32; outside the graph, where a damaged record is an exception."""
    features = tf.train.Example.FromString(record).features.feature
    file = features["file"].bytes_list.value[0].decode()
    if file != entry.clip.key:  # another process has prepared the recordings again
        raise ValueError(f"expected the record of {entry.clip.key}, received that of {file}")
    dtype = next((dtype for dtype, name in VALUES.items() if name in features), "float32")
    values = np.frombuffer(features[VALUES[dtype]].bytes_list.value[0], np.dtype(dtype).newbyteorder("<"))
    return values.astype(np.float32, copy=False).reshape(entry.frames, -1)


def _position(entry: Entry) -> tuple[str, int]:
    return entry.shard, entry.index
