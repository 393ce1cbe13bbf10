"""Waveform → short-time spectra, in the graph: the transform that all kinds of `feature.kind` begin with.

The transform runs in float64 because a float32 FFT misses a clean tone's quiet bands by tens of dB.
"""

from collections.abc import Sequence
from typing import Any, Literal

import ganad_tf.keras_backend  # noqa: F401 - before Keras

# isort: split
import keras
import numpy as np
import tensorflow as tf

from ganad_tf.features import pieces

EPSILON = float(np.finfo(np.float64).eps)  # added before the logarithm, as in the baseline
FLOOR_DB = -80.0  # paper, Eq. 3

Log = Literal["baseline", "relative_80db"]
PadMode = Literal["reflect", "constant"]
Precision = Literal["float64", "float32"]


class Spectra(keras.layers.Layer):
    """Base of the layers that compute spectra of waveforms: centred frames under a periodic Hann window, and their FFT.

    A subclass turns the energies of each spectrum into `width` values by `of_energy`, and the values of a whole clip
    into its features by `of_clip`.

    Args:
      sample_rate: Sample rate in hertz.
      n_fft: Samples per spectrum; even.
      hop_length: Samples from one spectrum to the next.
      power: 2 for power, 1 for magnitude.
      pad_mode: `reflect` (librosa up to 0.8, and the baseline) or `constant` (librosa since 0.9).
      log: `baseline` for absolute dB; `relative_80db` for dB below the clip's loudest value, floored 80 dB below it.
      fft: Precision of the FFT.
      win_length: Samples under the window, in the middle of the `n_fft`; None for `n_fft`.

    Raises:
      ValueError: If `n_fft` is odd, `win_length` exceeds it, or `pad_mode`, `log` or `fft` is not one of the above.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 1024,
        hop_length: int = 512,
        power: float = 2.0,
        pad_mode: PadMode = "reflect",
        log: Log = "baseline",
        fft: Precision = "float64",
        win_length: int | None = None,
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
        if win_length is not None and not 2 <= win_length <= n_fft:
            raise ValueError(f"Expected win_length from 2 to n_fft. Received: win_length={win_length}, n_fft={n_fft}.")
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.power = power
        self.pad_mode = pad_mode
        self.log = log
        self.fft = fft
        self.win_length = win_length

    @property
    def width(self) -> int:
        """Values of a spectrum that `of_energy` returns."""
        raise NotImplementedError

    @property
    def bands(self) -> int:
        """Values of a spectrum that the layer returns."""
        return self.width

    def of_energy(self, energy: tf.Tensor) -> tf.Tensor:
        """`|STFT|^power`, `[batch, frames, 1 + n_fft / 2]` → `[batch, frames, width]`, each spectrum by itself."""
        raise NotImplementedError

    def of_clip(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch, frames, width]` of whole clips → `[batch, frames, bands]`; by default as `log` says."""
        if self.log == "baseline":
            return values
        loudest = tf.reduce_max(values, axis=[1, 2], keepdims=True)
        return tf.maximum(values - loudest, FLOOR_DB)

    def decibels(self, energy: tf.Tensor) -> tf.Tensor:
        """Energies as levels in dB, `20 / power * log10(energy + eps)`."""
        return (20 / self.power / np.log(10)) * tf.math.log(energy + EPSILON)

    def window(self) -> tf.Tensor:
        """The periodic Hann window, `[n_fft]` in the precision of the FFT."""
        dtype = tf.as_dtype(self.fft)
        if self.win_length is None:
            return tf.signal.hann_window(self.n_fft, periodic=True, dtype=dtype)
        # TensorFlow's periodic window of an odd length is symmetric; this one, without its end, is not.
        window = tf.signal.hann_window(self.win_length + 1, periodic=False, dtype=dtype)[:-1]
        left = (self.n_fft - self.win_length) // 2
        return tf.pad(window, [[left, self.n_fft - self.win_length - left]])

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        """`[batch, samples]` → `[batch, frames, bands]`."""
        half = self.n_fft // 2
        return self.of_clip(self._values(waveform, half, half))

    def in_pieces(self, waveform: tf.Tensor, *, at_once: int | None = None) -> tf.Tensor:
        """Features of one clip of any length, piece by piece.

        Memory beyond input and a few times the output does not grow with the clip. The spectra equal those of `call`,
        including the padding at both ends.

        Args:
          waveform: `[samples]` float32.
          at_once: Spectra per piece, at least `4 + n_fft / hop_length`; by default those of `pieces.ELEMENTS` samples.

        Returns:
          `[frames, bands]` float32.
        """
        waveform = tf.convert_to_tensor(waveform)
        half, hop, samples = self.n_fft // 2, self.hop_length, tf.shape(waveform)[0]
        fewest = 4 + self.n_fft // hop  # so that only the first and the last piece are padded
        most = max(pieces.ELEMENTS // self.n_fft, 2 * fewest) if at_once is None else at_once
        frames = n_frames(samples, hop)

        def values(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
            is_first, is_last = tf.equal(begin, 0), tf.equal(end, frames)
            start = tf.where(is_first, 0, begin * hop - half)
            stop = tf.where(is_last, samples, (end - 1) * hop + half)
            beyond = tf.where(is_first, half, 0), tf.where(is_last, half, 0)
            return [self._values(waveform[tf.newaxis, start:stop], *beyond)[0]]

        (of_pieces,) = pieces.concat_ranges(values, frames, most, [[self.width]])
        return self.of_clip(of_pieces[tf.newaxis])[0]

    def _values(self, waveform: tf.Tensor, left: int | tf.Tensor, right: int | tf.Tensor) -> tf.Tensor:
        """`[batch, samples]`, padded by `left` and `right` samples → `[batch, frames, width]`."""
        padded = tf.pad(waveform, [[0, 0], [left, right]], mode=self.pad_mode.upper())
        framed = tf.cast(tf.signal.frame(padded, self.n_fft, self.hop_length), self.fft)  # [batch, frames, n_fft]
        spectrum = tf.cast(tf.signal.rfft(framed * self.window()), tf.complex64)  # sufficient from here on
        if self.fft == "float64":
            squared = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        else:
            squared = tf.square(tf.abs(spectrum))  # in the form that LiteRT converts
        return self.of_energy(squared if self.power == 2 else squared ** (self.power / 2))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """`[batch, samples]` → `[batch, frames, bands]`."""
        batch, samples = input_shape
        return batch, None if samples is None else n_frames(samples, self.hop_length), self.bands

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras' serialisation."""
        names = ("sample_rate", "n_fft", "hop_length", "power", "pad_mode", "log", "fft", "win_length")
        return super().get_config() | {name: getattr(self, name) for name in names}


def n_frames(samples: int, hop_length: int) -> int:
    """Number of spectra of a clip.

    >>> n_frames(160_000, hop_length=512)
    313
    """
    return 1 + samples // hop_length
