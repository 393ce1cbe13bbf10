"""The stages over all machine types of an experiment, one after another."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ganad_tf import datasets, runtime
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import PreparationResult, cache_paths, prepare_cache
from ganad_tf.cli import sending, terminal
from ganad_tf.cli.preparing import Caching, prepare_in_blocks
from ganad_tf.config.sections import Fit
from ganad_tf.engine import driver
from ganad_tf.engine.driver import Workers
from ganad_tf.engine.units import Unit
from ganad_tf.errors import DataError, GanadError, HaltError, StageInterrupt
from ganad_tf.files import checksummed
from ganad_tf.run import MachineRun
from ganad_tf.scoring.fit import check_clip_count
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.scoring.score import find_detector, score_clips
from ganad_tf.tensorboard import experiment
from ganad_tf.training import checkpoint, distribution
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
    built = set()
    for run in runs:
        distribution.check(run.config)
        settings = checksummed.fingerprint([run.config.training_settings(), run.listing.machine_ids])
        if settings not in built:  # a fleet has the same for all of its machines
            build(run.config, run.listing.machine_ids)
            built.add(settings)
        if run.listing.clips_of("train"):
            check_clip_count(run, run.listing.clips_of("train"))


def prepare_all(runs: Sequence[MachineRun], splits: Sequence[str], *, fresh: bool = False) -> None:
    """Brings all caches up to date, or recomputes them if `fresh`.

    Raises:
      DataError: If clips can't be used; names those of all machine types.
    """
    faults = prepare_each(runs, splits, fresh=fresh)
    if faults:
        raise DataError("\n".join(dict.fromkeys(map(str, faults.values()))))


def prepare_each(
    runs: Sequence[MachineRun], splits: Sequence[str], *, fresh: bool = False, workers: Workers | None = None
) -> dict[str, Exception]:
    """Brings all caches up to date, or recomputes them if `fresh`.

    Args:
      runs: The systems; members of an ensemble share caches.
      splits: The clips to prepare.
      fresh: Whether all clips are read again.
      workers: Workers of a cluster, which read clips in blocks; None for this process.

    Returns:
      Errors by machine type; that of files that belong to none has an empty name.

    Raises:
      HaltError: If a file can't be written, or an object store can't be used.
    """
    errors: dict[str, Exception] = {}
    try:
        datasets.refuse_foreign(runs)
    except DataError as error:
        errors[""] = error
    caches = _caches(runs, splits)
    if workers and workers.are_elsewhere:
        prepare_in_blocks(caches, workers, fresh=fresh)
        sending.publish_caches(cache.run for cache in caches if not cache.error)
    else:
        for cache in caches:
            _prepare_here(cache, fresh=fresh)
    for cache in caches:
        name = cache.run.machine
        if cache.error:
            said = f"{errors[name]}\n" if name in errors else ""
            if f"{cache.error}\n" not in said:  # training and test clips may lack the same file
                errors[name] = DataError(f"{said}{cache.error}") if said else cache.error
        elif cache.result:
            _log_prepared(cache, cache.result)
    return errors


def _caches(runs: Sequence[MachineRun], splits: Sequence[str]) -> list[Caching]:
    """The different caches of systems."""
    found: dict[tuple[Path, ...], Caching] = {}
    names: set[str] = set()
    for run in runs:
        for split in splits:
            paths = cache_paths(run, split)
            if run.listing.clips_of(split) and paths not in found:
                name = f"{run.machine} {split}"
                found[paths] = Caching(run, split, run.title if name in names else run.machine)
                names.add(name)
    return list(found.values())


def _prepare_here(cache: Caching, *, fresh: bool) -> None:
    """Brings a cache up to date in this process."""
    try:
        with _preparing(cache.run, cache.split), terminal.bar(f"{cache.title} {cache.split}") as bar:
            cache.result = prepare_cache(cache.run, cache.split, progress=bar, fresh=fresh)
    except HaltError:
        raise
    except DataError as error:
        cache.error = error


def _log_prepared(cache: Caching, done: PreparationResult) -> None:
    if (done.n_new, done.n_dropped) == (0, 0):
        nothing = "%s %s: %d clips are in the cache, nothing has changed"
        logger.debug(nothing, cache.title, cache.split, done.n_kept)
        return
    counts = (done.n_new, done.n_kept, done.n_dropped, len(done.skipped))
    logger.info("%s %s: %d clips prepared, %d kept, %d dropped, %d left out", cache.title, cache.split, *counts)


def train_units(runs: Sequence[MachineRun], *, fresh: bool = False) -> list[Unit]:
    """One unit per system that is to be trained; evaluation data need none where they have no training clips.

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
    deterministic = any(run.config.deterministic for run in runs)
    trained = [run for run in runs if run not in without]
    return [Unit("train", run.title, run.machine, train_one, (run, fresh, deterministic)) for run in trained]


