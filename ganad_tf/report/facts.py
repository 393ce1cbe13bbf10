"""Result directories and recordings → areas, intervals, decisions and clips of each machine type. No TensorFlow."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganad_tf import datasets
from ganad_tf.cache import contents
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Manifest
from ganad_tf.clips import Clip, labels_and_scores
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio, Feature
from ganad_tf.errors import DataError
from ganad_tf.report import provenance
from ganad_tf.results import ensemble, evaluate
from ganad_tf.results.directory import MachineResults, ResultDirectory
from ganad_tf.results.metrics import auc, bootstrap_interval, mean_of_defined, pauc
from ganad_tf.results.thresholds import NormalScores, threshold_or_none
from ganad_tf.run import MachineRun


class ScoredClip(NamedTuple):
    """A test clip with its results.

    Attributes:
      clip: The clip.
      score: Its anomaly score.
      is_anomaly: Whether the score is above the threshold; None without a threshold.
      p_value: Share of normal clips at least as unusual; None without calibration.
    """

    clip: Clip
    score: float
    is_anomaly: bool | None
    p_value: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether the decision contradicts the label; False without a label or a decision."""
        return None not in (self.clip.label, self.is_anomaly) and bool(self.clip.label) != self.is_anomaly


class Area(NamedTuple):
    """AUC or pAUC in [0, 1] with its 95 % bootstrap interval over test clips; NaN where undefined."""

    value: float
    low: float
    high: float


class Counts(NamedTuple):
    """Number of labelled clips by label and decision."""

    normal_below: int
    normal_above: int
    anomaly_below: int
    anomaly_above: int


@dataclass(frozen=True)
class Row:
    """Results of one machine ID, or of a machine type (`mean`: areas are means over IDs, counts are sums).

    Attributes:
      name: The ID, or `mean`.
      auc: Area under the ROC curve.
      pauc: Partial area, up to `max_fpr`.
      counts: Clips by label and decision; None without decisions.
      n_normal: Clips labelled normal.
      n_anomaly: Clips labelled anomalous.
      n_unlabelled: Clips without a label.
    """

    name: str
    auc: Area
    pauc: Area
    counts: Counts | None
    n_normal: int
    n_anomaly: int
    n_unlabelled: int


@dataclass(frozen=True)
class MachineSummary:
    """Results of one machine type in one result directory, and their origin.

    Attributes:
      run: The run that made the scores, with absolute paths.
      cache: Cache of the test clips; that of the first member for an ensemble.
      cached: Its manifest.
      threshold: Higher scores are called anomalous; None if the scores of normal clips give no threshold.
      normal: Scores of the normal clips, by which decisions are made.
      scored: Test clips, highest score first.
      rows: One per machine ID, then the mean.
      origin: Provenance file beside the scores.
      training: Training record beside the detector; None for an ensemble.
      members: Training records of an ensemble's members, by name; empty for a single system.
      not_judged: Test clips without a score and the reasons, by name.
    """

    run: MachineRun
    cache: Cache
    cached: Manifest
    threshold: float | None
    normal: NormalScores
    scored: tuple[ScoredClip, ...]
    rows: tuple[Row, ...]
    origin: dict[str, Any]
    training: dict[str, Any] | None
    members: dict[str, dict[str, Any]]
    not_judged: dict[str, str]

    @property
    def machine(self) -> str:
        """Machine type."""
        return self.run.machine

    @property
    def config(self) -> Config:
        """Configuration of the run."""
        return self.run.config

    @property
    def title(self) -> str:
        """Machine type and, unless it is `dev`, the mode."""
        return self.machine if self.run.mode == "dev" else f"{self.machine}, {self.run.mode}"

    @property
    def is_labelled(self) -> bool:
        """Whether every test clip has a label."""
        return all(scored.clip.label is not None for scored in self.scored)

    @property
    def detector(self) -> Path | None:
        """Model directory; None for an ensemble."""
        return provenance.detector_of(self.origin)

    @property
    def described_by(self) -> Path | None:
        """Model directory that describes the healthy machine; None if there is none."""
        return provenance.described_by(self.run, self.origin)

    @property
    def audio(self) -> Audio:
        """Audio settings of the cached log-mels."""
        return Audio(**self.cached.features["audio"])

    @property
    def feature(self) -> Feature:
        """Feature settings of the cached log-mels."""
        return Feature(**self.cached.features["feature"])

    def by_id(self) -> dict[str, tuple[list[int], list[float]]]:
        """Labels and scores by machine ID; unlabelled clips count as normal."""
        return labels_and_scores({scored.clip: scored.score for scored in self.scored})

    def choose_clips(self, count: int) -> dict[str, list[ScoredClip]]:
        """At most `count` clips per group: highest scores, lowest scores, and the largest errors of either kind."""
        wrong = [scored for scored in self.scored if scored.is_wrong]
        alarms = [scored for scored in wrong if scored.is_anomaly]
        missed = [scored for scored in reversed(wrong) if not scored.is_anomaly]
        groups = {
            "Most anomalous": list(self.scored[:count]),
            "Most normal": list(self.scored[::-1][:count]),
            "False alarms: normal, but above the threshold": alarms[:count],
            "Missed: anomalies below the threshold": missed[:count],
        }
        return {group: members for group, members in groups.items() if members}


