"""tf.data: the cache → batches of windows, shuffled for training or in order for validation.

Windows are never stacked but for the batch at hand: spectra that fit the memory budget are held once
and windows are gathered from them by index; others are streamed from the shards. Both ways give the
same windows, the same number of times; only the order differs.
"""

import itertools
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import records, sealed
from ganad_tf.features import Normalizer
from ganad_tf.manifest import Entry

SHARDS_AT_ONCE = 4  # streamed training: shards read in turn
CLIPS_AT_ONCE = 128  # and clips whose windows are mixed, about 20 MB
AHEAD = 1  # batch made while the network works
THREADS = os.cpu_count() or 1


@dataclass(frozen=True)
class Source:
    """Where windows come from.

    Attributes:
      cache: The cache directory.
      entries: The clips in it that are used.
      n_mels: Mel bands of a spectrum.
      frames: Spectra of a window.
      normalizer: Applied to every spectrum; None for none.
    """

    cache: Path
    entries: tuple[Entry, ...]
    n_mels: int
    frames: int
    normalizer: Normalizer | None

    @property
    def n_windows(self) -> int:
        """Windows of all clips together."""
        return sum(entry.frames - self.frames + 1 for entry in self.entries)

    @property
    def n_bytes(self) -> int:
        """What the spectra take in memory."""
        return sum(entry.frames for entry in self.entries) * self.n_mels * 4

    def fits(self, memory_budget_mb: int) -> bool:
        """Whether the spectra may be held in memory; others are streamed."""
        return self.n_bytes <= memory_budget_mb * 2**20

    def order(self, memory_budget_mb: int) -> str:
        """Names what the order of shuffled windows depends on, besides the seed."""
        if self.fits(memory_budget_mb):
            return "in memory"
        places = sorted((entry.clip.file, entry.shard, entry.index) for entry in self.entries)
        return f"streamed, {sealed.fingerprint(places)}"

    def normalized(self, log_mel: Any) -> Any:
        """A clip's spectra, `[frames, mels]` in dB, as windows are made of them; the same shape."""
        return log_mel if self.normalizer is None else self.normalizer(log_mel)


def split_by_file(entries: Sequence[Entry], share: float, seed: int) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Splits clips into training and validation: whole files, the same share of every machine ID.

    A clip whose file has the same contents as one in training, whatever it is called, stays in training.

    Args:
      entries: Normal clips.
      share: For validation, at least 0 and below 1; rounded per ID, and every ID keeps a training clip.
      seed: Chooses the clips.

    Returns:
      Training and validation entries.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.clip.file):
        groups.setdefault(entry.clip.machine_id, []).append(entry)
    training: list[Entry] = []
    validation: list[Entry] = []
    for machine_id, group in sorted(groups.items()):
        random.Random(f"{seed}/{machine_id}").shuffle(group)
        count = min(round(share * len(group)), len(group) - 1)
        validation.extend(group[:count])
        training.extend(group[count:])
    trained_on = {entry.sha256 for entry in training if entry.sha256}
    twins = [entry for entry in validation if entry.sha256 in trained_on]
    return (*training, *twins), tuple(entry for entry in validation if entry.sha256 not in trained_on)


