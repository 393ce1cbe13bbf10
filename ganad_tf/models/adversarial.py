"""What the adversarial detectors share: two optimizers, cross entropy, a discriminator's fresh start."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean

RESET_BELOW = 1e-5  # a discriminator this sure of itself teaches the generator nothing (GANomaly's authors' code)


class TwoOptimizers(Detector):
    """A detector whose generator and discriminator have an optimizer each; both survive saving and loading.

    Only that is inherited: losses and steps stand in each detector as its paper has them. A discriminator's optimizer
    that was not given is the generator's twin and follows its learning rate, whoever changes that.
    """

    takes_loss = False

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

    def compile(  # type: ignore[override]  # Keras' second argument is the loss, which there is none of
        self, optimizer: Any = "adam", discriminator_optimizer: Any = None, **kwargs: Any
    ) -> None:
        """As Keras; the discriminator has its own optimizer, by default one with the same settings.

        Raises:
          ValueError: For `loss`, `metrics` and their weights, which nothing would look at.
        """
        super().compile(optimizer=optimizer, **kwargs)
        self.has_twins = discriminator_optimizer is None
        twin = self.optimizer.__class__.from_config(self.optimizer.get_config())
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer or twin)
        self.optimizer.build(self.generator_variables)
        self.discriminator_optimizer.build(self.discriminator_variables)

    def get_compile_config(self) -> dict[str, Any]:
        """The optimizers, so that `load_model` restores both; nothing where the detector is not compiled."""
        if not self.compiled:
            return {}
        names = ("optimizer",) if self.has_twins else ("optimizer", "discriminator_optimizer")
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """What `load_model` calls with `get_compile_config`'s result."""
        if config.get("optimizer") == config.get("discriminator_optimizer"):  # as version 0.1 has written twins
            config = {name: value for name, value in config.items() if name == "optimizer"}
        if config:
            self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    def follow_learning_rate(self) -> None:
        """Gives the discriminator's optimizer the learning rate that its twin has by now; each step begins with it.

        Callbacks set the generator's alone. A schedule needs no help: each twin has it, and both count the same steps.
        """
        rate = self.optimizer.learning_rate
        if self.has_twins and isinstance(rate, keras.Variable):
            self.discriminator_optimizer.learning_rate = tf.convert_to_tensor(rate)  # a variable would become its own


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
