"""The sections `model` and `fit.compile` → a compiled detector, or one sentence about what does not fit."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.config import Config
from ganad_tf.config.reader import nearest
from ganad_tf.config.sections import Compile
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.features import feature_layer
from ganad_tf.models import DETECTORS, Detector, HasEmbedding

# Arguments of detectors that other sections decide.
_GIVEN = ("input_dim", "frames", "seed", "machine_ids", "kwargs")


def build(config: Config, machine_ids: Sequence[str] = ()) -> Detector:
    """Builds the detector of the section `model` and compiles it with the settings of `fit.compile`.

    Args:
      config: The settings.
      machine_ids: Those of the training clips, for detectors that need them.

    Raises:
      DataError: If the detector tells machine IDs apart and there are fewer than two, or the file of a frozen network
        is missing or can't be read.
      ConfigError: If the detector, an argument of its constructor, the optimizer, the loss or the encoder of
        `feature.encoder` is unknown or can't be used; for mixtures of windows whose machine IDs are to be told apart.
    """
    if config.feature.encoder is not None:
        feature_layer(config.audio, config.feature)  # an encoder that can't be used shows here too
    name, arguments = config.model.name, dict(config.model.arguments)
    if name not in DETECTORS:
        raise ConfigError(f"Unknown `model.name` {name!r}{nearest(name, DETECTORS)}")
    if DETECTORS[name].takes_machine_ids:
        _check_machine_ids(config, machine_ids)
    given: dict[str, Any] = {"input_dim": config.feature.dims, "frames": config.feature.frames, "seed": config.seed}
    given |= {"machine_ids": tuple(machine_ids)}
    parameters = inspect.signature(DETECTORS[name]).parameters
    known = known_arguments(name)
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
        _compile(detector, config)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The sections `model` and `fit.compile` can't be used together: {reason}") from error
    if config.scorer.name == "density" and config.scorer.of == "embedding" and not isinstance(detector, HasEmbedding):
        raise ConfigError(f"Expected a detector with an embedding for `scorer.of: embedding`. Received: {name}.")
    return detector


def _check_machine_ids(config: Config, machine_ids: Sequence[str]) -> None:
    """Checks that a detector can learn to tell machine IDs apart; raises as `build`."""
    name = config.model.name
    if len(machine_ids) < 2:
        raise DataError(
            f"Expected training clips of at least two machine IDs for {name}, which learns to tell them apart. "
            f"Received: {', '.join(machine_ids) or 'none'}."
        )
    if config.augmentation.mixup:
        raise ConfigError(
            f"Expected no `augmentation.mixup` for {name}, which learns the machine ID of each window; a mixture has "
            f"two. Received: {config.augmentation.mixup}."
        )


def _compile(detector: Detector, config: Config) -> None:
    """Compiles a detector and runs a step: what can't be computed shows here, not hours later."""
    detector.compile(
        optimizer=_optimizer(config.fit.compile),
        loss=_loss(config.fit.compile, detector),
        jit_compile=False,  # `fused_steps.py` does it, where it pays
    )
    windows, numbers = tf.zeros([2, config.feature.dims]), tf.zeros([2], tf.int32)
    example = (windows, numbers) if detector.takes_machine_ids else windows
    tf.distribute.get_strategy().run(detector.test_step, args=(example,))
    detector.reset_metrics()


def known_arguments(name: str) -> list[str]:
    """Keys of the section `model` that a detector takes beside `name`."""
    return [key for key in inspect.signature(DETECTORS[name]).parameters if key not in _GIVEN]


def _loss(settings: Compile, detector: Detector) -> Any:
    """The loss that `fit.compile.loss` names; None for detectors with fixed losses, which accept only the default."""
    if detector.takes_loss:
        return keras.losses.get(settings.loss)
    if settings.loss != Compile.loss:
        raise ValueError(
            f"the losses of {type(detector).__name__} are fixed, and what weighs them are keys of `model`; "
            f"remove `fit.compile.loss`. Received: {settings.loss}"
        )
    return None


def _optimizer(settings: Compile) -> keras.optimizers.Optimizer:
    chosen = {name: value for name in ("learning_rate", "beta_1") if (value := getattr(settings, name)) is not None}
    named = keras.optimizers.get(settings.optimizer)
    unknown = chosen.keys() - named.get_config().keys()
    if unknown:
        raise ValueError(f"the optimizer {settings.optimizer} has no {', '.join(sorted(unknown))}")
    return type(named).from_config(named.get_config() | chosen)
