"""A detector's windows → one number per clip: the paper's score averaged, or the density of the residual.

Both are TensorFlow operations on a batch of clips of equal length, so that training, scoring and an
exported model run the same lines.
"""

from collections.abc import Callable

import tensorflow as tf

from ganad_tf.features import Normalizer
from ganad_tf.models import Detector
from ganad_tf.sections import Scorer


def paper_scores(detector: Detector, windows: tf.Tensor) -> tf.Tensor:
    """The detector's own score equation, averaged over each clip's windows.

    Args:
      detector: Whose `anomaly_score` it is.
      windows: `[batch, n_windows, dims]` float32.

    Returns:
      `[batch]` float32; higher is more anomalous.
    """
    return tf.reduce_mean(_per_window(detector.anomaly_score, windows), axis=1)


def pooled_residuals(
    detector: Detector, windows: tf.Tensor, normalizer: Normalizer | None, n_mels: int, settings: Scorer
) -> tf.Tensor:
    """What the detector could not reproduce of each clip, one value per mel band.

    The residual is averaged over the spectra of a window, brought back to decibels, and pooled over time
    as `settings.pooling` says.

    Args:
      detector: Whose `residual` it is.
      windows: `[batch, n_windows, dims]` float32.
      normalizer: What standardised the windows; None for nothing.
      n_mels: Mel bands of a spectrum.
      settings: The section `scorer`.

    Returns:
      `[batch, mels]` float32 in dB.
    """
    level, residual = (
        _by_band(values, n_mels, normalizer) for values in (windows, _per_window(detector.residual, windows))
    )
    return pool(residual, level, settings)


def pool(residual: tf.Tensor, level: tf.Tensor, settings: Scorer) -> tf.Tensor:
    """One value per clip and mel band.

    `mean` over time; `max` of how far the sound exceeds its reconstruction; `gwrp`, global weighted rank
    pooling (Kolesnikov and Lampert 2016): `sum_i decay^i v_i / sum_i decay^i`, v that excess from the largest
    down; `lulls`: the same sum over the residual, in the order of the band's level from the quietest up.

    Args:
      residual: `[batch, n_windows, mels]`.
      level: `[batch, n_windows, mels]`, the sound itself.
      settings: The section `scorer`.

    Returns:
      `[batch, mels]` in the unit of `residual`.
    """
    if settings.pooling == "mean":
        return tf.reduce_mean(residual, axis=1)
    if settings.pooling == "max":
        return tf.reduce_max(-residual, axis=1)
    rank = tf.cast(tf.range(tf.shape(residual)[1]), tf.float32)
    weights = tf.pow(tf.constant(settings.decay, tf.float32), rank)  # [n_windows]
    of_band = tf.transpose(residual, [0, 2, 1])  # [batch, mels, n_windows]
    if settings.pooling == "gwrp":
        ranked = tf.sort(-of_band, direction="DESCENDING")
    else:
        ranked = tf.gather(of_band, tf.argsort(tf.transpose(level, [0, 2, 1])), batch_dims=2)
    return tf.linalg.matvec(ranked, weights / tf.reduce_sum(weights))


def _by_band(windows: tf.Tensor, n_mels: int, normalizer: Normalizer | None) -> tf.Tensor:
    """The mean over the spectra of each window, `[batch, n_windows, mels]`, in dB but for an offset."""
    shape = tf.shape(windows)
    mean = tf.reduce_mean(tf.reshape(windows, [shape[0], shape[1], -1, n_mels]), axis=2)
    return mean if normalizer is None else mean * normalizer.deviation


def _per_window(function: Callable[[tf.Tensor], tf.Tensor], windows: tf.Tensor) -> tf.Tensor:
    """Applies a function of `[windows, dims]` to each window of `[batch, n_windows, dims]`."""
    shape = tf.shape(windows)
    values = function(tf.reshape(windows, [-1, windows.shape[2]]))
    return tf.reshape(values, tf.concat([shape[:2], tf.shape(values)[1:]], axis=0))
