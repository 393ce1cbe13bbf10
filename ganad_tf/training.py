"""The verb `train`: one detector on one machine type's normal training clips."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ganad_tf import atomic, calibration, pipeline, preparation, trained
from ganad_tf.building import build
from ganad_tf.callbacks import ReportResets, StopAtNaN
from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError
from ganad_tf.features import Normalizer
from ganad_tf.manifest import Entry, Manifest, Statistics
from ganad_tf.models import Detector
from ganad_tf.pipeline import Source
from ganad_tf.trained import Trained

logger = logging.getLogger(__name__)


def train(
    config: Config, listing: Listing, mode: Mode, *, callbacks: tuple[keras.callbacks.Callback, ...] = ()
) -> bool:
    """Trains and saves the detector of one machine type and fits its scorers, unless they are there already.

    Args:
      config: The experiment.
      listing: The machine type's clips; their log-mels must be in the cache.
      mode: `dev` or `eval`, whose training clips are used.
      callbacks: Keras callbacks, for showing progress.

    Returns:
      Whether the detector was trained now; False if the same was there.

    Raises:
      DataError: If there are no training clips, too few for the density, or the cache is missing, stale or damaged.
      ConfigError: If the settings don't fit the detector, or another detector is in its place.
      TrainingError: If a loss becomes NaN or infinite; nothing is saved but the last good weights.
    """
    listing.need("train")
    directory = config.model_path(mode, listing.machine)
    current = preparation.current_cache(config, listing, mode, "train")
    entries = tuple(entry for entry in current.entries if entry.clip.label == 0)
    calibration.check_enough(config, listing.machine, len(entries))
    is_new = not directory.exists()
    if is_new:
        _train_detector(config, listing, mode, current, entries, callbacks)
    else:
        _check_same(directory, config, current.digest(), listing.machine)
    settings = [own.scorer for own in config.reported()]
    missing = [own for own in settings if not trained.scorer_directory(directory, own).exists()]
    if missing:
        calibration.fit_scorers(
            directory, missing, config.cache_path(mode, listing.machine, "train"), entries, config.seed
        )
    return is_new


def _train_detector(
    config: Config,
    listing: Listing,
    mode: Mode,
    current: Manifest,
    entries: Sequence[Entry],
    callbacks: tuple[keras.callbacks.Callback, ...],
) -> None:
    directory = config.model_path(mode, listing.machine)
    atomic.check_writable(directory)
    last_good = directory.with_name(f"{directory.name}.last_good.keras")
    begin = time.perf_counter()
    seed_everything(config)
    cache = config.cache_path(mode, listing.machine, "train")
    normalizer = _normalizer(current.statistics) if config.feature.standardize else None
    training, validation = (
        Source(cache, part, config.feature.n_mels, config.feature.frames, normalizer)
        for part in pipeline.split_by_file(entries, config.fit.validation_split, config.seed)
    )
    detector = build(config)
    history = fit(
        detector,
        config,
        training,
        validation,
        (StopAtNaN(last_good), *callbacks),
    )
    record = trained.make_record(
        config,
        machine=listing.machine,
        cache=current.digest(),
        n_clips={"training": len(training.entries), "validation": len(validation.entries)},
        n_windows={"training": training.n_windows, "validation": validation.n_windows},
        normalizer=normalizer and {"mean": normalizer.mean, "std": normalizer.std},
        history=history,
        seconds=round(time.perf_counter() - begin, 1),
    )
    feature = config.feature
    last_good.unlink(missing_ok=True)
    trained.save(directory, Trained(detector, normalizer, feature.frames, feature.n_mels, record))
    logger.info(
        "%s: trained on %d clips in %.0f s", listing.machine, len(training.entries), time.perf_counter() - begin
    )


def seed_everything(config: Config) -> None:
    """Makes what follows the same for the same configuration, whatever ran before in this process."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def fit(
    detector: Detector,
    config: Config,
    training: Source,
    validation: Source,
    callbacks: tuple[keras.callbacks.Callback, ...],
) -> dict[str, list[float]]:
    """Trains the detector; the curves of every loss by name."""
    settings = config.fit
    sizes: dict[str, Any] = {"batch_size": settings.batch_size, "memory_budget_mb": settings.memory_budget_mb}
    logger.info("training on %d windows, validating on %d", training.n_windows, validation.n_windows)
    history = detector.fit(
        pipeline.windows(
            training,
            seed=config.seed if settings.shuffle else None,
            pairs=detector.takes_pairs and settings.shuffle,
            **sizes,
        ),
        validation_data=pipeline.windows(validation, seed=None, **sizes) if validation.entries else None,
        epochs=settings.epochs,
        shuffle=False,  # the pipeline has shuffled
        verbose=0,
        callbacks=[ReportResets(), *callbacks],
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _normalizer(statistics: Statistics | None) -> Normalizer:
    assert statistics is not None  # a complete cache has them
    return Normalizer(statistics.mean, statistics.std)


def _check_same(directory: Path, config: Config, digest: str, machine: str) -> None:
    record = trained.read_record(directory)
    trained.check_settings(directory, record, config)
    if record["cache"] != digest:
        raise DataError(
            f"The detector in {directory} was trained on other recordings than those of {machine} now; "
            "set another `model_directory`, or remove the folder to train again."
        )
    logger.info("%s: already trained with this configuration, in %s", machine, directory)
