"""Waveform → log-mel spectra → windows, in the graph: the only implementation of the features.

Source: DCASE 2020 Task 2 baseline (`common.py`, `file_to_vector_array`), on librosa's Slaney mel scale.
The transform runs in float64 because a float32 FFT misses a clean tone's quiet bands by tens of dB.
"""

from collections.abc import Sequence
from typing import Any, Literal

import ganad_tf.keras_backend  # noqa: F401 - before Keras

# isort: split
import keras
import numpy as np
import tensorflow as tf

from ganad_tf.config.sections import Audio, Feature
from ganad_tf.errors import ConfigError
from ganad_tf.features import clip_encoder, mel_filters, pieces
from ganad_tf.features.clip_encoder import ClipEncoder

EPSILON = float(np.finfo(np.float64).eps)  # added before the logarithm, as in the baseline
FLOOR_DB = -80.0  # paper, Eq. 3
SMALLEST_DEVIATION_DB = 1e-3


@keras.saving.register_keras_serializable(package="ganad_tf")
class LogMel(keras.layers.Layer):
    """Log-mel spectra of waveforms; for power 2, within 1e-3 dB of librosa computed in float64.

    `20 / power * log10(mel(|STFT|^power) + eps)`, eps the float64 machine epsilon, periodic Hann
    window, centred frames, Slaney mel bands from 0 Hz to half the sample rate.

    Args:
      sample_rate: Sample rate in hertz.
      n_fft: Samples per spectrum; even.
      hop_length: Samples from one spectrum to the next.
      n_mels: Number of mel bands.
      power: 2 for power, 1 for magnitude (whose rounding errors show in almost silent bands).
      pad_mode: `reflect` (librosa up to 0.8, and the baseline) or `constant` (librosa since 0.9).
      log: `baseline` for absolute dB; `relative_80db` for dB below the clip's loudest value,
        floored 80 dB below it (the usual reading of the paper's Eq. 2-3; it discards the level).
      fft: Precision of the FFT. `float32` is for runtimes on small boards that support no other; it is wrong by tens
        of dB in the quiet bands of a clean tone, but not in recordings with any noise.

    Call with `[batch, samples]` float32; returns `[batch, frames, mels]` float32 in dB, with
    `frames = 1 + samples // hop_length`. Reflection needs more than `n_fft // 2` samples.

    Raises:
      ValueError: If a mel band would be empty, `n_fft` is odd, or `pad_mode`, `log` or `fft` is not one of the
        above.

    >>> LogMel()(tf.zeros([1, 16000])).shape
    TensorShape([1, 32, 128])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 1024,
        hop_length: int = 512,
        n_mels: int = 128,
        power: float = 2.0,
        pad_mode: Literal["reflect", "constant"] = "reflect",
        log: Literal["baseline", "relative_80db"] = "baseline",
        fft: Literal["float64", "float32"] = "float64",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **{"trainable": False, "dtype": "float32", **kwargs})
        if n_fft % 2:
            raise ValueError(f"Expected an even n_fft. Received: {n_fft}.")
        if pad_mode not in ("reflect", "constant"):
            raise ValueError(f"Expected pad_mode `reflect` or `constant`. Received: {pad_mode!r}.")
        if log not in ("baseline", "relative_80db"):
            raise ValueError(f"Expected log `baseline` or `relative_80db`. Received: {log!r}.")
        if fft not in ("float64", "float32"):
            raise ValueError(f"Expected fft `float64` or `float32`. Received: {fft!r}.")
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.power = power
        self.pad_mode = pad_mode
        self.log = log
        self.fft = fft
        self._filters = mel_filters.grouped(mel_filters.matrix(sample_rate, n_fft, n_mels))

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        """`[batch, samples]` → `[batch, frames, mels]` in dB."""
        half = self.n_fft // 2
        return self._referred(self._levels(waveform, half, half))

    def in_pieces(self, waveform: tf.Tensor, *, at_once: int | None = None) -> tf.Tensor:
        """Log-mel spectra of one clip of any length, piece by piece.

        Memory beyond input and output does not grow with the clip. The spectra equal those of `call`, including the
        padding at both ends.

        Args:
          waveform: `[samples]` float32.
          at_once: Spectra per piece, at least `4 + n_fft / hop_length`; by default those of `pieces.ELEMENTS` samples.

        Returns:
          `[frames, mels]` float32 in dB.
        """
        waveform = tf.convert_to_tensor(waveform)
        half, hop, samples = self.n_fft // 2, self.hop_length, tf.shape(waveform)[0]
        fewest = 4 + self.n_fft // hop  # so that only the first and the last piece are padded
        most = max(pieces.ELEMENTS // self.n_fft, 2 * fewest) if at_once is None else at_once
        frames = n_frames(samples, hop)

        def levels(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
            is_first, is_last = tf.equal(begin, 0), tf.equal(end, frames)
            start = tf.where(is_first, 0, begin * hop - half)
            stop = tf.where(is_last, samples, (end - 1) * hop + half)
            beyond = tf.where(is_first, half, 0), tf.where(is_last, half, 0)
            return [self._levels(waveform[tf.newaxis, start:stop], *beyond)[0]]

        (level,) = pieces.concat_ranges(levels, frames, most, [[self.n_mels]])
        return self._referred(level[tf.newaxis])[0]

    def _levels(self, waveform: tf.Tensor, left: int | tf.Tensor, right: int | tf.Tensor) -> tf.Tensor:
        """`[batch, samples]`, padded by `left` and `right` samples → `[batch, frames, mels]` in absolute dB."""
        padded = tf.pad(waveform, [[0, 0], [left, right]], mode=self.pad_mode.upper())
        framed = tf.cast(tf.signal.frame(padded, self.n_fft, self.hop_length), self.fft)  # [batch, frames, n_fft]
        window = tf.signal.hann_window(self.n_fft, periodic=True, dtype=tf.as_dtype(self.fft))
        spectrum = tf.cast(tf.signal.rfft(framed * window), tf.complex64)  # sufficient from here on
        if self.fft == "float64":
            squared = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        else:
            squared = tf.square(tf.abs(spectrum))  # in the form that LiteRT converts
        energy = squared if self.power == 2 else squared ** (self.power / 2)
        with tf.device("CPU:0"):  # a GPU would compute the product in TensorFloat-32, with three digits
            mel = tf.concat([energy[:, :, bins] @ filters for bins, filters in self._filters], axis=2)
        return (20 / self.power / np.log(10)) * tf.math.log(mel + EPSILON)

    def _referred(self, level: tf.Tensor) -> tf.Tensor:
        """`[batch, frames, mels]` in absolute dB → in absolute or relative dB, as `log` says."""
        if self.log == "baseline":
            return level
        loudest = tf.reduce_max(level, axis=[1, 2], keepdims=True)
        return tf.maximum(level - loudest, FLOOR_DB)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """`[batch, samples]` → `[batch, frames, mels]`."""
        batch, samples = input_shape
        return batch, None if samples is None else n_frames(samples, self.hop_length), self.n_mels

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras' serialisation."""
        names = ("sample_rate", "n_fft", "hop_length", "n_mels", "power", "pad_mode", "log", "fft")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="ganad_tf")