def train_one(run: MachineRun, fresh: bool, deterministic: bool) -> None:
    """Trains and calibrates one system.

    Args:
      run: The system's run.
      fresh: Whether to start anew.
      deterministic: Whether a system of the command is to be reproducible, which holds for the whole process.
    """
    if deterministic:
        runtime.deterministic()
    runtime.forget_models()
    with _training(run), terminal.epochs(run.config.fit, f"{run.title} train") as callbacks:
        train_detector(run, callbacks=callbacks, fresh=fresh)
    with _calibrating(run):
        calibrate_detector(run, show=partial(show_training, run.config.fit))


def finish_together(errors: Mapping[str, Exception]) -> bool:
    """Waits for the other workers, if any, so that all end alike; returns whether this one writes the results.

    Raises:
      DataError: If another machine type, or none, has failed on another worker.
    """
    devices = distribution.of_workers()
    if devices is None:
        return True
    devices.agree("outcome", sorted(errors))
    return devices.writes


def show_training(fit: Fit, label: str) -> AbstractContextManager[tuple[Any, ...]]:
    """Shows the progress of a fold's training, in the memory that the models before it took."""
    runtime.forget_models()
    return terminal.epochs(fit, label)


def score_units(runs: Sequence[MachineRun], *, fresh: bool, command: str, after: Sequence[Unit] = ()) -> list[Unit]:
    """One unit per system that is to be scored; it needs that of `after` which trains the system."""
    trainings = {unit.name: unit.key for unit in after}
    return [
        Unit("score", run.title, run.machine, score_one, (run, fresh, command), _needs(trainings, run)) for run in runs
    ]


def score_one(run: MachineRun, fresh: bool, command: str) -> None:
    """Scores the test clips of one system.

    Args:
      run: The system's run.
      fresh: Whether all clips are scored again.
      command: The command line, to be recorded beside the scores.
    """
    with _scoring(run), terminal.bar(f"{run.title} score") as bar:
        result = score_clips(run, progress=bar, fresh=fresh, command=command)
        experiment.show_scores(run, result.model, result.fitted, scored=result.scores)


def without_detector(runs: Sequence[MachineRun]) -> dict[str, Exception]:
    """Errors of machine types that can't be scored, before clips are read."""
    errors: dict[str, Exception] = {}
    for run in runs:
        try:
            find_detector(run)
        except GanadError as error:
            errors.setdefault(run.machine, error)
    return errors


def on_workers(units: Sequence[Unit], workers: Workers) -> dict[str, Exception]:
    """Runs units and returns errors by machine type."""
    if not workers.are_elsewhere:
        return driver.failures(driver.run(units, workers))
    with terminal.units() as show:
        outcomes = driver.run(sending.sent(units), workers, show)
    sending.fetch_scores(units)
    return driver.failures(outcomes)


def _needs(trainings: Mapping[str, str], run: MachineRun) -> tuple[str, ...]:
    return (trainings[run.title],) if run.title in trainings else ()


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
