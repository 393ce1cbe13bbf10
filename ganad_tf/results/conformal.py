"""Conformal calibration: false-alarm rates and p-values that hold for any distribution of the scores.

The calibration scores are those of normal clips that neither the network nor the density has seen. If new normal clips
are exchangeable with them (the same machine, microphone and conditions, in any order), the score of a new clip is
equally likely to take each rank among them. Vovk, Gammerman, Shafer 2005, "Algorithmic Learning in a Random World".
"""

import math
from collections.abc import Sequence

import numpy as np

from ganad_tf.errors import ThresholdError

USUAL_RATE = 0.05  # of false alarms, unless another is asked for
ROUNDING = 1e-9  # of products like 0.29 * 100, which must not fall below 29


def p_values(scores: Sequence[float] | np.ndarray, calibration: Sequence[float] | np.ndarray) -> np.ndarray:
    """Share of normal clips at least as unusual: `(1 + n(calibration >= score)) / (1 + n)`.

    Args:
      scores: Scores of clips, `[clips]`.
      calibration: Scores of the calibration clips, `[n]`.

    Returns:
      `[clips]` float64 in [1 / (n + 1), 1], never 0.

    >>> p_values([0.5, 9.0], [1.0, 2.0, 3.0]).tolist()
    [1.0, 0.25]
    """
    ordered = np.sort(np.asarray(calibration, np.float64))
    n_below = np.searchsorted(ordered, np.asarray(scores, np.float64), side="left")
    return (1 + len(ordered) - n_below) / (1 + len(ordered))


def threshold(
    calibration: Sequence[float], false_alarms: float | None = None, confidence: float | None = None
) -> float:
    """The calibration score that a normal clip exceeds with a probability of at most `false_alarms`.

    Without `confidence` it is the `ceil((n + 1)(1 - false_alarms))`-th smallest, and the probability is that over
    calibration sets and new clips together: a score lies above it if and only if its p-value is at most `false_alarms`.
    With `confidence` it is the smallest, but none below that, for which the false-alarm rate of this very calibration
    set, which follows a beta distribution, is at most `false_alarms` with that probability.

    Args:
      calibration: Scores of the calibration clips, `[n]`.
      false_alarms: The rate; None for `rate_of`.
      confidence: Probability of the stricter promise; None for that in the mean.

    Raises:
      ThresholdError: If there are too few calibration scores; says how many are needed.
    """
    n_scores = len(calibration)
    if false_alarms is None:
        false_alarms = rate_of(n_scores, confidence)
    if n_scores < fewest_clips(false_alarms, confidence):
        with_confidence = "" if confidence is None else f" and `threshold.confidence: {confidence}`"
        lowest = f", or set at least {lowest_rate(n_scores, confidence):.3g}" if n_scores else ""
        raise ThresholdError(
            f"Expected at least {fewest_clips(false_alarms, confidence)} normal clips for `threshold.false_alarms: "
            f"{false_alarms}`{with_confidence}. Received: {n_scores}; add recordings{lowest}."
        )
    ordered = np.sort(np.asarray(calibration, np.float64))
    return float(ordered[_rank(n_scores, false_alarms, confidence) - 1])


def fewest_clips(false_alarms: float, confidence: float | None = None) -> int:
    """Fewest calibration clips for a false-alarm rate: `1 / false_alarms - 1`, or more with a confidence.

    >>> fewest_clips(0.05), fewest_clips(0.05, confidence=0.95)
    (19, 59)
    """
    fewest = math.ceil(1 / false_alarms - 1 - ROUNDING)
    if confidence is None:
        return fewest
    # With the largest score as threshold, the rate is at most a with probability 1 - (1 - a)^n.
    return max(fewest, math.ceil(math.log1p(-confidence) / math.log1p(-false_alarms) - ROUNDING))


def lowest_rate(n_scores: int, confidence: float | None = None) -> float:
    """Lowest `false_alarms` that a number of calibration scores allows, rounded up to three decimals.

    >>> lowest_rate(12), lowest_rate(12, confidence=0.95)
    (0.077, 0.221)
    """
    rate = 1 / (n_scores + 1)
    if confidence is not None:
        rate = max(rate, 1 - (1 - confidence) ** (1 / n_scores))
    return math.ceil(1000 * rate - ROUNDING) / 1000


def rate_of(n_scores: int, confidence: float | None = None) -> float:
    """The rate of false alarms if none is asked for: `USUAL_RATE`, or the lowest that the scores allow.

    >>> rate_of(100), rate_of(12), rate_of(0)
    (0.05, 0.077, 0.05)
    """
    return max(USUAL_RATE, lowest_rate(n_scores, confidence)) if n_scores else USUAL_RATE


def _rank(n_scores: int, false_alarms: float, confidence: float | None) -> int:
    """Rank of the threshold among the ascending calibration scores, from 1."""
    rank = math.ceil((n_scores + 1) * (1 - false_alarms) - ROUNDING)
    if confidence is None:
        return rank
    import scipy.stats  # takes most of a second, which `ganad --help` and `list` would wait for

    ranks = np.arange(rank, n_scores + 1)
    holds = scipy.stats.beta.cdf(false_alarms, n_scores + 1 - ranks, ranks) >= confidence - ROUNDING
    return int(ranks[np.argmax(holds)])
