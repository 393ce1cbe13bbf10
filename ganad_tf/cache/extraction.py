"""Recordings → log-mels, on all cores, in memory that does not grow with their number."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.audio import lengths, sound_checks
from ganad_tf.audio.sound_checks import Examination, SoundCheck
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.errors import DataError, MemoryShortageError
from ganad_tf.features import ClipEncoder, LogMel, feature_layer, fewest_samples, memory
from ganad_tf.recording_check import statistics

THREADS = (os.cpu_count() or 1) + 1  # one more than cores, because one may wait for its file
AHEAD = 64  # clips prefetched while a shard is written
LONG = 2**21  # samples, counted over all channels; up to this length (8 MB in float32) each thread may hold one clip

LogMels = Iterator[tuple[Clip, np.ndarray | DataError]]


def log_mels(
    config: Config, clips: Sequence[Clip], directory: Path, examinations: dict[str, Examination], threads: int
) -> LogMels:
    """Computes log-mels on all cores, in order. Long clips come last, one by one, to limit memory.

    Args:
      config: Settings of audio and features.
      clips: The clips.
      directory: Directory that `Clip.file` is relative to.
      examinations: Receives the checksum of each clip's file, remarks and statistics of its sound, by `Clip.key`.
      threads: Number of clips that are processed at the same time.

    Yields:
      Each clip with its log-mel, `[frames, mels]` float32 in dB, or with the error of reading it.

    Raises:
      MemoryShortageError: If memory runs out.
    """
    long = {clip for clip in clips if lengths.may_be_long(directory / clip.file, clip.size, LONG)}
    short = [clip for clip in clips if clip not in long]
    layer = feature_layer(config.audio, config.feature)
    yield from _in_parallel(layer, config, short, directory, examinations, threads)
    yield from _one_by_one(layer, config, [clip for clip in clips if clip in long], directory, examinations)


def _one_by_one(
    layer: LogMel | ClipEncoder,
    config: Config,
    clips: Sequence[Clip],
    directory: Path,
    examinations: dict[str, Examination],
) -> LogMels:
    """Log-mels of long clips, one at a time."""
    compute = tf.function(
        lambda waveform: (layer.in_pieces(waveform), statistics.of_long_waveform(waveform)),
        input_signature=[tf.TensorSpec([None], tf.float32)],
        autograph=False,
    )
    for clip in clips:
        path = directory / clip.file
        try:
            with memory.enough_for(path):
                log_mel, sound = compute(memory.as_tensor(_read(directory, clip, config, examinations)))
                values = log_mel.numpy()
                _add_statistics(examinations, clip, sound.numpy())
        except MemoryShortageError:  # not the clip's fault
            raise
        except DataError as error:
            yield clip, error
        else:
            yield clip, _finite(values, path)


def _in_parallel(
    layer: LogMel | ClipEncoder,
    config: Config,
    clips: Sequence[Clip],
    directory: Path,
    examinations: dict[str, Examination],
    threads: int,
) -> LogMels:
    """Log-mels of short clips, one per thread."""
    if not clips:
        return
    fewest = fewest_samples(config.feature)
    faults: dict[int, DataError] = {}

    def read(number: np.ndarray) -> np.ndarray:
        try:
            return _read(directory, clips[int(number)], config, examinations)
        except DataError as error:
            faults[int(number)] = error
            return np.zeros(fewest, np.float32)  # a placeholder, which is discarded

    def compute(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        waveform = tf.ensure_shape(tf.numpy_function(read, [number], tf.float32), [None])
        return layer.in_pieces(waveform), statistics.of_waveform(waveform)

    options = tf.data.Options()
    options.autotune.enabled = False  # nothing to tune, and its thread is slow to end
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1  # parallelism is across clips
    dataset = tf.data.Dataset.range(len(clips)).map(compute, num_parallel_calls=threads, deterministic=True)
    log_mels = dataset.prefetch(AHEAD).with_options(options).as_numpy_iterator()
    for number, clip in enumerate(clips):
        path = directory / clip.file
        with memory.enough_for(path):
            values, sound = next(log_mels)
        fault = faults.pop(number, None)
        if isinstance(fault, MemoryShortageError):  # not the clip's fault
            raise fault
        _add_statistics(examinations, clip, sound)
        yield clip, fault or _finite(values, path)


def _read(directory: Path, clip: Clip, config: Config, examinations: dict[str, Examination]) -> np.ndarray:
    """Reads a clip's samples, `[samples]` float32, and records its file's checksum and remarks on its sound."""
    path, settings, check = directory / clip.file, config.audio.of_channel(clip.channel), SoundCheck()
    try:
        return audio.read(path, settings, fewest_samples=fewest_samples(config.feature), observe=check.add)
    finally:  # also for unusable files, to recognise them next time
        examinations[clip.key] = Examination(sound_checks.checksum(path), check.remarks(settings))


def _add_statistics(examinations: dict[str, Examination], clip: Clip, sound: np.ndarray) -> None:
    examinations[clip.key] = dataclasses.replace(examinations[clip.key], sound=tuple(sound.tolist()))


def _finite(values: np.ndarray, path: Path) -> np.ndarray | DataError:
    if np.isfinite(values).all():
        return values
    return DataError(f"{path}: expected samples whose spectrum is finite; it is not.")
