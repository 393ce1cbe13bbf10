"""Recordings → log-mels, on all cores, in memory that does not grow with them: what `prepare` computes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.audio import lengths, sound_checks
from ganad_tf.audio.sound_checks import Examined, SoundCheck
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.errors import DataError, MemoryShortageError
from ganad_tf.features import LogMel, fewest_samples, log_mel_of, memory

THREADS = (os.cpu_count() or 1) + 1  # one may wait for its file
AHEAD = 64  # clips that are made ready while a shard is written
LONG = 2**21  # samples of all channels together, 8 MB in float32: as many threads as there are may have one

LogMels = Iterator[tuple[Clip, np.ndarray | DataError]]


def log_mels(
    config: Config, clips: Sequence[Clip], directory: Path, looked_at: dict[str, Examined], threads: int
) -> LogMels:
    """Each clip's `[frames, mels]` float32 in dB, or what is wrong with its file.

    On all cores, in order; long clips come last and one by one, so that memory does not grow with the cores.
    Into `looked_at` goes, by `Clip.file`, what else there is to say of it.
    """
    long = {clip for clip in clips if lengths.may_be_long(directory / clip.file, clip.size, LONG)}
    short = [clip for clip in clips if clip not in long]
    layer = log_mel_of(config.audio, config.feature)
    yield from _in_parallel(layer, config, short, directory, looked_at, threads)
    yield from _one_by_one(layer, config, [clip for clip in clips if clip in long], directory, looked_at)


def _one_by_one(
    layer: LogMel, config: Config, clips: Sequence[Clip], directory: Path, looked_at: dict[str, Examined]
) -> LogMels:
    """The same of clips so long that one at a time is in memory."""
    log_mel = tf.function(layer.in_pieces, input_signature=[tf.TensorSpec([None], tf.float32)])
    for clip in clips:
        path = directory / clip.file
        try:
            with memory.enough_for(path):
                values = log_mel(memory.tensor_of(_read(directory, clip.file, config, looked_at))).numpy()
        except MemoryShortageError:  # no fault of the clip's
            raise
        except DataError as error:
            yield clip, error
        else:
            yield clip, _finite(values, path)


def _in_parallel(
    layer: LogMel,
    config: Config,
    clips: Sequence[Clip],
    directory: Path,
    looked_at: dict[str, Examined],
    threads: int,
) -> LogMels:
    """The same of clips of which each thread has one."""
    if not clips:
        return
    fewest = fewest_samples(config.feature)
    faults: dict[int, DataError] = {}

    def read(number: np.ndarray) -> np.ndarray:
        try:
            return _read(directory, clips[int(number)].file, config, looked_at)
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
        fault = faults.pop(number, None)
        if isinstance(fault, MemoryShortageError):  # no fault of the clip's
            raise fault
        yield clip, fault or _finite(values, path)


def _read(directory: Path, file: str, config: Config, looked_at: dict[str, Examined]) -> np.ndarray:
    """A recording's samples; enough of them."""
    path, check = directory / file, SoundCheck()
    try:
        return audio.read(path, config.audio, fewest_samples=fewest_samples(config.feature), observe=check.add)
    finally:  # also of what can't be used, to know it again
        looked_at[file] = Examined(sound_checks.checksum(path), check.remarks(config.audio))


def _finite(values: np.ndarray, path: Path) -> np.ndarray | DataError:
    if np.isfinite(values).all():
        return values
    return DataError(f"{path}: expected samples whose spectrum is finite; it is not.")
