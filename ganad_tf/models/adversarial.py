"""What the adversarial detectors share, as functions: cross entropy, two optimizers, a discriminator's fresh start."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

RESET_BELOW = 1e-5  # a discriminator this sure of itself teaches the generator nothing (GANomaly's authors' code)


def bce(logit: tf.Tensor, target: float) -> tf.Tensor:
    """Mean binary cross entropy of logits `[batch, 1]` against the same target for every window."""
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logit), target), logits=logit)
    )


def twin(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Another optimizer with the same settings and a state of its own."""
    return optimizer.__class__.from_config(optimizer.get_config())


def start_afresh(networks: Sequence[keras.Model], kernel_initializer: str, seeds: keras.random.SeedGenerator) -> None:
    """Draws the kernels of `networks` anew and sets their other weights back, in the graph or out of it."""
    named = keras.initializers.get(kernel_initializer)
    settings = named.get_config()
    draw = named.__class__.from_config(settings | ({"seed": seeds} if "seed" in settings else {}))
    for variable in [weight for network in networks for weight in network.weights]:
        if variable.name == "kernel":
            variable.assign(draw(variable.shape))
        else:
            starts_at_one = variable.name in ("gamma", "moving_variance")
            variable.assign(tf.ones(variable.shape) if starts_at_one else tf.zeros(variable.shape))


def optimizers_of(detector: keras.Model) -> dict[str, Any]:
    """For `get_compile_config`: both optimizers' settings, or nothing where the detector is not compiled."""
    names = ("optimizer", "discriminator_optimizer") if detector.compiled else ()
    return {name: keras.saving.serialize_keras_object(getattr(detector, name)) for name in names}


def compile_with(detector: keras.Model, config: dict[str, Any]) -> None:
    """For `compile_from_config`: compiles with what `optimizers_of` returned."""
    if config:
        detector.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def update_means(
    means: dict[str, keras.metrics.Mean], losses: dict[str, tf.Tensor], windows: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Adds a batch's losses to the running means, weighted by its size; the means so far."""
    for name, mean in means.items():
        mean.update_state(losses[name], sample_weight=tf.shape(windows)[0])
    return {name: mean.result() for name, mean in means.items()}
