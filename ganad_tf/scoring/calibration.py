"""Calibration scores: scores of normal clips by detectors and densities that have not seen them.

They lie beside the fitted scorer, in a folder named after the settings of the folds.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.config import Config
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.files import atomic, checksummed
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.scoring import clip_values, compound_densities, densities, domain_densities, training_record
from ganad_tf.scoring.folds import Fold
from ganad_tf.scoring.machine_ids import needs_machine_ids
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory

SCORES, RECORD = "scores.csv", "calibration.json"


def path(directory: ModelDirectory, config: Config) -> Path:
    """Folder of the calibration scores of the configured scorer."""
    settings = [config.threshold.folds, config.calibration.block]
    return directory.scorer_path(config.scorer) / f"calibration-{checksummed.fingerprint(settings, digits=8)}"


def save(directory: ModelDirectory, config: Config, scores: Sequence[ClipScore], made_with: str) -> None:
    """Writes calibration scores in one step; `made_with` identifies the clips and their folds."""
    folder = path(directory, config)
    atomic.clear_leftovers(folder)
    with atomic.new_directory(folder, replace=True) as temporary:
        score_files.write_calibration(temporary / SCORES, scores)
        record = {"made_with": made_with, "folds": config.threshold.folds, "block": config.calibration.block}
        atomic.write_text(temporary / RECORD, json.dumps(record, indent=1))


def is_made_with(directory: ModelDirectory, config: Config, made_with: str) -> bool:
    """Whether there are calibration scores of the clips and folds that `made_with` identifies."""
    record = path(directory, config) / RECORD
    try:
        return record.exists() and json.loads(record.read_text(encoding="utf-8"))["made_with"] == made_with
    except checksummed.READ_ERRORS as error:
        raise training_record.unreadable(record.parent, error) from error


def load_scorer(directory: ModelDirectory, config: Config) -> FittedScorer:
    """Loads the configured scorer, with its calibration scores if the threshold needs them.

    Raises:
      DataError: If the scorer or its calibration scores are missing or can't be read.
    """
    fitted = directory.load_scorer(config.scorer)
    if config.threshold.method != "conformal":
        return fitted
    folder = path(directory, config)
    if not folder.exists():
        raise DataError(
            f"Expected calibration scores for `threshold.method: conformal` in {folder}, but there are none; run "
            "`ganad train`, which calibrates without training the detector again, or set `threshold.method: gamma`."
        )
    try:
        return dataclasses.replace(fitted, calibration_scores=tuple(score_files.read_calibration(folder / SCORES)))
    except DataError as error:
        raise training_record.unreadable(folder, error) from error


def held_out_scores(
    directory: ModelDirectory, cache: Cache, fold: Fold, settings: Scorer, seed: int
) -> list[ClipScore]:
    """Scores a fold's held-out clips by its detector and a density of its training clips.

    Args:
      directory: Directory of the fold's detector.
      cache: Cache of all training clips.
      fold: The fold; `folds.has_enough_clips` holds.
      settings: The section `scorer`.
      seed: Seed of the density's fit.
    """
    model = directory.load()
    if settings.name == "paper":
        return scores_by(directory, FittedScorer(settings, None, ()), cache, fold.held_out)
    vectors = clip_values.vector_function(model, settings)
    (values,) = clip_values.apply_to_cache(model, [vectors], cache, (*fold.training, *fold.held_out))
    known, held_out = (np.stack([values[entry.clip] for entry in part]) for part in (fold.training, fold.held_out))
    clips = [entry.clip for entry in fold.training]
    domains, recordings = [clip.domain for clip in clips], [clip.recording for clip in clips]
    if not needs_machine_ids(model.detector, settings):
        fitted = domain_densities.fit(known, domains, settings, seed, recordings=recordings)
        scores = densities.score_in_chunks(fitted, held_out)
    else:
        machine_ids = [clip.machine_id for clip in clips]
        density = compound_densities.fit_by_machine(known, machine_ids, settings, seed, domains, recordings)
        columns = [list(density.parts).index(entry.clip.machine_id) for entry in fold.held_out]
        scores = densities.score_in_chunks(density, held_out)[np.arange(len(columns)), columns]
    return [ClipScore(entry.clip.name, float(score)) for entry, score in zip(fold.held_out, scores, strict=True)]


def scores_by(
    directory: ModelDirectory, fitted: FittedScorer, cache: Cache, entries: Sequence[Entry]
) -> list[ClipScore]:
    """Scores cached clips by a detector and its fitted scorer."""
    model = directory.load()
    function = clip_values.scorer_function(model, fitted)
    (scores,) = clip_values.apply_to_cache(model, [function], cache, entries)
    return [ClipScore(entry.clip.name, float(scores[entry.clip])) for entry in entries]
