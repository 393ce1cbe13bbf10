"""The verb `score`: a trained detector and cached clips → one anomaly score and one decision per clip."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ganad_tf.cache.directory import Cache
from ganad_tf.clips import Clip, Progress, by_id
from ganad_tf.files import atomic, lock
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.score_files import ClipScore, names_without_score
from ganad_tf.results.thresholds import format_threshold, threshold_or_none
from ganad_tf.run import MachineRun
from ganad_tf.scoring import calibration, clip_values, recordings
from ganad_tf.scoring.machine_ids import needs_machine_ids
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory, TrainedDetector
from ganad_tf.scoring.partial_scores import PartialScores

logger = logging.getLogger(__name__)


class ScoringResult(NamedTuple):
    """Scores of one machine type's test clips.

    Attributes:
      scores: Score by clip, `[]` float32.
      threshold: Score above which a clip is called anomalous; None if the training scores give none.
      model: The detector that scored.
      fitted: The scorer of those scores.
    """

    scores: dict[Clip, np.ndarray]
    threshold: float | None
    model: TrainedDetector
    fitted: FittedScorer


def score_clips(
    run: MachineRun, *, progress: Progress = lambda items, _: items, fresh: bool = False, command: str = ""
) -> ScoringResult:
    """Scores the test clips of one machine type and writes score and decision files, one pair per ID.

    If the scorer is not the paper's, the paper's scores go to `paper/` in the result directory. Clips that
    `recording_check` refuses have a reason instead of a score. If the training scores determine no threshold, scores
    are written without decisions. A warning is logged of either.

    Args:
      run: The machine type's run; the log-mels of the test clips must be in the cache.
      progress: Displays the progress.
      fresh: Whether clips that an interrupted call has scored are scored again.
      command: The command line, to be recorded beside the scores.

    Raises:
      DataError: If there are no test clips or no trained detector, the cache is not up to date, a score is NaN or
        infinite, or another process writes the results; no file is written then.
      ConfigError: If the detector was trained with other settings.
    """
    directory = find_detector(run)
    with lock.exclusive(MachineResults.of(run).lock):
        return _score(run, directory, progress, fresh=fresh, command=command)


def _score(
    run: MachineRun, directory: ModelDirectory, progress: Progress, *, fresh: bool, command: str
) -> ScoringResult:
    variants = run.score_variants()
    model = directory.load()
    fitted = [calibration.load_scorer(directory, run.config)]
    fitted += [directory.load_scorer(variant.config.scorer) for variant in variants[1:]]
    cache = Cache(run, "test")
    current = cache.current()
    partial = PartialScores(
        MachineResults.of(run).unfinished,
        {
            "settings": [variant.config.score_settings() for variant in variants],
            "cache": current.digest(),
            "detector": directory.identity(),
        },
    )
    machine_ids = list(by_id(run.listing.clips_of("test")))
    for path in (path for variant in variants for path in MachineResults.of(variant).files(machine_ids)):
        atomic.clear_leftovers(path)
    if not fresh:
        partial.read()
    not_judged = recordings.not_judged(run, directory, cache, current.entries)
    functions = [clip_values.scorer_function(model, scorer) for scorer in fitted]
    entries = [entry for entry in current.entries if entry.clip not in not_judged]
    scores = clip_values.apply_to_cache(model, functions, cache, entries, progress=progress, partial=partial)
    reasons = {clip.name: reason for clip, reason in not_judged.items()}
    normal = fitted[0].normal_scores
    threshold = threshold_or_none(normal, run.config.threshold, run.title)
    for variant, scorer, scored in zip(variants, fitted, scores, strict=True):
        origin = variant.config.origin(command) | {
            "cache": current.digest(),
            "detector": run.config.storage.location(directory.path),
            "trained_on": model.record["cache"],
            "takes_machine_ids": needs_machine_ids(model.detector, variant.config.scorer),
        }
        limit = threshold if variant is variants[0] else None
        of_ids = _by_id(run, scored)
        MachineResults.of(variant).write(
            of_ids,
            scorer.normal_scores,
            origin,
            threshold=limit,
            not_judged=reasons,
            without_score=names_without_score(run.listing.clips_of("test"), of_ids),
        )
    partial.remove()
    logger.info("%s: scored %d clips, threshold %s", run.title, len(scores[0]), format_threshold(threshold))
    return ScoringResult(scores[0], threshold, model, fitted[0])


def find_detector(run: MachineRun) -> ModelDirectory:
    """Finds the directory of the detector that scores a machine type's test clips.

    Raises:
      DataError: If there are no test clips, no trained detector or no fitted scorer.
      ConfigError: If the detector was trained with other settings.
    """
    run.listing.require_clips("test")
    return detector_directory(run)


def detector_directory(run: MachineRun) -> ModelDirectory:
    """Finds the directory of a machine type's detector with its scorers.

    Evaluation data without training clips use the detector of the development data.

    Raises:
      DataError: If there is no trained detector or no fitted scorer.
      ConfigError: If the detector was trained with other settings.
    """
    directory = ModelDirectory.of(run, run.mode if run.listing.clips_of("train") else "dev")
    directory.check_settings(run.config)
    for variant in run.score_variants():
        directory.require_scorer(variant.config.scorer)
    return directory


def _by_id(run: MachineRun, scores: Mapping[Clip, np.ndarray]) -> dict[str, list[ClipScore]]:
    """Scores by machine ID; an ID without usable clips has an empty list."""
    groups = by_id(run.listing.clips_of("test"))
    return {
        machine_id: [ClipScore(clip.name, float(scores[clip])) for clip in clips if clip in scores]
        for machine_id, clips in groups.items()
    }
