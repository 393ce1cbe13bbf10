"""The verb `train`: one detector on one machine type's normal training clips."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ganad_tf import (
    atomic,
    boards,
    calibration,
    checkpoints,
    fused_steps,
    heap,
    locks,
    pipeline,
    preparation,
    runtime,
    trained,
)
from ganad_tf.building import build
from ganad_tf.callbacks import ReportResets, StopAtNaN
from ganad_tf.checkpoints import Checkpoint
from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError, TrainingError
from ganad_tf.features import Normalizer
from ganad_tf.fused_steps import FusedSteps
from ganad_tf.manifest import Entry, Manifest, Statistics
from ganad_tf.models import Detector
from ganad_tf.pipeline import Held, Source
from ganad_tf.sections import Fit
from ganad_tf.trained import Trained

logger = logging.getLogger(__name__)

VALIDATED_AT_ONCE = 4096  # windows, about 10 MB


def train(
    config: Config,
    listing: Listing,
    mode: Mode,
    *,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    fresh: bool = False,
) -> bool:
    """Trains and saves the detector of one machine type and fits its scorers, unless they are there already.

    A training that was interrupted goes on after the last epoch that was kept, and with `deterministic` ends with the
    weights of one that was not.

    Args:
      config: The experiment.
      listing: The machine type's clips; their log-mels must be in the cache.
      mode: `dev` or `eval`, whose training clips are used.
      callbacks: Keras callbacks, for showing progress.
      fresh: Whether to begin again, whatever is there; a detector that is there is replaced when the new one is done.

    Returns:
      Whether the detector was trained now; False if the same was there.

    Raises:
      DataError: If there are no training clips, too few for the density, the cache is missing, stale or damaged, or
        another process is at it.
      ConfigError: If the settings don't fit the detector, or another detector or unfinished training is in its place.
      TrainingError: If a loss becomes NaN or infinite; nothing is saved but the last good weights.
    """
    listing.need("train")
    directory = config.model_path(mode, listing.machine)
    current = preparation.current_cache(config, listing, mode, "train")
    entries = tuple(entry for entry in current.entries if entry.clip.label == 0)
    calibration.check_enough(config, listing.machine, len(entries))
    with locks.alone_at(directory):
        is_new = fresh or not directory.exists() or checkpoints.path_of(directory).exists()
        if is_new:
            calibration.foresee_no_threshold(config, listing.machine, entries)
            _train_detector(config, listing, mode, current, entries, callbacks, fresh=fresh)
        else:
            _check_same(directory, config, current, listing.machine)
        settings = [own.scorer for own in config.reported()]
        missing = [own for own in settings if not trained.scorer_directory(directory, own).exists()]
        if missing:
            calibration.fit_scorers(
                directory, missing, config.cache_path(mode, listing.machine, "train"), entries, config.seed
            )
        if is_new and config.tensorboard.directory:
            fitted = trained.load_scorer(directory, config.scorer)
            boards.show_scores(config, listing, mode, trained.load(directory), fitted)
    return is_new


def _train_detector(
    config: Config,
    listing: Listing,
    mode: Mode,
    current: Manifest,
    entries: Sequence[Entry],
    callbacks: tuple[keras.callbacks.Callback, ...],
    *,
    fresh: bool,
) -> None:
    directory = config.model_path(mode, listing.machine)
    atomic.check_writable(directory)
    last_good = directory.with_name(f"{directory.name}.last_good.keras")
    unfinished = checkpoints.path_of(directory)
    for path in (directory, unfinished):
        atomic.clear_leftovers(path)
    if fresh:
        unfinished.unlink(missing_ok=True)
    seed_everything(config)
    cache = config.cache_path(mode, listing.machine, "train")
    normalizer = _normalizer(current.statistics) if config.feature.standardize else None
    training, validation = (
        Source(cache, part, config.feature.n_mels, config.feature.frames, normalizer)
        for part in pipeline.split_by_file(entries, config.fit.validation_split, config.seed)
    )
    checkpoint = Checkpoint(unfinished, _made_with(config, current.digest(), training), _stopping(config.fit))
    checkpoint.read()
    shown = boards.of_training(config, listing, mode, training, validation, is_new=not checkpoint.epoch)
    detector = build(config)
    try:
        fit(detector, config, training, validation, (StopAtNaN(last_good), *shown, *callbacks), checkpoint)
    except TrainingError:  # going on would end the same way
        unfinished.unlink(missing_ok=True)
        raise
    except tf.errors.OpError:
        _check_unchanged(config, listing, mode, current)
        raise
    record = trained.make_record(
        config,
        machine=listing.machine,
        cache=current.digest(),
        n_clips={"training": len(training.entries), "validation": len(validation.entries)},
        n_windows={"training": training.n_windows, "validation": validation.n_windows},
        normalizer=normalizer and {"mean": normalizer.mean, "std": normalizer.std},
        history=checkpoint.history,
        deterministic=runtime.is_deterministic(),
        seconds=round(checkpoint.seconds, 1),
    )
    feature = config.feature
    last_good.unlink(missing_ok=True)
    trained.save(directory, Trained(detector, normalizer, feature.frames, feature.n_mels, record))
    unfinished.unlink(missing_ok=True)
    logger.info("%s: trained on %d clips in %.0f s", listing.machine, len(training.entries), checkpoint.seconds)


def _check_unchanged(config: Config, listing: Listing, mode: Mode, used: Manifest) -> None:
    """Refuses a cache that has changed while a training streamed from it."""
    if preparation.current_cache(config, listing, mode, "train") != used:
        raise DataError(
            f"The log-mels of {listing.machine} were prepared anew while they were read; run `ganad train` again."
        )


def seed_everything(config: Config) -> None:
    """Seeds all random numbers, and says so where operations are not as `deterministic` has it.

    That is a switch of the whole process, which the command line throws: see `runtime`.
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
    detector: Detector,
    config: Config,
    training: Source,
    validation: Source,
    callbacks: tuple[keras.callbacks.Callback, ...],
    checkpoint: Checkpoint,
) -> None:
    """Trains the detector from where the checkpoint is; that has the curves of every loss afterwards."""
    settings = config.fit
    pairs = detector.takes_pairs and settings.shuffle
    logger.debug("training on %d windows, validating on %d", training.n_windows, validation.n_windows)
    if checkpoint.epoch:
        logger.info("going on after epoch %d of %d", checkpoint.epoch, settings.epochs)
    steps, held = _fused(config, training, pairs=pairs)
    order: dict[str, Any] = {"seed": config.seed if settings.shuffle else None, "pairs": pairs}
    order["first_epoch"] = checkpoint.epoch
    budget: dict[str, Any] = {"memory_budget_mb": settings.memory_budget_mb}
    with detector.training_by(steps.train_function):
        detector.make_train_function()  # before the recordings take the memory that the compiler needs
        heap.give_back()
        if held:
            pipeline.fill(held, training)
            blocks = held.blocks(steps.block_size, **order)
        else:
            blocks = pipeline.windows(training, batch_size=steps.block_size, **budget, **order)
            if gpus := tf.config.list_logical_devices("GPU"):
                blocks = blocks.apply(tf.data.experimental.prefetch_to_device(gpus[0].name))
        validated = None
        if validation.entries:
            validated = pipeline.windows(validation, batch_size=VALIDATED_AT_ONCE, seed=None, **budget)
        detector.fit(
            blocks,
            validation_data=validated,
            initial_epoch=checkpoint.epoch,
            epochs=checkpoint.epoch if checkpoint.is_stopped else settings.epochs,
            shuffle=False,  # the pipeline has shuffled
            verbose=0,
            callbacks=[ReportResets(), *([checkpoint.stopping] if checkpoint.stopping else []), *callbacks, checkpoint],
        )


