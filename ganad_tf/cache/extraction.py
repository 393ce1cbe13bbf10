"""Recordings → log-mels, on all cores, in memory that does not grow with their number."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.audio import augment, lengths, sound_checks
from ganad_tf.audio.sound_checks import Examination, SoundCheck
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio, Feature
from ganad_tf.errors import DataError, HaltError, MemoryShortageError
from ganad_tf.features import AnySpectra, ClipEncoder, feature_layer, fewest_samples, memory
from ganad_tf.recording_check import statistics
from ganad_tf.storage import placeholders

THREADS = (os.cpu_count() or 1) + 1  # one more than cores, because one may wait for its file
AHEAD = 64  # clips prefetched while a shard is written
LONG = 2**21  # samples, counted over all channels; up to this length (8 MB in float32) each thread may hold one clip
NOT_THE_CLIPS_FAULT = (MemoryShortageError, HaltError)

LogMels = Iterator[tuple[Clip, np.ndarray | DataError]]
OfWaveform = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # log-mel and statistics


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
      Each clip with its spectra, `[frames, bands]` float32, or with the error of reading it.

    Raises:
      MemoryShortageError: If memory runs out.
    """
    short, long = _by_length(config, clips, directory)
    layer, of_waveform = _computation(config.audio, config.feature, config.feature_fingerprint())
    reader = _Reader(config, directory, examinations)
    yield from _in_parallel(of_waveform, reader, short, threads)
    yield from _one_by_one(layer, reader, long)


def in_order(config: Config, clips: Sequence[Clip], directory: Path) -> list[Clip]:
    """The clips in the order of `log_mels`."""
    short, long = _by_length(config, clips, directory)
    return [*short, *long]


def _by_length(config: Config, clips: Sequence[Clip], directory: Path) -> tuple[list[Clip], list[Clip]]:
    """Short clips and long ones."""
    long = {clip for clip in clips if _may_be_long(clip, directory, config)}
    return [clip for clip in clips if clip not in long], [clip for clip in clips if clip in long]


def _may_be_long(clip: Clip, directory: Path, config: Config) -> bool:
    if clip.span is not None and Path(clip.file).suffix.lower() != ".mp3":  # which is decoded as a whole
        return (clip.span[1] - clip.span[0]) * config.audio.sample_rate > LONG
    return lengths.may_be_long(directory / clip.file, clip.size, LONG)


class _Reader:
    """Reads clips, and records checksums of their files, and remarks and statistics of their sound."""

    def __init__(self, config: Config, directory: Path, examinations: dict[str, Examination]) -> None:
        self.config, self.directory, self._examinations = config, directory, examinations
        self.fewest = fewest_samples(config.feature)
        # Many clips may be of one file, and all copies have one folder of background recordings.
        self._checksum = functools.cache(sound_checks.checksum)
        self._background_files = functools.cache(augment.background_files)

    def path(self, clip: Clip) -> Path:
        """The file of a clip."""
        return self.directory / clip.file

    def read(self, clip: Clip) -> np.ndarray:
        """A clip's samples, `[samples]` float32; those of a copy are changed as `augmentation.waveform` says."""
        with placeholders.present(self.path(clip), keep=self.config.storage.keep_recordings):
            return self._read(clip)

    def _read(self, clip: Clip) -> np.ndarray:
        check, settings = SoundCheck(), self.config.audio
        try:
            samples = audio.read_clip(self.directory, clip, settings, fewest_samples=self.fewest, observe=check.add)
            if not clip.copy:
                return samples
            rng = np.random.default_rng([self.config.seed, clip.copy, *clip.original.encode()])
            changes, of_clip = self.config.augmentation.waveform, settings.of_channel(clip.channel)
            files = self._background_files(changes.background) if changes.background else ()
            return augment.changed(samples, changes, of_clip, rng, fewest_samples=self.fewest, backgrounds=files)
        finally:  # also for unusable files, to recognise them next time
            remarks = check.remarks(settings.of_channel(clip.channel))
            self._examinations[clip.key] = Examination(self._checksum(self.path(clip)), remarks)

    def add_statistics(self, clip: Clip, sound: np.ndarray) -> None:
        """Records the statistics of a clip's waveform, `[statistics]`."""
        examined = self._examinations[clip.key]
        self._examinations[clip.key] = dataclasses.replace(examined, sound=tuple(sound.tolist()))


def _one_by_one(layer: AnySpectra | ClipEncoder, reader: _Reader, clips: Sequence[Clip]) -> LogMels:
    """Log-mels of long clips, one at a time."""
    compute = tf.function(
        lambda waveform: (layer.in_pieces(waveform), statistics.of_long_waveform(waveform)),
        input_signature=[tf.TensorSpec([None], tf.float32)],
        autograph=False,
    )
    for clip in clips:
        path = reader.path(clip)
        try:
            with memory.enough_for(path):
                log_mel, sound = compute(memory.as_tensor(reader.read(clip)))
                values = log_mel.numpy()
                reader.add_statistics(clip, sound.numpy())
        except NOT_THE_CLIPS_FAULT:
            raise
        except DataError as error:
            yield clip, error
        else:
            yield clip, _finite(values, path)


@functools.lru_cache(maxsize=2)
def _computation(
    audio_settings: Audio, feature: Feature, fingerprint: str
) -> tuple[AnySpectra | ClipEncoder, OfWaveform]:
    """The feature layer, and a function from a short waveform to its log-mel and statistics.

    It is kept for the next block of the same fingerprint: tracing it takes as long as computing half a block.
    """
    del fingerprint  # of settings and the contents of an encoder
    layer = feature_layer(audio_settings, feature)
    return layer, tf.function(
        lambda waveform: (layer.in_pieces(waveform), statistics.of_waveform(waveform)),
        input_signature=[tf.TensorSpec([None], tf.float32)],
        autograph=False,
    )


def _in_parallel(of_waveform: OfWaveform, reader: _Reader, clips: Sequence[Clip], threads: int) -> LogMels:
    """Log-mels of short clips, one per thread."""
    if not clips:
        return
    faults: dict[int, DataError] = {}

    def read(number: np.ndarray) -> np.ndarray:
        try:
            return reader.read(clips[int(number)])
        except DataError as error:
            faults[int(number)] = error
            return np.zeros(reader.fewest, np.float32)  # a placeholder, which is discarded

    @tf.autograph.experimental.do_not_convert
    def compute(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return of_waveform(tf.ensure_shape(tf.numpy_function(read, [number], tf.float32), [None]))

    options = tf.data.Options()
    options.autotune.enabled = False  # nothing to tune, and its thread is slow to end
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1  # parallelism is across clips
    dataset = tf.data.Dataset.range(len(clips)).map(compute, num_parallel_calls=threads, deterministic=True)
    log_mels = dataset.prefetch(AHEAD).with_options(options).as_numpy_iterator()
    for number, clip in enumerate(clips):
        path = reader.path(clip)
        with memory.enough_for(path):
            values, sound = next(log_mels)
        fault = faults.pop(number, None)
        if isinstance(fault, NOT_THE_CLIPS_FAULT):
            raise fault
        reader.add_statistics(clip, sound)
        yield clip, fault or _finite(values, path)


def _finite(values: np.ndarray, path: Path) -> np.ndarray | DataError:
    if np.isfinite(values).all():
        return values
    return DataError(f"{path}: expected samples whose spectrum is finite; it is not.")
