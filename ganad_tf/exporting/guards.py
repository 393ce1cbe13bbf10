"""The check of the input where no sentence can be said: a model for a small board calls unusable sound an anomaly."""

import tensorflow as tf

from ganad_tf.audio import LOUDEST


def guarded(waveforms: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Scores `[batch]`, but infinity, which is above any threshold, for clips that can't be scored.

    That is a clip with a sample that is NaN, infinite, or beyond 8 times full scale, and one whose score is no number.

    Args:
      waveforms: `[batch, samples]` float32.
      scores: `[batch]` float32.
    """
    # Infinity is chosen as such in ONNX, any other number by products, in which NaN stays NaN; in LiteRT it becomes the
    # largest number there is.
    # A comparison with NaN is false in every runtime; its maximum need not be NaN. Minima of 0 and 1 are exact.
    is_usable = tf.reduce_min(tf.cast(tf.abs(waveforms) <= LOUDEST, tf.float32), axis=1) > 0
    is_number = tf.abs(scores) <= scores.dtype.max
    return tf.where(tf.logical_and(is_usable, is_number), scores, float("inf"))