def windows(
    source: Source,
    *,
    batch_size: int,
    seed: int | None,
    memory_budget_mb: int,
    pairs: bool = False,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Batches of windows, `[batch, frames * n_mels]` float32; the last batch may be smaller.

    A dataset for any `fit`; `blocks` is for fused steps.

    Args:
      source: The clips.
      batch_size: Windows per batch.
      seed: Shuffles, differently in every epoch; None keeps the order of the clips.
      memory_budget_mb: Above it the spectra are streamed.
      pairs: Whether each element is `((batch, other batch),)`, each shuffled on its own; needs a seed.
      first_epoch: How often the dataset counts as gone through already, where training goes on.
    """
    if source.fits(memory_budget_mb):
        held = hold(source)
        dataset = _from_memory(held.starts, held.windows_at, batch_size, seed, pairs, first_epoch)
    else:
        dataset = _from_shards(source, batch_size, seed, pairs, first_epoch)
    return _finished(dataset, source, batch_size)


@dataclass(frozen=True)
class Held:
    """Spectra that lie in memory, once; windows are gathered from them.

    Attributes:
      spectra: `[frames, mels]` float32, one clip after the other, in the order of the clips' names: in which shard they
        are is history.
      starts: Rows of `spectra` at which windows begin, `[windows]` int64.
      frames: Spectra of a window.
    """

    spectra: tf.Variable
    starts: tf.Tensor
    frames: int

    def windows_at(self, starts: tf.Tensor) -> tf.Tensor:
        """The windows that begin at `starts`, `[batch]` → `[batch, frames * mels]`."""
        return _windows_at(self.spectra, starts, self.frames)

    def blocks(
        self, block_size: int, *, seed: int | None, pairs: bool = False, first_epoch: int = 0
    ) -> tf.data.Dataset:
        """Where the windows of `windows(batch_size=block_size)` begin, `[block]` int64, in the same order."""
        dataset = _from_memory(self.starts, None, block_size, seed, pairs, first_epoch)
        return _finished(dataset, self, block_size)

    @property
    def n_windows(self) -> int:
        """Windows of all clips together."""
        return len(self.starts)


def _finished(dataset: tf.data.Dataset, source: Source | Held, batch_size: int) -> tf.data.Dataset:
    n_batches = -(-source.n_windows // batch_size)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread sleeps up to seconds before it lets an epoch end
    return dataset.apply(tf.data.experimental.assert_cardinality(n_batches)).prefetch(AHEAD).with_options(options)


def _from_memory(
    starts: tf.Tensor,
    windows_at: Callable[[tf.Tensor], tf.Tensor] | None,
    batch_size: int,
    seed: int | None,
    pairs: bool,
    first_epoch: int,
) -> tf.data.Dataset:
    def epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        one = _batches(starts, windows_at, batch_size, epoch_seed if seed is not None else None)
        if not pairs:
            return one
        return _paired(one, _batches(starts, windows_at, batch_size, epoch_seed[::-1]))

    return _epoch_seeds(seed or 0, first_epoch).flat_map(epoch)


def _from_shards(source: Source, batch_size: int, seed: int | None, pairs: bool, first_epoch: int) -> tf.data.Dataset:
    records_of = _records_in_use(source)  # once for both orders: it takes 0.1 ms per clip
    seeds = (seed, seed + 1) if pairs and seed is not None else (seed,)
    orders = [_streamed(source, records_of, batch_size, own, first_epoch) for own in seeds]
    return orders[0] if len(orders) == 1 else _paired(*orders)


def _paired(one: tf.data.Dataset, other: tf.data.Dataset) -> tf.data.Dataset:
    """Elements of both as Keras takes an x that is a pair."""
    return tf.data.Dataset.zip(((one, other),))


def _batches(
    starts: tf.Tensor,
    windows_at: Callable[[tf.Tensor], tf.Tensor] | None,
    batch_size: int,
    seed: tf.Tensor | None,
) -> tf.data.Dataset:
    """Batches of `starts`, or of the windows there; shuffled if there is a seed, `[2]`."""
    n_windows = tf.size(starts, tf.int64)

    def batch(number: tf.Tensor) -> tf.Tensor:
        chosen = tf.range(number * batch_size, tf.minimum((number + 1) * batch_size, n_windows))
        if seed is not None:
            chosen = tf.random.experimental.index_shuffle(chosen, seed=seed, max_index=n_windows - 1)
        drawn = tf.gather(starts, chosen)
        return windows_at(drawn) if windows_at else drawn

    numbers = tf.data.Dataset.range(-(-n_windows // batch_size))
    return numbers.map(batch, num_parallel_calls=THREADS, deterministic=True)


def _windows_at(spectra: tf.Tensor | tf.Variable, starts: tf.Tensor, frames: int) -> tf.Tensor:
    """The `frames` rows of `spectra` from each of `starts` on, `[batch]` → `[batch, frames * mels]`."""
    rows = starts[:, tf.newaxis] + tf.range(frames, dtype=starts.dtype)  # [batch, frames]
    return tf.reshape(tf.gather(spectra, rows), [-1, frames * spectra.shape[1]])


def hold(source: Source) -> Held:
    """Reads all spectra into the processor's memory."""
    held = reserve(source)
    fill(held, source)
    return held


def reserve(source: Source, device: str = "CPU:0") -> Held:
    """Memory of a device for all spectra, which `fill` reads into it; until then it may be taken for other things.

    Raises:
      ResourceExhaustedError: If the device has no room for them.
    """
    shape = [sum(entry.frames for entry in source.entries), source.n_mels]
    with tf.device(device):
        # A variable filled in place: a constant made from an array would hold everything twice.
        spectra = tf.Variable(tf.raw_ops.Empty(shape=shape, dtype=tf.float32, init=False), trainable=False)
    starts = [begin + np.arange(entry.frames - source.frames + 1) for entry, begin in _begins(source).items()]
    with tf.device("CPU:0"):
        return Held(spectra, tf.constant(np.concatenate(starts), tf.int64), source.frames)


def fill(held: Held, source: Source) -> None:
    """Reads all spectra into the memory that is reserved for them."""
    is_elsewhere = "CPU" not in held.spectra.device
    begins = _begins(source)
    with tf.device("CPU:0"):
        spectra = reserve(source).spectra if is_elsewhere else held.spectra
        for entry, log_mel in records.read(source.cache, source.entries):
            rows = begins[entry] + np.arange(entry.frames)
            spectra.scatter_update(tf.IndexedSlices(source.normalized(log_mel), rows))
    if is_elsewhere:
        held.spectra.assign(spectra)


def _begins(source: Source) -> dict[Entry, int]:
    """The row at which each clip begins that is held, in the order of the clips' names."""
    order = sorted(source.entries, key=lambda entry: entry.clip.file)
    return dict(zip(order, itertools.accumulate((entry.frames for entry in order), initial=0), strict=False))


def _streamed(
    source: Source,
    records_of: Callable[[tf.Tensor], tf.data.Dataset],
    batch_size: int,
    seed: int | None,
    first_epoch: int,
) -> tf.data.Dataset:
    n_shards = len({entry.shard for entry in source.entries})

    def normalized(record: tf.Tensor, opening: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        return source.normalized(records.spectra_of(record, opening, frames, source.n_mels))

    def epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        def windows_of(number: tf.Tensor, clips: tf.RaggedTensor) -> tf.data.Dataset:
            def windows_at(starts: tf.Tensor) -> tf.Tensor:
                return _windows_at(clips.values, starts, source.frames)

            own = epoch_seed + number if seed is not None else None
            return _batches(_starts(clips, source.frames), windows_at, batch_size, own)

        numbers = tf.range(n_shards)
        if seed is not None:
            numbers = tf.random.experimental.index_shuffle(numbers, seed=epoch_seed, max_index=n_shards - 1)
        drawn = tf.data.Dataset.from_tensor_slices(numbers)
        clips = drawn.interleave(records_of, cycle_length=1 if seed is None else SHARDS_AT_ONCE)
        spectra = clips.map(normalized, num_parallel_calls=THREADS, deterministic=True)
        return spectra.ragged_batch(CLIPS_AT_ONCE).prefetch(1).enumerate().flat_map(windows_of)

    return _epoch_seeds(seed or 0, first_epoch).flat_map(epoch).rebatch(batch_size)


def _records_in_use(source: Source) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """By a shard's number: its records that are used, each with its opening and how many spectra it has."""
    shards = records.by_shard(source.entries)
    groups = shards.values()
    paths = tf.constant([os.fspath(source.cache / shard) for shard in shards])
    indices = tf.ragged.constant([[entry.index for entry in group] for group in groups], tf.int64)
    openings = tf.ragged.constant([[records.opening(entry, source.n_mels) for entry in group] for group in groups])
    frames = tf.ragged.constant([[entry.frames for entry in group] for group in groups])

    def of_shard(number: tf.Tensor) -> tf.data.Dataset:
        numbered = tf.data.TFRecordDataset(paths[number]).enumerate()
        used = numbered.filter(lambda index, _: tf.reduce_any(index == indices[number])).map(lambda _, record: record)
        return tf.data.Dataset.zip(used, *(tf.data.Dataset.from_tensor_slices(of[number]) for of in (openings, frames)))

    return of_shard


def _starts(clips: tf.RaggedTensor, frames: int) -> tf.Tensor:
    """Rows of `clips.values` at which a window of `frames` begins that ends within its clip, `[windows]`."""
    ends = tf.gather(clips.row_limits(), clips.value_rowids())  # for each row
    rows = tf.range(tf.size(ends, tf.int64))
    return tf.boolean_mask(rows, rows + frames <= ends)


def _epoch_seeds(seed: int, first_epoch: int) -> tf.data.Dataset:
    """Two numbers, `[2]` int64, each time that the dataset is gone through: others each time, the same for each seed.

    Counted when the first element is asked for: Keras' `fit` makes more iterators than it uses, and what counts is how
    often the data are used. (A Python generator would count as well, but `from_generator` halves the speed of all
    that the process computes afterwards.)
    """
    epoch = tf.Variable(first_epoch, dtype=tf.int64, trainable=False)

    def draw(_: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.constant(seed, tf.int64), epoch.assign_add(1)])
        return tf.random.stateless_uniform([2], key, minval=None, maxval=None, dtype=tf.int64)

    return tf.data.Dataset.range(1).map(draw)
