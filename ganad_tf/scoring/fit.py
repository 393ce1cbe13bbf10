"""Fits what turns residuals into scores to the normal training clips, once the detector is trained."""

import logging
from collections.abc import Sequence

import numpy as np

from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring import clip_values, densities
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory

logger = logging.getLogger(__name__)


def check_enough(run: MachineRun, n_clips: int) -> None:
    """Refuses a density that can't be fitted to so few training clips.

    Raises:
      DataError: Says how many it needs.
    """
    settings = run.config.scorer
    if settings.name == "density" and n_clips < densities.fewest(settings):
        own = {
            "gmm": f" with `scorer.components: {settings.components}`",
            "knn": f" with `scorer.neighbors: {settings.neighbors}`",
        }
        raise DataError(
            f"Expected at least {densities.fewest(settings)} normal training clips of {run.machine} for "
            f"`scorer.density: {settings.density}`{own.get(settings.density, '')}. Received: {n_clips}."
        )


def foresee_no_threshold(run: MachineRun, entries: Sequence[Entry]) -> None:
    """Warns where the training clips are one recording, whose scores give no threshold by `gamma`; before training."""
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
    """Fits ways of scoring to the normal training clips and saves them beside the detector."""
    model = directory.load()
    functions = [
        clip_values.scorer_function(model, FittedScorer(own, None, ()))
        if own.name == "paper"
        else clip_values.residual_function(model, own)
        for own in missing
    ]
    for own, values in zip(missing, clip_values.of_each_clip(model, functions, cache.path, entries), strict=True):
        of_clips = sorted(values.items(), key=lambda item: item[0].file)
        array = np.stack([value for _, value in of_clips])
        density = densities.fit(array, own, seed) if own.name == "density" else None
        scores = densities.cross_scores(array, own, seed) if density else array
        named = tuple(ClipScore(clip.name, float(score)) for (clip, _), score in zip(of_clips, scores, strict=True))
        directory.save_scorer(FittedScorer(own, density, named))
