"""Skip-GANomaly: a generator with skip connections, and a discriminator that also says what differs."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.adversarial import RESET_BELOW, TwoOptimizers, bce, start_afresh, total, update_means
from ganad_tf.models.detector import LossMean, as_float32, batch_of
from ganad_tf.models.networks import dense_blocks, dense_u_net

LOSSES = ("loss", "adversarial_loss", "contextual_loss", "latent_loss", "discriminator_loss")


@keras.saving.register_keras_serializable(package="ganad_tf")
class SkipGANomaly(TwoOptimizers):
    """Normal windows come back as they are, to the eye of a discriminator as well; others don't.

    Akcay et al. 2019 (arXiv 1901.08954), section 3, with the dense networks of de Oliveira Neto et al.
    2024, section 3.2.3. Generator x → x', a U-Net whose encoder blocks are handed to the decoder blocks
    of the same width; discriminator D, shaped like the encoder down to a block of `latent` units, f,
    and one logit. Means are over windows and dims.

        L_adv = BCE(D(x'), 1)                      (Akcay Eq. 1, the generator's side of it)
        L_con = mean |x - x'|                      (Akcay Eq. 2)
        L_lat = mean (f(x) - f(x'))^2              (Akcay Eq. 3)
        L_G   = w_adv L_adv + w_con L_con + w_lat L_lat        (Akcay Eq. 4)
        L_D   = BCE(D(x), 1) + BCE(D(x'), 0), no gradient into x'
        score = 0.9 mean (x - x')^2 + 0.1 mean (f(x) - f(x'))^2 per window       (Akcay Eq. 5)

    Both networks look at the batch once, then the generator steps, then the discriminator, on what it
    said before the generator's step. A discriminator whose loss falls below 1e-5 is initialised
    afresh; `discriminator_resets` counts these.

    Where we differ from the authors' code: it adds w_lat L_lat to L_D too, with the sign that it has in
    L_G, which its users dispute (`discriminator_latent_loss`, off by default); dense blocks with ReLU
    in place of convolutions with leaky ReLU; no skip from the input itself; a reset draws from
    `kernel_initializer`; clip scores are not min-max scaled over the test set.

    Args:
      input_dim: Length of a window.
      hidden: Units of the generator's encoder blocks, mirrored in its decoder, and of D's blocks.
      latent: Units of the generator's middle and of f.
      w_adv, w_con, w_lat: Loss weights.
      discriminator_latent_loss: Whether L_D has the latent loss too.
      dropout: Share of units dropped after each block while training.
      kernel_initializer: As Keras names it.
      seed: Of the re-initialised discriminators.

    Raises:
      ValueError: If there is no hidden layer, or `dropout` is out of range.
    """

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        w_adv: float = 1.0,
        w_con: float = 50.0,
        w_lat: float = 1.0,
        discriminator_latent_loss: bool = False,
        dropout: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not hidden:
            raise ValueError("Expected at least one hidden layer. Received: none.")
        self.input_dim = input_dim
        self.hidden = list(hidden)
        self.latent = latent
        self.w_adv, self.w_con, self.w_lat = w_adv, w_con, w_lat
        self.discriminator_latent_loss = discriminator_latent_loss
        self.dropout = dropout
        self.kernel_initializer = kernel_initializer
        self.seed = seed

        shape: dict[str, Any] = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        self.generator = dense_u_net(input_dim, self.hidden, latent, name="generator", **shape)
        self.discriminator_features = dense_blocks(
            input_dim, [*self.hidden, latent], name="discriminator_features", **shape
        )
        self.discriminator_logit = dense_blocks(
            latent, [], 1, kernel_initializer=kernel_initializer, name="discriminator_logit"
        )
        self.discriminator_resets = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="discriminator_resets"
        )
        self.reset_seeds = keras.random.SeedGenerator(seed)
        self.loss_means = {name: LossMean(name=name) for name in LOSSES}
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """What the generator's step moves."""
        return list(self.generator.trainable_variables)

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """What the discriminator's step moves."""
        return self.discriminator_features.trainable_variables + self.discriminator_logit.trainable_variables

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.generator(as_float32(windows), training=training)

    def losses_of(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss on one batch, by the names in the class's docstring."""
        windows = as_float32(windows)
        reconstruction = self.generator(windows, training=training)  # [batch, dims]
        real_features = self.discriminator_features(windows, training=training)  # [batch, latent]
        fake_features = self.discriminator_features(reconstruction, training=training)
        real_logit = self.discriminator_logit(real_features, training=training)  # [batch, 1]
        fake_logit = self.discriminator_logit(fake_features, training=training)

        adversarial = bce(fake_logit, 1.0)
        contextual = tf.reduce_mean(tf.abs(windows - reconstruction))
        latent = tf.reduce_mean(tf.square(real_features - fake_features))
        discriminator = bce(real_logit, 1.0) + bce(fake_logit, 0.0)
        if self.discriminator_latent_loss:
            discriminator += self.w_lat * latent
        return {
            "loss": total(self.w_adv * adversarial, self.w_con * contextual, self.w_lat * latent),
            "adversarial_loss": adversarial,
            "contextual_loss": contextual,
            "latent_loss": latent,
            "discriminator_loss": discriminator,
        }

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Forward both, step the generator, step the discriminator, reset it if it has won."""
        windows = batch_of(data)
        self.follow_learning_rate()
        generator, discriminator = self.generator_variables, self.discriminator_variables
        with tf.GradientTape(persistent=True) as tape:
            losses = self.losses_of(windows, training=True)
        # Each gradient is taken for one side's variables alone, so x' is a constant to the discriminator.
        generator_gradients = tape.gradient(losses["loss"], generator)
        discriminator_gradients = tape.gradient(losses["discriminator_loss"], discriminator)
        self.optimizer.apply(generator_gradients, generator)
        self.discriminator_optimizer.apply(discriminator_gradients, discriminator)
        tf.cond(losses["discriminator_loss"] < RESET_BELOW, self._reset_discriminator, lambda: None)
        resets = tf.cast(self.discriminator_resets, tf.float32)
        return update_means(self.loss_means, losses, windows) | {"discriminator_resets": resets}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Every loss on one batch, networks as in use."""
        windows = batch_of(data)
        return update_means(self.loss_means, self.losses_of(windows, training=False), windows)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """0.9 of the reconstruction's error and 0.1 of its features' for each window, `[batch]`."""
        windows = as_float32(windows)
        reconstruction = self.generator(windows, training=False)
        by_input = tf.reduce_mean(tf.square(windows - reconstruction), axis=-1)
        real_features = self.discriminator_features(windows, training=False)
        fake_features = self.discriminator_features(reconstruction, training=False)
        by_features = tf.reduce_mean(tf.square(real_features - fake_features), axis=-1)
        return 0.9 * by_input + 0.1 * by_features

    def latent_of(self, windows: tf.Tensor) -> tf.Tensor:
        """f(x), which the latent loss compares, `[batch, latent]`."""
        return self.discriminator_features(as_float32(windows), training=False)

    def discriminate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of windows and of their reconstructions, `[batch, 1]` each."""
        windows = as_float32(windows)
        pair = (windows, self(windows, training=False))
        features = [self.discriminator_features(one, training=False) for one in pair]
        real_logit, fake_logit = (self.discriminator_logit(one, training=False) for one in features)
        return real_logit, fake_logit

    def objectives(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """Each side's loss and weights."""
        losses = self.losses_of(windows, training=False)
        return {
            "generator": (losses["loss"], self.generator_variables),
            "discriminator": (losses["discriminator_loss"], self.discriminator_variables),
        }

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        weights = ("w_adv", "w_con", "w_lat", "discriminator_latent_loss")
        names = ("input_dim", "hidden", "latent", *weights, "dropout", "kernel_initializer", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _reset_discriminator(self) -> None:
        self.discriminator_resets.assign_add(1)
        networks = (self.discriminator_features, self.discriminator_logit)
        start_afresh(networks, self.kernel_initializer, self.reset_seeds)
