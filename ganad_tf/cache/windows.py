"""tf.data pipeline: the cache → batches of windows, shuffled for training or in order for validation.

Windows are stacked one batch at a time. Spectra that fit the memory budget are held once, and windows are gathered
from them by index; larger sets are streamed, shard by shard. Both ways give the same windows equally often, in a
different order.
"""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.cache import records
from ganad_tf.cache.manifest import Entry
from ganad_tf.cache.passes import pass_seeds
from ganad_tf.cache.spectra import Spectra, Stream
from ganad_tf.cache.time_shift import Shift
from ganad_tf.features import Normalizer
from ganad_tf.files import checksummed

SHARDS_AT_ONCE = 4  # streamed training: interleaved shards
CLIPS_AT_ONCE = 128  # streamed training: clips whose windows are shuffled together, about 20 MB
AHEAD = 1  # prefetched batches
THREADS = os.cpu_count() or 1

# From the rows at which windows begin, `[batch]`, to the windows, or to the windows and their labels.
BatchAt = Callable[[tf.Tensor], tf.Tensor | tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Source:
    """The clips of a cache that windows are made of, and how.

    Attributes:
      spectra: Their spectra.
      entries: The clips in the cache that are used.
      n_mels: Values of a spectrum, such as mel bands.
      frames: Spectra of a window.
      normalizer: Standardises every spectrum; None for none.
      hop: Spectra from one window of a clip to the next.
      machine_ids: The IDs by whose numbers windows are labelled; None for windows without labels.
      time_shift: Most spectra by which a window in shuffled order begins earlier or later, within its clip; other ones
        in each pass.
    """

    spectra: Spectra
    entries: tuple[Entry, ...]
    n_mels: int
    frames: int
    normalizer: Normalizer | None
    hop: int = 1
    machine_ids: tuple[str, ...] | None = None
    time_shift: int = 0

    def label(self, entry: Entry) -> int:
        """Number of a clip's machine ID; 0 without labels."""
        return self.machine_ids.index(entry.clip.machine_id) if self.machine_ids else 0

    @property
    def n_windows(self) -> int:
        """Total number of windows."""
        return sum((entry.frames - self.frames) // self.hop + 1 for entry in self.entries)

    @property
    def n_bytes(self) -> int:
        """Memory of the spectra, in bytes."""
        return sum(entry.frames for entry in self.entries) * self.n_mels * 4

    def fits(self, memory_budget_mb: int) -> bool:
        """Whether the spectra fit the memory budget; otherwise they are streamed."""
        return self.n_bytes <= memory_budget_mb * 2**20

    def order(self, memory_budget_mb: int) -> str:
        """Identifies the order of shuffled windows for a given seed."""
        if self.fits(memory_budget_mb):
            return "in memory"
        locations = sorted((entry.clip.key, entry.shard, entry.index) for entry in self.entries)
        return f"streamed, {checksummed.fingerprint(locations)}"

    def normalized(self, log_mel: Any) -> Any:
        """Applies the normalizer, if any, to spectra, `[frames, mels]` in dB; same shape."""
        return log_mel if self.normalizer is None else self.normalizer(log_mel)


def window_batches(
    source: Source,
    *,
    batch_size: int,
    seed: int | None,
    memory_budget_mb: int,
    pairs: bool = False,
    first_epoch: int = 0,
    passes: int = 1,
    endless: bool = False,
) -> tf.data.Dataset:
    """Dataset of batches of windows, `[batch, dims]` float32; the last batch may be smaller.

    With `machine_ids`, an element is `(windows, numbers)`, numbers of machine IDs, `[batch]` int32. For any `fit`;
    fused steps take `HeldSpectra.blocks`.

    Args:
      source: The clips.
      batch_size: Windows per batch.
      seed: Seed of the shuffle, which differs in each epoch; None keeps the order of the clips.
      memory_budget_mb: Spectra that exceed it are streamed.
      pairs: Whether each element is `((batch, other batch),)`, shuffled independently; needs a seed.
      first_epoch: Number of epochs already completed, where a training is resumed.
      passes: How often an epoch goes over all windows, each time in another order.
      endless: Whether one iterator goes on with the next epoch, and others begin with the first.
    """
    first_pass = first_epoch * passes
    if source.fits(memory_budget_mb):
        held = hold(source)
        dataset = _from_memory(held, held.batch_at, batch_size, seed, pairs, first_pass, endless)
    else:
        dataset = _from_shards(source, batch_size, seed, pairs, first_pass, endless)
    if endless:
        return dataset.prefetch(AHEAD).with_options(_options())
    return _finished(dataset, source, batch_size, passes)


@dataclass(frozen=True)
class HeldSpectra:
    """The spectra of a source in memory, held once, from which windows are gathered.

    Attributes:
      spectra: `[frames, mels]` float32, clip after clip. Ordered by clip file, because the assignment to shards depends
        on the history of the cache.
      starts: Rows of `spectra` at which windows begin, `[windows]` int64.
      frames: Spectra of a window.
      labels: Number of the machine ID of each row of `spectra`, `[frames]` int32; None for windows without labels.
      shift: By which windows begin earlier or later; None for none.
    """

    spectra: tf.Variable
    starts: tf.Tensor
    frames: int
    labels: tf.Variable | None = None
    shift: Shift | None = None

    def batch_at(self, starts: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """The windows that begin at `starts`, `[batch]` → `[batch, frames * mels]`, with their labels, if any."""
        windows = _windows_at(self.spectra, starts, self.frames)
        return windows if self.labels is None else (windows, tf.gather(self.labels, starts))

    def blocks(
        self, block_size: int, *, seed: int | None, pairs: bool = False, first_epoch: int = 0, passes: int = 1
    ) -> tf.data.Dataset:
        """Dataset of blocks of `starts`, `[block]` int64, in the order of the windows of `window_batches`."""
        dataset = _from_memory(self, None, block_size, seed, pairs, first_epoch * passes)
        return _finished(dataset, self, block_size, passes)

    @property
    def n_windows(self) -> int:
        """Total number of windows."""
        return len(self.starts)

    def release(self) -> None:
        """Frees the memory of the spectra; what reads them may be used again after `reserve(again=...)`."""
        self.spectra.assign(_empty(0, self.spectra.shape[1]))


def _finished(dataset: tf.data.Dataset, source: Source | HeldSpectra, batch_size: int, passes: int) -> tf.data.Dataset:
    n_batches = passes * -(-source.n_windows // batch_size)
    dataset = dataset.repeat(passes) if passes > 1 else dataset  # each repetition draws a seed of its own
    counted = dataset.apply(tf.data.experimental.assert_cardinality(n_batches))
    return counted.prefetch(AHEAD).with_options(_options())


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread may sleep for seconds before an epoch can end
    return options


def _from_memory(
    held: HeldSpectra,
    batch_at: BatchAt | None,
    batch_size: int,
    seed: int | None,
    pairs: bool,
    first_pass: int,
    endless: bool = False,
) -> tf.data.Dataset:
    @tf.autograph.experimental.do_not_convert
    def epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        one = _batches(held.starts, batch_at, batch_size, epoch_seed if seed is not None else None, held.shift)
        if not pairs:
            return one
        return _paired(one, _batches(held.starts, batch_at, batch_size, epoch_seed[::-1], held.shift))

    return pass_seeds(seed or 0, first_pass, endless=endless).flat_map(epoch)


def _from_shards(
    source: Source, batch_size: int, seed: int | None, pairs: bool, first_pass: int, endless: bool
) -> tf.data.Dataset:
    stream = source.spectra.stream(
        list(records.by_shard(source.entries).values()), source.n_mels
    )  # shared by both orders: it takes 0.1 ms per clip
    seeds = (seed, seed + 1) if pairs and seed is not None else (seed,)
    orders = [_streamed(source, stream, batch_size, order_seed, first_pass, endless) for order_seed in seeds]
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # as in `prepare`, where parallelism is across clips
    return (orders[0] if len(orders) == 1 else _paired(*orders)).with_options(options)


def _paired(one: tf.data.Dataset, other: tf.data.Dataset) -> tf.data.Dataset:
    """Dataset of pairs `((a, b),)`, which is a pair as Keras' x."""
    return tf.data.Dataset.zip(((one, other),))


def _batches(
    starts: tf.Tensor,
    batch_at: BatchAt | None,
    batch_size: int,
    seed: tf.Tensor | None,
    shift: Shift | None = None,
) -> tf.data.Dataset:
    """Dataset of batches of `starts`, or of the windows there; with a seed, `[2]` int64, shuffled and shifted."""
    n_windows = tf.size(starts, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def batch(number: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        chosen = tf.range(number * batch_size, tf.minimum((number + 1) * batch_size, n_windows))
        if seed is not None:
            chosen = tf.random.experimental.index_shuffle(chosen, seed=seed, max_index=n_windows - 1)
        drawn = tf.gather(starts, chosen)
        if seed is not None and shift is not None:
            drawn = shift.shifted(drawn, chosen, seed)
        return batch_at(drawn) if batch_at else drawn

    numbers = tf.data.Dataset.range(-(-n_windows // batch_size))
    return numbers.map(batch, num_parallel_calls=THREADS, deterministic=True)


def _windows_at(spectra: tf.Tensor | tf.Variable, starts: tf.Tensor, frames: int) -> tf.Tensor:
    """Gathers the windows of `frames` rows of `spectra` at `starts`, `[batch]` → `[batch, dims]`."""
    rows = starts[:, tf.newaxis] + tf.range(frames, dtype=starts.dtype)  # [batch, frames]
    return tf.reshape(tf.gather(spectra, rows), [-1, frames * spectra.shape[1]])


def hold(source: Source) -> HeldSpectra:
    """Loads all spectra into the processor's memory."""
    held = reserve(source)
    fill(held, source)
    return held


def reserve(source: Source, device: str = "CPU:0", *, again: HeldSpectra | None = None) -> HeldSpectra:
    """Allocates memory on a device for all spectra, which `fill` loads later.

    Args:
      source: The clips.
      device: Name of the device.
      again: Released spectra of another source with as many values per spectrum, on the same device. Its `batch_at`,
        and graphs made of it, then read the new ones.

    Raises:
      ResourceExhaustedError: If the device has no room for them.
    """
    n_spectra = sum(entry.frames for entry in source.entries)
    starts = [
        begin + np.arange(0, entry.frames - source.frames + 1, source.hop) for entry, begin in _begins(source).items()
    ]
    of_rows = None
    if source.machine_ids:
        of_rows = np.concatenate([np.full(entry.frames, source.label(entry)) for entry in _begins(source)])
    with tf.device(device):
        # A variable is filled in place; a constant made from an array would take twice the memory.
        spectra = _assigned(again and again.spectra, _empty(n_spectra, source.n_mels))
        labels = None if of_rows is None else _assigned(again and again.labels, tf.constant(of_rows, tf.int32))
    with tf.device("CPU:0"):
        rows = tf.constant(np.concatenate(starts), tf.int64)
        edges = tf.constant([*_begins(source).values(), n_spectra], tf.int64)
        shift = Shift.within(edges, rows, source.frames, source.time_shift)
        return HeldSpectra(spectra, rows, source.frames, labels, shift)


def _empty(n_spectra: int, n_mels: int) -> tf.Tensor:
    return tf.raw_ops.Empty(shape=[n_spectra, n_mels], dtype=tf.float32, init=False)


def _assigned(variable: tf.Variable | None, value: tf.Tensor) -> tf.Variable:
    """A variable with the value, whose length may change: the given one, or a new one."""
    if variable is None:
        return tf.Variable(value, shape=[None, *value.shape[1:]], trainable=False)
    variable.assign(value)
    return variable


def fill(held: HeldSpectra, source: Source) -> None:
    """Loads all spectra into the memory that `reserve` has allocated."""
    is_elsewhere = "CPU" not in held.spectra.device
    begins = _begins(source)
    with tf.device("CPU:0"):
        spectra = reserve(source).spectra if is_elsewhere else held.spectra
        for entry, log_mel in source.spectra.read(source.entries):
            rows = begins[entry] + np.arange(entry.frames)
            spectra.scatter_update(tf.IndexedSlices(source.normalized(log_mel), rows))
    if is_elsewhere:
        held.spectra.assign(spectra)


def _begins(source: Source) -> dict[Entry, int]:
    """First row of each clip in the held spectra, ordered by clip file."""
    order = sorted(source.entries, key=lambda entry: entry.clip.key)
    return dict(zip(order, itertools.accumulate((entry.frames for entry in order), initial=0), strict=False))


def _streamed(
    source: Source,
    stream: Stream,
    batch_size: int,
    seed: int | None,
    first_pass: int,
    endless: bool,
) -> tf.data.Dataset:
    groups = list(records.by_shard(source.entries).values())
    labels_of = tf.ragged.constant([[source.label(entry) for entry in group] for group in groups], tf.int32)

    @tf.autograph.experimental.do_not_convert
    def labelled(number: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.zip(stream.of_group(number), tf.data.Dataset.from_tensor_slices(labels_of[number]))

    @tf.autograph.experimental.do_not_convert
    def labelled_log_mel(clip: tuple[tf.Tensor, ...], label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return stream.log_mel(*clip), label

    @tf.autograph.experimental.do_not_convert
    def normalized(log_mel: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return source.normalized(log_mel), label

    @tf.autograph.experimental.do_not_convert
    def epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def windows_of(number: tf.Tensor, of_clips: tuple[tf.RaggedTensor, tf.Tensor]) -> tf.data.Dataset:
            clips, labels = of_clips

            def batch_at(starts: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
                windows = _windows_at(clips.values, starts, source.frames)
                if not source.machine_ids:
                    return windows
                return windows, tf.gather(labels, tf.gather(clips.value_rowids(), starts))

            batch_seed = epoch_seed + number if seed is not None else None
            starts = _starts(clips, source)
            shift = Shift.within(clips.row_splits, starts, source.frames, source.time_shift)
            return _batches(starts, batch_at, batch_size, batch_seed, shift)

        numbers = tf.range(len(groups))
        if seed is not None:
            numbers = tf.random.experimental.index_shuffle(numbers, seed=epoch_seed, max_index=len(groups) - 1)
        drawn = tf.data.Dataset.from_tensor_slices(numbers)
        clips = drawn.interleave(labelled, cycle_length=1 if seed is None else SHARDS_AT_ONCE)
        log_mels = clips.map(labelled_log_mel, num_parallel_calls=THREADS, deterministic=True)
        # A function of its own, so that TensorFlow can't simplify it together with the computation of log-mels.
        spectra = log_mels.map(normalized, num_parallel_calls=THREADS, deterministic=True)
        return spectra.ragged_batch(CLIPS_AT_ONCE).prefetch(1).enumerate().flat_map(windows_of)

    seeds = pass_seeds(seed or 0, first_pass, endless=endless)
    return seeds.flat_map(lambda epoch_seed: epoch(epoch_seed).rebatch(batch_size))


def _starts(clips: tf.RaggedTensor, source: Source) -> tf.Tensor:
    """Rows of `clips.values` at which a window starts that lies within one clip, `[windows]`."""
    of_row = clips.value_rowids()
    begins, ends = (tf.gather(edges, of_row) for edges in (clips.row_starts(), clips.row_limits()))
    rows = tf.range(tf.size(ends, tf.int64))
    is_start = (rows + source.frames <= ends) & ((rows - begins) % source.hop == 0)
    return tf.boolean_mask(rows, is_start)
