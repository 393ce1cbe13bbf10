"""The verb `train`: one detector on one machine type's normal training clips."""

import dataclasses
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ganad_tf import heap, runtime
from ganad_tf.cache import copies, spectra, windows
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry, Manifest, Statistics
from ganad_tf.cache.validation import split_by_file
from ganad_tf.cache.windows import Source
from ganad_tf.config import Config
from ganad_tf.config.sections import TensorBoard
from ganad_tf.errors import DataError, TrainingError
from ganad_tf.features import Normalizer
from ganad_tf.files import atomic, lock
from ganad_tf.models import DETECTORS, Detector
from ganad_tf.models.detector import largest_batch
from ganad_tf.run import MachineRun
from ganad_tf.scoring import model_directory, recordings
from ganad_tf.scoring.fit import check_clip_count, describe_healthy, fit_scorers, warn_of_missing_threshold
from ganad_tf.scoring.model_directory import ModelDirectory, TrainedDetector
from ganad_tf.tensorboard import experiment
from ganad_tf.training import batch_norm, distribution, fused_steps, learning, optimizers, programs
from ganad_tf.training.augment import WindowAugmentation
from ganad_tf.training.build import build
from ganad_tf.training.checkpoint import Checkpoint, epochs_kept
from ganad_tf.training.distribution import Devices
from ganad_tf.training.fused_steps import FusedSteps
from ganad_tf.training.guards import ReportResets, StopAtNaN, early_stopping
from ganad_tf.training.programs import Program
from ganad_tf.training.steps import n_steps, passes_per_epoch

logger = logging.getLogger(__name__)


def train_detector(
    run: MachineRun, *, callbacks: tuple[keras.callbacks.Callback, ...] = (), fresh: bool = False
) -> bool:
    """Trains and saves the detector of one machine type and fits its scorers, unless they exist already.

    An interrupted training is resumed after the last saved epoch. With `deterministic` it ends with the same weights
    as an uninterrupted one.

    Args:
      run: The machine type's run; the log-mels of its training clips must be in the cache.
      callbacks: Keras callbacks, to display the progress.
      fresh: Whether to start anew in any case; an existing detector is replaced when the new one is complete.

    Returns:
      Whether the detector was trained now; False if the same detector existed.

    Raises:
      DataError: If there are no training clips or too few for the density, the cache is missing, stale or damaged, or
        another process trains the same detector.
      ConfigError: If the settings don't fit the detector, or a detector or an unfinished training with other settings
        exists.
      TrainingError: If a loss becomes NaN or infinite; only the last finite weights are saved.
    """
    run.listing.require_clips("train")
    directory, cache = ModelDirectory.of(run), Cache(run, "train")
    devices = distribution.devices_of(run.config)
    current = cache.current()
    entries = current.normal
    check_clip_count(run, [entry.clip for entry in entries])
    if devices:
        state = (directory.exists(), directory.unfinished.exists(), epochs_kept(directory.unfinished))
        settings_and_state = (run.config.training_settings(), model_directory.versions(), fresh, *state)
        devices.agree(f"settings and files of the training of {run.machine}", current.digest(), *settings_and_state)
        if not devices.writes:
            return _assist(run, directory, current, entries, callbacks, fresh=fresh)
    with lock.exclusive(directory.path):
        is_new = fresh or not directory.exists() or directory.unfinished.exists()
        if is_new:
            warn_of_missing_threshold(run, entries)
            train_on(run, directory, current, entries, callbacks, fresh=fresh)
        else:
            _check_same(run, directory, current)
        settings = [variant.config.scorer for variant in run.score_variants()]
        missing = [scorer for scorer in settings if not directory.scorer_path(scorer).exists()]
        if missing:
            fit_scorers(directory, missing, cache, entries, run.config.seed)
        describe_healthy(run, directory, cache, entries)
        if run.config.checks_recordings and not directory.limits.exists():
            directory.save_limits(recordings.learn_limits(cache, entries))
        if is_new and run.config.tensorboard.directory:
            experiment.show_scores(run, directory.load(), directory.load_scorer(run.config.scorer))
    return is_new


