"""What the adversarial detectors share: two optimizers, cross entropy, a discriminator's fresh start."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean

RESET_BELOW = 1e-5  # a discriminator this sure of itself teaches the generator nothing (GANomaly's authors' code)


class TwoOptimizers(Detector):
    """A detector whose generator and discriminator have an optimizer each; both survive saving and loading.

    Only that is inherited: losses and steps stand in each detector as its paper has them.
    """

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """What the generator's step moves."""
        raise NotImplementedError

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """What the discriminator's step moves."""
        raise NotImplementedError

    def discriminate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What the discriminator says, networks as in use and as they are being trained; changes nothing.

        Args:
          windows: `[batch, dims]` float32.

        Returns:
          Its logits of what is real and of what is fake, `[batch, 1]` each; above 0 it takes something for real.
        """
        raise NotImplementedError

    def compile(self, optimizer: Any = "adam", discriminator_optimizer: Any = None, **kwargs: Any) -> None:
        """As Keras; the discriminator has its own optimizer, by default one with the same settings."""
        super().compile(optimizer=optimizer, **kwargs)
        twin = self.optimizer.__class__.from_config(self.optimizer.get_config())
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer or twin)
        self.optimizer.build(self.generator_variables)
        self.discriminator_optimizer.build(self.discriminator_variables)

    def get_compile_config(self) -> dict[str, Any]:
        """Both optimizers, so that `load_model` restores both; nothing where the detector is not compiled."""
        names = ("optimizer", "discriminator_optimizer") if self.compiled else ()
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """What `load_model` calls with `get_compile_config`'s result."""
        if config:
            self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def bce(logit: tf.Tensor, target: float) -> tf.Tensor:
    """Mean binary cross entropy of logits `[batch, 1]` against the same target for every window."""
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logit), target), logits=logit)
    )


def total(*terms: tf.Tensor) -> tf.Tensor:
    """Their sum, in this order: TensorFlow's own sum of several takes whichever comes first, and rounds accordingly."""
    return tf.reduce_sum(tf.stack(terms))


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


def update_means(means: dict[str, LossMean], losses: dict[str, tf.Tensor], windows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Adds a batch's losses to the running means, weighted by its size; the means so far."""
    for name, mean in means.items():
        mean.update_state(losses[name], sample_weight=tf.shape(windows)[0])
    return {name: mean.result() for name, mean in means.items()}
