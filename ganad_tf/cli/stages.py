"""The stages over all machine types of an experiment, one after another."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ganad_tf import datasets, runtime
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import cache_paths, prepare_cache
from ganad_tf.cli import terminal
from ganad_tf.config.sections import Fit
from ganad_tf.errors import DataError, GanadError, StageInterrupt, StorageError, WriteError
from ganad_tf.run import MachineRun
from ganad_tf.scoring.fit import check_clip_count
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.scoring.score import find_detector, score_clips
from ganad_tf.tensorboard import experiment
from ganad_tf.training import checkpoint
from ganad_tf.training.build import build
from ganad_tf.training.calibrate import calibrate_detector
from ganad_tf.training.train import train_detector

logger = logging.getLogger(__name__)


def check(runs: Sequence[MachineRun]) -> None:
    """Checks that all detectors can be trained, before time is spent on any machine type.

    Raises:
      ConfigError: If the settings don't fit a detector.
      DataError: If there are too few training clips for the density.
    """
    for run in runs:
        build(run.config, run.listing.machine_ids)
        if run.listing.clips_of("train"):
            check_clip_count(run, run.listing.clips_of("train"))


def prepare_all(runs: Sequence[MachineRun], splits: Sequence[str], *, fresh: bool = False) -> None:
    """Brings all caches up to date, or recomputes them if `fresh`.

    Raises:
      DataError: If clips can't be used; names those of all machine types.
    """
    faults: list[GanadError] = []
    prepared: dict[tuple[Path, ...], str] = {}  # members of an ensemble share caches
    try:
        datasets.refuse_foreign(runs)
    except DataError as error:
        faults.append(error)
    for run in runs:
        for split in splits:
            paths = cache_paths(run, split)
            if not run.listing.clips_of(split) or paths in prepared:
                continue
            is_second = f"{run.machine} {split}" in prepared.values()
            prepared[paths] = f"{run.machine} {split}"
            title = run.title if is_second else run.machine
            try:
                with _preparing(run, split), terminal.bar(f"{title} {split}") as bar:
                    done = prepare_cache(run, split, progress=bar, fresh=fresh)
            except (StorageError, WriteError):
                raise
            except DataError as error:
                faults.append(error)
                continue
            if (done.n_new, done.n_dropped) == (0, 0):
                logger.debug("%s %s: %d clips are in the cache, nothing has changed", title, split, done.n_kept)
                continue
            counts = (done.n_new, done.n_kept, done.n_dropped, len(done.skipped))
            logger.info("%s %s: %d clips prepared, %d kept, %d dropped, %d left out", title, split, *counts)
    if faults:
        raise DataError("\n".join(dict.fromkeys(map(str, faults))))


def train_all(runs: Sequence[MachineRun], *, fresh: bool = False) -> None:
    """Trains a detector for each machine type that has training clips; evaluation data need none.

    Resumes interrupted trainings and keeps existing detectors, unless `fresh`.

    Raises:
      DataError: If a machine type of the development data has no training clips.
    """
    without = [run for run in runs if not run.listing.clips_of("train")]
    for run in without:
        directory = run.config.data_directory(run.mode)
        if run.mode == "dev":
            names = ", ".join(dict.fromkeys(run.machine for run in without))
            raise DataError(
                f"Expected normal training clips in {directory}, but there are none of {names}; "
                "choose others with --machine."
            )
        find_detector(run)  # raises if there is no detector of the development data
        logger.info("%s: no training clips in %s, the detector of --dev will score it", run.title, directory)
    if any(run.config.deterministic for run in runs):
        runtime.deterministic()
    for run in runs:
        if run in without:
            continue
        runtime.forget_models()
        with _training(run), terminal.epochs(run.config.fit, f"{run.title} train") as callbacks:
            train_detector(run, callbacks=callbacks, fresh=fresh)
        with _calibrating(run):
            calibrate_detector(run, show=partial(show_training, run.config.fit))


def show_training(fit: Fit, label: str) -> AbstractContextManager[tuple[Any, ...]]:
    """Shows the progress of a fold's training, in the memory that the models before it took."""
    runtime.forget_models()
    return terminal.epochs(fit, label)


def score_all(runs: Sequence[MachineRun], *, fresh: bool = False, command: str = "") -> None:
    """Scores the test clips of each machine type; resumes interrupted scorings, unless `fresh`."""
    for run in runs:
        find_detector(run)  # fail early, before clips are read
    prepare_all(runs, ("test",))
    for run in runs:
        with _scoring(run), terminal.bar(f"{run.title} score") as bar:
            result = score_clips(run, progress=bar, fresh=fresh, command=command)
            experiment.show_scores(run, result.model, result.fitted, scored=result.scores)


def parameters(runs: Sequence[MachineRun]) -> int:
    """Number of parameters of the detectors of one machine type, of an ensemble all members'; the largest of all."""
    counts = [
        sum(int(find_detector(system).load().detector.count_params()) for system in run.systems()) for run in runs
    ]
    return max(counts)


@contextmanager
def _preparing(run: MachineRun, split: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        try:
            n_kept = len(Cache(run, split).load().entries)
        except DataError:  # there is no cache yet
            n_kept = 0
        kept = f"{n_kept} of {len(run.listing.clips_of(split))} clips are in the cache"
        raise StageInterrupt(f"preparing {run.machine} {split}", kept) from error


@contextmanager
def _training(run: MachineRun) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        directory = ModelDirectory.of(run)
        kept = f"{checkpoint.epochs_kept(directory.unfinished)} of {run.config.fit.epochs} epochs are kept"
        if directory.exists():  # of an earlier training, or interrupted while scorers were fitted
            kept = "its detector is kept"
        raise StageInterrupt(f"training {run.title}", kept) from error


@contextmanager
def _calibrating(run: MachineRun) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = "its detector is kept, and so are the folds that are trained"
        raise StageInterrupt(f"calibrating {run.title}", kept) from error


@contextmanager
def _scoring(run: MachineRun) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = "its scores are kept, but perhaps for the last ones"
        raise StageInterrupt(f"scoring {run.title}", kept) from error
