"""Conformal calibration: false-alarm rates and p-values that hold for any distribution of the scores.

The calibration scores are those of normal clips that neither the network nor the density has seen. If new recordings
are exchangeable with those of the calibration clips (the same machine, microphone and conditions, in any order), the
score of a new clip is equally likely to take each rank among theirs. Vovk, Gammerman, Shafer 2005, "Algorithmic
Learning in a Random World". Clips of one recording are alike and not exchangeable with those of another, so that each
recording counts once, however many clips it has: Lee, Barber, Willett 2023, "Distribution-free inference with
hierarchical data", arXiv 2306.06342; Dunn, Wasserman, Ramdas 2023, "Distribution-free prediction sets for two-layer
hierarchical models", arXiv 1809.07441.
"""

import math
from collections.abc import Sequence

import numpy as np

from ganad_tf import splits
from ganad_tf.errors import ThresholdError

USUAL_RATE = 0.05  # of false alarms, unless another is asked for
HIGHEST_RATE = 0.999  # a rate of 1 would promise nothing, and no number of recordings has it
ROUNDING = 1e-9  # of products like 0.29 * 100, which must not fall below 29

Scores = Sequence[float] | np.ndarray


def p_values(scores: Scores, calibration: Scores, recordings: Sequence[str] = ()) -> np.ndarray:
    """Share of normal recordings at least as unusual: `(1 + sum_k n_k(calibration >= score) / n_k) / (1 + K)`.

    `n_k` is the number of calibration clips of recording k, and `n_k(...)` that of the clips with such a score. Where
    each recording is one clip, this is `(1 + n(calibration >= score)) / (1 + n)`.

    Args:
      scores: Scores of clips, `[clips]`.
      calibration: Scores of the calibration clips, `[n]`.
      recordings: Name of the recording of each calibration clip, `[n]`; an empty name, or no names, for clips that
        stand alone.

    Returns:
      `[clips]` float64 in [1 / (K + 1), 1], with K recordings; never 0.

    >>> p_values([0.5, 9.0], [1.0, 2.0, 3.0]).tolist()
    [1.0, 0.25]
    >>> p_values([0.5, 2.0, 9.0], [1.0, 2.0, 3.0], ["a", "a", ""]).tolist()
    [1.0, 0.8333333333333334, 0.3333333333333333]
    """
    ordered, by_count = ladder(calibration, recordings)
    n_below = np.searchsorted(ordered, np.asarray(scores, np.float64), side="left")
    return by_count[len(ordered) - n_below]


