"""The verb `train`: one detector on one machine type's normal training clips."""

import dataclasses
import inspect
import logging
import math
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ganad_tf import atomic, pipeline, preparation, scoring, trained
from ganad_tf.clips import ClipScore, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import ConfigError, DataError, TrainingError
from ganad_tf.features import Normalizer
from ganad_tf.manifest import Statistics
from ganad_tf.models import DETECTORS, Detector
from ganad_tf.pipeline import Source
from ganad_tf.schema import nearest
from ganad_tf.sections import Compile
from ganad_tf.trained import Trained

logger = logging.getLogger(__name__)

# Steps that TensorFlow runs before Python hears of it; beyond this nothing more is gained.
STEPS_PER_EXECUTION = 50


def train(
    config: Config, listing: Listing, mode: Mode, *, callbacks: tuple[keras.callbacks.Callback, ...] = ()
) -> bool:
    """Trains and saves the detector of one machine type, unless it is there already.

    Args:
      config: The experiment.
      listing: The machine type's clips; their log-mels must be in the cache.
      mode: `dev` or `eval`, whose training clips are used.
      callbacks: Keras callbacks, for showing progress.

    Returns:
      Whether it was trained now; False if the same detector was there.

    Raises:
      DataError: If there are no training clips, or the cache is missing, stale or damaged.
      ConfigError: If the settings don't fit the detector, or another detector is in its place.
      TrainingError: If a loss becomes NaN or infinite; nothing is saved.
    """
    listing.need("train")
    directory = config.model_path(mode, listing.machine)
    current = preparation.current_cache(config, listing, mode, "train")
    if directory.exists():
        _check_same(directory, config, current.digest(), listing.machine)
        return False

    atomic.check_writable(directory)
    begin = time.perf_counter()
    seed_everything(config)
    cache = config.cache_path(mode, listing.machine, "train")
    normalizer = _normalizer(current.statistics) if config.feature.standardize else None
    entries = tuple(entry for entry in current.entries if entry.clip.label == 0)
    training, validation = (
        Source(cache, part, config.feature.n_mels, config.feature.frames, normalizer)
        for part in pipeline.split_by_file(entries, config.fit.validation_split, config.seed)
    )
    detector = build(config)
    history = _fit(detector, config, training, validation, callbacks)
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
    model = Trained(detector, normalizer, config.feature.frames, (), record)
    scores = scoring.score_clips(model, cache, entries)
    train_scores = tuple(
        ClipScore(clip.name, score) for clip, score in sorted(scores.items(), key=lambda item: item[0].file)
    )
    trained.save(directory, dataclasses.replace(model, train_scores=train_scores))
    logger.info(
        "%s: trained on %d clips in %.0f s", listing.machine, len(training.entries), time.perf_counter() - begin
    )
    return True


def build(config: Config) -> Detector:
    """The detector that the section `model` describes, compiled as `fit.compile` says.

    Raises:
      ConfigError: If the detector, an argument of its constructor, the optimizer or the loss is not known
        or can't be used.
    """
    name, arguments = config.model.name, dict(config.model.arguments)
    if name not in DETECTORS:
        raise ConfigError(f"Unknown `model.name` {name!r}{nearest(name, DETECTORS)}")
    given = {"input_dim": config.feature.dims, "frames": config.feature.frames, "seed": config.seed}
    parameters = inspect.signature(DETECTORS[name]).parameters
    known = [key for key in parameters if key not in (*given, "kwargs")]
    for key in arguments:
        if key not in known:
            raise ConfigError(f"Unknown key `model.{key}` for {name}{nearest(key, known)}")
    try:
        detector = DETECTORS[name](**{key: value for key, value in given.items() if key in parameters}, **arguments)
    except (TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"The section `model` does not make a {name} for `feature.frames: {config.feature.frames}`: {reason}"
        ) from error
    try:
        detector.compile(
            optimizer=_optimizer(config.fit.compile),
            loss=keras.losses.get(config.fit.compile.loss),
            steps_per_execution=STEPS_PER_EXECUTION,
            jit_compile=False,  # 8 s of compilation per machine for at most a tenth more speed
        )
        detector.test_step(tf.zeros([2, config.feature.dims]))  # what can't be computed shows here, not hours later
        detector.reset_metrics()
    except (TypeError, ValueError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The sections `model` and `fit.compile` can't be used together: {reason}") from error
    return detector


def seed_everything(config: Config) -> None:
    """Makes what follows the same for the same configuration, whatever ran before in this process."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def _fit(
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
        callbacks=[StopAtNaN(), ReportResets(), *callbacks],
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


class StopAtNaN(keras.callbacks.Callback):
    """Ends training at the first epoch in which a loss is not a number.

    Raises:
      TrainingError: Names the epoch and the loss.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at every loss."""
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"`{name}` became {float(value)} in epoch {epoch + 1}; nothing was saved. "
                    "Lower `fit.compile.learning_rate`."
                )


class ReportResets(keras.callbacks.Callback):
    """Logs every epoch in which a discriminator was initialised afresh."""

    seen = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares the running count with the last epoch's."""
        count = int((logs or {}).get("discriminator_resets", 0))
        if count > self.seen:
            logger.warning(
                "the discriminator was initialised afresh %d times in epoch %d", count - self.seen, epoch + 1
            )
        self.seen = count


def _optimizer(settings: Compile) -> keras.optimizers.Optimizer:
    chosen = {name: value for name in ("learning_rate", "beta_1") if (value := getattr(settings, name)) is not None}
    named = keras.optimizers.get(settings.optimizer)
    unknown = chosen.keys() - named.get_config().keys()
    if unknown:
        raise ValueError(f"the optimizer {settings.optimizer} has no {', '.join(sorted(unknown))}")
    return named.__class__.from_config(named.get_config() | chosen)


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
