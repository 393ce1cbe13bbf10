"""Official scores of DCASE Challenge Task 2, 2021 to 2026, of labelled clips with domains, on plain arrays.

The clips of a section are those of one machine type and one machine ID. Two rules, by the years' evaluators:

2021 (evaluator y-kawagu/dcase2021_task2_evaluator; arXiv 2106.04492): AUC and pAUC of each machine type, section and
domain, from the clips of that domain alone; the official score is the harmonic mean of all AUCs and pAUCs.

2022 to 2025 (evaluators Kota-Dohi/dcase2022_evaluator and nttcslab/dcase2023_task2_evaluator, ..2024.., ..2025..; arXiv
2206.05876, 2305.07828, 2406.07250, 2506.10097): the AUC of a domain ranks its normal clips against the anomalies of
*both* domains; the pAUC is that of the section, both domains together; the official score is the harmonic mean of all
AUCs by domain and of one pAUC per section. The baseline of 2026 (nttcslab/dcase2023_task2_baseline_ae v5) computes the
same AUCs and pAUCs; no evaluator of 2026 was found.

Every year: pAUC up to a false-positive rate of 0.1, standardised; precision, recall and F1 score of the decisions, by
domain; harmonic means of values that are at least the float64 epsilon, so that a value of 0 does not divide by 0. The
evaluators' confidence interval by jackknife is left out. DCASE 2020 has its arithmetic means in `evaluate.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ganad_tf.clips import DOMAINS
from ganad_tf.results import metrics

YEARS = range(2021, 2027)


class DomainResult(NamedTuple):
    """Values of one section and domain, in [0, 1]; NaN where undefined, or without decisions."""

    auc: float
    pauc: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Section:
    """Labelled clips of one machine type and section.

    Attributes:
      machine: Machine type.
      number: Number of the section, such as `00`; the machine ID.
      labels: 1 for an anomaly, 0 for a normal clip.
      scores: Anomaly scores of the same clips.
      domains: `source` or `target`, of the same clips.
      decisions: Whether each clip is called anomalous; None without decisions.
    """

    machine: str
    number: str
    labels: Sequence[int]
    scores: Sequence[float]
    domains: Sequence[str]
    decisions: Sequence[bool] | None = None


@dataclass(frozen=True)
class SectionResult:
    """Result of one section.

    Attributes:
      machine: Machine type.
      number: Number of the section.
      auc: AUC of both domains together.
      domains: Values by domain, `source` first.
    """

    machine: str
    number: str
    auc: float
    domains: Mapping[str, DomainResult]


@dataclass(frozen=True)
class Summary:
    """Means over machine types, sections and domains.

    Attributes:
      arithmetic: Arithmetic mean of each value.
      harmonic: Harmonic mean of each value.
      by_domain: Harmonic mean of each value, by domain.
      score: The official score.
    """

    arithmetic: DomainResult
    harmonic: DomainResult
    by_domain: Mapping[str, DomainResult]
    score: float


def year_of(dataset: str) -> int | None:
    """The year of a dataset of the challenge; None for 2020 and for other datasets.

    >>> year_of("dcase2023"), year_of("dcase2020"), year_of("folder")
    (2023, None, None)
    """
    return next((year for year in YEARS if dataset == f"dcase{year}"), None)


def evaluate(sections: Sequence[Section], *, is_2021: bool) -> list[SectionResult]:
    """Evaluates sections by the rule of 2021, or by that of the years since.

    Args:
      sections: The sections, in any order.
      is_2021: Whether each domain is evaluated by itself.

    Returns:
      Results, sorted by machine type and section.

    Raises:
      ValueError: As `metrics.roc_curve`.
    """
    rule = _of_2021 if is_2021 else _since_2022
    return [rule(section) for section in sorted(sections, key=lambda section: (section.machine, section.number))]


def summarize(results: Sequence[SectionResult], *, is_2021: bool) -> Summary:
    """Means over machine types, sections and domains; undefined values are left out.

    The pAUC of 2022 and later is in both domains, which changes no mean over it; the official score counts it once.

    Args:
      results: Results of `evaluate`.
      is_2021: As for `evaluate`.
    """
    rows = [row for result in results for row in result.domains.values()]
    by_domain = {
        domain: [result.domains[domain] for result in results if domain in result.domains] for domain in DOMAINS
    }
    areas = [row.auc for row in rows]
    areas += [row.pauc for result in results for row in list(result.domains.values())[: None if is_2021 else 1]]
    return Summary(
        column_means(rows, metrics.mean_of_defined),
        column_means(rows, harmonic_mean),
        {domain: column_means(of_domain, harmonic_mean) for domain, of_domain in by_domain.items()},
        harmonic_mean(areas),
    )


def column_means(rows: Sequence[DomainResult], mean: Callable[[Sequence[float]], float]) -> DomainResult:
    """The mean of each value over the rows."""
    return DomainResult(*(mean([row[index] for row in rows]) for index in range(len(DomainResult._fields))))


def harmonic_mean(values: Sequence[float]) -> float:
    """Harmonic mean of the values that are not NaN, each at least the float64 epsilon; NaN if there are none.

    >>> harmonic_mean([0.5, 1.0, float("nan")]), harmonic_mean([0.5, 0.0]) < 1e-15
    (0.6666666666666666, True)
    """
    defined = [max(value, float(np.finfo(np.float64).eps)) for value in values if not math.isnan(value)]
    return len(defined) / sum(1 / value for value in defined) if defined else math.nan


def decision_values(labels: np.ndarray, decisions: np.ndarray | None) -> tuple[float, float, float]:
    """Precision, recall and F1 score; 0 where nothing is found, NaN without decisions.

    Args:
      labels: `[clips]`, 1 for an anomaly.
      decisions: `[clips]` bool, True for clips that are called anomalous; None without decisions.
    """
    if decisions is None:
        return math.nan, math.nan, math.nan
    hits = int(np.sum(decisions & (labels == 1)))
    precision = hits / max(int(decisions.sum()), 1)
    recall = hits / max(int(labels.sum()), 1)
    return precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0


def _of_2021(section: Section) -> SectionResult:
    labels, scores, domains, decisions = _arrays(section)
    results = {}
    for domain in DOMAINS:
        inside = domains == domain
        if inside.any():
            decided = decision_values(labels[inside], None if decisions is None else decisions[inside])
            results[domain] = DomainResult(*_auc_and_pauc(labels[inside], scores[inside]), *decided)
    return SectionResult(section.machine, section.number, _auc_and_pauc(labels, scores)[0], results)


def _since_2022(section: Section) -> SectionResult:
    labels, scores, domains, decisions = _arrays(section)
    auc, pauc = _auc_and_pauc(labels, scores)
    results = {}
    for domain in DOMAINS:
        inside = domains == domain
        ranked = inside | (labels == 1)
        if inside.any():
            decided = decision_values(labels[inside], None if decisions is None else decisions[inside])
            results[domain] = DomainResult(_auc_and_pauc(labels[ranked], scores[ranked])[0], pauc, *decided)
    return SectionResult(section.machine, section.number, auc, results)


def _arrays(section: Section) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    decisions = None if section.decisions is None else np.asarray(section.decisions, bool)
    return np.asarray(section.labels), np.asarray(section.scores, np.float64), np.asarray(section.domains), decisions


def _auc_and_pauc(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    if not 0 < labels.sum() < labels.size:
        return math.nan, math.nan
    truth, values = labels.tolist(), scores.tolist()
    return metrics.auc(truth, values), metrics.pauc(truth, values, metrics.MAX_FPR)
