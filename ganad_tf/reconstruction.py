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
    reproduced = detector(windows, training=False)
    frames = windows.shape[1] // n_mels
    spectra = tf.reshape(reproduced, [-1, frames, n_mels])
    middle = frames // 2
    joined = tf.concat([spectra[0, :middle], spectra[:, middle], spectra[-1, middle + 1 :]], axis=0)
    return joined if normalizer is None else joined * normalizer.deviation + normalizer.mean
