"""Recordings → log-mels, on all cores, in memory that does not grow with their number; once, or again and again."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.audio import augment, lengths, sound_checks
from ganad_tf.audio.reader import Observe
from ganad_tf.audio.sound_checks import Examination, SoundCheck
from ganad_tf.cache import manifest
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio, Feature
from ganad_tf.errors import DataError, HaltError, MemoryShortageError
from ganad_tf.features import feature_layer, fewest_samples, memory
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
    computation = Computation.of(config)
    reader = _ExaminingReader(config, directory, examinations)
    yield from _in_parallel(computation, reader, short, threads)
    yield from _one_by_one(computation, reader, long)


def log_mels_again(config: Config, clips: Sequence[Clip], directory: Path) -> Iterator[tuple[Clip, np.ndarray]]:
    """Computes the log-mels of unchanged clips again, the same to the last bit, in the given order.

    Args:
      config: Settings of audio and features.
      clips: The clips.
      directory: Directory that `Clip.file` is relative to.

    Yields:
      Each clip with its spectra, `[frames, bands]` float32.

    Raises:
      DataError: If a recording has changed or can't be read, or memory runs out.
    """
    computation, reader = Computation.of(config), Reader(config, directory)
    for is_long, run in itertools.groupby(clips, key=lambda clip: may_be_long(clip, directory, config)):
        members = list(run)
        computed = (
            _one_by_one(computation, reader, members)
            if is_long
            else _in_parallel(computation, reader, members, THREADS)
        )
        for clip, log_mel in computed:
            if isinstance(log_mel, DataError):
                raise log_mel
            yield clip, log_mel


def in_order(config: Config, clips: Sequence[Clip], directory: Path) -> list[Clip]:
    """The clips in the order of `log_mels`."""
    short, long = _by_length(config, clips, directory)
    return [*short, *long]


def _by_length(config: Config, clips: Sequence[Clip], directory: Path) -> tuple[list[Clip], list[Clip]]:
    """Short clips and long ones."""
    long = {clip for clip in clips if may_be_long(clip, directory, config)}
    return [clip for clip in clips if clip not in long], [clip for clip in clips if clip in long]


def may_be_long(clip: Clip, directory: Path, config: Config) -> bool:
    """Whether a clip is computed by `Computation.of_long_waveform`."""
    if clip.span is not None and Path(clip.file).suffix.lower() != ".mp3":  # which is decoded as a whole
        return (clip.span[1] - clip.span[0]) * config.audio.sample_rate > LONG
    return lengths.may_be_long(directory / clip.file, clip.size, LONG)


class Reader:
    """Reads clips whose recordings have not changed since they were listed.

    Args:
      config: Settings of audio and features.
      directory: Directory that `Clip.file` is relative to.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        self.config, self.directory = config, directory
        self.fewest = fewest_samples(config.feature)
        self._background_files = functools.cache(augment.background_files)  # all copies have one folder of them

    def path(self, clip: Clip) -> Path:
        """The file of a clip."""
        return self.directory / clip.file

    def read(self, clip: Clip) -> np.ndarray:
        """A clip's samples, `[samples]` float32; those of a copy are changed as `augmentation.waveform` says.

        Raises:
          DataError: If the recording has changed or can't be read.
        """
        with placeholders.present(self.path(clip), keep=self.config.storage.keep_recordings):
            return self._read(clip)

    def add_statistics(self, clip: Clip, sound: np.ndarray) -> None:
        """Receives the statistics of a clip's waveform, `[statistics]`, which are known by now."""

    def _read(self, clip: Clip) -> np.ndarray:
        try:
            samples = self._samples(clip)
        except DataError:
            self._require_unchanged(clip)  # the reason for it, if so
            raise
        self._require_unchanged(clip)
        return samples

    def _require_unchanged(self, clip: Clip) -> None:
        path = self.path(clip)
        try:
            status = path.stat()
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{path}: expected the recording that was prepared. Received: {reason}.") from error
        if (status.st_size, status.st_mtime_ns) != (clip.size, clip.mtime_ns):
            raise DataError(f"{path}: expected the recording that was prepared, but it has changed. {manifest.ADVICE}")

    def _samples(self, clip: Clip, observe: Observe | None = None) -> np.ndarray:
        settings = self.config.audio
        samples = audio.read_clip(self.directory, clip, settings, fewest_samples=self.fewest, observe=observe)
        if not clip.copy:
            return samples
        rng = np.random.default_rng([self.config.seed, clip.copy, *clip.original.encode()])
        changes, of_clip = self.config.augmentation.waveform, settings.of_channel(clip.channel)
        files = self._background_files(changes.background) if changes.background else ()
        return augment.changed(samples, changes, of_clip, rng, fewest_samples=self.fewest, backgrounds=files)


