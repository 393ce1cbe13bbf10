"""What a detector makes of a clip, spectrum by spectrum and in decibels: for eyes, not for scores."""

import tensorflow as tf

from ganad_tf.features import Normalizer
from ganad_tf.models import Detector


def reconstruction(detector: Detector, windows: tf.Tensor, n_mels: int, normalizer: Normalizer | None) -> tf.Tensor:
    """A clip as the detector reproduces it.

    Each spectrum is taken from the window that has it in its middle, at the ends from the first and the last window.

    Args:
      detector: One that reconstructs.
      windows: Of one clip, `[n_windows, dims]`, as `features.windows_of` makes them.
      n_mels: Mel bands of a spectrum.
      normalizer: What standardised the windows; None for nothing.

    Returns:
      `[n_windows + frames - 1, mels]` in dB, `frames` being `dims / n_mels`.
    """
    reproduced = spectra(detector, windows, n_mels)
    return between(reproduced[0], reproduced[:, reproduced.shape[1] // 2], reproduced[-1], normalizer)


def spectra(detector: Detector, windows: tf.Tensor, n_mels: int) -> tf.Tensor:
    """Windows `[windows, dims]` as the detector reproduces them, `[windows, frames, mels]`."""
    return tf.reshape(detector(windows, training=False), [-1, windows.shape[1] // n_mels, n_mels])


def middle_spectra(detector: Detector, windows: tf.Tensor, n_mels: int) -> tf.Tensor:
    """The spectrum in the middle of each window as the detector reproduces it, `[windows, mels]`."""
    return spectra(detector, windows, n_mels)[:, windows.shape[1] // n_mels // 2]


def between(first: tf.Tensor, middles: tf.Tensor, last: tf.Tensor, normalizer: Normalizer | None) -> tf.Tensor:
    """The clip that middle spectra `[windows, mels]` make between the ends of two windows, `[frames, mels]` each."""
    middle = first.shape[0] // 2
    joined = tf.concat([first[:middle], middles, last[middle + 1 :]], axis=0)
    return joined if normalizer is None else joined * normalizer.deviation + normalizer.mean
