"""Reconstruction of a clip as a spectrogram in dB, for display; scores do not use it."""

import tensorflow as tf

from ganad_tf.features import Normalizer
from ganad_tf.models import Detector
from ganad_tf.models.detector import largest_batch


def reconstruction(detector: Detector, windows: tf.Tensor, n_mels: int, normalizer: Normalizer | None) -> tf.Tensor:
    """Reconstructs a clip.

    Each spectrum is taken from the window that has it in the middle; those at the ends, from the first and last window.

    Args:
      detector: The detector.
      windows: Windows of one clip, `[n_windows, dims]`, from `features.windows_of`.
      n_mels: Mel bands of a spectrum.
      normalizer: Standardised the windows; None for none.

    Returns:
      `[n_windows + frames - 1, mels]` in dB, with `frames = dims / n_mels`.
    """
    parts = range(0, len(windows), largest_batch(detector))
    reproduced = tf.concat([spectra(detector, windows[at : at + parts.step], n_mels) for at in parts], axis=0)
    return between(reproduced[0], reproduced[:, reproduced.shape[1] // 2], reproduced[-1], normalizer)


def spectra(detector: Detector, windows: tf.Tensor, n_mels: int) -> tf.Tensor:
    """Reconstructed spectra of windows, `[windows, dims]` → `[windows, frames, mels]`."""
    reconstruct = detector.reconstruct if isinstance(detector, Detector) else detector  # or a reader's own model
    return tf.reshape(reconstruct(windows), [-1, windows.shape[1] // n_mels, n_mels])


def middle_spectra(detector: Detector, windows: tf.Tensor, n_mels: int) -> tf.Tensor:
    """Reconstructed middle spectrum of each window, `[windows, dims]` → `[windows, mels]`."""
    return spectra(detector, windows, n_mels)[:, windows.shape[1] // n_mels // 2]


def between(first: tf.Tensor, middles: tf.Tensor, last: tf.Tensor, normalizer: Normalizer | None) -> tf.Tensor:
    """Joins middle spectra, `[windows, mels]`, with the ends of the first and last window, `[frames, mels]` each.

    Returns:
      `[windows + frames - 1, mels]` in dB.
    """
    middle = first.shape[0] // 2
    joined = tf.concat([first[:middle], middles, last[middle + 1 :]], axis=0)
    return joined if normalizer is None else joined * normalizer.deviation + normalizer.mean
