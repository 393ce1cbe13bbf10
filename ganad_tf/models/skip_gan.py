"""Losses and score of Skip-GANomaly, which SAGAN has too."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.adversarial import ReconstructionGAN, bce, total
from ganad_tf.models.detector import as_float32

LOSSES = ("loss", "adversarial_loss", "contextual_loss", "latent_loss", "discriminator_loss")


class SkipGAN(ReconstructionGAN):
    """A GAN with the losses and the score of Skip-GANomaly, whose docstring has the equations; a subclass trains it.

    A subclass makes `generator`, and the networks that `ReconstructionGAN` needs.

    Args:
      w_adv, w_con, w_lat: Loss weights.
      discriminator_latent_loss: Whether the discriminator's loss has the latent loss too.
    """

    generator: keras.Model

    def __init__(
        self, *, w_adv: float, w_con: float, w_lat: float, discriminator_latent_loss: bool, **kwargs: Any
    ) -> None:
        super().__init__(LOSSES, **kwargs)
        self.w_adv, self.w_con, self.w_lat = w_adv, w_con, w_lat
        self.discriminator_latent_loss = discriminator_latent_loss

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of the generator's step."""
        return list(self.generator.trainable_variables)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.generator(as_float32(windows), training=training)

    def compute_losses(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
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

    def run_batch_norm(self, windows: tf.Tensor) -> Iterator[keras.Model]:
        """Yields each network when it has run in training mode, the discriminator once per side."""
        reconstruction = self.generator(windows, training=True)
        yield self.generator
        for side in (windows, reconstruction):
            self.discriminator_features(side, training=True)
            yield self.discriminator_features

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """0.9 of the reconstruction's error and 0.1 of its features' for each window, `[batch]`."""
        windows = as_float32(windows)
        reconstruction = self.generator(windows, training=False)
        by_input = tf.reduce_mean(tf.square(windows - reconstruction), axis=-1)
        real_features = self.discriminator_features(windows, training=False)
        fake_features = self.discriminator_features(reconstruction, training=False)
        by_features = tf.reduce_mean(tf.square(real_features - fake_features), axis=-1)
        return 0.9 * by_input + 0.1 * by_features

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """f(x), which the latent loss compares, `[batch, latent]`."""
        return self.discriminator_features(as_float32(windows), training=False)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments that all of these detectors have."""
        names = ("w_adv", "w_con", "w_lat", "discriminator_latent_loss")
        return super().get_config() | {name: getattr(self, name) for name in names}
