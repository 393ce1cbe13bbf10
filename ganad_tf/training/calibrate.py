"""Calibration of a trained detector: scores of normal clips by detectors that have not seen them.

A detector is trained for each fold of the training clips, without the clips of the fold, with the same settings.
Recordings in a folder for calibration alone need no further detectors: the detector has not seen them.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ganad_tf import splits
from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry, Manifest
from ganad_tf.config.sections import Scorer, TensorBoard
from ganad_tf.files import checksummed, lock
from ganad_tf.models import DETECTORS
from ganad_tf.results import conformal
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring import calibration
from ganad_tf.scoring.folds import Fold, folds, has_enough_clips
from ganad_tf.scoring.machine_ids import needs_machine_ids
from ganad_tf.scoring.model_directory import ModelDirectory, TrainedDetector
from ganad_tf.training.train import train_on

logger = logging.getLogger(__name__)

# Called with the label of a training; shows its progress by the Keras callbacks that it yields.
Show = Callable[[str], AbstractContextManager[tuple[Any, ...]]]


def calibrate_detector(run: MachineRun, *, show: Show = lambda _: nullcontext(())) -> None:
    """Computes and saves the calibration scores of a machine type's detector, unless they exist already.

    Does nothing unless `threshold.method` is `conformal`. Each fold's detector is kept, so that another scorer, or an
    interrupted calibration, does not train it again.

    Args:
      run: The machine type's run, whose detector is trained; its log-mels must be in the cache.
      show: Displays the progress of each fold's training.

    Raises:
      DataError: If the cache is missing, stale or damaged, or another process trains the same detector.
      TrainingError: If a fold's loss becomes NaN or infinite.
    """
    if run.config.threshold.method != "conformal":
        return
    directory, cache = ModelDirectory.of(run), Cache(run, "train")
    current = cache.current()
    entries = current.normal
    settings = run.config.threshold
    all_folds = folds(entries, settings.folds, run.config.calibration.block, run.config.seed)
    kept_out = Cache(run, "calibration").current() if run.listing.clips_of("calibration") else None
    made_with = kept_out.digest() if kept_out else _assignment(all_folds)
    recordings = _recordings(kept_out.entries if kept_out else entries)
    made_with += "-by-recording" if any(recordings.values()) else ""  # earlier versions counted the clips
    with lock.exclusive(directory.path):
        if calibration.is_made_with(directory, run.config, made_with):
            return
        if kept_out:
            fitted = directory.load_scorer(run.config.scorer)
            scores = calibration.scores_by(directory, fitted, Cache(run, "calibration"), kept_out.entries)
            _warn_of_one_recording(run, "calibration", kept_out.entries)
        else:
            scores = _scores_of_folds(run, directory, current, all_folds, show)
        scores = [dataclasses.replace(score, recording=recordings[score.name]) for score in scores]
        calibration.save(directory, run.config, scores, made_with)
    count = conformal.count_recordings(len(scores), [score.recording for score in scores])
    clips = f"{len(scores)} clips" + (f" of {count} recordings" if count != len(scores) else "")
    logger.info("%s: calibrated on %s that its detector has not seen", run.title, clips)


def _scores_of_folds(
    run: MachineRun, directory: ModelDirectory, current: Manifest, all_folds: Sequence[Fold], show: Show
) -> list[ClipScore]:
    """Scores of all training clips, each by the detector of the fold that leaves it out."""
    config, cache = run.config, Cache(run, "train")
    by_machine = needs_machine_ids(DETECTORS[config.model.name], config.scorer)
    if not all_folds or not all(has_enough_clips(fold, config.scorer, by_machine=by_machine) for fold in all_folds):
        logger.warning("%s: too few recordings to leave some out for calibration; there are no decisions.", run.title)
        return []
    _warn_of_one_recording(run, "training", [entry for fold in all_folds for entry in fold.held_out])
    scores = []
    is_trained_anew = depends_on_clips(directory.load(), [config.scorer])
    for number, fold in enumerate(all_folds, start=1):
        of_fold = directory.fold(_assignment(all_folds), number) if is_trained_anew else directory
        if not of_fold.exists() or of_fold.unfinished.exists():
            with show(f"{run.title} fold {number} of {len(all_folds)}") as callbacks:
                train_fold(run, of_fold, current, fold.training, callbacks)
        scores += calibration.held_out_scores(of_fold, cache, fold, config.scorer, config.seed)
    return sorted(scores, key=lambda score: score.name)


def _recordings(entries: Sequence[Entry]) -> dict[str, str]:
    """Recordings by name of the clip, for p-values: empty for clips that stand alone; see `splits.shared`."""
    names = splits.shared([entry.clip.recording for entry in entries], [entry.sha256 for entry in entries])
    return {entry.clip.name: name for entry, name in zip(entries, names, strict=True)}


def _warn_of_one_recording(run: MachineRun, use: str, entries: Sequence[Entry]) -> None:
    if len(entries) > 1 and len({entry.clip.recording for entry in entries}) == 1:
        logger.warning(
            "%s: all %s clips are of one recording; false alarms hold for sound like that in it.", run.title, use
        )


def depends_on_clips(model: TrainedDetector, scorers: Sequence[Scorer]) -> bool:
    """Whether scores depend on the clips that a detector was trained on, so that each fold needs one of its own.

    A detector without weights has learned nothing, and a density undoes the standardisation.
    """
    return any(settings.name == "paper" for settings in scorers) or bool(model.detector.trainable_variables)


def train_fold(
    run: MachineRun,
    directory: ModelDirectory,
    current: Manifest,
    training: Sequence[Entry],
    callbacks: tuple[Any, ...],
) -> None:
    """Trains a detector on some of the training clips, standardised by these alone, and saves it.

    Args:
      run: The machine type's run.
      directory: Directory of the detector, locked by the caller.
      current: Manifest of the cache of all training clips.
      training: The clips to train on.
      callbacks: Keras callbacks.
    """
    quiet = run.with_config(dataclasses.replace(run.config, tensorboard=TensorBoard()))
    sums = spectra.of(Cache(run, "train")).sums(current, training)
    seen = dataclasses.replace(current, statistics=sums.statistics())
    train_on(quiet, directory, seen, training, callbacks)


def _assignment(all_folds: Sequence[Fold]) -> str:
    """Identifies the clips and their folds."""
    held_out: list[list[Entry]] = [list(fold.held_out) for fold in all_folds]
    return checksummed.fingerprint([[(entry.clip.key, entry.sha256) for entry in fold] for fold in held_out], digits=8)
