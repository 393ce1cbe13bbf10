"""The cache: per-clip log-mels in TFRecord shards, with a manifest that says what is in them.

A shard is written beside its name and renamed when complete, and only then entered in the manifest;
`is_complete` is set last. So whenever the process dies, what is there is either loadable and right,
or refused.
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
from ganad_tf.cache.manifest import Entry, Manifest, Shard, Statistics
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError
from ganad_tf.files import atomic, tensorflow_errors

SPECTRA_AT_ONCE = 2**14  # in float64


class Sums:
    """What mean and deviation of each mel band follow from, in one pass and constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.squares = np.zeros(1)

    def add(self, log_mel: np.ndarray) -> None:
        """Adds the spectra of a clip, `[frames, mels]`."""
        for begin in range(0, len(log_mel), SPECTRA_AT_ONCE):
            values = log_mel[begin : begin + SPECTRA_AT_ONCE].astype(np.float64)
            self.count += len(values)
            self.total = self.total + values.sum(axis=0)
            self.squares = self.squares + np.einsum("fm,fm->m", values, values)

    def statistics(self) -> Statistics:
        """Mean and deviation so far."""
        mean = self.total / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0))
        return Statistics(self.count, tuple(map(float, mean)), tuple(map(float, std)))


def append(cache: Path, current: Manifest, log_mels: Sequence[tuple[Clip, np.ndarray]], sums: Sums) -> Manifest:
    """Adds one shard of log-mels, `[frames, mels]` float32 in dB each; the manifest is to be saved by the caller."""
    taken = {shard.file for shard in current.shards}
    numbered = (f"{current.fingerprint}-{number:05d}.tfrecord" for number in itertools.count())
    name = next(name for name in numbered if name not in taken)
    with atomic.replacing(cache / name) as temporary:
        with tensorflow_errors.writing(), tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
            for clip, log_mel in log_mels:
                writer.write(_serialise(clip, log_mel))
                sums.add(log_mel)
        with temporary.open("rb") as stream:
            shard = Shard(name, temporary.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
    entries = (Entry(clip, name, index, len(log_mel)) for index, (clip, log_mel) in enumerate(log_mels))
    return dataclasses.replace(current, entries=(*current.entries, *entries), shards=(*current.shards, shard))


def finish(cache: Path, current: Manifest, sums: Sums) -> Manifest:
    """Declares the cache complete, with its statistics, and removes the shards that no clip is in."""
    used = {entry.shard for entry in current.entries}
    complete = dataclasses.replace(
        current,
        is_complete=True,
        entries=tuple(sorted(current.entries, key=_place)),
        shards=tuple(shard for shard in current.shards if shard.file in used),
        statistics=sums.statistics(),
    )
    manifest.save(cache, complete)
    for path in (*cache.glob("*.tfrecord"), *cache.glob(".*.tmp")):
        if path.name not in used:
            path.unlink()
    return complete


def read(cache: Path, entries: Sequence[Entry]) -> Iterator[tuple[Entry, np.ndarray]]:
    """The log-mels of `entries`, `[frames, mels]` float32 in dB, in the order of the shards.

    Raises:
      DataError: If a shard is not as it was written.
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
            raise DataError(f"The cache in {cache} is corrupted: {shard} can't be read. {manifest.MEND}") from error
        if wanted:
            raise DataError(f"The cache in {cache} is corrupted: {shard} ends too early. {manifest.MEND}")


def by_shard(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries of each shard in the order of its records."""
    return {
        shard: list(group)
        for shard, group in itertools.groupby(sorted(entries, key=_place), key=lambda entry: entry.shard)
    }


def opening(entry: Entry, n_mels: int) -> bytes:
    """What the record of a clip begins with: its name, and how much follows. The spectra end it."""
    spectra = np.zeros([entry.frames, n_mels], np.float32)
    record = _serialise(entry.clip, spectra)
    return record[: len(record) - spectra.nbytes]


def spectra_of(record: tf.Tensor, opening: tf.Tensor, frames: tf.Tensor, n_mels: int) -> tf.Tensor:
    """In the graph: the spectra that end a record, `[frames, mels]` float32 in dB, if it begins with its opening.

    TensorFlow's own parser of examples dies of records with wrong lengths in them.
    """
    size = tf.strings.length(opening)
    is_right = tf.strings.substr(record, 0, size) == opening
    with tf.control_dependencies([tf.debugging.Assert(is_right, ["the record is not that of the clip"])]):
        values = tf.strings.substr(record, size, tf.strings.length(record) - size)
    return tf.reshape(tf.io.decode_raw(values, tf.float32), [frames, n_mels])


def _serialise(clip: Clip, log_mel: np.ndarray) -> bytes:
    values = np.ascontiguousarray(log_mel, dtype="<f4").tobytes()
    feature = {
        "file": tf.train.Feature(bytes_list=tf.train.BytesList(value=[clip.file.encode()])),
        "log_mel": tf.train.Feature(bytes_list=tf.train.BytesList(value=[values])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)  # in the order of the names


def _parse(record: bytes, entry: Entry) -> np.ndarray:
    """`[frames, mels]` float32; outside the graph because the record may be anything."""
    features = tf.train.Example.FromString(record).features.feature
    file = features["file"].bytes_list.value[0].decode()
    if file != entry.clip.file:  # another process has prepared the recordings again
        raise ValueError(f"expected the record of {entry.clip.file}, received that of {file}")
    return np.frombuffer(features["log_mel"].bytes_list.value[0], "<f4").reshape(entry.frames, -1)


def _place(entry: Entry) -> tuple[str, int]:
    return entry.shard, entry.index