class _ExaminingReader(Reader):
    """Reads clips for the first time; records checksums of their files, and remarks and statistics of their sound."""

    def __init__(self, config: Config, directory: Path, examinations: dict[str, Examination]) -> None:
        super().__init__(config, directory)
        self._examinations = examinations
        self._checksum = functools.cache(sound_checks.checksum)  # many clips may be of one file

    def _read(self, clip: Clip) -> np.ndarray:
        check = SoundCheck()
        try:
            return self._samples(clip, check.add)
        finally:  # also for unusable files, to recognise them next time
            remarks = check.remarks(self.config.audio.of_channel(clip.channel))
            self._examinations[clip.key] = Examination(self._checksum(self.path(clip)), remarks)

    def add_statistics(self, clip: Clip, sound: np.ndarray) -> None:
        """Records the statistics of a clip's waveform, `[statistics]`."""
        examined = self._examinations[clip.key]
        self._examinations[clip.key] = dataclasses.replace(examined, sound=tuple(sound.tolist()))


@dataclass(frozen=True)
class Computation:
    """Functions from a waveform, `[samples]`, to its log-mel, `[frames, bands]`, and statistics.

    Their results may differ in the last digit, so that a clip is always computed by the same one.

    Attributes:
      of_waveform: Of a short waveform, for graphs that compute many of them side by side.
      of_long_waveform: Of a long waveform, by itself.
    """

    of_waveform: OfWaveform
    of_long_waveform: OfWaveform

    @classmethod
    def of(cls, config: Config) -> "Computation":
        """The functions for settings of audio and features."""
        return _computation(config.audio, config.feature, config.feature_fingerprint())


@functools.lru_cache(maxsize=2)
def _computation(audio_settings: Audio, feature: Feature, fingerprint: str) -> Computation:
    """The functions, kept for the next block of the same fingerprint: tracing takes as long as half a block."""
    del fingerprint  # of settings and the contents of an encoder
    layer = feature_layer(audio_settings, feature)
    function = functools.partial(tf.function, input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)
    return Computation(
        function(lambda waveform: (layer.in_pieces(waveform), statistics.of_waveform(waveform))),
        function(lambda waveform: (layer.in_pieces(waveform), statistics.of_long_waveform(waveform))),
    )


def log_mel_of_long(computation: Computation, reader: Reader, clip: Clip) -> np.ndarray:
    """Log-mel of a long clip, `[frames, bands]`.

    Raises:
      DataError: If the clip can't be read, or memory runs out.
    """
    with memory.enough_for(reader.path(clip)), tf.device("CPU:0"):  # as short ones, also where there is a GPU
        log_mel, sound = computation.of_long_waveform(memory.as_tensor(reader.read(clip)))
        reader.add_statistics(clip, sound.numpy())
        return np.asarray(log_mel.numpy())


def _one_by_one(computation: Computation, reader: Reader, clips: Sequence[Clip]) -> LogMels:
    """Log-mels of long clips, one at a time."""
    for clip in clips:
        try:
            values = log_mel_of_long(computation, reader, clip)
        except NOT_THE_CLIPS_FAULT:
            raise
        except DataError as error:
            yield clip, error
        else:
            yield clip, _finite(values, reader.path(clip))


def _in_parallel(computation: Computation, reader: Reader, clips: Sequence[Clip], threads: int) -> LogMels:
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
        return computation.of_waveform(tf.ensure_shape(tf.numpy_function(read, [number], tf.float32), [None]))

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
