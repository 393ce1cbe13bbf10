"""What result directories and recordings say, gathered for the page: numbers and clips, no pictures, no TensorFlow."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from ganad_tf import clips, datasets, evaluation
from ganad_tf import config as configuration
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError
from ganad_tf.metrics import auc, bootstrap_interval, mean_of_defined, pauc
from ganad_tf.thresholds import threshold


class ScoredClip(NamedTuple):
    """A test clip, its anomaly score, and whether that is above the threshold."""

    clip: Clip
    score: float
    is_anomaly: bool

    @property
    def is_wrong(self) -> bool:
        """Whether the decision is not what the label says; False where there is no label."""
        return self.clip.label is not None and bool(self.clip.label) != self.is_anomaly


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
      counts: Clips by label and decision.
      n_unlabelled: Clips without a label.
    """

    name: str
    auc: Area
    pauc: Area
    counts: Counts
    n_unlabelled: int


@dataclass(frozen=True)
class MachineFacts:
    """All that is known of one machine type's results.

    Attributes:
      machine: Machine type.
      mode: `dev` or `eval`.
      config: What made the scores, directories as absolute paths.
      listing: The recordings.
      threshold: Above which a clip is called anomalous.
      train_scores: Of the normal training clips.
      scored: The test clips, highest score first.
      rows: Per ID, then the mean.
      origin: What is kept beside the scores.
      training: What is kept beside the detector; None for an ensemble.
    """

    machine: str
    mode: Mode
    config: Config
    listing: Listing
    threshold: float
    train_scores: tuple[float, ...]
    scored: tuple[ScoredClip, ...]
    rows: tuple[Row, ...]
    origin: dict[str, Any]
    training: dict[str, Any] | None

    @property
    def is_labelled(self) -> bool:
        """Whether every test clip has a label."""
        return all(each.clip.label is not None for each in self.scored)

    @property
    def detector(self) -> Path | None:
        """Where the detector is; None for an ensemble."""
        return _from(self.origin, self.origin["detector"]) if "detector" in self.origin else None

    def by_id(self) -> dict[str, tuple[list[int], list[float]]]:
        """Labels and scores by machine ID; where there are no labels, everything counts as normal."""
        groups: dict[str, tuple[list[int], list[float]]] = {}
        for clip, score, _ in sorted(self.scored, key=lambda each: each.clip.machine_id):
            labels, scores = groups.setdefault(clip.machine_id, ([], []))
            labels.append(clip.label or 0)
            scores.append(score)
        return groups

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
      DataError: If there are none, they are not complete, were made by an older version, or the recordings are gone.
    """
    modes: tuple[Mode, ...] = get_args(Mode)
    found = [
        (path, mode, path.stem.removeprefix(f"score_origin_{mode}_"))
        for mode in modes
        for path in sorted(directory.glob(f"score_origin_{mode}_*.json"))
    ]
    if not found:
        raise DataError(f"Expected results in {directory}, but there are none; run `ganad score` first.")
    return [_machine(*each) for each in found]


def _machine(path: Path, mode: Mode, machine: str) -> MachineFacts:
    origin = clips.read_origin(path)
    if not origin or "config" not in origin:
        raise DataError(
            f"Expected the configuration in {path}, but an earlier version wrote it; run `ganad score` again."
        )
    config = _config(origin, path.parent)
    (listing,) = datasets.list_clips(config, mode, [machine])
    train_scores = tuple(score.score for score in clips.read_scores(config.train_score_path(mode, machine)))
    limit = threshold(train_scores, config.threshold)
    by_id = {
        machine_id: [ScoredClip(clip, score, score > limit) for clip, score in scored]
        for machine_id, scored in evaluation.scored_clips(config, listing, mode).items()
    }
    rows = [_row(machine_id, [scored], config.max_fpr) for machine_id, scored in by_id.items()]
    everything = [each for scored in by_id.values() for each in scored]
    return MachineFacts(
        machine=machine,
        mode=mode,
        config=config,
        listing=listing,
        threshold=limit,
        train_scores=train_scores,
        scored=tuple(sorted(everything, key=lambda each: -each.score)),
        rows=(*rows, _row("mean", list(by_id.values()), config.max_fpr)),
        origin=origin,
        training=_training(_from(origin, origin["detector"])) if "detector" in origin else None,
    )


def _config(origin: dict[str, Any], results: Path) -> Config:
    """The configuration with its directories where they were when the scores were made."""
    mapping = dict(origin["config"])
    for key in ("dev_directory", "eval_directory", "cache_directory", "model_directory", "export_directory"):
        mapping[key] = str(_from(origin, mapping[key]))
    if mapping["ensemble"]["members"]:
        members = [str(_from(origin, member)) for member in mapping["ensemble"]["members"]]
        mapping["ensemble"] = {**mapping["ensemble"], "members": members}
    mapping["result_directory"] = str(results)
    return configuration.from_mapping(mapping, source=str(results))


def _from(origin: dict[str, Any], path: str) -> Path:
    """A path as it was meant where the command ran; as it is meant here, if that place is gone."""
    there = Path(origin["working_directory"])
    return there / path if there.is_dir() else Path(path)


def _training(detector: Path) -> dict[str, Any]:
    path = detector / "training.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"Can't read what is kept of the training in {path}: {error}.") from error


def _row(name: str, groups: Sequence[Sequence[ScoredClip]], max_fpr: float) -> Row:
    everything = [each for group in groups for each in group]
    usable = []
    for group in groups:
        labels = [each.clip.label for each in group if each.clip.label is not None]
        if len(labels) == len(group) and 0 < sum(labels) < len(labels):
            usable.append((labels, np.array([each.score for each in group])))
    counts = [(each.clip.label, each.is_anomaly) for each in everything]
    return Row(
        name,
        auc=_area(usable, auc),
        pauc=_area(usable, partial(pauc, max_fpr=max_fpr)),
        counts=Counts(*(counts.count(kind) for kind in ((0, False), (0, True), (1, False), (1, True)))),
        n_unlabelled=sum(label is None for label, _ in counts),
    )


def _area(groups: Sequence[tuple[list[int], np.ndarray]], area: Callable[..., float]) -> Area:
    """The mean over IDs, with how far it would move with other test clips."""
    if not groups:
        return Area(math.nan, math.nan, math.nan)
    value = mean_of_defined([area(labels, scores) for labels, scores in groups])
    return Area(value, *bootstrap_interval(groups, area))
