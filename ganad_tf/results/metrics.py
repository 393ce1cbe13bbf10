"""AUC and partial AUC of anomaly scores, on plain arrays.

Labels: 0 normal, 1 anomaly. Scores: higher is more anomalous. Definitions: Fawcett 2006 (ROC);
McClish 1989 (standardised partial area), as scikit-learn's `roc_auc_score(max_fpr=...)` computes it.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

MAX_FPR = 0.1  # of the challenge's pAUC, every year


def roc_curve(labels: Sequence[int], scores: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The points of the ROC curve, one per distinct score, from (0, 0) to (1, 1).

    Args:
      labels: `[clips]`, 0 or 1, at least one of each.
      scores: `[clips]`, finite.

    Returns:
      False positive rates and true positive rates, `[points]` each, ascending.

    Raises:
      ValueError: If lengths differ, a label is not 0 or 1, a score is not finite, or a class is missing.

    >>> [rates.tolist() for rates in roc_curve([0, 1], [0.1, 0.2])]
    [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"Expected as many labels as scores. Received: shapes {truth.shape} and {values.shape}.")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"Expected labels 0 and 1. Received: {sorted(set(truth.tolist()))}.")
    if not np.isfinite(values).all():
        raise ValueError(f"Expected finite scores. Received: {values[~np.isfinite(values)][0]}.")
    n_anomalies = int(truth.sum())
    n_normal = truth.size - n_anomalies
    if not n_anomalies or not n_normal:
        raise ValueError(f"Expected normal clips and anomalies. Received: {n_normal} and {n_anomalies}.")
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), truth.size - 1)  # clips with equal scores share a point
    true_positives = np.cumsum(truth[order])[ends]
    false_positives = ends + 1 - true_positives
    return np.append(0.0, false_positives / n_normal), np.append(0.0, true_positives / n_anomalies)


def auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Area under the ROC curve, in [0, 1]: the probability that an anomaly scores above a normal clip.

    Raises:
      ValueError: As `roc_curve`.

    >>> auc([0, 0, 1, 1], [1.0, 2.0, 2.0, 3.0])
    0.875
    """
    return float(np.trapezoid(*reversed(roc_curve(labels, scores))))


def pauc(labels: Sequence[int], scores: Sequence[float], max_fpr: float = MAX_FPR) -> float:
    """Partial AUC up to a false positive rate, standardised so that 0.5 is chance and 1 is perfect.

    Args:
      labels: As for `roc_curve`.
      scores: As for `roc_curve`.
      max_fpr: False positive rate, in (0, 1].

    Raises:
      ValueError: As `roc_curve`, and if `max_fpr` is out of range.

    >>> pauc([0, 1], [1.0, 2.0])
    1.0
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"Expected max_fpr above 0 and at most 1. Received: {max_fpr}.")
    fpr, tpr = roc_curve(labels, scores)
    inside = int(np.searchsorted(fpr, max_fpr, side="right"))
    edge = np.interp(max_fpr, fpr[inside - 1 : inside + 1], tpr[inside - 1 : inside + 1])
    area = np.trapezoid(np.append(tpr[:inside], edge), np.append(fpr[:inside], max_fpr))
    if max_fpr == 1:
        return float(area)
    chance = max_fpr**2 / 2
    return float((1 + (area - chance) / (max_fpr - chance)) / 2)


def bootstrap_interval(
    groups: Sequence[tuple[Sequence[int], np.ndarray]],
    area: Callable[[Sequence[int], Sequence[float]], float],
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap percentile interval of the mean area over machine IDs, for the choice of test clips.

    Normal clips and anomalies of each ID are resampled separately with replacement (Efron 1979).

    Args:
      groups: Per machine ID the labels, `[clips]`, and the scores of one or several runs, `[clips]` or
        `[runs, clips]`; the area is averaged over the runs.
      area: `auc` or `pauc`.
      n_resamples: Number of resamples.
      confidence: Confidence level, in (0, 1).
      seed: Seed of the resampling.

    Returns:
      Lower and upper bound.

    Raises:
      ValueError: As `roc_curve`.
    """
    rng = np.random.default_rng(seed)
    draws = np.empty(n_resamples)
    for number in range(n_resamples):
        areas: list[float] = []
        for labels, scores in groups:
            truth, runs = np.asarray(labels), np.atleast_2d(scores)
            classes = [np.flatnonzero(truth == label) for label in (0, 1)]
            drawn = np.concatenate([rng.choice(members, len(members)) for members in classes])
            areas.extend(area(truth[drawn].tolist(), run) for run in runs[:, drawn])
        draws[number] = np.mean(areas)
    edge = (1 - confidence) / 2
    low, high = np.quantile(draws, [edge, 1 - edge])
    return float(low), float(high)


def mean_of_defined(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none.

    >>> mean_of_defined([0.5, float("nan"), 1.0])
    0.75
    """
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
