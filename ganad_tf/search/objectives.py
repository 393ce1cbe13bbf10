"""Objectives: what a trial is worth, from its trained detector.

`val_loss` and `pseudo_auc` see normal clips alone. `dev_auc` reads the labels of the test clips and is an oracle.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ganad_tf.cache.directory import Cache
from ganad_tf.clips import labels_and_scores
from ganad_tf.config.sections import Fit
from ganad_tf.errors import ConfigError, DataError, TrainingError
from ganad_tf.results.evaluate import areas_of
from ganad_tf.results.metrics import mean_of_defined
from ganad_tf.run import MachineRun
from ganad_tf.scoring import clip_values, recordings
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.selection.trials import check_selectable, trial_folds, trial_scores
from ganad_tf.training.train import train_detector

# Called with the settings and the label of a training; shows its progress by the Keras callbacks that it yields.
ShowFit = Callable[[Fit, str], AbstractContextManager[tuple[Any, ...]]]

# Clips that an objective looks at.
SPLITS = {"val_loss": ("train",), "pseudo_auc": ("train",), "dev_auc": ("train", "test")}


def check_objective(run: MachineRun, objective: str) -> None:
    """Checks that a run has what an objective needs.

    Raises:
      ConfigError: If no clips are held out for a validation loss, or corrupted copies can't judge the system.
      DataError: If test clips have no labels, or those of one kind alone.
    """
    if objective == "val_loss" and not run.config.fit.validation_share:
        raise ConfigError("Expected a `fit.validation_split` above 0 for `search.objective: val_loss`. Received: 0.")
    if objective == "pseudo_auc":
        check_selectable(run.config)
    if objective == "dev_auc":
        labels = {clip.label for clip in run.listing.require_clips("test")}
        if labels != {0, 1}:
            raise DataError(
                f"Expected labelled test clips of {run.machine}, normal ones and anomalies, for `search.objective: "
                "dev_auc`, but there are none."
            )


def val_loss(run: MachineRun, show: ShowFit) -> float:
    """Validation loss of the weights that are kept: the last one, or the lowest with `fit.restore_best`."""
    curve = _trained(run, show).record()["history"].get("val_loss")
    if not curve:
        raise too_few_clips(run)
    return float(min(curve) if run.config.fit.restore_best else curve[-1])


def too_few_clips(run: MachineRun) -> DataError:
    """The error of a training without clips for validation."""
    return DataError(f"Expected a validation loss of {run.machine}, but there are too few clips to hold any out.")


def pseudo_auc(run: MachineRun, show: ShowFit) -> float:
    """AUC of held-out normal clips against corrupted copies, the mean over all kinds and strengths of corruption.

    `ganad select` weighs strengths by what its candidates make of them; a trial is judged before the others are known.
    """
    tried = trial_folds(run, [run.config.scorer])
    if not tried:
        raise DataError(f"Expected more recordings of {run.machine}, of which some can be left out for `pseudo_auc`.")
    kept = Path(run.config.model_directory, f"folds-{run.config.calibration.block}")
    show_fold = partial(show, run.config.fit)
    [scores] = trial_scores(run, [run.config.scorer], tried, show_fold, kept=kept)
    return float(scores.wins().mean())


def dev_auc(run: MachineRun, show: ShowFit) -> float:
    """AUC on the labelled test clips, the mean over machine IDs, as `ganad evaluate` computes it."""
    directory, cache = _trained(run, show), Cache(run, "test")
    model, fitted = directory.load(), directory.load_scorer(run.config.scorer)
    entries = cache.current().entries
    not_judged = recordings.not_judged(run, directory, cache, entries)
    judged = [entry for entry in entries if entry.clip not in not_judged]
    [scores] = clip_values.apply_to_cache(model, [clip_values.scorer_function(model, fitted)], cache, judged)
    by_id = labels_and_scores({clip: float(score) for clip, score in scores.items()})
    return mean_of_defined([areas_of(*pair, name, run.config.max_fpr).auc for name, pair in by_id.items()])


OBJECTIVES: Mapping[str, Callable[[MachineRun, ShowFit], float]] = {
    "val_loss": val_loss,
    "pseudo_auc": pseudo_auc,
    "dev_auc": dev_auc,
}


def measure(run: MachineRun, objectives: tuple[str, ...], show: ShowFit) -> dict[str, float]:
    """Values of the objectives.

    Raises:
      TrainingError: If one is not a number.
    """
    values = {name: OBJECTIVES[name](run, show) for name in objectives}
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(f"Expected a finite {name} of {run.machine}. Received: {value}.")
    return values


def _trained(run: MachineRun, show: ShowFit) -> ModelDirectory:
    """The directory of the run's detector with its scorer; trains it unless that has been done."""
    with show(run.config.fit, f"{run.machine} train") as callbacks:
        train_detector(run, callbacks=callbacks)
    return ModelDirectory.of(run)
