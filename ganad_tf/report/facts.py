"""What result directories and recordings say, gathered for the page: numbers and clips, no pictures, no TensorFlow."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganad_tf import datasets
from ganad_tf.cache import contents
from ganad_tf.cache.manifest import Manifest
from ganad_tf.clips import Clip, labels_and_scores
from ganad_tf.config import Config
from ganad_tf.config.input_sections import Audio, Feature
from ganad_tf.errors import DataError
from ganad_tf.report import provenance
from ganad_tf.results import ensemble, evaluate, score_files
from ganad_tf.results.directory import MachineResults, ResultDirectory
from ganad_tf.results.metrics import auc, bootstrap_interval, mean_of_defined, pauc
from ganad_tf.results.thresholds import threshold_if_any
from ganad_tf.run import MachineRun


class ScoredClip(NamedTuple):
    """A test clip, its anomaly score, and whether that is above the threshold; None where there is no threshold."""

    clip: Clip
    score: float
    is_anomaly: bool | None

    @property
    def is_wrong(self) -> bool:
        """Whether the decision is not what the label says; False where there is no label or no decision."""
        return None not in (self.clip.label, self.is_anomaly) and bool(self.clip.label) != self.is_anomaly


class Area(NamedTuple):
    """AUC or pAUC from 0 to 1 with its 95 % bootstrap interval over test clips; NaN where not defined."""

    value: float
    low: float
    high: float


class Counts(NamedTuple):
    """Labelled clips by label, and by whether their score is above the threshold."""

    normal_below: int
    normal_above: int
    anomaly_below: int
    anomaly_above: int


@dataclass(frozen=True)
class Row:
    """One machine ID, or all of a machine type together (`mean`: areas are means over IDs, counts are sums).

    Attributes:
      name: The ID, or `mean`.
      auc: AUC.
      pauc: pAUC.
      counts: Clips by label and decision; None where there are no decisions.
      n_normal, n_anomaly, n_unlabelled: Clips by label, and those without one.
    """

    name: str
    auc: Area
    pauc: Area
    counts: Counts | None
    n_normal: int
    n_anomaly: int
    n_unlabelled: int


@dataclass(frozen=True)
class MachineFacts:
    """All that is known of one machine type's results.

    Attributes:
      run: What made the scores, with directories as absolute paths.
      cache: Where the log-mels of the test clips are; of an ensemble, those that its first member has.
      cached: What is in it.
      threshold: Above which a clip is called anomalous; None where the training scores give none.
      train_scores: Of the normal training clips.
      scored: The test clips, highest score first.
      rows: Per ID, then the mean.
      origin: What is kept beside the scores.
      training: What is kept beside the detector; None for an ensemble.
    """

    run: MachineRun
    cache: Path
    cached: Manifest
    threshold: float | None
    train_scores: tuple[float, ...]
    scored: tuple[ScoredClip, ...]
    rows: tuple[Row, ...]
    origin: dict[str, Any]
    training: dict[str, Any] | None

    @property
    def machine(self) -> str:
        """Machine type."""
        return self.run.machine

    @property
    def config(self) -> Config:
        """Configuration that made the scores."""
        return self.run.config

    @property
    def title(self) -> str:
        """What the page calls it."""
        return self.machine if self.run.mode == "dev" else f"{self.machine}, {self.run.mode}"

    @property
    def is_labelled(self) -> bool:
        """Whether every test clip has a label."""
        return all(each.clip.label is not None for each in self.scored)

    @property
    def detector(self) -> Path | None:
        """Where the detector is; None for an ensemble."""
        return provenance.detector_of(self.origin)

    @property
    def audio(self) -> Audio:
        """How the recordings were read."""
        return Audio(**self.cached.features["audio"])

    @property
    def feature(self) -> Feature:
        """What the log-mels are."""
        return Feature(**self.cached.features["feature"])

    def by_id(self) -> dict[str, tuple[list[int], list[float]]]:
        """Labels and scores by machine ID; where there are no labels, everything counts as normal."""
        return labels_and_scores({scored.clip: scored.score for scored in self.scored})

    def chosen(self, count: int) -> dict[str, list[ScoredClip]]:
        """Clips worth a look, at most `count` of a kind: highest and lowest scores, clearest mistakes."""
        wrong = [each for each in self.scored if each.is_wrong]
        alarms = [each for each in wrong if each.is_anomaly]
        missed = [each for each in reversed(wrong) if not each.is_anomaly]
        kinds = {
            "Most anomalous": list(self.scored[:count]),
            "Most normal": list(self.scored[::-1][:count]),
            "False alarms: normal, but above the threshold": alarms[:count],
            "Missed: anomalies below the threshold": missed[:count],
        }
        return {kind: members for kind, members in kinds.items() if members}


def gather(directory: Path) -> list[MachineFacts]:
    """The machine types that a result directory has scores of.

    Raises:
      DataError: If there are none, they are not complete, were made by an older version, or recordings, cache,
        detector or an ensemble's members are gone or others by now.
    """
    machines = ResultDirectory(directory).machines()
    if not machines:
        raise DataError(f"Expected results in {directory}, but there are none; run `ganad score` first.")
    return [_machine(results) for results in machines]


def _machine(results: MachineResults) -> MachineFacts:
    origin = provenance.read(results)
    config = provenance.config_of(origin, results.directory)
    (listing,) = datasets.list_clips(config, results.mode, [results.machine])
    run = MachineRun(config, listing, results.mode)
    train_scores = tuple(score.score for score in score_files.read_scores(results.train_scores))
    limit = threshold_if_any(train_scores, config.threshold, run.machine)
    cache, cached = provenance.cache_of(run, origin)
    cached = contents.recognised(cached, listing.clips, listing.directory)
    by_id = {
        machine_id: [ScoredClip(clip, score, None if limit is None else score > limit) for clip, score in scored]
        for machine_id, scored in evaluate.scored_clips(run).items()
    }
    rows = [_row(machine_id, [scored], config.max_fpr) for machine_id, scored in by_id.items()]
    everything = [each for scored in by_id.values() for each in scored]
    provenance.check_recordings(run, [each.clip for each in everything], cached)
    ensemble.check_unchanged(run, provenance.members_of(origin))
    return MachineFacts(
        run=run,
        cache=cache,
        cached=cached,
        threshold=limit,
        train_scores=train_scores,
        scored=tuple(sorted(everything, key=lambda each: -each.score)),
        rows=(*rows, _row("mean", list(by_id.values()), config.max_fpr)),
        origin=origin,
        training=provenance.training_of(origin),
    )


def _row(name: str, groups: Sequence[Sequence[ScoredClip]], max_fpr: float) -> Row:
    everything = [each for group in groups for each in group]
    usable = []
    for group in groups:
        labels = [each.clip.label for each in group if each.clip.label is not None]
        if len(labels) == len(group) and 0 < sum(labels) < len(labels):
            usable.append((labels, np.array([each.score for each in group])))
    all_labels = [each.clip.label for each in everything]
    counts = [(each.clip.label, each.is_anomaly) for each in everything]
    has_decisions = all(each.is_anomaly is not None for each in everything)
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
    """The mean over IDs, with how far it would move with other test clips."""
    if not groups:
        return Area(math.nan, math.nan, math.nan)
    value = mean_of_defined([area(labels, scores) for labels, scores in groups])
    return Area(value, *bootstrap_interval(groups, area))