class Normalizer(keras.layers.Layer):
    """Standardises each mel band by its mean and standard deviation over the training clips.

    Args:
      mean: Mean per mel band over the training spectra, in dB; `[mels]`.
      std: Standard deviation per mel band, in dB; `[mels]`.

    Call with `[..., mels]` in dB; returns z-scores of the same shape.

    >>> Normalizer(mean=[1.0, 2.0], std=[1.0, 2.0])(tf.constant([[2.0, 6.0]])).numpy().tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        super().__init__(autocast=False, **{"trainable": False, "dtype": "float32", **kwargs})
        self.mean = [float(value) for value in mean]
        self.std = [float(value) for value in std]
        self._mean = np.asarray(mean, np.float32)
        self.deviation = usable_deviation(np.asarray(std, np.float32))

    def call(self, log_mel: tf.Tensor) -> tf.Tensor:
        """`[..., mels]` in dB → `[..., mels]` z-scores."""
        return (log_mel - self._mean) / self.deviation

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras' serialisation."""
        return super().get_config() | {"mean": self.mean, "std": self.std}


def log_mel_layer(audio: Audio, feature: Feature, *, fft: Literal["float64", "float32"] = "float64") -> LogMel:
    """The `LogMel` layer that the sections `audio` and `feature` describe, with an FFT of the given precision.

    Raises:
      ConfigError: If the settings are not valid for the layer.
    """
    try:
        return LogMel(
            audio.sample_rate,
            feature.n_fft,
            feature.hop_length,
            feature.n_mels,
            feature.power,
            feature.pad_mode,
            feature.log,
            fft,
        )
    except ValueError as error:
        raise ConfigError(f"No spectrum can be computed with the section `feature`: {error}") from error


