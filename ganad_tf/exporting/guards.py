"""Input check of LiteRT and ONNX models, which have no error messages: unusable clips score as anomalies."""

import tensorflow as tf

from ganad_tf.audio import LOUDEST


def replace_unusable_scores(waveforms: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Scores `[batch]`, replaced by infinity for clips that can't be scored.

    A clip is unusable if a sample is NaN, infinite or beyond `LOUDEST` times full scale, or if its score is not finite.

    Args:
      waveforms: `[batch, samples]` float32.
      scores: `[batch]` float32.
    """
    # ONNX selects infinity exactly, but any other constant by products, in which NaN stays NaN. LiteRT turns infinity
    # into the largest float. Comparisons with NaN are false in every runtime, whereas a maximum may ignore NaN; the
    # minimum of zeros and ones is exact.
    is_usable = tf.reduce_min(tf.cast(tf.abs(waveforms) <= LOUDEST, tf.float32), axis=1) > 0
    is_number = tf.abs(scores) <= scores.dtype.max
    return tf.where(tf.logical_and(is_usable, is_number), scores, float("inf"))
