"""Fitting of scorers to the normal training clips, once the detector is trained."""

import logging
from collections.abc import Sequence

import numpy as np

from ganad_tf.cache import records
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.findings.healthy import Healthy
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring import clip_values, densities
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory

logger = logging.getLogger(__name__)


def check_clip_count(run: MachineRun, n_clips: int) -> None:
    """Checks that there are enough normal training clips for the configured density.

    Raises:
      DataError: If there are too few; says how many are needed.
    """
    settings = run.config.scorer
    if settings.name == "density" and n_clips < densities.min_training_clips(settings):
        requirement = {
            "gmm": f" with `scorer.components: {settings.components}`",
            "knn": f" with `scorer.neighbors: {settings.neighbors}`",
        }
        raise DataError(
            f"Expected at least {densities.min_training_clips(settings)} normal training clips of {run.machine} for "
            f"`scorer.density: {settings.density}`{requirement.get(settings.density, '')}. Received: {n_clips}."
        )


def warn_of_missing_threshold(run: MachineRun, entries: Sequence[Entry]) -> None:
    """Warns, before training, if all training clips are copies of one, whose scores give no threshold by `gamma`."""
    contents = {entry.sha256 or entry.clip.file for entry in entries}
    if run.config.threshold.method == "gamma" and len(contents) == 1:
        which = "one normal training clip" if len(entries) == 1 else f"{len(entries)} identical normal training clips"
        logger.warning(
            "%s: there will be scores but no decisions: `threshold.method: gamma` needs training scores that differ, "
            "and there is no more than %s; add recordings, or set `threshold.method: quantile`.",
            run.machine,
            which,
        )


def fit_scorers(
    directory: ModelDirectory, missing: Sequence[Scorer], cache: Cache, entries: Sequence[Entry], seed: int
) -> None:
    """Fits scorers to the normal training clips and saves them beside the detector.

    Args:
      directory: Directory of the trained detector.
      missing: Settings of the scorers to fit.
      cache: Cache of the training clips.
      entries: The normal training clips in it.
      seed: Seed of the fits.
    """
    model = directory.load()
    functions = [
        clip_values.scorer_function(model, FittedScorer(settings, None, ()))
        if settings.name == "paper"
        else clip_values.residual_function(model, settings)
        for settings in missing
    ]
    results = clip_values.apply_to_cache(model, functions, cache.path, entries)
    for settings, values in zip(missing, results, strict=True):
        by_clip = sorted(values.items(), key=lambda item: item[0].file)
        array = np.stack([value for _, value in by_clip])
        density = densities.fit(array, settings, seed) if settings.name == "density" else None
        scores = densities.cross_validated_scores(array, settings, seed) if density else array
        named = tuple(ClipScore(clip.name, float(score)) for (clip, _), score in zip(by_clip, scores, strict=True))
        directory.save_scorer(FittedScorer(settings, density, named))


def describe_healthy(run: MachineRun, directory: ModelDirectory, cache: Cache, entries: Sequence[Entry]) -> None:
    """Saves the sound of the normal training clips beside the detector, unless that was done before."""
    if directory.load_healthy() is None:
        log_mels = ((entry.clip.machine_id, log_mel) for entry, log_mel in records.read(cache.path, entries))
        healthy = Healthy.fit(log_mels, run.config.audio, run.config.feature)
        if healthy:
            directory.save_healthy(healthy)