def train_on(
    run: MachineRun,
    directory: ModelDirectory,
    current: Manifest,
    entries: Sequence[Entry],
    callbacks: tuple[keras.callbacks.Callback, ...],
    *,
    fresh: bool = False,
) -> None:
    """Trains a detector on some clips of the cache and saves it, or resumes its training.

    Args:
      run: The machine type's run.
      directory: Directory of the detector, locked by the caller.
      current: Manifest of the training clips' cache; its statistics standardise.
      entries: The normal clips to train on, in part for validation.
      callbacks: Keras callbacks.
      fresh: Whether an unfinished training is dropped.
    """
    config, unfinished = run.config, directory.unfinished
    atomic.check_writable(directory.path)
    for path in (directory.path, unfinished):
        atomic.clear_leftovers(path)
    if fresh:
        unfinished.unlink(missing_ok=True)
    seed_everything(config)
    training, validation = _sources(run, current, entries)
    with_copies = copies.added(run, training, current.entries)
    devices = distribution.devices_of(config)
    made_with = _made_with(config, current.digest(), with_copies)
    has_workers = devices is not None and devices.has_workers
    checkpoint = Checkpoint(unfinished, made_with, early_stopping(run, validation), every_epoch=has_workers)
    checkpoint.read()
    shown = experiment.of_training(run, training, validation, is_new=not checkpoint.epoch)

    def make() -> Detector:
        return build(config, run.listing.machine_ids)

    program = _program(config, run.listing.machine_ids, make, devices)
    detector = program.detector
    if not detector.trainable_variables:  # nothing to learn, so no floor of steps
        config = dataclasses.replace(config, fit=dataclasses.replace(config.fit, min_steps=0))
    try:
        watching = (StopAtNaN(directory.last_good), *shown, *callbacks)
        fit(program, config, with_copies, validation, watching, checkpoint, devices)
        detector = _on_one_device(make, detector) if devices else detector
        if config.fit.settle_batch_norm:
            batch_norm.settle(detector, training, seed=config.seed, memory_budget_mb=config.fit.memory_budget_mb)
    except TrainingError:  # going on would end the same way
        unfinished.unlink(missing_ok=True)
        raise
    except tf.errors.OpError:
        training.spectra.raise_fault()
        _check_unchanged(run, current)
        raise
    steps = n_steps(config.fit, with_copies.n_windows, len(checkpoint.history["loss"]))
    learned = learning.facts(detector, validation if validation.entries else training, steps, run.machine)
    facts = {"passes_per_epoch": passes_per_epoch(config.fit, with_copies.n_windows), **learned}
    record = _record(run, current, training, validation, checkpoint, facts)
    directory.last_good.unlink(missing_ok=True)
    feature = config.feature
    directory.save(
        TrainedDetector(detector, training.normalizer, feature.frames, feature.bands, record, feature.window_hop)
    )
    unfinished.unlink(missing_ok=True)
    programs.keep(program)
    logger.info("%s: trained on %d clips in %.0f s", run.title, len(training.entries), checkpoint.seconds)


def _sources(run: MachineRun, current: Manifest, entries: Sequence[Entry]) -> tuple[Source, Source]:
    """The clips to train on and those for validation, standardised by the statistics of the cache."""
    config = run.config
    training, validation = split_by_file(entries, config.fit.validation_share, config.seed)
    source = Source(
        spectra.of(Cache(run, "train")),
        training,
        config.feature.bands,
        config.feature.frames,
        _normalizer(current.statistics) if config.feature.standardize else None,
        config.feature.window_hop,
        run.listing.machine_ids if DETECTORS[config.model.name].takes_machine_ids else None,
    )
    return source, dataclasses.replace(source, entries=validation)