def gather(directory: Path) -> list[MachineSummary]:
    """Summaries of the machine types in a result directory.

    Raises:
      DataError: If there are no scores, they are incomplete or from an older version, or the recordings, the cache,
        the detector or an ensemble's members have been removed or changed since.
    """
    machines = ResultDirectory(directory).machines()
    if not machines:
        raise DataError(f"Expected results in {directory}, but there are none; run `ganad score` first.")
    return [_summarize(results) for results in machines]


def _summarize(results: MachineResults) -> MachineSummary:
    origin = provenance.read(results)
    config = provenance.config_of(origin, results.directory)
    (listing,) = datasets.list_clips(config, results.mode, [results.machine])
    run = MachineRun(config, listing, results.mode)
    normal = results.normal_scores()
    limit = threshold_or_none(normal, config.threshold, run.machine)
    cache, cached = provenance.cache_of(run, origin)
    cached = contents.as_listed(cached, listing.clips, listing.directory)
    by_id = {
        machine_id: [_scored(clip, score, limit, normal) for clip, score in scored]
        for machine_id, scored in evaluate.scored_clips(run).items()
    }
    rows = [_row(machine_id, [group], config.max_fpr) for machine_id, group in by_id.items()]
    all_scored = [scored for group in by_id.values() for scored in group]
    provenance.check_recordings(run, [scored.clip for scored in all_scored], cached)
    ensemble.check_unchanged(run, provenance.members_of(origin))
    return MachineSummary(
        run=run,
        cache=cache,
        cached=cached,
        threshold=limit,
        normal=normal,
        scored=tuple(sorted(all_scored, key=lambda scored: -scored.score)),
        rows=(*rows, _row("mean", list(by_id.values()), config.max_fpr)),
        origin=origin,
        training=provenance.training_of(origin),
        members=provenance.trainings_of_members(run),
        not_judged=results.read_not_judged(),
    )


def _scored(clip: Clip, score: float, limit: float | None, normal: NormalScores) -> ScoredClip:
    p_value = float(normal.p_values([score])[0]) if normal.calibration else None
    return ScoredClip(clip, score, None if limit is None else score > limit, p_value)


def _row(name: str, groups: Sequence[Sequence[ScoredClip]], max_fpr: float) -> Row:
    all_scored = [scored for group in groups for scored in group]
    usable = []
    for group in groups:
        labels = [scored.clip.label for scored in group if scored.clip.label is not None]
        if len(labels) == len(group) and 0 < sum(labels) < len(labels):
            usable.append((labels, np.array([scored.score for scored in group])))
    all_labels = [scored.clip.label for scored in all_scored]
    counts = [(scored.clip.label, scored.is_anomaly) for scored in all_scored]
    has_decisions = all(scored.is_anomaly is not None for scored in all_scored)
    return Row(
        name,
        auc=_area(usable, auc),
        pauc=_area(usable, partial(pauc, max_fpr=max_fpr)),
        counts=Counts(*map(counts.count, ((0, False), (0, True), (1, False), (1, True)))) if has_decisions else None,
        n_normal=all_labels.count(0),
        n_anomaly=all_labels.count(1),
        n_unlabelled=all_labels.count(None),
    )


def _area(groups: Sequence[tuple[list[int], np.ndarray]], area: Callable[..., float]) -> Area:
    """Mean over IDs with its 95 % bootstrap interval."""
    if not groups:
        return Area(math.nan, math.nan, math.nan)
    value = mean_of_defined([area(labels, scores) for labels, scores in groups])
    return Area(value, *bootstrap_interval(groups, area))