def feature_layer(
    audio: Audio, feature: Feature, *, fft: Literal["float64", "float32"] = "float64"
) -> LogMel | ClipEncoder:
    """The layer of the section `feature`, with `in_pieces` from one clip `[samples]` to `[frames, n_mels]`.

    Raises:
      ConfigError: If the settings are not valid for the layer.
      DataError: If there is no encoder where the settings say.
    """
    return log_mel_layer(audio, feature, fft=fft) if feature.encoder is None else clip_encoder.clip_encoder(feature)


def fewest_samples(feature: Feature) -> int:
    """Minimum number of samples of a clip: enough spectra for a window, and enough samples for reflection padding.

    With an encoder, enough for a window of embeddings.

    Raises:
      ConfigError, DataError: If the encoder can't be used.
    """
    if feature.encoder is not None:
        return clip_encoder.fewest_samples(feature)
    return max((feature.frames - 1) * feature.hop_length, feature.n_fft // 2 + 1)


def usable_deviation(deviation: np.ndarray) -> np.ndarray:
    """Standard deviations to divide by: those below 1e-3 dB, of constant bands, are replaced by 1.

    >>> usable_deviation(np.array([0.0, 3.0])).tolist()
    [1.0, 3.0]
    """
    return np.where(deviation < SMALLEST_DEVIATION_DB, np.ones_like(deviation), deviation)


def stack_frames(log_mel: tf.Tensor, frames: int, hop: int = 1) -> tf.Tensor:
    """Concatenates runs of `frames` consecutive spectra into one vector each.

    Oldest frame first, as in the DCASE 2020 Task 2 baseline.

    Args:
      log_mel: `[batch, time, mels]` float32, in dB; `time` counts the clip's spectra.
      frames: Spectra per vector; at least 1.
      hop: Spectra from the beginning of a run to that of the next.

    Returns:
      `[batch, (time - frames) // hop + 1, frames * mels]`, same dtype and unit.

    Raises:
      ValueError: If `frames` exceeds `time`, where `time` is known statically.

    >>> stack_frames(tf.zeros([2, 10, 128]), frames=5).shape
    TensorShape([2, 6, 640])
    >>> stack_frames(tf.zeros([2, 10, 128]), frames=4, hop=3).shape
    TensorShape([2, 3, 512])
    """
    time = log_mel.shape[1]
    if frames < 1 or (time is not None and frames > time):
        raise ValueError(f"Expected from 1 to {time} frames per window. Received: frames={frames}.")
    n_windows = (tf.shape(log_mel)[1] - frames) // hop + 1
    rows = hop * tf.range(n_windows)[:, tf.newaxis] + tf.range(frames)  # [windows, frames]
    shape = tf.shape(log_mel)
    return tf.reshape(tf.gather(log_mel, rows, axis=1), [shape[0], n_windows, frames * log_mel.shape[2]])


def windows_of(log_mel: tf.Tensor, frames: int, normalizer: Normalizer | None, hop: int = 1) -> tf.Tensor:
    """Standardised, stacked windows of one clip, the input of a detector.

    Args:
      log_mel: `[time, mels]` float32, in dB.
      frames: Spectra per window.
      normalizer: Standardises the spectra; None for none.
      hop: Spectra from one window to the next.

    Returns:
      `[(time - frames) // hop + 1, frames * mels]` float32.
    """
    values = log_mel if normalizer is None else normalizer(log_mel)
    return stack_frames(values[tf.newaxis], frames, hop)[0]


def n_frames(samples: int, hop_length: int) -> int:
    """Number of spectra of a clip.

    >>> n_frames(160_000, hop_length=512)
    313
    """
    return 1 + samples // hop_length