def ladder(calibration: Scores, recordings: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Calibration scores in ascending order, `[n]`, and the p-value of a score by how many of them are not below it.

    The p-values, `[n + 1]`, ascend from `1 / (K + 1)` for a score above all `n` to 1. Arguments as of `p_values`.
    """
    values = np.asarray(calibration, np.float64)
    sizes = np.empty(len(values), int)
    for clips in by_recording(len(values), recordings):
        sizes[clips] = len(clips)
    order = np.argsort(values, kind="stable")
    highest_first = sizes[order[::-1]]
    total = np.zeros(len(values) + 1)
    for size in np.unique(sizes):  # counts are exact, and one over the size of recordings is not
        total[1:] += np.cumsum(highest_first == size) / size
    return values[order], (1 + total) / (1 + count_recordings(len(values), recordings))


def count_recordings(n_clips: int, recordings: Sequence[str] = ()) -> int:
    """Number of recordings of a number of clips.

    >>> count_recordings(4, ["a", "a", "", ""]), count_recordings(4)
    (3, 4)
    """
    return len(by_recording(n_clips, recordings))


def by_recording(n_clips: int, recordings: Sequence[str] = ()) -> list[list[int]]:
    """Indices of the clips of each recording; recordings as of `p_values`.

    >>> by_recording(3, ["a", "", "a"]), by_recording(2)
    ([[0, 2], [1]], [[0], [1]])
    """
    return splits.grouped([name or index for index, name in enumerate(recordings or [""] * n_clips)])


def threshold(
    calibration: Scores,
    false_alarms: float | None = None,
    confidence: float | None = None,
    recordings: Sequence[str] = (),
) -> float:
    """The calibration score that a clip of a normal recording exceeds with a probability of at most `false_alarms`.

    Without `confidence` the probability is that over calibration sets and new recordings together, and a score lies
    above the threshold if and only if its p-value is at most `false_alarms`; where each recording is one clip, it is
    the `ceil((n + 1)(1 - false_alarms))`-th smallest score. With `confidence` it is the smallest of the recordings'
    highest scores, but none below that threshold, for which the share of new recordings whose highest score lies above
    it is at most `false_alarms` with that probability for this very calibration set; the share follows a beta
    distribution, and that of clips is no higher.

    Args:
      calibration: Scores of the calibration clips, `[n]`.
      false_alarms: The rate; None for `rate_of`.
      confidence: Probability of the stricter promise; None for that in the mean.
      recordings: As of `p_values`.

    Raises:
      ThresholdError: If there are too few recordings; says how many are needed.
    """
    n_recordings = count_recordings(len(calibration), recordings)
    if false_alarms is None:
        false_alarms = rate_of(n_recordings, confidence)
    if n_recordings < fewest_recordings(false_alarms, confidence):
        with_confidence = "" if confidence is None else f" and `threshold.confidence: {confidence}`"
        lowest = f", or set at least {lowest_rate(n_recordings, confidence):.3g}" if n_recordings else ""
        unit, clips = unit_of(len(calibration), recordings)
        raise ThresholdError(
            f"Expected at least {fewest_recordings(false_alarms, confidence)} normal {unit} for "
            f"`threshold.false_alarms: {false_alarms}`{with_confidence}. Received: {n_recordings}{clips}; add "
            f"recordings{lowest}."
        )
    if confidence is not None:
        groups = by_recording(len(calibration), recordings)
        highest = np.sort([max(calibration[clip] for clip in clips) for clips in groups])
        return float(highest[_rank(n_recordings, false_alarms, confidence) - 1])
    ordered, by_count = ladder(calibration, recordings)
    margin = ROUNDING / (n_recordings + 1)
    n_above = int(np.searchsorted(by_count[:-1], false_alarms + margin, side="right")) - 1
    return float(ordered[len(ordered) - 1 - n_above])


def unit_of(n_clips: int, recordings: Sequence[str] = ()) -> tuple[str, str]:
    """The word for what a promise counts, and a remark on the number of clips where that is another.

    >>> unit_of(24, ["a"] * 12 + ["b"] * 12), unit_of(24)
    (('recordings', ' (24 clips)'), ('clips', ''))
    """
    is_other = count_recordings(n_clips, recordings) != n_clips
    return ("recordings", f" ({n_clips} clips)") if is_other else ("clips", "")


def fewest_recordings(false_alarms: float, confidence: float | None = None) -> int:
    """Fewest recordings to calibrate a false-alarm rate: `1 / false_alarms - 1`, or more with a confidence.

    >>> fewest_recordings(0.05), fewest_recordings(0.05, confidence=0.95)
    (19, 59)
    """
    fewest = math.ceil(1 / false_alarms - 1 - ROUNDING)
    if confidence is None:
        return fewest
    # With the largest score as threshold, the rate is at most a with probability 1 - (1 - a)^n.
    return max(fewest, math.ceil(math.log1p(-confidence) / math.log1p(-false_alarms) - ROUNDING))


def lowest_rate(n_recordings: int, confidence: float | None = None) -> float:
    """Lowest `false_alarms` that a number of recordings allows, rounded up to three decimals; at most `HIGHEST_RATE`.

    >>> lowest_rate(12), lowest_rate(12, confidence=0.95)
    (0.077, 0.221)
    """
    rate = 1 / (n_recordings + 1)
    if confidence is not None:
        rate = max(rate, 1 - (1 - confidence) ** (1 / n_recordings))
    return min(math.ceil(1000 * rate - ROUNDING) / 1000, HIGHEST_RATE)


def rate_of(n_recordings: int, confidence: float | None = None) -> float:
    """The rate of false alarms if none is asked for: `USUAL_RATE`, or the lowest that the recordings allow.

    >>> rate_of(100), rate_of(12), rate_of(0)
    (0.05, 0.077, 0.05)
    """
    return max(USUAL_RATE, lowest_rate(n_recordings, confidence)) if n_recordings else USUAL_RATE


def _rank(n_scores: int, false_alarms: float, confidence: float) -> int:
    """Rank of the threshold among the recordings' ascending highest scores, from 1."""
    import scipy.stats  # takes most of a second, which `ganad --help` and `list` would wait for

    ranks = np.arange(math.ceil((n_scores + 1) * (1 - false_alarms) - ROUNDING), n_scores + 1)
    holds = scipy.stats.beta.cdf(false_alarms, n_scores + 1 - ranks, ranks) >= confidence - ROUNDING
    return int(ranks[np.argmax(holds)])
