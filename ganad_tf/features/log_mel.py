"""Waveform → log-mel spectra → windows, in the graph: the only implementation of the features.

Source: DCASE 2020 Task 2 baseline (`common.py`, `file_to_vector_array`), on librosa's Slaney mel scale.
"""

from collections.abc import Sequence
from typing import Any, Literal

import ganad_tf.keras_backend  # noqa: F401 - before Keras

# isort: split
import keras
import numpy as np
import tensorflow as tf

from ganad_tf.features import mel_filters
from ganad_tf.features.spectra import Spectra
from ganad_tf.mel_scale import mel_edges

SMALLEST_DEVIATION_DB = 1e-3


@keras.saving.register_keras_serializable(package="ganad_tf")
class LogMel(Spectra):
    """Log-mel spectra of waveforms; for power 2, within 1e-3 dB of librosa computed in float64.

    `20 / power * log10(mel(|STFT|^power) + eps)`, eps the float64 machine epsilon, periodic Hann
    window, centred frames, Slaney mel bands from `fmin` to `fmax`.

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
      fmin: Lower edge of the lowest band, in hertz.
      fmax: Upper edge of the highest band, in hertz; None for half the sample rate.
      win_length: Samples under the window, in the middle of the `n_fft`; None for `n_fft`.

    Call with `[batch, samples]` float32; returns `[batch, frames, mels]` float32 in dB, with
    `frames = 1 + samples // hop_length`. Reflection needs more than `n_fft // 2` samples.

    Raises:
      ValueError: If a mel band would be empty, `n_fft` is odd, `win_length` exceeds it, or `pad_mode`, `log` or `fft`
        is not one of the above.

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
        fmin: float = 0.0,
        fmax: float | None = None,
        win_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            power=power,
            pad_mode=pad_mode,
            log=log,
            fft=fft,
            win_length=win_length,
            **kwargs,
        )
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = fmax
        self._filters = mel_filters.grouped(mel_filters.matrix(sample_rate, n_fft, n_mels, fmin, fmax))

    @property
    def width(self) -> int:
        """Mel bands."""
        return self.n_mels

    @property
    def edges_hz(self) -> np.ndarray:
        """Edges and centres of the mel bands, `[mels + 2]` in hertz."""
        return mel_edges(self.n_mels, self.sample_rate, self.fmin, self.fmax)

    def banded(self, energy: tf.Tensor) -> tf.Tensor:
        """Energies of bins, `[batch, frames, bins]` → of mel bands, `[batch, frames, mels]`."""
        with tf.device("CPU:0"):  # a GPU would compute the product in TensorFloat-32, with three digits
            return tf.concat([energy[:, :, bins] @ filters for bins, filters in self._filters], axis=2)

    def of_energy(self, energy: tf.Tensor) -> tf.Tensor:
        """Energies of bins, `[batch, frames, bins]` → levels of mel bands in absolute dB, `[batch, frames, mels]`."""
        return self.decibels(self.banded(energy))

    def energy_of(self, levels: np.ndarray) -> np.ndarray:
        """Levels `[frames, mels]` in dB → energies of the FFT's bins that have about these, `[frames, bins]`."""
        filters = mel_filters.matrix(self.sample_rate, self.n_fft, self.n_mels, self.fmin, self.fmax)
        mel = 10.0 ** (levels.astype(np.float64) * self.power / 20)
        return np.maximum(mel @ np.linalg.pinv(filters.astype(np.float64)), 0)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras' serialisation."""
        return super().get_config() | {"n_mels": self.n_mels, "fmin": self.fmin, "fmax": self.fmax}


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