def _record(
    run: MachineRun,
    current: Manifest,
    training: Source,
    validation: Source,
    checkpoint: Checkpoint,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Content of `training.json`; `facts` are those about the steps and what they have come to."""
    normalizer = training.normalizer
    return model_directory.make_record(
        run.config,
        machine=run.machine,
        cache=current.digest(),
        n_clips={"training": len(training.entries), "validation": len(validation.entries)},
        n_windows={"training": training.n_windows, "validation": validation.n_windows},
        normalizer=normalizer and {"mean": normalizer.mean, "std": normalizer.std},
        history=checkpoint.history,
        deterministic=runtime.is_deterministic(),
        seconds=round(checkpoint.seconds, 1),
        **facts,
    )


def _assist(
    run: MachineRun,
    directory: ModelDirectory,
    current: Manifest,
    entries: Sequence[Entry],
    callbacks: tuple[keras.callbacks.Callback, ...],
    *,
    fresh: bool,
) -> bool:
    """Takes part in a training that another worker saves; what is written here is dropped."""
    is_new = fresh or not directory.exists() or directory.unfinished.exists()
    if not is_new:
        return False
    without_board = run.with_config(dataclasses.replace(run.config, tensorboard=TensorBoard()))
    with tempfile.TemporaryDirectory() as folder:
        own = ModelDirectory(Path(folder, "model"))
        if directory.unfinished.exists() and not fresh:  # not written before this worker has taken part in an epoch
            shutil.copyfile(directory.unfinished, own.unfinished)
        try:
            train_on(without_board, own, current, entries, callbacks, fresh=fresh)
        except TrainingError as error:  # of all workers; the other one has kept the weights
            raise TrainingError(str(error).replace(str(own.last_good), str(directory.last_good))) from error
    return True


def _check_unchanged(run: MachineRun, used: Manifest) -> None:
    """Checks that the cache has not changed while a training streamed from it."""
    if Cache(run, "train").current() != used:
        raise DataError(
            f"The log-mels of {run.machine} were prepared anew while they were read; run `ganad train` again."
        )


def seed_everything(config: Config) -> None:
    """Seeds all random generators, and warns if op determinism in this process differs from `deterministic`.

    Op determinism is a process-wide switch, which the command line sets: see `runtime`.
    """
    keras.utils.set_random_seed(config.seed)
    if config.deterministic and not runtime.is_deterministic():
        logger.warning(
            "`deterministic: true`, but this process has not called `ganad_tf.runtime.deterministic()`: another "
            "training with the same seed may differ in the last digits."
        )
    if runtime.is_deterministic() and not config.deterministic:
        logger.warning(
            "`deterministic: false`, but operations stay deterministic in this process, where "
            "`ganad_tf.runtime.deterministic()` was called; they are faster in a new one."
        )


def fit(
    program: Program,
    config: Config,
    training: Source,
    validation: Source,
    callbacks: tuple[keras.callbacks.Callback, ...],
    checkpoint: Checkpoint,
    devices: Devices | None = None,
) -> None:
    """Trains a program's detector from the checkpoint's epoch on; afterwards the checkpoint holds the loss curves."""
    detector = program.detector
    settings = config.fit
    training = dataclasses.replace(training, time_shift=config.augmentation.time_shift)
    pairs = detector.takes_pairs and settings.shuffle
    logger.debug("training on %d windows, validating on %d", training.n_windows, validation.n_windows)
    passes = passes_per_epoch(settings, training.n_windows)
    if passes > 1:
        logger.info(
            "each epoch goes over the training windows %d times, for at least %d steps", passes, settings.min_steps
        )
    if checkpoint.epoch:
        logger.info("going on after epoch %d of %d", checkpoint.epoch, settings.epochs)
    if checkpoint.stopping:
        checkpoint.stopping.start_from_epoch = detector.warm_up(settings.epochs)
    order: dict[str, Any] = {"seed": config.seed if settings.shuffle else None, "pairs": pairs}
    order |= {"first_epoch": checkpoint.epoch, "passes": passes}
    budget: dict[str, Any] = {"memory_budget_mb": settings.memory_budget_mb}
    course: dict[str, Any] = {
        "initial_epoch": checkpoint.epoch,
        "epochs": checkpoint.epoch if checkpoint.is_stopped else settings.epochs,
        "shuffle": False,  # the pipeline has shuffled
        "verbose": 0,
        "callbacks": [ReportResets(), *([checkpoint.stopping] if checkpoint.stopping else []), *callbacks, checkpoint],
    }

    def validated() -> tf.data.Dataset | None:
        if not validation.entries:
            return None
        return windows.window_batches(validation, batch_size=largest_batch(detector), seed=None, **budget)

    if devices:  # without fused steps: they compile the loop over steps, in which devices wait for each other
        batches = windows.window_batches(training, batch_size=settings.batch_size, endless=True, **budget, **order)
        devices.fit(detector, batches, n_steps(settings, training.n_windows, 1), validated(), **course)
        return
    steps = _fused_steps(program, config, training, checkpoint.epoch, pairs=pairs)
    held = program.held
    with detector.training_by(lambda _: program.train_function(steps), lambda _: program.test_function()):
        detector.make_train_function()  # before the recordings take the memory that the compiler needs
        heap.trim()
        if held:
            windows.fill(held, training)
            blocks = held.blocks(steps.block_size, **order)
        else:
            blocks = windows.window_batches(training, batch_size=steps.block_size, **budget, **order)
            if gpus := tf.config.list_logical_devices("GPU"):
                blocks = blocks.apply(tf.data.experimental.prefetch_to_device(gpus[0].name))
        detector.fit(blocks, validation_data=validated(), **course)


def _program(
    config: Config, machine_ids: Sequence[str], make: Callable[[], Detector], devices: Devices | None
) -> Program:
    """The program of the training before, if it can be used again, or else a new one."""
    if devices:
        return Program(devices.made(make))
    settings = json.dumps(config.training_settings())
    key = (DETECTORS[config.model.name], settings, tuple(machine_ids), runtime.is_deterministic())
    return programs.take(key) or Program(make(), key)


def _on_one_device(make: Callable[[], Detector], trained: Detector) -> Detector:
    """The detector with its weights and optimizers on one device, as it is saved."""
    detector = make()
    for variable, value in zip(optimizers.state(detector), optimizers.state(trained), strict=True):
        variable.assign(value.numpy())
    return detector


def _fused_steps(program: Program, config: Config, training: Source, epoch: int, *, pairs: bool) -> FusedSteps:
    """Fused steps; if there is room for the spectra on the device that trains, the program holds them."""
    settings, limits, detector = config.fit, fused_steps.limits(), program.detector
    gpus = tf.config.list_logical_devices("GPU")
    device = gpus[0].name if gpus else "CPU:0"
    released, program.held = program.held, None
    if training.fits(settings.memory_budget_mb):
        try:
            program.held = windows.reserve(training, device, again=released)
        except tf.errors.ResourceExhaustedError:
            megabytes = training.n_bytes >> 20
            logger.warning("%s has no room for %d MB of spectra; they are sent to it in blocks", device, megabytes)
    n_batches = n_steps(settings, training.n_windows, settings.epochs)
    most_windows = (limits.held if program.held else limits.streamed) // detector.values_per_window
    augment = None
    if config.augmentation.changes_windows:
        augment = WindowAugmentation(
            config.augmentation,
            training.frames,
            training.normalizer,
            seed=config.seed,
            first_step=n_steps(settings, training.n_windows, epoch),
        )
    return FusedSteps(
        settings.batch_size,
        fused_steps.steps_per_block(settings.batch_size, training.n_windows, limits.steps, most_windows),
        batch_at=program.held.batch_at if program.held else None,
        augment=augment,
        pairs=pairs,
        jit_compile=n_batches >= fused_steps.WORTH_COMPILING and (bool(gpus) or not detector.convolves),
        compiles_rest=bool(gpus),
    )


def _made_with(config: Config, digest: str, training: Source) -> dict[str, Any]:
    """Settings, versions and recordings that the course of a training depends on, with dotted keys."""
    versions = {f"versions.{name}": version for name, version in model_directory.versions().items()}
    windows = {"training clips": digest, "windows": training.order(config.fit.memory_budget_mb)}
    return config.training_settings() | versions | windows


def _normalizer(statistics: Statistics | None) -> Normalizer:
    assert statistics is not None  # a complete cache has them
    return Normalizer(statistics.mean, statistics.std)


def _check_same(run: MachineRun, directory: ModelDirectory, current: Manifest) -> None:
    directory.check_settings(run.config)
    if not current.has_digest(directory.record()["cache"]):
        raise DataError(
            f"The detector in {directory.path} was trained on other recordings than those of {run.machine} now; "
            "set another `model_directory`, or remove the folder to train again."
        )
    logger.info("%s: already trained with this configuration, in %s", run.title, directory.path)
