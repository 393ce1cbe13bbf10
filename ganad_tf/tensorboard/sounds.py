"""Sounds for TensorBoard: a few clips and their reconstructions."""

import numpy as np
import tensorflow as tf

from ganad_tf.features import AnySpectra
from ganad_tf.tensorboard.clips import ClipCallback

ITERATIONS = 16  # more change little that can be heard
PEAK = 0.5  # of a reconstruction whose features don't know the level
LEAST = 0.1  # to divide by where windows hardly overlap; a smaller one makes clicks of rounding errors


class Sounds(ClipCallback):
    """A few clips and their reconstructions, to be heard; written once, when training has ended.

    Args:
      log_dir: As for `SummaryCallback`.
      clips: By name: `[samples]` float32, long enough for a window.
      log_mel: Features that the model sees.
      frames: Spectra per window.
      normalizer: Standardises the spectra before the model; None for none.
    """

    def write_end(self, step: int) -> None:
        """Writes every clip twice."""
        with self.writer().as_default(step):
            for name, waveform in self.clips.items():
                spectra = self.reconstruct(self.log_mel(waveform[np.newaxis])[0])
                reproduced = waveform_of(spectra, self.log_mel)
                for tag, samples in ((f"sounds/{name}", waveform), (f"sounds/{name} reconstruction", reproduced)):
                    tf.summary.audio(tag, samples[np.newaxis, :, np.newaxis], self.log_mel.sample_rate)


def waveform_of(spectra: np.ndarray, log_mel: AnySpectra) -> np.ndarray:
    """A waveform with about these log-mel spectra, the same every time.

    Args:
      spectra: `[time, mels]` in dB.
      log_mel: Features that made them; with `relative_80db`, the level is made up.

    Returns:
      `[samples]` float32, `hop_length * (time - 1)` long, in [-1, 1].
    """
    magnitude = log_mel.energy_of(spectra) ** (1 / log_mel.power)
    samples = griffin_lim(tf.constant(magnitude, tf.float32), log_mel.n_fft, log_mel.hop_length).numpy()
    if log_mel.log == "relative_80db":
        samples = samples * (PEAK / max(float(np.abs(samples).max(initial=0)), 1e-9))
    return np.clip(samples, -1, 1).astype(np.float32)


def griffin_lim(magnitude: tf.Tensor, n_fft: int, hop_length: int) -> tf.Tensor:
    """A waveform whose spectra have about these magnitudes (Griffin and Lim 1984), the same every time.

    librosa has it too, but takes seconds to get ready.

    Args:
      magnitude: `[time, 1 + n_fft // 2]`.
      n_fft: Samples per spectrum.
      hop_length: Samples from one spectrum, centred, to the next.

    Returns:
      `[hop_length * (time - 1)]` float32.
    """
    inverse_window = _inverse_window(n_fft, hop_length)
    turn = tf.random.stateless_uniform(tf.shape(magnitude), seed=(0, 0), maxval=2 * np.pi)
    for _ in range(ITERATIONS):
        spectra = tf.cast(magnitude, tf.complex64) * tf.exp(tf.complex(0.0, turn))
        samples = tf.signal.inverse_stft(
            spectra, n_fft, hop_length, fft_length=n_fft, window_fn=lambda *_, **__: inverse_window
        )
        turn = tf.math.angle(tf.signal.stft(samples, n_fft, hop_length, fft_length=n_fft))
    edge = n_fft // 2
    return samples[edge : edge + hop_length * (tf.shape(magnitude)[0] - 1)]


def _inverse_window(n_fft: int, hop_length: int) -> tf.Tensor:
    """Synthesis window `[n_fft]` float32, by which overlapping frames add up to the sound."""
    window = tf.signal.hann_window(n_fft).numpy()
    offset = np.arange(n_fft) % hop_length
    overlap = np.bincount(offset, weights=np.square(window))
    return tf.constant(window / np.maximum(overlap, LEAST)[offset], tf.float32)
