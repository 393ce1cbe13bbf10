"""Decision thresholds from the scores of normal training clips alone."""

import logging
from collections.abc import Sequence

import numpy as np

from ganad_tf.config.sections import Threshold
from ganad_tf.errors import DataError, ThresholdError

logger = logging.getLogger(__name__)

SAME = 1e-6  # relative range of scores below which no distribution can be fitted


def threshold(scores: Sequence[float], settings: Threshold) -> float:
    """Score that a share `settings.quantile` of normal clips should stay below.

    `gamma` fits a gamma distribution with location 0 by maximum likelihood (the DCASE 2021 baseline fits the location
    too, which diverges for a few dozen clips); `quantile` takes the quantile of the scores themselves.

    Args:
      scores: Scores of normal training clips, `[clips]`.
      settings: Method and quantile.

    Raises:
      ThresholdError: If the method is `gamma` and the scores are not positive or all equal.
      DataError: If there are no scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        raise DataError("Expected scores of normal training clips to set a threshold by. Received: none.")
    if settings.method == "quantile":
        return float(np.quantile(values, settings.quantile))
    if values.min() <= 0 or np.ptp(values) <= SAME * values.max():
        raise ThresholdError(
            "Expected positive training scores that differ, to fit a gamma distribution to. "
            f"Received: {values.size} from {values.min()} to {values.max()}; set `threshold.method: quantile`."
        )
    import scipy.stats  # takes most of a second, which `ganad --help` and `list` would wait for

    shape, location, scale = scipy.stats.gamma.fit(values, floc=0)
    return float(scipy.stats.gamma.ppf(settings.quantile, shape, location, scale))


def threshold_or_none(scores: Sequence[float], settings: Threshold, machine: str) -> float | None:
    """Computes the threshold, or logs a warning and returns None if the training scores determine none.

    Args:
      scores: Scores of normal training clips, `[clips]`.
      settings: Method and quantile.
      machine: Machine type, for the warning.

    Raises:
      DataError: If there are no scores.
    """
    try:
        return threshold(scores, settings)
    except ThresholdError as error:
        logger.warning("%s: there are scores but no decisions. %s", machine, error)
        return None


def format_threshold(limit: float | None, digits: int = 6) -> str:
    """Formats a threshold for display, with `digits` significant digits.

    >>> format_threshold(0.123456789), format_threshold(None)
    ('0.123457', 'none')
    """
    return "none" if limit is None else f"{limit:.{digits}g}"
