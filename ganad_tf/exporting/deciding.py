"""Decisions in the graph: scores → anomaly or not, threshold and p-value."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ganad_tf.exporting.checks import expect, expect_finite
from ganad_tf.results import conformal
from ganad_tf.serving.models.signature import FALSE_ALARMS

Tensors = dict[str, tf.Tensor]


class Decider:
    """Decides by the threshold of the export, or by that of a false-alarm rate.

    Args:
      threshold: Clips with a higher score are anomalies.
      calibration: Scores `[n]` of normal clips that the members have not seen; empty for none.
      dtype: Floating-point type in which scores are compared with each other.
      recordings: Recording of each calibration clip, as of `conformal.p_values`.
    """

    def __init__(
        self, threshold: float, calibration: Sequence[float], dtype: str, recordings: Sequence[str] = ()
    ) -> None:
        self._threshold = threshold
        ordered, by_count = conformal.ladder(np.asarray(calibration, dtype), recordings)
        self._calibration = ordered.astype(dtype)
        # In float32, as the rates and p-values that a client sends and receives, so that 3/10 is 0.3.
        self._p_values = by_count.astype(np.float32)
        self._n_recordings = conformal.count_recordings(len(calibration), recordings)
        self._unit, _ = conformal.unit_of(len(calibration), recordings)

    @property
    def has_p_values(self) -> bool:
        """Whether there are calibration scores."""
        return self._calibration.size > 0

    def decide(self, scores: tf.Tensor, threshold: tf.Tensor | None = None) -> Tensors:
        """Decides by the threshold of the export, or by one per clip.

        Args:
          scores: `[batch]` float32.
          threshold: `[batch]`; None for that of the export.

        Returns:
          `anomaly_score`, `is_anomaly`, `threshold` float32 and, with calibration scores, `p_value`, all `[batch]`.
        """
        if threshold is None:
            threshold = tf.fill(tf.shape(scores), tf.constant(self._threshold, self._calibration.dtype))
        is_anomaly = tf.cast(scores, threshold.dtype) > threshold  # in float64, as in the decision files
        decided = {"anomaly_score": scores, "is_anomaly": is_anomaly, "threshold": tf.cast(threshold, tf.float32)}
        return decided | ({"p_value": self._p_value(scores)} if self.has_p_values else {})

    def decide_at(self, scores: tf.Tensor, false_alarms: tf.Tensor) -> Tensors:
        """Decides by `conformal.threshold` of one false-alarm rate per clip, `[batch]`: a p-value of at most the rate.

        The graph refuses rates that are not between 0 and 1, or lower than the number of recordings allows.
        """
        n_scores = len(self._calibration)
        is_rate = (false_alarms >= self._p_values[0]) & (false_alarms < 1)
        sentence = (
            f"{FALSE_ALARMS}: expected rates below 1 and at least 1/{self._n_recordings + 1}, which "
            f"{self._n_recordings} normal {self._unit} allow, received"
        )
        check = expect(tf.reduce_all(is_rate), sentence, tf.boolean_mask(false_alarms, ~is_rate)[:1])
        with tf.control_dependencies([check]):
            n_above = tf.searchsorted(self._p_values[:-1], false_alarms, side="right")
        return self.decide(scores, tf.gather(self._calibration, n_scores - n_above))

    def _p_value(self, scores: tf.Tensor) -> tf.Tensor:
        """`conformal.p_values` of scores `[batch]`, float32."""
        is_above = tf.cast(scores, self._calibration.dtype)[:, tf.newaxis] <= self._calibration  # [batch, n]
        return tf.gather(self._p_values, tf.reduce_sum(tf.cast(is_above, tf.int32), axis=1))


def finite(name: str, scores: tf.Tensor) -> tf.Tensor:
    """Returns scores `[batch]`; fails in the graph with the input's name if one is NaN or infinite."""
    with tf.control_dependencies([expect_finite(name, scores)]):
        return tf.identity(scores)
