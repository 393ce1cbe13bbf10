"""Parts that adversarial detectors share: two optimizers, evaluation, re-initialisation, and some losses."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of

RESET_DISCRIMINATOR_BELOW = (
    1e-5  # a discriminator this sure of itself teaches the generator nothing (GANomaly's authors' code)
)
SMALLEST_SQUARE = 1e-12  # of a norm or deviation, whose derivative at 0 is infinite


class TwoOptimizers(Detector):
    """A detector whose generator and discriminator have an optimizer each; both survive saving and loading.

    Networks, losses and training steps stand in each detector as its paper has them. A discriminator's optimizer that
    was not given is the generator's twin and follows its learning rate, whoever changes that.

    Args:
      losses: Names of the losses, `loss` first, in the order in which training reports them.
      input_dim: Length of a window.
      latent: Length of a latent vector.
      kernel_initializer: As Keras names it.
      seed: Of random numbers.
      hidden: Units of the dense blocks; None for a detector without.
      dropout: Share of units dropped after each block while training; None for a detector without.

    Raises:
      ValueError: If there is no hidden layer.
    """

    takes_loss = False
    hidden: list[int]
    dropout: float

    def __init__(
        self,
        losses: Sequence[str],
        *,
        input_dim: int,
        latent: int,
        kernel_initializer: str,
        seed: int,
        hidden: Sequence[int] | None = None,
        dropout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if hidden is not None:
            if not hidden:
                raise ValueError("Expected at least one hidden layer. Received: none.")
            self.hidden = list(hidden)
        if dropout is not None:
            self.dropout = dropout
        self.input_dim = input_dim
        self.latent = latent
        self.kernel_initializer = kernel_initializer
        self.seed = seed
        self.loss_means = {name: LossMean(name=name) for name in losses}

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of the generator's step."""
        raise NotImplementedError

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of the discriminator's step."""
        raise NotImplementedError

    def compute_losses(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss on one batch `[batch, dims]`, by the names in the class's docstring: scalars, float32.

        Without `training`, networks are in inference mode, and nothing changes: no average, no random state.
        """
        raise NotImplementedError

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Every loss on one batch, in inference mode."""
        windows = batch_of(data)
        return update_means(self.loss_means, self.compute_losses(windows, training=False), windows)

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """Both optimized losses on one batch, in inference mode, with the variables that their optimizers update."""
        losses = self.compute_losses(windows, training=False)
        return {
            "generator": (losses["loss"], self.generator_variables),
            "discriminator": (losses["discriminator_loss"], self.discriminator_variables),
        }

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments that all of these detectors have."""
        names = ("input_dim", "hidden", "latent", "dropout", "kernel_initializer", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names if hasattr(self, name)}

    def compile(  # type: ignore[override]  # Keras' second argument is the loss, which there is none of
        self, optimizer: Any = "adam", discriminator_optimizer: Any = None, **kwargs: Any
    ) -> None:
        """As Keras; the discriminator has its own optimizer, by default one with the same settings.

        Raises:
          ValueError: For `loss`, `metrics` and their weights, which nothing would look at.
        """
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.generator_variables)
        self.is_twin: dict[str, bool] = {}
        self.add_optimizer("discriminator_optimizer", discriminator_optimizer, self.discriminator_variables)

    def add_optimizer(self, name: str, given: Any, variables: Sequence[keras.Variable]) -> None:
        """Sets another optimizer, to be called by `compile`.

        Args:
          name: Name of the attribute, and of the argument of `compile`.
          given: As Keras takes optimizers; None for a twin of the generator's.
          variables: Weights that it steps.
        """
        self.is_twin[name] = given is None
        twin = self.optimizer.__class__.from_config(self.optimizer.get_config())
        optimizer = keras.optimizers.get(given or twin)
        optimizer.build(variables)
        setattr(self, name, optimizer)

    def get_compile_config(self) -> dict[str, Any]:
        """The optimizers, so that `load_model` restores all; nothing where the detector is not compiled."""
        if not self.compiled:
            return {}
        names = ("optimizer", *(name for name, is_twin in self.is_twin.items() if not is_twin))
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` has recorded; `load_model` calls this."""
        if config.get("optimizer") == config.get("discriminator_optimizer"):  # as version 0.1 has written twins
            config = {name: value for name, value in config.items() if name == "optimizer"}
        if config:
            self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    def follow_learning_rate(self) -> None:
        """Gives twins the learning rate that the generator's optimizer has by now; each step begins with it.

        Callbacks set the generator's alone. A schedule needs no help: each twin has it, and each counts its own steps.
        """
        rate = self.optimizer.learning_rate
        if isinstance(rate, keras.Variable):
            for name in (name for name, is_twin in self.is_twin.items() if is_twin):
                getattr(self, name).learning_rate = tf.convert_to_tensor(rate)  # a variable would become its own


class ReconstructionGAN(TwoOptimizers):
    """A GAN whose discriminator tells windows from their reconstructions, and is re-initialised when it has won.

    A subclass makes the networks `discriminator_features` and `discriminator_logit`, and its `train_step` calls
    `_reset_discriminator` below `RESET_DISCRIMINATOR_BELOW`. Constructor arguments are those of `TwoOptimizers`; `seed`
    is of the re-initialised discriminators.

    Attributes:
      discriminator_resets: How often the discriminator was re-initialised, int64.
    """

    discriminator_features: keras.Model
    discriminator_logit: keras.Model

    def __init__(self, losses: Sequence[str], *, seed: int, **kwargs: Any) -> None:
        super().__init__(losses, seed=seed, **kwargs)
        self.discriminator_resets = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="discriminator_resets"
        )
        self.reset_seeds = keras.random.SeedGenerator(seed)

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of the discriminator's step."""
        return self.discriminator_features.trainable_variables + self.discriminator_logit.trainable_variables

    def discriminate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of windows `[batch, dims]` and of their reconstructions, in inference mode, `[batch, 1]` each."""
        windows = as_float32(windows)
        pair = (windows, self(windows, training=False))
        features = [self.discriminator_features(one, training=False) for one in pair]
        real_logit, fake_logit = (self.discriminator_logit(one, training=False) for one in features)
        return real_logit, fake_logit

    def _reset_discriminator(self) -> None:
        self.discriminator_resets.assign_add(1)
        networks = (self.discriminator_features, self.discriminator_logit)
        reinitialize(networks, self.kernel_initializer, self.reset_seeds)


def bce(logit: tf.Tensor, target: float) -> tf.Tensor:
    """Mean binary cross entropy of logits `[batch, 1]` against the same target for every window."""
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logit), target), logits=logit)
    )


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], windows: tf.Tensor, generated: tf.Tensor, places: tf.Tensor
) -> tf.Tensor:
    """Mean squared difference from 1 of the norm of a critic's gradient, Gulrajani et al. 2017, Eq. 3.

    Args:
      critic: `[batch, dims]` → `[batch, 1]`, each row by itself.
      windows: `[batch, dims]`.
      generated: `[batch, dims]`.
      places: `[batch, 1]` from 0 to 1, where between them the gradient is taken; 0 is at the window.

    Returns:
      A scalar.

    >>> windows = tf.ones([3, 4])
    >>> float(gradient_penalty(lambda x: tf.reduce_sum(x, axis=1, keepdims=True), windows, -windows, windows[:, :1]))
    1.0
    """
    between = windows + places * (generated - windows)
    with tf.GradientTape() as tape:
        tape.watch(between)
        values = critic(between)
    squares = tf.reduce_sum(tf.square(tape.gradient(values, between)), axis=-1)
    return tf.reduce_mean(tf.square(tf.sqrt(tf.maximum(squares, SMALLEST_SQUARE)) - 1))


def over_devices(loss: tf.Tensor) -> tf.Tensor:
    """Mean of a scalar over the devices that share a batch; the scalar itself where there is one.

    What a step decides by it is then the same on all of them.

    >>> float(over_devices(tf.constant(2.0)))
    2.0
    """
    replica = tf.distribute.get_replica_context()
    return loss if replica.num_replicas_in_sync == 1 else replica.all_reduce(tf.distribute.ReduceOp.MEAN, loss)


def total(*terms: tf.Tensor) -> tf.Tensor:
    """Sum of scalars in a fixed order. `tf.add_n` adds in any order, so its rounding is not reproducible."""
    return tf.reduce_sum(tf.stack(terms))


def reinitialize(networks: Sequence[keras.Model], kernel_initializer: str, seeds: keras.random.SeedGenerator) -> None:
    """Draws new kernels for `networks` and sets their other weights to their initial values; works in a graph too."""
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
    """Adds a batch's losses to the running means, weighted by the batch's size, and returns the means so far."""
    for name, mean in means.items():
        mean.update_state(losses[name], sample_weight=tf.shape(windows)[0])
    return {name: mean.result() for name, mean in means.items()}