def _fused(config: Config, training: Source, *, pairs: bool) -> tuple[FusedSteps, Held | None]:
    """Steps, and memory for the spectra on the device that trains; None where they are not held there."""
    settings, limits = config.fit, fused_steps.limits()
    gpus = tf.config.list_logical_devices("GPU")
    device = gpus[0].name if gpus else "CPU:0"
    held = None
    if training.fits(settings.memory_budget_mb):
        try:
            held = pipeline.reserve(training, device)
        except tf.errors.ResourceExhaustedError:
            logger.warning(
                "%s has no room for %d MB of spectra; it gets them in blocks", device, training.n_bytes >> 20
            )
    n_batches = settings.epochs * -(-training.n_windows // settings.batch_size)
    most_windows = limits.held if held else limits.streamed
    steps = FusedSteps(
        settings.batch_size,
        fused_steps.steps_per_block(settings.batch_size, training.n_windows, limits.steps, most_windows),
        windows_of=held.windows_at if held else None,
        pairs=pairs,
        jit_compile=n_batches >= fused_steps.WORTH_COMPILING,
        compiles_rest=bool(gpus),
    )
    return steps, held


def _stopping(settings: Fit) -> keras.callbacks.EarlyStopping | None:
    """What watches the validation loss, if anything shall."""
    if not (settings.restore_best or settings.patience):
        return None
    return keras.callbacks.EarlyStopping(
        monitor="val_loss",
        mode="min",
        patience=settings.patience or settings.epochs,
        restore_best_weights=settings.restore_best,
    )


def _made_with(config: Config, digest: str, training: Source) -> dict[str, Any]:
    """All that the course of a training depends on; dotted keys."""
    versions = {f"versions.{name}": version for name, version in trained.versions().items()}
    windows = {"training clips": digest, "windows": training.order(config.fit.memory_budget_mb)}
    return config.training_settings() | versions | windows


def _normalizer(statistics: Statistics | None) -> Normalizer:
    assert statistics is not None  # a complete cache has them
    return Normalizer(statistics.mean, statistics.std)


def _check_same(directory: Path, config: Config, current: Manifest, machine: str) -> None:
    record = trained.read_record(directory)
    trained.check_settings(directory, record, config)
    if not current.has_digest(record["cache"]):
        raise DataError(
            f"The detector in {directory} was trained on other recordings than those of {machine} now; "
            "set another `model_directory`, or remove the folder to train again."
        )
    logger.info("%s: already trained with this configuration, in %s", machine, directory)
