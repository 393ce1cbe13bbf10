"""Other kinds of spectra than log-mels: `feature.kind: linear | mfcc | pcen`.

Each computes what librosa does: `librosa.stft` in dB, `librosa.feature.mfcc` of the log-mel, `librosa.pcen` with its
default parameters.
"""

import math
from typing import Any

import ganad_tf.keras_backend  # noqa: F401 - before Keras

# isort: split
import keras
import numpy as np
import tensorflow as tf
from scipy import fft as transforms

from ganad_tf.features.log_mel import LogMel
from ganad_tf.features.spectra import Spectra
from ganad_tf.mel_scale import linear_edges

FULL_SCALE = 2.0**31  # librosa's PCEN is made for samples as whole numbers of 32 bits
GAIN, BIAS, ROOT, SECONDS = 0.98, 2.0, 0.5, 0.4  # Wang et al. 2017; the smoother's time constant is librosa's
LEAST = 1e-6
NEGLIGIBLE = 1e-20  # weight of a spectrum in the smoother's past


@keras.saving.register_keras_serializable(package="ganad_tf")
class LinearSpectrogram(Spectra):
    """Levels of all bins of the FFT, `20 / power * log10(|STFT|^power + eps)`, `1 + n_fft / 2` per spectrum, in dB.

    Args:
      sample_rate, n_fft, hop_length, power, pad_mode, log, fft, win_length: As of `LogMel`.

    >>> LinearSpectrogram(n_fft=512)(tf.zeros([1, 16000])).shape
    TensorShape([1, 32, 257])
    """

    @property
    def width(self) -> int:
        """Bins."""
        return 1 + self.n_fft // 2

    @property
    def edges_hz(self) -> np.ndarray:
        """Edges and centres of the bins, `[bins + 2]` in hertz."""
        return linear_edges(self.width, self.sample_rate)

    def of_energy(self, energy: tf.Tensor) -> tf.Tensor:
        """Energies `[batch, frames, bins]` → levels in dB."""
        return self.decibels(energy)

    def energy_of(self, levels: np.ndarray) -> np.ndarray:
        """Levels `[frames, bins]` in dB → energies of the FFT's bins, `[frames, bins]`."""
        return np.asarray(10.0 ** (levels.astype(np.float64) * self.power / 20))


@keras.saving.register_keras_serializable(package="ganad_tf")
class MFCC(LogMel):
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of each log-mel spectrum, its first `n_mfcc`.

    Args:
      *settings: As of `LogMel`.
      n_mfcc: Number of coefficients, the lowest first.
      **named: As of `LogMel`.

    >>> MFCC(n_mfcc=13)(tf.zeros([1, 16000])).shape
    TensorShape([1, 32, 13])
    """

    def __init__(self, *settings: Any, n_mfcc: int = 20, **named: Any) -> None:
        super().__init__(*settings, **named)
        if not 1 <= n_mfcc <= self.n_mels:
            raise ValueError(f"Expected n_mfcc from 1 to n_mels. Received: n_mfcc={n_mfcc}, n_mels={self.n_mels}.")
        self.n_mfcc = n_mfcc
        cosines = transforms.dct(np.eye(self.n_mels), norm="ortho", axis=1)  # [mels, mels]
        self._cosines = cosines[:, :n_mfcc].astype(np.float32)

    @property
    def bands(self) -> int:
        """Coefficients."""
        return self.n_mfcc

    def of_clip(self, values: tf.Tensor) -> tf.Tensor:
        """Log-mels `[batch, frames, mels]` in absolute dB → `[batch, frames, n_mfcc]`."""
        with tf.device("CPU:0"):  # as the mel bands
            return super().of_clip(values) @ self._cosines

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras' serialisation."""
        return super().get_config() | {"n_mfcc": self.n_mfcc}


@keras.saving.register_keras_serializable(package="ganad_tf")
class PCEN(LogMel):
    """Mel bands under per-channel energy normalization (Wang et al. 2017, Eq. 1), in place of the logarithm.

    `(E / (eps + M)^gain + bias)^root - bias^root` with `M[t] = (1 - s) M[t - 1] + s E[t]`, which begins at 1. E are the
    energies of the mel bands times 2^31; parameters as librosa's defaults: gain 0.98, bias 2, root 0.5, eps 1e-6,
    and s of a time constant of 0.4 seconds. Values have no unit.

    Args:
      *settings: As of `LogMel`.
      **named: As of `LogMel`; `log` has no effect.

    >>> PCEN(n_mels=40)(tf.zeros([1, 16000])).shape
    TensorShape([1, 32, 40])
    """

    def of_energy(self, energy: tf.Tensor) -> tf.Tensor:
        """Energies `[batch, frames, bins]` → those of the mel bands, `[batch, frames, mels]`."""
        return FULL_SCALE * self.banded(energy)

    def of_clip(self, values: tf.Tensor) -> tf.Tensor:
        """Energies of the mel bands of whole clips, `[batch, frames, mels]` → their normalization."""
        spectra = SECONDS * self.sample_rate / self.hop_length
        share = (math.sqrt(1 + 4 * spectra**2) - 1) / (2 * spectra**2)
        mean = smoothed(values, share)
        return tf.pow(values * tf.exp(-GAIN * tf.math.log(LEAST + mean)) + BIAS, ROOT) - BIAS**ROOT


def smoothed(values: tf.Tensor, share: float) -> tf.Tensor:
    """Exponentially weighted mean over time, `M[t] = (1 - share) M[t - 1] + share * values[t]` with `M[-1] = 1`.

    In a logarithmic number of steps, each of which doubles the past that is summed up, without a loop over time that
    small boards could not run.

    Args:
      values: `[batch, frames, bands]`.
      share: In (0, 1).

    >>> smoothed(tf.ones([1, 3, 1]), 0.5)[0, :, 0].numpy().tolist()
    [1.0, 1.0, 1.0]
    """
    count, keep = tf.shape(values)[1], 1.0 - share
    mean, shift = share * values, 1
    while keep**shift > NEGLIGIBLE:
        earlier = tf.pad(mean, [[0, 0], [shift, 0], [0, 0]])[:, :count]
        mean, shift = mean + keep**shift * earlier, 2 * shift
    beginning = tf.exp(math.log(keep) * tf.cast(1 + tf.range(count), values.dtype))
    return mean + beginning[:, tf.newaxis]
