"""Decisions in the graph: scores → anomaly or not, threshold and p-value."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ganad_tf.exporting.checks import expect, expect_finite
from ganad_tf.results import conformal
from ganad_tf.serving.models.signature import FALSE_ALARMS

Tensors = dict[str, tf.Tensor]


class Ladder(NamedTuple):
    """Calibration scores and the p-values between them (`conformal.ladder`), of one machine or of each clip's.

    Attributes:
      scores: In ascending order, `[n]` or `[batch, n]`.
      p_values: Of a score by the number of calibration scores that are at least as high, `[n + 1]` or `[batch, n + 1]`.
    """

    scores: tf.Tensor
    p_values: tf.Tensor


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

    def decide(self, scores: tf.Tensor, threshold: tf.Tensor | None = None, ladder: Ladder | None = None) -> Tensors:
        """Decides by the threshold of the export, or by one per clip.

        Args:
          scores: `[batch]` float32.
          threshold: `[batch]`; None for that of the export.
          ladder: Calibration of each clip's machine, of as many scores as that of the export; None for that.

        Returns:
          `anomaly_score`, `is_anomaly`, `threshold` float32 and, with calibration scores, `p_value`, all `[batch]`.
        """
        if threshold is None:
            threshold = tf.fill(tf.shape(scores), tf.constant(self._threshold, self._calibration.dtype))
        is_anomaly = tf.cast(scores, threshold.dtype) > threshold  # in float64, as in the decision files
        decided = {"anomaly_score": scores, "is_anomaly": is_anomaly, "threshold": tf.cast(threshold, tf.float32)}
        return decided | ({"p_value": self._p_value(scores, ladder or self._ladder)} if self.has_p_values else {})

    def decide_at(self, scores: tf.Tensor, false_alarms: tf.Tensor, ladder: Ladder | None = None) -> Tensors:
        """Decides by `conformal.threshold` of one false-alarm rate per clip, `[batch]`: a p-value of at most the rate.

        The graph refuses rates that are not between 0 and 1, or lower than the number of recordings allows.
        """
        normal = ladder or self._ladder
        is_rate = (false_alarms >= normal.p_values[..., 0]) & (false_alarms < 1)
        allowed = f"1/{self._n_recordings + 1}, which {self._n_recordings} normal {self._unit} allow"
        if ladder is not None:
            allowed = "1 / (1 + number of the machine's normal recordings)"
        sentence = f"{FALSE_ALARMS}: expected rates below 1 and at least {allowed}, received"
        check = expect(tf.reduce_all(is_rate), sentence, tf.boolean_mask(false_alarms, ~is_rate)[:1])
        with tf.control_dependencies([check]):
            is_within = normal.p_values[..., :-1] <= false_alarms[:, tf.newaxis]
        place = len(self._calibration) - tf.reduce_sum(tf.cast(is_within, tf.int32), axis=1)  # [batch]
        return self.decide(scores, _gather(normal.scores, place), ladder)

    @property
    def _ladder(self) -> Ladder:
        return Ladder(tf.constant(self._calibration), tf.constant(self._p_values))

    @staticmethod
    def _p_value(scores: tf.Tensor, ladder: Ladder) -> tf.Tensor:
        """`conformal.p_values` of scores `[batch]`, float32."""
        is_above = tf.cast(scores, ladder.scores.dtype)[:, tf.newaxis] <= ladder.scores  # [batch, n]
        return _gather(ladder.p_values, tf.reduce_sum(tf.cast(is_above, tf.int32), axis=1))


def _gather(values: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """The values at `place`, `[batch]`, of `values`, `[n]` or `[batch, n]`."""
    return tf.gather(values, place, batch_dims=values.shape.rank - 1)


def finite(name: str, scores: tf.Tensor) -> tf.Tensor:
    """Returns scores `[batch]`; fails in the graph with the input's name if one is NaN or infinite."""
    with tf.control_dependencies([expect_finite(name, scores)]):
        return tf.identity(scores)
