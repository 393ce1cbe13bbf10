"""Above which score a clip is called anomalous: from the scores of normal training clips alone."""

import logging
from collections.abc import Sequence

import numpy as np

from ganad_tf.config.sections import Threshold
from ganad_tf.errors import DataError, ThresholdError

logger = logging.getLogger(__name__)

SAME = 1e-6  # scores that differ by less, relatively, have no distribution to speak of


def threshold(scores: Sequence[float], settings: Threshold) -> float:
    """The score that a share `settings.quantile` of normal clips should stay below.

    `gamma` fits a gamma distribution that starts at 0 by maximum likelihood (the DCASE 2021 baseline
    fits the start too, which runs away on a few dozen clips); `quantile` takes the scores as they are.

    Args:
      scores: Of normal training clips, `[clips]`.
      settings: Method and quantile.

    Raises:
      ThresholdError: If `gamma` is asked for and the scores are not positive or are all the same.
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
    import scipy.stats  # takes most of a second, which `ganad --help` and `list` need not wait for

    shape, start, scale = scipy.stats.gamma.fit(values, floc=0)
    return float(scipy.stats.gamma.ppf(settings.quantile, shape, start, scale))


def threshold_if_any(scores: Sequence[float], settings: Threshold, machine: str) -> float | None:
    """The threshold, or None after a warning where the training scores give none.

    Args:
      scores: Of normal training clips, `[clips]`.
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


def shown(limit: float | None, digits: int = 6) -> str:
    """A threshold for people, to so many significant digits.

    >>> shown(0.123456789), shown(None)
    ('0.123457', 'none')
    """
    return "none" if limit is None else f"{limit:.{digits}g}"
