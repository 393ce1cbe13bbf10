"""Decision thresholds from the scores of normal clips alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganad_tf.config.sections import Threshold
from ganad_tf.errors import DataError, ThresholdError
from ganad_tf.results import conformal
from ganad_tf.results.score_files import ClipScore

logger = logging.getLogger(__name__)

SAME = 1e-6  # relative range of scores below which no distribution can be fitted


@dataclass(frozen=True)
class NormalScores:
    """Scores of normal clips, by which decisions are made.

    Attributes:
      training: Of the training clips.
      calibration: Of clips that the detector has not seen; empty unless the method is `conformal`.
    """

    training: Sequence[ClipScore]
    calibration: Sequence[ClipScore] = ()

    def deciding(self, settings: Threshold) -> list[float]:
        """The scores that the method sets its threshold by."""
        return [clip.score for clip in (self.calibration if settings.method == "conformal" else self.training)]

    def calibration_values(self) -> list[float]:
        """Calibration scores without names; see `conformal.p_values`."""
        return [clip.score for clip in self.calibration]

    def recordings(self) -> list[str]:
        """Recording of each calibration clip; see `conformal.p_values`."""
        return [clip.recording for clip in self.calibration]

    def p_values(self, scores: conformal.Scores) -> np.ndarray:
        """`conformal.p_values` of scores `[clips]`; only with calibration scores."""
        return conformal.p_values(scores, self.calibration_values(), self.recordings())

    def threshold(self, settings: Threshold) -> float:
        """The threshold of the settings; raises as the function `threshold`."""
        return threshold(self.deciding(settings), settings, self.recordings())


def threshold(scores: Sequence[float], settings: Threshold, recordings: Sequence[str] = ()) -> float:
    """Score above which a clip counts as anomalous.

    `gamma` fits a gamma distribution with location 0 by maximum likelihood (the DCASE 2021 baseline fits the location
    too, which diverges for a few dozen clips); `quantile` takes the quantile of the scores themselves; `conformal` the
    score that `conformal.threshold` chooses; `fixed` the value in the settings.

    Args:
      scores: Scores of normal clips, `[clips]`: for `conformal` of clips that the detector has not seen, for `gamma`
        and `quantile` of training clips; see `NormalScores.deciding`.
      settings: Method and what it depends on.
      recordings: For `conformal`: recording of each clip, as of `conformal.p_values`.

    Raises:
      ThresholdError: If the scores determine no threshold: the method is `gamma` and they are not positive or all
        equal, or it is `conformal` and their recordings are too few.
      DataError: If there are no scores.
    """
    if settings.fixed is not None:
        return settings.fixed
    if settings.method == "conformal":
        return conformal.threshold(scores, settings.false_alarms, settings.confidence, recordings)
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        raise DataError("Expected scores of normal training clips to set a threshold by. Received: none.")
    if settings.method == "quantile":
        return float(np.quantile(values, settings.quantile))
    return _gamma_quantile(values, settings.quantile)


def _gamma_quantile(values: np.ndarray, quantile: float) -> float:
    if values.min() <= 0 or np.ptp(values) <= SAME * values.max():
        raise ThresholdError(
            "Expected positive training scores that differ, to fit a gamma distribution to. "
            f"Received: {values.size} from {values.min()} to {values.max()}; set `threshold.method: quantile`."
        )
    import scipy.stats  # takes most of a second, which `ganad --help` and `list` would wait for

    shape, location, scale = scipy.stats.gamma.fit(values, floc=0)
    return float(scipy.stats.gamma.ppf(quantile, shape, location, scale))


def threshold_or_none(normal: NormalScores, settings: Threshold, machine: str) -> float | None:
    """Computes the threshold, or logs a warning and returns None if the scores determine none.

    Args:
      normal: Scores of normal clips.
      settings: Method and what it depends on.
      machine: Machine type, for the warning.

    Raises:
      DataError: If there are no scores.
    """
    try:
        return normal.threshold(settings)
    except ThresholdError as error:
        logger.warning("%s: there are scores but no decisions. %s", machine, error)
        return None


def format_threshold(limit: float | None, digits: int = 6) -> str:
    """Formats a threshold for display, with `digits` significant digits.

    >>> format_threshold(0.123456789), format_threshold(None)
    ('0.123457', 'none')
    """
    return "none" if limit is None else f"{limit:.{digits}g}"
